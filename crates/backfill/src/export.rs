//! Documents and what projects told of them, side by side in one file, and the rows that were
//! rejected.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    sync::Arc,
};

use arrow_array::{Array, ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{ArrowError, Field, Schema};
use arrow_select::take::take;
use mesh_archive::{ArchiveError, Format, Span, Watch, json_of, text_of};
use mesh_core::{ProjectName, Unit};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    BackfillError, BackfillErrorKind, OpenArchive,
    columns::STAMP,
    generation::{Found, Generation},
    inputs::text_in,
    job::open_live,
};

/// What was written.
#[derive(Debug, Clone, Serialize)]
pub struct Exported {
    /// Documents.
    pub rows: u64,
    /// By project, documents that it told something of.
    pub enriched: BTreeMap<String, u64>,
}

/// A row that was rejected.
#[derive(Debug, Clone, Serialize)]
pub struct Rejected {
    /// Its key, if it has one.
    pub key: Option<String>,
    /// The file that it is in.
    pub file: String,
    /// Its number in the file, from 0.
    pub row: u64,
    /// Why, in a word.
    pub reason: String,
    /// Why, in a sentence.
    pub detail: String,
}

/// Documents that are put together at once.
const SPAN: u64 = 4096;

enum Writer {
    Parquet(Box<ArrowWriter<BufWriter<File>>>),
    Jsonl(BufWriter<File>),
}

impl OpenArchive {
    /// Writes documents with their live enrichments by some projects (all, if none is named) to a
    /// Parquet or JSONL file. The columns of a project begin with its name. All of them are of one
    /// moment, whatever becomes live meanwhile.
    ///
    /// # Errors
    /// When something cannot be read or written, or a column name is taken.
    pub fn export(
        &self,
        projects: &[ProjectName],
        output: &Path,
        watch: Watch<'_>,
    ) -> Result<Exported, BackfillError> {
        let action = || format!("export the archive {}", self.manifest.archive.name);
        let format = Format::of(output);
        if !matches!(format, Some(Format::Parquet | Format::Jsonl)) {
            let what = format!("{} is no .parquet or .jsonl by its name", output.display());
            return Err(BackfillError::usage(action(), what, "name it so"));
        }
        let current = self.current()?;
        let chosen: Vec<&ProjectName> = match projects {
            [] => current.projects.keys().collect(),
            some => some.iter().collect(),
        };
        let mut live = Vec::new();
        for project in chosen {
            let generation = current.generation(project.as_str()).ok_or_else(|| {
                let what = format!("it has no live enrichment by {project}");
                BackfillError::usage(action(), what, "`mesh backfill status` shows what is live")
            })?;
            live.push((project.to_string(), open_live(self, project.as_str(), generation)?));
        }
        let columns: Vec<String> =
            self.table.schema()?.fields().iter().map(|field| field.name().clone()).collect();
        let told = live.iter().flat_map(|(project, generation)| names(project, generation));
        if let Some((_, name)) = told.into_iter().find(|(_, name)| columns.contains(name)) {
            let what = format!("the column name `{name}` is taken");
            return Err(BackfillError::usage(action(), what, "rename the archive's column"));
        }
        let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
        let fail = |error: std::io::Error| unwritable(output, error);
        let unfinished =
            tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(fail)?;
        let mut writer = None;
        let mut exported = Exported { rows: 0, enriched: BTreeMap::new() };
        let files = self.stamps();
        let marks = self.table.scan(
            std::slice::from_ref(&self.manifest.archive.key),
            watch,
            "read the keys",
            &mut |_| Ok(()),
        )?;
        let task = watch.progress.begin("export", Some(marks.rows()), Unit::Items);
        for span in marks.spans(SPAN) {
            watch.cancel.check()?;
            let batch = self.joined(&columns, &span, &live, &files, &mut exported)?;
            let batch = if format == Some(Format::Parquet) { texts(&batch)? } else { batch };
            let writer = match &mut writer {
                Some(writer) => writer,
                none => {
                    let file = BufWriter::new(unfinished.reopen().map_err(fail)?);
                    none.insert(Writer::new(format, file, &batch, output)?)
                }
            };
            writer.write(&batch, output)?;
            task.advance(span.rows);
        }
        let writer = match writer {
            None if format == Some(Format::Parquet) => {
                // Of no documents it has the columns all the same.
                let fields: Vec<Field> = self
                    .table
                    .schema()?
                    .fields()
                    .iter()
                    .map(|field| field.as_ref().clone().with_metadata(HashMap::new()))
                    .collect();
                let none = RecordBatch::new_empty(Arc::new(Schema::new(fields)));
                let file = BufWriter::new(unfinished.reopen().map_err(fail)?);
                Some(Writer::new(format, file, &none, output)?)
            }
            writer => writer,
        };
        if let Some(writer) = writer {
            writer.finish(output)?;
        }
        unfinished.persist(output).map_err(|error| unwritable(output, error.error))?;
        Ok(exported)
    }

