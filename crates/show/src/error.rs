use std::{error::Error, io};

use axum::{body::Body, http::Response, response::IntoResponse};
use mesh_backfill::BackfillError;
use mesh_core::{ArtifactError, LoadError};
use mesh_dataset::DatasetError;
use mesh_pipeline::PipelineError;
use mesh_serve::Problem;
use mesh_store::StoreError;
use thiserror::Error;

use crate::backfills;

/// Why a route of the API does not answer. Who asks is told the problem; what is inside (paths,
/// causes) is logged.
#[derive(Debug, Error)]
pub(crate) enum Fault {
    /// Who asks can do something about it.
    #[error("the request cannot be answered")]
    Problem(Problem),
    /// The registry or the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The workspace.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A dataset.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// An artifact.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// A backfill or its archive.
    #[error(transparent)]
    Backfill(BackfillError),
    /// A model.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something that was written as JSON and is not.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Work in a thread of its own did not end.
    #[error(transparent)]
    Join(#[from] tokio::task::JoinError),
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<BackfillError> for Fault {
    fn from(error: BackfillError) -> Self {
        backfills::fault(error)
    }
}

impl Fault {
    /// Nothing is there, and why.
    pub(crate) fn absent(what: impl Into<String>) -> Self {
        Self::Problem(Problem::NotFound(what.into()))
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response<Body> {
        let problem = match self {
            Self::Problem(problem) => problem,
            other => {
                log(other);
                Problem::Internal
            }
        };
        problem.response()
    }
}

/// Logs what nobody outside is told.
#[expect(clippy::needless_pass_by_value, reason = "it is the end of it")]
pub(crate) fn log(fault: Fault) {
    tracing::error!(error = told(&fault), "the page's question was not answered");
}

/// A fault and what caused it, for who works on this machine.
pub(crate) fn told(fault: &Fault) -> String {
    if let Fault::Problem(problem) = fault {
        return problem.told();
    }
    let mut told = fault.to_string();
    let mut next = fault.source();
    while let Some(cause) = next {
        told.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    told
}
