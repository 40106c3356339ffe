use std::fs;

use mesh_core::{
    ArtifactKind, GateFailure, Inputs, Step, StepContext, StepError, StepName, StepOutcome,
    StepOutput, Unit,
    manifest::{CompileTable, Precision, ProjectManifest},
};
use mesh_dataset::{Dataset, SplitName};
use mesh_engine::{CompiledLinear, LinearModel, TextClassifier, pack};
use serde_json::{Value, json};

use crate::{CompileError, CompileErrorKind, Fidelity, Speed};

/// The compile step of a project, for one target.
#[derive(Debug, Clone)]
pub struct Compile {
    table: CompileTable,
    target: String,
}

/// Raised whenever the same model would give another compiled model.
const VERSION: u32 = 3;
/// Texts that the two models are compared on, at most.
const MAX_TEXTS: usize = 5_000;
/// Texts between two looks at whether to stop.
const CHECK_TEXTS: usize = 64;

impl Compile {
    /// The compile steps of a manifest, one per target.
    #[must_use]
    pub fn new(manifest: &ProjectManifest) -> Vec<Self> {
        let Some(table) = &manifest.compile else { return Vec::new() };
        let mut steps: Vec<Self> = Vec::new();
        for target in &table.targets {
            let target = match (target.as_str(), table.precision) {
                ("native", Precision::F32) => "portable-f32",
                ("native", _) => "portable-f16",
                (other, _) => other,
            };
            if steps.iter().all(|step| step.target != target) {
                steps.push(Self { table: table.clone(), target: target.to_owned() });
            }
        }
        steps
    }

    /// The target.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    fn precision(&self) -> Result<Precision, CompileError> {
        match self.target.as_str() {
            "portable-f16" => Ok(Precision::F16),
            "portable-f32" => Ok(Precision::F32),
            other => Err(CompileError::new(CompileErrorKind::Target(other.to_owned()))),
        }
    }

    fn refused(&self, fidelity: &Fidelity, speed: &Speed) -> Vec<GateFailure> {
        let check = |(metric, demanded): (&String, &f64)| {
            let measured = match metric.as_str() {
                "agreement" => fidelity.agreement,
                _ => speed.speedup,
            };
            let metric = format!("{metric} of {}", self.target);
            (measured < *demanded).then_some(GateFailure { metric, measured, demanded: *demanded })
        };
        // What a manifest leaves out is still demanded.
        let mut gate = CompileTable::default().gate;
        gate.extend(self.table.gate.clone());
        gate.iter().filter_map(check).collect()
    }

    fn compile(
        &self,
        inputs: &Inputs,
        output: &StepOutput,
        context: &StepContext,
    ) -> Result<(Fidelity, Speed), Stopped> {
        let input = |role| {
            let missing = || CompileError::new(CompileErrorKind::NoInput(role));
            inputs.artifact(role).ok_or_else(missing)
        };
        let dataset = Dataset::open(input("dataset")?).map_err(CompileError::from)?;
        let trained = LinearModel::read(input("model")?.path()).map_err(CompileError::from)?;
        let (bytes, report) = pack(&trained, self.precision()?);
        let path = output.dir.join(CompiledLinear::FILE);
        fs::write(&path, bytes).map_err(|error| write_error(&error))?;
        let compiled = CompiledLinear::open(&path).map_err(CompileError::from)?;
        let (texts, truth) = texts(&dataset, trained.labels())?;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let count = Some(texts.len() as u64);
        let task = context.progress.begin("compare with the model", count, Unit::Items);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for some in texts.chunks(CHECK_TEXTS) {
            context.cancel.check().map_err(Stopped::Interrupted)?;
            before.extend(trained.scores(some));
            after.extend(compiled.scores(some));
            task.advance(some.len() as u64);
        }
        let fidelity = Fidelity::measure(&self.target, report, &truth, &before, &after);
        let speed = Speed::measure(&trained, &compiled, &texts);
        let json = serde_json::to_string_pretty(&fidelity).unwrap_or_default();
        fs::write(output.dir.join(Fidelity::FILE), json).map_err(|error| write_error(&error))?;
        Ok((fidelity, speed))
    }
}

enum Stopped {
    Error(CompileError),
    Interrupted(mesh_core::Interrupted),
}

impl From<CompileError> for Stopped {
    fn from(error: CompileError) -> Self {
        Self::Error(error)
    }
}

fn write_error(error: &std::io::Error) -> CompileError {
    CompileError::new(CompileErrorKind::Write(error.to_string()))
}

/// Texts of the test split, else of the validation or training split, with their labels.
fn texts(dataset: &Dataset, labels: &[String]) -> Result<(Vec<String>, Vec<usize>), CompileError> {
    let order = [SplitName::Test, SplitName::Validation, SplitName::Train];
    let split = order.into_iter().find(|split| dataset.rows(*split) > 0);
    let split = split.ok_or_else(|| CompileError::new(CompileErrorKind::NoTexts))?;
    let (mut texts, mut truth) = (Vec::new(), Vec::new());
    for document in dataset.read(split)?.take(MAX_TEXTS) {
        let document = document?;
        let label = document.label.and_then(|label| labels.binary_search(&label).ok());
        texts.push(document.text);
        truth.push(label.unwrap_or(usize::MAX));
    }
    Ok((texts, truth))
}

impl Step for Compile {
    fn name(&self) -> StepName {
        StepName::Compile
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn produces(&self) -> ArtifactKind {
        ArtifactKind::Compiled
    }

    fn parameters(&self) -> Value {
        json!({ "target": self.target, "gate": self.table.gate })
    }

    fn run(
        &self,
        inputs: &Inputs,
        output: &StepOutput,
        context: &StepContext,
    ) -> Result<StepOutcome, StepError> {
        let compiled = self.compile(inputs, output, context);
        let (fidelity, speed) = compiled.map_err(|stopped| match stopped {
            Stopped::Error(error) => StepError::failed(context, StepName::Compile, error),
            Stopped::Interrupted(stop) => StepError::interrupted(context, StepName::Compile, stop),
        })?;
        let refused = self.refused(&fidelity, &speed);
        if !refused.is_empty() {
            return Err(StepError::gate(context, StepName::Compile, &refused));
        }
        Ok(StepOutcome { summary: json!(fidelity), report: json!(speed) })
    }
}
