use std::process::ExitCode;

use mesh_core::{Alias, StepName};
use mesh_pipeline::{UnitStatus, assess, code_version};
use serde_json::json;

use super::run::{headline, reason};
use crate::{context::Context, output, report::CliError};

pub(crate) async fn status(context: &Context) -> Result<ExitCode, CliError> {
    let workspace = context.workspace().await?;
    let mut header = vec!["project"];
    header.extend(StepName::ALL.map(StepName::as_str));
    header.extend(["version", "headline"]);
    let mut table = output::table(&header);
    let mut projects = Vec::new();
    let (mut notes, mut candidates) = (Vec::new(), Vec::new());
    for project in workspace.projects() {
        let statuses = assess(&workspace, project).await?;
        let versions = workspace.registry().versions(project.name()).await?;
        let pointed =
            |alias: &Alias| versions.iter().find(|version| version.aliases.contains(alias));
        let production = pointed(&Alias::production());
        let newer = pointed(&Alias::candidate())
            .filter(|candidate| production.is_none_or(|p| candidate.version > p.version));
        let metric = production.and_then(|version| headline(&version.summary));
        let mut row = vec![project.name().to_string()];
        row.extend(StepName::ALL.map(|step| cell(&statuses, step)));
        let answers = production.map(|version| version.version).or_else(|| code_version(project));
        row.push(answers.map_or("-".into(), |version| version.to_string()));
        row.push(metric.clone().unwrap_or("-".into()));
        table.add_row(row);
        if let Some(newer) = newer {
            let (name, version) = (project.name(), newer.version);
            candidates.push(format!(
                "{name} has a candidate, version {version}: `mesh model promote {name} {version}`"
            ));
        }
        for status in statuses.iter().filter(|status| status.freshness.output().is_none()) {
            notes.push(format!("{}:{} {}", project.name(), status.step, reason(status)));
        }
        projects.push(json!({
            "project": project.name(),
            "task": project.manifest().project.task,
            "steps": statuses,
            "production": answers,
            "candidate": newer.map(|version| version.version),
            "metrics": production.and_then(|version| version.summary.get("metrics").cloned()),
        }));
    }
    if context.global.json {
        let broken: Vec<_> = workspace
            .broken()
            .iter()
            .map(|(path, error)| json!({ "path": path, "error": crate::report::describe(error) }))
            .collect();
        output::json(&json!({ "projects": projects, "broken": broken }));
        return Ok(ExitCode::SUCCESS);
    }
    if projects.is_empty() {
        output::line("no projects yet: `mesh new project --help` tells how to make one");
    } else {
        output::line(table.to_string());
    }
    for note in notes.into_iter().chain(candidates) {
        output::line(note);
    }
    Ok(ExitCode::from(super::run::report_broken(&workspace)))
}

/// How a step stands, over all its units: the worst of them.
fn cell(statuses: &[UnitStatus], step: StepName) -> String {
    let rank = |word: &str| ["fresh", "absent", "stale", "failed"].iter().position(|w| *w == word);
    let words = statuses.iter().filter(|status| status.step == step);
    let worst = words.map(|status| status.freshness.word()).max_by_key(|word| rank(word));
    worst.unwrap_or("-").to_owned()
}
