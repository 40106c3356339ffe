//! Messages as documents.

use std::{borrow::Cow, collections::BTreeMap, collections::HashMap, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef};
use arrow_select::take::take_record_batch;
use bytes::Bytes;
use mesh_archive::{Format, NoDocument, Table, line_of, rows_of};
use mesh_core::printable;
use mesh_stream::Message;
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{BackfillError, BackfillErrorKind, follow::seen::Seen, inputs::text_in};

/// In which form documents are kept.
#[derive(Debug, Clone)]
pub(super) enum Form {
    /// As they came, a line each.
    Jsonl,
    /// In the columns of the archive.
    Parquet(SchemaRef),
}

/// The documents of a batch.
pub(super) struct Arrivals {
    /// As JSON, one line each.
    pub(super) lines: Vec<String>,
    /// The columns that are needed.
    pub(super) batch: RecordBatch,
    pub(super) keys: Vec<String>,
    /// Of each its place in the stream.
    pub(super) places: Vec<(u32, u64)>,
    /// Messages that are no documents.
    pub(super) refused: Vec<Refused>,
}

/// A message that became no document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// The partition that it is in.
    pub partition: u32,
    /// Its number there.
    pub sequence: u64,
    /// Its key, if it has one.
    pub key: Option<String>,
    /// Why, in a word.
    pub reason: String,
    /// Why, in a sentence.
    pub detail: String,
    /// How it begins.
    pub message: String,
}

/// A message that may be a document.
struct Candidate<'m> {
    message: &'m Message,
    line: String,
}

/// Characters of a message that was refused that are kept.
const SHOWN: usize = 500;
/// What marks a column as JSON, as the readers of archives do.
const JSON: (&str, &str) = ("mesh", "json");

impl Form {
    /// The form of an archive's documents.
    pub(super) fn of(table: &Table) -> Result<Self, BackfillError> {
        match table.format() {
            Format::Jsonl => Ok(Self::Jsonl),
            Format::Parquet if !table.files().is_empty() => {
                let folders: Vec<&String> = table
                    .files()
                    .iter()
                    .flat_map(|file| file.partitions.iter().map(|(name, _)| name))
                    .collect();
                let schema = table.schema()?;
                let own = schema.fields().iter().filter(|field| !folders.contains(&field.name()));
                let own = Arc::new(Schema::new(own.cloned().collect::<Vec<FieldRef>>()));
                rows_of(&["{}"], &own).map_err(|error| {
                    let what = "JSON has no form for the columns of the archive";
                    let help = "follow into an archive of JSONL";
                    BackfillError::usage("follow the stream", what, help).because(error)
                })?;
                Ok(Self::Parquet(own))
            }
            Format::Parquet => Err(BackfillError::usage(
                "follow the stream",
                "the archive has no file yet, and so no columns",
                "write `format = \"jsonl\"` into [archive], or give it a first Parquet file",
            )),
            format => Err(BackfillError::usage(
                "follow the stream",
                format!("documents of a stream have no place in an archive of {format}"),
                "follow into an archive of JSONL or Parquet",
            )),
        }
    }

    /// The ending of the files of documents.
    pub(super) const fn ending(&self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Parquet(_) => "parquet",
        }
    }

    /// The column of the key.
    pub(super) fn key(&self, name: &str) -> Result<Field, BackfillError> {
        match self {
            Self::Jsonl => Ok(json_field(name)),
            Self::Parquet(schema) => schema.field_with_name(name).cloned().map_err(|_| {
                let what = format!("the archive has no column `{name}`, its key");
                BackfillError::usage("follow the stream", what, "name its key in [archive]")
            }),
        }
    }

    /// Documents as a file of the archive.
    pub(super) fn file(&self, arrivals: &Arrivals) -> Result<Bytes, BackfillError> {
        let Self::Parquet(_) = self else {
            let mut text = arrivals.lines.join("\n");
            text.push('\n');
            return Ok(text.into());
        };
        let level = ZstdLevel::try_new(1).unwrap_or_default();
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level));
        let write = || {
            let (mut bytes, schema) = (Vec::new(), arrivals.batch.schema());
            let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties.build()))?;
            writer.write(&arrivals.batch)?;
            writer.close()?;
            Ok::<_, parquet::errors::ParquetError>(bytes.into())
        };
        write().map_err(|error| {
            let kind = BackfillErrorKind::Write("documents".into());
            BackfillError::new("keep documents", kind).because(error)
        })
    }
}

