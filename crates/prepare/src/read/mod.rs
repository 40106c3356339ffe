//! Readers: one per format, all streaming, all giving rows or reasons why there is none.

mod lines;
mod parquet;
mod table;
mod whole;

use std::path::Path;

use mesh_core::manifest::{Format, SourceTable, TextEncoding};

use crate::PrepareError;

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
pub(crate) const MAX_BYTES: usize = 16 << 20;

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

/// Reads a file of the source, row by row.
pub(crate) fn read(
    name: &str,
    path: &Path,
    source: &SourceTable,
    sink: Sink<'_>,
) -> Result<(), PrepareError> {
    match source.format {
        Format::Csv | Format::Tsv => table::read_table(name, path, source, sink),
        Format::Jsonl => lines::read_jsonl(name, path, source, sink),
        Format::Text => lines::read_text(name, path, source, sink),
        Format::Conll => lines::read_conll(name, path, source, sink),
        Format::FolderPerLabel => whole::read_document(name, path, source, sink),
        Format::Parquet => parquet::read_parquet(name, path, source, sink),
        other => Err(PrepareError::file(name, format!("no reader for {other:?}"))),
    }
}

/// Bytes as text.
pub(crate) fn decode(bytes: &[u8], encoding: TextEncoding) -> Result<String, Reject> {
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

/// The named columns of a row, taken from wherever the format keeps them.
pub(crate) fn mapped(
    source: &SourceTable,
    origin: String,
    mut get: impl FnMut(&str) -> Option<String>,
) -> Result<Row, Reject> {
    let columns = &source.columns;
    let text = get(&columns.text)
        .ok_or_else(|| Reject::new("missing-column", format!("no text in `{}`", columns.text)))?;
    let mut optional = |column: &Option<String>| column.as_ref().and_then(|column| get(column));
    let (id, group) = (optional(&columns.id), optional(&columns.group));
    let (time, split) = (optional(&columns.time), optional(&columns.split));
    Ok(Row { text, label: get(&columns.label), id, group, time, split, origin })
}
