use std::process::ExitCode;

use mesh_core::StepName;
use mesh_pipeline::{
    PipelineError, ProjectFolder, RunEvent, RunOptions, UnitOutcome, UnitStatus, Workspace, assess,
};
use serde_json::{Value, json};

use crate::{
    args::Run,
    context::Context,
    output,
    report::{self, CliError},
};

pub(crate) async fn run(context: &Context, options: &Run) -> Result<ExitCode, CliError> {
    let workspace = context.workspace().await?;
    let targets = targets(&workspace, options)?;
    if options.explain {
        return explain(context, &workspace, &targets, options.force).await;
    }
    let mut results = Vec::new();
    let mut worst = 0;
    for (project, until) in targets {
        let run =
            RunOptions { until, force: options.force, ..context.run_options(options.threads) };
        match run_project(context, &workspace, project, &run).await {
            Ok(outcomes) => results.push(json!({ "project": project.name(), "steps": outcomes })),
            // With all projects asked for, one that fails does not stop the others.
            Err(error) if options.all && !context.cancel.is_cancelled() => {
                report::print(&error);
                worst = worst.max(error.exit_code());
                let error = report::describe(&error);
                results.push(json!({ "project": project.name(), "error": error }));
            }
            Err(error) => return Err(error),
        }
    }
    if options.all {
        worst = worst.max(report_broken(&workspace));
    }
    if context.global.json {
        output::json(&results);
    }
    Ok(ExitCode::from(worst))
}

/// What is told of a project whose manifest has no tables of steps.
const NO_STEPS: &str = "has no steps to run";

/// Runs what is not fresh of one project, and tells of each step.
pub(crate) async fn run_project(
    context: &Context,
    workspace: &Workspace,
    project: &ProjectFolder,
    options: &RunOptions,
) -> Result<Vec<UnitOutcome>, CliError> {
    let name = project.name();
    let tell = |text: String| {
        if !context.global.json {
            context.bars.line(&text);
        }
    };
    let on_event = |event: RunEvent<'_>| match event {
        RunEvent::Waiting { step } => {
            tell(format!("{name:<20} {step:<8} another mesh runs it, waiting"));
        }
        RunEvent::Started { status } => {
            let why = reason(status);
            tell(format!("{name:<20} {:<8} {why}", status.step));
        }
        RunEvent::Refused(error) => report::print(error),
        RunEvent::Done(outcome) => {
            tell(format!("{name:<20} {:<8} {}", outcome.step, done(project, outcome)));
        }
        _ => {}
    };
    let outcomes = mesh_pipeline::run(workspace, project, options, &on_event).await?;
    if outcomes.is_empty() {
        tell(format!("{name:<20} {NO_STEPS}"));
    }
    Ok(outcomes)
}

/// Tells of projects whose manifests cannot be used; gives the exit code for them.
pub(crate) fn report_broken(workspace: &Workspace) -> u8 {
    for (_, error) in workspace.broken() {
        report::print(error);
    }
    if workspace.broken().is_empty() { 0 } else { report::FAILED }
}

type Target<'a> = (&'a ProjectFolder, Option<StepName>);

fn targets<'a>(workspace: &'a Workspace, options: &Run) -> Result<Vec<Target<'a>>, CliError> {
    if options.all {
        return Ok(workspace.projects().iter().map(|project| (project, None)).collect());
    }
    let mut targets = Vec::new();
    for text in &options.projects {
        let (name, step) = match text.split_once(':') {
            Some((name, step)) => (name, Some(step)),
            None => (text.as_str(), None),
        };
        let step = step
            .map(str::parse)
            .transpose()
            .map_err(|error: String| CliError::usage(format!("run `{text}`"), error))?;
        targets.push((find(workspace, name)?, step));
    }
    Ok(targets)
}

/// A project by its name; one whose manifest cannot be used tells why.
pub(crate) fn find<'a>(
    workspace: &'a Workspace,
    name: &str,
) -> Result<&'a ProjectFolder, CliError> {
    let found = workspace.project(name);
    if let Err(PipelineError::NoProject { .. }) = &found
        && let Some((path, error)) = workspace.broken().iter().find(|(path, _)| {
            path.parent().and_then(|folder| folder.file_name()).is_some_and(|folder| folder == name)
        })
    {
        report::print(error);
        let place = path.strip_prefix(workspace.root()).unwrap_or(path).display().to_string();
        let help = format!("mend {place}, then run again");
        return Err(CliError::usage(
            format!("use the project `{name}`: its manifest cannot be read"),
            help,
        ));
    }
    Ok(found?)
}

