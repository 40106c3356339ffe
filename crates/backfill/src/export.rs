//! Documents and what projects told of them, side by side in one file, and the rows that were
//! rejected.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    sync::Arc,
};

use arrow_array::{Array, RecordBatch, StringArray, UInt64Array, new_null_array};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use arrow_select::take::take;
use mesh_archive::{ArchiveError, Format, Span, Watch};
use mesh_core::{ProjectName, Unit};
use serde::Serialize;

mod bytes;
mod rejected;
mod writer;

use crate::{
    BackfillError, BackfillErrorKind, OpenArchive,
    columns::{MODEL_VERSION, STAMP},
    generation::{Found, Generation},
    inputs::text_in,
    job::open_live,
    keys::FileStamp,
};
use bytes::Bytes;
use rejected::{REJECTED, Rejections};
use writer::Output;

/// What was written.
#[derive(Debug, Clone, Serialize)]
pub struct Exported {
    /// Documents.
    pub rows: u64,
    /// By project, documents that it told something of.
    pub enriched: BTreeMap<String, u64>,
    /// The columns of the documents that have another name in the file, with that name: what a
    /// project tells has theirs.
    pub renamed: BTreeMap<String, String>,
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

/// What is put beside documents.
struct Live<'a> {
    project: String,
    generation: &'a Generation,
    /// Its columns as they are kept, each with its field beside the documents.
    columns: Vec<(String, Field)>,
    rejects: Rejections<'a>,
}

/// What documents are read with, and under which names.
struct Documents {
    columns: Vec<String>,
    /// Those that have another name in the file, as what a project tells has theirs.
    renamed: BTreeMap<String, String>,
    bytes: Option<Bytes>,
}

