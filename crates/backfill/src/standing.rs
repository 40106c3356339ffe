//! How backfills stand.

use std::collections::BTreeMap;

use mesh_store::{BackfillId, BackfillRecord, BackfillState};
use serde::Serialize;

use crate::{BackfillError, Counts, Ledger, OpenArchive, Rejected, generation::Part, plan::Plan};

/// How a backfill stands.
#[derive(Debug, Clone, Serialize)]
pub struct Standing {
    /// The backfill.
    pub id: BackfillId,
    /// The archive.
    pub archive: String,
    /// The projects, each with its version.
    pub projects: Vec<String>,
    /// Its state.
    pub state: BackfillState,
    /// Whether a process works on it now.
    pub working: bool,
    /// Documents of the chunks that are done.
    pub done: u64,
    /// Documents.
    pub rows: u64,
    /// Rows that were rejected, once for each project that rejects them.
    pub rejected: u64,
    /// By project, what became of the documents.
    pub counts: BTreeMap<String, Counts>,
    /// Why it stopped.
    pub error: Option<String>,
    /// The generation that it leaves.
    pub generation: String,
    /// When it was begun, in milliseconds since 1970, UTC.
    pub created_at: i64,
    /// What can be done next.
    pub next: Vec<String>,
}

impl Standing {
    /// Its state, for people.
    #[must_use]
    pub fn state_for_people(&self) -> String {
        match (self.state, self.working) {
            (BackfillState::Running, false) => "stopped".into(),
            (state, _) => state.to_string(),
        }
    }
}

impl Ledger {
    /// All backfills whose plans can be read, the newest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn records(&self) -> Result<Vec<(BackfillRecord, Plan)>, BackfillError> {
        let all = self.runtime.block_on(self.registry.backfills())?;
        let with_plan = |record: BackfillRecord| {
            let plan = serde_json::from_value(record.plan.clone()).ok()?;
            Some((record, plan))
        };
        Ok(all.into_iter().filter_map(with_plan).collect())
    }

    /// How a backfill stands. Where its archive is known, what can be done next depends on it.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn standing(
        &self,
        record: &BackfillRecord,
        plan: &Plan,
        within: Option<&OpenArchive>,
    ) -> Result<Standing, BackfillError> {
        let parts = self.parts(record.id)?;
        let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
        for parts in &parts {
            for (part, project) in parts.iter().zip(&plan.projects) {
                *counts.entry(project.project.to_string()).or_default() += part.counts;
            }
        }
        let (id, archive) = (record.id, &record.archive);
        let lock = format!("backfill-{archive}");
        let working =
            record.state == BackfillState::Running && self.locks.try_work(&lock)?.is_none();
        let next = match record.state {
            BackfillState::Running if working => {
                vec![format!("mesh backfill pause {id}")]
            }
            BackfillState::Running | BackfillState::Paused | BackfillState::Failed => {
                // Where that cannot be told, `resume` tells it.
                let outdated = within.is_some_and(|archive| {
                    plan.outdated(archive).is_ok_and(|changed| !changed.is_empty())
                });
                let resume = (!outdated).then(|| format!("mesh backfill resume {id}"));
                resume.into_iter().chain([format!("mesh backfill cancel {id}")]).collect()
            }
            BackfillState::Cancelled => vec![plan.command()],
            BackfillState::Done => {
                vec![format!("mesh backfill diff {id}"), format!("mesh backfill cutover {id}")]
            }
            BackfillState::Live => vec![format!("mesh backfill rollback {archive}")],
            _ => Vec::new(),
        };
        let name =
            |project: &crate::ProjectPlan| format!("{}@{}", project.project, project.version);
        Ok(Standing {
            id,
            archive: archive.clone(),
            projects: plan.projects.iter().map(name).collect(),
            state: record.state,
            working,
            done: parts.iter().filter_map(|parts| parts.first()).map(|part| part.span.rows).sum(),
            rows: plan.rows,
            rejected: counts.values().map(|counts| counts.rejected).sum(),
            counts,
            error: record.error.clone(),
            generation: plan.generation(),
            created_at: record.created_at,
            next,
        })
    }

    /// The rows that a backfill rejected, by project, at most so many of each.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn rejects(
        &self,
        id: BackfillId,
        plan: &Plan,
        archive: &OpenArchive,
        most: usize,
    ) -> Result<BTreeMap<String, Vec<Rejected>>, BackfillError> {
        let parts = self.parts(id)?;
        let mut all = BTreeMap::new();
        for (at, project) in plan.projects.iter().enumerate() {
            let own: Vec<(usize, u64)> = parts
                .iter()
                .filter_map(|parts| parts.get(at))
                .map(|part| (part.chunk, part.counts.rejected))
                .collect();
            let name = project.project.as_str();
            all.insert(name.to_owned(), archive.rejected(name, &own, &plan.generation(), most)?);
        }
        Ok(all)
    }

    /// What is done of a backfill, by chunk and project.
    fn parts(&self, id: BackfillId) -> Result<Vec<Vec<Part>>, BackfillError> {
        let records = self.runtime.block_on(self.registry.chunks(id))?;
        let parts =
            records.into_iter().map(|r| serde_json::from_value(r.counts).unwrap_or_default());
        Ok(parts.collect())
    }
}
