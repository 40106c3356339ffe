//! Running a backfill: workers take chunks, the ledger keeps what is done.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::PathBuf,
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::Instant,
};

use bytes::Bytes;
use mesh_core::{Cancel, Digest, Progress, Unit};
use mesh_store::{BackfillId, BackfillRecord, BackfillState, Locks, Registry};
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Handle;

use crate::{
    BackfillError, BackfillErrorKind, Ending,
    answers::AnswerLog,
    chunk::Work,
    cluster::{Cluster, Handing},
    generation::{Counts, GENERATION_FORMAT, GenerationManifest, MANIFEST, Part},
    job::Job,
    max_rejected,
    plan::{Plan, ProjectPlan},
};

mod keep;

use keep::Keep;

/// What backfills of a workspace share.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// Where it is written down what is done.
    pub registry: Registry,
    /// What keeps two processes from doing the same.
    pub locks: Locks,
    /// A folder for what is needed while a backfill runs.
    pub scratch: PathBuf,
    /// What waits for the network and the disk.
    pub runtime: Handle,
}

/// How a backfill is run; none of it changes what it leaves.
#[derive(Clone, Copy)]
pub struct RunLimits<'a> {
    /// Threads that answer.
    pub threads: usize,
    /// A cluster that does the chunks, in the place of these threads.
    pub cluster: Option<&'a Cluster>,
    /// The share of rows that may be rejected; without it what the manifests say, and all where
    /// rejected rows are done again.
    pub max_rejected: Option<f64>,
    /// Who is told how far it is.
    pub progress: &'a dyn Progress,
    /// By whom it is asked to stop.
    pub cancel: &'a Cancel,
}

/// What a run did.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// The backfill.
    pub id: BackfillId,
    /// The archive.
    pub archive: String,
    /// Its state.
    pub state: BackfillState,
    /// Documents.
    pub rows: u64,
    /// Chunks in all, and those that an earlier run had done.
    pub chunks: usize,
    /// Chunks that an earlier run had done.
    pub resumed: usize,
    /// By project, what became of the documents.
    pub projects: BTreeMap<String, Counts>,
    /// By project, the fields that it was asked without, each with what it would take.
    pub without: BTreeMap<String, BTreeMap<String, String>>,
    /// Bytes of the generations.
    pub bytes: u64,
    /// How long this run took, in seconds.
    pub seconds: f64,
}

/// What workers report.
type Done = (usize, Result<Vec<Part>, BackfillError>, f64);

impl Ledger {
    /// Runs a backfill to its end, or goes on with one that was begun.
    ///
    /// Waits for the network and the disk: to be called from a thread of one's own.
    ///
    /// # Errors
    /// When another one is in the way, or something stops it. What is done stays done.
    pub fn run(&self, job: &Job, limits: RunLimits<'_>) -> Result<RunReport, BackfillError> {
        let started = Instant::now();
        let _alone = self.alone(job.plan.archive.as_str())?;
        let _in_use = self.locks.use_store()?;
        if let Some(publication) = &job.archive.publication {
            publication.prepare(job.plan.projects.iter().map(|project| &project.project))?;
        }
        let record = self.begin(job)?;
        let worked = job.archive.claim().and_then(|()| self.work(job, record, limits, started));
        match worked {
            Ok(report) => Ok(report),
            Err(error) => {
                let state = match error.kind() {
                    Some(BackfillErrorKind::Paused | BackfillErrorKind::Interrupted) => {
                        BackfillState::Paused
                    }
                    Some(BackfillErrorKind::Cancelled) => BackfillState::Cancelled,
                    // While it waited for a database that went away.
                    _ if error.ending() == Ending::Interrupted => BackfillState::Paused,
                    _ => BackfillState::Failed,
                };
                let told = match state {
                    BackfillState::Failed => Some(describe(&error)),
                    _ => None,
                };
                if state == BackfillState::Cancelled {
                    self.discard(job)?;
                }
                // What stopped it matters more than that it cannot be written down.
                let set = self.registry.set_backfill(record, state, told.as_deref());
                if let Err(second) = self.runtime.block_on(set) {
                    tracing::warn!(%second, "the ledger does not know how the backfill ended");
                }
                Err(error)
            }
        }
    }

    /// The lock on an archive.
    pub(crate) fn alone(&self, archive: &str) -> Result<mesh_store::Lock, BackfillError> {
        let lock = self.locks.try_work(&format!("backfill-{archive}"))?;
        lock.ok_or_else(|| {
            let what = format!("another process works on the archive {archive}");
            BackfillError::new("backfill", BackfillErrorKind::InTheWay(what))
                .help("`mesh backfill status` shows it, `mesh backfill pause` stops it")
        })
    }