impl OpenArchive {
    /// Writes documents with their live enrichments by some projects (all, if none is named) to a
    /// Parquet, JSONL or CSV file. The columns of a project begin with its name; a column of the
    /// documents that has the name of one is called `documents.` and its name. All of them are of
    /// one moment, whatever becomes live meanwhile.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub fn export(
        &self,
        projects: &[ProjectName],
        output: &Path,
        watch: Watch<'_>,
    ) -> Result<Exported, BackfillError> {
        let action = || format!("export the archive {}", self.manifest.archive.name);
        let Some(format) = Output::format(output) else {
            let what = format!("{} is no .parquet, .jsonl or .csv by its name", output.display());
            return Err(BackfillError::usage(action(), what, "name it so"));
        };
        let current = self.current()?;
        let chosen: Vec<&ProjectName> = match projects {
            [] => current.projects.keys().collect(),
            some => some.iter().collect(),
        };
        let mut generations = Vec::new();
        for project in chosen {
            let generation = current.generation(project.as_str()).ok_or_else(|| {
                let what = format!("it has no live enrichment by {project}");
                BackfillError::usage(action(), what, "`mesh backfill status` shows what is live")
            })?;
            generations.push((project, open_live(self, project.as_str(), generation)?));
        }
        let files = self.stamps();
        let mut live = Vec::new();
        for (project, generation) in &generations {
            live.push(Live::new(project, generation, &files)?);
        }
        let schema = self.table.schema()?;
        let documents = Documents::of(&schema, &live, format);
        let rejected = live.iter().map(|live| live.named(REJECTED)).collect();
        let mut file = Output::create(output, format)?.without_nulls_of(rejected);
        let mut exported = Exported {
            rows: 0,
            enriched: live.iter().map(|live| (live.project.clone(), 0)).collect(),
            renamed: documents.renamed.clone(),
        };
        let key = &self.manifest.archive.key;
        let bytes = documents.bytes.iter().flat_map(Bytes::names).filter(|name| *name != key);
        let seen: Vec<String> = std::iter::once(key).chain(bytes).cloned().collect();
        let marks = self.table.scan(&seen, watch, "read the keys", &mut |rows| {
            documents.bytes.iter().for_each(|bytes| bytes.see(&rows.batch));
            Ok(())
        })?;
        // Of no documents it has the columns all the same.
        file.write(&self.joined(&documents, vec![RecordBatch::new_empty(schema)], None, &live)?)?;
        let task = watch.progress.begin("export", Some(marks.rows()), Unit::Items);
        for span in marks.spans(SPAN) {
            watch.cancel.check()?;
            let mut batches = Vec::new();
            self.table.read(&documents.columns, &span, &mut |found| {
                batches.push(found.batch);
                Ok::<(), ArchiveError>(())
            })?;
            let batch = self.joined(&documents, batches, Some(&span), &live)?;
            exported.count(&batch, &live);
            file.write(&batch)?;
            task.advance(span.rows);
        }
        file.finish()?;
        Ok(exported)
    }

    /// Documents of a span with what was told of them.
    fn joined(
        &self,
        documents: &Documents,
        batches: Vec<RecordBatch>,
        span: Option<&Span>,
        live: &[Live<'_>],
    ) -> Result<RecordBatch, BackfillError> {
        let Some(schema) = batches.first().map(RecordBatch::schema) else {
            return Ok(RecordBatch::new_empty(Arc::new(Schema::empty())));
        };
        let batch = arrow_select::concat::concat_batches(&schema, &batches).map_err(damaged)?;
        let rows = batch.num_rows();
        let key = &self.manifest.archive.key;
        let mut seen = HashSet::new();
        let first = |row| text_in(&batch, key, row).filter(|key| seen.insert(key.clone()));
        let firsts: StringArray = (0..rows).map(first).collect();
        let batch = match &documents.bytes {
            Some(bytes) => bytes.as_text(batch)?,
            None => batch,
        };
        let mut fields: Vec<Field> =
            batch.schema_ref().fields().iter().map(|field| documents.field(field)).collect();
        let mut arrays = batch.columns().to_vec();
        for live in live {
            let found = span.map(|span| live.generation.find(live.rejects.files(), span, &firsts));
            let none = || Found { batch: empty(), rows: vec![None; rows] };
            let Found { batch, rows } = found.transpose()?.unwrap_or_else(none);
            let places: UInt64Array = rows.iter().map(|row| row.map(|row| row as u64)).collect();
            for (column, field) in &live.columns {
                arrays.push(match batch.column_by_name(column) {
                    Some(column) if !column.is_empty() => {
                        take(column, &places, None).map_err(damaged)?
                    }
                    _ => new_null_array(field.data_type(), places.len()),
                });
                fields.push(field.clone());
            }
            let rejected = DataType::Struct(Rejections::fields());
            arrays.push(match span {
                Some(span) => live.rejects.find(span, &firsts, &rows)?,
                None => new_null_array(&rejected, 0),
            });
            fields.push(Field::new(live.named(REJECTED), rejected, true));
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

impl Exported {
    fn count(&mut self, batch: &RecordBatch, live: &[Live<'_>]) {
        self.rows += batch.num_rows() as u64;
        for live in live {
            let told = batch.column_by_name(&live.named(MODEL_VERSION));
            let told = told.map_or(0, |told| told.len() - told.null_count());
            *self.enriched.entry(live.project.clone()).or_default() += told as u64;
        }
    }
}

impl<'a> Live<'a> {
    fn new(
        project: &ProjectName,
        generation: &'a Generation,
        files: &'a [FileStamp],
    ) -> Result<Self, BackfillError> {
        let told = generation.manifest().columns.iter().map(|(_, column)| column.clone());
        let stamp = STAMP.map(ToOwned::to_owned);
        // Without a part nothing is told of any document.
        let schema = match generation.manifest().parts.is_empty() {
            true => Arc::new(Schema::empty()),
            false => generation.part(0)?.schema(),
        };
        let beside = |column: String| {
            let name = format!("{project}.{column}");
            let kind = schema.field_with_name(&column).map_or(&DataType::Null, Field::data_type);
            let field = Field::new(name, kind.clone(), true);
            (column, field)
        };
        let columns = told.chain(stamp).map(beside).collect();
        let rejects = Rejections::new(generation, files);
        Ok(Self { project: project.to_string(), generation, columns, rejects })
    }

    /// A column of the project in the file.
    fn named(&self, column: &str) -> String {
        format!("{}.{column}", self.project)
    }
}

impl Documents {
    fn of(schema: &Schema, live: &[Live<'_>], format: Format) -> Self {
        let columns: Vec<String> =
            schema.fields().iter().map(|field| field.name().clone()).collect();
        let mut taken: HashSet<String> = columns.iter().cloned().collect();
        let told: HashSet<String> = live
            .iter()
            .flat_map(|live| {
                let columns = live.columns.iter().map(|(_, field)| field.name().clone());
                columns.chain([live.named(REJECTED)])
            })
            .collect();
        taken.extend(told.iter().cloned());
        let mut renamed = BTreeMap::new();
        for column in columns.iter().filter(|column| told.contains(*column)) {
            let mut name = format!("documents.{column}");
            while !taken.insert(name.clone()) {
                name = format!("documents.{name}");
            }
            renamed.insert(column.clone(), name);
        }
        let bytes = (format != Format::Parquet).then(|| Bytes::of(schema));
        Self { columns, renamed, bytes }
    }

    /// A column as it is in the file.
    fn field(&self, field: &Field) -> Field {
        match self.renamed.get(field.name()) {
            Some(name) => field.clone().with_name(name),
            None => field.clone(),
        }
    }
}

fn empty() -> RecordBatch {
    RecordBatch::new_empty(Arc::new(Schema::empty()))
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
