//! Chunks that are done by a cluster: handed out a few at a time, and again if they are lost.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use mesh_core::{Cancel, ProgressTask};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::runtime::Handle;

mod readiness;

use crate::{
    BackfillError, BackfillErrorKind, Part,
    chunk::Work,
    job::Job,
    shared::{Sharing, Task, TaskReport},
};
use readiness::{QUIET, Readiness, Silence, away};

/// A cluster, reached by the program that talks to it: tasks go into it, a line each, and their
/// answers come out.
#[derive(Debug)]
pub struct Cluster {
    readiness: Readiness,
    in_flight: usize,
    sharing: Sharing,
    child: Mutex<Child>,
    input: Mutex<ChildStdin>,
    waiting: Waiting,
}

/// Who waits for which answer; nothing once the program has ended.
type Waiting = Arc<Mutex<Option<Asked>>>;

#[derive(Debug, Default)]
struct Asked {
    next: u64,
    by: HashMap<u64, Sender<Reply>>,
}

#[derive(Serialize)]
struct Question<'a> {
    id: u64,
    task: &'a Task,
}

#[derive(Debug, Deserialize)]
struct Reply {
    id: u64,
    answer: Option<Box<RawValue>>,
    lost: Option<String>,
}

/// A chunk that was handed out: its parts, or why there are none, and how long it took.
type Done = (usize, Result<Vec<Part>, BackfillError>, f64);

/// What all who hand out chunks of a run share.
pub(crate) struct Handing<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) job: &'a Job,
    pub(crate) progress: &'a dyn ProgressTask,
    pub(crate) stop: &'a Cancel,
    task: Task,
    queue: Mutex<Queue>,
    /// When a chunk was done last.
    alive: Mutex<Instant>,
    /// When it was looked last whether the cluster is there, as nothing was done, and whether it was
    /// said that it is not.
    looked: Mutex<(Instant, Silence)>,
}

/// The chunks that are left, how long one takes, and who does them.
struct Queue {
    chunks: VecDeque<usize>,
    seconds: Option<f64>,
    /// By worker, how many tasks it does at once.
    workers: HashMap<String, usize>,
}

/// How long a cluster may get nothing done before a run stops.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a cluster may have no executors before a run begins, and no scheduler.
const BEGIN: Duration = Duration::from_secs(30);
const NO_SCHEDULER: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long what is under way is waited for once a run is to stop.
const GRACE: Duration = Duration::from_secs(10);
const BEAT: Duration = Duration::from_millis(100);
/// Tasks that are handed out before any executor is known, and then for each of their threads: one
/// that it does, and one that waits for it.
const FIRST_TASKS: usize = 4;
const TASKS_PER_THREAD: usize = 2;
/// Seconds that a task should take, and those that it takes at least where there are chunks: asking
/// for one costs some hundredths.
const TASK_SECONDS: f64 = 1.0;
const LEAST_SECONDS: f64 = 0.1;
/// Threads that a cluster is taken to have before any is known.
const USUAL_THREADS: usize = 8;
/// How long a chunk that is done here is waited for, so that it is known how long one takes: where it
/// takes longer, tasks of one chunk each cost little.
const TRIAL: Duration = Duration::from_millis(50);
const TRIAL_BEAT: Duration = Duration::from_millis(2);
/// The weight of the last task in the mean of what a chunk takes.
const LAST: f64 = 0.3;

impl Cluster {
    /// Reaches a cluster by `program`, if its scheduler at `df://host:port` has an executor; so
    /// many tasks are under way at once.
    ///
    /// # Errors
    /// When there is no scheduler or no executor, or the program cannot be started.
    pub fn connect(
        program: &Path,
        url: &str,
        in_flight: usize,
        sharing: Sharing,
        runtime: &Handle,
    ) -> Result<Self, BackfillError> {
        let Some(address) = url.strip_prefix("df://").filter(|rest| !rest.is_empty()) else {
            let help = "name the scheduler of a cluster: df://host:50050";
            let what = format!("`{url}` is no cluster");
            return Err(BackfillError::usage("reach the cluster", what, help));
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let timeout = Duration::from_secs(5);
        let client = reqwest::Client::builder().no_proxy().timeout(timeout).build();
        let client = client.map_err(|error| away(url, &error.to_string()))?;
        let ready = format!("http://{}/readyz", address.trim_end_matches('/'));
        let readiness = Readiness { client, ready, url: url.to_owned(), runtime: runtime.clone() };
        // Nothing is begun yet: there is nothing to resume.
        readiness.wait((BEGIN, NO_SCHEDULER), &Cancel::new()).map_err(|error| {
            error.help(
                "see that `mesh cluster scheduler` and `mesh cluster executor` run, and that the \
                 address is the scheduler's, then give the same command again: what is done stays \
                 done",
            )
        })?;
        let fail = |error: io::Error| {
            let kind = BackfillErrorKind::Cluster(format!("{} does not run", program.display()));
            BackfillError::new(format!("reach {url}"), kind).because(error).help(
                "`make cluster` builds mesh-cluster beside mesh; put both in one folder, or on PATH",
            )
        };
        // In a group of its own: Ctrl-C is for the run, which ends it when all is written down.
        let mut command = Command::new(program);
        command.args(["submit", url]).process_group(0);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(fail)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(fail(io::Error::other("it has no pipes")));
        };
        let waiting = Waiting::new(Mutex::new(Some(Asked::default())));
        let told = Arc::clone(&waiting);
        let reading = thread::Builder::new().name("cluster".into());
        reading.spawn(move || read(output, &told)).map_err(fail)?;
        Ok(Self {
            readiness,
            in_flight: in_flight.max(1),
            sharing,
            child: Mutex::new(child),
            input: Mutex::new(input),
            waiting,
        })
    }

