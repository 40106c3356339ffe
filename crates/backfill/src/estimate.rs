//! What a backfill would do, how long it would take and how large it would be: counted on all
//! documents, measured on some of them. Nothing is changed.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use arrow_array::RecordBatch;
use mesh_archive::{Span, Watch};
use mesh_core::{Cancel, ModelVersion, NoProgress, Unit};
use serde::Serialize;
use tempfile::TempDir;

use crate::{
    BackfillError, BackfillErrorKind, Part,
    answers::AnswerLog,
    chunk::{Chunk, Work},
    generation::{self, MANIFEST},
    inputs::EnrichedRows,
    job::{Job, ProjectJob},
    place::Place,
    select::{Choice, Why},
};

/// What a backfill would do.
#[derive(Debug, Clone, Serialize)]
pub struct Estimate {
    /// The archive.
    pub archive: String,
    /// Documents.
    pub rows: u64,
    /// Different inputs among them.
    pub distinct: u64,
    /// Chunks that they are cut into.
    pub chunks: usize,
    /// What it would be for each project.
    pub projects: Vec<ProjectEstimate>,
    /// How long it would take, in seconds, with so many threads.
    pub seconds: Range,
    /// How large what it leaves would be, in bytes.
    pub bytes: Range,
    /// Threads that would answer.
    pub threads: usize,
    /// Documents that it was measured on.
    pub sampled: u64,
}

/// What a backfill would do for a project.
#[derive(Debug, Clone, Serialize)]
pub struct ProjectEstimate {
    /// The project.
    pub project: String,
    /// The model version that would answer.
    pub version: ModelVersion,
    /// The fields that it is asked without, each with what it would take: the other project has
    /// told nothing here, and is not named.
    pub without: BTreeMap<String, String>,
    /// Documents to be done.
    pub todo: u64,
    /// Of those, by reason.
    pub why: BTreeMap<&'static str, u64>,
    /// Documents that stay as they are, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Documents that cannot be done, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Documents that one thread answers in a second.
    pub rows_per_second: Option<f64>,
}

/// A value, and where it lies with a probability of 95 per cent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Range {
    /// The likeliest value.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

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
/// How often what takes little is measured.
const TRIES: usize = 9;
/// What a machine's speed changes by itself, as a share.
const NOISE: f64 = 0.03;

/// What a part takes whatever is in it.
#[derive(Debug)]
struct EmptyPart {
    /// Where parts are written while it is measured.
    place: Place,
    _folder: TempDir,
    bytes: f64,
    /// Seconds to encode it.
    encode: f64,
    /// Seconds to look for it and to write it.
    keep: f64,
    /// Seconds to make a generation whole, once.
    once: f64,
}

/// What was measured of one block for one project.
#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    /// Documents that the model was asked about, identical ones once.
    rows: f64,
    /// Documents that were to be done.
    todo: f64,
    /// Seconds that the model took.
    asking: f64,
    /// Seconds that all else took, without those that a part takes whatever is in it.
    seconds: f64,
    /// Rows of the part, and its bytes beyond those of an empty one.
    kept: f64,
    bytes: f64,
}

impl Job {
    /// Counts what is to be done, and measures how long it takes.
    ///
    /// # Errors
    /// When the archive or an enrichment cannot be read.
    pub fn estimate(&self, threads: usize, watch: Watch<'_>) -> Result<Estimate, BackfillError> {
        let (projects, todo, reading) = self.count(watch)?;
        let parts = self.projects.iter().map(|project| self.part(project));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        // A block takes long enough to be measured, and no longer: of a fast model it is large.
        let probe: Vec<Span> = self.blocks(&todo, BLOCK).into_iter().take(PROBES).collect();
        let probed = self.measure(&probe, &parts, 1, watch)?;
        let took = probed.iter().flatten().map(|block| block.asking + block.seconds).sum::<f64>();
        let blocks = self.blocks(&todo, block_rows(took / probed.len().max(1) as f64));
        let measured = self.measure(&blocks, &parts, threads.clamp(1, todo.len().max(1)), watch)?;
        let sampled = blocks.iter().take(measured.len()).map(|block| block.rows).sum();
        let estimate = self.conclude(projects, &measured, &parts, reading, (threads, todo.len()));
        Ok(Estimate { sampled, ..estimate })
    }

