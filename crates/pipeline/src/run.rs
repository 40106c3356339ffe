use std::{collections::BTreeMap, sync::Arc, time::Instant};

use mesh_core::{
    ARTIFACT_FORMAT, ArtifactDir, ArtifactManifest, Cancel, Digest, InputEntry, Inputs,
    ModelVersion, Producer, Progress, SourceFiles, StepContext, StepErrorKind, StepKey, StepName,
    StepOutcome, StepOutput,
};
use mesh_source::{Request, SourceUrl};
use mesh_store::{CompiledRecord, RunResult, RunStatus};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    Freshness, PipelineError, ProjectFolder, UnitStatus, Workspace,
    assess::assess_unit,
    units::{Unit, pretrained_role, units},
};

/// How steps are run.
#[derive(Clone)]
pub struct RunOptions {
    /// The last step to run; all of them without it.
    pub until: Option<StepName>,
    /// Whether the last step (all steps without one) runs even if it is fresh.
    pub force: bool,
    /// How many threads a step may use.
    pub threads: usize,
    /// Where long work is shown.
    pub progress: Arc<dyn Progress>,
    /// Whether to stop.
    pub cancel: Cancel,
}

/// What happens while steps run, as it happens.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunEvent<'a> {
    /// Another process does this step; it is waited for.
    Waiting {
        /// The step.
        step: StepName,
    },
    /// A step starts, for this reason.
    Started {
        /// The step, and why it is not fresh.
        status: &'a UnitStatus,
    },
    /// A step is done, or was fresh.
    Done(&'a UnitOutcome),
    /// A gate refused a target, and another one after it.
    Refused(&'a PipelineError),
}

/// What became of a step.
#[derive(Debug, Clone, Serialize)]
pub struct UnitOutcome {
    /// The step.
    pub step: StepName,
    /// The target of a compile, else empty.
    pub unit: String,
    /// Whether it was run; else it was fresh.
    pub ran: bool,
    /// What it left.
    pub output: Digest,
    /// Facts about what it left.
    pub summary: Value,
    /// Facts about the run; nothing if it was fresh.
    pub report: Value,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The model version that it left or belongs to, and whether that is new.
    pub version: Option<(ModelVersion, bool)>,
}

/// Runs the steps of a project that are not fresh, in order.
///
/// # Errors
/// What stopped the first step that left nothing. The steps before it stay done.
pub async fn run(
    workspace: &Workspace,
    project: &ProjectFolder,
    options: &RunOptions,
    on_event: &(dyn Fn(RunEvent<'_>) + Sync),
) -> Result<Vec<UnitOutcome>, PipelineError> {
    let _in_use = workspace.store().locks().use_store()?;
    let mut units = units(project.manifest());
    if let Some(until) = options.until {
        let Some(last) = units.iter().rposition(|unit| unit.step.name() == until) else {
            let known: Vec<_> = units.iter().map(|unit| unit.step.name().as_str()).collect();
            return Err(PipelineError::NoStep {
                project: project.name().to_string(),
                step: until.to_string(),
                known: if known.is_empty() { "none".into() } else { known.join(", ") },
            });
        };
        units.truncate(last + 1);
    }
    let mut runner =
        Runner { workspace, project, options, on_event, outputs: BTreeMap::new(), version: None };
    let mut outcomes = Vec::new();
    let mut refused: Option<PipelineError> = None;
    for unit in units {
        let compiles = unit.step.name() == StepName::Compile;
        match runner.unit(Arc::new(unit)).await {
            Ok(outcome) => {
                on_event(RunEvent::Done(&outcome));
                outcomes.push(outcome);
            }
            // The other targets may pass.
            Err(error) if compiles && error.is_refusal() => {
                if let Some(before) = refused.replace(error) {
                    on_event(RunEvent::Refused(&before));
                }
            }
            Err(error) => return Err(error),
        }
    }
    refused.map_or(Ok(outcomes), Err)
}

struct Runner<'a> {
    workspace: &'a Workspace,
    project: &'a ProjectFolder,
    options: &'a RunOptions,
    on_event: &'a (dyn Fn(RunEvent<'_>) + Sync),
    outputs: BTreeMap<StepName, Digest>,
    version: Option<(ModelVersion, bool)>,
}

