//! Documents that come one by one, as JSON: what of them can be kept in an archive.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use arrow_array::RecordBatch;
use arrow_cast::cast;
use arrow_json::ReaderBuilder;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef};
use serde_json::value::RawValue;

/// Why something is no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoDocument {
    /// In a word.
    pub reason: &'static str,
    /// In a sentence.
    pub detail: String,
}

/// The most bytes of a document; readers of archives take more, and columns no more than twice as
/// much in all.
const MAX_BYTES: usize = 32 << 20;

/// A document as a line of JSONL, if it is an object of JSON; else why not.
///
/// # Errors
/// When it is no document: no UTF-8, too long, no object of JSON, or with half a character in it.
pub fn line_of(document: &[u8]) -> Result<String, NoDocument> {
    let no = |reason, detail| NoDocument { reason, detail };
    let text = std::str::from_utf8(document)
        .map_err(|_| no("wrong-encoding", "it is not UTF-8".to_owned()))?;
    if text.len() > MAX_BYTES {
        let detail =
            format!("it has {} bytes, of {MAX_BYTES} that a document may have", text.len());
        return Err(no("too-long", detail));
    }
    if let Err(error) = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(text) {
        return Err(no("not-json", format!("it is no object of JSON: {error}")));
    }
    // JSON can write halves of characters, which are none.
    let suspect = text.contains("\\ud") || text.contains("\\uD");
    if suspect && let Err(error) = serde_json::from_str::<serde_json::Value>(text) {
        return Err(no("wrong-encoding", format!("it holds half a character: {error}")));
    }
    // Outside of strings, where no raw line break can be, these are blanks.
    Ok(text.trim().replace(['\n', '\r'], " "))
}

/// Lines of JSON in the columns of a table, a row each. What has no column is left out.
///
/// # Errors
/// When a value does not fit its column.
pub fn rows_of(lines: &[&str], schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    if lines.is_empty() {
        return Ok(RecordBatch::new_empty(schema.clone()));
    }
    let builder = ReaderBuilder::new(told(schema)).with_batch_size(lines.len());
    let mut decoder = builder.build_decoder()?;
    for line in lines {
        let mut bytes = line.as_bytes();
        while !bytes.is_empty() {
            let read = decoder.decode(bytes)?;
            if read == 0 {
                break;
            }
            bytes = bytes.get(read..).unwrap_or_default();
        }
        decoder.decode(b"\n")?;
    }
    let batch = decoder.flush()?;
    let missing = || ArrowError::JsonError("rows are missing".into());
    let batch = batch.filter(|batch| batch.num_rows() == lines.len()).ok_or_else(missing)?;
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type()));
    RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, _>>()?)
}

/// A schema as the reader of JSON knows it: it knows zones by their hours, and not by the name that
/// most files have.
fn told(schema: &SchemaRef) -> SchemaRef {
    let field = |field: &FieldRef| match field.data_type() {
        DataType::Timestamp(unit, Some(zone)) if matches!(&**zone, "UTC" | "Etc/UTC" | "Z") => {
            let kind = DataType::Timestamp(*unit, Some("+00:00".into()));
            Arc::new(Field::clone(field).with_data_type(kind))
        }
        _ => field.clone(),
    };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}