    /// Tasks that are under way at once.
    pub(crate) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Hands a task to the cluster: its answer will come, or word that it is lost.
    fn hand(&self, task: &Task) -> Result<Receiver<Reply>, BackfillError> {
        let (sender, reply) = mpsc::channel();
        let ended = || away(&self.readiness.url, "the program that talks to it ended");
        let id = {
            let mut waiting = lock(&self.waiting);
            let asked = waiting.as_mut().ok_or_else(ended)?;
            asked.next += 1;
            asked.by.insert(asked.next, sender);
            asked.next
        };
        let mut line = serde_json::to_vec(&Question { id, task }).unwrap_or_default();
        line.push(b'\n');
        lock(&self.input).write_all(&line).map_err(|error| ended().because(error))?;
        Ok(reply)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl<'a> Handing<'a> {
    /// Tells the cluster of a job of which these chunks are left.
    pub(crate) fn new(
        cluster: &'a Cluster,
        job: &'a Job,
        chunks: VecDeque<usize>,
        progress: &'a dyn ProgressTask,
        stop: &'a Cancel,
    ) -> Result<Self, BackfillError> {
        let task = job.share(&cluster.sharing)?;
        let queue = Mutex::new(Queue { chunks, seconds: None, workers: HashMap::new() });
        let alive = Mutex::new(Instant::now());
        let looked = Mutex::new((Instant::now(), Silence::Untold));
        Ok(Self { cluster, job, progress, stop, task, queue, alive, looked })
    }

    /// Does one chunk here, by which it is known how long they take.
    pub(crate) fn try_one(&self, work: &Work<'_>, report: &Sender<Done>) {
        let chunk = lock(&self.queue).chunks.pop_front();
        let Some(chunk) = chunk else { return };
        let started = Instant::now();
        let parts = work.caught(chunk);
        if parts.is_err() {
            self.stop.cancel();
        }
        let seconds = started.elapsed().as_secs_f64();
        lock(&self.queue).seconds.get_or_insert(seconds);
        // Who takes it ended: so does the run.
        let _ = report.send((chunk, parts, seconds));
    }

    /// Hands out chunks until there are none, or somebody says stop; `number` is that of who hands
    /// them out, from 0: the first ones do as long as the cluster is small.
    pub(crate) fn until_none(&self, number: usize, report: &Sender<Done>) {
        let started = Instant::now();
        while lock(&self.queue).seconds.is_none() && started.elapsed() < TRIAL {
            thread::sleep(TRIAL_BEAT);
        }
        while !self.stop.is_cancelled() {
            let Some(chunks) = self.take(number) else {
                thread::sleep(BEAT);
                continue;
            };
            let Some(first) = chunks.first().copied() else { return };
            let send = |done: Done| report.send(done).is_ok();
            let task = self.task.of(chunks);
            let told = match self.until_answered(&task) {
                Ok(told) => told,
                Err(error) => {
                    self.stop.cancel();
                    send((first, Err(error), 0.0));
                    return;
                }
            };
            self.measure(&told);
            for done in told.done {
                let rows = self.job.spans.get(done.chunk).map_or(0, |span| span.rows);
                self.progress.advance(rows);
                if !send((done.chunk, Ok(done.parts), done.seconds)) {
                    return;
                }
            }
            if let Some(failure) = told.failed {
                self.stop.cancel();
                let kind = BackfillErrorKind::Cluster(failure.message);
                let mut error = BackfillError::new(format!("work on {}", failure.host), kind);
                if let Some(help) = failure.help {
                    error = error.help(help);
                }
                send((first, Err(error), 0.0));
                return;
            }
        }
    }

    /// The next chunks, none if none are left: as many as take a second, and fewer towards the end,
    /// so that all executors end at about the same time. That is guided self-scheduling (Polychronopoulos and Kuck,
    /// 1987). Nothing for whoever is one too many for the executors that are known.
    fn take(&self, number: usize) -> Option<Vec<usize>> {
        let mut queue = lock(&self.queue);
        let threads: usize = queue.workers.values().sum();
        if number >= FIRST_TASKS.max(TASKS_PER_THREAD * threads) && !queue.chunks.is_empty() {
            return None;
        }
        let among = if threads == 0 { USUAL_THREADS } else { threads };
        let share = queue.chunks.len().div_ceil(2 * among);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of chunks, rounded down; it saturates"
        )]
        let of = |task: f64| queue.seconds.map_or(1, |seconds| (task / seconds.max(1e-6)) as usize);
        let (fitting, least) = (of(TASK_SECONDS).max(1), of(LEAST_SECONDS).max(1));
        let count = share.max(least).min(fitting).min(queue.chunks.len());
        Some(queue.chunks.drain(..count).collect())
    }

