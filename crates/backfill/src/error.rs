use std::error::Error as StdError;

use mesh_archive::{ArchiveError, ArchiveErrorKind};
use mesh_core::{Interrupted, manifest::ManifestError};
use mesh_filter::FilterError;
use mesh_postgres::{PostgresError, PostgresErrorKind};
use mesh_store::StoreError;
use mesh_stream::StreamError;
use miette::Diagnostic;
use thiserror::Error;

/// A backfill that cannot be planned, run, compared or made live, and why.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum BackfillError {
    /// The documents cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Archive(#[from] ArchiveError),
    /// The manifest of an archive cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Manifest(#[from] ManifestError),
    /// What selects rows cannot be followed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Filter(#[from] FilterError),
    /// The ledger cannot be read or written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// A stream cannot be read or published to.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Stream(#[from] StreamError),
    /// It fails in a way of its own.
    #[error("failed to {action}: {kind}")]
    Backfill {
        /// What was tried.
        action: String,
        /// In which way it failed.
        kind: BackfillErrorKind,
        /// What caused it.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
        /// What to do.
        #[help]
        help: Option<String>,
    },
}

/// The ways in which a backfill fails.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum BackfillErrorKind {
    /// There is no such archive, project, backfill or generation.
    #[error("there is no {0}")]
    Unknown(String),
    /// What is asked for does not fit together.
    #[error("{0}")]
    Usage(String),
    /// Another backfill is in the way.
    #[error("{0}")]
    InTheWay(String),
    /// More rows were rejected than may be.
    #[error("{rejected} of {rows} rows were rejected, more than {} per cent", (limit * 1e4).round() / 100.0)]
    TooManyRejected {
        /// Rows that were rejected.
        rejected: u64,
        /// Rows that were looked at.
        rows: u64,
        /// The share that may be.
        limit: f64,
    },
    /// More messages of a stream were refused than may be.
    #[error("{refused} of the last {messages} messages were refused, more than {} per cent", (limit * 1e4).round() / 100.0)]
    TooManyRefused {
        /// Messages that were refused, or have no answer.
        refused: u64,
        /// Messages that were looked at.
        messages: u64,
        /// The share that may be.
        limit: f64,
    },
    /// A gate of the cutover refused.
    #[error("{0}")]
    Gate(String),
    /// What was written before is not what it says it is.
    #[error("{0} is damaged")]
    Damaged(String),
    /// What was written before is of a later format.
    #[error("a newer `mesh` wrote {0}")]
    Newer(String),
    /// A file cannot be read.
    #[error("{0} cannot be read")]
    Read(String),
    /// A file cannot be written.
    #[error("{0} cannot be written")]
    Write(String),
    /// A running service does not answer as it should.
    #[error("{0}")]
    Service(String),
    /// A cluster is not there, or one of its machines cannot do what it is to do.
    #[error("{0}")]
    Cluster(String),
    /// Somebody asked it to pause.
    #[error("it was paused")]
    Paused,
    /// Somebody gave it up.
    #[error("it was cancelled")]
    Cancelled,
    /// Somebody asked the program to stop.
    #[error("interrupted")]
    Interrupted,
    /// A thread ended in a panic: a mistake of ours.
    #[error("it ended in a panic, which is a mistake in mesh")]
    Panic,
}

/// How a command that met the error should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The work failed: exit code 1.
    Failed,
    /// The command was wrong: exit code 2.
    Usage,
    /// A gate refused: exit code 3.
    Gate,
    /// Somebody stopped it: exit code 130.
    Interrupted,
}

impl BackfillError {
    pub(crate) fn new(action: impl Into<String>, kind: BackfillErrorKind) -> Self {
        Self::Backfill { action: action.into(), kind, source: None, help: None }
    }

    pub(crate) fn usage(
        action: impl Into<String>,
        what: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self::new(action, BackfillErrorKind::Usage(what.into())).help(help)
    }

    pub(crate) fn newer(action: impl Into<String>, shown: impl Into<String>) -> Self {
        Self::new(action, BackfillErrorKind::Newer(shown.into())).help("update this `mesh`")
    }

    /// What a backfill left is not there any more.
    pub(crate) fn collected(action: impl Into<String>, what: &str, help: &str) -> Self {
        let what = format!("{what} is gone, as `mesh backfill collect` removes what nobody sees");
        Self::usage(action, what, help)
    }

    pub(crate) fn help(self, text: impl Into<String>) -> Self {
        match self {
            Self::Backfill { action, kind, source, .. } => {
                Self::Backfill { action, kind, source, help: Some(text.into()) }
            }
            other => other,
        }
    }

    pub(crate) fn because(self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        match self {
            Self::Backfill { action, kind, help, .. } => {
                Self::Backfill { action, kind, source: Some(cause.into()), help }
            }
            other => other,
        }
    }

    /// In which way it failed, if in a way of a backfill's own.
    #[must_use]
    pub const fn kind(&self) -> Option<&BackfillErrorKind> {
        match self {
            Self::Backfill { kind, .. } => Some(kind),
            _ => None,
        }
    }

    /// How a command that met it should end.
    #[must_use]
    pub fn ending(&self) -> Ending {
        use BackfillErrorKind as Kind;
        match self {
            Self::Backfill { kind, .. } => match kind {
                Kind::Unknown(_) | Kind::Usage(_) => Ending::Usage,
                Kind::Gate(_) => Ending::Gate,
                Kind::Interrupted => Ending::Interrupted,
                _ => Ending::Failed,
            },
            Self::Archive(error) => match &error.kind {
                ArchiveErrorKind::Interrupted => Ending::Interrupted,
                ArchiveErrorKind::Database(
                    PostgresErrorKind::Address(_)
                    | PostgresErrorKind::NoDatabase { .. }
                    | PostgresErrorKind::NoTable { .. }
                    | PostgresErrorKind::NoColumn { .. }
                    | PostgresErrorKind::NoKey { .. }
                    | PostgresErrorKind::Taken(_),
                ) => Ending::Usage,
                _ => Ending::Failed,
            },
            Self::Filter(_) => Ending::Usage,
            Self::Stream(error) if error.is_usage() => Ending::Usage,
            _ => Ending::Failed,
        }
    }
}

impl From<PostgresError> for BackfillError {
    fn from(error: PostgresError) -> Self {
        Self::Archive(error.into())
    }
}

impl From<Interrupted> for BackfillError {
    fn from(_: Interrupted) -> Self {
        Self::new("backfill", BackfillErrorKind::Interrupted)
    }
}
