//! The live enrichments that what is followed stands beside.

use std::collections::BTreeSet;

use mesh_core::ProjectName;

use crate::{
    BackfillError, Ledger, OpenArchive,
    generation::{GENERATION_FORMAT, Generation, GenerationManifest, MANIFEST},
    job::Job,
};

impl Ledger {
    /// Gives each project that has no live enrichment one of no rows, beside which what is
    /// followed is seen. `tellers` had one when they told of what was followed before: it was
    /// rolled back, and comes again by a cutover only.
    pub(super) fn make_room(
        &self,
        archive: &OpenArchive,
        job: &Job,
        tellers: &BTreeSet<ProjectName>,
    ) -> Result<(), BackfillError> {
        let current = archive.current()?;
        let missing: Vec<_> = job
            .projects
            .iter()
            .filter(|project| !tellers.contains(&project.plan.project))
            .filter(|project| current.generation(project.plan.project.as_str()).is_none())
            .collect();
        if missing.is_empty() {
            return self.fits(archive, job);
        }
        let _alone = self.alone(archive.manifest.archive.name.as_str())?;
        let name = format!("g-{}", job.key.short());
        for project in &missing {
            let plan = &project.plan;
            let manifest = GenerationManifest {
                format: GENERATION_FORMAT,
                key: job.key,
                project: plan.project.clone(),
                version: plan.version,
                digest: plan.digest.clone(),
                key_column: job.plan.key_column.clone(),
                columns: plan.columns.clone(),
                files: Vec::new(),
                parts: Vec::new(),
            };
            let text = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
            archive.generation(plan.project.as_str(), &name).replace(MANIFEST, text.into())?;
        }
        archive.change(&|current| {
            let cutover = current.next_cutover();
            for project in &missing {
                if current.generation(project.plan.project.as_str()).is_none() {
                    current.set(&project.plan.project, &name, cutover);
                }
            }
            Ok(())
        })?;
        self.fits(archive, job)
    }

    /// Whether what is followed can stand beside what readers see.
    pub(super) fn fits(&self, archive: &OpenArchive, job: &Job) -> Result<(), BackfillError> {
        let current = archive.current()?;
        for project in &job.projects {
            let name = project.plan.project.as_str();
            let Some(live) = current.generation(name) else { continue };
            let Some(live) = Generation::open(archive.generation(name, live))? else { continue };
            let manifest = live.manifest();
            if manifest.columns == project.plan.columns
                && manifest.key_column == job.plan.key_column
            {
                continue;
            }
            let archive = &archive.manifest.archive.name;
            let what = format!("the columns of {name} are not those of its live enrichment");
            let help = format!(
                "enrich what is there anew first: `mesh backfill run {archive} {name} --cutover`; \
                 then follow: it goes on where it stopped"
            );
            return Err(BackfillError::usage("follow the stream", what, help));
        }
        Ok(())
    }
}
