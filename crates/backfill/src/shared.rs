//! A backfill that several machines work on: what they need to know of it, and what they do.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use mesh_archive::Span;
use mesh_core::{
    Cancel, ModelVersion, NoProgress, Progress, ProjectName, ProjectSchema, Unit,
    manifest::{ArchiveManifest, ProjectManifest},
};
use miette::Diagnostic;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::{
    ArchiveFile, BackfillError, BackfillErrorKind, Enricher, Job, Part, Plan, answers::AnswerLog,
    chunk::Work, place::Place, survey::SharedSurvey,
};

/// What all machines know of a backfill: a file beside the parts of its first project, for as long
/// as it runs.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shared {
    format: u32,
    plan: Plan,
    spans: Vec<Span>,
    survey: SharedSurvey,
    /// Where models are.
    store: String,
    projects: Vec<ProjectManifest>,
    /// The contracts of all projects of the workspace.
    contracts: BTreeMap<String, ProjectSchema>,
}

const FORMAT: u32 = 1;
/// The name of the file.
const FILE: &str = "shared.json";

/// Some chunks of a backfill, as they are handed to another machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Task {
    /// The folder that URLs of files are relative to.
    root: PathBuf,
    archive: ArchiveManifest,
    project: ProjectName,
    generation: String,
    chunks: Vec<usize>,
}

/// What became of a task.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskReport {
    /// Who did it: a process of a machine.
    pub(crate) worker: String,
    /// How many tasks it does at once.
    pub(crate) threads: usize,
    pub(crate) done: Vec<DoneChunk>,
    pub(crate) failed: Option<Failure>,
}

/// A chunk that was done.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DoneChunk {
    pub(crate) chunk: usize,
    pub(crate) parts: Vec<Part>,
    pub(crate) seconds: f64,
}

/// Why a machine cannot do its chunks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Failure {
    /// The machine.
    pub(crate) host: String,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// The workspace whose backfills are shared.
#[derive(Debug, Clone)]
pub struct Sharing {
    /// Its folder.
    pub root: PathBuf,
    /// The URL of its store of models.
    pub store: String,
}

/// A model that a machine has to load.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The folder of the workspace that it is of.
    pub root: &'a Path,
    /// The URL of the store that it is in.
    pub store: &'a str,
    /// The manifest of its project.
    pub manifest: &'a Arc<ProjectManifest>,
    /// Its version.
    pub version: ModelVersion,
    /// Its digest.
    pub digest: &'a str,
    /// The contracts of all projects of the workspace.
    pub contracts: &'a Arc<BTreeMap<String, ProjectSchema>>,
}

