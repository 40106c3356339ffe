use miette::Diagnostic;
use thiserror::Error;

/// A language model that cannot be read, and why.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
#[error("failed to read the language model: {reason}")]
#[diagnostic(help("{}", kind.help()))]
pub struct LanguageModelError {
    reason: String,
    /// In which way.
    pub kind: LanguageModelErrorKind,
}

/// The ways in which a language model cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LanguageModelErrorKind {
    /// The file of fastText is none, cut, of another version, or contradicts itself.
    Foreign,
    /// The packed model is none, cut, or contradicts itself.
    Damaged,
    /// The packed model was written by another version of this program.
    Version,
}

impl LanguageModelErrorKind {
    const fn help(self) -> &'static str {
        match self {
            Self::Foreign => {
                "the source needs one file .ftz or .bin, as fastText saved a supervised model"
            }
            _ => "compile it again: `mesh run <project>:compile --force`",
        }
    }
}

impl LanguageModelError {
    pub(crate) fn new(kind: LanguageModelErrorKind, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), kind }
    }

    pub(crate) fn foreign(reason: &str) -> Self {
        Self::new(LanguageModelErrorKind::Foreign, reason)
    }

    pub(crate) fn damaged(reason: &str) -> Self {
        Self::new(LanguageModelErrorKind::Damaged, reason)
    }
}
