//! A bounded queue from which worker threads take whatever waits, as one batch.
//!
//! Nothing waits for a batch to fill: a worker that is free takes what is there. So a lone
//! request pays nothing, and under load batches grow by themselves.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use mesh_core::{Input, Outcome};
use tokio::sync::oneshot;

use crate::{metrics::ProjectMetrics, service::Loaded};

/// One request that waits: what it asks, of which model, and who waits for the answer.
pub(crate) struct Job {
    pub(crate) input: Input,
    pub(crate) model: Arc<Loaded>,
    pub(crate) reply: oneshot::Sender<Outcome>,
    pub(crate) enqueued: Instant,
}

/// The queue. Dropping the last handle ends the workers.
pub(crate) struct Queue {
    shared: Arc<Shared>,
}

pub(crate) struct Full;

struct Shared {
    waiting: Mutex<State>,
    arrived: Condvar,
    limits: Limits,
    metrics: ProjectMetrics,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    closed: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) queue: usize,
    pub(crate) batch: usize,
    pub(crate) workers: usize,
}

impl Queue {
    pub(crate) fn start(name: &str, limits: Limits, metrics: ProjectMetrics) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            arrived: Condvar::new(),
            limits,
            metrics,
        });
        for worker in 0..limits.workers.max(1) {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name(format!("{name}-{worker}")).spawn(move || shared.work())?;
        }
        Ok(Self { shared })
    }

    pub(crate) fn push(&self, job: Job) -> Result<(), Full> {
        let mut state = self.shared.lock();
        if state.jobs.len() >= self.shared.limits.queue {
            return Err(Full);
        }
        state.jobs.push_back(job);
        self.shared.metrics.queue_depth(state.jobs.len());
        drop(state);
        self.shared.arrived.notify_one();
        Ok(())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.arrived.notify_all();
    }
}

impl Shared {
    fn work(&self) {
        while let Some(batch) = self.next_batch() {
            self.answer(batch);
        }
    }

    /// What waits, up to the limit of a batch and all for one model; `None` once the queue is
    /// closed and empty.
    fn next_batch(&self) -> Option<Vec<Job>> {
        let mut state = self.lock();
        loop {
            if let Some(first) = state.jobs.pop_front() {
                let mut batch = vec![first];
                while batch.len() < self.limits.batch {
                    let model = batch.first().map(|job| Arc::as_ptr(&job.model));
                    match state.jobs.front() {
                        Some(next) if Some(Arc::as_ptr(&next.model)) == model => {
                            batch.extend(state.jobs.pop_front());
                        }
                        _ => break,
                    }
                }
                self.metrics.queue_depth(state.jobs.len());
                return Some(batch);
            }
            if state.closed {
                return None;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn answer(&self, batch: Vec<Job>) {
        let started = Instant::now();
        // Nobody waits any more for what timed out or was cut off.
        let batch: Vec<_> = batch.into_iter().filter(|job| !job.reply.is_closed()).collect();
        let Some(model) = batch.first().map(|job| Arc::clone(&job.model)) else { return };
        let (inputs, replies): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|job| {
                self.metrics.queued(started.duration_since(job.enqueued));
                (job.input, job.reply)
            })
            .unzip();
        // A panic in a model must not end the worker: the requests of this batch get an
        // internal error, as their replies are dropped.
        let answers = catch_unwind(AssertUnwindSafe(|| model.predictor.predict(inputs)));
        self.metrics.computed(replies.len(), started.elapsed());
        match answers {
            Ok(answers) if answers.len() == replies.len() => {
                for (reply, answer) in replies.into_iter().zip(answers) {
                    let _ = reply.send(answer);
                }
            }
            Ok(answers) => {
                tracing::error!(asked = replies.len(), answered = answers.len(), "wrong batch");
            }
            Err(_) => tracing::error!(batch = replies.len(), "the model panicked"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is only a list: it is whole even if a holder panicked.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
