use std::{process::ExitCode, sync::Arc};

use mesh_backfill::ArchiveFile;
use mesh_core::{
    Alias, Cancel, NoProgress, Registration, did_you_mean,
    manifest::{ManifestError, ProjectManifest, ShowTable},
};
use mesh_pipeline::{PipelineError, ProjectFolder, Workspace, deployed};
use mesh_prepare::Prepare;
use mesh_source::{Origin, Request, SourceUrl};
use serde_json::json;

use crate::{
    context::Context,
    output,
    report::{self, CliError},
};

pub(crate) async fn check(context: &Context) -> Result<ExitCode, CliError> {
    let workspace = context.workspace().await?;
    let mut code = super::run::report_broken(&workspace);
    let mut results: Vec<_> = workspace
        .broken()
        .iter()
        .map(|(path, error)| json!({ "path": path, "ok": false, "error": report::describe(error) }))
        .collect();
    for project in workspace.projects() {
        match check_project(context, &workspace, project).await {
            Ok(found) => {
                results.push(json!({ "project": project.name(), "ok": true, "model": found }));
                if !context.global.json {
                    output::line(format!("{:<20} ok, {found}", project.name()));
                }
            }
            Err(error) => {
                code = code.max(report::FAILED);
                report::print(&error);
                let error = report::describe(&error);
                results.push(json!({ "project": project.name(), "ok": false, "error": error }));
            }
        }
    }
    for archive in ArchiveFile::all(workspace.root())? {
        match archive {
            Ok(archive) => {
                results.push(json!({ "archive": archive.name(), "ok": true }));
                if !context.global.json {
                    output::line(format!("{:<20} ok, an archive", archive.name()));
                }
            }
            Err(error) => {
                code = code.max(report::FAILED);
                report::print(&error);
                results.push(json!({ "ok": false, "error": report::describe(&error) }));
            }
        }
    }
    if context.global.json {
        output::json(&results);
    }
    Ok(ExitCode::from(code))
}

/// Checks that the panels which a manifest names are there.
fn check_panels(registration: &Registration, project: &ProjectFolder) -> Result<(), CliError> {
    let known: Vec<&str> = ShowTable::PANELS.iter().chain(registration.panels()).copied().collect();
    let named = project.manifest().show.iter().flat_map(|show| &show.panels);
    for panel in named {
        if !known.contains(&panel.as_str()) {
            let file = project.folder().join(ProjectManifest::FILE);
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let hint = did_you_mean(panel, known.iter().copied());
            let (message, help) = (
                format!("there is no panel `{panel}`"),
                format!("{hint}Known are: {}", known.join(", ")),
            );
            let file = file.display().to_string();
            return Err(ManifestError::conflict(&file, &text, "show.panels", message, help).into());
        }
    }
    Ok(())
}

/// Checks that a project's source can be understood, has the columns that are named if it is on this
/// machine, and its model answers; says what answers.
async fn check_project(
    context: &Context,
    workspace: &Workspace,
    project: &ProjectFolder,
) -> Result<String, CliError> {
    let registration: &Registration = context.projects.registration(project.manifest())?;
    check_panels(registration, project)?;
    if let Some(source) = &project.manifest().source {
        let url: SourceUrl = source.url.parse()?;
        let fetcher = workspace.fetcher(project);
        fetcher.digest(&url, source.sha256)?;
        if let (Origin::File(_), Some(prepare)) = (url.origin(), Prepare::new(project.manifest())) {
            let (progress, cancel) = (Arc::new(NoProgress), Cancel::new());
            let request = Request { url, sha256: source.sha256, progress, cancel };
            prepare.check_columns(&fetcher.fetch(&request).await?.files)?;
        }
    }
    match deployed(workspace, project, &Alias::production(), None).await {
        Ok(deployed) => {
            registration.load(&deployed.files)?;
            Ok(format!("version {} answers", deployed.version))
        }
        Err(PipelineError::NoModel { reason, .. }) => Ok(reason),
        Err(error) => Err(error.into()),
    }
}
