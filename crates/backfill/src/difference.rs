//! What a backfill would change for readers.

use std::{collections::BTreeMap, fmt::Write};

use arrow_array::{RecordBatch, StringArray};
use mesh_archive::{ArchiveError, Span, Watch};
use mesh_compare::{Diff, DiffOptions, DiffReport, RowFacts};
use mesh_core::Unit;
use mesh_store::{BackfillId, BackfillRecord, BackfillState};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    BackfillError, BackfillErrorKind, OpenArchive,
    columns::INPUT_DIGEST,
    follow::is_arrival,
    generation::{Found, Generation},
    inputs::{json_in, text_in},
    job::open_live,
    keys::FileStamp,
    plan::{Plan, ProjectPlan},
};

/// What a backfill would change for readers, by project.
#[derive(Debug, Clone)]
pub struct Differences {
    /// Of each project.
    pub projects: Vec<ProjectDifference>,
    title: String,
    id: BackfillId,
}

/// What would change in what a project tells.
#[derive(Debug, Clone, Serialize)]
pub struct ProjectDifference {
    /// The project.
    pub project: String,
    /// The version that answered before; nothing if none did.
    pub before: Option<u32>,
    /// The version that answers now.
    pub after: u32,
    /// Documents, and those that were rejected now.
    pub rows: u64,
    /// Documents that were rejected now.
    pub rejected: u64,
    /// Documents of which something else was asked now than before, as far as both were noted.
    pub inputs_changed: u64,
    /// What changes.
    pub report: DiffReport,
    /// What its gates find.
    pub gates: Vec<GateFinding>,
}

/// What a gate finds.
#[derive(Debug, Clone, Serialize)]
pub struct GateFinding {
    /// The gate.
    pub gate: String,
    /// What was measured.
    pub measured: f64,
    /// What may be, at most.
    pub limit: f64,
    /// Whether it passes.
    pub passes: bool,
}

/// By project, its gates.
pub type Gates = BTreeMap<String, BTreeMap<String, f64>>;

/// Ends of the slices by length, in characters.
const LENGTHS: [(usize, &str); 4] = [
    (100, "under 100"),
    (500, "100 to 499"),
    (2_000, "500 to 1,999"),
    (usize::MAX, "2,000 or more"),
];

impl Differences {
    /// Compares what a backfill left with what readers saw when it was planned.
    ///
    /// # Errors
    /// When it is not done, or something cannot be read.
    pub fn of(
        archive: &OpenArchive,
        record: &BackfillRecord,
        plan: &Plan,
        gates: &Gates,
        examples: usize,
        watch: Watch<'_>,
    ) -> Result<Self, BackfillError> {
        let id = record.id;
        if record.state.is_unfinished() || record.state == BackfillState::Cancelled {
            return Err(not_done(format!("compare backfill {id}"), record, plan));
        }
        let mut projects = Vec::new();
        for project in &plan.projects {
            let limits = gates.get(project.project.as_str());
            let limits = limits.cloned().unwrap_or_default();
            projects.push(of_project(archive, plan, project, &limits, examples, watch)?);
        }
        let title = format!("Backfill {id} of {}", plan.archive);
        Ok(Self { projects, title, id })
    }

    /// Refuses if a gate does.
    ///
    /// # Errors
    /// Every gate that does not pass.
    pub fn check(&self) -> Result<(), BackfillError> {
        let mut refused = Vec::new();
        for project in &self.projects {
            for gate in project.gates.iter().filter(|gate| !gate.passes) {
                let GateFinding { gate, measured, limit, .. } = gate;
                refused.push(format!(
                    "{gate} of {} is {measured:.4}, the gate allows {limit}",
                    project.project
                ));
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        let kind = BackfillErrorKind::Gate(refused.join("; "));
        let id = self.id;
        let action = format!("make backfill {id} live");
        Err(BackfillError::new(action, kind).help(format!(
            "`mesh backfill diff {id}` shows what would change; change `gate` in [backfill], or \
             `mesh backfill cutover {id} --force`"
        )))
    }

    /// For a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for project in &self.projects {
            // Writing to a string does not fail.
            let _ = writeln!(out, "{}\n\n{}", project.headline(), project.report.text());
            for gate in &project.gates {
                let verdict = if gate.passes { "passes" } else { "refuses" };
                let _ = writeln!(
                    out,
                    "gate {} {verdict}: {:.4}, at most {}",
                    gate.gate, gate.measured, gate.limit
                );
            }
        }
        out
    }

    /// As a page; of several projects one after another.
    #[must_use]
    pub fn html(&self) -> String {
        let page = |project: &ProjectDifference| {
            project.report.html(&format!("{}: {}", self.title, project.headline()))
        };
        self.projects.iter().map(page).collect::<Vec<_>>().join("\n")
    }
}

