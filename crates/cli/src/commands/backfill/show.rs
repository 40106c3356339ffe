//! Backfills for people.

use std::collections::BTreeMap;

use indicatif::HumanCount;
use mesh_backfill::{
    Counts, Estimate, FollowReport, Followed, FollowedProject, Moved, Range, Rejected, RunReport,
    Standing,
};
use mesh_core::shell_word;

use crate::{args::Rows, output};

pub(super) fn estimate(estimate: &Estimate, rows: &Rows) {
    let Estimate { archive, rows: documents, distinct, chunks, .. } = estimate;
    output::line(format!(
        "{archive}: {} documents, {} different, in {}",
        HumanCount(*documents),
        HumanCount(*distinct),
        counted(*chunks as u64, "chunk", "chunks")
    ));
    let line = |name: &str, count: u64, reasons: String| {
        output::line(format!("  {name:<12}{:>12}   {reasons}", HumanCount(count)).trim_end());
    };
    for project in &estimate.projects {
        let rate = project.rows_per_second.map(|rate| format!(", {rate:.0} rows/s a thread"));
        output::line(format!(
            "{} version {}{}",
            project.project,
            project.version,
            rate.unwrap_or_default()
        ));
        without(&project.without);
        line("to be done", project.todo, reasons(&project.why));
        line("left", project.skipped.values().sum(), reasons(&project.skipped));
        line("rejected", project.rejected.values().sum(), reasons(&project.rejected));
    }
    if estimate.projects.iter().all(|project| project.todo == 0) {
        output::line("nothing is to be done");
        return;
    }
    let range = |range: Range, told: &dyn Fn(f64) -> String| {
        format!("{} ({} to {})", told(range.value), told(range.low), told(range.high))
    };
    output::line(format!(
        "takes {} with {} threads, measured on {} documents",
        range(estimate.seconds, &duration),
        estimate.threads,
        HumanCount(estimate.sampled)
    ));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size")]
    let bytes = |value: f64| output::bytes(value.max(0.0) as u64);
    output::line(format!("leaves {}", range(estimate.bytes, &bytes)));
    let all = if rows.all_rows { " --all-rows" } else { "" };
    let filter = rows.filter.as_ref().map(|sql| format!(" --where {}", shell_word(sql)));
    let words: Vec<String> = rows.projects.iter().map(|name| shell_word(name)).collect();
    output::line(format!(
        "next: mesh backfill run {archive} {}{}{all}",
        words.join(" "),
        filter.unwrap_or_default()
    ));
}

/// The files of an archive's folder that are no documents of it.
pub(super) fn passed_over(files: &[String]) {
    let Some(first) = files.first() else { return };
    output::line(format!(
        "passed over: {} of another format, or of none that can be read, such as {}",
        counted(files.len() as u64, "file", "files"),
        mesh_core::printable(first)
    ));
}

/// The fields that a project is asked without.
fn without(fields: &BTreeMap<String, String>) {
    for (field, column) in fields {
        let other = column.split('.').next().unwrap_or(column);
        output::line(format!(
            "  without `{field}`: {other} has told nothing here, and is not named"
        ));
    }
}

pub(super) fn report(report: &RunReport) {
    let resumed = match report.resumed {
        0 => String::new(),
        before => {
            let chunks = counted(report.chunks as u64, "chunk", "chunks");
            format!(", {before} of {chunks} done before")
        }
    };
    output::line(format!(
        "backfill {} of {}: {} documents in {:.1} s{resumed}, {}",
        report.id,
        report.archive,
        HumanCount(report.rows),
        report.seconds,
        output::bytes(report.bytes)
    ));
    for (project, counts) in &report.projects {
        output::line(format!("  {project:<20} {}", told(counts)));
        report.without.get(project).into_iter().for_each(without);
    }
    let id = report.id;
    if report.projects.values().any(|counts| counts.rejected > 0) {
        output::line(format!("`mesh backfill rejects {id}` shows what was rejected, and why"));
    }
}

/// What can be done with what a run left.
pub(super) fn next(report: &RunReport) {
    let id = report.id;
    output::line(format!(
        "next: `mesh backfill diff {id}` compares it with what is live, `mesh backfill cutover \
         {id}` makes it live"
    ));
}

pub(super) fn followed(report: &FollowReport) {
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = report.messages as f64 / report.seconds.max(1e-3);
    output::line(format!(
        "{}: {} in {:.1} s ({rate:.0} a second), {}, {} behind",
        report.archive,
        counted(report.messages, "message", "messages"),
        report.seconds,
        counted(report.documents, "document", "documents"),
        HumanCount(report.behind)
    ));
    for (project, FollowedProject { version, counts }) in &report.projects {
        output::line(format!("  {project:<20} version {version}: {}", told(counts)));
    }
    if report.published > 0 {
        output::line(format!("  {} published", HumanCount(report.published)));
    }
    if report.missed > 0 {
        let missed = HumanCount(report.missed);
        output::line(format!("the stream no longer kept up to {missed} messages that came before"));
    }
    for project in &report.unseen {
        let archive = &report.archive;
        output::line(format!(
            "{project} was rolled back, and what it tells is not seen: `mesh backfill run {archive} \
             {project} --cutover` makes it live"
        ));
    }
    let rejected: u64 = report.projects.values().map(|project| project.counts.rejected).sum();
    if report.refused + rejected > 0 {
        let refused =
            counted(report.refused, "message is no document", "messages are no documents");
        let archive = &report.archive;
        output::line(format!(
            "{refused}, {} refused: `mesh backfill followed {archive}` shows them, \
             and why",
            counted(rejected, "answer was", "answers were")
        ));
    }
}

