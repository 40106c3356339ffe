use std::{collections::HashMap, path::Path};

use mesh_core::{Cancel, Progress, ProgressTask, Unit};
use serde_json::value::RawValue;

use crate::{Archive, ArchiveError, Format, lines::Lines, parquet, records::Records};

/// The columns that are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// The text of a document.
    pub text: String,
    /// What names a document; else it is named by the number of its row.
    pub key: Option<String>,
}

/// Who is told how far long work is, and who may ask it to stop.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Who is told.
    pub progress: &'a dyn Progress,
    /// By whom it is asked.
    pub cancel: &'a Cancel,
}

/// A document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// What names it, if it has such a value.
    pub(crate) key: Option<String>,
    /// Its text, or why it has none.
    pub(crate) text: Result<String, Unusable>,
}

/// Why a row cannot be compared with others. It is a row all the same, and always kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Unusable {
    /// It holds no value.
    Null,
    /// Its value is something else than text.
    NotText,
    /// Its text has no words.
    NoWords,
    /// It is no object of JSON.
    NotJson,
    /// It has more or fewer values than there are columns.
    Ragged,
    /// A quote is opened and not closed.
    Quotes,
    /// It is not UTF-8.
    Encoding,
}

/// What takes the rows of an archive, in their order.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(Row) -> Result<(), ArchiveError>;

/// What says whether the next row is to be kept.
pub(crate) type Keep<'a> = &'a mut dyn FnMut() -> Result<bool, ArchiveError>;

impl Archive {
    /// Gives every row to `sink`.
    pub(crate) fn read(
        &self,
        columns: &Columns,
        task: &dyn ProgressTask,
        sink: Sink<'_>,
    ) -> Result<(), ArchiveError> {
        for file in &self.files {
            match self.format {
                Format::Parquet => parquet::read(file, columns, task, sink)?,
                Format::Jsonl => jsonl(file, columns, task, sink)?,
                Format::Csv | Format::Tsv => {
                    let records = Records::open(file, self.format.dialect(), task)?;
                    separated(file, records, columns, sink)?;
                }
            }
        }
        Ok(())
    }

    /// Begins to tell how far the reading of all rows is.
    pub(crate) fn begin(&self, label: &str, watch: Watch<'_>) -> Box<dyn ProgressTask> {
        let parquet = self.format == Format::Parquet;
        let size = |file: &Path| match parquet {
            true => parquet::rows(file),
            false => file.metadata().ok().map(|about| about.len()),
        };
        let total = self.files.iter().map(|file| size(file)).sum();
        let unit = if parquet { Unit::Items } else { Unit::Bytes };
        watch.progress.begin(label, total, unit)
    }
}

impl Unusable {
    /// The reason, as rejected rows of datasets have theirs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Null => "no-text",
            Self::NotText => "not-text",
            Self::NoWords => "no-words",
            Self::NotJson => "not-json",
            Self::Ragged => "wrong-columns",
            Self::Quotes => "broken-quotes",
            Self::Encoding => "wrong-encoding",
        }
    }
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("cancel", &self.cancel).finish_non_exhaustive()
    }
}

fn jsonl(
    file: &Path,
    columns: &Columns,
    task: &dyn ProgressTask,
    sink: Sink<'_>,
) -> Result<(), ArchiveError> {
    let (mut lines, mut line) = (Lines::open(file, task)?, Vec::new());
    // A column that no row has is a mistake of whoever asked, not of the rows.
    let asked: Vec<&String> =
        [Some(&columns.text), columns.key.as_ref()].into_iter().flatten().collect();
    let mut missing = asked;
    let mut others: Option<Vec<String>> = None;
    while lines.next_written(&mut line)?.is_some() {
        let row = object(&line);
        if let Ok(object) = &row
            && !missing.is_empty()
        {
            missing.retain(|column| !object.contains_key(column.as_str()));
            let names = || {
                let mut names: Vec<String> = object.keys().cloned().collect();
                names.sort_unstable();
                names
            };
            others.get_or_insert_with(names);
        }
        sink(match row {
            Ok(object) => Row {
                key: columns.key.as_ref().and_then(|key| object.get(key)).and_then(as_key),
                text: object.get(columns.text.as_str()).ok_or(Unusable::Null).and_then(as_text),
            },
            Err(reason) => Row { key: None, text: Err(reason) },
        })?;
    }
    match (others, missing.first()) {
        (Some(all), Some(column)) => Err(ArchiveError::no_column(file, column, &all)),
        _ => Ok(()),
    }
}

fn object(line: &[u8]) -> Result<HashMap<String, &RawValue>, Unusable> {
    let text = std::str::from_utf8(line).map_err(|_| Unusable::Encoding)?;
    serde_json::from_str(text).map_err(|_| Unusable::NotJson)
}

fn as_text(value: &&RawValue) -> Result<String, Unusable> {
    match value.get() {
        "null" => Err(Unusable::Null),
        json => serde_json::from_str(json).map_err(|_| Unusable::NotText),
    }
}

/// Numbers name documents as texts do.
fn as_key(value: &&RawValue) -> Option<String> {
    match value.get() {
        "null" => None,
        json => Some(serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())),
    }
}

fn separated(
    file: &Path,
    mut records: Records<'_>,
    columns: &Columns,
    sink: Sink<'_>,
) -> Result<(), ArchiveError> {
    let place = |column: &String| {
        let place = records.names.iter().position(|name| name == column);
        place.ok_or_else(|| ArchiveError::no_column(file, column, &records.names))
    };
    let text = place(&columns.text)?;
    let key = columns.key.as_ref().map(place).transpose()?;
    while let Some(record) = records.next()? {
        let value = |place: usize| {
            let values = record.values.as_ref().map_err(|reason| *reason)?;
            let value =
                values.get(place).filter(|value| !value.is_empty()).ok_or(Unusable::Null)?;
            std::str::from_utf8(value).map(ToOwned::to_owned).map_err(|_| Unusable::Encoding)
        };
        sink(Row { key: key.and_then(|key| value(key).ok()), text: value(text) })?;
    }
    Ok(())
}
