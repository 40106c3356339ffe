//! What is measured of a backfill: blocks of its documents are done as a run does them, and nothing is
//! kept.

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use mesh_archive::{Span, Watch};
use mesh_core::{Cancel, NoProgress, Unit};
use tempfile::TempDir;

use crate::{
    BackfillError, BackfillErrorKind, Part,
    answers::AnswerLog,
    chunk::{Chunk, Work, beside},
    estimate::{Range, ratio},
    generation::{self, MANIFEST},
    job::{Job, ProjectJob},
    place::Place,
};

/// Documents of a block that is measured, at least: as many as a model is asked at once.
const BLOCK: u64 = 64;
/// Seconds that a block should take.
const BLOCK_SECONDS: f64 = 0.02;
/// Blocks by which that is found out.
const PROBES: usize = 3;
/// How long is measured.
const BUDGET: Duration = Duration::from_secs(4);
/// Blocks that are measured however long they take.
const MIN_BLOCKS: usize = 6;
const MAX_BLOCKS: usize = 4_000;
/// How often it is measured how long a database takes, and for how many rows.
const LOADS: usize = 3;
const LOADED: usize = 1 << 14;
/// How often what takes little is measured.
const TRIES: usize = 9;

/// What a part takes whatever is in it.
#[derive(Debug)]
pub(super) struct EmptyPart {
    /// Where parts are written while it is measured.
    place: Place,
    _folder: TempDir,
    pub(super) bytes: f64,
    /// Seconds to encode it.
    pub(super) encode: f64,
    /// Seconds to look for it and to write it.
    pub(super) keep: f64,
    /// Seconds to make a generation whole, once.
    pub(super) once: f64,
}

/// What was measured of one block for one project.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Measured {
    /// Documents.
    pub(super) rows: f64,
    /// Documents that the model was asked about, identical ones once.
    pub(super) asked: f64,
    /// Documents that were to be done, and those of them that were answered.
    pub(super) todo: f64,
    pub(super) answered: f64,
    /// Seconds that the model took.
    pub(super) asking: f64,
    /// Seconds that all else took, without looking for what was told before and what a part takes
    /// whatever is in it.
    pub(super) seconds: f64,
    /// Rows of the part, and its bytes beyond those of an empty one.
    pub(super) left: f64,
    pub(super) bytes: f64,
}

/// What was measured of all blocks.
#[derive(Debug, Default)]
pub(super) struct Sample {
    /// Of each block, each project.
    blocks: Vec<Vec<Measured>>,
    /// Of each project rows of its parts, some.
    parts: Vec<Option<RecordBatch>>,
}

impl Sample {
    /// What was measured for a project.
    pub(super) fn of(&self, project: usize) -> Vec<Measured> {
        self.blocks.iter().filter_map(|block| block.get(project)).copied().collect()
    }

    /// Documents that were measured.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a sum of numbers of documents"
    )]
    pub(super) fn rows(&self) -> u64 {
        self.blocks.iter().filter_map(|block| block.first()).map(|block| block.rows as u64).sum()
    }

    /// Rows of a part of a project.
    fn part(&self, project: usize) -> Option<&RecordBatch> {
        let part = self.parts.get(project)?.as_ref();
        part.filter(|part| part.num_rows() > 0)
    }

    /// Bytes of a row of a project, beside others.
    #[expect(clippy::cast_precision_loss, reason = "lengths of files")]
    pub(super) fn bytes_per_row(
        &self,
        job: &Job,
        project: usize,
        empty: &[EmptyPart],
    ) -> Result<Option<f64>, BackfillError> {
        let (Some(part), Some(empty)) = (self.part(project), empty.get(project)) else {
            return Ok(None);
        };
        let rows = usize::try_from(job.plan.chunk_rows).unwrap_or(usize::MAX).min(part.num_rows());
        let part = part.slice(0, rows);
        let file = generation::encode(&part, job.key, &generation::Counts::default())?;
        Ok(Some((file.len() as f64 - empty.bytes).max(0.0) / rows as f64))
    }

    /// Seconds to put rows of a project into a table of the database, if that is where readers look:
    /// once, and for each row.
    #[expect(clippy::cast_precision_loss, reason = "counts of documents")]
    pub(super) fn load(&self, job: &Job, project: usize, other: &Self) -> (f64, Range) {
        let part = self.part(project).or_else(|| other.part(project));
        let (Some(publication), Some(part), Some(of)) =
            (&job.archive.publication, part, job.projects.get(project))
        else {
            return Default::default();
        };
        let (key, columns) = (&job.plan.key_column, &of.plan.columns);
        let took = |rows: &RecordBatch| -> Vec<f64> {
            let tries = (0..LOADS).filter_map(|_| publication.try_load(rows, key, columns));
            tries.map(|took| took.as_secs_f64()).collect()
        };
        let once = took(&part.slice(0, 1)).into_iter().fold(f64::INFINITY, f64::min);
        let each = took(part).into_iter().map(|took| (part.num_rows() as f64, took - once));
        match once.is_finite() {
            true => (once, ratio(each.map(|(rows, took)| (rows, took.max(0.0))))),
            false => Default::default(),
        }
    }

    fn add(&mut self, block: Vec<Measured>, parts: Vec<RecordBatch>, most: usize) {
        self.blocks.push(block);
        self.parts.resize(parts.len().max(self.parts.len()), None);
        for (have, more) in self.parts.iter_mut().zip(parts) {
            let rows = have.as_ref().map_or(0, RecordBatch::num_rows);
            let more = more.slice(0, more.num_rows().min(most.saturating_sub(rows)));
            *have = match have.take() {
                // They are parts of one project, which have the same columns.
                Some(have) => concat_batches(&have.schema(), [&have, &more]).ok(),
                None => Some(more),
            };
        }
    }
}

