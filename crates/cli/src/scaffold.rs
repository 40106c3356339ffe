//! Makes new workspaces and projects.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::ExitCode,
};

use mesh_core::manifest::{ProjectManifest, WorkspaceManifest};
use serde_json::json;

use crate::{args::NewProject, context::Context, output, report::CliError};

const MESH_TOML: &str = r#"# A workspace of ML Mesh. `mesh schema workspace` describes every key.

[workspace]
name = "{name}"
projects = "projects"

[store]
url = ".mesh/store"             # or s3://bucket/path

[http]
host = "127.0.0.1"
port = 8080
"#;

/// Makes a workspace in a folder.
pub(crate) fn init(context: &Context, folder: &Path) -> Result<ExitCode, CliError> {
    let manifest = folder.join(WorkspaceManifest::FILE);
    let io = |path: &Path| {
        let place = path.display().to_string();
        move |error| CliError::io("write", place, error)
    };
    if manifest.exists() {
        let action = format!("make a workspace in {}: there is one already", folder.display());
        return Err(CliError::usage(action, "name another folder, or use the one that is there"));
    }
    fs::create_dir_all(folder.join("projects")).map_err(io(folder))?;
    let name = fs::canonicalize(folder).ok();
    let name = name.as_deref().and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned());
    let name = name.unwrap_or_else(|| "workspace".into()).replace(['"', '\\'], "");
    fs::write(&manifest, MESH_TOML.replace("{name}", &name)).map_err(io(&manifest))?;
    let ignore = folder.join(".gitignore");
    if !ignore.exists() {
        fs::write(&ignore, "/.mesh/\n").map_err(io(&ignore))?;
    }
    if context.global.json {
        output::json(&json!({ "workspace": folder }));
    } else {
        output::line(format!("made {}", manifest.display()));
        output::line(format!(
            "next: cd {} && mesh new project <name> --data <file> --text <column> --label <column>",
            folder.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a project from data.
pub(crate) async fn new_project(
    context: &Context,
    options: &NewProject,
) -> Result<ExitCode, CliError> {
    let workspace = context.workspace().await?;
    let projects = workspace.root().join(&workspace.manifest().workspace.projects);
    let folder = projects.join(options.name.as_str());
    if folder.exists() {
        let action =
            format!("make the project {}: {} is there already", options.name, folder.display());
        return Err(CliError::usage(action, "choose another name"));
    }
    let manifest = manifest(options)?;
    // Whatever is written must be readable: what is checked is what is written.
    let shown = format!("projects/{}/{}", options.name, ProjectManifest::FILE);
    ProjectManifest::parse(&shown, &manifest)?;
    let path = folder.join(ProjectManifest::FILE);
    let io = |error| CliError::io("write", path.display(), error);
    fs::create_dir_all(&folder).map_err(io)?;
    fs::write(&path, manifest).map_err(io)?;
    if context.global.json {
        output::json(&json!({ "project": options.name, "manifest": path }));
    } else {
        output::line(format!("made {}", path.display()));
        output::line(format!("next: mesh run {0} && mesh predict {0} --text '...'", options.name));
    }
    Ok(ExitCode::SUCCESS)
}

fn manifest(options: &NewProject) -> Result<String, CliError> {
    let data = fs::canonicalize(&options.data)
        .map_err(|error| CliError::io("find", options.data.display(), error))?;
    let format = format_of(&data)?;
    let mut source = format!(
        "[source]\nurl = {}\nformat = \"{format}\"\n",
        quoted(&format!("file:{}", data.display()))
    );
    if format != "folder-per-label" {
        check_columns(&data, format, options)?;
        source.push_str(&format!(
            "columns = {{ text = {}, label = {} }}\n",
            quoted(&options.text),
            quoted(&options.label)
        ));
    }
    let description = options.description.clone().unwrap_or_else(|| match format {
        "folder-per-label" => "Which folder a text belongs to".into(),
        _ => format!("Which {} a text has", options.label),
    });
    Ok(format!(
        "# `mesh schema project` and docs/manifest.md describe every key.\n\n\
         [project]\nname = \"{}\"\ntask = {}\ndescription = {}\n\n{source}\n\
         [prepare]\nsplit = {{ train = 0.8, validation = 0.1, test = 0.1, seed = 42 }}\n\n\
         [train]\nmodel = \"linear\"\n# gate = {{ macro_f1 = 0.8 }}    # below it, train fails\n\n\
         [compile]\ntargets = [\"native\"]\n\n[serve]\n",
        options.name,
        quoted(&options.task),
        quoted(&description),
    ))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn format_of(data: &Path) -> Result<&'static str, CliError> {
    if data.is_dir() {
        return Ok("folder-per-label");
    }
    let name = data.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let known = [
        (".csv", "csv"),
        (".tsv", "tsv"),
        (".tab", "tsv"),
        (".jsonl", "jsonl"),
        (".ndjson", "jsonl"),
        (".parquet", "parquet"),
    ];
    let found = known.iter().find(|(suffix, _)| name.ends_with(suffix)).map(|(_, format)| *format);
    found.ok_or_else(|| {
        let action = format!("tell the format of {}", data.display());
        CliError::usage(action, "known are .csv, .tsv, .jsonl, .parquet, and a folder per label")
    })
}

/// Whether a table with a header has the columns that were named.
fn check_columns(data: &PathBuf, format: &str, options: &NewProject) -> Result<(), CliError> {
    let delimiter = match format {
        "csv" => b',',
        "tsv" => b'\t',
        _ => return Ok(()),
    };
    if data.extension().is_some_and(|extension| extension == "gz") {
        return Ok(());
    }
    let io = |error| CliError::io("read", data.display(), error);
    let mut header = Vec::new();
    BufReader::new(File::open(data).map_err(io)?).read_until(b'\n', &mut header).map_err(io)?;
    let header = String::from_utf8_lossy(&header);
    let columns: Vec<_> = header
        .trim_start_matches('\u{feff}')
        .split(char::from(delimiter))
        .map(|column| column.trim().trim_matches('"').to_owned())
        .collect();
    for (option, wanted) in [("--text", &options.text), ("--label", &options.label)] {
        if !columns.contains(wanted) {
            let action = format!("find the column `{wanted}` ({option}) in {}", data.display());
            return Err(CliError::usage(action, format!("it has: {}", columns.join(", "))));
        }
    }
    Ok(())
}
