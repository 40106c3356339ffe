//! Readers: one per format, all streaming, all giving rows or reasons why there is none.

mod lines;
mod parquet;
mod table;
mod whole;

use std::path::Path;

use globset::{Glob, GlobSet, GlobSetBuilder};
use mesh_core::{
    ProgressTask, did_you_mean,
    manifest::{FeaturesTable, Format, SourceTable, TextEncoding},
    printable,
};

use crate::{PrepareError, PrepareErrorKind};

/// A file of the source, to be read.
#[derive(Clone, Copy)]
pub(crate) struct Opened<'a> {
    /// Its path inside the source.
    pub(crate) name: &'a str,
    pub(crate) path: &'a Path,
    pub(crate) source: &'a SourceTable,
    pub(crate) selection: &'a Selection,
    /// Where it is told how many bytes of it are read.
    pub(crate) progress: &'a dyn ProgressTask,
}

/// Which columns are read beside those of `[source.columns]`, and which rows are left out.
pub(crate) struct Selection {
    /// The columns of features; rows with features have no text.
    features: Option<Vec<String>>,
    /// Columns, and what their rows are left out by.
    leave_out: Vec<(String, GlobSet)>,
}

/// A row as the source has it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) origin: String,
    pub(crate) text: String,
    pub(crate) label: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) time: Option<String>,
    pub(crate) split: Option<String>,
    /// Values of the columns of features.
    pub(crate) features: Vec<Option<String>>,
    /// Whether it is left out by what a column holds.
    pub(crate) left_out: bool,
}

/// Why a row cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reject {
    pub(crate) reason: &'static str,
    pub(crate) detail: String,
    pub(crate) origin: String,
    pub(crate) start: String,
}

/// What takes the rows.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(Result<Row, Reject>) -> Result<(), PrepareError>;

/// Characters of a rejected row that are kept.
const START: usize = 120;
/// Longest line or whole-file document that is held in memory.
const MAX_BYTES: usize = 16 << 20;

impl Selection {
    pub(crate) fn new(
        source: &SourceTable,
        features: Option<&FeaturesTable>,
    ) -> Result<Self, PrepareError> {
        let mut leave_out = Vec::new();
        for (column, patterns) in &source.leave_out {
            let mut set = GlobSetBuilder::new();
            for pattern in patterns {
                let kind = PrepareErrorKind::Pattern(pattern.clone());
                set.add(
                    Glob::new(pattern).map_err(|error| PrepareError::new(kind).because(error))?,
                );
            }
            let kind = PrepareErrorKind::Pattern(patterns.join(", "));
            let set = set.build().map_err(|error| PrepareError::new(kind).because(error))?;
            leave_out.push((column.clone(), set));
        }
        let names = |table: &FeaturesTable| table.columns().map(|(_, name)| name.clone()).collect();
        Ok(Self { features: features.map(names), leave_out })
    }
}

impl Opened<'_> {
    /// The columns that are read.
    fn columns(&self) -> Vec<&String> {
        let columns = &self.source.columns;
        let text = self.selection.features.is_none().then_some(&columns.text);
        let mapped = [text, Some(&columns.label)].into_iter().flatten();
        let optional = [&columns.id, &columns.group, &columns.time, &columns.split];
        let mapped = mapped.chain(optional.into_iter().flatten());
        let features = self.selection.features.iter().flatten();
        mapped
            .chain(features)
            .chain(self.selection.leave_out.iter().map(|(name, _)| name))
            .collect()
    }

    /// The place of a row.
    fn origin(&self, line: u64) -> String {
        format!("{}:{line}", self.name)
    }

    /// Reads the file, row by row.
    pub(crate) fn read(&self, sink: Sink<'_>) -> Result<(), PrepareError> {
        match self.source.format {
            Format::Csv | Format::Tsv => table::read_table(self, sink),
            Format::Jsonl => lines::read_jsonl(self, sink),
            Format::Text => lines::read_text(self, sink),
            Format::Conll => lines::read_conll(self, sink),
            Format::FolderPerLabel => whole::read_document(self, sink),
            Format::Parquet => parquet::read_parquet(self, sink),
            other => Err(PrepareError::file(self.name, format!("no reader for {other:?}"))),
        }
    }
}