impl Arrivals {
    /// What of some messages are documents: whole, with a key, and with one that none has had.
    /// `columns` are those that are needed, with the key's first.
    pub(super) fn of(
        messages: &[Message],
        form: &Form,
        columns: &[String],
        seen: &mut Seen,
    ) -> Result<Self, BackfillError> {
        let mut refused = Vec::new();
        let mut candidates = Vec::new();
        for message in messages {
            match line_of(&message.payload) {
                Ok(line) => candidates.push(Candidate { message, line }),
                Err(NoDocument { reason, detail }) => {
                    refused.push(refuse(message, None, reason, detail));
                }
            }
        }
        let (candidates, batch) = match form {
            Form::Jsonl => {
                let batch = raw(&candidates, columns)?;
                (candidates, batch)
            }
            Form::Parquet(schema) => typed(candidates, schema, &mut refused)?,
        };
        let key = columns.first().map_or("", String::as_str);
        let (mut lines, mut keys, mut places) = (Vec::new(), Vec::new(), Vec::new());
        let mut taken = Vec::new();
        for (row, Candidate { message, line }) in (0..).zip(candidates) {
            let at = usize::try_from(row).unwrap_or(usize::MAX);
            match text_in(&batch, key, at).filter(|key| !key.is_empty()) {
                None => {
                    let detail = format!("it has no `{key}`: nothing can be told of it");
                    refused.push(refuse(message, None, "no-key", detail));
                }
                Some(key) if !seen.insert(&key)? => {
                    let detail = format!("an earlier document has the key `{key}`");
                    refused.push(refuse(message, Some(key), "double-key", detail));
                }
                Some(key) => {
                    taken.push(row);
                    lines.push(line);
                    keys.push(key);
                    places.push((message.partition, message.sequence));
                }
            }
        }
        let batch = take_record_batch(&batch, &UInt32Array::from(taken)).map_err(arrow)?;
        refused.sort_by_key(|refused| (refused.partition, refused.sequence));
        Ok(Self { lines, batch, keys, places, refused })
    }

    pub(super) fn rows(&self) -> usize {
        self.keys.len()
    }
}

pub(super) fn refuse(
    message: &Message,
    key: Option<String>,
    reason: &str,
    detail: String,
) -> Refused {
    let begins: String = String::from_utf8_lossy(&message.payload).chars().take(SHOWN).collect();
    Refused {
        partition: message.partition,
        sequence: message.sequence,
        key,
        reason: reason.to_owned(),
        detail: printable(&detail),
        message: printable(&begins),
    }
}

fn json_field(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
        .with_metadata(HashMap::from([(JSON.0.to_owned(), JSON.1.to_owned())]))
}

/// Some columns of documents, as they are written.
fn raw(documents: &[Candidate<'_>], columns: &[String]) -> Result<RecordBatch, BackfillError> {
    let mut values: Vec<Vec<Option<&str>>> =
        columns.iter().map(|_| Vec::with_capacity(documents.len())).collect();
    for Candidate { line, .. } in documents {
        let object: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_str(line).unwrap_or_default();
        for (name, values) in columns.iter().zip(&mut values) {
            let value = object.get(name.as_str()).map(|value| value.get());
            values.push(value.filter(|value| *value != "null"));
        }
    }
    let fields: Vec<Field> = columns.iter().map(|name| json_field(name)).collect();
    let arrays = values.into_iter().map(|v| Arc::new(StringArray::from(v)) as ArrayRef).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(arrow)
}

/// Documents in the columns of an archive, without those that do not fit them. What has no column
/// is left out.
fn typed<'m>(
    documents: Vec<Candidate<'m>>,
    schema: &SchemaRef,
    refused: &mut Vec<Refused>,
) -> Result<(Vec<Candidate<'m>>, RecordBatch), BackfillError> {
    let all: Vec<&str> = documents.iter().map(|document| document.line.as_str()).collect();
    if let Ok(batch) = rows_of(&all, schema) {
        return Ok((documents, batch));
    }
    let mut kept = Vec::new();
    for document in documents {
        match rows_of(&[&document.line], schema) {
            Ok(_) => kept.push(document),
            Err(error) => {
                let detail = format!("it does not fit the columns of the archive: {error}");
                refused.push(refuse(document.message, None, "wrong-columns", detail));
            }
        }
    }
    let lines: Vec<&str> = kept.iter().map(|document| document.line.as_str()).collect();
    let batch = rows_of(&lines, schema).map_err(arrow)?;
    Ok((kept, batch))
}

