use std::{collections::BTreeMap, fs};

use mesh_core::{
    ArtifactDir, ArtifactKind, GateFailure, Inputs, Interrupted, Step, StepContext, StepError,
    StepName, StepOutcome, StepOutput,
    manifest::{CompileTable, ModelTable, Precision, ProjectManifest, TaskName, TrainModel},
};
use mesh_engine::{LogisticHead, SequenceModel, Target};
use serde_json::{Value, json};

use crate::{
    CompileError, CompileErrorKind, Fidelity, Speed, card, encoder::EncoderJob, language, linear,
    tagger, trees,
};

/// The compile step of a project, for one target.
#[derive(Debug, Clone)]
pub struct Compile {
    manifest: ProjectManifest,
    table: CompileTable,
    family: Family,
    target: String,
}

/// What is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// A linear model.
    Linear,
    /// An encoder, as it is or with a head.
    Encoder,
    /// A model that tells languages.
    Language,
    /// A model that tags tokens, with an encoder or without.
    Tagger,
    /// Boosted trees.
    Trees,
    /// Whichever of the first two the train step chose.
    Chosen,
}

/// Raised whenever the same model would give another compiled model.
const VERSION: u32 = 7;
/// The target that is the best one of this machine.
pub(crate) const NATIVE: &str = "native";

/// Why compiling stopped.
pub(crate) enum Stopped {
    Error(CompileError),
    Interrupted(Interrupted),
}

impl Compile {
    /// The compile steps of a manifest, one per target.
    #[must_use]
    pub fn new(manifest: &ProjectManifest) -> Vec<Self> {
        let Some(table) = &manifest.compile else { return Vec::new() };
        let family = match &manifest.train {
            None if manifest.project.task == TaskName::Language => Family::Language,
            Some(_) if manifest.project.task == TaskName::TokenClassification => Family::Tagger,
            Some(_) if manifest.project.task == TaskName::Regression => Family::Trees,
            None => Family::Encoder,
            Some(train) => match train.model.families() {
                [TrainModel::Linear] => Family::Linear,
                families if families.contains(&TrainModel::Linear) => Family::Chosen,
                _ => Family::Encoder,
            },
        };
        let mut steps: Vec<Self> = Vec::new();
        for target in &table.targets {
            let families = manifest.train.iter().flat_map(|train| train.model.families());
            let encoders = families.filter(|family| family.takes_encoder()).count();
            let target = match (target.as_str(), family) {
                (NATIVE, Family::Tagger) if encoders == 0 => tagger::TARGET.to_owned(),
                (NATIVE, Family::Linear) => linear::native(table.precision).to_owned(),
                (NATIVE, Family::Trees) => trees::TARGET.to_owned(),
                (NATIVE, Family::Language) => language::TARGET.to_owned(),
                (NATIVE, Family::Encoder) => native_encoder(table.precision),
                (other, _) => other.to_owned(),
            };
            if steps.iter().all(|step| step.target != target) {
                let (manifest, table) = (manifest.clone(), table.clone());
                steps.push(Self { manifest, table, family, target });
            }
        }
        steps
    }