impl Reject {
    pub(crate) fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), origin: String::new(), start: String::new() }
    }

    pub(crate) fn at(mut self, origin: String, bytes: &[u8]) -> Self {
        let head = bytes.get(..bytes.len().min(START * 4)).unwrap_or_default();
        self.origin = origin;
        self.start = String::from_utf8_lossy(head).chars().take(START).collect();
        self
    }
}

/// Bytes as text.
fn decode(bytes: &[u8], encoding: TextEncoding) -> Result<String, Reject> {
    let latin = || encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned();
    match (encoding, std::str::from_utf8(bytes)) {
        (TextEncoding::Latin1, _) => Ok(latin()),
        (_, Ok(text)) => Ok(text.to_owned()),
        (TextEncoding::Utf8OrLatin1, Err(_)) => Ok(latin()),
        (_, Err(error)) => Err(Reject::new(
            "wrong-encoding",
            format!("it is not UTF-8 from byte {} on", error.valid_up_to()),
        )),
    }
}

/// The columns of a table, in their order.
pub(crate) fn column_names(file: &Opened<'_>) -> Result<Vec<String>, PrepareError> {
    match file.source.format {
        Format::Csv | Format::Tsv => table::column_names(file),
        Format::Jsonl => lines::column_names(file),
        Format::Parquet => parquet::column_names(file),
        other => Err(PrepareError::file(file.name, format!("{other:?} has no columns"))),
    }
}

/// The named columns of a row, taken from wherever the format keeps them. A column that is mapped
/// must have a value, but for the identifier and the group.
fn mapped(
    file: &Opened<'_>,
    origin: String,
    mut get: impl FnMut(&str) -> Option<String>,
) -> Result<Row, Reject> {
    let columns = &file.source.columns;
    for (column, patterns) in &file.selection.leave_out {
        if get(column).is_some_and(|value| patterns.is_match(value)) {
            return Ok(Row { origin, left_out: true, ..Row::default() });
        }
    }
    let missing = |column: &str| format!("there is no value in `{column}`");
    let (mut text, mut features) = (String::new(), Vec::new());
    match &file.selection.features {
        Some(names) => features = names.iter().map(|name| get(name)).collect(),
        None => {
            text =
                get(&columns.text).ok_or_else(|| Reject::new("no-text", missing(&columns.text)))?;
        }
    }
    let label =
        get(&columns.label).ok_or_else(|| Reject::new("no-label", missing(&columns.label)))?;
    let mut optional = |column: &Option<String>| column.as_ref().and_then(|column| get(column));
    let (id, group) = (optional(&columns.id), optional(&columns.group));
    let (time, split) = (optional(&columns.time), optional(&columns.split));
    for (column, value, reason) in
        [(&columns.time, &time, "no-time"), (&columns.split, &split, "no-split")]
    {
        if let (Some(column), None) = (column, value) {
            return Err(Reject::new(reason, missing(column)));
        }
    }
    let label = Some(label);
    Ok(Row { text, label, id, group, time, split, origin, features, left_out: false })
}

/// Fails if a mapped column is not there, or is there twice.
pub(crate) fn check_names(file: &Opened<'_>, names: &[String]) -> Result<(), PrepareError> {
    for column in file.columns() {
        match names.iter().filter(|name| *name == column).count() {
            0 => {}
            1 => continue,
            _ => {
                let (file, column) = (file.name.to_owned(), column.clone());
                return Err(PrepareError::new(PrepareErrorKind::TwoColumns { file, column }));
            }
        }
        let hint = printable(&did_you_mean(column, names.iter().map(String::as_str)));
        let (file, column) = (file.name.to_owned(), column.clone());
        let kind = PrepareErrorKind::NoColumn { file, column };
        let names = printable(&names.join(", "));
        return Err(PrepareError::new(kind).help(format!(
            "{hint}It has: {names}. Name them in `columns` of [source] or in [prepare.features], or \
             in `header` if the file has none; `delimiter` is what parts them"
        )));
    }
    Ok(())
}
