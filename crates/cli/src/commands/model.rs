use std::process::ExitCode;

use mesh_core::{Alias, ModelVersion};
use mesh_pipeline::{ProjectFolder, Workspace, code_version, served};
use mesh_store::{AliasMove, VersionRecord};
use serde_json::{Value, json};

use super::run::{find, headline};
use crate::{args::Model, context::Context, output, report::CliError};

pub(crate) async fn model(context: &Context, command: Model) -> Result<ExitCode, CliError> {
    let workspace = context.workspace().await?;
    let (Model::List { project }
    | Model::Show { project, .. }
    | Model::Promote { project, .. }
    | Model::Rollback { project, .. }) = &command;
    if let Some(version) = code_version(find(&workspace, project)?) {
        let action = format!("find a model of {project}: its task has none");
        let help = format!("it answers as version {version}, that of its API");
        return Err(CliError::usage(action, help));
    }
    match command {
        Model::List { project } => list(context, &workspace, find(&workspace, &project)?).await?,
        Model::Show { project, version } => {
            show(context, &workspace, find(&workspace, &project)?, version).await?;
        }
        Model::Promote { project, version, alias } => {
            let name = find(&workspace, &project)?.name();
            let versions = workspace.registry().versions(name).await?;
            let bare =
                |record: &&VersionRecord| record.version == version && record.compiled.is_empty();
            if versions.iter().find(bare).is_some() {
                let action =
                    format!("promote version {version} of {name}: it has no compiled model");
                return Err(CliError::usage(action, format!("`mesh run {name}` compiles it")));
            }
            let moved = workspace.registry().set_alias(name, &alias, version).await?;
            tell(context, &project, &alias, moved);
        }
        Model::Rollback { project, alias } => {
            let name = find(&workspace, &project)?.name();
            let moved = workspace.registry().roll_back_alias(name, &alias).await?;
            tell(context, &project, &alias, moved);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(context: &Context, project: &str, alias: &Alias, moved: AliasMove) {
    if context.global.json {
        output::json(&json!({ "project": project, "alias": alias, "moved": moved }));
        return;
    }
    output::line(match moved.from {
        Some(from) if from == moved.to => format!("{project}: {alias} is version {from} already"),
        Some(from) => format!("{project}: {alias} was version {from}, is version {} now", moved.to),
        None => format!("{project}: {alias} is version {} now", moved.to),
    });
}

async fn list(
    context: &Context,
    workspace: &Workspace,
    project: &ProjectFolder,
) -> Result<(), CliError> {
    let versions = workspace.registry().versions(project.name()).await?;
    if context.global.json {
        output::json(&versions);
        return Ok(());
    }
    if versions.is_empty() {
        output::line(format!("no version yet: `mesh run {}` makes one", project.name()));
        return Ok(());
    }
    let mut table = output::table(&["version", "aliases", "headline", "model", "compiled for"]);
    for version in versions {
        let aliases: Vec<_> = version.aliases.iter().map(Alias::as_str).collect();
        let targets: Vec<_> = version.compiled.iter().map(|c| c.target.as_str()).collect();
        table.add_row([
            version.version.to_string(),
            aliases.join(", "),
            headline(&version.summary).unwrap_or_default(),
            version.model.short(),
            targets.join(", "),
        ]);
    }
    output::line(table.to_string());
    Ok(())
}

async fn show(
    context: &Context,
    workspace: &Workspace,
    project: &ProjectFolder,
    version: Option<ModelVersion>,
) -> Result<(), CliError> {
    let name = project.name();
    let registry = workspace.registry();
    let wanted = match version {
        Some(version) => Some(version),
        None => registry.alias(name, &Alias::production()).await?,
    };
    let versions = registry.versions(name).await?;
    let Some(record) = versions.into_iter().find(|record| Some(record.version) == wanted) else {
        let help = format!("`mesh model list {name}` lists the versions");
        let version =
            wanted.map_or_else(|| "a version in production".into(), |v| format!("version {v}"));
        return Err(CliError::usage(format!("find {version} of {name}"), help));
    };
    let served = served(&record);
    // A model that came pre-trained has its card beside what was compiled from it.
    let model =
        match (workspace.store().get(record.model).await, served.or(record.compiled.first())) {
            (Err(_), Some(compiled)) => workspace.store().get(compiled.digest).await?,
            (model, _) => model?,
        };
    if context.global.json {
        let card: Value = serde_json::from_str(&model.read("card.json")?).unwrap_or_default();
        output::json(&json!({ "version": record, "card": card }));
        return Ok(());
    }
    output::line(model.read("card.md")?);
    if record.compiled.is_empty() {
        return Ok(());
    }
    let header = ["compiled for", "model", "agreement", "least cosine", "speedup", "served here"];
    let mut table = output::table(&header);
    for compiled in &record.compiled {
        let figure = |path: &str, digits: usize| {
            let value = compiled.report.pointer(path).and_then(Value::as_f64);
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let here = served.is_some_and(|served| served.target == compiled.target);
        table.add_row([
            compiled.target.clone(),
            compiled.digest.short(),
            figure("/fidelity/agreement", 4),
            figure("/fidelity/cosine_min", 6),
            figure("/speed/speedup", 1),
            if here { "yes".into() } else { String::new() },
        ]);
    }
    output::line(table.to_string());
    Ok(())
}
