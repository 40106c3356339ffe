//! The manifests of new projects, task by task.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use mesh_core::{
    did_you_mean,
    manifest::{Format, TaskName},
    printable,
};
use mesh_prepare::{ColumnKind, SurveyedColumn, survey};

use crate::{args::NewProject, report::CliError};

/// Lines that are looked at for the scheme of their tags.
const SCHEME_LINES: usize = 100_000;
/// Names that a column of categories may have to be taken for one.
const MAX_CATEGORIES: usize = 200;

/// Where the folder of a new project will be.
pub(super) struct Place {
    /// The workspace, as it is without links.
    pub(super) root: PathBuf,
    /// How many folders below it the manifest's is.
    pub(super) depth: usize,
}

/// A new project.
pub(super) struct Template {
    /// Its manifest.
    pub(super) manifest: String,
    /// What is to be known about it.
    pub(super) notes: Vec<String>,
}

/// The project that was asked for.
pub(super) fn template(options: &NewProject, place: &Place) -> Result<Template, CliError> {
    let mut notes = Vec::new();
    let (body, description) = match options.task {
        TaskName::TokenClassification => entities(options, place)?,
        TaskName::Regression => regression(options, place, &mut notes)?,
        TaskName::Embedding => pretrained(options, place, "A vector for a text")?,
        TaskName::Keywords => pretrained(options, place, "Which words say what a text is about")?,
        TaskName::Language => pretrained(options, place, "Which language a text is in")?,
        TaskName::NearDuplicates => (String::new(), "Signatures of texts".to_owned()),
        _ => texts(options, place)?,
    };
    let description = options.description.clone().unwrap_or(description);
    let manifest = format!(
        "# `mesh schema project` and docs/manifest.md describe every key.\n\n\
         [project]\nname = \"{}\"\ntask = \"{}\"\ndescription = {}\n\n{body}[serve]\n",
        options.name,
        options.task,
        quoted(&description),
    );
    Ok(Template { manifest, notes })
}

/// What to do next.
pub(super) fn next(options: &NewProject) -> String {
    let name = &options.name;
    match options.task {
        TaskName::NearDuplicates => format!("mesh predict {name} --text '...'"),
        TaskName::Regression => {
            format!("mesh run {name} && mesh serve {name}, whose page has a row to ask about")
        }
        _ => format!("mesh run {name} && mesh predict {name} --text '...'"),
    }
}

/// Texts with labels.
fn texts(options: &NewProject, place: &Place) -> Result<(String, String), CliError> {
    let data = data(options)?;
    let format = format_of(&data)?;
    let mut source = source(&data, format, place);
    if format != Format::FolderPerLabel {
        let (columns, delimiter) = columns(&data, format)?;
        source.push_str(&delimiter);
        // A packed one is not looked into before it is fetched.
        if !columns.is_empty() {
            find(&columns, "--text", &options.text, &data)?;
            find(&columns, "--label", &options.label, &data)?;
        }
        let (text, label) = (quoted(&options.text), quoted(&options.label));
        let _ = writeln!(source, "columns = {{ text = {text}, label = {label} }}");
    }
    let description = match format {
        Format::FolderPerLabel => "Which folder a text belongs to".into(),
        _ => format!("Which {} a text has", options.label),
    };
    let body = format!(
        "{source}\n\
         [prepare]\nsplit = {{ train = 0.8, validation = 0.1, test = 0.1, seed = 42 }}\n\n\
         [train]\nmodel = \"linear\"\n# gate = {{ macro_f1 = 0.8 }}    # below it, train fails\n\n\
         [compile]\ntargets = [\"native\"]\n\n"
    );
    Ok((body, description))
}

