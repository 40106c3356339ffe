use std::{collections::HashMap, sync::Arc};

use arrow_schema::{DataType, Field, FieldRef};
use mesh_core::NoProgress;

use super::{
    Reading, Span, json,
    marks::{FileMarks, MARK_ROWS},
    place::Place,
    waiting::{Sink, Waiting},
};
use crate::{
    ArchiveError, Format, Unusable,
    lines::Lines,
    records::{Record, Records},
    value::JSON,
};

/// Which keys were met in objects: one that no row has is a mistake of whoever asked.
#[derive(Default)]
pub(super) struct Met {
    /// For each key that was asked for.
    keys: Vec<bool>,
    /// The keys of the first object, and the number of its file.
    all: Option<(usize, Vec<String>)>,
}

/// A key that no object has.
pub(super) struct Missing<'a> {
    pub(super) key: &'a str,
    /// The number of a file with objects.
    pub(super) file: usize,
    /// The keys of the first of them.
    pub(super) all: &'a [String],
}

/// The rows of a file from some row on.
enum Stream<'a> {
    Objects { lines: Lines<'a>, line: Vec<u8> },
    Records { records: Records<'a>, places: Vec<usize>, record: Option<Record> },
}

/// A row: where it begins, and its values.
struct Row<'r> {
    offset: u64,
    values: Result<Vec<Option<&'r str>>, Unusable>,
}

/// Lines that are looked at to find the keys of objects.
const LOOKED_AT: usize = 100;

/// A column of a file of text.
pub(super) fn field(name: &str, format: Format) -> FieldRef {
    let field = Field::new(name, DataType::Utf8, true);
    Arc::new(match format {
        Format::Jsonl => {
            field.with_metadata(HashMap::from([(JSON.0.to_owned(), JSON.1.to_owned())]))
        }
        _ => field,
    })
}

/// The names of the columns of a file.
pub(super) fn names(place: &Place, format: Format) -> Result<Vec<String>, ArchiveError> {
    let mut lines = Lines::new(place.told(), place.read_from(0)?, &NoProgress);
    if format != Format::Jsonl {
        return Ok(Records::new(lines, format.dialect())?.names);
    }
    let (mut line, mut names) = (Vec::new(), Vec::new());
    for _ in 0..LOOKED_AT {
        if lines.next_written(&mut line)?.is_none() {
            break;
        }
        let keys = json::keys(&line).unwrap_or_default();
        for key in keys {
            if !names.contains(&key) {
                names.push(key);
            }
        }
    }
    Ok(names)
}

/// Gives all rows of a file, and finds their marks.
pub(super) fn scan(
    reading: &Reading<'_>,
    format: Format,
    met: &mut Met,
    sink: Sink<'_>,
) -> Result<FileMarks, ArchiveError> {
    let mut stream = Stream::open(reading, format)?;
    let mut waiting = Waiting::new(reading.batches(), 0, sink);
    let mut marks = FileMarks::default();
    while let Some(row) = stream.next(reading, met)? {
        if marks.rows.is_multiple_of(MARK_ROWS) {
            reading.cancel.check()?;
            marks.offsets.push(row.offset);
        }
        marks.rows += 1;
        waiting.push(row.values)?;
    }
    waiting.flush()?;
    Ok(marks)
}

/// Gives the rows of a span; tells how many there are. `names` are those of the file's columns.
pub(super) fn read(
    reading: &Reading<'_>,
    format: Format,
    names: &[String],
    span: &Span,
    sink: Sink<'_>,
) -> Result<u64, ArchiveError> {
    let mut stream = Stream::resume(reading, format, names, span.offset)?;
    let mut met = Met::default();
    for _ in 0..span.first % MARK_ROWS {
        stream.next(reading, &mut met)?;
    }
    let mut waiting = Waiting::new(reading.batches(), span.first, sink);
    let mut rows = 0;
    while rows < span.rows
        && let Some(row) = stream.next(reading, &mut met)?
    {
        waiting.push(row.values)?;
        rows += 1;
    }
    waiting.flush()?;
    Ok(rows)
}

impl Met {
    /// A key that no object has, if there are objects: beside the first of them, its file and
    /// all its keys.
    pub(super) fn missing<'a>(&'a self, asked: &'a [FieldRef]) -> Option<Missing<'a>> {
        let (file, all) = self.all.as_ref()?;
        let met = |place: usize| self.keys.get(place).copied().unwrap_or(false);
        let (_, key) = asked.iter().enumerate().find(|(place, _)| !met(*place))?;
        Some(Missing { key: key.name(), file: *file, all })
    }

    fn note(&mut self, file: usize, line: &[u8], values: &[Option<&str>]) {
        self.keys.resize(values.len(), false);
        for (met, value) in self.keys.iter_mut().zip(values) {
            *met |= value.is_some();
        }
        if self.all.is_none() {
            self.all = json::keys(line).ok().map(|keys| (file, keys));
        }
    }
}

impl<'a> Stream<'a> {
    fn open(reading: &Reading<'a>, format: Format) -> Result<Self, ArchiveError> {
        let lines = Lines::new(reading.place.told(), reading.place.read_from(0)?, reading.task);
        if format == Format::Jsonl {
            return Ok(Self::Objects { lines, line: Vec::new() });
        }
        Self::of(reading, Records::new(lines, format.dialect())?)
    }

    /// The rows from where one begins.
    fn resume(
        reading: &Reading<'a>,
        format: Format,
        names: &[String],
        offset: u64,
    ) -> Result<Self, ArchiveError> {
        let place = reading.place;
        let lines = Lines::new(place.told(), place.read_from(offset)?, reading.task);
        let lines = lines.starting_at(offset);
        if format == Format::Jsonl {
            return Ok(Self::Objects { lines, line: Vec::new() });
        }
        Self::of(reading, Records::resume(lines, format.dialect(), names.to_vec()))
    }

    fn of(reading: &Reading<'a>, records: Records<'a>) -> Result<Self, ArchiveError> {
        let place = |field: &FieldRef| {
            let place = records.names.iter().position(|name| name == field.name());
            let told = reading.place.told();
            place.ok_or_else(|| ArchiveError::no_column(told, field.name(), &records.names))
        };
        let places = reading.plan.own.iter().map(place).collect::<Result<_, _>>()?;
        Ok(Self::Records { records, places, record: None })
    }

    fn next(
        &mut self,
        reading: &Reading<'_>,
        met: &mut Met,
    ) -> Result<Option<Row<'_>>, ArchiveError> {
        match self {
            Self::Objects { lines, line } => {
                let Some(offset) = lines.next_written(line)? else { return Ok(None) };
                let values = json::pick(line, &reading.plan.own).and_then(|values| {
                    met.note(reading.number, line, &values);
                    json::told(values)
                });
                Ok(Some(Row { offset, values }))
            }
            Self::Records { records, places, record } => {
                *record = records.next()?;
                let Some(Record { offset, values, .. }) = record else { return Ok(None) };
                let values = match values {
                    Ok(values) => {
                        let values = places.iter().map(|place| {
                            let value = values.get(*place).filter(|value| !value.is_empty());
                            value.map(|value| std::str::from_utf8(value)).transpose()
                        });
                        values.collect::<Result<_, _>>().map_err(|_| Unusable::Encoding)
                    }
                    Err(reason) => Err(*reason),
                };
                Ok(Some(Row { offset: *offset, values }))
            }
        }
    }
}
