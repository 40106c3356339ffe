use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// What a progress counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, shown as kB, MB and so on.
    Bytes,
    /// Rows of a dataset, requests, features: anything counted one by one.
    Items,
}

/// Where long work reports how far it is. The command line draws bars; tests and services
/// ignore it.
pub trait Progress: Send + Sync {
    /// Begins a piece of work; `total` is `None` where it is not known beforehand.
    fn begin(&self, label: &str, total: Option<u64>, unit: Unit) -> Box<dyn ProgressTask>;
}

/// One piece of long work under way. Dropping it ends it.
pub trait ProgressTask: Send + Sync {
    /// Says that `amount` more is done.
    fn advance(&self, amount: u64);

    /// Says in a few words what is being done now.
    fn note(&self, text: &str);
}

/// A [`Progress`] that nobody looks at.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

/// A flag by which work is asked to stop. Clones share the flag.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

/// The work was asked to stop before it was done; nothing was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

impl Cancel {
    /// A flag that nobody has raised yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the work to stop at its next [`Cancel::check`].
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the work was asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// To be called at least every tenth of a second in long work.
    ///
    /// # Errors
    /// [`Interrupted`] once the work was asked to stop.
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.is_cancelled() { Err(Interrupted) } else { Ok(()) }
    }
}

impl Progress for NoProgress {
    fn begin(&self, _: &str, _: Option<u64>, _: Unit) -> Box<dyn ProgressTask> {
        Box::new(Self)
    }
}

impl ProgressTask for NoProgress {
    fn advance(&self, _: u64) {}

    fn note(&self, _: &str) {}
}
