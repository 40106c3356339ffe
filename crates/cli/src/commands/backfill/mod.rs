//! `mesh backfill`

pub(crate) mod follow;
mod run;
mod show;
mod standing;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use mesh_archive::Watch;
use mesh_backfill::{
    ArchiveFile, BackfillError, Differences, Enricher, Job, Ledger, Moved, Only, OpenArchive, Plan,
    Removal, Selection,
};
use mesh_core::{Alias, ModelVersion, ProjectName, ProjectSchema};
use mesh_pipeline::{ProjectFolder, Workspace, deployed, version_of};
use mesh_store::BackfillId;
use serde_json::json;
use tokio::{runtime::Handle, task::block_in_place};

use crate::{
    args::{Backfill, BackfillPlan, Rows},
    context::Context,
    output,
    report::CliError,
};

/// What all of them need.
struct Desk<'a> {
    context: &'a Context,
    workspace: Workspace,
    ledger: Ledger,
}

/// Which version of a project answers.
enum Which {
    Alias(Alias),
    Version(ModelVersion),
}

pub(crate) async fn backfill(context: &Context, command: Backfill) -> Result<ExitCode, CliError> {
    if let Backfill::Worker(options) = command {
        return block_in_place(|| worker::work(context, options));
    }
    let workspace = context.workspace().await?;
    let ledger = Ledger {
        registry: workspace.registry().clone(),
        locks: workspace.store().locks(),
        scratch: workspace.root().join(".mesh/backfill"),
        runtime: Handle::current(),
    };
    let desk = Desk { context, workspace, ledger };
    match command {
        Backfill::Plan(options) => desk.plan(&options).await,
        Backfill::Run(options) => desk.run(&options).await,
        Backfill::Status { id } => desk.status(id),
        Backfill::Pause { id } => desk.pause(id),
        Backfill::Resume { id, pace } => desk.resume(id, &pace).await,
        Backfill::Cancel { id } => desk.cancel(id),
        Backfill::Rejects { id, limit } => desk.rejects(id, limit),
        Backfill::Retry { id, pace } => desk.retry(id, &pace).await,
        Backfill::Diff { id, html, examples } => desk.diff(id, html.as_deref(), examples),
        Backfill::Cutover { id, force } => desk.cutover(id, force),
        Backfill::Rollback { archive, projects } => desk.rollback(&archive, &projects),
        Backfill::Follow(options) => desk.follow(&options).await,
        Backfill::Followed { archive, limit } => desk.followed(&archive, limit),
        // It is of no workspace.
        Backfill::Worker(_) => Ok(ExitCode::FAILURE),
        Backfill::Export { archive, projects, output } => desk.export(&archive, &projects, &output),
        Backfill::Collect { archive, keep, foreign, yes } => {
            desk.collect(&archive, keep, foreign, yes)
        }
    }
}

