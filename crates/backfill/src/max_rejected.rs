//! How many rows may be rejected.

use mesh_store::BackfillId;

use crate::{BackfillError, BackfillErrorKind, Counts, Only, job::Job};

/// Refuses if more rows of a project were rejected than may be, as soon as `least` rows are known.
/// The share is that of all rows that the enrichment has or would have: a few that are done later,
/// and those that are rejected each time, do not weigh more than they are. What was rejected before
/// and is not looked at now is no fault of this run.
///
/// Doing rejected rows again makes them no more: then only a limit that somebody names stops it.
pub(crate) fn check(
    job: &Job,
    id: BackfillId,
    counts: &[Counts],
    named: Option<f64>,
    least: u64,
) -> Result<(), BackfillError> {
    for (counts, project) in counts.iter().zip(&job.projects) {
        let limit = match job.plan.only {
            Only::Rejected => named,
            _ => Some(named.unwrap_or(project.limits.max_rejected)),
        };
        let (rows, rejected) = (counts.would_have(), counts.rejected_now());
        if let Some(limit) = limit.filter(|limit| rows >= least && counts.share() > *limit) {
            let kind = BackfillErrorKind::TooManyRejected { rejected, rows, limit };
            let action = format!("enrich the archive by {}", project.plan.project);
            return Err(BackfillError::new(action, kind).help(format!(
                "`mesh backfill rejects {id}` shows why; `mesh backfill resume {id} \
                 --max-rejected 1` goes on all the same, `mesh backfill cancel {id}` gives it up"
            )));
        }
    }
    Ok(())
}

impl Counts {
    /// Rows that the enrichment has, and those that it would have.
    const fn would_have(&self) -> u64 {
        self.enriched + self.kept + self.rejected
    }

    /// Rows that were looked at and rejected.
    pub(crate) const fn rejected_now(&self) -> u64 {
        self.rejected.saturating_sub(self.rejected_before)
    }

    /// The share of those that are rejected now among them.
    #[expect(clippy::cast_precision_loss, reason = "a share of rows")]
    fn share(&self) -> f64 {
        self.rejected_now() as f64 / self.would_have().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_rows_that_are_done_later_weigh_no_more_than_they_are() {
        let counts = Counts { kept: 990, enriched: 5, rejected: 5, ..Counts::default() };
        assert!((counts.share() - 0.005).abs() < 1e-12, "{}", counts.share());
        let counts = Counts { skipped: 71, enriched: 13, rejected: 16, ..Counts::default() };
        assert!(counts.share() > 0.55, "rows that are not to be done do not count");
        let counts =
            Counts { enriched: 90, rejected: 70, rejected_before: 70, ..Counts::default() };
        assert!(counts.share() < 1e-12, "those of before are no fault of this run");
        assert!(Counts::default().share() < 1e-12);
    }
}
