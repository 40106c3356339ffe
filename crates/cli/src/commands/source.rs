use std::process::ExitCode;

use mesh_core::digest_file;
use mesh_source::{Request, SourceUrl};
use serde_json::json;

use crate::{args::Source, context::Context, output, report::CliError};

pub(crate) async fn source(context: &Context, command: Source) -> Result<ExitCode, CliError> {
    match command {
        Source::Pin { file } => {
            let (digest, size) =
                digest_file(&file).map_err(|error| CliError::io("read", file.display(), error))?;
            if context.global.json {
                output::json(&json!({ "sha256": digest, "size": size }));
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
