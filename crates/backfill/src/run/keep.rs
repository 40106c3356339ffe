//! Keeping the ledger while workers work.

use std::{
    collections::BTreeMap,
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use mesh_core::Cancel;
use mesh_store::{BackfillId, ChunkRecord, Wanted};
use serde_json::Value;

use super::{Done, Ledger, RunLimits};
use crate::{
    BackfillError, BackfillErrorKind,
    generation::{Counts, Part},
    job::Job,
    max_rejected,
};

/// Rows after which the share of rejected ones tells something while others are to come.
const MIN_LOOKED_AT: u64 = 200;
/// How often the ledger is written, and looked into for what is wanted.
const BEAT: Duration = Duration::from_millis(200);

/// What keeps the ledger while workers work.
pub(super) struct Keep<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) job: &'a Job,
    pub(super) id: BackfillId,
    pub(super) limits: RunLimits<'a>,
    pub(super) stop: &'a Cancel,
}

impl Keep<'_> {
    /// Writes down what is done, until all is, or something stops it: then the workers are asked
    /// to stop, and what they still finish is written down too.
    pub(super) fn until_done(
        &self,
        reports: &mpsc::Receiver<Done>,
        done: &mut BTreeMap<usize, Vec<Part>>,
        task: &dyn mesh_core::ProgressTask,
    ) -> Result<(), BackfillError> {
        let mut stopped: Option<BackfillError> = None;
        let mut fresh: Vec<ChunkRecord> = Vec::new();
        let mut counts = vec![Counts::default(); self.job.projects.len()];
        let mut written = Instant::now();
        loop {
            let over = match reports.recv_timeout(BEAT) {
                Ok((chunk, Ok(parts), seconds)) => {
                    for (sum, part) in counts.iter_mut().zip(&parts) {
                        *sum += part.counts;
                    }
                    let told = serde_json::to_value(&parts).unwrap_or(Value::Null);
                    fresh.push(ChunkRecord { chunk, counts: told, seconds });
                    done.insert(chunk, parts);
                    let rejected: u64 = counts.iter().map(Counts::rejected_now).sum();
                    if rejected > 0 {
                        task.note(&format!("{rejected} rejected"));
                    }
                    false
                }
                Ok((_, Err(error), _)) => {
                    self.stop.cancel();
                    // A worker that was asked to stop tells less than the one that failed.
                    let asked = matches!(error.kind(), Some(BackfillErrorKind::Interrupted));
                    if stopped.is_none() && !asked {
                        stopped = Some(error);
                    }
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            if over || written.elapsed() >= BEAT {
                let records = std::mem::take(&mut fresh);
                let registry = &self.ledger.registry;
                if !records.is_empty() {
                    // In the meantime, and not all at the end: the workers need no disk.
                    let synced = self.job.projects.iter().try_for_each(|p| p.place.sync());
                    let kept = synced.and_then(|()| {
                        let write = registry.finish_chunks(self.id, &records);
                        Ok(self.ledger.runtime.block_on(write)?)
                    });
                    if let Err(error) = kept {
                        stopped.get_or_insert(error);
                    }
                }
                written = Instant::now();
                if stopped.is_none() {
                    stopped = self.why_stop(&counts).err();
                }
                if stopped.is_some() {
                    self.stop.cancel();
                }
            }
            if over {
                return stopped.map_or(Ok(()), Err);
            }
        }
    }

    /// Whether somebody wants it to stop, or too much was rejected.
    fn why_stop(&self, counts: &[Counts]) -> Result<(), BackfillError> {
        if self.limits.cancel.is_cancelled() {
            return Err(BackfillError::new("backfill", BackfillErrorKind::Interrupted)
                .help(format!("what is done stays done: `mesh backfill resume {}`", self.id)));
        }
        max_rejected::check(self.job, self.id, counts, self.limits.max_rejected, MIN_LOOKED_AT)?;
        let record = self.ledger.registry.backfill(self.id);
        match self.ledger.runtime.block_on(record)?.and_then(|record| record.wanted) {
            Some(Wanted::Pause) => Err(BackfillError::new("backfill", BackfillErrorKind::Paused)
                .help(format!("`mesh backfill resume {}` goes on where it stopped", self.id))),
            Some(Wanted::Cancel) => {
                Err(BackfillError::new("backfill", BackfillErrorKind::Cancelled)
                    .help("what it had written is removed; the archive is as it was"))
            }
            None => Ok(()),
        }
    }
}