    /// What a part of a project takes that has no rows.
    fn part(&self, project: &ProjectJob) -> Result<EmptyPart, BackfillError> {
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

    /// Counts the choices for all documents; also says which chunks hold some to be done, and in
    /// how many seconds all were read.
    fn count(
        &self,
        watch: Watch<'_>,
    ) -> Result<(Vec<ProjectEstimate>, Vec<usize>, f64), BackfillError> {
        let mut projects: Vec<ProjectEstimate> = self
            .projects
            .iter()
            .map(|project| ProjectEstimate {
                project: project.plan.project.to_string(),
                version: project.plan.version,
                without: project.without.clone(),
                todo: 0,
                why: BTreeMap::new(),
                skipped: BTreeMap::new(),
                rejected: BTreeMap::new(),
                rows_per_second: None,
            })
            .collect();
        let task = watch.progress.begin("count", Some(self.survey.rows), Unit::Items);
        let (mut busy, mut reading) = (Vec::new(), Duration::ZERO);
        for (number, span) in self.spans.iter().enumerate() {
            watch.cancel.check()?;
            let started = Instant::now();
            let chunk = Chunk::read(self, span)?;
            reading += started.elapsed();
            let mut enriched = chunk.told(self)?;
            let mut any = false;
            for (project, told) in self.projects.iter().zip(&mut projects) {
                let (choices, before) = chunk.choices(self, project, &enriched)?;
                let mut rows = vec![None; choices.len()];
                let mut pending = HashSet::new();
                for ((at, row), choice) in rows.iter_mut().enumerate().zip(choices) {
                    match choice {
                        Choice::Enrich(why) => {
                            pending.insert(at);
                            told.todo += 1;
                            *told.why.entry(why.as_str()).or_default() += 1;
                        }
                        Choice::Keep(kept, why) => {
                            *row = Some(kept);
                            *told.skipped.entry(why.as_str()).or_default() += 1;
                        }
                        Choice::Skip(why) => {
                            *told.skipped.entry(why.as_str()).or_default() += 1;
                        }
                        Choice::StayRejected(_) => {
                            *told.skipped.entry(Why::Failed.as_str()).or_default() += 1;
                        }
                        Choice::Reject(reason) => {
                            *told.rejected.entry(reason.kind).or_default() += 1;
                        }
                    }
                }
                any |= !pending.is_empty();
                let columns = project.plan.columns.iter().cloned().collect();
                let rows = EnrichedRows { batch: before.batch, rows, columns, pending };
                enriched.insert(project.plan.project.to_string(), rows);
            }
            if any {
                busy.push(number);
            }
            task.advance(span.rows);
        }
        Ok((projects, busy, reading.as_secs_f64()))
    }

    /// Blocks of the chunks where there is something to do, in an order of which every beginning
    /// is spread over all of them.
    fn blocks(&self, busy: &[usize], size: u64) -> Vec<Span> {
        let mut blocks = Vec::new();
        for chunk in busy {
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

    fn measure(
        &self,
        blocks: &[Span],
        parts: &[EmptyPart],
        threads: usize,
        watch: Watch<'_>,
    ) -> Result<Vec<Vec<Measured>>, BackfillError> {
        let folder = tempfile::tempdir().map_err(scratch)?;
        let answers = AnswerLog::open(&folder.path().join("answers"))?;
        let task = watch.progress.begin("measure", None, Unit::Items);
        let (next, all) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
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
                            Ok(found) => {
                                task.advance(span.rows);
                                all.lock().unwrap_or_else(PoisonError::into_inner).push(found);
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

    #[expect(clippy::cast_precision_loss, reason = "counts of documents")]
    fn conclude(
        &self,
        mut projects: Vec<ProjectEstimate>,
        measured: &[Vec<Measured>],
        parts: &[EmptyPart],
        reading: f64,
        (threads, busy): (usize, usize),
    ) -> Estimate {
        // A chunk is done by one thread.
        let share = |chunks: usize| {
            let chunks = chunks.max(1);
            chunks.div_ceil(threads.max(1)) as f64 / chunks as f64
        };
        let chunks = self.spans.len() as f64;
        let keeping: f64 = parts.iter().map(|part| part.encode + part.keep).sum();
        let once: f64 = parts.iter().map(|part| part.once).sum();
        let mut seconds =
            Range::about((reading + keeping * chunks) * share(self.spans.len()) + once);
        let mut bytes = Range::about(parts.iter().map(|part| part.bytes * chunks).sum());
        let unique = self.survey.distinct as f64 / self.survey.rows.max(1) as f64;
        for (at, told) in projects.iter_mut().enumerate() {
            let own: Vec<Measured> =
                measured.iter().filter_map(|block| block.get(at)).copied().collect();
            let todo = told.todo as f64;
            let asking = ratio(own.iter().map(|block| (block.rows, block.asking)));
            let time = ratio(own.iter().map(|block| (block.todo, block.seconds)));
            let time = asking.times(unique).plus(time);
            told.rows_per_second = (time.value > 0.0).then(|| 1.0 / time.value);
            seconds = seconds.plus(time.times(todo * share(busy)));
            let size = ratio(own.iter().map(|block| (block.kept, block.bytes)));
            // Of what is done, some is rejected: that leaves no row.
            let left = ratio(own.iter().map(|block| (block.todo, block.kept)));
            let kept =
                told.todo as f64 * left.value.min(1.0) + told.skipped.values().sum::<u64>() as f64;
            bytes = bytes.plus(size.times(kept));
        }
        Estimate {
            archive: self.plan.archive.to_string(),
            rows: self.survey.rows,
            distinct: self.survey.distinct,
            chunks: self.spans.len(),
            projects,
            seconds,
            bytes,
            threads,
            sampled: 0,
        }
    }
}

impl Work<'_> {
    /// Does a block for every project, and says what it took; nothing is kept.
    fn measure(&self, span: &Span, parts: &[EmptyPart]) -> Result<Vec<Measured>, BackfillError> {
        let chunk = Chunk::read(self.job, span)?;
        let mut enriched = chunk.told(self.job)?;
        let (mut all, file) = (Vec::new(), format!("{}-{}", span.file, span.first));
        for (project, part) in self.job.projects.iter().zip(parts) {
            let started = Instant::now();
            let made = self.make(project, &chunk, &enriched)?;
            let part_of_it = generation::encode(&made.batch, self.job.key, &made.counts)?;
            let bytes = part_of_it.len();
            // What is busy is slower: it is written as a run writes it, with all threads at work.
            project.place.size(&file)?;
            part.place.replace(&file, part_of_it)?;
            let seconds = started.elapsed().as_secs_f64();
            let asking = made.asking.as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "counts of some documents")]
            all.push(Measured {
                rows: made.asked as f64,
                todo: (made.asked + made.counts.repeated) as f64,
                asking,
                seconds: (seconds - asking - part.encode - part.keep).max(0.0),
                kept: made.batch.num_rows() as f64,
                bytes: (bytes as f64 - part.bytes).max(0.0),
            });
            let rows = crate::chunk::beside(
                &made.batch,
                &project.plan.columns,
                &self.job.plan.key_column,
                &chunk,
            );
            enriched.insert(project.plan.project.to_string(), rows);
        }
        Ok(all)
    }
}

impl Range {
    /// A value that was measured as a whole.
    fn about(value: f64) -> Self {
        Self { value, low: value * (1.0 - NOISE), high: value * (1.0 + NOISE) }
    }

    fn plus(self, other: Self) -> Self {
        // Errors of different projects do not add up: their squares do.
        let spread = |one: f64, two: f64| one.hypot(two);
        let value = self.value + other.value;
        let low = value - spread(self.value - self.low, other.value - other.low);
        let high = value + spread(self.high - self.value, other.high - other.value);
        Self { value, low: low.max(0.0), high }
    }

    fn times(self, factor: f64) -> Self {
        let Self { value, low, high } = self;
        Self { value: value * factor, low: low * factor, high: high * factor }
    }
}

/// The ratio of the sums of pairs, with its interval: Cochran, Sampling Techniques, chapter 6.
fn ratio(pairs: impl Iterator<Item = (f64, f64)> + Clone) -> Range {
    let (count, below, above) = pairs
        .clone()
        .fold((0.0, 0.0, 0.0), |(count, x, y), (below, above)| (count + 1.0, x + below, y + above));
    if below <= 0.0 || count < 1.0 {
        return Range::default();
    }
    let value: f64 = above / below;
    let squares: f64 = pairs.map(|(x, y)| (y - value * x).powi(2)).sum();
    let error = match count > 1.0 {
        true => (squares / (count * (count - 1.0))).sqrt() / (below / count),
        false => value,
    };
    let spread = (1.96 * error).hypot(NOISE * value);
    Range { value, low: (value - spread).max(0.0), high: value + spread }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_of_sums_has_an_interval() {
        let exact = ratio([(1.0, 2.0), (3.0, 6.0), (2.0, 4.0)].into_iter());
        assert!((exact.value - 2.0).abs() < 1e-12);
        assert!(exact.high - exact.low < 0.13 * exact.value, "{exact:?}");
        let spread = ratio([(1.0, 1.0), (1.0, 3.0), (1.0, 2.0), (1.0, 2.0)].into_iter());
        assert!(spread.low < 1.5 && spread.high > 2.5, "{spread:?}");
        assert_eq!(ratio(std::iter::empty()), Range::default());
    }
}