fn arrow(error: ArrowError) -> BackfillError {
    let kind = BackfillErrorKind::Damaged("a batch".into());
    BackfillError::new("put documents together", kind).because(error)
}

#[cfg(test)]
mod tests {
    use arrow_schema::TimeUnit;
    use mesh_archive::Watch;
    use mesh_core::{Cancel, NoProgress};

    use super::*;

    fn messages(payloads: &[&[u8]]) -> Vec<Message> {
        let message = |(sequence, payload): (u64, &&[u8])| Message {
            partition: 0,
            sequence,
            stamp: 0,
            payload: Bytes::copy_from_slice(payload),
        };
        (1..).zip(payloads).map(message).collect()
    }

    fn seen() -> Seen {
        let watch = Watch { progress: &NoProgress, cancel: &Cancel::new() };
        Seen::of(&Table::empty(Format::Jsonl), "id", &[], watch).unwrap()
    }

    const PAYLOADS: [&[u8]; 10] = [
        br#"{"id": 1, "text": "one"}"#,
        b"{\n  \"id\": 2,\n  \"text\": null\n}",
        br#"{"id": "1", "text": "again"}"#,
        br#"{"text": "no key"}"#,
        br#"{"id": null}"#,
        br#"{"id": "", "text": "empty"}"#,
        br#"["id", 3]"#,
        b"\xff\xfe",
        br#"{"id": 4, "text": "\ud83d"}"#,
        b"",
    ];

    #[test]
    fn messages_become_documents_or_are_refused_with_a_reason() {
        let columns = ["id".to_owned(), "text".to_owned()];
        let found =
            Arrivals::of(&messages(&PAYLOADS), &Form::Jsonl, &columns, &mut seen()).unwrap();
        assert_eq!(found.keys, ["1", "2"]);
        assert_eq!(found.places, [(0, 1), (0, 2)]);
        let told: Vec<(u64, &str)> =
            found.refused.iter().map(|r| (r.sequence, r.reason.as_str())).collect();
        let expected = [
            (3, "double-key"),
            (4, "no-key"),
            (5, "no-key"),
            (6, "no-key"),
            (7, "not-json"),
            (8, "wrong-encoding"),
            (9, "wrong-encoding"),
            (10, "not-json"),
        ];
        assert_eq!(told, expected);
        assert_eq!(found.refused[0].key.as_deref(), Some("1"));
        let file = Form::Jsonl.file(&found).unwrap();
        let text = String::from_utf8(file.to_vec()).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        assert_eq!(text_in(&found.batch, "text", 1), None);
    }

    #[test]
    fn documents_fit_the_columns_of_an_archive_or_are_refused() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("text", DataType::Utf8, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true),
        ]));
        let form = Form::Parquet(schema.clone());
        let payloads: [&[u8]; 4] = [
            br#"{"id": 1, "text": "one", "more": [1, 2], "at": "2024-05-01T10:00:00Z"}"#,
            br#"{"id": "two", "text": "a key of a wrong type"}"#,
            br#"{"id": 3}"#,
            br#"{"id": 1, "text": "again"}"#,
        ];
        let columns = ["id".to_owned(), "text".to_owned()];
        let found = Arrivals::of(&messages(&payloads), &form, &columns, &mut seen()).unwrap();
        assert_eq!(found.keys, ["1", "3"]);
        let told: Vec<(u64, &str)> =
            found.refused.iter().map(|r| (r.sequence, r.reason.as_str())).collect();
        assert_eq!(told, [(2, "wrong-columns"), (4, "double-key")]);
        assert_eq!((found.batch.schema(), found.batch.num_rows()), (schema, 2));
        assert!(!form.file(&found).unwrap().is_empty());
    }
}
