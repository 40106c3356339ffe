//! `mesh show`

use std::{fs, process::ExitCode, sync::Arc};

use mesh_show::Show;
use serde_json::json;

use crate::{args::ShowPage, context::Context, live, output, report::CliError};

pub(crate) async fn page(context: &Context, command: ShowPage) -> Result<ExitCode, CliError> {
    let ShowPage::Export { project, version, out } = command;
    let workspace = Arc::new(context.workspace().await?);
    super::run::find(&workspace, project.as_str())?;
    let shown = live::shown(context, &workspace, &[])?;
    let exported = Show::new(workspace, shown, None).export(&project, version).await?;
    let file = out.unwrap_or_else(|| format!("{project}-v{}.html", exported.version).into());
    fs::write(&file, &exported.html)
        .map_err(|error| CliError::io("write", file.display(), error))?;
    let (version, bytes) = (exported.version, exported.html.len());
    match context.global.json {
        true => output::json(&json!({ "project": project, "version": version, "file": file,
            "bytes": bytes })),
        false => output::line(format!(
            "wrote the page of {project} version {version} to {}, {} kB",
            file.display(),
            bytes.div_ceil(1000)
        )),
    }
    Ok(ExitCode::SUCCESS)
}
