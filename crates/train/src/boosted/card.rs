use std::{collections::BTreeMap, fmt::Write};

use mesh_core::{
    Digest, ProjectName,
    features::FeatureSchema,
    manifest::{BoostedTreesOptions, ProjectTable, TaskName, TrainModel, TrainTable},
};
use mesh_dataset::{Dataset, SplitName};
use mesh_engine::{TreeModel, TreeNode};
use serde::{Deserialize, Serialize};

use super::{Boosted, RegressionMetrics};
use crate::{DataFacts, Estimate};

/// What a regression is, what it was made from, and how good it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegressionCard {
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
    /// The number that it tells.
    pub target: String,
    /// What it was made from.
    pub data: DataFacts,
    /// The options of the trainer.
    pub options: BoostedTreesOptions,
    /// The seed of everything random.
    pub seed: u64,
    /// What was tried, and what it left on the validation split.
    pub search: Vec<TreesRow>,
    /// The most leaves of a tree that was chosen.
    pub max_leaves: usize,
    /// Trees.
    pub trees: usize,
    /// How often each column is asked for, the most often first.
    pub features: Vec<FeatureRow>,
    /// What it reached on the test split.
    pub metrics: RegressionMetrics,
    /// What somebody who uses the model should know.
    pub notes: Vec<String>,
}

/// One try of the search.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreesRow {
    /// The most leaves of a tree.
    pub max_leaves: usize,
    /// Trees that told the validation split best.
    pub trees: usize,
    /// The root of the mean squared error that they left there, on the scale; nothing where there
    /// was nothing to choose by.
    pub validation_error: Option<f64>,
}

/// A column that trees ask for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureRow {
    /// The column.
    pub column: String,
    /// In how many splits.
    pub splits: usize,
}

/// How often each column is asked for.
pub(super) fn features(model: &TreeModel, schema: &FeatureSchema) -> Vec<FeatureRow> {
    let columns = schema.columns();
    let mut counts = vec![0; columns.len()];
    for node in &model.nodes {
        if let TreeNode::Split { column, .. } = node
            && let Some(count) = counts.get_mut(*column)
        {
            *count += 1;
        }
    }
    let mut rows: Vec<FeatureRow> = columns
        .into_iter()
        .zip(counts)
        .map(|(column, splits)| FeatureRow { column: column.name, splits })
        .collect();
    rows.sort_by(|a, b| b.splits.cmp(&a.splits).then_with(|| a.column.cmp(&b.column)));
    rows
}

impl RegressionCard {
    /// The version of the card's format.
    pub const FORMAT: u32 = 1;

    pub(crate) fn new(
        project: &ProjectTable,
        table: &TrainTable,
        (dataset, digest): (&Dataset, Digest),
        trained: &Boosted,
    ) -> Self {
        let rows = SplitName::ALL.map(|split| (split.to_string(), dataset.rows(split)));
        let validated = dataset.rows(SplitName::Validation) > 0;
        let options = table.boosted_trees.clone();
        let mut notes = vec![
            "the test split was used once, for the figures above; the model beats its baseline by \
             more than chance explains if the whole interval of the gain is above 0"
                .to_owned(),
        ];
        match validated {
            true => notes.push(
                "the validation split chose the size of the trees and how many there are".into(),
            ),
            false => notes.push(
                "there is no validation split: the middle value of `max_leaves` was taken, and all \
                 trees were kept"
                    .into(),
            ),
        }
        if options.refit && validated {
            notes.push("fitted once more on the training and the validation split".into());
        }
        Self {
            format: Self::FORMAT,
            project: project.name.clone(),
            task: project.task,
            description: project.description.clone(),
            owner: project.owner.clone(),
            model: TrainModel::BoostedTrees.as_str().into(),
            target: trained.schema.target.clone(),
            data: DataFacts {
                dataset: digest,
                rows: BTreeMap::from(rows),
                labels: Vec::new(),
                leaks_mended: 0,
            },
            options,
            seed: table.seed,
            search: trained.search.clone(),
            max_leaves: trained.max_leaves,
            trees: trained.model.roots.len(),
            features: trained.features.clone(),
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
        writeln!(out, "- task: {}, of `{}`", self.task, self.target)?;
        let (trees, leaves) = (self.trees, self.max_leaves);
        writeln!(out, "- model: {}, {trees} of {leaves} leaves at most", self.model)?;
        if let Some(owner) = &self.owner {
            writeln!(out, "- owner: {owner}")?;
        }
        let rows: Vec<_> =
            self.data.rows.iter().map(|(name, rows)| format!("{name} {rows}")).collect();
        writeln!(out, "- data: dataset {} ({})\n", self.data.dataset.short(), rows.join(", "))?;
        writeln!(
            out,
            "## How good it is\n\nMeasured on {} rows of the test split, with 95% intervals of {} \
             blocks.\n",
            metrics.rows, metrics.blocks
        )?;
        let baseline = &metrics.baseline;
        writeln!(out, "| metric | value | interval | {} |\n|---|---|---|---|", baseline.kind)?;
        let scale =
            if metrics.scale == mesh_core::manifest::Scale::Log { ", log scale" } else { "" };
        let Estimate { value, low, high } = metrics.r2;
        writeln!(out, "| R2{scale} | {value:.4} | {low:.4} to {high:.4} | {:.4} |", baseline.r2)?;
        let Estimate { value, low, high } = metrics.mae;
        writeln!(out, "| MAE | {value:.4} | {low:.4} to {high:.4} | {:.4} |", baseline.mae)?;
        let Estimate { value, low, high } = metrics.r2_gain;
        writeln!(out, "| R2 above the baseline's | {value:+.4} | {low:+.4} to {high:+.4} | |")?;
        writeln!(
            out,
            "\n## How it was chosen\n\n| leaves | trees | validation error |\n|---|---|---|"
        )?;
        for row in &self.search {
            let error = row.validation_error.map_or("-".into(), |error| format!("{error:.4}"));
            writeln!(out, "| {} | {} | {error} |", row.max_leaves, row.trees)?;
        }
        writeln!(out, "\n## What it asks for\n\n| column | splits |\n|---|---|")?;
        for FeatureRow { column, splits } in &self.features {
            writeln!(out, "| `{column}` | {splits} |")?;
        }
        writeln!(out, "\n## Notes\n")?;
        self.notes.iter().try_for_each(|note| writeln!(out, "- {note}"))
    }
}
