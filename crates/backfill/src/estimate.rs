//! What a backfill would do, how long it would take and how large it would be: counted on all
//! documents, measured on some of them. Nothing is changed.

mod sample;

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use mesh_archive::Watch;
use mesh_core::{ModelVersion, Unit};
use serde::Serialize;

use crate::{
    BackfillError,
    chunk::Chunk,
    generation::Generation,
    inputs::EnrichedRows,
    job::{Job, ProjectJob},
    select::{Choice, Why},
};
use sample::{EmptyPart, Sample};

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
    /// Documents whose answer stays.
    #[serde(skip)]
    kept: u64,
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

/// What a machine's speed changes by itself, as a share.
const NOISE: f64 = 0.03;
/// Chunks with nothing to do that are measured.
const IDLE: usize = 6;

/// What was counted of all documents.
struct Counted {
    projects: Vec<ProjectEstimate>,
    /// The chunks that hold some to be done, and the others.
    busy: Vec<usize>,
    idle: Vec<usize>,
    /// Seconds in which all were read, with what was told of them before.
    reading: f64,
}

impl Job {
    /// Counts what is to be done, and measures how long it takes.
    ///
    /// # Errors
    /// When the archive or an enrichment cannot be read.
    pub fn estimate(&self, threads: usize, watch: Watch<'_>) -> Result<Estimate, BackfillError> {
        let counted = self.count(watch)?;
        let parts = self.projects.iter().map(|project| self.part(project));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let blocks = self.busy_blocks(&counted.busy, &parts, watch)?;
        let busy =
            self.measure(&blocks, &parts, threads.clamp(1, counted.busy.len().max(1)), watch)?;
        // What is only kept is done quickly, chunk by chunk.
        let whole: Vec<_> = self.blocks(&counted.idle, u64::MAX).into_iter().take(IDLE).collect();
        let idle = self.measure(&whole, &parts, threads.clamp(1, whole.len().max(1)), watch)?;
        self.conclude(counted, [&busy, &idle], &parts, threads)
    }

    /// Whether a run would leave what is there: the documents and the models are what they were, and
    /// nothing is to be done anew.
    ///
    /// # Errors
    /// When the archive or an enrichment cannot be read.
    pub fn is_done(&self, watch: Watch<'_>) -> Result<bool, BackfillError> {
        let is_same = |base: &Generation, project: &ProjectJob| {
            base.manifest().digest == project.plan.digest && base.manifest().files == self.files
        };
        let mut projects = self.projects.iter();
        let may_be = projects.all(|one| one.base.as_ref().is_some_and(|base| is_same(base, one)));
        Ok(may_be && self.count(watch)?.busy.is_empty())
    }

    /// Counts the choices for all documents.
    fn count(&self, watch: Watch<'_>) -> Result<Counted, BackfillError> {
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
                kept: 0,
            })
            .collect();
        let task = watch.progress.begin("count", Some(self.survey.rows), Unit::Items);
        let (mut busy, mut idle, mut reading) = (Vec::new(), Vec::new(), Duration::ZERO);
        for (number, span) in self.spans.iter().enumerate() {
            watch.cancel.check()?;
            let started = Instant::now();
            let chunk = Chunk::read(self, span)?;
            let mut enriched = chunk.told(self)?;
            reading += started.elapsed();
            let mut any = false;
            for (project, told) in self.projects.iter().zip(&mut projects) {
                let started = Instant::now();
                let (choices, before) = chunk.choices(self, project, &enriched)?;
                reading += started.elapsed();
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
                            told.kept += 1;
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
            if any { &mut busy } else { &mut idle }.push(number);
            task.advance(span.rows);
        }
        Ok(Counted { projects, busy, idle, reading: reading.as_secs_f64() })
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of documents")]
    fn conclude(
        &self,
        counted: Counted,
        [busy, idle]: [&Sample; 2],
        parts: &[EmptyPart],
        threads: usize,
    ) -> Result<Estimate, BackfillError> {
        // A chunk is done by one thread.
        let share = |chunks: usize| {
            let chunks = chunks.max(1);
            chunks.div_ceil(threads.max(1)) as f64 / chunks as f64
        };
        let rows_in = |chunks: &[usize]| {
            let spans = chunks.iter().filter_map(|chunk| self.spans.get(*chunk));
            spans.map(|span| span.rows).sum::<u64>() as f64
        };
        let Counted { mut projects, reading, .. } = counted;
        let chunks = self.spans.len() as f64;
        let keeping: f64 = parts.iter().map(|part| part.encode + part.keep).sum();
        let once: f64 = parts.iter().map(|part| part.once).sum();
        let mut seconds =
            Range::about((reading + keeping * chunks) * share(self.spans.len()) + once);
        let mut bytes = Range::about(parts.iter().map(|part| part.bytes * chunks).sum());
        let unique = self.survey.distinct as f64 / self.survey.rows.max(1) as f64;
        for (at, (told, project)) in projects.iter_mut().zip(&self.projects).enumerate() {
            let (done, kept) = (busy.of(at), idle.of(at));
            let todo = told.todo as f64;
            let asking = ratio(done.iter().map(|block| (block.asked, block.asking)));
            let beside = ratio(done.iter().map(|block| (block.rows, block.seconds)));
            let each = asking.times(unique).plus(beside);
            told.rows_per_second = (asking.value > 0.0).then(|| 1.0 / each.value);
            let time = asking.times(unique * todo).plus(beside.times(rows_in(&counted.busy)));
            seconds = seconds.plus(time.times(share(counted.busy.len())));
            let time = ratio(kept.iter().map(|block| (block.rows, block.seconds)));
            let time = time.times(rows_in(&counted.idle));
            seconds = seconds.plus(time.times(share(counted.idle.len())));
            // Of what is done, some is rejected: that leaves no row.
            let left = ratio(done.iter().map(|block| (block.todo, block.answered)));
            let left = todo * left.value.min(1.0);
            let size = ratio(done.iter().map(|block| (block.left, block.bytes)));
            // A row takes less beside all those of its chunk than beside those of a block.
            let whole = busy.bytes_per_row(self, at, parts)?.unwrap_or(size.value);
            let factor = if size.value > 0.0 { whole / size.value } else { 0.0 };
            bytes = bytes.plus(size.times(factor * left));
            let kept = told.kept as f64;
            bytes = bytes.plus(Range::about(kept_bytes(project, parts.get(at)) * kept));
            let (once, each) = busy.load(self, at, idle);
            seconds = seconds.plus(Range::about(once)).plus(each.times(left + kept));
        }
        Ok(Estimate {
            archive: self.plan.archive.to_string(),
            rows: self.survey.rows,
            distinct: self.survey.distinct,
            chunks: self.spans.len(),
            projects,
            seconds,
            bytes,
            threads,
            sampled: busy.rows(),
        })
    }
}

/// Bytes of a row of what is kept, as it lies there.
#[expect(clippy::cast_precision_loss, reason = "counts of documents")]
fn kept_bytes(project: &ProjectJob, empty: Option<&EmptyPart>) -> f64 {
    let Some(base) = &project.base else { return 0.0 };
    let (mut rows, mut bytes) = (0, 0.0);
    for part in &base.manifest().parts {
        rows += part.counts.enriched + part.counts.kept;
        bytes += (part.bytes as f64 - empty.map_or(0.0, |empty| empty.bytes)).max(0.0);
    }
    bytes / rows.max(1) as f64
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