impl Job {
    /// What a part of a project takes that has no rows.
    pub(super) fn part(&self, project: &ProjectJob) -> Result<EmptyPart, BackfillError> {
        let folder = tempfile::tempdir().map_err(scratch)?;
        let place = project.place.elsewhere(folder.path())?;
        let batch = RecordBatch::new_empty(project.table.clone());
        let bytes = generation::encode(&batch, self.key, &generation::Counts::default())?;
        let encode = median(|_| {
            generation::encode(&batch, self.key, &generation::Counts::default()).map(drop)
        })?;
        let write = median(|at| place.create(&Part::file(at), bytes.clone()).map(drop))?;
        // Looking for what was written before a kill, and writing; of a bucket, how long it takes
        // to answer.
        let trip = median(|at| project.place.size(&Part::file(at)).map(drop))?;
        let trips = if project.place.local().is_some() { trip } else { 2.0 * trip };
        let once = median(|_| {
            place.replace(MANIFEST, bytes.clone())?;
            place.sync()?;
            place.sync()
        })?;
        #[expect(clippy::cast_precision_loss, reason = "some thousand bytes")]
        let length = bytes.len() as f64;
        let keep = write + trips;
        Ok(EmptyPart { place, _folder: folder, bytes: length, encode, keep, once })
    }

    /// Blocks of the chunks where there is something to do, of a size that takes long enough to be
    /// measured, and no longer: of a fast model they are large.
    pub(super) fn busy_blocks(
        &self,
        busy: &[usize],
        parts: &[EmptyPart],
        watch: Watch<'_>,
    ) -> Result<Vec<Span>, BackfillError> {
        let probe: Vec<Span> = self.blocks(busy, BLOCK).into_iter().take(PROBES).collect();
        let probed = self.measure(&probe, parts, 1, watch)?.blocks;
        let took = probed.iter().flatten().map(|block| block.asking + block.seconds).sum::<f64>();
        #[expect(clippy::cast_precision_loss, reason = "a few")]
        let count = probed.len().max(1) as f64;
        Ok(self.blocks(busy, block_rows(took / count)))
    }

