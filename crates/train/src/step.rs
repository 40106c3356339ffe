use std::{collections::BTreeMap, fs, path::Path};

use mesh_core::{
    ArtifactKind, Digest, GateFailure, Inputs, Step, StepContext, StepError, StepName, StepOutcome,
    StepOutput,
    features::FeatureSchema,
    manifest::{
        Metric, ModelTable, ProjectManifest, ProjectTable, TaskName, TrainModel, TrainTable,
    },
};
use mesh_dataset::{Dataset, SplitName};
use mesh_engine::{LogisticHead, Target};
use miette::Diagnostic;
use serde_json::{Value, json};
use thiserror::Error;

use crate::{
    Card, DataFacts, FamilyRow, RegressionCard, TaggerCard, TrainError, TrainErrorKind,
    boosted::BoostedTrainer,
    crf::CrfTrainer,
    fit::{self, Fit, Stopped},
    head::HeadTrainer,
    linear::{LinearFit, LinearTrainer},
};

/// The train step of a project.
#[derive(Debug, Clone)]
pub struct Train {
    project: ProjectTable,
    table: TrainTable,
    encoder: Option<ModelTable>,
}

/// Raised whenever the same dataset and options would give another model.
const VERSION: u32 = 6;

#[derive(Debug, Error, Diagnostic)]
#[error("failed to write {file}")]
struct WriteError {
    file: &'static str,
    source: std::io::Error,
}

impl Train {
    /// The train step of a manifest, if it has one.
    #[must_use]
    pub fn new(manifest: &ProjectManifest) -> Option<Self> {
        let table = manifest.train.clone()?;
        let (project, encoder) = (manifest.project.clone(), manifest.model.clone());
        Some(Self { project, table, encoder })
    }

    /// Whether it trains something on the encoder of the manifest.
    #[must_use]
    pub fn takes_encoder(&self) -> bool {
        self.table.model.families().iter().any(|family| family.takes_encoder())
    }

    fn fail(context: &StepContext, stopped: Stopped) -> StepError {
        match stopped {
            Stopped::Error(error) => StepError::failed(context, StepName::Train, error),
            Stopped::Interrupted(stop) => StepError::interrupted(context, StepName::Train, stop),
        }
    }

    /// Fits every family of the manifest.
    fn fit(
        &self,
        dataset: &Dataset,
        inputs: &Inputs,
        output: &StepOutput,
        context: &StepContext,
    ) -> Result<Vec<Candidate>, Stopped> {
        let labels = fit::labels(dataset)?;
        let TrainTable { linear, encoder_head, seed, .. } = &self.table;
        let mut candidates = Vec::new();
        for family in self.table.model.families() {
            let (model, fit) = match (family, &self.encoder) {
                (TrainModel::EncoderHead, Some(encoder)) => {
                    let options = encoder_head;
                    let trainer = HeadTrainer { dataset, options, encoder, seed: *seed, context };
                    let (head, fit) = trainer.fit(&labels, inputs, output)?;
                    (FittedModel::Head(head), fit)
                }
                _ => {
                    let trainer = LinearTrainer { dataset, options: linear, seed: *seed, context };
                    let (linear, fit) = trainer.fit(&labels)?;
                    (FittedModel::Linear(linear), fit)
                }
            };
            candidates.push(Candidate { family: *family, model, fit });
        }
        Ok(candidates)
    }

    fn refused(&self, fitted: &Fit) -> Vec<GateFailure> {
        let below = |(metric, demanded): (&Metric, &f64)| {
            let measured = fitted.evaluation.metric(*metric);
            let metric = metric.to_string();
            (measured < *demanded).then_some(GateFailure { metric, measured, demanded: *demanded })
        };
        self.table.gate.iter().filter_map(below).collect()
    }