impl Runner<'_> {
    async fn unit(&mut self, unit: Arc<Unit>) -> Result<UnitOutcome, PipelineError> {
        let step = unit.step.name();
        let locks = self.workspace.store().locks();
        let name = format!("{}-{step}-{}", self.project.name(), unit.name);
        let waiting = || (self.on_event)(RunEvent::Waiting { step });
        let _alone = locks.work(name.trim_end_matches('-'), waiting)?;
        let mut status = assess_unit(self.workspace, self.project, &unit, &self.outputs).await?;
        let forced = self.options.force && self.options.until.is_none_or(|until| until == step);
        let started = Instant::now();
        let (artifact, report, ran) = match self.fresh(&mut status).await? {
            Some(artifact) if !forced => (artifact, Value::Null, false),
            _ => {
                (self.on_event)(RunEvent::Started { status: &status });
                let made = self.make(&unit, &status).await;
                if step == StepName::Compile && made.as_ref().is_err_and(PipelineError::is_refusal)
                {
                    self.withdraw(&unit, &status).await?;
                }
                let (artifact, report) = made?;
                (artifact, report, true)
            }
        };
        self.outputs.insert(step, artifact.digest());
        self.register(&unit, &artifact, &report, ran).await?;
        Ok(UnitOutcome {
            step,
            unit: unit.name.clone(),
            ran,
            output: artifact.digest(),
            summary: artifact.manifest().summary.clone(),
            report,
            seconds: started.elapsed().as_secs_f64(),
            version: self.version,
        })
    }

    /// What a fresh step left, every byte verified. Damage makes the step stale.
    async fn fresh(&self, status: &mut UnitStatus) -> Result<Option<ArtifactDir>, PipelineError> {
        let Some(output) = status.freshness.output() else { return Ok(None) };
        match self.workspace.store().get(output).await.map_err(PipelineError::from) {
            Ok(artifact) => Ok(Some(artifact)),
            Err(error) if error.is_damage() => {
                let reason = std::error::Error::source(&error).map(ToString::to_string);
                let why = vec![reason.unwrap_or_else(|| error.to_string())];
                status.freshness = Freshness::Stale { why };
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn make(
        &self,
        unit: &Arc<Unit>,
        status: &UnitStatus,
    ) -> Result<(ArtifactDir, Value), PipelineError> {
        let inputs = self.inputs(unit).await?;
        let key = match &status.key {
            Some(key) => key.clone(),
            None => StepKey::new(unit.step.as_ref(), inputs.digests()),
        };
        let registry = self.workspace.registry();
        let run = registry.begin_run(self.project.name(), &unit.name, &key).await?;
        match self.work(unit, &inputs, &key).await {
            Ok((artifact, report)) => {
                let result = RunResult::Succeeded { artifact: &artifact, report: &report };
                registry.finish_run(run, &result).await?;
                Ok((artifact, report))
            }
            Err(error) => {
                let status = match &error {
                    PipelineError::Step(error) => match error.kind {
                        StepErrorKind::Gate => RunStatus::Refused,
                        StepErrorKind::Interrupted => RunStatus::Interrupted,
                        _ => RunStatus::Failed,
                    },
                    _ => RunStatus::Failed,
                };
                let text = describe(&error);
                let result = RunResult::Unsuccessful { status, error: &text };
                // What went wrong in the step matters more than that it cannot be written down.
                if let Err(second) = registry.finish_run(run, &result).await {
                    tracing::warn!(%second, "the registry does not know how the run ended");
                }
                Err(error)
            }
        }
    }

    async fn work(
        &self,
        unit: &Arc<Unit>,
        inputs: &Inputs,
        key: &StepKey,
    ) -> Result<(ArtifactDir, Value), PipelineError> {
        let bench = self.workspace.store().workbench()?;
        let output = StepOutput { dir: bench.output(), scratch: bench.scratch() };
        let context = StepContext {
            project: self.project.name().clone(),
            threads: self.options.threads,
            progress: Arc::clone(&self.options.progress),
            cancel: self.options.cancel.clone(),
            cache: Some(self.workspace.root().join(".mesh/cache")),
        };
        let (worker, given) = (Arc::clone(unit), inputs.clone());
        let done =
            tokio::task::spawn_blocking(move || worker.step.run(&given, &output, &context)).await;
        let StepOutcome { summary, report } =
            done.map_err(|_| PipelineError::Panic(key.step.to_string()))??;
        let entries = inputs.digests().into_iter();
        let manifest = ArtifactManifest {
            format: ARTIFACT_FORMAT,
            kind: unit.step.produces(),
            files: Vec::new(),
            producer: Producer {
                step: key.step,
                code: key.code,
                parameters: key.parameters.clone(),
            },
            inputs: entries.map(|(role, digest)| InputEntry { role, digest }).collect(),
            summary,
        };
        Ok((self.workspace.store().commit(bench, manifest).await?, report))
    }

    async fn inputs(&self, unit: &Unit) -> Result<Inputs, PipelineError> {
        let mut inputs = Inputs::default();
        for source in &unit.sources {
            let url: SourceUrl = source.url.parse()?;
            let request = Request {
                url,
                sha256: source.sha256,
                progress: Arc::clone(&self.options.progress),
                cancel: self.options.cancel.clone(),
            };
            let fetched = self.workspace.fetcher(self.project).fetch(&request).await?;
            let files = SourceFiles { digest: fetched.digest, files: fetched.files };
            inputs.sources.insert(source.role.to_owned(), files);
        }
        for (role, before) in &unit.takes {
            if let Some(digest) = self.outputs.get(before) {
                let artifact = self.workspace.store().get(*digest).await?;
                inputs.artifacts.insert((*role).to_owned(), artifact);
            }
        }
        Ok(inputs)
    }

    /// Makes a trained model a version, and a compiled one part of its version. Done for fresh
    /// steps too: a process may have been killed between a step and this.
    async fn register(
        &mut self,
        unit: &Unit,
        artifact: &ArtifactDir,
        report: &Value,
        ran: bool,
    ) -> Result<(), PipelineError> {
        let registry = self.workspace.registry();
        let project = self.project.name();
        match unit.step.name() {
            StepName::Train => {
                let summary = &artifact.manifest().summary;
                let digest = artifact.digest();
                self.version = Some(registry.register_version(project, digest, summary).await?);
            }
            StepName::Compile => {
                if self.version.is_none() {
                    self.version = self.register_pretrained(artifact).await?;
                }
                let Some((version, _)) = self.version else { return Ok(()) };
                let known = registry.versions(project).await?;
                let known = known.iter().find(|record| record.version == version);
                let known = known.is_some_and(|record| {
                    record.compiled.iter().any(|compiled| compiled.digest == artifact.digest())
                });
                if ran || !known {
                    // What `native` turned out to be.
                    let told = artifact.manifest().summary.get("target").and_then(Value::as_str);
                    let target = told.unwrap_or(&unit.name).to_owned();
                    let digest = artifact.digest();
                    let fidelity = &artifact.manifest().summary;
                    let report = json!({ "fidelity": fidelity, "speed": report });
                    let record = CompiledRecord { target, digest, report };
                    registry.register_compiled(project, version, &record).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes back what was compiled for a target that does not pass any more.
    async fn withdraw(&self, unit: &Unit, status: &UnitStatus) -> Result<(), PipelineError> {
        let Some(key) = &status.key else { return Ok(()) };
        let role = pretrained_role(self.project.manifest().project.task);
        let pretrained = key
            .inputs
            .get(role)
            .and_then(|digest| Digest::of_json(&(*digest, key.parameters.get("model"))).ok());
        let Some(model) = self.outputs.get(&StepName::Train).copied().or(pretrained) else {
            return Ok(());
        };
        let registry = self.workspace.registry();
        Ok(registry.withdraw_compiled(self.project.name(), model, &unit.name).await?)
    }

    /// The version of a model that came pre-trained: named by what it was made from, and by how
    /// it is used.
    async fn register_pretrained(
        &self,
        artifact: &ArtifactDir,
    ) -> Result<Option<(ModelVersion, bool)>, PipelineError> {
        let manifest = artifact.manifest();
        let role = pretrained_role(self.project.manifest().project.task);
        let pretrained = manifest.inputs.iter().find(|input| input.role == role);
        let Some(pretrained) = pretrained else { return Ok(None) };
        let used = manifest.producer.parameters.get("model");
        let Ok(model) = Digest::of_json(&(pretrained.digest, used)) else { return Ok(None) };
        let mut summary = json!({ "pretrained": pretrained.digest });
        if let (Some(metrics), Some(summary)) =
            (manifest.summary.get("metrics"), summary.as_object_mut())
        {
            summary.insert("metrics".into(), metrics.clone());
        }
        let registry = self.workspace.registry();
        Ok(Some(registry.register_version(self.project.name(), model, &summary).await?))
    }
}

/// An error and what caused it, in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
