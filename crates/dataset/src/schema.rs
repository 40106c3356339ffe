use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The version of the dataset's format.
pub const DATASET_FORMAT: u32 = 1;

/// The splits of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitName {
    /// What a model learns from.
    Train,
    /// What choices are made on: hyper-parameters, calibration.
    Validation,
    /// What is measured on, once.
    Test,
}

/// `schema.json` of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSchema {
    /// The version of this format: [`DATASET_FORMAT`].
    pub format: u32,
    /// The columns of each split.
    pub columns: Vec<Column>,
    /// The labels, sorted; none for texts without labels.
    pub labels: Vec<String>,
}

/// A column of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub description: String,
}

impl SplitName {
    /// All splits, in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The split as it is written in files and statistics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The name of its file in a dataset.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Train => "train.parquet",
            Self::Validation => "validation.parquet",
            Self::Test => "test.parquet",
        }
    }
}

impl fmt::Display for SplitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for SplitName {
    type Err = String;

    /// Also takes the other usual names of the validation split.
    fn from_str(given: &str) -> Result<Self, String> {
        match given {
            "train" | "training" => Ok(Self::Train),
            "validation" | "valid" | "val" | "dev" => Ok(Self::Validation),
            "test" => Ok(Self::Test),
            _ => {
                Err(format!("`{given}` is not a split; the splits are train, validation and test"))
            }
        }
    }
}

impl DatasetSchema {
    /// The schema of labelled documents.
    #[must_use]
    pub fn documents(labels: Vec<String>) -> Self {
        let column = |(name, description): (&str, &str)| Column {
            name: name.to_owned(),
            description: description.to_owned(),
        };
        let columns = [
            ("id", "the document's identifier"),
            ("text", "its text, normalised"),
            ("label", "its label, if it has one"),
            ("origin", "the file and line of the source that it comes from"),
        ];
        Self { format: DATASET_FORMAT, columns: columns.into_iter().map(column).collect(), labels }
    }
}
