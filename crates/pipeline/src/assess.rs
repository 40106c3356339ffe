use std::collections::BTreeMap;

use mesh_core::{Digest, StepKey, StepName};
use mesh_source::SourceUrl;
use mesh_store::RunStatus;
use serde::Serialize;

use crate::{
    PipelineError, ProjectFolder, Workspace,
    units::{Unit, units},
};

/// How a step stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Freshness {
    /// It was done with exactly what it would be given now.
    Fresh {
        /// What it left.
        output: Digest,
    },
    /// It was done with something else.
    Stale {
        /// What changed.
        why: Vec<String>,
    },
    /// It was never done.
    Absent,
    /// The last try with what it would be given now left nothing.
    Failed {
        /// Why.
        error: String,
    },
}

/// A step of a project, and how it stands.
#[derive(Debug, Clone, Serialize)]
pub struct UnitStatus {
    /// The step.
    pub step: StepName,
    /// The target of a compile, else empty.
    pub unit: String,
    /// How it stands.
    #[serde(flatten)]
    pub freshness: Freshness,
    /// The key that it would be run with; unknown while what it takes is not there.
    #[serde(skip)]
    pub key: Option<StepKey>,
}

impl Freshness {
    /// The state in one word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Fresh { .. } => "fresh",
            Self::Stale { .. } => "stale",
            Self::Absent => "absent",
            Self::Failed { .. } => "failed",
        }
    }

    /// What the step left, if it is fresh.
    #[must_use]
    pub const fn output(&self) -> Option<Digest> {
        match self {
            Self::Fresh { output } => Some(*output),
            _ => None,
        }
    }
}

/// Says of every step of a project how it stands. Runs nothing and fetches nothing.
///
/// # Errors
/// When the registry or the store cannot be read. A source that cannot be read is no error: its
/// step counts as failed.
pub async fn assess(
    workspace: &Workspace,
    project: &ProjectFolder,
) -> Result<Vec<UnitStatus>, PipelineError> {
    let mut outputs = BTreeMap::new();
    let mut statuses = Vec::new();
    for unit in units(project.manifest()) {
        let status = assess_unit(workspace, project, &unit, &outputs).await?;
        if let Some(output) = status.freshness.output() {
            outputs.insert(status.step, output);
        }
        statuses.push(status);
    }
    Ok(statuses)
}

/// Says how one piece of work stands, given what the steps before it left.
pub(crate) async fn assess_unit(
    workspace: &Workspace,
    project: &ProjectFolder,
    unit: &Unit,
    outputs: &BTreeMap<StepName, Digest>,
) -> Result<UnitStatus, PipelineError> {
    let step = unit.step.name();
    let status = |freshness, key| UnitStatus { step, unit: unit.name.clone(), freshness, key };
    let last = workspace.registry().last_run(project.name(), step, &unit.name).await?;
    let inputs = match input_digests(workspace, project, unit, outputs) {
        Ok(inputs) => inputs,
        Err(Missing::Step(before)) if last.is_some() => {
            let why = vec![format!("{before} has to run first")];
            return Ok(status(Freshness::Stale { why }, None));
        }
        Err(Missing::Step(_)) => return Ok(status(Freshness::Absent, None)),
        Err(Missing::Source(error)) => {
            return Ok(status(Freshness::Failed { error: error.to_string() }, None));
        }
    };
    let key = StepKey::new(unit.step.as_ref(), inputs);
    if let Some(run) = workspace.registry().succeeded_run(&key).await?
        && let Some(output) = run.output
    {
        let freshness = if workspace.store().contains(output).await {
            Freshness::Fresh { output }
        } else {
            let why = vec![format!(
                "its {} {} is not in the store",
                unit.step.produces(),
                output.short()
            )];
            Freshness::Stale { why }
        };
        return Ok(status(freshness, Some(key)));
    }
    let Some(last) = last else { return Ok(status(Freshness::Absent, Some(key))) };
    let freshness = match (&last.error, last.status) {
        (_, RunStatus::Succeeded) => Freshness::Stale { why: key.changes_since(&last.key) },
        (_, RunStatus::Running) => {
            Freshness::Stale { why: vec!["a run has not ended, or was killed".into()] }
        }
        (_, RunStatus::Interrupted) => {
            Freshness::Stale { why: vec!["the last run was interrupted".into()] }
        }
        (Some(error), _) if last.key == key => Freshness::Failed { error: error.clone() },
        _ => Freshness::Stale { why: key.changes_since(&last.key) },
    };
    Ok(status(freshness, Some(key)))
}

pub(crate) enum Missing {
    Step(StepName),
    Source(PipelineError),
}

/// The digests of what a piece of work takes, by role.
pub(crate) fn input_digests(
    workspace: &Workspace,
    project: &ProjectFolder,
    unit: &Unit,
    outputs: &BTreeMap<StepName, Digest>,
) -> Result<BTreeMap<String, Digest>, Missing> {
    let mut inputs = BTreeMap::new();
    for source in &unit.sources {
        let url: SourceUrl =
            source.url.parse().map_err(|e: mesh_source::SourceError| Missing::Source(e.into()))?;
        let digest = workspace.fetcher(project).digest(&url, source.sha256);
        let digest = digest.map_err(|error| Missing::Source(error.into()))?;
        inputs.insert(source.role.to_owned(), digest);
    }
    for (role, before) in &unit.takes {
        let digest = outputs.get(before).ok_or(Missing::Step(*before))?;
        inputs.insert((*role).to_owned(), *digest);
    }
    Ok(inputs)
}
