use std::{error::Error as StdError, io};

use miette::Diagnostic;
use thiserror::Error;

/// Why a part of a cluster cannot be started, or ends.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum ClusterError {
    /// It cannot be started.
    #[error("failed to start {what}")]
    Start {
        /// What.
        what: String,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
        /// What to do.
        #[help]
        help: Option<String>,
    },
    /// A worker cannot be asked.
    #[error("the worker {0}")]
    Worker(String),
}

impl ClusterError {
    pub(crate) fn start(
        what: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::Start { what: what.into(), source: source.into(), help: None }
    }

    pub(crate) fn listen(what: &str, address: impl ToString, error: io::Error) -> Self {
        let what = format!("{what} at {}", address.to_string());
        let help = Some("another program may listen there: choose another by --listen".into());
        Self::Start { what, source: error.into(), help }
    }
}