    fn card(
        &self,
        (dataset, digest): (&Dataset, Digest),
        chosen: &Candidate,
        families: Vec<FamilyRow>,
    ) -> Card {
        let rows = SplitName::ALL.map(|split| (split.to_string(), dataset.rows(split)));
        let leakage = &dataset.statistics().leakage;
        let fit = &chosen.fit;
        let head = self.table.model.contains(TrainModel::EncoderHead);
        let mut notes = fit.notes.clone();
        if families.len() > 1 {
            notes.push("macro-F1 on the validation split chose the family of models".to_owned());
        }
        let mut options = self.table.linear.clone();
        let (features, top_features, labels) = match &chosen.model {
            FittedModel::Linear(fit) => {
                options.features = fit.model.description.features.clone();
                let labels = fit.model.description.labels.clone();
                (fit.model.vocabulary.len(), fit.top_features.clone(), labels)
            }
            FittedModel::Head(head) => (head.dimension(), BTreeMap::new(), head.labels.clone()),
        };
        Card {
            format: Card::FORMAT,
            project: self.project.name.clone(),
            task: self.project.task,
            description: self.project.description.clone(),
            owner: self.project.owner.clone(),
            model: chosen.family.as_str().into(),
            data: DataFacts {
                dataset: digest,
                rows: BTreeMap::from(rows),
                labels,
                leaks_mended: leakage.moved + leakage.dropped,
            },
            options,
            encoder_head: head.then(|| self.table.encoder_head.clone()),
            families,
            seed: self.table.seed,
            features,
            search: fit.search.clone(),
            chosen_c: fit.chosen_c,
            calibration: fit.calibration.clone(),
            metrics: fit.evaluation.clone(),
            top_features,
            notes,
        }
    }
}

/// A family of models, fitted.
struct Candidate {
    family: TrainModel,
    model: FittedModel,
    fit: Fit,
}

enum FittedModel {
    Linear(LinearFit),
    Head(LogisticHead),
}

impl Candidate {
    fn row(&self) -> FamilyRow {
        FamilyRow {
            model: self.family.as_str().into(),
            chosen_c: self.fit.chosen_c,
            validation_macro_f1: self.fit.validation_macro_f1(),
            accuracy: self.fit.evaluation.accuracy,
            macro_f1: self.fit.evaluation.macro_f1,
        }
    }

    fn write(&self, folder: &Path) -> Result<(), TrainError> {
        match &self.model {
            FittedModel::Linear(fit) => fit.model.write(folder)?,
            FittedModel::Head(head) => head.write(folder)?,
        }
        Ok(())
    }
}

/// The candidate with the best macro-F1 on the validation split; the first of equals, and the
/// first where nothing was measured.
fn choose(candidates: Vec<Candidate>) -> Option<Candidate> {
    let score = |candidate: &Candidate| candidate.fit.validation_macro_f1().unwrap_or_default();
    candidates.into_iter().rev().max_by(|a, b| score(a).total_cmp(&score(b)))
}

impl Train {
    /// Trains a model that tags tokens.
    fn run_tagger(
        &self,
        (dataset, digest): (&Dataset, Digest),
        inputs: &Inputs,
        output: &StepOutput,
        context: &StepContext,
    ) -> Result<StepOutcome, StepError> {
        let encoder = self.encoder.as_ref();
        let trainer = CrfTrainer { dataset, table: &self.table, encoder, context };
        let trained = trainer.train(inputs, output).map_err(|stop| Self::fail(context, stop))?;
        let metrics = &trained.metrics;
        let below = |(metric, demanded): (&Metric, &f64)| {
            let (measured, metric) = (metrics.f1.value, metric.to_string());
            (measured < *demanded).then_some(GateFailure { metric, measured, demanded: *demanded })
        };
        let refused: Vec<GateFailure> = self.table.gate.iter().filter_map(below).collect();
        if !refused.is_empty() {
            return Err(StepError::gate(context, StepName::Train, &refused));
        }
        let failed = |error: TrainError| StepError::failed(context, StepName::Train, error);
        trained.model.write(&output.dir).map_err(|error| failed(error.into()))?;
        let card = TaggerCard::new(&self.project, &self.table, (dataset, digest), &trained);
        let json = serde_json::to_string_pretty(&card).unwrap_or_default();
        write(&output.dir, Card::JSON, &json, context)?;
        write(&output.dir, Card::MARKDOWN, &card.markdown(), context)?;
        Ok(StepOutcome {
            summary: json!({
                "metrics": { "f1": card.metrics.f1 },
                "baseline": card.metrics.baseline,
                "labels": card.metrics.kinds.keys().collect::<Vec<_>>(),
                "features": card.features,
                "model": card.model,
            }),
            report: json!({ "seconds": trained.seconds }),
        })
    }
}

