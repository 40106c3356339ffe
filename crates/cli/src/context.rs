//! What every command is given.

use std::{env, path::PathBuf, sync::Arc, thread};

use mesh_core::{Cancel, Registration, manifest::WorkspaceManifest};
use mesh_pipeline::{PipelineError, RunOptions, Workspace};

use crate::{args::Global, progress::Bars, projects::Projects, report::CliError};

/// The options that every command has, and what all commands share.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) projects: Arc<Projects>,
    pub(crate) bars: Arc<Bars>,
    pub(crate) cancel: Cancel,
}

impl Context {
    pub(crate) fn new(global: Global, own: Vec<Registration>) -> Self {
        let bars = Arc::new(Bars::new(global.quiet || global.json));
        Self { projects: Arc::new(Projects::new(own)), bars, cancel: Cancel::new(), global }
    }

    /// Asks the work to stop at the first Ctrl-C or SIGTERM; a second one ends the program at
    /// once, which is safe too: nothing half-written is ever read.
    pub(crate) fn watch_interrupts(&self) {
        let cancel = self.cancel.clone();
        tokio::spawn(async move {
            interrupted().await;
            cancel.cancel();
            interrupted().await;
            #[expect(clippy::disallowed_methods, reason = "asked twice to end")]
            std::process::exit(i32::from(crate::report::INTERRUPTED));
        });
    }

    /// Waits until the work is asked to stop.
    pub(crate) async fn stopped(&self) {
        while !self.cancel.is_cancelled() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn workspace(&self) -> Result<Workspace, CliError> {
        Ok(Workspace::open(&self.root()?).await?)
    }

    pub(crate) fn root(&self) -> Result<PathBuf, CliError> {
        if let Some(folder) = &self.global.workspace {
            return Ok(folder.clone());
        }
        let here =
            env::current_dir().map_err(|error| CliError::io("find", "this folder", error))?;
        let root = WorkspaceManifest::find_root(&here).map(ToOwned::to_owned);
        root.ok_or_else(|| PipelineError::NoWorkspace(here).into())
    }

    pub(crate) fn run_options(&self, threads: Option<usize>) -> RunOptions {
        let cores = || thread::available_parallelism().map_or(1, std::num::NonZero::get);
        RunOptions {
            until: None,
            force: false,
            threads: threads.filter(|threads| *threads > 0).unwrap_or_else(cores),
            progress: self.bars.clone(),
            cancel: self.cancel.clone(),
        }
    }
}

#[cfg(unix)]
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn interrupted() {
    let _ = tokio::signal::ctrl_c().await;
}