    /// The plans of an archive's backfills that are not finished.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn begun(&self, archive: &str) -> Result<Vec<Plan>, BackfillError> {
        let open = self.registry.backfills_of(archive, &BackfillState::OPEN);
        let open = self.runtime.block_on(open)?.into_iter();
        let plan = |record: BackfillRecord| serde_json::from_value(record.plan).ok();
        Ok(open.filter(|record| record.state.is_unfinished()).filter_map(plan).collect())
    }

    /// The record of a job: the one that was begun with the same plan, else a new one.
    fn begin(&self, job: &Job) -> Result<BackfillId, BackfillError> {
        let archive = job.plan.archive.as_str();
        let open = self.registry.backfills_of(archive, &BackfillState::OPEN);
        let open = self.runtime.block_on(open)?;
        if let Some(same) = open.iter().find(|record| record.key == job.key) {
            let set = self.registry.set_backfill(same.id, BackfillState::Running, None);
            self.runtime.block_on(set)?;
            return Ok(same.id);
        }
        let names: BTreeSet<&str> =
            job.plan.projects.iter().map(|project| project.project.as_str()).collect();
        for record in open.iter().filter(|record| record.state.is_unfinished()) {
            let Ok(plan) = serde_json::from_value::<Plan>(record.plan.clone()) else { continue };
            if plan.projects.iter().any(|project| names.contains(project.project.as_str())) {
                return Err(in_the_way(record, &plan, job)?);
            }
        }
        let plan = serde_json::to_value(&job.plan).unwrap_or(Value::Null);
        Ok(self.runtime.block_on(self.registry.begin_backfill(archive, job.key, &plan))?)
    }

    fn work(
        &self,
        job: &Job,
        id: BackfillId,
        limits: RunLimits<'_>,
        started: Instant,
    ) -> Result<RunReport, BackfillError> {
        let mut done = self.done(job, id)?;
        let resumed = done.len();
        let todo: VecDeque<usize> =
            (0..job.spans.len()).filter(|chunk| !done.contains_key(chunk)).collect();
        let answers = AnswerLog::open(&self.answers(job.key))?;
        let task = limits.progress.begin("backfill", Some(job.plan.rows), Unit::Items);
        task.advance(done.values().filter_map(|parts| parts.first()).map(|p| p.span.rows).sum());
        let stop = Cancel::new();
        let work = Work { job, answers: &answers, progress: task.as_ref(), cancel: &stop };
        let handing = |cluster| Handing::new(cluster, job, todo.clone(), task.as_ref(), &stop);
        let handing = limits.cluster.map(handing).transpose()?;
        let queue = Mutex::new(todo);
        let ended = thread::scope(|scope| {
            let (report, reports) = mpsc::channel::<Done>();
            let threads = handing.as_ref().map_or(limits.threads, |h| h.cluster.in_flight());
            for number in 0..threads.max(1) {
                let (report, queue, stop) = (report.clone(), &queue, &stop);
                let handing = handing.as_ref();
                scope.spawn(move || match handing {
                    Some(handing) => handing.until_none(number, &report),
                    None => worker(work, queue, stop, &report),
                });
            }
            if let Some(handing) = handing.as_ref() {
                let report = report.clone();
                scope.spawn(move || handing.try_one(&work, &report));
            }
            drop(report);
            let keep = Keep { ledger: self, job, id, limits, stop: &stop };
            keep.until_done(&reports, &mut done, task.as_ref())
        });
        drop(task);
        if limits.cluster.is_some() && ended.is_ok() {
            job.unshare()?;
        }
        ended?;
        let mut counts = vec![Counts::default(); job.projects.len()];
        for parts in done.values() {
            counts.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part.counts);
        }
        max_rejected::check(job, id, &counts, limits.max_rejected, 1)?;
        self.finish(job, id, &done, resumed, started)
    }

    /// The chunks that are done, as far as what they left is there and whole.
    fn done(&self, job: &Job, id: BackfillId) -> Result<BTreeMap<usize, Vec<Part>>, BackfillError> {
        let records = self.runtime.block_on(self.registry.chunks(id))?;
        let (mut done, mut lost) = (BTreeMap::new(), Vec::new());
        for record in records {
            let parts: Vec<Part> = serde_json::from_value(record.counts).unwrap_or_default();
            let fits = parts.len() == job.projects.len()
                && parts.iter().all(|part| job.spans.get(record.chunk) == Some(&part.span));
            let mut whole = fits;
            for (part, project) in parts.iter().zip(&job.projects) {
                let file = Part::file(part.chunk);
                whole = whole
                    && match project.place.local() {
                        // A power failure may have left less of a file than was written.
                        Some(_) => project
                            .place
                            .get(&file)?
                            .is_some_and(|bytes| Digest::of(&bytes) == part.digest),
                        None => project.place.size(&file)? == Some(part.bytes),
                    };
            }
            match whole {
                true => drop(done.insert(record.chunk, parts)),
                false => lost.push(record.chunk),
            }
        }
        if !lost.is_empty() {
            tracing::warn!(chunks = lost.len(), "what chunks had left is gone: they are done anew");
            self.runtime.block_on(self.registry.forget_chunks(id, &lost))?;
        }
        Ok(done)
    }

    /// Makes the generations whole.
    fn finish(
        &self,
        job: &Job,
        id: BackfillId,
        done: &BTreeMap<usize, Vec<Part>>,
        resumed: usize,
        started: Instant,
    ) -> Result<RunReport, BackfillError> {
        let mut projects = BTreeMap::new();
        let mut bytes = 0;
        for (at, project) in job.projects.iter().enumerate() {
            let parts: Vec<Part> =
                done.values().filter_map(|parts| parts.get(at)).cloned().collect();
            let mut counts = Counts::default();
            parts.iter().for_each(|part| counts += part.counts);
            bytes += parts.iter().map(|part| part.bytes).sum::<u64>();
            if !parts.is_empty() {
                project.place.sync()?;
            }
            let manifest = GenerationManifest {
                format: GENERATION_FORMAT,
                key: job.key,
                project: project.plan.project.clone(),
                version: project.plan.version,
                digest: project.plan.digest.clone(),
                key_column: job.plan.key_column.clone(),
                columns: project.plan.columns.clone(),
                files: job.files.clone(),
                parts,
            };
            let text = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
            project.place.replace(MANIFEST, Bytes::from(text))?;
            project.place.sync()?;
            projects.insert(project.plan.project.to_string(), counts);
        }
        for project in &job.projects {
            job.archive.publish(project.plan.project.as_str(), &job.plan.generation())?;
        }
        let set = self.registry.set_backfill(id, BackfillState::Done, None);
        self.runtime.block_on(set)?;
        // It was of use only until here.
        let _ = fs::remove_file(self.answers(job.key));
        Ok(RunReport {
            id,
            archive: job.plan.archive.to_string(),
            state: BackfillState::Done,
            rows: job.plan.rows,
            chunks: job.spans.len(),
            resumed,
            projects,
            without: job
                .projects
                .iter()
                .filter(|project| !project.without.is_empty())
                .map(|project| (project.plan.project.to_string(), project.without.clone()))
                .collect(),
            bytes,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// Removes what a backfill left that is given up.
    fn discard(&self, job: &Job) -> Result<(), BackfillError> {
        for project in &job.projects {
            job.archive.discard(project.plan.project.as_str(), &job.plan.generation())?;
        }
        let _ = fs::remove_file(self.answers(job.key));
        Ok(())
    }

    pub(crate) fn answers(&self, key: Digest) -> PathBuf {
        self.scratch.join(format!("{}.answers", key.short()))
    }
}

/// What is told of a backfill that is not finished and not the same, with what to do about it.
fn in_the_way(
    record: &BackfillRecord,
    begun: &Plan,
    job: &Job,
) -> Result<BackfillError, BackfillError> {
    let BackfillRecord { id, archive, .. } = record;
    let mut outdated = begun.outdated(&job.archive)?;
    for project in &begun.projects {
        let now = job.plan.projects.iter().find(|now| now.project == project.project);
        let takes = |plan: &ProjectPlan| (plan.input.clone(), plan.parameters.clone());
        if now.is_some_and(|now| takes(now) != takes(project)) {
            outdated.push(format!("what {} takes", project.project));
        }
    }
    let help = match outdated.is_empty() {
        true => format!(
            "it differs: {}. Go on with it: `mesh backfill resume {id}`; or give it up: `mesh \
             backfill cancel {id}`",
            begun.differences(&job.plan).join("; ")
        ),
        false => format!(
            "it cannot be gone on with, as this changed: {}. Give it up, `mesh backfill cancel \
             {id}`, then begin anew",
            outdated.join("; ")
        ),
    };
    let what = format!("backfill {id} of {archive} is not finished");
    Ok(BackfillError::new("begin a backfill", BackfillErrorKind::InTheWay(what)).help(help))
}

/// Takes chunks until there are none, or somebody says stop.
fn worker(
    work: Work<'_>,
    queue: &Mutex<VecDeque<usize>>,
    stop: &Cancel,
    report: &mpsc::Sender<Done>,
) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(chunk) = next.filter(|_| !stop.is_cancelled()) else { return };
        let started = Instant::now();
        let done = work.caught(chunk);
        if done.is_err() {
            // Whoever keeps the ledger would say so, but the next chunk may be begun before.
            stop.cancel();
        }
        if report.send((chunk, done, started.elapsed().as_secs_f64())).is_err() {
            return;
        }
    }
}

/// An error and what caused it, in one line.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let told = cause.to_string();
        if !text.ends_with(&told) {
            text = format!("{text}: {told}");
        }
        next = cause.source();
    }
    text
}
