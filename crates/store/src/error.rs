use std::{error::Error as StdError, io, path::Path};

use miette::Diagnostic;
use thiserror::Error;

/// What went wrong in the store or the registry.
#[derive(Debug, Error, Diagnostic)]
#[error("failed to {action}")]
pub struct StoreError {
    action: String,
    /// In which way.
    pub kind: StoreErrorKind,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
    #[help]
    help: Option<String>,
}

/// The ways in which the store or the registry fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The operating system or the object store refused.
    Io,
    /// The disk is full.
    DiskFull,
    /// An artifact is missing or damaged.
    Artifact,
    /// The URL of the store is not understood.
    Url,
    /// Another process holds the registry or a lock for too long.
    Locked,
    /// The registry was written by a newer program.
    Newer,
    /// The registry's file is not a registry, or damaged.
    Registry,
    /// The project has no such version or alias.
    NotFound,
}

/// SQLite's code where the file beside the registry, that its connections share, cannot grow: it
/// does so when the registry is opened, and calls a full disk an error of it.
const NO_SHARED_MEMORY: u32 = 4874;

impl StoreError {
    pub(crate) fn new(kind: StoreErrorKind, action: impl Into<String>) -> Self {
        Self { action: action.into(), kind, source: None, help: None }
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn io(action: &str, path: &Path, source: io::Error) -> Self {
        let action = format!("{action} {}", path.display());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::new(
                StoreErrorKind::DiskFull,
                action,
            )
            .because(source)
            .help(
                "the disk is full: free some space (`mesh gc` shows what may go), then run again",
            ),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::new(StoreErrorKind::Io, action)
                    .because(source)
                    .help("check who owns the folder, and that it may be written")
            }
            _ => Self::new(StoreErrorKind::Io, action).because(source),
        }
    }

    fn full(action: String, source: sqlx::Error) -> Self {
        Self::new(StoreErrorKind::DiskFull, action)
            .because(source)
            .help("the disk is full: free some space, then run again")
    }

    pub(crate) fn sql(action: &str, path: &Path, source: sqlx::Error) -> Self {
        let place = format!("{action} in the registry {}", path.display());
        let code = source
            .as_database_error()
            .and_then(|error| error.code())
            .and_then(|code| code.parse::<u32>().ok())
            .unwrap_or_default();
        // The low byte is SQLite's primary result code, the rest its extension.
        match code & 0xff {
            5 | 6 => Self::new(StoreErrorKind::Locked, place)
                .because(source)
                .help("another program holds the registry; end it, or wait and run again"),
            _ if code == NO_SHARED_MEMORY => Self::full(place, source),
            13 => Self::full(place, source),
            10 => Self::new(StoreErrorKind::Io, place)
                .because(source)
                .help("the disk fails, or is full: see to it, then run again"),
            8 | 14 => Self::new(StoreErrorKind::Io, place)
                .because(source)
                .help("check that the file and its folder may be written"),
            11 | 26 => Self::new(StoreErrorKind::Registry, place).because(source).help(
                "the file is damaged or no registry: move it away, and `mesh run --all` makes it anew",
            ),
            _ => Self::new(StoreErrorKind::Registry, place).because(source),
        }
    }
}