/// Sentences whose tokens have tags.
fn entities(options: &NewProject, place: &Place) -> Result<(String, String), CliError> {
    let data = data(options)?;
    let io = |error| CliError::io("read", data.display(), error);
    let lines = BufReader::new(File::open(&data).map_err(io)?).lines();
    let lines = lines.take(SCHEME_LINES).collect::<Result<Vec<_>, _>>().map_err(io)?;
    // A line of a sentence tells how many columns there are: the token is the first, its tag the
    // last.
    let is_token = |line: &&String| {
        line.split_whitespace().nth(1).is_some() && !line.starts_with("-DOCSTART-")
    };
    let Some(columns) = lines.iter().find(is_token).map(|line| line.split_whitespace().count())
    else {
        let action = format!("find a token and its tag in {}", data.display());
        return Err(CliError::usage(action, "a line holds a token, white space and its tag"));
    };
    let tags = lines.iter().map(|line| line.split_whitespace().next_back().unwrap_or_default());
    let scheme = scheme(tags);
    let middle = (2..columns).map(|at| format!("\"column{at}\", "));
    let header = format!("\"token\", {}\"tag\"", middle.collect::<String>());
    let url = quoted(&url_of(&data, place));
    let body = format!(
        "[source]\nurl = {url}\nformat = \"conll\"\nheader = [{header}]\n\
         columns = {{ text = \"token\", label = \"tag\" }}\n\
         labels = {{ scheme = \"{scheme}\" }}    # bio, iob or bioes\n\n\
         [prepare]\nsplit = {{ train = 0.8, validation = 0.1, test = 0.1, seed = 42 }}\n\n\
         [train]\nmodel = \"crf\"\n# gate = {{ f1 = 0.8 }}    # below it, train fails\n\n\
         [compile]\ntargets = [\"native\"]\n\n"
    );
    Ok((body, "The entities in a text".into()))
}

/// A table with a number to be told.
fn regression(
    options: &NewProject,
    place: &Place,
    notes: &mut Vec<String>,
) -> Result<(String, String), CliError> {
    let data = data(options)?;
    let format = format_of(&data)?;
    let Some(target) = &options.target else {
        let action = "tell which number is to be told";
        return Err(CliError::usage(action, "name its column with --target"));
    };
    let (columns, delimiter) = columns(&data, format)?;
    if columns.is_empty() {
        let action = format!("look into {}", data.display());
        return Err(CliError::usage(action, "unpack it first: its columns become features"));
    }
    let found = find(&columns, "--target", target, &data)?;
    if found.kind != ColumnKind::Number {
        let action =
            format!("tell `{target}`, which holds other values than numbers{}", such(found));
        return Err(CliError::usage(action, "name a column of numbers with --target"));
    }
    let given = [("--day", &options.day), ("--series", &options.series)];
    for (option, column) in given {
        if let Some(column) = column {
            let found = find(&columns, option, column, &data)?;
            if option == "--day" && found.kind != ColumnKind::Date {
                let action =
                    format!("take `{column}` for days: it has other values{}", such(found));
                return Err(CliError::usage(action, "days are written as 2016-12-31"));
            }
        }
    }
    let mut mapped = format!("label = {}", quoted(target));
    for (key, column) in [("time", &options.day), ("group", &options.series)] {
        if let Some(column) = column {
            let _ = write!(mapped, ", {key} = {}", quoted(column));
        }
    }
    let features: Vec<_> = columns.iter().filter(|column| column.name != *target).collect();
    let of = |kind: ColumnKind| {
        let fits = |column: &&&SurveyedColumn| column.kind == kind && left_out(column).is_none();
        let names: Vec<_> =
            features.iter().filter(fits).map(|column| quoted(&column.name)).collect();
        names.join(", ")
    };
    let reason = |column: &&SurveyedColumn| {
        left_out(column).map(|reason| format!("`{}` is no feature: {reason}", column.name))
    };
    notes.extend(features.iter().filter_map(reason));
    if features.iter().all(|column| left_out(column).is_some()) && options.day.is_none() {
        let action = format!("find a column of {} to tell `{target}` by", data.display());
        let help = match notes.is_empty() {
            true => "its columns become features, and there is none".to_owned(),
            false => notes.join("; "),
        };
        return Err(CliError::usage(action, help));
    }
    let mut body = source(&data, format, place);
    body.push_str(&delimiter);
    let _ = write!(body, "columns = {{ {mapped} }}\n\n[prepare]\n");
    let method = if options.day.is_some() { "by-time" } else { "stratified" };
    let split = "train = 0.8, validation = 0.1, test = 0.1, seed = 42";
    let _ = writeln!(body, "split = {{ {split}, method = \"{method}\" }}\n\n[prepare.features]");
    for (key, kind) in [
        ("numbers", ColumnKind::Number),
        ("categories", ColumnKind::Text),
        ("dates", ColumnKind::Date),
    ] {
        let _ = writeln!(body, "{key} = [{}]", of(kind));
    }
    for note in notes.iter() {
        let _ = writeln!(body, "# {note}");
    }
    if options.day.is_some() {
        body.push_str(
            "\n# What the number was on days before. It is told `horizon` days ahead.\n\
             [prepare.series]\nhorizon = 1\nseason = 7\nlags = [1, 7, 14, 28]\nwindows = [7, 28]\n",
        );
    }
    body.push_str(
        "\n[train]\nmodel = \"boosted-trees\"\n\
         # gate = { r2_gain = 0 }    # to beat the baseline by more than chance, else train fails\n\n\
         [compile]\ntargets = [\"native\"]\n\n",
    );
    Ok((body, format!("What `{target}` will be")))
}