impl ProjectDifference {
    fn headline(&self) -> String {
        let before = match self.before {
            Some(version) => format!("version {version}"),
            None => "nothing".into(),
        };
        let inputs = match self.inputs_changed {
            0 => String::new(),
            some => format!(", {some} with another input"),
        };
        format!(
            "{}: {before} -> version {}, {} documents, {} rejected{inputs}",
            self.project, self.after, self.rows, self.rejected
        )
    }
}

fn of_project(
    archive: &OpenArchive,
    plan: &Plan,
    project: &ProjectPlan,
    limits: &BTreeMap<String, f64>,
    examples: usize,
    watch: Watch<'_>,
) -> Result<ProjectDifference, BackfillError> {
    let name = project.project.as_str();
    let after = open_compared(archive, plan, name, &plan.generation())?;
    let before = match &project.live {
        Some(live) => Some(open_compared(archive, plan, name, live)?),
        None => None,
    };
    let mut diff = Diff::new(project.task, DiffOptions { examples, ..DiffOptions::default() });
    let facts = FactColumns::of(archive, project)?;
    let files = archive.stamps();
    let spans = spans(archive, &files, plan, &after, watch)?;
    let mut inputs_changed = 0;
    let task = watch.progress.begin("compare", Some(plan.rows), Unit::Items);
    for span in spans {
        watch.cancel.check()?;
        let mut batches = Vec::new();
        archive.table.read(&facts.columns, &span, &mut |found| {
            batches.push(found.batch);
            Ok::<(), ArchiveError>(())
        })?;
        let mut seen = std::collections::HashSet::new();
        let mut rows = Vec::new();
        for (at, batch) in batches.iter().enumerate() {
            for row in 0..batch.num_rows() {
                let key = text_in(batch, &plan.key_column, row);
                rows.push((at, row, key.filter(|key| seen.insert(key.clone()))));
            }
        }
        let keys: StringArray = rows.iter().map(|(_, _, key)| key.as_deref()).collect();
        let new = after.find(&files, &span, &keys)?;
        let old = before.as_ref().map(|old| old.find(&files, &span, &keys)).transpose()?;
        for (at, (batch, row, key)) in rows.iter().enumerate() {
            let (Some(key), Some(batch)) = (key, batches.get(*batch)) else { continue };
            let told = facts.row(batch, *row);
            let facts = RowFacts {
                key,
                text: told.text.as_deref(),
                slices: &told.slices,
                truth: told.truth.as_deref(),
            };
            let now = answer(&new, &after, at);
            let before_input = old.as_ref().and_then(|found| input(found, at));
            if before_input.is_some_and(|old| input(&new, at).is_some_and(|new| new != old)) {
                inputs_changed += 1;
            }
            let then = old.as_ref().zip(before.as_ref()).and_then(|(f, g)| answer(f, g, at));
            match (then, now) {
                (Some(then), Some(now)) => diff.both(&facts, &then, &now),
                (None, Some(_)) => diff.gained(&facts),
                (Some(_), None) => diff.lost(&facts),
                (None, None) => {}
            }
        }
        task.advance(span.rows);
    }
    let rejected = after.own_parts().iter().map(|part| part.counts.rejected).sum();
    let report = diff.report();
    Ok(ProjectDifference {
        project: name.to_owned(),
        before: before.map(|before| before.manifest().version.get()),
        after: after.manifest().version.get(),
        rows: plan.rows,
        rejected,
        inputs_changed,
        gates: gates(limits, &report, rejected, plan.rows),
        report,
    })
}

/// A generation that is compared with another.
fn open_compared(
    archive: &OpenArchive,
    plan: &Plan,
    project: &str,
    generation: &str,
) -> Result<Generation, BackfillError> {
    let kept = archive.current()?.needs(project, generation);
    if !kept && Generation::open(archive.generation(project, generation))?.is_none() {
        let (what, help) = match generation == plan.generation() {
            true => ("what it left", format!("`{}` does it anew", plan.command())),
            false => (
                "what was live before it",
                "there is nothing left to compare it with: compare before collecting".to_owned(),
            ),
        };
        let action = format!("compare what the backfill tells by {project}");
        return Err(BackfillError::collected(action, what, &help));
    }
    open_live(archive, project, generation)
}

/// What is told of a backfill that is not done, with what to do about it.
pub(crate) fn not_done(action: String, record: &BackfillRecord, plan: &Plan) -> BackfillError {
    let what = format!("it is {}, not done", record.state);
    let help = match record.state {
        BackfillState::Cancelled => format!("`{}` begins anew", plan.command()),
        _ => format!("`mesh backfill resume {}` goes on with it", record.id),
    };
    BackfillError::usage(action, what, help)
}

