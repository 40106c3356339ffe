use std::{error::Error as StdError, io, path::Path};

use mesh_core::Interrupted;
use mesh_dataset::{DatasetError, DatasetErrorKind};
use miette::Diagnostic;
use thiserror::Error;

/// A dataset that cannot be made, and why.
#[derive(Debug, Error, Diagnostic)]
#[error("failed to prepare: {kind}")]
pub struct PrepareError {
    /// In which way.
    pub kind: PrepareErrorKind,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
    #[help]
    help: Option<String>,
}

/// The ways in which preparing fails.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PrepareErrorKind {
    /// A column of the manifest is not in a file.
    #[error("{file} has no column `{column}`")]
    NoColumn {
        /// The file.
        file: String,
        /// The column.
        column: String,
    },
    /// Two columns of a file have the name of a mapped one.
    #[error("{file} has two columns `{column}`")]
    TwoColumns {
        /// The file.
        file: String,
        /// The column.
        column: String,
    },
    /// More rows were rejected than the manifest allows.
    #[error("{rejected} of {read} rows cannot be used, more than `max_rejected` allows\n{reasons}")]
    TooManyRejected {
        /// Rows that cannot be used.
        rejected: u64,
        /// Rows that were read.
        read: u64,
        /// The reasons, with counts and the first rows.
        reasons: String,
    },
    /// The source holds no rows.
    #[error("the source holds no rows")]
    NoRows,
    /// A split that should have documents has none.
    #[error("the {0} split is empty")]
    EmptySplit(String),
    /// All documents have one label.
    #[error("all documents have the label `{0}`")]
    SingleLabel(String),
    /// No sentence of the training split has an entity.
    #[error("no sentence of the training split has an entity")]
    NoEntities,
    /// A pattern of `leave_out` is none.
    #[error("`{0}` of `leave_out` is no pattern")]
    Pattern(String),
    /// A column of categories has too many of them.
    #[error("the column `{column}` has {found} names, more than `max_categories` allows")]
    TooManyCategories {
        /// The column.
        column: String,
        /// Names in the training split.
        found: usize,
    },
    /// Near-duplicates cannot be looked for as the manifest says.
    #[error("near-duplicates cannot be looked for: {0}")]
    NearDuplicates(String),
    /// A feature has no value in the training split.
    #[error("the feature `{0}` has no value in the training split")]
    NoValues(String),
    /// Two features, or a feature and a column of the dataset, have one name.
    #[error("the name `{0}` is taken")]
    TakenName(String),
    /// No file of the source matches a pattern of `splits`.
    #[error("no file of the source matches `{0}`")]
    NoFiles(String),
    /// A file cannot be read in its format.
    #[error("{0} cannot be read")]
    File(String),
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull,
    /// The operating system refused.
    #[error("{0} cannot be written")]
    Io(String),
    /// Somebody asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl PrepareError {
    pub(crate) fn new(kind: PrepareErrorKind) -> Self {
        let help = match &kind {
            PrepareErrorKind::TooManyRejected { .. } => {
                "mend the rows or the mapping in [source], or raise `max_rejected` in [prepare]"
            }
            PrepareErrorKind::NoRows => "check `url` and `format` in [source]",
            PrepareErrorKind::EmptySplit(_) => {
                "give the split a larger share in `split`, or the source more rows"
            }
            PrepareErrorKind::SingleLabel(_) => {
                "a classifier needs two labels: check `columns.label` and `labels` in [source]"
            }
            PrepareErrorKind::NoEntities => {
                "name the column of the tags in `header` and `columns.label` of [source]"
            }
            PrepareErrorKind::Pattern(_) => "such as `X*`, or a name as it is",
            PrepareErrorKind::TooManyCategories { .. } => {
                "raise it in [prepare.features], or leave the column out: a model learns little of \
                 names that it sees a few times"
            }
            PrepareErrorKind::TwoColumns { .. } => {
                "give each its own name: in the file, or by `header` in [source]"
            }
            PrepareErrorKind::NearDuplicates(_) => "mend [prepare.deduplicate.near]",
            PrepareErrorKind::NoValues(_) => {
                "leave it out of [prepare.features], or its days out of `lags` and `windows` in \
                 [prepare.series], or give the series more days"
            }
            PrepareErrorKind::TakenName(_) => "give the column another name in the source",
            PrepareErrorKind::NoFiles(_) => {
                "patterns of `splits` are relative to the source's path"
            }
            PrepareErrorKind::File(_) => "check `format`, `encoding` and `header` in [source]",
            PrepareErrorKind::DiskFull => "free some space, then run again",
            _ => "check the folder of the store",
        };
        Self { kind, source: None, help: Some(help.into()) }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// A scratch or output file cannot be written or read back.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => PrepareErrorKind::DiskFull,
            _ => PrepareErrorKind::Io(path.display().to_string()),
        };
        Self::new(kind).because(source)
    }

    /// A file of the source cannot be read.
    pub(crate) fn file(name: &str, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(PrepareErrorKind::File(name.to_owned())).because(source)
    }
}

impl From<DatasetError> for PrepareError {
    fn from(error: DatasetError) -> Self {
        let kind = match error.kind {
            DatasetErrorKind::DiskFull => PrepareErrorKind::DiskFull,
            _ => PrepareErrorKind::Io("a file of the dataset".into()),
        };
        Self::new(kind).because(error)
    }
}

impl From<Interrupted> for PrepareError {
    fn from(stop: Interrupted) -> Self {
        Self::new(PrepareErrorKind::Interrupted).because(stop)
    }
}
