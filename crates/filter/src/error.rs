use arrow_schema::ArrowError;
use mesh_core::{did_you_mean, printable};
use miette::Diagnostic;
use thiserror::Error;

/// A condition that cannot be followed, and why.
#[derive(Debug, Clone, PartialEq, Error, Diagnostic)]
#[error("failed to read the condition: {kind}")]
pub struct FilterError {
    /// In which way.
    pub kind: FilterErrorKind,
    #[help]
    help: String,
}

/// The ways in which a condition cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FilterErrorKind {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is too long, or too much lies in itself.
    #[error("{0}")]
    TooLarge(String),
    /// It is no SQL.
    #[error("{0}")]
    Syntax(String),
    /// It is a part of SQL that is not followed.
    #[error("`{0}` is not supported")]
    Unsupported(String),
    /// A condition stands where a column or a value does.
    #[error("`{0}` is a condition, and stands in the place of a column or a value")]
    Nested(String),
    /// A column is not there.
    #[error("there is no column `{0}`")]
    NoColumn(String),
    /// A column cannot be compared with what it is compared with.
    #[error("{0}")]
    Type(String),
}

const SUPPORTED: &str = "supported are = <> < <= > >=, and, or, not, in, between, like, ilike, is \
                         null, parentheses, 'text', numbers, true, false, null, date '2026-01-31', \
                         and \"names\" of columns";

impl FilterError {
    pub(crate) fn new(kind: FilterErrorKind) -> Self {
        let help = match &kind {
            FilterErrorKind::Type(_) => {
                "compare text with 'text', numbers with numbers, and times with date '2026-01-31' \
                 or timestamp '2026-01-31 12:00:00'"
            }
            FilterErrorKind::TooLarge(_) => {
                "say it by less: by `between`, `like`, or a column that tells these rows apart"
            }
            FilterErrorKind::Nested(_) => {
                "`a = 1` is true or not, and not compared again: put conditions together with and, \
                 or, not"
            }
            _ => SUPPORTED,
        };
        Self { kind, help: help.into() }
    }

    pub(crate) fn unsupported(what: impl ToString) -> Self {
        Self::new(FilterErrorKind::Unsupported(shown(&what)))
    }

    pub(crate) fn nested(what: impl ToString) -> Self {
        Self::new(FilterErrorKind::Nested(shown(&what)))
    }

    pub(crate) fn types(what: impl Into<String>) -> Self {
        Self::new(FilterErrorKind::Type(what.into()))
    }

    pub(crate) fn no_column(name: &str, known: &[&str]) -> Self {
        let hint = did_you_mean(name, known.iter().copied());
        let help = printable(&format!("{hint}There are: {}", known.join(", ")));
        Self { kind: FilterErrorKind::NoColumn(printable(name)), help }
    }

    pub(crate) fn arrow(error: ArrowError) -> Self {
        Self::types(error.to_string())
    }
}

/// The beginning of what stands in a condition.
fn shown(what: &impl ToString) -> String {
    printable(&what.to_string().chars().take(60).collect::<String>())
}