    /// Blocks of chunks, in an order of which every beginning is spread over all of them.
    pub(super) fn blocks(&self, chunks: &[usize], size: u64) -> Vec<Span> {
        let mut blocks = Vec::new();
        for chunk in chunks {
            let Some(span) = self.spans.get(*chunk) else { continue };
            let mut first = 0;
            while first < span.rows {
                blocks.push((*chunk, first, (span.rows - first).min(size)));
                first += size;
            }
        }
        // Steps of the golden section come near every place before they come back to one.
        let count = blocks.len();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a list"
        )]
        let step = ((count as f64 * 0.618_034) as usize).max(1);
        let step = (step..).find(|step| gcd(*step, count) == 1).unwrap_or(1);
        let order = (0..count.min(MAX_BLOCKS)).map(|at| (at * step + count / 2) % count.max(1));
        let block = |at: usize| {
            let (chunk, first, rows) = *blocks.get(at)?;
            Some(self.spans.get(chunk)?.block(first, rows))
        };
        order.filter_map(block).collect()
    }

    /// Does blocks on several threads, as many as there is time for.
    pub(super) fn measure(
        &self,
        blocks: &[Span],
        parts: &[EmptyPart],
        threads: usize,
        watch: Watch<'_>,
    ) -> Result<Sample, BackfillError> {
        let folder = tempfile::tempdir().map_err(scratch)?;
        let answers = AnswerLog::open(&folder.path().join("answers"))?;
        let task = watch.progress.begin("measure", None, Unit::Items);
        let (next, all) = (AtomicUsize::new(0), Mutex::new(Sample::default()));
        // A database is given many at once.
        let loaded = if self.archive.publication.is_some() { LOADED } else { 0 };
        let most = usize::try_from(self.plan.chunk_rows).unwrap_or(usize::MAX).max(loaded);
        let failed: Mutex<Option<BackfillError>> = Mutex::new(None);
        let cancel: &Cancel = watch.cancel;
        let work = Work { job: self, answers: &answers, progress: &NoProgress, cancel };
        let started = Instant::now();
        thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(|| {
                    let mut warm = false;
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let enough =
                            at >= MIN_BLOCKS.max(threads * 2) && started.elapsed() > BUDGET;
                        let Some(span) = blocks.get(at).filter(|_| !enough) else { return };
                        // The first one also loads what is needed once.
                        if !std::mem::replace(&mut warm, true) && blocks.len() > threads * 2 {
                            drop(work.measure(span, parts));
                        }
                        match work.measure(span, parts) {
                            Ok((found, parts)) => {
                                task.advance(span.rows);
                                let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                                all.add(found, parts, most);
                            }
                            Err(error) => {
                                failed
                                    .lock()
                                    .unwrap_or_else(PoisonError::into_inner)
                                    .get_or_insert(error);
                                return;
                            }
                        }
                    }
                });
            }
        });
        drop(task);
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(all.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

impl Work<'_> {
    /// Does a block for every project, and says what it took, with what would be left of it.
    #[expect(clippy::cast_precision_loss, reason = "counts of some documents")]
    fn measure(
        &self,
        span: &Span,
        parts: &[EmptyPart],
    ) -> Result<(Vec<Measured>, Vec<RecordBatch>), BackfillError> {
        let chunk = Chunk::read(self.job, span)?;
        let mut enriched = chunk.told(self.job)?;
        let (mut all, mut batches) = (Vec::new(), Vec::new());
        let (rows, file) = (chunk.rows() as f64, format!("{}-{}", span.file, span.first));
        for (project, part) in self.job.projects.iter().zip(parts) {
            let started = Instant::now();
            let made = self.make(project, &chunk, &enriched)?;
            let part_of_it = generation::encode(&made.batch, self.job.key, &made.counts)?;
            let bytes = part_of_it.len();
            // What is busy is slower: it is written as a run writes it, with all threads at work.
            project.place.size(&file)?;
            part.place.replace(&file, part_of_it)?;
            let seconds = (started.elapsed() - made.finding).as_secs_f64();
            let asking = made.asking.as_secs_f64();
            all.push(Measured {
                rows,
                asked: made.asked as f64,
                todo: (made.asked + made.counts.repeated) as f64,
                answered: made.counts.enriched as f64,
                asking,
                seconds: (seconds - asking - part.encode - part.keep).max(0.0),
                left: made.batch.num_rows() as f64,
                bytes: (bytes as f64 - part.bytes).max(0.0),
            });
            let key = &self.job.plan.key_column;
            let told = beside(&made.batch, &project.plan.columns, key, &chunk);
            enriched.insert(project.plan.project.to_string(), told);
            batches.push(made.batch);
        }
        Ok((all, batches))
    }
}

/// Documents of a block, if so many as a model is asked at once take so many seconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a number of documents; it saturates"
)]
fn block_rows(seconds: f64) -> u64 {
    (BLOCK as f64 * BLOCK_SECONDS / seconds.max(1e-6)).max(BLOCK as f64) as u64
}

/// The median of the seconds that something takes, which is told how often it was tried.
fn median(mut work: impl FnMut(usize) -> Result<(), BackfillError>) -> Result<f64, BackfillError> {
    let mut seconds = Vec::new();
    for at in 0..TRIES {
        let started = Instant::now();
        work(at)?;
        seconds.push(started.elapsed().as_secs_f64());
    }
    seconds.sort_unstable_by(f64::total_cmp);
    Ok(seconds.get(TRIES / 2).copied().unwrap_or_default())
}

fn scratch(error: io::Error) -> BackfillError {
    let kind = BackfillErrorKind::Write(std::env::temp_dir().display().to_string());
    BackfillError::new("measure", kind).because(error)
}

const fn gcd(mut one: usize, mut two: usize) -> usize {
    while two != 0 {
        (one, two) = (two, one % two);
    }
    one
}
