use std::{collections::BTreeMap, fs, path::Path};

use mesh_core::{
    ArtifactKind, GateFailure, Inputs, Step, StepContext, StepError, StepName, StepOutcome,
    StepOutput,
    manifest::{Metric, ProjectManifest, ProjectTable, TrainTable},
};
use mesh_dataset::{Dataset, SplitName};
use miette::Diagnostic;
use serde_json::{Value, json};
use thiserror::Error;

use crate::{
    Card, DataFacts, TrainError, TrainErrorKind,
    linear::{Fitted, LinearTrainer, Stopped},
};

/// The train step of a project.
#[derive(Debug, Clone)]
pub struct Train {
    project: ProjectTable,
    table: TrainTable,
}

/// Raised whenever the same dataset and options would give another model.
const VERSION: u32 = 2;

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
        Some(Self { project: manifest.project.clone(), table })
    }

    fn fail(context: &StepContext, stopped: Stopped) -> StepError {
        match stopped {
            Stopped::Error(error) => StepError::failed(context, StepName::Train, error),
            Stopped::Interrupted(stop) => StepError::interrupted(context, StepName::Train, stop),
        }
    }

    fn fit(&self, dataset: &Dataset, context: &StepContext) -> Result<Fitted, Stopped> {
        let TrainTable { linear: options, seed, .. } = &self.table;
        LinearTrainer { dataset, options, seed: *seed, context }.fit()
    }

    fn refused(&self, fitted: &Fitted) -> Vec<GateFailure> {
        let below = |(metric, demanded): (&Metric, &f64)| {
            let measured = fitted.evaluation.metric(*metric);
            let metric = metric.to_string();
            (measured < *demanded).then_some(GateFailure { metric, measured, demanded: *demanded })
        };
        self.table.gate.iter().filter_map(below).collect()
    }

    fn card(&self, dataset: &Dataset, digest: mesh_core::Digest, fitted: &Fitted) -> Card {
        let rows = SplitName::ALL.map(|split| (split.to_string(), dataset.rows(split)));
        let leakage = &dataset.statistics().leakage;
        Card {
            format: Card::FORMAT,
            project: self.project.name.clone(),
            task: self.project.task,
            description: self.project.description.clone(),
            owner: self.project.owner.clone(),
            model: "linear".into(),
            data: DataFacts {
                dataset: digest,
                rows: BTreeMap::from(rows),
                labels: fitted.model.description.labels.clone(),
                leaks_mended: leakage.moved + leakage.dropped,
            },
            options: self.table.linear.clone(),
            seed: self.table.seed,
            features: fitted.model.vocabulary.len(),
            search: fitted.search.clone(),
            chosen_c: fitted.chosen_c,
            calibration: fitted.calibration.clone(),
            metrics: fitted.evaluation.clone(),
            top_features: fitted.top_features.clone(),
            notes: fitted.notes.clone(),
        }
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
        json!({ "project": self.project, "train": self.table })
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
        let fitted = self.fit(&dataset, context).map_err(|stop| Self::fail(context, stop))?;
        let refused = self.refused(&fitted);
        if !refused.is_empty() {
            return Err(StepError::gate(context, StepName::Train, &refused));
        }
        fitted.model.write(&output.dir).map_err(|error| failed(error.into()))?;
        let card = self.card(&dataset, artifact.digest(), &fitted);
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
            }),
            report: json!({ "seconds": fitted.seconds }),
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
