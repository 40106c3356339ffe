//! What readers see: cutover, rollback, and the collection of what nobody sees any more.

use std::collections::BTreeSet;

use mesh_core::ProjectName;
use mesh_store::{BackfillId, BackfillRecord, BackfillState};
use serde::Serialize;

use crate::{
    BackfillError, BackfillErrorKind, Ledger, OpenArchive,
    difference::{Differences, not_done},
    generation::Generation,
    plan::{Plan, ProjectPlan},
};

/// What became of a project's enrichment.
#[derive(Debug, Clone, Serialize)]
pub struct Moved {
    /// The project.
    pub project: String,
    /// The generation that readers saw; nothing if there was none.
    pub from: Option<String>,
    /// The generation that they see now; nothing if there is none.
    pub to: Option<String>,
}

/// What was removed, or would be.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Collected {
    /// Project and generation.
    pub generations: Vec<(String, String)>,
    /// Those that no backfill of this workspace made: they stay.
    pub foreign: Vec<(String, String)>,
    /// Their size in bytes; 0 where nothing was removed yet.
    pub bytes: u64,
}

impl Ledger {
    /// A backfill by its number, with its plan.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, id: BackfillId) -> Result<(BackfillRecord, Plan), BackfillError> {
        let record = self.runtime.block_on(self.registry.backfill(id))?.ok_or_else(|| {
            let kind = BackfillErrorKind::Unknown(format!("backfill {id}"));
            BackfillError::new("find the backfill", kind).help("`mesh backfill status` lists them")
        })?;
        let plan = serde_json::from_value(record.plan.clone()).map_err(|error| {
            let kind = BackfillErrorKind::Damaged(format!("the plan of backfill {id}"));
            BackfillError::new("read the ledger", kind)
                .because(error)
                .help("a newer `mesh` may have written it: update this one")
        })?;
        Ok((record, plan))
    }

    /// Makes what a backfill left the enrichment of its archive, for all of its projects in one
    /// move. A reader sees all of the old one or all of the new one.
    ///
    /// # Errors
    /// When it is not done, when something else became live meanwhile, or when a gate refuses.
    pub fn cutover(
        &self,
        id: BackfillId,
        archive: &OpenArchive,
        differences: Option<&Differences>,
    ) -> Result<Vec<Moved>, BackfillError> {
        let action = || format!("make backfill {id} live");
        let (record, _) = self.find(id)?;
        let _alone = self.alone(&record.archive)?;
        // A process that was killed after a move left the ledger behind: it is not asked before.
        self.tell(&record.archive, archive)?;
        let (record, plan) = self.find(id)?;
        match record.state {
            // What was rolled back may come again, if it was made beside what is live now; also where
            // only some of its projects went back.
            BackfillState::Done | BackfillState::Superseded | BackfillState::Live => {}
            _ => return Err(not_done(action(), &record, &plan)),
        }
        let damaged = |what: String| {
            BackfillError::new(action(), BackfillErrorKind::Damaged(what))
                .help(format!("`mesh backfill cancel {id}`, then run it again"))
        };
        let generation = plan.generation();
        let current = archive.current()?;
        let is_live = |project: &ProjectPlan| {
            current.generation(project.project.as_str()) == Some(generation.as_str())
        };
        // Somebody may ask twice.
        if plan.projects.iter().all(is_live) {
            return Ok(Vec::new());
        }
        // What took nothing over from what was live, nor left it out, needs it not.
        let mut alone = BTreeSet::new();
        for project in &plan.projects {
            let name = project.project.as_str();
            let place = archive.generation(name, &generation);
            let Some(found) = Generation::open(place.clone())? else {
                if record.state != BackfillState::Done {
                    let help = format!("`{}` does it anew", plan.command());
                    return Err(BackfillError::collected(action(), "what it left", &help));
                }
                return Err(damaged(place.shown("")));
            };
            // What is in a database is whole, or is loaded anew.
            if archive.publication.is_none()
                && let Some(part) = found.lost_part()?
            {
                return Err(damaged(place.shown(&part)));
            }
            let counts = found.manifest().parts.iter().map(|part| part.counts);
            if counts
                .fold(0, |sum, counts| sum + counts.kept + counts.skipped + counts.rejected_before)
                == 0
            {
                alone.insert(name);
            }
        }
        if let Some(differences) = differences {
            differences.check()?;
        }
        for project in &plan.projects {
            // It is there, or somebody removed it from the database.
            archive.publish(project.project.as_str(), &generation)?;
        }
        archive.change(&|current| {
            let cutover = current.next_cutover();
            for project in &plan.projects {
                let live = current.generation(project.project.as_str());
                // A process that was killed after the move left the record behind.
                if live == Some(generation.as_str()) {
                    continue;
                }
                let needs = !alone.contains(project.project.as_str());
                if needs && live != project.live.as_deref() {
                    let what =
                        format!("another enrichment of {} became live meanwhile", project.project);
                    return Err(BackfillError::new(action(), BackfillErrorKind::InTheWay(what)).help(
                        "what it kept is of the one before: run it again, little of it is to be done",
                    ));
                }
                current.set(&project.project, &generation, cutover);
            }
            Ok(())
        })?;
        let left = plan.projects.iter().filter(|project| !is_live(project));
        let moved = left.map(|project| Moved {
            project: project.project.to_string(),
            from: current.generation(project.project.as_str()).map(ToOwned::to_owned),
            to: Some(generation.clone()),
        });
        let moved = moved.collect();
        self.tell(&record.archive, archive)?;
        Ok(moved)
    }

    /// Makes the enrichments before the live ones live again, in one move; of the projects of the last
    /// cutover, if none is named.
    ///
    /// # Errors
    /// When there is nothing to go back from.
    pub fn rollback(
        &self,
        archive: &OpenArchive,
        projects: &[ProjectName],
    ) -> Result<Vec<Moved>, BackfillError> {
        let name = archive.manifest.archive.name.to_string();
        let _alone = self.alone(&name)?;
        let mut moved = Vec::new();
        let known = archive.current()?;
        let last = known.of_last_cutover();
        let chosen = if projects.is_empty() { last } else { projects.to_vec() };
        let nothing = |what: String| {
            let help = "`mesh backfill status` shows what is live";
            BackfillError::usage(format!("roll back {name}"), what, help)
        };
        if chosen.is_empty() {
            return Err(nothing("it has no enrichment".into()));
        }
        for (project, live) in &known.projects {
            if let Some(before) = live.previous.as_ref().filter(|_| chosen.contains(project)) {
                archive.publish(project.as_str(), &before.generation)?;
            }
        }
        archive.change(&|current| {
            for project in &chosen {
                if current.is_last(project) {
                    let what = format!("what {project} told before was collected");
                    let help = "what is live stays: only a backfill with another model changes it";
                    return Err(BackfillError::usage(format!("roll back {name}"), what, help));
                }
                current
                    .back(project)
                    .ok_or_else(|| nothing(format!("it has no enrichment by {project}")))?;
            }
            Ok(())
        })?;
        let now = archive.current()?;
        for project in &chosen {
            moved.push(Moved {
                project: project.to_string(),
                from: known.generation(project.as_str()).map(ToOwned::to_owned),
                to: now.generation(project.as_str()).map(ToOwned::to_owned),
            });
        }
        self.tell(&name, archive)?;
        Ok(moved)
    }

    /// Writes down which backfills of an archive are live, as its readers see it.
    fn tell(&self, name: &str, archive: &OpenArchive) -> Result<(), BackfillError> {
        let current = archive.current()?;
        let ended = [BackfillState::Done, BackfillState::Live, BackfillState::Superseded];
        for record in self.runtime.block_on(self.registry.backfills_of(name, &ended))? {
            let Ok(plan) = serde_json::from_value::<Plan>(record.plan.clone()) else { continue };
            let generation = plan.generation();
            let is_live = plan.projects.iter().any(|project| {
                current.generation(project.project.as_str()) == Some(generation.as_str())
            });
            let stands = plan.projects.iter().all(|project| {
                current.generation(project.project.as_str()) == project.live.as_deref()
            });
            let state = match (record.state, is_live) {
                // It was made beside something that is not live any more.
                (BackfillState::Done, false) if !stands => BackfillState::Superseded,
                (BackfillState::Done | BackfillState::Superseded, true) => BackfillState::Live,
                (BackfillState::Live, false) => BackfillState::Superseded,
                _ => continue,
            };
            self.runtime.block_on(self.registry.set_backfill(record.id, state, None))?;
        }
        Ok(())
    }

    /// Gives a backfill up: a running one is asked to stop, and what it wrote is removed.
    ///
    /// # Errors
    /// When it is live, or what it wrote cannot be removed.
    pub fn cancel(&self, id: BackfillId, archive: &OpenArchive) -> Result<bool, BackfillError> {
        let (record, plan) = self.find(id)?;
        let Some(_alone) = self.locks.try_work(&format!("backfill-{}", record.archive))? else {
            let ask = self.registry.ask_backfill(id, mesh_store::Wanted::Cancel);
            self.runtime.block_on(ask)?;
            return Ok(false);
        };
        let current = archive.current()?;
        let generation = plan.generation();
        let seen = plan
            .projects
            .iter()
            .any(|project| current.needs(project.project.as_str(), &generation));
        if seen {
            let what = "readers see what it left, or a rollback leads to it";
            let help = format!("`mesh backfill rollback {}` goes back", record.archive);
            return Err(BackfillError::usage(format!("cancel backfill {id}"), what, help));
        }
        for project in &plan.projects {
            archive.discard(project.project.as_str(), &generation)?;
        }
        let _ = std::fs::remove_file(self.answers(plan.key()));
        let set = self.registry.set_backfill(id, BackfillState::Cancelled, None);
        self.runtime.block_on(set)?;
        Ok(true)
    }

    /// Removes generations that nobody sees, that no rollback leads to, and that no backfill is
    /// about to make live. Those that no backfill of this workspace made are another's, which may be
    /// about to do so: they stay, unless `foreign` says that nobody else works here. Unless it is to
    /// be removed now, it is only said what would go.
    ///
    /// # Errors
    /// When the enrichments cannot be listed or removed.
    pub fn collect(
        &self,
        archive: &OpenArchive,
        keep: usize,
        foreign: bool,
        remove: Removal,
    ) -> Result<Collected, BackfillError> {
        let name = archive.manifest.archive.name.to_string();
        let _alone = self.alone(&name)?;
        let (mut open, mut ended) = (BTreeSet::new(), BTreeSet::new());
        let all = self.registry.backfills_of(&name, &BackfillState::ALL);
        for record in self.runtime.block_on(all)? {
            let Ok(plan) = serde_json::from_value::<Plan>(record.plan) else { continue };
            let is_open = BackfillState::OPEN.contains(&record.state);
            if is_open { &mut open } else { &mut ended }.insert(plan.generation());
        }
        if remove == Removal::Now {
            archive.change(&|current| {
                current.forget(keep);
                Ok(())
            })?;
        }
        let mut current = archive.current()?;
        current.forget(keep);
        let mut collected = Collected::default();
        for ((project, generation), bytes) in archive.generations()? {
            // What was followed is needed by whatever is live.
            let followed = project == crate::follow::FOLDER;
            if followed || current.needs(&project, &generation) || open.contains(&generation) {
                continue;
            }
            if !foreign && !ended.contains(&generation) {
                collected.foreign.push((project, generation));
                continue;
            }
            if remove == Removal::Now {
                collected.bytes += bytes + archive.discard(&project, &generation)?;
            }
            collected.generations.push((project, generation));
        }
        Ok(collected)
    }
}

/// Whether a collection removes what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It only says what it would remove.
    Later,
    /// It removes it.
    Now,
}
