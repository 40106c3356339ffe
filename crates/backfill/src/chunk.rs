//! The work on one chunk: documents are read, what is to be done is answered, and what is left of
//! it is written as one part per project.

use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map::Entry},
    fmt::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::{
    Array, ArrayRef, RecordBatch, StringArray, TimestampMillisecondArray, UInt32Array, UInt64Array,
    builder::StringBuilder,
};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use arrow_select::{interleave::interleave, take::take};
use mesh_archive::Span;
use mesh_core::{Cancel, Digest, ProgressTask};

use crate::{
    BackfillError, BackfillErrorKind,
    answers::{AnswerLog, Answered, Prediction, Reason},
    asked::{Asked, AskedList, Requests, no_answer, predict},
    columns::{ENRICHED_AT, INPUT_DIGEST, MODEL_DIGEST, MODEL_VERSION},
    generation::{self, Counts, Found, Part, counts_of},
    inputs::{EnrichedRows, InputHash, Inputs, text_in},
    job::{Job, ProjectJob},
    keys::KeyHash,
    rejects::Reasons,
    select::Choice,
};

mod documents;

pub(crate) use documents::Chunk;

/// What a chunk is done with.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    pub(crate) job: &'a Job,
    pub(crate) answers: &'a AnswerLog,
    pub(crate) progress: &'a dyn ProgressTask,
    pub(crate) cancel: &'a Cancel,
}

/// What was made of a chunk for one project, not yet written.
pub(crate) struct Made {
    pub(crate) batch: RecordBatch,
    pub(crate) rejects: Option<RecordBatch>,
    pub(crate) counts: Counts,
    /// Requests that the model was asked, identical ones once.
    pub(crate) asked: u64,
    /// How long it took to answer them.
    pub(crate) asking: Duration,
    /// How long it took to look for what was told before.
    pub(crate) finding: Duration,
}

/// A row of a part: the document, and where its answer is. That is one of two lists, what was
/// answered now and what was told before, and a place in it.
type PartRow = (usize, (usize, usize));

/// What a part is made of.
#[derive(Clone, Copy)]
struct Answers<'a> {
    /// What was answered now.
    predictions: &'a [&'a Prediction],
    /// What was asked.
    inputs: &'a [InputHash],
    /// What was told before.
    before: &'a Found,
    rows: &'a [PartRow],
}

/// What became of the documents that were to be answered.
struct AnsweredRows {
    /// Each with what tells its input, and which of the answers is its own.
    rows: Vec<(InputHash, usize)>,
    /// The answers to different inputs.
    answers: Vec<Answered>,
    /// How many were answered with another's.
    repeated: u64,
    /// How long the model took.
    asking: Duration,
}

/// Requests answered in one call of a model.
const BATCH: usize = 64;

