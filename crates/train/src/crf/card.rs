use std::{collections::BTreeMap, fmt::Write};

use mesh_core::{
    Digest, ProjectName,
    manifest::{CrfOptions, ProjectTable, TaskName, TrainTable},
};
use mesh_dataset::{Dataset, SplitName};
use serde::{Deserialize, Serialize};

use super::{TaggerMetrics, Trained};
use crate::{ClassMetrics, DataFacts, Estimate};

/// What a tagger is, what it was made from, and how good it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaggerCard {
    /// The version of this format.
    pub format: u32,
    /// The project.
    pub project: ProjectName,
    /// Its task.
    pub task: TaskName,
    /// What it does.
    pub description: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// The languages that it answers.
    pub languages: Vec<String>,
    /// The family of the model.
    pub model: String,
    /// What it was made from.
    pub data: DataFacts,
    /// The options of the trainer.
    pub options: CrfOptions,
    /// The seed of everything random.
    pub seed: u64,
    /// How many features it has, the values of a word's vector not counted.
    pub features: usize,
    /// Values of a word's vector from the encoder.
    pub dimension: usize,
    /// The strength of the regularisation that was chosen.
    pub l2: f64,
    /// The families that were trained, this one among them.
    pub families: Vec<TaggerRow>,
    /// What it reached on the test split.
    pub metrics: TaggerMetrics,
    /// What somebody who uses the model should know.
    pub notes: Vec<String>,
}

/// A family that was trained, with the best of its regularisations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaggerRow {
    /// The family.
    pub model: String,
    /// The strength of its regularisation.
    pub l2: f64,
    /// What it reached on the validation split, which chooses.
    pub validation_f1: Option<f64>,
    /// What it reached on the test split, fitted on the training split alone.
    pub test_f1: f64,
    /// Its features.
    pub features: usize,
    /// Steps of the solver.
    pub iterations: usize,
    /// Whether the solver was done before it had to stop.
    pub converged: bool,
}

impl TaggerCard {
    /// The version of the card's format.
    pub const FORMAT: u32 = 1;

    pub(crate) fn new(
        project: &ProjectTable,
        table: &TrainTable,
        (dataset, digest): (&Dataset, Digest),
        trained: &Trained,
    ) -> Self {
        let rows = SplitName::ALL.map(|split| (split.to_string(), dataset.rows(split)));
        let leakage = &dataset.statistics().leakage;
        let mut notes = vec![
            "an entity is right if all its tokens and its kind are, as conlleval counts".to_owned(),
            "measured on the tokens of the dataset; serving cuts texts into tokens itself".into(),
        ];
        if trained.rows.len() > 1 {
            notes.push(
                "entity F1 on the validation split chose the family; of two that are within 0.002 \
                 the first of the manifest is taken"
                    .into(),
            );
        }
        if table.crf.refit && dataset.rows(SplitName::Validation) > 0 {
            notes.push("fitted once more on the training and the validation split".into());
        }
        Self {
            format: Self::FORMAT,
            project: project.name.clone(),
            task: project.task,
            description: project.description.clone(),
            owner: project.owner.clone(),
            languages: project.languages.clone(),
            model: trained.family.as_str().into(),
            data: DataFacts {
                dataset: digest,
                rows: BTreeMap::from(rows),
                labels: trained.metrics.kinds.keys().cloned().collect(),
                leaks_mended: leakage.moved + leakage.dropped,
            },
            options: table.crf.clone(),
            seed: table.seed,
            features: trained.model.hashes.len(),
            dimension: trained.model.dimension,
            l2: trained.l2,
            families: trained.rows.clone(),
            metrics: trained.metrics.clone(),
            notes,
        }
    }

    /// The card for people.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write_markdown(&mut text);
        text
    }

    fn write_markdown(&self, out: &mut String) -> std::fmt::Result {
        let metrics = &self.metrics;
        writeln!(out, "# {}\n\n{}\n", self.project, self.description)?;
        writeln!(out, "- task: {}\n- languages: {}", self.task, self.languages.join(", "))?;
        let Self { model, features, dimension, l2, .. } = self;
        writeln!(
            out,
            "- model: {model}, {features} features, {dimension} values of an encoder, l2 = {l2}"
        )?;
        if let Some(owner) = &self.owner {
            writeln!(out, "- owner: {owner}")?;
        }
        let rows: Vec<_> =
            self.data.rows.iter().map(|(name, rows)| format!("{name} {rows}")).collect();
        writeln!(out, "- data: dataset {} ({})\n", self.data.dataset.short(), rows.join(", "))?;
        writeln!(
            out,
            "## How good it is\n\nMeasured on {} sentences of the test split, {} tokens, with 95% \
             intervals; beside it who knows the names of the training split and nothing else.\n\n\
             | entities | value | interval | names seen |\n|---|---|---|---|",
            metrics.sentences, metrics.tokens
        )?;
        let baseline = metrics.baseline;
        for (name, Estimate { value, low, high }, seen) in [
            ("precision", metrics.precision, baseline.precision),
            ("recall", metrics.recall, baseline.recall),
            ("F1", metrics.f1, baseline.f1),
        ] {
            writeln!(out, "| {name} | {value:.4} | {low:.4} to {high:.4} | {seen:.4} |")?;
        }
        writeln!(out, "\n| kind | precision | recall | F1 | entities |\n|---|---|---|---|---|")?;
        for (kind, ClassMetrics { precision, recall, f1, support }) in &metrics.kinds {
            writeln!(out, "| {kind} | {precision:.3} | {recall:.3} | {f1:.3} | {support} |")?;
        }
        writeln!(
            out,
            "\n## How it was chosen\n\nFitted on the training split alone.\n\n\
             | family | l2 | validation F1 | test F1 | steps |\n|---|---|---|---|---|"
        )?;
        for row in &self.families {
            let TaggerRow { model, l2, validation_f1, test_f1, iterations, .. } = row;
            let chosen = validation_f1.map_or("-".into(), |f1| format!("{f1:.4}"));
            writeln!(out, "| {model} | {l2} | {chosen} | {test_f1:.4} | {iterations} |")?;
        }
        writeln!(out, "\nTaken: {model}.\n\n## Notes\n")?;
        self.notes.iter().try_for_each(|note| writeln!(out, "- {note}"))
    }
}
