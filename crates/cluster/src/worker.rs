//! The `mesh backfill worker` beside an executor.

use std::{
    collections::HashMap,
    ffi::OsString,
    io::{self, BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Sender},
    },
    thread,
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::ClusterError;

/// A process that does tasks, several at once: one that ends is started again with the next task.
#[derive(Debug)]
pub(crate) struct Worker {
    program: PathBuf,
    arguments: Vec<OsString>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    input: ChildStdin,
    waiting: Waiting,
    next: u64,
}

/// Who waits for which answer; nothing once the process has ended.
type Waiting = Arc<Mutex<Option<HashMap<u64, Sender<String>>>>>;

#[derive(Serialize)]
struct Question<'a> {
    id: u64,
    task: &'a RawValue,
}

#[derive(Deserialize)]
struct Answer {
    id: u64,
    answer: Box<RawValue>,
}

impl Worker {
    /// One that is not started yet.
    pub(crate) fn new(program: PathBuf, arguments: Vec<OsString>) -> Self {
        Self { program, arguments, running: Mutex::new(None) }
    }

    /// Starts it, if it is not running.
    pub(crate) fn start(&self) -> Result<(), ClusterError> {
        self.running().map(drop)
    }

    /// Has a task done, and waits for it.
    ///
    /// # Errors
    /// When the process cannot be started, or ends before it has answered: it can be asked again.
    pub(crate) fn ask(&self, task: &str) -> Result<String, ClusterError> {
        let wrong = |error: serde_json::Error| ClusterError::Worker(format!("takes JSON: {error}"));
        let task = RawValue::from_string(task.to_owned()).map_err(wrong)?;
        let (sender, answer) = mpsc::channel();
        {
            let mut running = self.running()?;
            let Some(running) = running.as_mut() else { return Err(ended()) };
            running.next += 1;
            let id = running.next;
            match lock(&running.waiting).as_mut() {
                Some(waiting) => waiting.insert(id, sender),
                None => return Err(ended()),
            };
            let mut line = serde_json::to_vec(&Question { id, task: &task }).map_err(wrong)?;
            line.push(b'\n');
            // If it does not take it, it has ended, and whoever reads it tells.
            let _ = running.input.write_all(&line);
        }
        answer.recv().map_err(|_| ended())
    }

    fn running(&self) -> Result<MutexGuard<'_, Option<Running>>, ClusterError> {
        let mut running = lock(&self.running);
        if let Some(known) = running.as_mut() {
            if known.child.try_wait().is_ok_and(|ended| ended.is_none()) {
                return Ok(running);
            }
            tracing::warn!("the worker ended; another one is started");
        }
        let fail = |error: io::Error| ClusterError::Start {
            what: format!("the worker, {}", self.program.display()),
            source: error.into(),
            help: Some("name the `mesh` that does tasks by --mesh".into()),
        };
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(fail)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(fail(io::Error::other("it has no pipes")));
        };
        let waiting = Waiting::new(Mutex::new(Some(HashMap::new())));
        let told = Arc::clone(&waiting);
        let reading = thread::Builder::new().name("worker".into());
        reading.spawn(move || read(output, &told)).map_err(fail)?;
        *running = Some(Running { child, input, waiting, next: 0 });
        Ok(running)
    }
}

/// Gives answers to those who wait for them, until the process ends.
fn read(output: ChildStdout, waiting: &Waiting) {
    for line in BufReader::new(output).lines() {
        let Ok(line) = line else { break };
        let Ok(Answer { id, answer }) = serde_json::from_str(&line) else {
            tracing::warn!("the worker wrote what is no answer");
            continue;
        };
        let sender = lock(waiting).as_mut().and_then(|waiting| waiting.remove(&id));
        if let Some(sender) = sender {
            let _ = sender.send(Box::<str>::from(answer).into());
        }
    }
    lock(waiting).take();
}

fn ended() -> ClusterError {
    ClusterError::Worker("ended before it had answered".into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
