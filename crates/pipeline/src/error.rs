use std::path::PathBuf;

use mesh_core::{StepError, StepErrorKind, manifest::ManifestError};
use mesh_source::{SourceError, SourceErrorKind};
use mesh_store::{StoreError, StoreErrorKind};
use miette::Diagnostic;
use thiserror::Error;

/// Why the steps of a project could not be assessed or run.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum PipelineError {
    /// A manifest cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Manifest(#[from] ManifestError),
    /// The store or the registry failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// A source cannot be had.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Source(#[from] SourceError),
    /// The target that was asked for cannot be used here.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Target(mesh_engine::TargetError),
    /// A step left nothing.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Step(#[from] StepError),
    /// A file or folder of the workspace cannot be read.
    #[error("failed to read {path}")]
    #[diagnostic(help("check that it exists and may be read"))]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no workspace here.
    #[error("failed to find a workspace: there is no mesh.toml in {0} or above it")]
    #[diagnostic(help(
        "go to a workspace, name one with `--workspace`, or make one: `mesh init <folder>`"
    ))]
    NoWorkspace(PathBuf),
    /// The workspace has no project of that name.
    #[error("failed to find the project `{name}`")]
    #[diagnostic(help("{help}"))]
    NoProject {
        /// The name that was given.
        name: String,
        /// What there is.
        help: String,
    },
    /// The project has no such step.
    #[error("failed to run: {project} has no step `{step}`")]
    #[diagnostic(help("it has {known}; a step is there when its table is in project.toml"))]
    NoStep {
        /// The project.
        project: String,
        /// The step that was asked for.
        step: String,
        /// The steps that it has.
        known: String,
    },
    /// The project has no model that could answer.
    #[error("failed to find a model of {project}: {reason}")]
    #[diagnostic(help("{help}"))]
    NoModel {
        /// The project.
        project: String,
        /// What is missing.
        reason: String,
        /// What to do.
        help: String,
    },
    /// A step ended in a panic: a mistake of ours.
    #[error("failed to run {0}: it ended in a panic, which is a mistake in mesh")]
    #[diagnostic(help("nothing was registered; please report it with the text above"))]
    Panic(String),
}

/// How a command that met the error should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PipelineErrorKind {
    /// The work failed: exit code 1.
    Failed,
    /// The command was wrong: exit code 2.
    Usage,
    /// A gate refused: exit code 3.
    Gate,
    /// Somebody stopped it: exit code 130.
    Interrupted,
}

impl PipelineError {
    /// How a command that met it should end.
    #[must_use]
    pub fn kind(&self) -> PipelineErrorKind {
        match self {
            Self::Step(error) => match error.kind {
                StepErrorKind::Gate => PipelineErrorKind::Gate,
                StepErrorKind::Interrupted => PipelineErrorKind::Interrupted,
                _ => PipelineErrorKind::Failed,
            },
            Self::Source(error) if error.kind == SourceErrorKind::Interrupted => {
                PipelineErrorKind::Interrupted
            }
            Self::NoProject { .. } | Self::NoStep { .. } | Self::NoWorkspace(_) => {
                PipelineErrorKind::Usage
            }
            _ => PipelineErrorKind::Failed,
        }
    }

    /// Whether an artifact is missing or damaged: making it again helps.
    /// Whether a gate refused what a step left.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Step(error) if error.kind == StepErrorKind::Gate)
    }

    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Store(error) if error.kind == StoreErrorKind::Artifact)
    }
}