impl Work<'_> {
    /// Does a chunk as [`Work::chunk`]; a panic is an error.
    pub(crate) fn caught(&self, number: usize) -> Result<Vec<Part>, BackfillError> {
        catch_unwind(AssertUnwindSafe(|| self.chunk(number)))
            .unwrap_or_else(|_| Err(BackfillError::new("backfill", BackfillErrorKind::Panic)))
    }

    /// Does a chunk, and writes what is left of it. A part that was written before a kill is
    /// taken as it is.
    pub(crate) fn chunk(&self, number: usize) -> Result<Vec<Part>, BackfillError> {
        let job = self.job;
        let Some(span) = job.spans.get(number) else { return Ok(Vec::new()) };
        if let Some(parts) = self.written(number, span)? {
            self.progress.advance(span.rows);
            return Ok(parts);
        }
        let chunk = Chunk::read(job, span)?;
        let mut enriched = chunk.told(job)?;
        let mut parts = Vec::new();
        for project in &job.projects {
            let made = self.make(project, &chunk, &enriched)?;
            let name = project.plan.project.as_str();
            if job.projects.iter().any(|other| other.takes.contains(name)) {
                let told = beside(&made.batch, &project.plan.columns, &job.plan.key_column, &chunk);
                enriched.insert(name.to_owned(), told);
            }
            parts.push(self.write(project, number, span, &made)?);
        }
        self.progress.advance(span.rows);
        Ok(parts)
    }

    /// What is made of a chunk for a project.
    pub(crate) fn make(
        &self,
        project: &ProjectJob,
        chunk: &Chunk,
        enriched: &BTreeMap<String, EnrichedRows>,
    ) -> Result<Made, BackfillError> {
        let started = Instant::now();
        let (choices, before) = chunk.choices(self.job, project, enriched)?;
        let finding = started.elapsed();
        let todo: Vec<usize> = (0..)
            .zip(&choices)
            .filter(|(_, choice)| matches!(choice, Choice::Enrich(_)))
            .map(|(row, _)| row)
            .collect();
        let AnsweredRows { rows, answers, repeated, asking } =
            self.answer(project, chunk, enriched, &todo)?;
        let mut counts = Counts { rows: chunk.rows() as u64, repeated, ..Counts::default() };
        let mut predictions: Vec<&Prediction> = Vec::with_capacity(rows.len());
        let mut inputs: Vec<InputHash> = Vec::with_capacity(rows.len());
        let mut kept: Vec<PartRow> = Vec::with_capacity(chunk.rows());
        let mut rejected: Vec<(usize, Reason)> = Vec::new();
        let mut reasons = Reasons::of(project.base.as_ref());
        let mut answered = rows.into_iter().map(|(input, at)| (input, answers.get(at)));
        for (row, choice) in choices.into_iter().enumerate() {
            match choice {
                Choice::Enrich(_) => match answered.next() {
                    Some((input, Some(Ok(answer)))) => {
                        inputs.push(input);
                        counts.enriched += 1;
                        kept.push((row, (0, predictions.len())));
                        predictions.push(answer);
                    }
                    Some((_, Some(Err(reason)))) => rejected.push((row, reason.clone())),
                    Some((_, None)) | None => rejected.push((row, no_answer())),
                },
                Choice::Keep(at, _) => {
                    counts.kept += 1;
                    kept.push((row, (1, at)));
                }
                Choice::Skip(_) => counts.skipped += 1,
                Choice::StayRejected(at) => {
                    counts.rejected_before += 1;
                    rejected.push((row, reasons.read(at)?));
                }
                Choice::Reject(reason) => rejected.push((row, reason)),
            }
        }
        let asked = todo.len() as u64 - repeated;
        counts.rejected = rejected.len() as u64;
        let (predictions, inputs) = (predictions.as_slice(), inputs.as_slice());
        let told = Answers { predictions, inputs, before: &before, rows: &kept };
        let batch = self.table(project, chunk, told)?;
        let rejects = match rejected.is_empty() {
            true => None,
            false => Some(self.rejects(chunk, &rejected)?),
        };
        Ok(Made { batch, rejects, counts, asked, asking, finding })
    }

    /// Answers documents, identical inputs once.
    fn answer(
        &self,
        project: &ProjectJob,
        chunk: &Chunk,
        enriched: &BTreeMap<String, EnrichedRows>,
        todo: &[usize],
    ) -> Result<AnsweredRows, BackfillError> {
        let job = self.job;
        let requests = Requests::new(job, project, chunk, enriched);
        let inputs = Inputs::new(&chunk.batch, &job.inputs);
        let mut asked = AskedList::default();
        // Of each input what names it, if others may have the same, and whether some other chunk may.
        let mut ids: Vec<Option<(KeyHash, bool)>> = Vec::with_capacity(todo.len());
        let mut known: HashMap<KeyHash, usize> = HashMap::new();
        let tells_repeated = job.tells_repeated(project);
        let mut places = Vec::with_capacity(todo.len());
        for row in todo {
            let (input, _) = inputs.hash(*row);
            let repeated = job.survey.is_repeated(input);
            let is_alone = !repeated && tells_repeated;
            let (hash, id) = asked.push(&requests, *row, is_alone);
            let place = match id.map(|id| (id, known.entry(id))) {
                Some((_, Entry::Occupied(known))) => {
                    asked.pop();
                    *known.get()
                }
                Some((id, Entry::Vacant(new))) => {
                    ids.push(Some((id, repeated)));
                    *new.insert(asked.len() - 1)
                }
                None => {
                    ids.push(None);
                    asked.len() - 1
                }
            };
            places.push((hash, place));
        }
        let mut answers: Vec<Option<Answered>> = ids
            .iter()
            .map(|id| id.filter(|(_, repeated)| *repeated).and_then(|(id, _)| self.answers.get(id)))
            .collect();
        let reused = answers.iter().filter(|answer| answer.is_some()).count();
        let repeated = (todo.len() - asked.len() + reused) as u64;
        let open: Vec<usize> =
            (0..).zip(&answers).filter(|(_, answer)| answer.is_none()).map(|(at, _)| at).collect();
        let mut asking = Duration::ZERO;
        for some in open.chunks(BATCH) {
            self.cancel.check()?;
            let started = Instant::now();
            let batch: Vec<Asked<'_>> = some.iter().filter_map(|at| asked.get(*at)).collect();
            let answered = match &project.remote {
                None => predict(&requests, &batch),
                Some(remote) => remote.answer(&batch, self.cancel)?,
            };
            asking += started.elapsed();
            for (at, answer) in some.iter().zip(answered) {
                if let Some(Some((id, true))) = ids.get(*at) {
                    self.answers.put(*id, &answer);
                }
                if let Some(place) = answers.get_mut(*at) {
                    *place = Some(answer);
                }
            }
        }
        let answers =
            answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(no_answer()))).collect();
        Ok(AnsweredRows { rows: places, answers, repeated, asking })
    }

    /// The rows of a part.
    fn table(
        &self,
        project: &ProjectJob,
        chunk: &Chunk,
        told: Answers<'_>,
    ) -> Result<RecordBatch, BackfillError> {
        let Answers { predictions, inputs, before, rows } = told;
        let places: Vec<(usize, usize)> = rows.iter().map(|(_, place)| *place).collect();
        let count = predictions.len();
        let decoded = project.columns.decode(predictions)?;
        let now = chrono::Utc::now().timestamp_millis();
        let version = project.plan.version.get();
        let mut digests = StringBuilder::new();
        for input in inputs {
            // What it writes to grows as it needs to.
            let _ = write!(digests, "{input}");
            digests.append_value("");
        }
        let stamps: [(&str, ArrayRef); 4] = [
            (MODEL_VERSION, Arc::new(UInt32Array::from(vec![version; count]))),
            (MODEL_DIGEST, Arc::new(StringArray::from(vec![project.plan.digest.as_str(); count]))),
            (
                ENRICHED_AT,
                Arc::new(TimestampMillisecondArray::from(vec![now; count]).with_timezone("UTC")),
            ),
            (INPUT_DIGEST, Arc::new(digests.finish())),
        ];
        let names = project.columns.names().iter().map(String::as_str);
        let new = names.zip(decoded).chain(stamps);
        let mut columns = vec![self.keys(project, chunk, rows)?];
        for ((name, new), field) in new.zip(project.table.fields().iter().skip(1)) {
            if rows.len() == count {
                // All of them were answered now.
                columns.push(new);
                continue;
            }
            let old = match before.batch.column_by_name(name) {
                Some(old) => cast(old, field.data_type()).map_err(arrow)?,
                None => new.slice(0, 0),
            };
            columns.push(interleave(&[new.as_ref(), old.as_ref()], &places).map_err(arrow)?);
        }
        RecordBatch::try_new(Arc::clone(&project.table), columns).map_err(arrow)
    }

    fn keys(
        &self,
        project: &ProjectJob,
        chunk: &Chunk,
        kept: &[PartRow],
    ) -> Result<ArrayRef, BackfillError> {
        let key = &self.job.plan.key_column;
        let kind = project.table.fields().first().map_or(DataType::Utf8, |f| f.data_type().clone());
        let Some((at, field)) = chunk.batch.schema_ref().column_with_name(key) else {
            return Ok(arrow_array::new_empty_array(&kind));
        };
        // A text of JSON would be kept with its quotes, and not be found again.
        if field.metadata().contains_key("mesh") {
            let text = |(row, _): &(usize, _)| chunk.key(*row);
            return Ok(Arc::new(kept.iter().map(text).collect::<StringArray>()));
        }
        let rows = UInt64Array::from_iter_values(kept.iter().map(|(row, _)| *row as u64));
        match chunk.batch.columns().get(at) {
            Some(column) => {
                take(column, &rows, None).and_then(|keys| cast(&keys, &kind)).map_err(arrow)
            }
            None => Ok(arrow_array::new_empty_array(&kind)),
        }
    }

    /// The rows of what is rejected.
    fn rejects(
        &self,
        chunk: &Chunk,
        rejected: &[(usize, Reason)],
    ) -> Result<RecordBatch, BackfillError> {
        let file = self.job.files.get(chunk.span.file).map_or("", |file| file.name.as_str());
        let mut keys = StringBuilder::new();
        for (row, _) in rejected {
            keys.append_option(chunk.key(*row));
        }
        let count = rejected.len();
        let rows = rejected.iter().map(|(row, _)| chunk.span.first + *row as u64);
        let kinds = rejected.iter().map(|(_, reason)| reason.kind.as_str());
        let details = rejected.iter().map(|(_, reason)| reason.detail.as_str());
        let columns: Vec<(&str, ArrayRef, bool)> = vec![
            (self.job.plan.key_column.as_str(), Arc::new(keys.finish()), true),
            ("file", Arc::new(StringArray::from(vec![file; count])), false),
            ("row", Arc::new(UInt64Array::from_iter_values(rows)), false),
            ("reason", Arc::new(StringArray::from_iter_values(kinds)), false),
            ("detail", Arc::new(StringArray::from_iter_values(details)), false),
        ];
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, column, null)| Field::new(*name, column.data_type().clone(), *null))
            .collect();
        let columns = columns.into_iter().map(|(_, column, _)| column).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(arrow)
    }

    /// Writes what was made of a chunk. What was rejected comes first: where there is a part, all
    /// of it is there.
    fn write(
        &self,
        project: &ProjectJob,
        number: usize,
        span: &Span,
        made: &Made,
    ) -> Result<Part, BackfillError> {
        let key = self.job.key;
        if let Some(rejects) = &made.rejects {
            let bytes = generation::encode(rejects, key, &made.counts)?;
            project.place.replace(&Part::rejects(number), bytes)?;
        }
        let bytes = generation::encode(&made.batch, key, &made.counts)?;
        let file = Part::file(number);
        if !project.place.create(&file, bytes.clone())? {
            // Another process of the same backfill was quicker: its part is as good.
            if let Some(part) = self.existing(project, number, span)? {
                return Ok(part);
            }
            project.place.replace(&file, bytes.clone())?;
        }
        Ok(part(number, span, made.counts, &bytes))
    }

    /// The parts of a chunk, if all of them are there.
    fn written(&self, number: usize, span: &Span) -> Result<Option<Vec<Part>>, BackfillError> {
        let mut parts = Vec::new();
        for project in &self.job.projects {
            match self.existing(project, number, span)? {
                Some(part) => parts.push(part),
                None => return Ok(None),
            }
        }
        Ok(Some(parts))
    }

    fn existing(
        &self,
        project: &ProjectJob,
        number: usize,
        span: &Span,
    ) -> Result<Option<Part>, BackfillError> {
        let Some(bytes) = project.place.get(&Part::file(number))? else { return Ok(None) };
        let counts = counts_of(&bytes, self.job.key);
        Ok(counts.map(|counts| part(number, span, counts, &bytes)))
    }
}

fn part(number: usize, span: &Span, counts: Counts, bytes: &[u8]) -> Part {
    let (length, digest) = (bytes.len() as u64, Digest::of(bytes));
    Part { chunk: number, span: span.clone(), counts, bytes: length, digest }
}

/// What was just told of the documents of a chunk, for the projects after it.
pub(crate) fn beside(
    batch: &RecordBatch,
    columns: &[(String, String)],
    key: &str,
    chunk: &Chunk,
) -> EnrichedRows {
    let told: HashMap<String, usize> =
        (0..batch.num_rows()).filter_map(|row| Some((text_in(batch, key, row)?, row))).collect();
    let row = |key: Option<&str>| told.get(key?).copied();
    EnrichedRows {
        batch: batch.clone(),
        rows: chunk.keys.iter().map(row).collect(),
        columns: columns.iter().cloned().collect(),
        pending: HashSet::new(),
    }
}

fn arrow(error: ArrowError) -> BackfillError {
    let kind = BackfillErrorKind::Damaged("a chunk".into());
    BackfillError::new("put a chunk together", kind).because(error)
}