impl Train {
    /// Trains a model that tells a number.
    fn run_regression(
        &self,
        (dataset, digest): (&Dataset, Digest),
        output: &StepOutput,
        context: &StepContext,
    ) -> Result<StepOutcome, StepError> {
        let trainer = BoostedTrainer { dataset, table: &self.table, context };
        let trained = trainer.train().map_err(|stop| Self::fail(context, stop))?;
        let below = |(metric, demanded): (&Metric, &f64)| {
            let measured = trained.metrics.metric(*metric);
            let metric = metric.to_string();
            // What is not a number has not reached anything.
            let failed = measured.is_nan() || measured < *demanded;
            failed.then_some(GateFailure { metric, measured, demanded: *demanded })
        };
        let refused: Vec<GateFailure> = self.table.gate.iter().filter_map(below).collect();
        if !refused.is_empty() {
            return Err(StepError::gate(context, StepName::Train, &refused));
        }
        let failed = |error: TrainError| StepError::failed(context, StepName::Train, error);
        trained.model.write(&output.dir).map_err(|error| failed(error.into()))?;
        let schema = serde_json::to_string_pretty(&trained.schema).unwrap_or_default();
        write(&output.dir, FeatureSchema::FILE, &schema, context)?;
        let card = RegressionCard::new(&self.project, &self.table, (dataset, digest), &trained);
        let json = serde_json::to_string_pretty(&card).unwrap_or_default();
        write(&output.dir, Card::JSON, &json, context)?;
        write(&output.dir, Card::MARKDOWN, &card.markdown(), context)?;
        let metrics = &card.metrics;
        Ok(StepOutcome {
            summary: json!({
                "metrics": { "r2": metrics.r2, "mae": metrics.mae, "r2_gain": metrics.r2_gain },
                "baseline": metrics.baseline,
                "features": card.features.len(),
                "model": card.model,
            }),
            report: json!({ "seconds": trained.seconds }),
        })
    }
}

impl Step for Train {
    fn name(&self) -> StepName {
        StepName::Train
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn produces(&self) -> ArtifactKind {
        ArtifactKind::Model
    }

    fn parameters(&self) -> Value {
        // The card tells of the project: it is part of what the step leaves.
        let encoder = self.encoder.as_ref().filter(|_| self.takes_encoder());
        let Some(ModelTable { pooling, max_tokens, long_text, max_windows, .. }) = encoder else {
            return json!({ "project": self.project, "train": self.table });
        };
        let encoder = json!({
            "pooling": pooling,
            "max_tokens": max_tokens,
            "long_text": long_text,
            "max_windows": max_windows,
            "target": Target::native().map_or("none", Target::as_str),
        });
        json!({ "project": self.project, "train": self.table, "encoder": encoder })
    }

    fn run(
        &self,
        inputs: &Inputs,
        output: &StepOutput,
        context: &StepContext,
    ) -> Result<StepOutcome, StepError> {
        let failed = |error: TrainError| StepError::failed(context, StepName::Train, error);
        let artifact = inputs
            .artifact("dataset")
            .ok_or_else(|| failed(TrainError::new(TrainErrorKind::NoDataset)))?;
        let dataset = Dataset::open(artifact).map_err(|error| failed(error.into()))?;
        if self.project.task == TaskName::TokenClassification {
            return self.run_tagger((&dataset, artifact.digest()), inputs, output, context);
        }
        if self.project.task == TaskName::Regression {
            return self.run_regression((&dataset, artifact.digest()), output, context);
        }
        let candidates = self.fit(&dataset, inputs, output, context);
        let candidates = candidates.map_err(|stop| Self::fail(context, stop))?;
        let families: Vec<FamilyRow> = candidates.iter().map(Candidate::row).collect();
        let seconds: BTreeMap<&str, _> =
            candidates.iter().map(|c| (c.family.as_str(), c.fit.seconds.clone())).collect();
        let chosen = choose(candidates)
            .ok_or_else(|| failed(TrainError::new(TrainErrorKind::NoFeatures)))?;
        let refused = self.refused(&chosen.fit);
        if !refused.is_empty() {
            return Err(StepError::gate(context, StepName::Train, &refused));
        }
        chosen.write(&output.dir).map_err(failed)?;
        let card = self.card((&dataset, artifact.digest()), &chosen, families);
        let json = serde_json::to_string_pretty(&card).unwrap_or_default();
        let write = |file: &'static str, text: &str| write(&output.dir, file, text, context);
        write(Card::JSON, &json)?;
        write(Card::MARKDOWN, &card.markdown())?;
        Ok(StepOutcome {
            summary: json!({
                "metrics": { "accuracy": card.metrics.accuracy, "macro_f1": card.metrics.macro_f1 },
                "baseline": card.metrics.baseline,
                "labels": card.data.labels,
                "features": card.features,
                "model": card.model,
            }),
            report: json!({ "seconds": seconds }),
        })
    }
}

fn write(
    folder: &Path,
    file: &'static str,
    text: &str,
    context: &StepContext,
) -> Result<(), StepError> {
    fs::write(folder.join(file), text)
        .map_err(|source| StepError::failed(context, StepName::Train, WriteError { file, source }))
}