/// Why a column is left out of the features, if it is.
fn left_out(column: &SurveyedColumn) -> Option<String> {
    let first = column.other.as_deref().unwrap_or_default();
    // `31.12.2016`, `12/31/16`: numbers between signs.
    let parts: Vec<&str> = first.split(['.', '/', '-']).collect();
    let is_day = parts.len() == 3
        && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    match column.kind {
        ColumnKind::Empty => Some("it has no values".to_owned()),
        ColumnKind::Text if is_day => {
            Some(format!("days are written as 2016-12-31, and it has `{first}`"))
        }
        ColumnKind::Text if column.distinct > MAX_CATEGORIES => {
            let distinct = column.distinct;
            Some(format!("it has {distinct} names, too many to learn from, such as `{first}`"))
        }
        _ => None,
    }
}

/// An example of what a column has beside numbers or days.
fn such(column: &SurveyedColumn) -> String {
    column.other.as_ref().map_or_else(String::new, |other| format!(", such as `{other}`"))
}

/// The scheme of tags: some begin entities inside of nothing, some end them.
fn scheme<'a>(tags: impl Iterator<Item = &'a str>) -> &'static str {
    let (mut before, mut found) = ("", "bio");
    for tag in tags {
        let (prefix, entity) = tag.split_once('-').unwrap_or((tag, ""));
        let (prefix_before, entity_before) = before.split_once('-').unwrap_or((before, ""));
        let goes_on = matches!(prefix_before, "B" | "I") && entity == entity_before;
        match prefix {
            "E" | "S" => return "bioes",
            "I" if !goes_on => found = "iob",
            _ => {}
        }
        before = tag;
    }
    found
}

/// A model that comes as it is.
fn pretrained(
    options: &NewProject,
    place: &Place,
    description: &str,
) -> Result<(String, String), CliError> {
    let Some(model) = &options.model else {
        let action = format!("make a project of the task `{}`", options.task);
        return Err(CliError::usage(action, "name the model that it starts from with --model URL"));
    };
    let mut body = format!("[model]\nurl = {}\n", quoted(model));
    if let Some(sha256) = &options.sha256 {
        let _ = writeln!(body, "sha256 = \"{sha256}\"");
    }
    body.push_str("\n[compile]\ntargets = [\"native\"]\n");
    if let Some(data) = &options.data {
        let data =
            fs::canonicalize(data).map_err(|error| CliError::io("find", data.display(), error))?;
        let _ = writeln!(
            body,
            "\n# Texts on which the compiled model is compared with the model.\n[compile.texts]\n\
             url = {}",
            quoted(&url_of(&data, place))
        );
    } else {
        let action = format!("make a project of the task `{}`", options.task);
        let help = "name a text file with --data: its lines are what the models are compared on";
        return Err(CliError::usage(action, help));
    }
    body.push('\n');
    Ok((body, description.to_owned()))
}

