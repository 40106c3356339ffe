use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Digest, tags::TagScheme};

/// `[source]`: where the data comes from, and how its files are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceTable {
    /// `file:`, `https://`, `s3://bucket/key`, `hf://org/name[@revision]/path` or
    /// `pypi://name/version/path`. A path goes on inside archives, and may end in a pattern
    /// such as `*.csv`.
    pub url: String,
    /// The digest of what is fetched: the file, the wheel or the sdist. Required for everything
    /// but `file:`.
    #[serde(default)]
    pub sha256: Option<Digest>,
    /// The format of the files.
    pub format: Format,
    /// Splits that the source gives: which of its files belong to which split.
    #[serde(default)]
    pub splits: Option<SplitFiles>,
    /// The names of the columns, for files that have no header.
    #[serde(default)]
    pub header: Option<Vec<String>>,
    /// How many lines to pass over at the head of each file, before a header if there is one.
    #[serde(default)]
    pub skip_lines: u32,
    /// The character between columns; a comma for CSV and a tab for TSV unless told otherwise.
    #[serde(default)]
    pub delimiter: Option<char>,
    /// Whether `"` quotes a field in CSV and TSV; yes for CSV and no for TSV unless told
    /// otherwise.
    #[serde(default)]
    pub quoted: Option<bool>,
    /// The encoding of the text.
    #[serde(default)]
    pub encoding: TextEncoding,
    /// Which column is what.
    #[serde(default)]
    pub columns: Columns,
    /// Rows that are left out by what a column holds: patterns such as
    /// `{ country = ["X*", "unknown"] }`.
    #[serde(default)]
    pub leave_out: BTreeMap<String, Vec<String>>,
    /// How labels are made from what the source holds.
    #[serde(default)]
    pub labels: Labels,
}

/// The formats of source files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Format {
    /// Comma-separated values (RFC 4180).
    Csv,
    /// Tab-separated values, without quoting.
    Tsv,
    /// One JSON object per line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
    /// One document per file, in a folder that is named by its label.
    FolderPerLabel,
    /// One token per line with its columns, sentences parted by an empty line.
    Conll,
    /// One document per line, without labels.
    Text,
}

/// Encodings of text files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TextEncoding {
    /// UTF-8; a row that is not is rejected.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// UTF-8 where it is valid, else Windows-1252, decided file by file for whole-file
    /// documents and row by row elsewhere.
    #[serde(rename = "utf-8-or-latin-1")]
    Utf8OrLatin1,
    /// Windows-1252, the superset of ISO 8859-1 that browsers use for it.
    #[serde(rename = "latin-1")]
    Latin1,
}

/// `[source.columns]`: names of the source's columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Columns {
    /// The text.
    pub text: String,
    /// The label, or the number that is cut into bins; for the task `regression` the number that
    /// is told.
    pub label: String,
    /// An identifier of the document; the file and line where there is none.
    pub id: Option<String>,
    /// Documents of one group stay in one split: `split.method = "grouped"`. Of a series, what
    /// it is a series of.
    pub group: Option<String>,
    /// A date or time (ISO 8601) or a number: `split.method = "by-time"`. Of a series, the day.
    pub time: Option<String>,
    /// The split that the source gives: `train`, `validation` or `test`.
    pub split: Option<String>,
}

/// `[source.labels]`: how labels are made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Labels {
    /// The labels that exist. A row with another one is rejected. Without it, the labels are
    /// those that are found.
    pub allowed: Option<Vec<String>>,
    /// New names for labels of the source.
    pub rename: BTreeMap<String, String>,
    /// Limits that cut a number into bins; a value equal to a limit belongs to the bin nearer
    /// to zero.
    pub bins: Option<Vec<f64>>,
    /// How tags of entities are written, for the task `token-classification`; `bio` without it.
    pub scheme: Option<TagScheme>,
    /// The label of each bin, one more than there are limits; an empty one leaves its rows out.
    pub names: Option<Vec<String>>,
}

/// `[source.splits]`: patterns of files, below the source's path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitFiles {
    /// Files of the training split.
    pub train: String,
    /// Files of the validation split; without it, it is cut from the training split.
    #[serde(default)]
    pub validation: Option<String>,
    /// Files of the test split; without it, it is cut from the training split.
    #[serde(default)]
    pub test: Option<String>,
}

impl SourceTable {
    /// Files of a format at a URL, everything else left to its default.
    #[must_use]
    pub fn of(url: String, format: Format) -> Self {
        Self {
            url,
            format,
            sha256: None,
            splits: None,
            header: None,
            skip_lines: 0,
            delimiter: None,
            quoted: None,
            encoding: TextEncoding::default(),
            columns: Columns::default(),
            leave_out: BTreeMap::new(),
            labels: Labels::default(),
        }
    }
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            text: "text".into(),
            label: "label".into(),
            id: None,
            group: None,
            time: None,
            split: None,
        }
    }
}
