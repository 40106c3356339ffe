//! The file of an export: beside its place until it is whole, and then there.

use std::{
    collections::HashMap,
    fs::{File, Permissions},
    io::{BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use mesh_archive::{Format, json_of, text_of};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use serde_json::Value;
use tempfile::NamedTempFile;

use super::{damaged, unwritable};
use crate::BackfillError;

/// A file that is being written.
pub(super) struct Output {
    path: PathBuf,
    unfinished: NamedTempFile,
    rows: Rows,
    /// The columns that objects of JSON do without where they are null.
    sparse: Vec<String>,
}

/// How rows become bytes.
enum Rows {
    /// Nothing, before its columns are known.
    Parquet(Option<Box<ArrowWriter<File>>>),
    Jsonl(BufWriter<File>),
    Csv(BufWriter<File>, Header),
}

/// The line of names of a table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Header {
    Written,
    Due,
}

impl Output {
    /// The format that the name of a file tells, if it is one that can be written.
    pub(super) fn format(path: &Path) -> Option<Format> {
        Format::of(path).filter(|format| *format != Format::Tsv)
    }

    pub(super) fn create(path: &Path, format: Format) -> Result<Self, BackfillError> {
        let fail = |error: std::io::Error| unwritable(path, error);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut builder = tempfile::Builder::new();
        // Like any new file, not only for whoever made it.
        let builder = builder.prefix(".mesh-").permissions(Permissions::from_mode(0o666));
        let unfinished = builder.tempfile_in(folder.unwrap_or(Path::new("."))).map_err(fail)?;
        let file = || unfinished.reopen().map(BufWriter::new).map_err(fail);
        let rows = match format {
            Format::Parquet => Rows::Parquet(None),
            Format::Jsonl => Rows::Jsonl(file()?),
            Format::Csv | Format::Tsv => Rows::Csv(file()?, Header::Due),
        };
        Ok(Self { path: path.to_owned(), unfinished, rows, sparse: Vec::new() })
    }

    /// The same, where objects of JSON do without some columns that are null, as those that are
    /// published do.
    pub(super) fn without_nulls_of(self, sparse: Vec<String>) -> Self {
        Self { sparse, ..self }
    }

    /// Adds rows. The first ones tell the columns, also if there are none of them.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), BackfillError> {
        let fail = |error: std::io::Error| unwritable(&self.path, error);
        match &mut self.rows {
            Rows::Parquet(writer) => {
                let batch = texts(batch)?;
                let fail = |error| unwritable(&self.path, error);
                let writer = match writer {
                    Some(writer) => writer,
                    none => {
                        let file =
                            self.unfinished.reopen().map_err(|e| unwritable(&self.path, e))?;
                        let level = ZstdLevel::try_new(1).unwrap_or_default();
                        let properties =
                            WriterProperties::builder().set_compression(Compression::ZSTD(level));
                        let properties = Some(properties.build());
                        let writer = ArrowWriter::try_new(file, batch.schema(), properties);
                        none.insert(Box::new(writer.map_err(fail)?))
                    }
                };
                writer.write(&batch).map_err(fail)
            }
            Rows::Jsonl(file) => {
                let rows = 0..batch.num_rows();
                rows.map(|row| json_line(batch, row, &self.sparse))
                    .try_for_each(|line| file.write_all(line.as_bytes()).map_err(fail))
            }
            Rows::Csv(file, header) => {
                if *header == Header::Due {
                    let names = batch.schema_ref().fields().iter().map(|field| field.name());
                    file.write_all(record(names.map(String::as_str)).as_bytes()).map_err(fail)?;
                    *header = Header::Written;
                }
                for row in 0..batch.num_rows() {
                    let fields = batch.schema_ref().fields().iter().zip(batch.columns());
                    let cells: Vec<String> =
                        fields.map(|(field, column)| cell(column.as_ref(), field, row)).collect();
                    let line = record(cells.iter().map(String::as_str));
                    file.write_all(line.as_bytes()).map_err(fail)?;
                }
                Ok(())
            }
        }
    }

    /// Puts the file in its place.
    pub(super) fn finish(self) -> Result<(), BackfillError> {
        let Self { path, unfinished, rows, .. } = self;
        match rows {
            Rows::Parquet(Some(writer)) => {
                writer.close().map(drop).map_err(|error| unwritable(&path, error))?;
            }
            Rows::Parquet(None) => {}
            Rows::Jsonl(mut file) | Rows::Csv(mut file, _) => {
                file.flush().map_err(|error| unwritable(&path, error))?;
            }
        }
        unfinished.persist(&path).map_err(|error| unwritable(&path, error.error)).map(drop)
    }
}

/// A row as an object of JSON.
fn json_line(batch: &RecordBatch, row: usize, sparse: &[String]) -> String {
    let mut line = String::from("{");
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let value = json_of(column.as_ref(), field, row);
        if value.is_none() && sparse.contains(field.name()) {
            continue;
        }
        if line.len() > 1 {
            line.push(',');
        }
        line.push_str(&Value::String(field.name().clone()).to_string());
        line.push(':');
        line.push_str(value.as_deref().unwrap_or("null"));
    }
    line.push_str("}\n");
    line
}

/// A value in a table: lists and structs as JSON, what is null as nothing.
fn cell(column: &dyn Array, field: &Field, row: usize) -> String {
    match is_nested(field.data_type()) {
        true => json_of(column, field, row).unwrap_or_default(),
        false => text_of(column, field, row).unwrap_or_default().into_owned(),
    }
}

fn is_nested(of: &DataType) -> bool {
    match of {
        DataType::Dictionary(_, values) => is_nested(values),
        of => of.is_nested(),
    }
}

/// A line of a table, by RFC 4180.
fn record<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    let mut line = String::new();
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            line.push(',');
        }
        // Some readers take spaces off what stands without quotes.
        match cell.contains([',', '"', '\n', '\r']) || cell.trim().len() < cell.len() {
            true => line.push_str(&format!("\"{}\"", cell.replace('"', "\"\""))),
            false => line.push_str(cell),
        }
    }
    line.push('\n');
    line
}

/// Rows for a format that knows no JSON: that is written as text where it is text.
fn texts(batch: &RecordBatch) -> Result<RecordBatch, BackfillError> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if !field.metadata().contains_key("mesh") {
            fields.push(field.as_ref().clone());
            arrays.push(Arc::clone(column));
            continue;
        }
        let text = |row| text_of(column.as_ref(), field, row);
        let texts: StringArray = (0..batch.num_rows()).map(text).collect();
        fields.push(field.as_ref().clone().with_metadata(HashMap::new()));
        arrays.push(Arc::new(texts) as ArrayRef);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(damaged)
}
