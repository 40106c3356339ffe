//! The requests that the rows of an archive are.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    fmt::Write,
};

use arrow_array::RecordBatch;
use mesh_archive::{json_of, text_of};
use mesh_core::manifest::InputColumn;
use serde_json::Value;

/// What the columns of a request are read from: the documents, and what projects told of them.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a> {
    /// The documents.
    pub(crate) documents: &'a RecordBatch,
    /// By project, its enrichment of the same rows, with the row of each.
    pub(crate) enriched: &'a BTreeMap<String, EnrichedRows>,
    /// Whether values are texts whatever they say, as in CSV: a field of numbers reads them.
    pub(crate) untyped: bool,
}

/// An enrichment beside the documents of a chunk.
#[derive(Debug, Clone)]
pub(crate) struct EnrichedRows {
    /// The rows that there are.
    pub(crate) batch: RecordBatch,
    /// Of each document its row among them.
    pub(crate) rows: Vec<Option<usize>>,
    /// The fields of a prediction, each with its column.
    pub(crate) columns: BTreeMap<String, String>,
    /// The documents of which something else will be told, where it is only counted what is to be
    /// done.
    pub(crate) pending: HashSet<usize>,
}

impl EnrichedRows {
    /// A field of the prediction for a document, as JSON; nothing if there is none.
    pub(crate) fn field(&self, name: &str, row: usize) -> Option<String> {
        let at = (*self.rows.get(row)?)?;
        let column = self.columns.get(name)?;
        json_in(&self.batch, column, at)
    }
}

/// The JSON of an object whose fields come from columns. What has no value is left out.
pub(crate) fn object(
    mapping: &BTreeMap<String, InputColumn>,
    schema: &Value,
    sources: Sources<'_>,
    row: usize,
) -> String {
    let mut out = String::from("{");
    for (name, column) in mapping {
        let at = Place { schema, root: schema }.property(name);
        if let Some(value) = value(column, at, sources, row) {
            push(&mut out, name, &value);
        }
    }
    out.push('}');
    out
}

fn push(out: &mut String, name: &str, value: &str) {
    if out.len() > 1 {
        out.push(',');
    }
    // Writing to a string does not fail.
    let _ = write!(out, "{}:{value}", Value::String(name.to_owned()));
}

fn value(
    column: &InputColumn,
    place: Option<Place<'_>>,
    sources: Sources<'_>,
    row: usize,
) -> Option<String> {
    match column {
        InputColumn::Column(name) => column_value(name, place, sources, row),
        InputColumn::List(parts) => {
            let item = place.and_then(Place::items);
            let values = parts
                .iter()
                .map(|part| value(part, item, sources, row).unwrap_or_else(|| "null".into()));
            Some(format!("[{}]", values.collect::<Vec<_>>().join(",")))
        }
        InputColumn::Object(parts) => {
            let mut out = String::from("{");
            for (name, part) in parts {
                let at = place.and_then(|place| place.property(name));
                // A feature that has no value is one all the same.
                let value = value(part, at, sources, row).unwrap_or_else(|| "null".into());
                push(&mut out, name, &value);
            }
            out.push('}');
            Some(out)
        }
    }
}

fn column_value(
    name: &str,
    place: Option<Place<'_>>,
    sources: Sources<'_>,
    row: usize,
) -> Option<String> {
    if sources.documents.column_by_name(name).is_none()
        && let Some((project, field)) = name.split_once('.')
    {
        return sources.enriched.get(project)?.field(field, row);
    }
    if sources.untyped && place.is_some_and(Place::is_no_text) {
        let (column, field) = sources.documents.schema_ref().column_with_name(name)?;
        let text = text_of(sources.documents.columns().get(column)?.as_ref(), field, row)?;
        let number = text.trim();
        if serde_json::from_str::<Value>(number).is_ok_and(|value| !value.is_string()) {
            return Some(number.to_owned());
        }
    }
    json_in(sources.documents, name, row)
}

pub(crate) fn json_in(batch: &RecordBatch, name: &str, row: usize) -> Option<String> {
    let (column, field) = batch.schema_ref().column_with_name(name)?;
    json_of(batch.columns().get(column)?.as_ref(), field, row)
}

/// The text of a value; nothing if there is none.
pub(crate) fn text_in(batch: &RecordBatch, name: &str, row: usize) -> Option<String> {
    text_at(batch, name, row).map(Cow::into_owned)
}

/// As [`text_in`], without a copy where there is no need of one.
pub(crate) fn text_at<'a>(batch: &'a RecordBatch, name: &str, row: usize) -> Option<Cow<'a, str>> {
    let (column, field) = batch.schema_ref().column_with_name(name)?;
    text_of(batch.columns().get(column)?.as_ref(), field, row)
}

/// A place in a JSON schema.
#[derive(Clone, Copy)]
struct Place<'a> {
    schema: &'a Value,
    root: &'a Value,
}

impl<'a> Place<'a> {
    fn resolved(self) -> Self {
        let mut schema = self.schema;
        // References that lead to each other end.
        for _ in 0..16 {
            let reference = schema.get("$ref").and_then(Value::as_str);
            let target = reference.and_then(|r| self.root.pointer(r.strip_prefix('#')?));
            match target {
                Some(target) => schema = target,
                None => break,
            }
        }
        Self { schema, root: self.root }
    }

    fn property(self, name: &str) -> Option<Self> {
        let schema = self.resolved().schema.get("properties")?.get(name)?;
        Some(Self { schema, root: self.root })
    }

    fn items(self) -> Option<Self> {
        let schema = self.resolved().schema.get("items")?;
        Some(Self { schema, root: self.root })
    }

    /// Whether a value is a number or a truth value there, and no text.
    fn is_no_text(self) -> bool {
        let here = self.resolved();
        let kinds = match here.schema.get("type") {
            Some(Value::String(kind)) => vec![kind.as_str()],
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
            _ => {
                let options = here.schema.get("anyOf").and_then(Value::as_array);
                return options.is_some_and(|options| {
                    let place = |schema| Self { schema, root: self.root };
                    let mut options = options.iter().map(place);
                    options.clone().any(Self::is_no_text)
                        && !options.any(|option| option.is("string"))
                });
            }
        };
        kinds.iter().any(|kind| ["number", "integer", "boolean"].contains(kind))
            && !kinds.contains(&"string")
    }

    fn is(self, kind: &str) -> bool {
        self.resolved().schema.get("type").and_then(Value::as_str) == Some(kind)
    }
}
