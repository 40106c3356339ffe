//! Backfills that are run, gone on with, and tried again.

use std::process::ExitCode;

use mesh_backfill::{Cluster, Job, Only, Plan, RunLimits, RunReport, Selection, Service, Sharing};
use mesh_store::{BackfillId, BackfillState};
use serde_json::json;
use tokio::task::block_in_place;

use super::{Desk, show};
use crate::{
    args::{BackfillRun, Pace},
    commands::cluster,
    output,
    report::CliError,
};

/// Requests to a service, and tasks of a cluster, that are under way at once unless somebody says
/// otherwise.
const REQUESTS: usize = 8;
const TASKS: usize = 64;

impl Desk<'_> {
    pub(super) async fn run(&self, options: &BackfillRun) -> Result<ExitCode, CliError> {
        let begun = block_in_place(|| self.ledger.begun(&options.rows.archive))?;
        let keys: Vec<_> = begun.iter().map(Plan::key).collect();
        let job = self.job(&options.rows, begun).await?;
        // A copy of what is there would be of use to nobody.
        if !keys.contains(&job.plan().key()) && block_in_place(|| job.is_done(self.watch()))? {
            return Ok(self.nothing_to_do(&job));
        }
        let report = self.work(job, &options.pace)?;
        if !options.cutover {
            self.tell(&report);
            return Ok(ExitCode::SUCCESS);
        }
        let moved = self.make_live(report.id, false)?;
        if self.context.global.json {
            let mut told = json!(report);
            if let Some(told) = told.as_object_mut() {
                told.insert("moved".into(), json!(moved));
            }
            output::json(&told);
        } else {
            show::report(&report);
            show::moved(&report.archive, &moved);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn work(&self, mut job: Job, pace: &Pace) -> Result<RunReport, CliError> {
        if let Some(url) = &pace.through {
            let (in_flight, max_rate) = (pace.in_flight.unwrap_or(REQUESTS), pace.max_rate);
            let service = Service { url: url.clone(), in_flight, max_rate };
            block_in_place(|| job.through(&service, &self.ledger.runtime))?;
        }
        let cluster = pace.engine.as_ref().map(|url| self.cluster(url, pace.in_flight));
        let cluster = cluster.transpose()?;
        let limits = RunLimits {
            cluster: cluster.as_ref(),
            threads: self.context.run_options(pace.threads).threads,
            max_rejected: pace.max_rejected,
            progress: self.context.bars.as_ref(),
            cancel: &self.context.cancel,
        };
        Ok(block_in_place(|| self.ledger.run(&job, limits))?)
    }

    fn cluster(&self, url: &str, in_flight: Option<usize>) -> Result<Cluster, CliError> {
        let program = cluster::program()?;
        let root = std::path::absolute(self.workspace.root())
            .map_err(|error| CliError::io("find", self.workspace.root().display(), error))?;
        let sharing = Sharing { root, store: self.workspace.manifest().store.url.clone() };
        let (in_flight, runtime) = (in_flight.unwrap_or(TASKS), &self.ledger.runtime);
        let cluster =
            block_in_place(|| Cluster::connect(&program, url, in_flight, sharing, runtime));
        Ok(cluster?)
    }

    fn tell(&self, report: &RunReport) {
        if self.context.global.json {
            output::json(report);
        } else {
            show::report(report);
            show::next(report);
        }
    }

    pub(super) async fn resume(&self, id: BackfillId, pace: &Pace) -> Result<ExitCode, CliError> {
        let (record, plan) = block_in_place(|| self.ledger.find(id))?;
        if !record.state.is_unfinished() {
            let action = format!("resume backfill {id}: it is {}", record.state);
            let help = match record.state {
                BackfillState::Cancelled => format!("`{}` begins anew", plan.command()),
                _ => format!("`mesh backfill status {id}` shows what can be done with it"),
            };
            return Err(CliError::usage(action, help));
        }
        let job = self.again(&plan).await.map_err(|error| error.of_begun(id))?;
        let differs = plan.differences(job.plan());
        if !differs.is_empty() {
            let action = format!("resume backfill {id}: something changed since it was begun");
            let help = format!(
                "changed: {}. What it did and what is left would not be of one kind: `mesh \
                 backfill cancel {id}`, then begin anew",
                differs.join("; ")
            );
            return Err(CliError::usage(action, help));
        }
        let report = self.work(job, pace)?;
        self.tell(&report);
        Ok(ExitCode::SUCCESS)
    }

    pub(super) async fn retry(&self, id: BackfillId, pace: &Pace) -> Result<ExitCode, CliError> {
        let (record, plan) = block_in_place(|| self.ledger.find(id))?;
        let onto = match record.state {
            BackfillState::Done => Some(plan.generation()),
            BackfillState::Live => None,
            state => {
                let action = format!("retry backfill {id}: it is {state}");
                let help = "what is done or live can be retried";
                return Err(CliError::usage(action, help));
            }
        };
        let named: Vec<String> = plan
            .projects
            .iter()
            .map(|project| format!("{}@{}", project.project, project.version))
            .collect();
        let begun = block_in_place(|| self.ledger.begun(plan.archive.as_str()))?;
        let selection = Selection { only: Only::Rejected, onto, begun, ..Selection::default() };
        let job = self.make(plan.archive.as_str(), &named, &selection).await?;
        if block_in_place(|| job.is_done(self.watch()))? {
            return Ok(self.nothing_to_do(&job));
        }
        let report = self.work(job, pace)?;
        self.tell(&report);
        Ok(ExitCode::SUCCESS)
    }

    fn nothing_to_do(&self, job: &Job) -> ExitCode {
        let Plan { archive, projects, .. } = job.plan();
        let names: Vec<String> =
            projects.iter().map(|one| format!("{} version {}", one.project, one.version)).collect();
        self.say(
            json!({ "id": null, "archive": archive, "state": "unchanged", "rows": job.rows() }),
            &format!("{archive}: nothing is to be done by {}", names.join(", ")),
        );
        ExitCode::SUCCESS
    }
}