    /// The target.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    fn refused(&self, fidelity: &Fidelity, speed: &Speed) -> Vec<GateFailure> {
        let check = |(metric, demanded): (&String, &f64)| {
            let measured = match metric.as_str() {
                "agreement" => fidelity.agreement,
                // What has no embeddings has nothing to compare.
                "cosine" => fidelity.cosine_min?,
                _ => speed.speedup,
            };
            let metric = format!("{metric} of {}", fidelity.target);
            let failed = measured.is_nan() || measured < *demanded;
            failed.then_some(GateFailure { metric, measured, demanded: *demanded })
        };
        let mut gate = BTreeMap::from([("agreement".to_owned(), 0.995), ("cosine".into(), 0.99)]);
        if self.family != Family::Trees {
            gate.insert("speedup".into(), 1.0);
        }
        gate.extend(self.table.gate.clone());
        gate.iter().filter_map(check).collect()
    }

    fn compile(
        &self,
        inputs: &Inputs,
        output: &StepOutput,
        context: &StepContext,
    ) -> Result<(Fidelity, Speed), Stopped> {
        let encoder = match self.family {
            Family::Linear | Family::Language | Family::Tagger | Family::Trees => false,
            Family::Encoder => true,
            Family::Chosen => input(inputs, "model")?.file(LogisticHead::FILE).is_ok(),
        };
        let (fidelity, speed) = match (encoder, &self.manifest.model) {
            _ if self.family == Family::Language => {
                language::compile(&self.target, inputs, output, context)?
            }
            _ if self.family == Family::Trees => {
                trees::compile(&self.target, inputs, output, context)?
            }
            _ if self.family == Family::Tagger => {
                let model = self.manifest.model.as_ref();
                let dimension = SequenceModel::read(input(inputs, "model")?.path());
                let encoder = dimension.map_err(CompileError::from)?.dimension > 0;
                let target = match (self.target.as_str(), encoder) {
                    (NATIVE, true) => native_encoder(self.table.precision),
                    (NATIVE, false) => tagger::TARGET.to_owned(),
                    (other, _) => other.to_owned(),
                };
                tagger::compile(&target, model, inputs, output, context)?
            }
            (true, Some(table)) => {
                let target = match self.target.as_str() {
                    NATIVE => native_encoder(self.table.precision),
                    other => other.to_owned(),
                };
                let task = self.manifest.project.task;
                let job = EncoderJob { target: &target, task, table, inputs, context };
                job.compile(output)?
            }
            _ => {
                let target = match self.target.as_str() {
                    NATIVE => linear::native(self.table.precision),
                    other => other,
                };
                linear::compile(target, inputs, output, context)?
            }
        };
        if self.manifest.language.is_some() {
            language::add(inputs, output)?;
        }
        let json = serde_json::to_string_pretty(&fidelity).unwrap_or_default();
        fs::write(output.dir.join(Fidelity::FILE), json).map_err(|error| write_error(&error))?;
        if self.family == Family::Language {
            card::write_language(&self.manifest, inputs, &fidelity, &output.dir)?;
        } else if self.manifest.train.is_none() {
            card::write(&self.manifest, inputs, &fidelity, &output.dir)?;
        }
        Ok((fidelity, speed))
    }

    /// What of the encoder's table changes the compiled model. Where it comes from is an input,
    /// and what is done with long texts is for the one who serves it.
    fn encoder_parameters(table: &ModelTable) -> Value {
        json!({ "pooling": table.pooling, "max_tokens": table.max_tokens })
    }
}

/// The best target of this machine for an encoder. Where it cannot be told, the name stays, and
/// the step says why when it runs.
fn native_encoder(precision: Precision) -> String {
    let best = match precision {
        Precision::F32 => Target::native_f32(),
        _ => Target::native(),
    };
    best.map_or_else(|_| NATIVE.to_owned(), |target| target.to_string())
}

/// The artifact in a role.
pub(crate) fn input<'a>(
    inputs: &'a Inputs,
    role: &'static str,
) -> Result<&'a ArtifactDir, CompileError> {
    inputs.artifact(role).ok_or_else(|| CompileError::new(CompileErrorKind::NoInput(role)))
}

pub(crate) fn write_error(error: &std::io::Error) -> CompileError {
    CompileError::new(CompileErrorKind::Write(error.to_string()))
}

impl From<CompileError> for Stopped {
    fn from(error: CompileError) -> Self {
        Self::Error(error)
    }
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
        let mut parameters = json!({ "target": self.target, "gate": self.table.gate });
        if self.family == Family::Language
            && let Some(parameters) = parameters.as_object_mut()
        {
            // The card tells of the project: it is part of what the step leaves.
            parameters.insert("project".into(), json!(self.manifest.project));
        }
        let encoders = matches!(self.family, Family::Encoder | Family::Chosen | Family::Tagger);
        let encoder = self.manifest.model.as_ref().filter(|_| encoders);
        if let (Some(table), Some(parameters)) = (encoder, parameters.as_object_mut()) {
            parameters.insert("model".into(), Self::encoder_parameters(table));
            if self.target == NATIVE {
                let precision = self.table.precision;
                let native = json!([linear::native(precision), native_encoder(precision)]);
                parameters.insert("native".into(), native);
            }
            if self.manifest.train.is_none() {
                // The card tells of the project: it is part of what the step leaves.
                parameters.insert("project".into(), json!(self.manifest.project));
            }
        }
        parameters
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
