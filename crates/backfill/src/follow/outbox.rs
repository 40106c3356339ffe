//! What is to be published of a batch: written before the batch is committed, so that after a kill
//! the same is published that the archive holds, and not what another version tells by then.

use std::{collections::HashMap, fmt::Write};

use bytes::Bytes;
use mesh_core::Digest;
use mesh_stream::{Message, Outgoing};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use crate::{
    BackfillError, BackfillErrorKind,
    chunk::Made,
    columns::STAMP,
    follow::arrivals::{Arrivals, Refused, refuse},
    inputs::{json_in, text_in},
    job::{Job, ProjectJob},
    place::Place,
};

/// A line of an outbox.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    id: String,
    #[serde(borrow)]
    message: &'a RawValue,
}

/// What a project told of documents, found by their keys.
struct Told<'a> {
    project: &'a ProjectJob,
    made: &'a Made,
    rows: HashMap<String, usize>,
    rejected: HashMap<String, usize>,
}

/// The file of a batch.
pub(super) fn name(batch: u64) -> String {
    format!("outbox-{batch:08}.jsonl")
}

/// The messages of a batch: each document with the columns of its enrichments, as in an export.
/// `prefix` begins their ids, which are of the place in the stream: no version, no batch.
pub(super) fn messages(
    job: &Job,
    arrivals: &Arrivals,
    made: &[Made],
    prefix: &str,
) -> Vec<Outgoing> {
    let key = job.plan.key_column.as_str();
    let told: Vec<Told<'_>> = job
        .projects
        .iter()
        .zip(made)
        .map(|(project, made)| Told::new(project, made, key))
        .collect();
    let documents = arrivals.lines.iter().zip(&arrivals.keys).zip(&arrivals.places);
    let message = |((line, key), (partition, sequence)): ((&String, &String), &(u32, u64))| {
        // A document is an object with a key: it ends with a brace, and something is before it.
        let mut text = line.strip_suffix('}').unwrap_or(line).to_owned();
        told.iter().for_each(|told| told.write(key, &mut text));
        text.push('}');
        // A stream that lost its end gives a number again, to another document.
        let id = format!("{prefix}:{partition}:{sequence}:{}", Digest::of(line.as_bytes()).short());
        Outgoing { id, payload: text.into() }
    };
    documents.map(message).collect()
}

/// The messages as a file.
pub(super) fn file(messages: &[Outgoing]) -> Bytes {
    let mut all = String::new();
    for Outgoing { id, payload } in messages {
        let payload = String::from_utf8_lossy(payload);
        // Writing to a string does not fail.
        let _ = writeln!(all, r#"{{"id":{},"message":{payload}}}"#, Value::String(id.clone()));
    }
    all.into()
}

/// The messages of a batch that was committed.
pub(super) fn read(place: &Place, batch: u64) -> Result<Vec<Outgoing>, BackfillError> {
    let Some(bytes) = place.get(&name(batch))? else { return Ok(Vec::new()) };
    let damaged = || {
        let kind = BackfillErrorKind::Damaged(place.shown(&name(batch)));
        BackfillError::new("publish what was followed", kind)
    };
    let text = std::str::from_utf8(&bytes).map_err(|error| damaged().because(error))?;
    let line = |line: &str| {
        let line: Line<'_> = serde_json::from_str(line).map_err(|e| damaged().because(e))?;
        Ok(Outgoing { id: line.id, payload: line.message.get().to_owned().into() })
    };
    text.lines().map(line).collect()
}

/// Takes out what a stream does not take, and refuses it.
pub(super) fn too_long(
    outgoing: &mut Vec<Outgoing>,
    arrivals: &Arrivals,
    messages: &[Message],
    limit: usize,
) -> Vec<Refused> {
    let mut refused = Vec::new();
    let mut keep = Vec::new();
    for ((message, key), place) in outgoing.iter().zip(&arrivals.keys).zip(&arrivals.places) {
        let bytes = message.payload.len();
        keep.push(bytes <= limit);
        let from = messages.iter().find(|from| (from.partition, from.sequence) == *place);
        if let (true, Some(from)) = (bytes > limit, from) {
            let detail = format!(
                "with what is told of it, it has {bytes} bytes, of {limit} that are published: it \
                 is not"
            );
            refused.push(refuse(from, Some(key.clone()), "too-long-to-publish", detail));
        }
    }
    let mut keep = keep.into_iter();
    outgoing.retain(|_| keep.next().unwrap_or(true));
    refused
}

impl<'a> Told<'a> {
    fn new(project: &'a ProjectJob, made: &'a Made, key: &str) -> Self {
        let keyed = |batch: &arrow_array::RecordBatch| {
            let row = |row| Some((text_in(batch, key, row)?, row));
            (0..batch.num_rows()).filter_map(row).collect()
        };
        let rejected = made.rejects.as_ref().map(keyed).unwrap_or_default();
        Self { project, made, rows: keyed(&made.batch), rejected }
    }

    /// Adds the columns of a document.
    fn write(&self, key: &str, text: &mut String) {
        let project = &self.project.plan.project;
        let mut put = |column: &str, value: &str| {
            let name = Value::String(format!("{project}.{column}"));
            let _ = write!(text, ",{name}:{value}");
        };
        if let Some(row) = self.rows.get(key) {
            let own = self.project.columns.names().iter().map(String::as_str);
            for column in own.chain(STAMP) {
                let value = json_in(&self.made.batch, column, *row);
                put(column, value.as_deref().unwrap_or("null"));
            }
        } else if let (Some(row), Some(rejects)) = (self.rejected.get(key), &self.made.rejects) {
            let of = |name: &str| text_in(rejects, name, *row).unwrap_or_default();
            let why = json!({ "reason": of("reason"), "detail": of("detail") });
            put("rejected", &why.to_string());
        }
    }
}