/// Where the documents are that are compared: where they were when they were enriched, if their files
/// are what they were, else where they are now. What was followed since is the same before and after.
fn spans(
    archive: &OpenArchive,
    files: &[FileStamp],
    plan: &Plan,
    after: &Generation,
    watch: Watch<'_>,
) -> Result<Vec<Span>, BackfillError> {
    let begun = |name: &str| plan.files.iter().any(|file| file.name == name);
    let is_compared = |file: &&FileStamp| !is_arrival(&file.name) || begun(&file.name);
    // What a table in a database holds is told by ranges of keys, whatever came to it since.
    if archive.table.is_live() || files.iter().filter(is_compared).eq(&plan.files) {
        let parts = after.own_parts().iter();
        return Ok(parts.filter_map(|part| located(after, files, &part.span)).collect());
    }
    let keys = [plan.key_column.clone()];
    let marks = archive.table.scan_unordered(&keys, watch, "read the keys", &|_| Ok(()))?;
    let mut spans = marks.spans(plan.chunk_rows);
    spans.retain(|span| files.get(span.file).as_ref().is_some_and(is_compared));
    Ok(spans)
}

/// A span of a generation among the files of the archive as they are now: others may have come.
fn located(generation: &Generation, files: &[FileStamp], span: &Span) -> Option<Span> {
    let name = &generation.manifest().files.get(span.file)?.name;
    let file = files.iter().position(|file| file.name == *name)?;
    Some(Span { file, ..span.clone() })
}

/// The columns of the documents that a comparison looks at.
struct FactColumns {
    columns: Vec<String>,
    text: Option<String>,
    slices: Vec<(String, String)>,
    truth: Option<String>,
}

struct Told<'a> {
    text: Option<String>,
    slices: Vec<(&'a str, String)>,
    truth: Option<String>,
}

impl FactColumns {
    fn of(archive: &OpenArchive, project: &ProjectPlan) -> Result<Self, BackfillError> {
        let known = archive.columns()?;
        let about = &archive.manifest;
        let inputs = project.input.values().flat_map(mesh_core::manifest::InputColumn::names);
        let text = inputs.map(ToOwned::to_owned).find(|name| known.contains(name));
        let slices: Vec<(String, String)> = about
            .archive
            .slices
            .iter()
            .map(|(name, column)| (name.clone(), column.clone()))
            .collect();
        let truth = about.truth.get(project.project.as_str()).cloned();
        let mut columns = vec![about.archive.key.clone()];
        let more = text.iter().chain(slices.iter().map(|(_, column)| column)).chain(&truth);
        for column in more {
            if !columns.contains(column) {
                columns.push(column.clone());
            }
        }
        Ok(Self { columns, text, slices, truth })
    }

    fn row(&self, batch: &RecordBatch, row: usize) -> Told<'_> {
        let text = self.text.as_ref().and_then(|column| text_in(batch, column, row));
        let mut slices: Vec<(&str, String)> = self
            .slices
            .iter()
            .filter_map(|(name, column)| Some((name.as_str(), text_in(batch, column, row)?)))
            .collect();
        if let Some(text) = &text {
            let length = text.chars().take(2_000).count();
            let found = LENGTHS.iter().find(|(end, _)| length < *end);
            slices.push(("length", found.map_or("", |(_, name)| *name).to_owned()));
        }
        let truth = self.truth.as_ref().and_then(|column| text_in(batch, column, row));
        Told { text, slices, truth }
    }
}

/// The digest of what was asked of a document, if it was noted.
fn input(found: &Found, at: usize) -> Option<String> {
    let row = found.rows.get(at).copied().flatten()?;
    text_in(&found.batch, INPUT_DIGEST, row)
}

/// What a generation tells of a document, as the project answered it.
fn answer(found: &Found, generation: &Generation, at: usize) -> Option<Value> {
    let row = found.rows.get(at).copied().flatten()?;
    let columns = &generation.manifest().columns;
    let value = |column: &str| -> Option<Value> {
        serde_json::from_str(&json_in(&found.batch, column, row)?).ok()
    };
    if let [(field, column)] = columns.as_slice()
        && field == crate::columns::WHOLE
        && let Some(Value::String(text)) = value(column)
    {
        return serde_json::from_str(&text).ok();
    }
    let fields =
        columns.iter().map(|(field, column)| (field.clone(), value(column).unwrap_or(Value::Null)));
    Some(Value::Object(fields.collect::<Map<_, _>>()))
}

fn gates(
    limits: &BTreeMap<String, f64>,
    report: &DiffReport,
    rejected: u64,
    rows: u64,
) -> Vec<GateFinding> {
    #[expect(clippy::cast_precision_loss, reason = "shares of rows")]
    let share = |some: u64, all: u64| some as f64 / all.max(1) as f64;
    let finding = |(gate, limit): (&String, &f64)| {
        let before = report.compared + report.lost;
        let measured = match gate.as_str() {
            "rejected" => share(rejected, rows),
            "lost" => share(report.lost, before),
            "change" => report.change.value,
            _ => report.flips.map_or(0.0, |flips| flips.share),
        };
        GateFinding { gate: gate.clone(), measured, limit: *limit, passes: measured <= *limit }
    };
    limits.iter().map(finding).collect()
}
