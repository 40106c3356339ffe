use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr, sync::Arc};

use miette::Diagnostic;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use crate::{ArtifactDir, ArtifactKind, Cancel, Digest, Interrupted, Progress, ProjectName};

/// The steps of a project's life, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum StepName {
    /// Source to dataset.
    Prepare,
    /// Dataset to model.
    Train,
    /// Model to compiled model.
    Compile,
}

/// A step: a pure function from inputs and parameters to one artifact.
///
/// The same inputs, parameters and [`Step::version`] give the same bytes, on the same kind of
/// machine. A step reads only what it is given, and writes only below [`StepOutput::dir`].
pub trait Step {
    /// Which step it is.
    fn name(&self) -> StepName;

    /// The version of its code: raised whenever the same inputs would give other bytes.
    fn version(&self) -> u32;

    /// What it leaves.
    fn produces(&self) -> ArtifactKind;

    /// Everything beside the inputs that its output depends on, as JSON.
    fn parameters(&self) -> Value;

    /// Does the work.
    ///
    /// # Errors
    /// When the work failed, a gate refused, or it was interrupted. What is below
    /// [`StepOutput::dir`] is then thrown away.
    fn run(
        &self,
        inputs: &Inputs,
        output: &StepOutput,
        context: &StepContext,
    ) -> Result<StepOutcome, StepError>;
}

/// What a step is given: files from outside, and artifacts, each by role.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// What was fetched: `source`, `encoder`, `texts`.
    pub sources: BTreeMap<String, SourceFiles>,
    /// Artifacts: `dataset`, `model`.
    pub artifacts: BTreeMap<String, ArtifactDir>,
}

/// What was fetched from outside.
#[derive(Debug, Clone)]
pub struct SourceFiles {
    /// Its digest.
    pub digest: Digest,
    /// Its files, each with its path inside the source, sorted by it.
    pub files: Vec<(String, PathBuf)>,
}

/// Where a step leaves its files.
#[derive(Debug, Clone)]
pub struct StepOutput {
    /// An empty folder, committed as one artifact when the step is done.
    pub dir: PathBuf,
    /// A folder for temporary files, on the same disk, removed afterwards.
    pub scratch: PathBuf,
}

/// What a step runs in. None of it may change the output, with one exception: `threads`, where
/// the step documents it.
#[derive(Clone)]
pub struct StepContext {
    /// The project that it runs for.
    pub project: ProjectName,
    /// How many threads it may use.
    pub threads: usize,
    /// Where it reports how far it is.
    pub progress: Arc<dyn Progress>,
    /// Whether it should stop.
    pub cancel: Cancel,
    /// A folder for what is costly to compute and may be lost at any time, kept between runs;
    /// without one nothing is kept.
    pub cache: Option<PathBuf>,
}

/// What a step says when it is done.
#[derive(Debug, Clone, Default)]
pub struct StepOutcome {
    /// Facts for the artifact's manifest: the same for every run on the same inputs.
    pub summary: Value,
    /// Facts about this run, such as durations and speeds: kept with the run, not the artifact.
    pub report: Value,
}

/// A measured value that did not reach what the manifest demands.
#[derive(Debug, Clone, PartialEq, Error, Serialize, Deserialize)]
#[error("{metric} is {}, the gate demands at least {demanded}", self.told())]
pub struct GateFailure {
    /// The metric, as it is named in the manifest.
    pub metric: String,
    /// What was measured.
    pub measured: f64,
    /// What the manifest demands.
    pub demanded: f64,
}

/// Why a step left nothing.
#[derive(Debug, Error, Diagnostic)]
#[error("{step} of {project} failed")]
pub struct StepError {
    project: ProjectName,
    step: StepName,
    /// In which way.
    pub kind: StepErrorKind,
    #[source]
    #[diagnostic_source]
    source: Box<dyn Diagnostic + Send + Sync>,
}

/// The ways in which a step leaves nothing. Each has an exit code of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepErrorKind {
    /// The work failed: exit code 1.
    Failed,
    /// The work was done, and its result is not good enough: exit code 3.
    Gate,
    /// Somebody asked it to stop: exit code 130.
    Interrupted,
}

/// What decides whether a step has to run: the digests of its inputs, its parameters, its code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepKey {
    /// The step.
    pub step: StepName,
    /// The version of its code.
    pub code: u32,
    /// Its parameters.
    pub parameters: Value,
    /// The digests of its inputs by role.
    pub inputs: BTreeMap<String, Digest>,
}

#[derive(Debug, Error, Diagnostic)]
#[error("{failures}")]
#[diagnostic(help(
    "what did not pass is not served; improve the data or the model, or change `gate` in the \
     manifest"
))]
struct GateRefused {
    failures: String,
}

#[derive(Debug, Error, Diagnostic)]
#[error("interrupted; nothing half-written is left, the next run starts this step again")]
struct WasInterrupted;

impl StepName {
    /// All steps that leave an artifact, in order.
    pub const ALL: [Self; 3] = [Self::Prepare, Self::Train, Self::Compile];

    /// The step as it is written in manifests and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Train => "train",
            Self::Compile => "compile",
        }
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for StepName {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|step| step.as_str() == given).ok_or_else(|| {
            format!("there is no step `{given}` to run; the steps are prepare, train and compile")
        })
    }
}

