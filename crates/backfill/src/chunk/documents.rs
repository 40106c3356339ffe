//! The documents of a chunk, and what becomes of each.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use arrow_array::{Array, RecordBatch, StringArray};
use arrow_schema::Schema;
use arrow_select::concat::concat_batches;
use mesh_archive::{ArchiveError, Span, Unusable, bytes_of, is_bytes, text_of};

use super::arrow;
use crate::{
    BackfillError,
    asked::Requests,
    generation::Found,
    inputs::{EnrichedRows, column_of},
    job::{Job, ProjectJob},
    select::{Choice, Chooser, Documents, value},
};

/// The documents of a chunk.
pub(crate) struct Chunk {
    pub(crate) span: Span,
    pub(crate) batch: RecordBatch,
    pub(crate) keys: StringArray,
    pub(crate) broken: BTreeMap<usize, Unusable>,
}

impl Chunk {
    /// Reads the documents of a span.
    pub(crate) fn read(job: &Job, span: &Span) -> Result<Self, BackfillError> {
        let (mut batches, mut broken, mut rows) = (Vec::new(), BTreeMap::new(), 0);
        let mut sink = |found: mesh_archive::Rows| {
            broken.extend(found.broken.iter().map(|(row, reason)| (rows + row, *reason)));
            rows += found.batch.num_rows();
            batches.push(found.batch);
            Ok::<(), ArchiveError>(())
        };
        let table = &job.archive.table;
        match job.filter {
            // It compares texts with texts.
            Some(_) => table.read(&job.columns, span, &mut sink)?,
            None => table.read_views(&job.columns, span, &mut sink)?,
        }
        let Some(schema) = batches.first().map(RecordBatch::schema) else {
            let batch = RecordBatch::new_empty(Arc::new(Schema::empty()));
            let keys = StringArray::new_null(0);
            return Ok(Self { span: span.clone(), batch, keys, broken });
        };
        let batch = concat_batches(&schema, &batches).map_err(arrow)?;
        let key = &job.plan.key_column;
        for row in no_text(&batch, job.inputs.iter().chain([key])) {
            broken.entry(row).or_insert(Unusable::Encoding);
        }
        let column = column_of(&batch, key);
        let text = |row| column.and_then(|(column, field)| text_of(column, field, row));
        let keys: StringArray =
            (0..batch.num_rows()).map(|row| text(row).filter(|key| !key.is_empty())).collect();
        Ok(Self { span: span.clone(), keys, batch, broken })
    }

    pub(crate) fn rows(&self) -> usize {
        self.keys.len()
    }

    /// The key of a document, if it has one.
    pub(super) fn key(&self, row: usize) -> Option<&str> {
        value(Some(&self.keys), row)
    }

    /// The answers of projects that are not asked anew.
    pub(crate) fn told(&self, job: &Job) -> Result<BTreeMap<String, EnrichedRows>, BackfillError> {
        let mut enriched = BTreeMap::new();
        for (name, generation) in &job.reads {
            let Found { batch, rows } = generation.find(&job.files, &self.span, &self.keys)?;
            let columns = generation.manifest().columns.iter().cloned().collect();
            let rows = EnrichedRows { batch, rows, columns, pending: HashSet::new() };
            enriched.insert(name.clone(), rows);
        }
        Ok(enriched)
    }

    /// What becomes of its documents for a project, beside what others tell of them.
    pub(crate) fn choices(
        &self,
        job: &Job,
        project: &ProjectJob,
        enriched: &BTreeMap<String, EnrichedRows>,
    ) -> Result<(Vec<Choice>, Found), BackfillError> {
        let before = match &project.base {
            Some(base) => base.find(&job.files, &self.span, &self.keys)?,
            None => Found {
                batch: RecordBatch::new_empty(Arc::clone(&project.table)),
                rows: vec![None; self.rows()],
            },
        };
        let selected = job.filter.as_ref().map(|filter| filter.select(&self.batch)).transpose()?;
        let double = |at: usize| {
            let row = self.span.first + at as u64;
            job.survey.doubles.contains(job.survey.ordinal(self.span.file, row))
        };
        let requests = Requests::new(job, project, self, enriched);
        let others = || project.takes.iter().filter_map(|other| enriched.get(other));
        let input = |at: usize| {
            let pending = others().any(|other| other.pending.contains(&at));
            (!pending).then(|| requests.hash(at).to_string())
        };
        let file = job.files.get(self.span.file).map_or("", |file| file.name.as_str());
        let nameless = |at: usize| project.failed.may_hold(file, self.span.first + at as u64);
        let documents = Documents {
            keys: &self.keys,
            broken: &self.broken,
            double: &double,
            selected: selected.as_ref(),
            input: &input,
            nameless: &nameless,
        };
        let chooser =
            Chooser { digest: &project.plan.digest, only: job.plan.only, failed: &project.failed };
        Ok((chooser.choose(&documents, &before), before))
    }
}

/// The rows in which bytes are to be text and are none, as old writers of Parquet leave texts as
/// plain bytes.
fn no_text<'a>(batch: &RecordBatch, names: impl Iterator<Item = &'a String>) -> Vec<usize> {
    let columns = names.filter_map(|name| column_of(batch, name));
    let columns: Vec<&dyn Array> =
        columns.filter(|(_, field)| is_bytes(field)).map(|(column, _)| column).collect();
    let is_none = |row: &usize| {
        let mut values = columns.iter().filter_map(|column| bytes_of(*column, *row));
        values.any(|value| std::str::from_utf8(value).is_err())
    };
    if columns.is_empty() { Vec::new() } else { (0..batch.num_rows()).filter(is_none).collect() }
}