    /// The documents of a span with what was told of them.
    fn joined(
        &self,
        columns: &[String],
        span: &Span,
        live: &[(String, Generation)],
        files: &[crate::keys::FileStamp],
        exported: &mut Exported,
    ) -> Result<RecordBatch, BackfillError> {
        let mut batches = Vec::new();
        self.table.read(columns, span, &mut |found| {
            batches.push(found.batch);
            Ok::<(), ArchiveError>(())
        })?;
        let Some(schema) = batches.first().map(RecordBatch::schema) else {
            return Ok(RecordBatch::new_empty(Arc::new(Schema::empty())));
        };
        let documents = arrow_select::concat::concat_batches(&schema, &batches).map_err(damaged)?;
        let rows = documents.num_rows();
        let key = &self.manifest.archive.key;
        let mut fields: Vec<Field> =
            schema.fields().iter().map(|field| field.as_ref().clone()).collect();
        let mut arrays = documents.columns().to_vec();
        exported.rows += rows as u64;
        let mut seen = std::collections::HashSet::new();
        let first = |row| text_in(&documents, key, row).filter(|key| seen.insert(key.clone()));
        let firsts: StringArray = (0..rows).map(first).collect();
        for (project, generation) in live {
            let Found { batch, rows } = generation.find(files, span, &firsts)?;
            let told = exported.enriched.entry(project.clone()).or_default();
            *told += rows.iter().flatten().count() as u64;
            let places: UInt64Array = rows.iter().map(|row| row.map(|row| row as u64)).collect();
            for (column, name) in names(project, generation) {
                let Some((at, field)) = batch.schema_ref().column_with_name(&column) else {
                    continue;
                };
                let field = Field::new(name, field.data_type().clone(), true);
                let Some(column) = batch.columns().get(at) else { continue };
                let column = match column.is_empty() {
                    true => arrow_array::new_null_array(field.data_type(), places.len()),
                    false => take(column, &places, None).map_err(damaged)?,
                };
                fields.push(field);
                arrays.push(column);
            }
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(damaged)
    }

    /// The rows that a generation of a project rejected, at most so many.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn rejected(
        &self,
        project: &str,
        parts: &[(usize, u64)],
        generation: &str,
        most: usize,
    ) -> Result<Vec<Rejected>, BackfillError> {
        let place = self.generation(project, generation);
        let mut all = Vec::new();
        for (chunk, rejected) in parts {
            if *rejected == 0 || all.len() >= most {
                continue;
            }
            let file = crate::generation::Part::rejects(*chunk);
            let batch = crate::generation::read_part(&place, &file)?;
            for row in 0..batch.num_rows().min(most - all.len()) {
                let text = |name: &str| text_in(&batch, name, row).unwrap_or_default();
                let row_number = text("row").parse().unwrap_or_default();
                all.push(Rejected {
                    key: text_in(&batch, &self.manifest.archive.key, row),
                    file: text("file"),
                    row: row_number,
                    reason: text("reason"),
                    detail: text("detail"),
                });
            }
        }
        Ok(all)
    }
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

impl Writer {
    fn new(
        format: Option<Format>,
        file: BufWriter<File>,
        batch: &RecordBatch,
        output: &Path,
    ) -> Result<Self, BackfillError> {
        if format != Some(Format::Parquet) {
            return Ok(Self::Jsonl(file));
        }
        let level = ZstdLevel::try_new(1).unwrap_or_default();
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level));
        let writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.build()));
        let writer = writer.map_err(|error| unwritable(output, error))?;
        Ok(Self::Parquet(Box::new(writer)))
    }

    fn write(&mut self, batch: &RecordBatch, output: &Path) -> Result<(), BackfillError> {
        match self {
            Self::Parquet(writer) => writer.write(batch).map_err(|error| unwritable(output, error)),
            Self::Jsonl(writer) => {
                let schema = batch.schema();
                for row in 0..batch.num_rows() {
                    let mut line = String::from("{");
                    for (field, column) in schema.fields().iter().zip(batch.columns()) {
                        if line.len() > 1 {
                            line.push(',');
                        }
                        line.push_str(&Value::String(field.name().clone()).to_string());
                        line.push(':');
                        let value = json_of(column.as_ref(), field, row);
                        line.push_str(value.as_deref().unwrap_or("null"));
                    }
                    line.push('}');
                    writeln!(writer, "{line}").map_err(|error| unwritable(output, error))?;
                }
                Ok(())
            }
        }
    }

    fn finish(self, output: &Path) -> Result<(), BackfillError> {
        match self {
            Self::Parquet(writer) => {
                writer.close().map(drop).map_err(|error| unwritable(output, error))
            }
            Self::Jsonl(mut writer) => writer.flush().map_err(|error| unwritable(output, error)),
        }
    }
}

/// The columns of a generation, each with its name beside the documents.
fn names(project: &str, generation: &Generation) -> Vec<(String, String)> {
    let told = generation.manifest().columns.iter().map(|(_, column)| column.clone());
    let stamp = STAMP.map(ToOwned::to_owned);
    told.chain(stamp).map(|column| (column.clone(), format!("{project}.{column}"))).collect()
}

fn unwritable(
    output: &Path,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> BackfillError {
    let kind = BackfillErrorKind::Write(output.display().to_string());
    BackfillError::new("export the archive", kind).because(error).help("make room and try again")
}

fn damaged(error: ArrowError) -> BackfillError {
    let kind = BackfillErrorKind::Damaged("an enrichment".into());
    BackfillError::new("export the archive", kind).because(error)
}
