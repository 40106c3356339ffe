use std::{collections::BTreeMap, path::Path, process::ExitCode};

use indicatif::HumanCount;
use mesh_archive::{Archive, Columns, Dedup as Search, Duplicates, PairWriter, Unfinished, Watch};
use mesh_minhash::Options;
use serde_json::json;

use crate::{args::Dedup, context::Context, output, report::CliError};

pub(crate) fn dedup(context: &Context, options: &Dedup) -> Result<ExitCode, CliError> {
    let archive = Archive::open(&options.archive)?;
    let watch = Watch { progress: context.bars.as_ref(), cancel: &context.cancel };
    let search = Search {
        options: Options {
            shingle: options.shingle,
            threshold: options.threshold,
            permutations: options.permutations,
        },
        threads: context.run_options(options.threads).threads,
    };
    let columns = Columns { text: options.text.clone(), key: options.key.clone() };
    // What cannot be written is told before the work, not after it.
    let (mut pairs, remaining) = outputs(&archive, options)?;
    let found = search.run(&archive, &columns, watch, |pair| match &mut pairs {
        Some(pairs) => pairs.write(pair),
        None => Ok(()),
    })?;
    if let Some(remaining) = &remaining {
        found.copy(&archive, remaining, watch)?;
    }
    // Both are put in their places only when nothing can be in the way any more.
    pairs.map_or(Ok(()), PairWriter::finish)?;
    remaining.map_or(Ok(()), Unfinished::finish)?;
    tell(context, options, &archive, &found);
    Ok(ExitCode::SUCCESS)
}

fn outputs(
    archive: &Archive,
    options: &Dedup,
) -> Result<(Option<PairWriter>, Option<Unfinished>), CliError> {
    let (pairs, output) = (options.pairs.as_deref(), options.output.as_deref());
    if pairs.is_some() && pairs == output {
        let help = "--pairs and --output are two files: give each a name of its own";
        return Err(CliError::usage("write two files to one place", help));
    }
    pairs.map_or(Ok(()), |pairs| archive.check_apart(pairs))?;
    output.map_or(Ok(()), |output| archive.check_copy(output))?;
    Ok((pairs.map(PairWriter::create).transpose()?, output.map(Unfinished::create).transpose()?))
}

fn tell(context: &Context, options: &Dedup, archive: &Archive, found: &Duplicates) {
    let unusable: BTreeMap<&str, u64> =
        found.unusable.iter().map(|(reason, rows)| (reason.as_str(), *rows)).collect();
    if context.global.json {
        output::json(&json!({
            "archive": options.archive,
            "files": archive.files().len(),
            "passed_over": archive.passed_over(),
            "threshold": options.threshold,
            "shingle": options.shingle,
            "permutations": options.permutations,
            "rows": found.rows,
            "unusable": unusable,
            "exact_duplicates": found.copies,
            "near_duplicates": found.near,
            "remaining": found.remaining(),
            "pairs": found.pairs,
            "groups": found.groups,
            "crowded": found.crowded,
            "written": { "pairs": options.pairs, "output": options.output },
        }));
        return;
    }
    let line = |name: &str, count: u64, note: String| {
        let count = HumanCount(count).to_string();
        output::line(format!("{name:<22}{count:>12}   {note}").trim_end());
    };
    let files = match archive.files().len() {
        1 => String::new(),
        files => format!("in {files} files"),
    };
    line("rows", found.rows, files);
    let reasons: Vec<String> =
        unusable.iter().map(|(reason, rows)| format!("{} {reason}", HumanCount(*rows))).collect();
    if !reasons.is_empty() {
        let rows = found.unusable.values().sum();
        line("  unusable", rows, format!("kept as they are: {}", reasons.join(", ")));
    }
    line("  exact duplicates", found.copies, "left out: the text of an earlier row".into());
    let like = format!("left out: {} or more like a row that remains", options.threshold);
    line("  near-duplicates", found.near, like);
    line("  remaining", found.remaining(), written(options.output.as_deref(), "--output"));
    line("near-duplicate pairs", found.pairs, written(options.pairs.as_deref(), "--pairs"));
    line("groups", found.groups, "of rows that copies and pairs connect".into());
    if found.crowded > 0 {
        let note = "left-out rows with over 1,000 pairs, not compared with later ones";
        line("crowded", found.crowded, note.into());
    }
    if let Some(first) = archive.passed_over().first() {
        let count = archive.passed_over().len() as u64;
        line("passed over", count, format!("no files of the archive, such as {}", first.display()));
    }
}

fn written(file: Option<&Path>, option: &str) -> String {
    match file {
        Some(file) => format!("written to {}", file.display()),
        None => format!("`{option} FILE` writes them"),
    }
}
