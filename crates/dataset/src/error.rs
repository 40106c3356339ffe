use std::{error::Error as StdError, io, path::Path};

use miette::Diagnostic;
use thiserror::Error;

/// A dataset that cannot be read or written, and at which file.
#[derive(Debug, Error, Diagnostic)]
#[error("failed to {action} {file}")]
pub struct DatasetError {
    action: &'static str,
    file: String,
    /// In which way.
    pub kind: DatasetErrorKind,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
    #[help]
    help: Option<String>,
}

/// The ways in which a dataset cannot be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatasetErrorKind {
    /// The operating system refused.
    Io,
    /// The disk is full.
    DiskFull,
    /// The file is not what this program writes.
    Format,
    /// The file was written by a newer program.
    Newer,
}

impl DatasetError {
    pub(crate) fn new(
        action: &'static str,
        path: &Path,
        kind: DatasetErrorKind,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        let help = match kind {
            DatasetErrorKind::DiskFull => Some("free some space, then run again"),
            DatasetErrorKind::Newer => Some("update mesh, or run prepare again with this one"),
            DatasetErrorKind::Format => {
                Some("run prepare again: `mesh run <project>:prepare --force`")
            }
            DatasetErrorKind::Io => None,
        };
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let help = help.map(str::to_owned);
        Self { action, file, kind, source: Some(source.into()), help }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DatasetErrorKind::DiskFull,
            _ => DatasetErrorKind::Io,
        };
        Self::new(action, path, kind, source)
    }
}
