use std::{collections::BTreeMap, fmt::Write};

use mesh_core::{
    Digest, ProjectName,
    manifest::{EncoderHeadOptions, LinearOptions, TaskName},
};
use serde::{Deserialize, Serialize};

use crate::{Estimate, Evaluation};

/// What a model is, what it was made from, and how good it is: `card.json`, and `card.md` for
/// people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
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
    /// The family of the model.
    pub model: String,
    /// What it was made from.
    pub data: DataFacts,
    /// The options of the trainer.
    pub options: LinearOptions,
    /// The options of the trainer of encoder heads, if one was trained.
    #[serde(default)]
    pub encoder_head: Option<EncoderHeadOptions>,
    /// The families of models that were trained, this one among them.
    #[serde(default)]
    pub families: Vec<FamilyRow>,
    /// The seed of everything random.
    pub seed: u64,
    /// How many features it has.
    pub features: usize,
    /// What was tried, and what it reached on the validation split.
    pub search: Vec<SearchRow>,
    /// The regularisation that was chosen.
    pub chosen_c: f64,
    /// How probabilities were calibrated.
    pub calibration: Calibration,
    /// What it reached on the test split.
    pub metrics: Evaluation,
    /// The features that speak most for each label.
    pub top_features: BTreeMap<String, Vec<TopFeatures>>,
    /// What somebody who uses the model should know.
    pub notes: Vec<String>,
}

/// What a model was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFacts {
    /// The dataset artifact.
    pub dataset: Digest,
    /// Documents per split.
    pub rows: BTreeMap<String, u64>,
    /// The labels.
    pub labels: Vec<String>,
    /// Near-duplicates across splits that were put on one side or dropped.
    pub leaks_mended: u64,
}

/// A family of models that was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FamilyRow {
    /// The family.
    pub model: String,
    /// Its regularisation.
    pub chosen_c: f64,
    /// What it reached on the validation split, which chooses.
    pub validation_macro_f1: Option<f64>,
    /// What it reached on the test split.
    pub accuracy: Estimate,
    /// What it reached on the test split.
    pub macro_f1: Estimate,
}

/// One try of the search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchRow {
    /// The inverse strength of the regularisation.
    pub c: f64,
    /// Macro-F1 on the validation split; nothing where there was nothing to choose.
    pub validation_macro_f1: Option<f64>,
    /// Mean log loss on the validation split, after the temperature that suits it best.
    pub validation_log_loss: Option<f64>,
    /// Passes of the solver.
    pub passes: usize,
    /// Its relative duality gap at the end.
    pub gap: f64,
    /// Whether that is below the tolerance.
    pub converged: bool,
}

/// How probabilities were calibrated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Decision values are divided by it.
    pub temperature: f32,
    /// Rows of the validation split that it was chosen on; 0 if it was not.
    pub rows: usize,
}

/// A feature and its weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopFeatures {
    /// The words or characters.
    pub feature: String,
    /// Its weight.
    pub weight: f32,
}

impl Card {
    /// The version of the card's format.
    pub const FORMAT: u32 = 1;
    /// The card for programs.
    pub const JSON: &str = "card.json";
    /// The card for people.
    pub const MARKDOWN: &str = "card.md";

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
        writeln!(out, "- task: {}", self.task)?;
        writeln!(
            out,
            "- model: {}, {} features, C = {}",
            self.model, self.features, self.chosen_c
        )?;
        if let Some(owner) = &self.owner {
            writeln!(out, "- owner: {owner}")?;
        }
        let rows: Vec<_> =
            self.data.rows.iter().map(|(name, rows)| format!("{name} {rows}")).collect();
        writeln!(out, "- data: dataset {} ({})\n", self.data.dataset.short(), rows.join(", "))?;
        writeln!(
            out,
            "## How good it is\n\nMeasured on {} documents of the test split, with 95% intervals.\n",
            metrics.rows
        )?;
        writeln!(
            out,
            "| metric | value | interval | always `{}` |\n|---|---|---|---|",
            metrics.baseline.label
        )?;
        let line = |out: &mut String, name, Estimate { value, low, high }, baseline: f64| {
            writeln!(out, "| {name} | {value:.4} | {low:.4} to {high:.4} | {baseline:.4} |")
        };
        line(out, "accuracy", metrics.accuracy, metrics.baseline.accuracy)?;
        line(out, "macro-F1", metrics.macro_f1, metrics.baseline.macro_f1)?;
        writeln!(
            out,
            "| expected calibration error | {:.4} | | |",
            metrics.expected_calibration_error
        )?;
        writeln!(out, "\n| label | precision | recall | F1 | documents |\n|---|---|---|---|---|")?;
        for (label, class) in &metrics.classes {
            writeln!(
                out,
                "| {label} | {:.3} | {:.3} | {:.3} | {} |",
                class.precision, class.recall, class.f1, class.support
            )?;
        }
        writeln!(out, "\nConfusion, true label by row, given label by column:\n")?;
        writeln!(out, "| | {} |", self.data.labels.join(" | "))?;
        writeln!(out, "|---|{}", "---|".repeat(self.data.labels.len()))?;
        for (label, row) in self.data.labels.iter().zip(&metrics.confusion) {
            let cells: Vec<_> = row.iter().map(ToString::to_string).collect();
            writeln!(out, "| {label} | {} |", cells.join(" | "))?;
        }
        writeln!(out, "\n## How it was chosen\n")?;
        if self.families.len() > 1 {
            writeln!(
                out,
                "| family | validation macro-F1 | test macro-F1 | interval |\n|---|---|---|---|"
            )?;
            for family in &self.families {
                let chosen = family.validation_macro_f1.map_or("-".into(), |f1| format!("{f1:.4}"));
                let Estimate { value, low, high } = family.macro_f1;
                let name = &family.model;
                writeln!(out, "| {name} | {chosen} | {value:.4} | {low:.4} to {high:.4} |")?;
            }
            writeln!(out, "\nTaken: {}.\n", self.model)?;
        }
        writeln!(
            out,
            "Measured on the validation split.\n\n| C | macro-F1 | log loss | passes | converged |\n\
             |---|---|---|---|---|"
        )?;
        let shown = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.4}"));
        for row in &self.search {
            let (score, loss) = (shown(row.validation_macro_f1), shown(row.validation_log_loss));
            let converged = if row.converged { "yes" } else { "no" };
            writeln!(out, "| {} | {score} | {loss} | {} | {converged} |", row.c, row.passes)?;
        }
        let Calibration { temperature, rows } = &self.calibration;
        if *rows > 0 {
            let of = format!("temperature {temperature:.3}, from {rows} documents of validation");
            writeln!(out, "\nProbabilities: {of}.\n")?;
        }
        if !self.top_features.is_empty() {
            writeln!(out, "## What speaks for each label\n")?;
        }
        for (label, features) in &self.top_features {
            let names: Vec<_> = features.iter().map(|f| format!("`{}`", f.feature)).collect();
            writeln!(out, "- **{label}**: {}", names.join(", "))?;
        }
        writeln!(out, "\n## Notes\n")?;
        self.notes.iter().try_for_each(|note| writeln!(out, "- {note}"))
    }
}