fn data(options: &NewProject) -> Result<PathBuf, CliError> {
    let Some(data) = &options.data else {
        let action = format!("make a project of the task `{}`", options.task);
        return Err(CliError::usage(
            action,
            "name the file or folder that it learns from with --data",
        ));
    };
    fs::canonicalize(data).map_err(|error| CliError::io("find", data.display(), error))
}

/// The URL of a file: from the manifest's folder on where it lies in the workspace, whose folder
/// may be moved or cloned.
fn url_of(data: &Path, place: &Place) -> String {
    match data.strip_prefix(&place.root) {
        Ok(inside) => format!("file:{}{}", "../".repeat(place.depth), inside.display()),
        Err(_) => format!("file:{}", data.display()),
    }
}

fn source(data: &Path, format: Format, place: &Place) -> String {
    let format = match format {
        Format::Tsv => "tsv",
        Format::Jsonl => "jsonl",
        Format::Parquet => "parquet",
        Format::FolderPerLabel => "folder-per-label",
        _ => "csv",
    };
    let url = quoted(&url_of(data, place));
    format!("[source]\nurl = {url}\nformat = \"{format}\"\n")
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn format_of(data: &Path) -> Result<Format, CliError> {
    if data.is_dir() {
        return Ok(Format::FolderPerLabel);
    }
    let name = data.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let known = [
        (".csv", Format::Csv),
        (".tsv", Format::Tsv),
        (".tab", Format::Tsv),
        (".jsonl", Format::Jsonl),
        (".ndjson", Format::Jsonl),
        (".parquet", Format::Parquet),
    ];
    let found = known.iter().find(|(suffix, _)| name.ends_with(suffix)).map(|(_, format)| *format);
    found.ok_or_else(|| {
        let action = format!("tell the format of {}", data.display());
        CliError::usage(action, "known are .csv, .tsv, .jsonl, .parquet, and a folder per label")
    })
}

/// The columns of a table, and a line of the manifest where its values are not parted as usual.
/// None of a packed one, which is unpacked when it is fetched.
fn columns(data: &Path, format: Format) -> Result<(Vec<SurveyedColumn>, String), CliError> {
    if data.extension().is_some_and(|extension| extension == "gz")
        || format == Format::FolderPerLabel
    {
        return Ok((Vec::new(), String::new()));
    }
    let mut columns = survey(data, format, None)?;
    if columns.is_empty() {
        let action = format!("find a column in {}: it is empty", data.display());
        return Err(CliError::usage(
            action,
            "its first line names the columns, each other is a row",
        ));
    }
    let mut line = String::new();
    if let ([only], Format::Csv) = (columns.as_slice(), format)
        && let Some(delimiter) = only.name.chars().find(|c| matches!(c, ';' | '|' | '\t'))
    {
        columns = survey(data, format, Some(delimiter))?;
        line = format!("delimiter = {}\n", quoted(&delimiter.to_string()));
    }
    Ok((columns, line))
}

/// The column of that name.
fn find<'a>(
    columns: &'a [SurveyedColumn],
    option: &str,
    wanted: &str,
    data: &Path,
) -> Result<&'a SurveyedColumn, CliError> {
    columns.iter().find(|column| column.name == wanted).ok_or_else(|| {
        let action = format!("find the column `{wanted}` ({option}) in {}", data.display());
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let hint = did_you_mean(wanted, names.iter().copied());
        CliError::usage(action, printable(&format!("{hint}It has: {}", names.join(", "))))
    })
}