/// What loads models on a machine.
pub type Loader<E> = dyn Fn(Wanted<'_>) -> Result<Enricher, E> + Send + Sync;

/// A machine's part in backfills: it does the chunks that it is given, with what it keeps of the
/// backfills that it knows.
pub struct Worker<E> {
    runtime: Handle,
    load: Box<Loader<E>>,
    host: String,
    threads: usize,
    /// What it knows, the one that was asked for last at the end.
    known: Mutex<VecDeque<(String, Slot)>>,
}

/// A backfill, once it is looked up; whoever looks it up locks it.
type Slot = Arc<Mutex<Option<Arc<Known>>>>;

/// A backfill that a machine works on.
struct Known {
    job: Job,
    answers: AnswerLog,
    _folder: TempDir,
}

/// Backfills that a machine keeps the models of.
const KNOWN: usize = 2;

impl Task {
    /// The same of some chunks.
    pub(crate) fn of(&self, chunks: Vec<usize>) -> Self {
        Self { chunks, ..self.clone() }
    }
}

impl Job {
    /// Tells other machines what they need to know of it; gives back a task without chunks.
    pub(crate) fn share(&self, with: &Sharing) -> Result<Task, BackfillError> {
        let Some(first) = self.projects.first() else {
            let kind = BackfillErrorKind::Unknown("project".into());
            return Err(BackfillError::new("share the backfill", kind));
        };
        let shared = Shared {
            format: FORMAT,
            plan: self.plan.clone(),
            spans: self.spans.clone(),
            survey: self.survey.share(),
            store: with.store.clone(),
            projects: self.projects.iter().map(|p| ProjectManifest::clone(&p.manifest)).collect(),
            contracts: BTreeMap::clone(&first.contracts),
        };
        let bytes = serde_json::to_vec(&shared).unwrap_or_default();
        first.place.replace(FILE, Bytes::from(bytes))?;
        Ok(Task {
            root: with.root.clone(),
            archive: self.archive.manifest.clone(),
            project: first.plan.project.clone(),
            generation: self.plan.generation(),
            chunks: Vec::new(),
        })
    }

    /// Removes what other machines were told: nobody is to work on it any more.
    pub(crate) fn unshare(&self) -> Result<(), BackfillError> {
        self.projects.first().map_or(Ok(()), |first| first.place.delete(FILE))
    }

    /// Whether it is still to be worked on: whoever gave it up may not be there to say so.
    fn is_wanted(&self) -> Result<(), BackfillError> {
        let told = self.projects.first().map(|first| first.place.size(FILE)).transpose()?.flatten();
        if told.is_some() {
            return Ok(());
        }
        Err(BackfillError::new("go on with the backfill", BackfillErrorKind::Cancelled))
    }
}

impl<E: Diagnostic + Send + Sync + 'static> Worker<E> {
    /// A machine that knows no backfills yet, and does so many tasks at once.
    #[must_use]
    pub fn new(runtime: Handle, threads: usize, load: Box<Loader<E>>) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { runtime, load, host, threads, known: Mutex::default() }
    }

    /// Does a task, a line of JSON, and gives its report as one. Several may be done at once.
    ///
    /// Waits for the network and the disk: to be called from a thread of one's own.
    #[must_use]
    pub fn answer(&self, task: &str) -> String {
        let worker = format!("{}/{}", self.host, std::process::id());
        let mut report = TaskReport { worker, threads: self.threads, ..TaskReport::default() };
        let done = serde_json::from_str(task)
            .map_err(|error| self.failure(&unreadable(error)))
            .and_then(|task: Task| self.work(&task, &mut report));
        report.failed = done.err();
        serde_json::to_string(&report).unwrap_or_default()
    }

    fn work(&self, task: &Task, report: &mut TaskReport) -> Result<(), Failure> {
        let known = self.known(task)?;
        let (progress, cancel) = (NoProgress.begin("", None, Unit::Items), Cancel::new());
        let (job, answers) = (&known.job, &known.answers);
        let work = Work { job, answers, progress: progress.as_ref(), cancel: &cancel };
        for chunk in &task.chunks {
            job.is_wanted().map_err(|error| self.failure(&error))?;
            let started = Instant::now();
            let parts = work.caught(*chunk).map_err(|error| self.failure(&error))?;
            let seconds = started.elapsed().as_secs_f64();
            report.done.push(DoneChunk { chunk: *chunk, parts, seconds });
        }
        Ok(())
    }

    /// The backfill of a task: the first one who asks for it looks it up, the others wait.
    fn known(&self, task: &Task) -> Result<Arc<Known>, Failure> {
        let name = format!("{}/{}/{}", task.root.display(), task.project, task.generation);
        let slot = {
            let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let found = all.iter().position(|(known, _)| *known == name);
            let (_, slot) = found.and_then(|at| all.remove(at)).unwrap_or_default();
            all.push_back((name, Arc::clone(&slot)));
            while all.len() > KNOWN {
                all.pop_front();
            }
            slot
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = slot.as_ref() {
            return Ok(Arc::clone(known));
        }
        let known = Arc::new(self.join(task)?);
        *slot = Some(Arc::clone(&known));
        Ok(known)
    }

    fn join(&self, task: &Task) -> Result<Known, Failure> {
        let told = |error: BackfillError| self.failure(&error);
        let file = ArchiveFile::new(&task.root, task.archive.clone());
        let archive = file.open(&self.runtime, &Cancel::new()).map_err(told)?;
        let place = archive.generation(task.project.as_str(), &task.generation);
        let shared = Shared::read(&place).map_err(told)?;
        let contracts = Arc::new(shared.contracts);
        let mut enrichers = Vec::new();
        for (manifest, plan) in shared.projects.into_iter().zip(&shared.plan.projects) {
            let wanted = Wanted {
                root: &task.root,
                store: &shared.store,
                manifest: &Arc::new(manifest),
                version: plan.version,
                digest: &plan.digest,
                contracts: &contracts,
            };
            enrichers.push((self.load)(wanted).map_err(|error| self.failure(&error))?);
        }
        let Shared { plan, spans, survey, .. } = shared;
        let job = Job::shared(archive, enrichers, plan, spans, survey.into()).map_err(told)?;
        let folder = tempfile::Builder::new().prefix("mesh-worker-").tempdir();
        let folder = folder.map_err(|error| {
            let place = std::env::temp_dir().display().to_string();
            let kind = BackfillErrorKind::Write(place);
            told(BackfillError::new("keep answers that are needed again", kind).because(error))
        })?;
        let answers = AnswerLog::open(&folder.path().join("answers")).map_err(told)?;
        Ok(Known { job, answers, _folder: folder })
    }

    fn failure(&self, error: &dyn Diagnostic) -> Failure {
        let help = error.help().or_else(|| error.diagnostic_source()?.help());
        let message = crate::run::describe(&error);
        Failure { host: self.host.clone(), message, help: help.map(|help| help.to_string()) }
    }
}

impl Shared {
    fn read(place: &Place) -> Result<Self, BackfillError> {
        let gone = || {
            let kind = BackfillErrorKind::Read(place.shown(FILE));
            BackfillError::new("join the backfill", kind).help(
                "the archive has to be where all machines can read it and write beside it: on S3, \
                 in PostgreSQL with `enrichments` on S3, or in a folder that all have under one path",
            )
        };
        let bytes = place.get(FILE)?.ok_or_else(gone)?;
        let shared: Self = serde_json::from_slice(&bytes).map_err(unreadable)?;
        match shared.format {
            FORMAT => Ok(shared),
            format => Err(unreadable(format!("format {format}"))),
        }
    }
}

fn unreadable(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BackfillError {
    let kind = BackfillErrorKind::Damaged("what it is told of the backfill".into());
    BackfillError::new("join the backfill", kind)
        .because(why)
        .help("see that `mesh` is of the same version on all machines")
}

impl<E> fmt::Debug for Worker<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("host", &self.host).finish_non_exhaustive()
    }
}
