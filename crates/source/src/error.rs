use std::{error::Error as StdError, io, path::Path};

use mesh_core::Digest;
use miette::Diagnostic;
use thiserror::Error;

/// A source that cannot be had, and why.
#[derive(Debug, Error, Diagnostic)]
#[error("failed to fetch the source {url}: {kind}")]
pub struct SourceError {
    url: String,
    /// In which way.
    pub kind: SourceErrorKind,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
    #[help]
    help: Option<String>,
}

/// The ways in which fetching a source fails.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SourceErrorKind {
    /// The URL is not one of the kinds that are known.
    #[error("the URL is not understood")]
    Url,
    /// Nothing is there.
    #[error("it is not there")]
    NotFound,
    /// Something else is there than what was pinned.
    #[error("its digest is wrong\n  expected {expected}\n     found {found}")]
    Digest {
        /// The digest in the manifest.
        expected: Digest,
        /// The digest of what was fetched.
        found: Digest,
    },
    /// The server wants other credentials.
    #[error("access is denied ({0})")]
    Denied(String),
    /// The network or the server failed, after several tries.
    #[error("the transfer failed ({0})")]
    Network(String),
    /// An archive is damaged, or holds paths that lead out of it.
    #[error("the archive {0} cannot be unpacked")]
    Archive(String),
    /// The path names nothing in the source.
    #[error("it holds nothing at `{0}`")]
    NoMatch(String),
    /// A program that is needed is missing or failed.
    #[error("`{0}` is missing or failed")]
    Tool(String),
    /// The operating system refused.
    #[error("{0}")]
    Io(String),
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull,
    /// Somebody asked to stop; what was fetched so far is kept.
    #[error("interrupted")]
    Interrupted,
}

impl SourceError {
    pub(crate) fn new(url: impl ToString, kind: SourceErrorKind) -> Self {
        let help = match &kind {
            SourceErrorKind::Url => Some(
                "use file:path, https://..., s3://bucket/key, hf://org/name[@revision]/path or \
                 pypi://name/version/path",
            ),
            SourceErrorKind::Digest { .. } => Some(
                "either the source changed, or it was cut or tampered with; if you trust what is \
                 there now, put the digest that was found into the manifest",
            ),
            SourceErrorKind::DiskFull => Some("free some space, then run again: it resumes"),
            SourceErrorKind::Network(_) => {
                Some("run again: it resumes where it was cut; behind a proxy, set HTTPS_PROXY")
            }
            _ => None,
        };
        Self { url: url.to_string(), kind, source: None, help: help.map(str::to_owned) }
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn io(url: impl ToString, path: &Path, error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SourceErrorKind::DiskFull,
            io::ErrorKind::NotFound => SourceErrorKind::NotFound,
            _ => SourceErrorKind::Io(format!("{} cannot be read or written", path.display())),
        };
        Self::new(url, kind).because(error)
    }
}
