use std::{error::Error as StdError, io, path::Path};

use mesh_core::{Interrupted, bucket_remedy, did_you_mean, printable};
use mesh_minhash::OptionsError;
use mesh_postgres::{PostgresError, PostgresErrorKind};
use miette::Diagnostic;
use thiserror::Error;

use crate::{Format, lines::MAX_BYTES};

/// An archive that cannot be read or written, and why.
#[derive(Debug, Error, Diagnostic)]
#[error("failed to go through the archive: {kind}")]
pub struct ArchiveError {
    /// In which way.
    pub kind: ArchiveErrorKind,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
    #[help]
    help: Option<String>,
}

/// The ways in which an archive fails.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ArchiveErrorKind {
    /// The name of a file does not tell its format.
    #[error("{0} is none of Parquet, JSONL, CSV and TSV by its name")]
    Format(String),
    /// A folder without files of an archive.
    #[error("{0} holds no files of an archive")]
    Empty(String),
    /// A folder with files of several formats.
    #[error("{0} holds files of several formats")]
    Mixed(String),
    /// A column is not there.
    #[error("{file} has no column `{column}`")]
    NoColumn {
        /// The file.
        file: String,
        /// The column.
        column: String,
    },
    /// A column holds something else than text.
    #[error("the column `{column}` of {file} holds {found}, which has no text form")]
    NotText {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The type of its values.
        found: String,
    },
    /// What is written would take the place of the archive, or become a part of it.
    #[error("{0} is the archive itself, or would lie in its folder")]
    Itself(String),
    /// A copy has the format of the archive.
    #[error("{file} is no {format} file by its name, as the archive is")]
    OtherFormat {
        /// The file that was to be written.
        file: String,
        /// The format of the archive.
        format: Format,
    },
    /// Files with different columns cannot become one.
    #[error("{file} has other columns than {first}")]
    Unlike {
        /// The file.
        file: String,
        /// The first file of the archive.
        first: String,
    },
    /// The values of a column do not fit the type that it has in the first file.
    #[error("the column `{column}` holds {found} in {file}, and {expected} in the first file")]
    OtherType {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The type of its values in that file.
        found: String,
        /// The type of its values in the first file.
        expected: String,
    },
    /// A line that is too long to be held.
    #[error("line {line} of {file} is longer than {} MB", MAX_BYTES >> 20)]
    TooLong {
        /// The file.
        file: String,
        /// The line, counted from 1.
        line: u64,
    },
    /// The archive was read twice, and was not the same.
    #[error("it was changed while it was read")]
    Changed,
    /// How documents are compared cannot be.
    #[error(transparent)]
    Options(OptionsError),
    /// A file cannot be read.
    #[error("{0} cannot be read")]
    Read(String),
    /// A file cannot be written.
    #[error("{0} cannot be written")]
    Write(String),
    /// A table in a database cannot be read.
    #[error(transparent)]
    Database(PostgresErrorKind),
    /// Somebody asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Endings of files that are compressed as a whole.
const COMPRESSED: [&str; 7] = ["gz", "zst", "bz2", "xz", "zip", "lz4", "tgz"];

impl ArchiveError {
    pub(crate) fn new(kind: ArchiveErrorKind) -> Self {
        let help = match &kind {
            ArchiveErrorKind::Format(_) => "name it .parquet, .jsonl, .csv or .tsv",
            ArchiveErrorKind::Empty(_) => "give a file, or the folder that holds the files",
            ArchiveErrorKind::Mixed(_) => "give the files of one format a folder of their own",
            ArchiveErrorKind::NotText { .. } => "name a column of text with --text or --key",
            ArchiveErrorKind::Itself(_) => "name a file elsewhere: the archive is never changed",
            ArchiveErrorKind::OtherFormat { .. } => "give it the ending of the archive's files",
            ArchiveErrorKind::Unlike { .. } => "give the files one by one",
            ArchiveErrorKind::OtherType { .. } => "write the files anew, with one type per column",
            ArchiveErrorKind::TooLong { .. } => "JSONL has an object per line, a table a row",
            ArchiveErrorKind::Changed => "nothing was written: try again when it rests",
            ArchiveErrorKind::Read(_) => "the file may be cut short or damaged: write it anew",
            ArchiveErrorKind::Write(_) => "nothing was left half-written: make room and try again",
            _ => return Self { kind, source: None, help: None },
        };
        Self { kind, source: None, help: Some(help.into()) }
    }

    /// The name of a file tells no format.
    pub(crate) fn format(file: &Path) -> Self {
        let mut error = Self::new(ArchiveErrorKind::Format(file.display().to_string()));
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if COMPRESSED.contains(&ending.to_ascii_lowercase().as_str()) {
            error.help = Some(
                "it is compressed as a whole, which cannot be read from the middle: unpack it, or \
                 write it as Parquet, which is compressed inside"
                    .into(),
            );
        }
        error
    }

    pub(crate) fn read(file: &Path, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(ArchiveErrorKind::Read(file.display().to_string())).caused(source)
    }

    pub(crate) fn write(file: &Path, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(ArchiveErrorKind::Write(file.display().to_string())).caused(source)
    }

    pub(crate) fn open(file: &Path, source: io::Error) -> Self {
        let help = match source.kind() {
            io::ErrorKind::PermissionDenied => Some("see to its rights: who runs this may not"),
            io::ErrorKind::NotFound => Some("see that it is there, under that name"),
            // A store in the place of a disk.
            _ => source.get_ref().and_then(|inner| inner.downcast_ref()).map(remedy),
        };
        let mut error = Self::read(file, source);
        error.help = help.map(ToOwned::to_owned);
        error
    }

    /// A store did not give what was asked for.
    pub(crate) fn store(file: &Path, source: object_store::Error) -> Self {
        let help = remedy(&source).to_owned();
        let mut error = Self::read(file, source);
        error.help = Some(help);
        error
    }

    /// A file of a table is not what it was when the table was opened.
    pub(crate) fn changed(file: &Path, how: &str) -> Self {
        let mut error = Self::new(ArchiveErrorKind::Changed);
        error.help = Some("begin anew with the files as they are, and leave them alone".into());
        error.caused(format!("{}: {how}", file.display()))
    }

    pub(crate) fn no_column(file: &Path, column: &str, all: &[String]) -> Self {
        let hint = did_you_mean(column, all.iter().map(String::as_str));
        let (file, column) = (file.display().to_string(), column.to_owned());
        let mut error = Self::new(ArchiveErrorKind::NoColumn { file, column });
        error.help = Some(printable(&format!("{hint}It has: {}", all.join(", "))));
        error
    }

    pub(crate) fn caused(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// What to do about a store that does not give a file.
fn remedy(error: &object_store::Error) -> &'static str {
    use object_store::Error as Store;
    if let Some(remedy) = bucket_remedy(error) {
        return remedy;
    }
    match error {
        Store::NotFound { .. } => "see that it is there, under that name",
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => {
            "see that you may read it"
        }
        _ => "see that the store answers, and that you may read it, then go on",
    }
}

impl From<Interrupted> for ArchiveError {
    fn from(_: Interrupted) -> Self {
        Self::new(ArchiveErrorKind::Interrupted)
    }
}

impl From<PostgresError> for ArchiveError {
    fn from(error: PostgresError) -> Self {
        let kind = match &error.kind {
            PostgresErrorKind::Interrupted => return Interrupted.into(),
            kind => ArchiveErrorKind::Database(kind.clone()),
        };
        let (help, source) = error.into_parts();
        Self { kind, source, help }
    }
}
