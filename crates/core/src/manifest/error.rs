use miette::{Diagnostic, NamedSource, SourceSpan};
use thiserror::Error;

/// A manifest that cannot be used: every problem that was found in it.
#[derive(Debug, Error, Diagnostic)]
#[error("failed to read {file}: {} to mend", count(problems.len()))]
pub struct ManifestError {
    file: String,
    /// Each problem, in the order of its line.
    #[related]
    pub problems: Vec<ManifestProblem>,
}

/// One problem in a manifest, with its place.
#[derive(Debug, Error, Diagnostic)]
#[error("{file}, line {line}: {message}")]
pub struct ManifestProblem {
    /// In which way it is wrong.
    pub kind: ManifestErrorKind,
    /// The file, as it was named to the parser.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column, counted from 1 in characters.
    pub column: usize,
    /// The key with its tables, such as `prepare.split.seed`; empty where there is none.
    pub key: String,
    message: String,
    #[source_code]
    source_code: NamedSource<String>,
    #[label("here")]
    span: SourceSpan,
    #[help]
    help: Option<String>,
}

/// The ways in which a manifest is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManifestErrorKind {
    /// It is not TOML.
    Syntax,
    /// A key is not known in its table.
    UnknownKey,
    /// A value has a wrong type, or a value that its key does not take.
    InvalidValue,
    /// A key that must be there is not.
    MissingKey,
    /// Two values, each valid by itself, that do not go together.
    Conflict,
}

/// What a problem is, before it knows its place.
pub(super) struct Finding {
    pub(super) kind: ManifestErrorKind,
    pub(super) key: String,
    pub(super) message: String,
    pub(super) help: Option<String>,
    pub(super) span: std::ops::Range<usize>,
}

impl ManifestError {
    pub(super) fn new(file: &str, text: &str, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.span.start);
        let problems = findings.into_iter().map(|finding| finding.place(file, text)).collect();
        Self { file: file.to_owned(), problems }
    }

    /// A problem that was found only when the manifest was put to use, such as a task that
    /// nobody registered. Its place is the key's, where the text has it.
    #[must_use]
    pub fn conflict(file: &str, text: &str, key: &str, message: String, help: String) -> Self {
        let span = super::parse::span_of(text, key).unwrap_or(0..0);
        let kind = ManifestErrorKind::Conflict;
        let finding = Finding { kind, key: key.to_owned(), message, help: Some(help), span };
        Self::new(file, text, vec![finding])
    }
}

impl Finding {
    fn place(self, file: &str, text: &str) -> ManifestProblem {
        let before = text.get(..self.span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let message = if self.key.is_empty() || self.message.contains('`') {
            self.message
        } else {
            format!("`{}`: {}", self.key, self.message)
        };
        ManifestProblem {
            kind: self.kind,
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            key: self.key,
            message,
            source_code: NamedSource::new(file, text.to_owned()).with_language("TOML"),
            span: self.span.into(),
            help: self.help,
        }
    }
}

fn count(problems: usize) -> String {
    if problems == 1 { "1 problem".into() } else { format!("{problems} problems") }
}
