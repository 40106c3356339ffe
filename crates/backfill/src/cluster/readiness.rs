//! Whether a cluster is there, and what it lacks.

use std::{
    thread,
    time::{Duration, Instant},
};

use mesh_core::Cancel;
use tokio::runtime::Handle;

use super::BEAT;
use crate::{BackfillError, BackfillErrorKind};

/// What tells whether a scheduler has an executor.
#[derive(Debug)]
pub(super) struct Readiness {
    pub(super) client: reqwest::Client,
    /// The address that tells.
    pub(super) ready: String,
    /// The scheduler.
    pub(super) url: String,
    pub(super) runtime: Handle,
}

/// Whether it was said that a cluster does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    Told,
    Untold,
}

/// How long nothing is done before it is looked why, and from one look to the next.
pub(super) const QUIET: Duration = Duration::from_secs(5);

/// What a cluster lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    Executors,
    Scheduler,
}

impl Lack {
    const fn told(self) -> &'static str {
        match self {
            Self::Executors => "its scheduler has no executors",
            Self::Scheduler => "no scheduler answers there",
        }
    }
}

impl Readiness {
    /// What the cluster lacks now, if anything.
    pub(super) fn lack(&self) -> Option<Lack> {
        let asked = async { self.client.get(&self.ready).send().await };
        match self.runtime.block_on(asked) {
            Ok(response) if response.status().is_success() => None,
            Ok(_) => Some(Lack::Executors),
            Err(_) => Some(Lack::Scheduler),
        }
    }

    /// Says that the cluster has done nothing for some time, and what it lacks.
    pub(super) fn warn(&self, lack: Lack, idle: Duration, patience: Duration) {
        let (url, why) = (&self.url, lack.told());
        let (idle, patience) = (idle.as_secs(), patience.as_secs());
        let start = match lack {
            Lack::Executors => format!("`mesh cluster executor --scheduler {url}` starts one"),
            Lack::Scheduler => "`mesh cluster scheduler` starts one".to_owned(),
        };
        tracing::warn!(
            "{url} has done nothing for {idle} s, as {why}: it is waited for, {patience} s in all. \
             {start}"
        );
    }

    /// Waits until the scheduler has an executor: so long for an executor, and so long for the
    /// scheduler itself.
    pub(super) fn wait(
        &self,
        (executors, scheduler): (Duration, Duration),
        stop: &Cancel,
    ) -> Result<(), BackfillError> {
        let (started, mut silence) = (Instant::now(), Silence::Untold);
        while let Some(lack) = self.lack() {
            let patience = if lack == Lack::Executors { executors } else { scheduler };
            if started.elapsed() >= patience {
                return Err(away(&self.url, lack.told()));
            }
            if started.elapsed() >= QUIET && silence == Silence::Untold {
                silence = Silence::Told;
                self.warn(lack, started.elapsed(), patience);
            }
            stop.check()?;
            thread::sleep(BEAT);
        }
        Ok(())
    }
}

pub(super) fn away(url: &str, why: &str) -> BackfillError {
    BackfillError::new(format!("reach {url}"), BackfillErrorKind::Cluster(why.to_owned())).help(
        "see that `mesh cluster scheduler` and `mesh cluster executor` run, then resume: what is \
         done stays done",
    )
}