async fn explain(
    context: &Context,
    workspace: &Workspace,
    targets: &[Target<'_>],
    force: bool,
) -> Result<ExitCode, CliError> {
    let mut told = Vec::new();
    for (project, until) in targets {
        let mut before: Option<StepName> = None;
        let statuses = assess(workspace, project).await?;
        if statuses.is_empty() && !context.global.json {
            output::line(format!("{:<20} {NO_STEPS}", project.name()));
        }
        for status in statuses {
            if until.is_some_and(|until| status.step > until) {
                break;
            }
            let forced = force && until.is_none_or(|until| until == status.step);
            let fresh = status.freshness.output().is_some();
            let runs = !fresh || forced;
            let why = match (fresh, forced, before) {
                (true, true, _) => "forced".into(),
                (true, false, Some(before)) => {
                    format!("fresh, unless {before} leaves something new")
                }
                (true, false, None) => "fresh".into(),
                (false, ..) => reason(&status),
            };
            if runs && before.is_none() {
                before = Some(status.step);
            }
            if context.global.json {
                told.push(
                    json!({ "project": project.name(), "step": status.step, "unit": status.unit,
                    "runs": runs, "why": why, "state": status.freshness }),
                );
            } else {
                let mark = if runs { "run" } else { "skip" };
                output::line(format!("{:<20} {:<8} {mark:<5} {why}", project.name(), status.step));
            }
        }
    }
    if context.global.json {
        output::json(&told);
    }
    Ok(ExitCode::SUCCESS)
}

/// Why a step is not fresh.
pub(crate) fn reason(status: &UnitStatus) -> String {
    use mesh_pipeline::Freshness;
    match &status.freshness {
        Freshness::Fresh { .. } => "forced".into(),
        Freshness::Stale { why } if why.is_empty() => "stale".into(),
        Freshness::Stale { why } => format!("stale: {}", why.join("; ")),
        Freshness::Absent => "never ran".into(),
        Freshness::Failed { error } => format!("failed last time: {error}"),
        _ => status.freshness.word().into(),
    }
}

fn done(project: &ProjectFolder, outcome: &UnitOutcome) -> String {
    let mut text = match outcome.ran {
        true => format!("done in {:.1} s, {}", outcome.seconds, outcome.output.short()),
        false => format!("fresh, {}", outcome.output.short()),
    };
    // The step that makes versions: compile where a model came pre-trained.
    let trained = project.manifest().train.is_some();
    let maker = if trained { StepName::Train } else { StepName::Compile };
    if let (true, Some((version, new))) = (outcome.step == maker, outcome.version) {
        let new = if new { "new " } else { "" };
        text.push_str(&format!(", {new}version {version}"));
    }
    if let Some(facts) = facts(outcome.step, &outcome.summary, &outcome.report) {
        text.push_str(&format!(" ({facts})"));
    }
    text
}

/// The facts of a step that people want to see at once.
fn facts(step: StepName, summary: &Value, report: &Value) -> Option<String> {
    match step {
        StepName::Prepare => {
            let rows = summary.get("rows")?.as_object()?;
            let rows: Vec<_> =
                rows.iter().map(|(split, count)| format!("{split} {count}")).collect();
            let count = |key: &str| summary.get(key).and_then(Value::as_u64).unwrap_or(0);
            let rejected = summary.get("rejected").and_then(Value::as_object);
            let rejected = rejected.into_iter().flat_map(|reasons| reasons.values());
            let near = summary.pointer("/near_duplicates/dropped").and_then(Value::as_u64);
            let missing = [
                (rejected.filter_map(Value::as_u64).sum(), "rejected"),
                (count("left_out"), "left out"),
                (count("duplicates"), "copies dropped"),
                (near.unwrap_or(0), "near-copies dropped"),
            ];
            let missing = missing.iter().filter(|(count, _)| *count > 0);
            let missing: String =
                missing.map(|(count, what)| format!(", {count} {what}")).collect();
            Some(format!("rows: {}{missing}", rows.join(", ")))
        }
        StepName::Train => headline(summary),
        StepName::Compile => {
            let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_f64);
            let agreement = number(summary, "agreement")?;
            let target = summary.get("target").and_then(Value::as_str).unwrap_or_default();
            let cosine = number(summary, "cosine_min");
            let cosine = cosine.map(|least| format!(", cosine at least {least:.5}"));
            let speedup = number(report, "speedup");
            let speedup = speedup.map(|times| format!(", {times:.1} times as fast"));
            let more = [cosine, speedup].into_iter().flatten().collect::<String>();
            Some(format!("{target}: agreement {agreement:.4}{more}"))
        }
        _ => None,
    }
}

/// The headline metric of a model: `macro_f1 0.975 [0.961, 0.987]`.
pub(crate) fn headline(summary: &Value) -> Option<String> {
    let metrics = summary.get("metrics")?.as_object()?;
    let first = ["macro_f1", "f1", "r2"].iter().find_map(|name| metrics.get_key_value(*name));
    let (name, metric) = first.or_else(|| metrics.iter().next())?;
    let number = |key: &str| metric.get(key).and_then(Value::as_f64);
    let value = number("value").or_else(|| metric.as_f64())?;
    Some(match (number("low"), number("high")) {
        (Some(low), Some(high)) => format!("{name} {value:.3} [{low:.3}, {high:.3}]"),
        _ => format!("{name} {value:.3}"),
    })
}
