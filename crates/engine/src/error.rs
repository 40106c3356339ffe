use std::{error::Error as StdError, path::Path};

use miette::Diagnostic;
use thiserror::Error;

/// A model file that cannot be read, and why.
#[derive(Debug, Error, Diagnostic)]
#[error("failed to read the model file {file}: {reason}")]
#[diagnostic(help("{}", kind.help()))]
pub struct EngineError {
    file: String,
    reason: String,
    /// In which way.
    pub kind: EngineErrorKind,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The ways in which a model file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineErrorKind {
    /// The operating system refused.
    Io,
    /// The file is not a model of this kind, cut, or contradicts itself.
    Format,
    /// The file was written by a newer program.
    Newer,
    /// A file of somebody else's model is damaged, contradicts the others, or is of a kind that
    /// is unknown here.
    Foreign,
    /// It was compiled for a target that this machine does not have.
    Target,
}

impl EngineErrorKind {
    const fn help(self) -> &'static str {
        match self {
            Self::Foreign => {
                "the folder needs config.json, tokenizer.json and model.safetensors of one \
                 encoder, as they were saved together; docs/compile.md tells which are known"
            }
            Self::Target => "compile for a target of this machine; `mesh doctor` lists them",
            _ => "compile or train it again: `mesh run <project> --force`",
        }
    }
}

impl EngineError {
    pub(crate) fn format(path: &Path, reason: impl Into<String>) -> Self {
        Self::new(path, EngineErrorKind::Format, reason)
    }

    pub(crate) fn foreign(path: &Path, reason: impl Into<String>) -> Self {
        Self::new(path, EngineErrorKind::Foreign, reason)
    }

    pub(crate) fn new(path: &Path, kind: EngineErrorKind, reason: impl Into<String>) -> Self {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { file, reason: reason.into(), kind, source: None }
    }

    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        let mut error = Self::new(path, EngineErrorKind::Io, "it cannot be opened or read");
        error.source = Some(Box::new(source));
        error
    }
}
