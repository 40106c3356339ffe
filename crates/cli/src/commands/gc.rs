use std::{collections::BTreeSet, process::ExitCode};

use mesh_backfill::Plan;
use mesh_core::{Digest, ProjectName};
use mesh_pipeline::assess;
use mesh_store::{collect, plan_gc};

use crate::{context::Context, output, report::CliError};

pub(crate) async fn gc(context: &Context, yes: bool) -> Result<ExitCode, CliError> {
    let workspace = context.workspace().await?;
    if !workspace.broken().is_empty() {
        super::run::report_broken(&workspace);
        let help = "mend the manifests above: what their projects need cannot be known";
        return Err(CliError::usage("collect garbage", help));
    }
    let alone = workspace.store().locks().collect()?;
    let mut fresh = BTreeSet::new();
    let mut names: Vec<ProjectName> = workspace.registry().projects().await?;
    for project in workspace.projects() {
        let statuses = assess(&workspace, project).await?;
        fresh.extend(statuses.iter().filter_map(|status| status.freshness.output()));
        names.push(project.name().clone());
    }
    // What a backfill that was begun answers with is needed until its end.
    for record in workspace.registry().backfills().await? {
        if record.state.is_unfinished()
            && let Ok(plan) = serde_json::from_value::<Plan>(record.plan)
        {
            fresh.extend(
                plan.projects.iter().filter_map(|project| project.digest.parse::<Digest>().ok()),
            );
        }
    }
    names.sort();
    names.dedup();
    let plan = plan_gc(workspace.store(), workspace.registry(), &names, &fresh).await?;
    if yes {
        collect(workspace.store(), workspace.registry(), &plan, &alone).await?;
    }
    if context.global.json {
        output::json(&serde_json::json!({ "removed": yes, "plan": plan }));
        return Ok(ExitCode::SUCCESS);
    }
    for garbage in &plan.artifacts {
        output::line(format!("{}  {:>10}", garbage.digest.short(), output::bytes(garbage.size)));
    }
    for leftover in &plan.leftovers {
        output::line(format!("left by a run that was killed: {}", leftover.display()));
    }
    let (count, bytes) = (plan.artifacts.len() + plan.leftovers.len(), output::bytes(plan.bytes));
    output::line(match (count, yes) {
        (0, _) => format!("nothing to remove, {} artifacts are needed", plan.kept),
        (_, true) => format!("removed {count}, {bytes}; {} artifacts are needed", plan.kept),
        (_, false) => format!("{count} to remove, {bytes}: `mesh gc --yes` does it"),
    });
    Ok(ExitCode::SUCCESS)
}
