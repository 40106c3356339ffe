//! How backfills stand, and what stops one.

use std::{collections::BTreeMap, process::ExitCode};

use mesh_backfill::{ArchiveFile, OpenArchive, Plan};
use mesh_store::{BackfillId, BackfillRecord, BackfillState, Wanted};
use serde_json::json;
use tokio::task::block_in_place;

use super::{Desk, show};
use crate::{output, report::CliError};

impl Desk<'_> {
    pub(super) fn status(&self, id: Option<BackfillId>) -> Result<ExitCode, CliError> {
        let found: Vec<(BackfillRecord, Plan)> = match id {
            Some(id) => vec![block_in_place(|| self.ledger.find(id))?],
            None => block_in_place(|| self.ledger.records())?,
        };
        let mut archives: BTreeMap<&str, Option<OpenArchive>> = BTreeMap::new();
        let mut rows = Vec::new();
        for (record, plan) in &found {
            let archive = match record.state.is_unfinished() {
                true => archives
                    .entry(&record.archive)
                    .or_insert_with(|| self.archive_nearby(&record.archive))
                    .as_ref(),
                false => None,
            };
            rows.push(block_in_place(|| self.ledger.standing(record, plan, archive))?);
        }
        if self.context.global.json {
            output::json(&rows);
        } else {
            show::standings(&rows);
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn pause(&self, id: BackfillId) -> Result<ExitCode, CliError> {
        let (record, plan) = block_in_place(|| self.ledger.find(id))?;
        if record.state != BackfillState::Running {
            let action = format!("pause backfill {id}: it is {}", record.state);
            return Err(CliError::usage(action, "only what runs can be paused"));
        }
        if !block_in_place(|| self.ledger.standing(&record, &plan, None))?.working {
            let action = format!("pause backfill {id}: no process works on it");
            let help = format!("`mesh backfill resume {id}` goes on with it where it stopped");
            return Err(CliError::usage(action, help));
        }
        let ask = self.ledger.registry.ask_backfill(id, Wanted::Pause);
        block_in_place(|| self.ledger.runtime.block_on(ask))?;
        self.say(json!({ "id": id, "asked": "pause" }), &format!("asked backfill {id} to pause"));
        Ok(ExitCode::SUCCESS)
    }

    /// An archive, if it is all on this machine: nobody waits for the network to see how things
    /// stand.
    fn archive_nearby(&self, name: &str) -> Option<OpenArchive> {
        let file = ArchiveFile::find(self.workspace.root(), name).ok()?;
        let about = &file.manifest().archive;
        let mut urls = [Some(&about.url), about.enrichments.as_ref()].into_iter().flatten();
        let nearby = urls.all(|url| url.starts_with("file:"));
        nearby.then(|| self.archive(name).ok()).flatten()
    }
}
