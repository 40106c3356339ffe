use std::{path::Path, process::ExitCode};

use mesh_core::{Digest, digest_file};
use mesh_source::{Fetcher, Request, SourceUrl};
use serde_json::json;

use crate::{args::Source, context::Context, output, report::CliError};

pub(crate) async fn source(context: &Context, command: Source) -> Result<ExitCode, CliError> {
    match command {
        Source::Pin { source } => {
            let digest = pin(context, &source).await?;
            if context.global.json {
                output::json(&json!({ "sha256": digest }));
            } else {
                output::line(format!("sha256 = \"{digest}\""));
            }
        }
        Source::Fetch { project } => {
            let workspace = context.workspace().await?;
            let project = super::run::find(&workspace, &project)?;
            let Some(source) = &project.manifest().source else {
                let action = format!("fetch the source of {}: it has none", project.name());
                return Err(CliError::usage(action, "add a [source] table to its project.toml"));
            };
            let url: SourceUrl = source.url.parse()?;
            let request = Request {
                url,
                sha256: source.sha256,
                progress: context.bars.clone(),
                cancel: context.cancel.clone(),
            };
            let fetched = workspace.fetcher(project).fetch(&request).await?;
            if context.global.json {
                let files: Vec<_> = fetched.files.iter().map(|(name, _)| name).collect();
                output::json(&json!({ "digest": fetched.digest, "files": files }));
            } else {
                for (_, path) in &fetched.files {
                    output::line(path.display().to_string());
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The digest of a file, or of what a URL names; what is fetched for it is kept in the workspace,
/// if there is one.
async fn pin(context: &Context, source: &str) -> Result<Digest, CliError> {
    let file = Path::new(source);
    if !source.contains("://") && !source.starts_with("file:") {
        let (digest, _) =
            digest_file(file).map_err(|error| CliError::io("read", file.display(), error))?;
        return Ok(digest);
    }
    let request = Request {
        url: source.parse()?,
        sha256: None,
        progress: context.bars.clone(),
        cancel: context.cancel.clone(),
    };
    let here = Path::new(".");
    match context.root() {
        Ok(root) => Ok(Fetcher::new(&root.join(".mesh/sources"), here).pin(&request).await?),
        Err(_) => {
            let folder = tempfile::tempdir()
                .map_err(|error| CliError::io("make a folder in", "the temporary folder", error))?;
            Ok(Fetcher::new(folder.path(), here).pin(&request).await?)
        }
    }
}