    fn measure(&self, told: &TaskReport) {
        let seconds: f64 = told.done.iter().map(|done| done.seconds).sum();
        if told.done.is_empty() {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "a number of chunks")]
        let mean = seconds / told.done.len() as f64;
        let mut queue = lock(&self.queue);
        queue.workers.insert(told.worker.clone(), told.threads);
        queue.seconds = Some(queue.seconds.map_or(mean, |old| old + LAST * (mean - old)));
        *lock(&self.alive) = Instant::now();
    }

    /// Has a task done: it is asked again for as long as the cluster may be lost.
    fn until_answered(&self, task: &Task) -> Result<TaskReport, BackfillError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let reply = self.answer(&self.cluster.hand(task)?)?;
            let why = match reply.answer.map(|answer| serde_json::from_str(answer.get())) {
                Some(Ok(report)) => return Ok(report),
                Some(Err(error)) => format!("it answers what is no report: {error}"),
                None => reply.lost.unwrap_or_else(|| "it has no answer".into()),
            };
            let idle = lock(&self.alive).elapsed();
            if idle > PATIENCE {
                return Err(away(&self.cluster.readiness.url, &why));
            }
            tracing::debug!(%why, "a task is lost, and asked again");
            self.progress.note("the cluster lost a task: it is asked again");
            self.wait(pause)?;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let patience = PATIENCE.saturating_sub(idle);
            self.cluster.readiness.wait((patience, patience), self.stop)?;
        }
    }

    /// Waits for the answer to a task; once the run is to stop, not for long.
    fn answer(&self, reply: &Receiver<Reply>) -> Result<Reply, BackfillError> {
        let mut stopped: Option<Instant> = None;
        loop {
            match reply.recv_timeout(BEAT) {
                Ok(reply) => return Ok(reply),
                Err(RecvTimeoutError::Disconnected) => {
                    let why = "the program that talks to it ended";
                    return Err(away(&self.cluster.readiness.url, why));
                }
                Err(RecvTimeoutError::Timeout) if self.stop.is_cancelled() => {
                    if stopped.get_or_insert_with(Instant::now).elapsed() > GRACE {
                        self.stop.check()?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.look(),
            }
        }
    }

    /// Says, once, that nothing is done and why, if nothing was for long as the cluster is not there.
    fn look(&self) {
        let idle = lock(&self.alive).elapsed();
        if idle < QUIET {
            return;
        }
        {
            let mut looked = lock(&self.looked);
            if looked.0.elapsed() < QUIET {
                return;
            }
            // Something was done since it was said.
            if looked.0.elapsed() > idle {
                looked.1 = Silence::Untold;
            }
            looked.0 = Instant::now();
            if looked.1 == Silence::Told {
                return;
            }
        }
        let Some(lack) = self.cluster.readiness.lack() else { return };
        lock(&self.looked).1 = Silence::Told;
        self.cluster.readiness.warn(lack, idle, PATIENCE);
    }

    fn wait(&self, pause: Duration) -> Result<(), BackfillError> {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            self.stop.check()?;
            thread::sleep(BEAT.min(pause));
        }
        Ok(())
    }
}

/// Gives answers to those who wait for them, until the program ends.
fn read(output: ChildStdout, waiting: &Waiting) {
    for line in BufReader::new(output).lines() {
        let Ok(line) = line else { break };
        let Ok(reply) = serde_json::from_str::<Reply>(&line) else { continue };
        let sender = lock(waiting).as_mut().and_then(|asked| asked.by.remove(&reply.id));
        if let Some(sender) = sender {
            let _ = sender.send(reply);
        }
    }
    lock(waiting).take();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