impl Inputs {
    /// The digests by role, as they stand in the key and in the artifact's manifest.
    #[must_use]
    pub fn digests(&self) -> BTreeMap<String, Digest> {
        let sources = self.sources.iter().map(|(role, fetched)| (role.clone(), fetched.digest));
        let artifacts = self.artifacts.iter().map(|(role, dir)| (role.clone(), dir.digest()));
        sources.chain(artifacts).collect()
    }

    /// The files of what was fetched for a role; none if nothing was.
    #[must_use]
    pub fn files(&self, role: &str) -> &[(String, PathBuf)] {
        self.sources.get(role).map(|fetched| fetched.files.as_slice()).unwrap_or_default()
    }

    /// The artifact in a role.
    #[must_use]
    pub fn artifact(&self, role: &str) -> Option<&ArtifactDir> {
        self.artifacts.get(role)
    }
}

impl GateFailure {
    /// What was measured, with as many digits as it takes to tell it from what is demanded.
    fn told(&self) -> String {
        let mut rounded = (4..17).map(|digits| format!("{:.digits$}", self.measured));
        let differs = |text: &String| text.parse().is_ok_and(|value: f64| value < self.demanded);
        rounded.find(differs).unwrap_or_else(|| self.measured.to_string())
    }
}

impl StepKey {
    /// The key of a step on inputs with these digests.
    #[must_use]
    pub fn new(step: &dyn Step, inputs: BTreeMap<String, Digest>) -> Self {
        Self { step: step.name(), code: step.version(), parameters: step.parameters(), inputs }
    }

    /// The key's digest, by which runs are found again.
    ///
    /// # Errors
    /// When the parameters cannot be written as JSON.
    pub fn digest(&self) -> Result<Digest, serde_json::Error> {
        Digest::of_json(self)
    }

    /// What differs from an older key, in words: `parameters.split.seed: 42 -> 43`.
    #[must_use]
    pub fn changes_since(&self, older: &Self) -> Vec<String> {
        let view = |key: &Self| json!({ "code": key.code, "parameters": key.parameters, "inputs": key.inputs });
        let mut changes = Vec::new();
        describe_changes("", &view(older), &view(self), &mut changes);
        changes
    }
}

impl StepError {
    /// The work failed.
    pub fn failed(
        context: &StepContext,
        step: StepName,
        source: impl Diagnostic + Send + Sync + 'static,
    ) -> Self {
        Self::new(context, step, StepErrorKind::Failed, Box::new(source))
    }

    /// The result is not good enough.
    #[must_use]
    pub fn gate(context: &StepContext, step: StepName, failures: &[GateFailure]) -> Self {
        let failures = failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Self::new(context, step, StepErrorKind::Gate, Box::new(GateRefused { failures }))
    }

    /// Somebody asked it to stop.
    #[must_use]
    pub fn interrupted(context: &StepContext, step: StepName, _: Interrupted) -> Self {
        Self::new(context, step, StepErrorKind::Interrupted, Box::new(WasInterrupted))
    }

    fn new(
        context: &StepContext,
        step: StepName,
        kind: StepErrorKind,
        source: Box<dyn Diagnostic + Send + Sync>,
    ) -> Self {
        Self { project: context.project.clone(), step, kind, source }
    }
}

impl fmt::Debug for StepContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepContext")
            .field("project", &self.project)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

fn describe_changes(path: &str, old: &Value, new: &Value, changes: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let keys: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
            for key in keys {
                let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let value = |map: &serde_json::Map<String, Value>| {
                    map.get(key).cloned().unwrap_or(Value::Null)
                };
                describe_changes(&inner, &value(old), &value(new), changes);
            }
        }
        (old, new) if old != new => {
            changes.push(format!("{path}: {} -> {}", brief(old), brief(new)));
        }
        _ => {}
    }
}

fn brief(value: &Value) -> String {
    let text = match value {
        Value::Null => "none".to_owned(),
        Value::String(text) if text.parse::<Digest>().is_ok() => text.chars().take(12).collect(),
        other => other.to_string(),
    };
    if text.chars().count() <= 60 {
        text
    } else {
        text.chars().take(57).chain("...".chars()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(parameters: Value, source: &[u8]) -> StepKey {
        StepKey {
            step: StepName::Prepare,
            code: 1,
            parameters,
            inputs: [("source".to_owned(), Digest::of(source))].into(),
        }
    }

    #[test]
    fn changes_are_told_by_their_path() {
        let old = key(json!({"split": {"seed": 42, "train": 0.8}}), b"a");
        let new = key(json!({"split": {"seed": 43, "train": 0.8}, "extra": true}), b"a");
        let changes = new.changes_since(&old);
        assert_eq!(changes, ["parameters.extra: none -> true", "parameters.split.seed: 42 -> 43"]);
        assert!(new.changes_since(&new).is_empty());
        let other = key(json!({}), b"b").changes_since(&key(json!({}), b"a"));
        assert!(other[0].starts_with("inputs.source: "), "{other:?}");
    }

    #[test]
    fn a_gate_tells_what_is_less_than_what() {
        let failure = |measured| GateFailure { metric: "f1".into(), measured, demanded: 0.995 };
        let told = failure(0.994_996).to_string();
        assert_eq!(told, "f1 is 0.994996, the gate demands at least 0.995");
        assert!(failure(0.5).to_string().starts_with("f1 is 0.5000, "));
        assert!(failure(f64::NAN).to_string().starts_with("f1 is NaN, "));
    }
}