impl Desk<'_> {
    fn watch(&self) -> Watch<'_> {
        Watch { progress: self.context.bars.as_ref(), cancel: &self.context.cancel }
    }

    fn archive(&self, name: &str) -> Result<OpenArchive, BackfillError> {
        let file = ArchiveFile::find(self.workspace.root(), name)?;
        block_in_place(|| file.open(&self.ledger.runtime, &self.context.cancel))
    }

    /// The contracts of the workspace's projects; those that this program has no code for tell
    /// nothing.
    fn contracts(&self) -> BTreeMap<String, ProjectSchema> {
        let contract = |project: &ProjectFolder| {
            let registration = self.context.projects.registration(project.manifest()).ok()?;
            Some((project.name().to_string(), registration.schema()))
        };
        self.workspace.projects().iter().filter_map(contract).collect()
    }

    /// Loads what answers for projects, each named with or without a version.
    async fn enrichers(&self, named: &[String]) -> Result<Vec<Enricher>, CliError> {
        let contracts = Arc::new(self.contracts());
        let mut enrichers = Vec::new();
        let mut seen = BTreeSet::new();
        for named in named {
            let (name, which) = match named.split_once('@') {
                None => (named.as_str(), Which::Alias(Alias::production())),
                Some((name, which)) => (name, self::which(which)?),
            };
            if !seen.insert(name.to_owned()) {
                let help = "name each project once";
                return Err(CliError::usage(format!("enrich by {name} twice"), help));
            }
            let project = super::run::find(&self.workspace, name)?;
            let registration = self.context.projects.registration(project.manifest())?;
            let version = match which {
                Which::Version(version) => Some(version),
                Which::Alias(alias) => {
                    let version = version_of(&self.workspace, project, &alias).await?;
                    if version.is_none() && alias != Alias::production() {
                        let action = format!("find a version of {name}: no `{alias}`");
                        let help = format!("`mesh model list {name}` shows the versions");
                        return Err(CliError::usage(action, help));
                    }
                    version
                }
            };
            let model = deployed(&self.workspace, project, &Alias::production(), version).await?;
            let predictor = registration.load(&model.files)?;
            let digest = match &model.compiled {
                Some(compiled) => compiled.digest().to_string(),
                None => format!("{name}-code-{}", model.version),
            };
            enrichers.push(Enricher {
                manifest: project.manifest().clone(),
                version: model.version,
                digest,
                predictor,
                contracts: Arc::clone(&contracts),
            });
        }
        Ok(enrichers)
    }

    async fn job(&self, rows: &Rows, begun: Vec<Plan>) -> Result<Job, CliError> {
        let only = if rows.all_rows { Only::All } else { Only::Stale };
        let filter = rows.filter.clone();
        let selection = Selection { only, filter, begun, ..Selection::default() };
        self.make(&rows.archive, &rows.projects, &selection).await
    }

    async fn make(
        &self,
        archive: &str,
        projects: &[String],
        selection: &Selection,
    ) -> Result<Job, CliError> {
        // Who names an archive that is not there need not wait for models.
        let file = ArchiveFile::find(self.workspace.root(), archive)?;
        let enrichers = self.enrichers(projects).await?;
        Ok(block_in_place(|| {
            let archive = file.open(&self.ledger.runtime, &self.context.cancel)?;
            Job::new(archive, enrichers, selection, self.watch())
        })?)
    }

    /// The job of a backfill that was begun.
    async fn again(&self, plan: &Plan) -> Result<Job, CliError> {
        let named: Vec<String> = plan
            .projects
            .iter()
            .map(|project| format!("{}@{}", project.project, project.version))
            .collect();
        let selection = Selection {
            only: plan.only,
            filter: plan.filter.clone(),
            onto: plan.onto(),
            among: Some(plan.files.clone()),
            begun: vec![plan.clone()],
        };
        self.make(plan.archive.as_str(), &named, &selection).await
    }

    async fn plan(&self, options: &BackfillPlan) -> Result<ExitCode, CliError> {
        let job = self.job(&options.rows, Vec::new()).await?;
        let threads = self.context.run_options(options.threads).threads;
        let estimate = block_in_place(|| job.estimate(threads, self.watch()))?;
        if self.context.global.json {
            let mut told = json!(estimate);
            if let Some(told) = told.as_object_mut() {
                told.insert("passed_over".into(), json!(job.passed_over()));
            }
            output::json(&told);
        } else {
            show::passed_over(job.passed_over());
            show::estimate(&estimate, &options.rows);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn cancel(&self, id: BackfillId) -> Result<ExitCode, CliError> {
        let (record, _) = block_in_place(|| self.ledger.find(id))?;
        let archive = self.archive(&record.archive)?;
        let gone = block_in_place(|| self.ledger.cancel(id, &archive))?;
        let told = match gone {
            true => format!("backfill {id} is given up, and what it wrote is removed"),
            false => format!("asked backfill {id} to stop for good"),
        };
        self.say(json!({ "id": id, "cancelled": gone }), &told);
        Ok(ExitCode::SUCCESS)
    }

    fn rejects(&self, id: BackfillId, limit: usize) -> Result<ExitCode, CliError> {
        let (record, plan) = block_in_place(|| self.ledger.find(id))?;
        let archive = self.archive(&record.archive)?;
        let rejects = block_in_place(|| self.ledger.rejects(id, &plan, &archive, limit))?;
        if self.context.global.json {
            output::json(&rejects);
        } else {
            show::rejects(&rejects);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn differences(
        &self,
        id: BackfillId,
        examples: usize,
    ) -> Result<(OpenArchive, Differences), CliError> {
        let (record, plan) = block_in_place(|| self.ledger.find(id))?;
        let archive = self.archive(&record.archive)?;
        let mut gates = Vec::new();
        for project in &plan.projects {
            let project = super::run::find(&self.workspace, project.project.as_str())?;
            let table = project.manifest().backfill.clone().unwrap_or_default();
            gates.push((project.name().to_string(), table.gate));
        }
        let gates = gates.into_iter().collect();
        let differences = block_in_place(|| {
            Differences::of(&archive, &record, &plan, &gates, examples, self.watch())
        })?;
        Ok((archive, differences))
    }

    fn diff(
        &self,
        id: BackfillId,
        html: Option<&Path>,
        examples: usize,
    ) -> Result<ExitCode, CliError> {
        if let Some(file) = html {
            self.spare_documents(file)?;
        }
        let (_, differences) = self.differences(id, examples)?;
        if let Some(file) = html {
            std::fs::write(file, differences.html())
                .map_err(|error| CliError::io("write", file.display(), error))?;
        }
        match self.context.global.json {
            true => output::json(&differences.projects),
            false => output::line(differences.text().trim_end()),
        }
        Ok(ExitCode::SUCCESS)
    }

    fn cutover(&self, id: BackfillId, force: bool) -> Result<ExitCode, CliError> {
        let (record, _) = block_in_place(|| self.ledger.find(id))?;
        let moved = self.make_live(id, force)?;
        if self.context.global.json {
            output::json(&moved);
        } else {
            show::moved(&record.archive, &moved);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Makes a backfill live, if the gates of its projects allow it.
    fn make_live(&self, id: BackfillId, force: bool) -> Result<Vec<Moved>, CliError> {
        let (record, plan) = block_in_place(|| self.ledger.find(id))?;
        let mut gated = false;
        for project in &plan.projects {
            let project = super::run::find(&self.workspace, project.project.as_str())?;
            gated |= project.manifest().backfill.as_ref().is_some_and(|t| !t.gate.is_empty());
        }
        let (archive, differences) = match gated && !force {
            true => {
                let (archive, differences) = self.differences(id, 0)?;
                (archive, Some(differences))
            }
            false => (self.archive(&record.archive)?, None),
        };
        Ok(block_in_place(|| self.ledger.cutover(id, &archive, differences.as_ref()))?)
    }

    fn rollback(&self, name: &str, projects: &[ProjectName]) -> Result<ExitCode, CliError> {
        let archive = self.archive(name)?;
        let moved = block_in_place(|| self.ledger.rollback(&archive, projects))?;
        if self.context.global.json {
            output::json(&moved);
        } else {
            show::moved(name, &moved);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn export(
        &self,
        name: &str,
        projects: &[ProjectName],
        output: &Path,
    ) -> Result<ExitCode, CliError> {
        self.spare_documents(output)?;
        let archive = self.archive(name)?;
        let exported = block_in_place(|| archive.export(projects, output, self.watch()))?;
        let told: Vec<String> = exported
            .enriched
            .iter()
            .map(|(project, rows)| format!("{rows} enriched by {project}"))
            .collect();
        let text = format!(
            "wrote {} rows to {}: {}",
            exported.rows,
            output.display(),
            if told.is_empty() { "nothing is live".into() } else { told.join(", ") }
        );
        let renamed = exported.renamed.iter().map(|(own, name)| {
            format!("\nits own column `{own}` is `{name}` there: a project has that name")
        });
        let text: String = std::iter::once(text).chain(renamed).collect();
        self.say(json!(exported), &text);
        Ok(ExitCode::SUCCESS)
    }

    /// Fails if a file to be written is among the documents of an archive: they are never changed.
    fn spare_documents(&self, file: &Path) -> Result<(), CliError> {
        let archives = ArchiveFile::all(self.workspace.root())?.into_iter().flatten();
        for archive in archives {
            if archive.holds(file) {
                let action = format!(
                    "write {}: it is among the documents of {}, which are never changed",
                    file.display(),
                    archive.name()
                );
                return Err(CliError::usage(action, "name a file elsewhere"));
            }
        }
        Ok(())
    }

    fn collect(
        &self,
        name: &str,
        keep: usize,
        foreign: bool,
        yes: bool,
    ) -> Result<ExitCode, CliError> {
        let archive = self.archive(name)?;
        let removal = if yes { Removal::Now } else { Removal::Later };
        let collected = block_in_place(|| self.ledger.collect(&archive, keep, foreign, removal))?;
        let mut text: Vec<String> = Vec::new();
        for (project, generation) in &collected.generations {
            text.push(format!("{project}/{generation}"));
        }
        for (project, generation) in &collected.foreign {
            text.push(format!(
                "{project}/{generation} stays: no backfill of this workspace made it (--foreign)"
            ));
        }
        text.push(match (collected.generations.len(), yes) {
            (0, _) => "nothing to remove".into(),
            (count, true) => format!("{count} removed, {}", output::bytes(collected.bytes)),
            (count, false) => format!("{count} would go: `--yes` removes them"),
        });
        self.say(json!(collected), &text.join("\n"));
        Ok(ExitCode::SUCCESS)
    }

    fn say(&self, value: serde_json::Value, text: &str) {
        match self.context.global.json {
            true => output::json(&value),
            false => output::line(text),
        }
    }
}

/// What stands behind the `@` of a project: a number, or an alias.
fn which(text: &str) -> Result<Which, CliError> {
    if let Ok(number) = text.parse::<u32>() {
        let version = ModelVersion::try_from(number);
        return version.map(Which::Version).map_err(|error| wrong(&error));
    }
    text.parse::<Alias>().map(Which::Alias).map_err(|error| wrong(&error))
}

fn wrong(error: &dyn std::error::Error) -> CliError {
    CliError::usage(error.to_string(), "write `name`, `name@2` or `name@candidate`")
}
