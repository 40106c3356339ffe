//! The requests that the rows of an archive are.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    fmt,
};

use arrow_array::{Array, RecordBatch};
use arrow_schema::Field;
use mesh_archive::{push_json, push_json_text, text_of};
use mesh_core::manifest::InputColumn;
use serde_json::Value;
use twox_hash::XxHash3_64;

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
    /// Adds a field of the prediction for a document, as JSON. Whether there is one.
    fn push_field(&self, out: &mut String, name: &str, row: usize) -> bool {
        let place = self.rows.get(row).copied().flatten().zip(self.columns.get(name));
        place.is_some_and(|(at, column)| push_json_in(out, &self.batch, column, at))
    }
}

/// Adds the JSON of an object whose fields come from columns. What has no value is left out.
pub(crate) fn push_fields(
    out: &mut String,
    mapping: &BTreeMap<String, InputColumn>,
    schema: &Value,
    sources: Sources<'_>,
    row: usize,
) {
    let root = Place { schema, root: schema };
    push_object(out, mapping, |out, name, column| {
        push_value(out, column, root.property(name), sources, row)
    });
}

/// Adds an object; `push` adds the value of a field, and says whether there is one.
fn push_object(
    out: &mut String,
    parts: &BTreeMap<String, InputColumn>,
    push: impl Fn(&mut String, &str, &InputColumn) -> bool,
) {
    out.push('{');
    let start = out.len();
    for (name, part) in parts {
        let before = out.len();
        if before > start {
            out.push(',');
        }
        push_json_text(out, name);
        out.push(':');
        if !push(out, name, part) {
            out.truncate(before);
        }
    }
    out.push('}');
}

/// Adds the JSON of a value. Whether there is one.
fn push_value(
    out: &mut String,
    column: &InputColumn,
    place: Option<Place<'_>>,
    sources: Sources<'_>,
    row: usize,
) -> bool {
    // A feature that has no value is one all the same.
    let push_or_null = |out: &mut String, part: &InputColumn, at: Option<Place<'_>>| {
        if !push_value(out, part, at, sources, row) {
            out.push_str("null");
        }
        true
    };
    match column {
        InputColumn::Column(name) => return push_column(out, name, place, sources, row),
        InputColumn::List(parts) => {
            let item = place.and_then(Place::items);
            out.push('[');
            for (at, part) in parts.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_or_null(out, part, item);
            }
            out.push(']');
        }
        InputColumn::Object(parts) => push_object(out, parts, |out, name, part| {
            push_or_null(out, part, place.and_then(|place| place.property(name)))
        }),
    }
    true
}

fn push_column(
    out: &mut String,
    name: &str,
    place: Option<Place<'_>>,
    sources: Sources<'_>,
    row: usize,
) -> bool {
    let found = sources.documents.schema_ref().column_with_name(name);
    let Some((column, field)) = found else {
        let other = name.split_once('.');
        let other = other.and_then(|(of, field)| Some((sources.enriched.get(of)?, field)));
        return other.is_some_and(|(other, field)| other.push_field(out, field, row));
    };
    let Some(column) = sources.documents.columns().get(column) else { return false };
    if sources.untyped && place.is_some_and(Place::is_no_text) {
        let Some(text) = text_of(column.as_ref(), field, row) else { return false };
        let number = text.trim();
        if serde_json::from_str::<Value>(number).is_ok_and(|value| !value.is_string()) {
            out.push_str(number);
            return true;
        }
    }
    push_json(out, column.as_ref(), field, row)
}

pub(crate) fn json_in(batch: &RecordBatch, name: &str, row: usize) -> Option<String> {
    let mut json = String::new();
    push_json_in(&mut json, batch, name, row).then_some(json)
}

fn push_json_in(out: &mut String, batch: &RecordBatch, name: &str, row: usize) -> bool {
    column_of(batch, name).is_some_and(|(column, field)| push_json(out, column, field, row))
}

/// The text of a value; nothing if there is none.
pub(crate) fn text_in(batch: &RecordBatch, name: &str, row: usize) -> Option<String> {
    let (column, field) = column_of(batch, name)?;
    text_of(column, field, row).map(Cow::into_owned)
}

/// A column with its field.
pub(crate) type Column<'a> = (&'a dyn Array, &'a Field);

/// The column of a name, if there is one.
pub(crate) fn column_of<'a>(batch: &'a RecordBatch, name: &str) -> Option<Column<'a>> {
    let (at, field) = batch.schema_ref().column_with_name(name)?;
    Some((batch.columns().get(at)?.as_ref(), field))
}

/// The inputs of the documents of a batch.
pub(crate) struct Inputs<'a>(Vec<Option<Column<'a>>>);

impl<'a> Inputs<'a> {
    pub(crate) fn new(batch: &'a RecordBatch, names: &[String]) -> Self {
        Self(names.iter().map(|name| column_of(batch, name)).collect())
    }

    /// What tells the input of a document apart, and its length in bytes. It need not withstand
    /// those who look for two of one hash: they would have an answer kept in mind for nothing.
    pub(crate) fn hash(&self, row: usize) -> (u64, u64) {
        let mut all = 0u64;
        let mut length = 0;
        for column in &self.0 {
            // What came before is the seed: the order counts, and what is null is no text.
            all = match column.and_then(|(column, field)| text_of(column, field, row)) {
                Some(text) => {
                    length += text.len() as u64;
                    XxHash3_64::oneshot_with_seed(all, text.as_bytes())
                }
                None => all.wrapping_mul(3).wrapping_add(1),
            };
        }
        (all, length)
    }
}

/// What tells one input of a document from the next: it is written beside the answer, as hexadecimal
/// digits. Who may write a document can find two inputs of one such hash, as with any of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InputHash(u64);

impl InputHash {
    /// The hash of the attributes and parameters that a model is asked, as JSON.
    pub(crate) fn of(attributes: &str, parameters: &str) -> Self {
        let parameters = XxHash3_64::oneshot(parameters.as_bytes());
        Self(XxHash3_64::oneshot_with_seed(parameters, attributes.as_bytes()))
    }
}

impl fmt::Display for InputHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
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