pub(super) fn arrivals(archive: &str, followed: &Followed) {
    output::line(format!(
        "{archive}: {} of {}: {}, {} that are none",
        counted(followed.messages, "message", "messages"),
        mesh_core::printable(&followed.stream()),
        counted(followed.documents, "document", "documents"),
        HumanCount(followed.refused)
    ));
    if followed.missed > 0 {
        let missed = counted(followed.missed, "message", "messages");
        output::line(format!("the stream no longer kept up to {missed} when they were to be read"));
    }
    if let Some(target) = &followed.target {
        output::line(format!("published to {target}"));
    }
    let mut table = output::table(&["project", "key", "where", "reason", "detail"]);
    for refused in &followed.refusals {
        table.add_row([
            "-".to_owned(),
            mesh_core::printable(refused.key.as_deref().unwrap_or("-")),
            format!("message {}", refused.sequence),
            refused.reason.clone(),
            refused.detail.clone(),
        ]);
    }
    for (project, rejects) in &followed.rejects {
        for row in rejects {
            table.add_row([
                project.to_string(),
                mesh_core::printable(row.key.as_deref().unwrap_or("-")),
                format!("{} row {} (from 0)", mesh_core::printable(&row.file), row.row),
                row.reason.clone(),
                mesh_core::printable(&row.detail),
            ]);
        }
    }
    match table.is_empty() {
        true => output::line("nothing was rejected"),
        false => output::line(table.to_string()),
    }
}

pub(super) fn standings(all: &[Standing]) {
    if all.is_empty() {
        output::line("no backfill yet: `mesh backfill run --help` makes one");
        return;
    }
    let mut table = output::table(&["id", "archive", "projects", "state", "done", "rejected"]);
    for standing in all {
        table.add_row([
            standing.id.to_string(),
            standing.archive.clone(),
            standing.projects.join(", "),
            standing.state_for_people(),
            format!("{} of {}", HumanCount(standing.done), HumanCount(standing.rows)),
            rejected(standing),
        ]);
    }
    output::line(table.to_string());
    if let [one] = all {
        for (project, counts) in &one.counts {
            output::line(format!("  {project:<20} {}", told(counts)));
        }
        if let Some(error) = &one.error {
            output::line(format!("it stopped: {error}"));
        }
        for next in &one.next {
            output::line(format!("next: {next}"));
        }
    }
}

pub(super) fn rejects(rejects: &BTreeMap<String, Vec<Rejected>>) {
    if rejects.values().all(Vec::is_empty) {
        output::line("nothing was rejected");
        return;
    }
    let mut table = output::table(&["project", "key", "file", "row (from 0)", "reason", "detail"]);
    for (project, rows) in rejects {
        for row in rows {
            table.add_row([
                project.clone(),
                mesh_core::printable(row.key.as_deref().unwrap_or("-")),
                mesh_core::printable(&row.file),
                row.row.to_string(),
                row.reason.clone(),
                mesh_core::printable(&row.detail),
            ]);
        }
    }
    output::line(table.to_string());
}

pub(super) fn moved(archive: &str, moved: &[Moved]) {
    if moved.is_empty() {
        output::line(format!("{archive}: it is live already"));
    }
    for Moved { project, from, to } in moved {
        let name =
            |generation: &Option<String>| generation.clone().unwrap_or_else(|| "none".into());
        output::line(format!("{archive}: {project} was {}, is {} now", name(from), name(to)));
    }
}

/// A duration in the two units that tell it best.
fn duration(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a duration")]
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..90 => format!("{seconds:.1} s"),
        90..5_400 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// How many rows each project rejected, in the order of the projects.
fn rejected(standing: &Standing) -> String {
    let name = |project: &String| project.split('@').next().unwrap_or_default().to_owned();
    let of = |project| standing.counts.get(&name(project)).map_or(0, |counts| counts.rejected);
    let all: Vec<String> =
        standing.projects.iter().map(|project| HumanCount(of(project)).to_string()).collect();
    all.join(", ")
}

fn counted(count: u64, one: &str, more: &str) -> String {
    format!("{} {}", HumanCount(count), if count == 1 { one } else { more })
}

fn told(counts: &Counts) -> String {
    let parts = [
        ("enriched", counts.enriched),
        ("kept", counts.kept),
        ("left", counts.skipped),
        ("rejected", counts.rejected.saturating_sub(counts.rejected_before)),
        ("rejected before", counts.rejected_before),
    ];
    let told: Vec<String> = parts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{} {name}", HumanCount(*count)))
        .collect();
    match counts.repeated {
        0 => told.join(", "),
        repeated => format!("{} ({} as identical ones)", told.join(", "), HumanCount(repeated)),
    }
}

fn reasons<K: AsRef<str>>(reasons: &BTreeMap<K, u64>) -> String {
    let told: Vec<String> = reasons
        .iter()
        .map(|(reason, count)| format!("{} {}", HumanCount(*count), reason.as_ref()))
        .collect();
    told.join(", ")
}
