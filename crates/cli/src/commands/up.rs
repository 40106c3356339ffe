use std::{process::ExitCode, sync::Arc};

use super::{run, serve};
use crate::{
    args::Up,
    context::Context,
    report::{self, CliError},
};

pub(crate) async fn up(context: &Context, options: &Up) -> Result<ExitCode, CliError> {
    let workspace = Arc::new(context.workspace().await?);
    run::report_broken(&workspace);
    if !options.no_run {
        let run = context.run_options(options.threads);
        for project in workspace.projects() {
            // One project that fails does not keep the others from being served.
            if let Err(error) = run::run_project(context, &workspace, project, &run).await {
                if context.cancel.is_cancelled() {
                    return Err(error);
                }
                report::print(&error);
            }
        }
    }
    serve::listen(context, &workspace, &serve::served(&workspace), &options.listen).await
}
