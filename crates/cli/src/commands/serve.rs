use std::{process::ExitCode, sync::Arc};

use mesh_pipeline::{ProjectFolder, Workspace};

use crate::{
    args::{Listen, Serve},
    context::Context,
    live::Live,
    report::{self, CliError},
};

pub(crate) async fn serve(context: &Context, options: &Serve) -> Result<ExitCode, CliError> {
    let workspace = Arc::new(context.workspace().await?);
    let mut projects = Vec::new();
    for name in &options.projects {
        projects.push(super::run::find(&workspace, name)?);
    }
    if projects.is_empty() {
        projects = served(&workspace);
    }
    listen(context, &workspace, &projects, &options.listen).await
}

/// The projects that say they are served.
pub(crate) fn served(workspace: &Workspace) -> Vec<&ProjectFolder> {
    workspace.projects().iter().filter(|project| project.manifest().serve.is_some()).collect()
}

/// Takes as many open files as the system lets us have: each open page and each client is one, and
/// what a shell gives (1,024) is soon used up.
#[cfg(unix)]
fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays");
    }
}

#[cfg(not(unix))]
fn raise_open_files() {}

/// Serves projects until the program is asked to stop.
pub(crate) async fn listen(
    context: &Context,
    workspace: &Arc<Workspace>,
    projects: &[&ProjectFolder],
    listen: &Listen,
) -> Result<ExitCode, CliError> {
    if projects.is_empty() {
        let help = "a project is served when its project.toml has a [serve] table; `mesh new \
                    project --help` makes a project";
        return Err(CliError::usage("serve: there is nothing to serve", help));
    }
    let http = &workspace.manifest().http;
    let host = listen.host.as_deref().unwrap_or(&http.host);
    let port = listen.port.unwrap_or(http.port);
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    raise_open_files();
    let live = Live::start(context, workspace, projects).await?;
    let drained = live.serve(&format!("{host}:{port}")).await?;
    Ok(ExitCode::from(if drained { 0 } else { report::FAILED }))
}
