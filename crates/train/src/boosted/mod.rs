//! The trainer of boosted trees.

mod card;
mod grow;
mod metrics;
mod table;

use std::{collections::BTreeMap, time::Instant};

use mesh_core::{
    StepContext, Unit,
    features::FeatureSchema,
    manifest::{TrainTable, TreesStart},
};
use mesh_dataset::{Dataset, SplitName};
use mesh_engine::TreeModel;

pub use self::{
    card::{FeatureRow, RegressionCard, TreesRow},
    metrics::{RegressionBaseline, RegressionMetrics},
};
use self::{
    grow::{Grown, Growth},
    table::Table,
};
use crate::{TrainError, TrainErrorKind, fit::Stopped};

/// Trees, and how they came about.
pub(crate) struct Boosted {
    pub(crate) model: TreeModel,
    pub(crate) schema: FeatureSchema,
    pub(crate) search: Vec<TreesRow>,
    pub(crate) max_leaves: usize,
    pub(crate) features: Vec<FeatureRow>,
    pub(crate) metrics: RegressionMetrics,
    pub(crate) seconds: BTreeMap<&'static str, f64>,
}

pub(crate) struct BoostedTrainer<'a> {
    pub(crate) dataset: &'a Dataset,
    pub(crate) table: &'a TrainTable,
    pub(crate) context: &'a StepContext,
}

impl BoostedTrainer<'_> {
    pub(crate) fn train(&self) -> Result<Boosted, Stopped> {
        let started = Instant::now();
        let schema = self.dataset.features().map_err(TrainError::from)?;
        let read = |split| Table::read(self.dataset, split, &schema);
        let train = read(SplitName::Train)?;
        let (validation, test) = (read(SplitName::Validation)?, read(SplitName::Test)?);
        for (name, table) in [("train", &train), ("test", &test)] {
            if table.len() == 0 {
                return Err(TrainError::new(TrainErrorKind::EmptySplit(name)).into());
            }
        }
        let options = &self.table.boosted_trees;
        let task = self.context.progress.begin(
            "grow trees",
            Some(options.max_leaves.len() as u64),
            Unit::Items,
        );
        let (mut search, mut best) = (Vec::new(), None::<(f64, usize, TreeModel)>);
        for max_leaves in self.tried(&validation) {
            self.context.cancel.check().map_err(Stopped::Interrupted)?;
            task.note(&format!("grow trees of {max_leaves} leaves"));
            let whole = self.fit(&schema, &train, max_leaves, options.max_trees)?;
            let (trees, error) = match validation.len() {
                0 => (whole.roots.len(), None),
                _ => {
                    let (trees, error) = self.shortest(&whole, &validation)?;
                    (trees, Some(error))
                }
            };
            search.push(TreesRow { max_leaves, trees, validation_error: error });
            let error = error.unwrap_or_default();
            if best.as_ref().is_none_or(|(least, ..)| error < *least) {
                best = Some((error, max_leaves, cut(&whole, trees)));
            }
            task.advance(1);
        }
        let Some((_, max_leaves, chosen)) = best else {
            return Err(TrainError::new(TrainErrorKind::NoFeatures).into());
        };
        let trees = chosen.roots.len();
        let model = match options.refit && validation.len() > 0 {
            true => self.fit(&schema, &train.and(&validation), max_leaves, trees)?,
            false => chosen,
        };
        let grown = started.elapsed().as_secs_f64();
        let known = train.and(&validation);
        let metrics =
            RegressionMetrics::measure(&model, (&known, &test), options.scale, self.table.seed)?;
        let features = card::features(&model, &schema);
        let seconds =
            BTreeMap::from([("grow", grown), ("measure", started.elapsed().as_secs_f64() - grown)]);
        Ok(Boosted { model, schema, search, max_leaves, features, metrics, seconds })
    }

    /// The sizes of trees to try; without a validation split there is nothing to choose by.
    fn tried(&self, validation: &Table) -> Vec<usize> {
        let sizes = &self.table.boosted_trees.max_leaves;
        match validation.len() {
            0 => sizes.get(sizes.len() / 2).copied().into_iter().collect(),
            _ => sizes.clone(),
        }
    }

    fn fit(
        &self,
        schema: &FeatureSchema,
        table: &Table,
        max_leaves: usize,
        trees: usize,
    ) -> Result<TreeModel, Stopped> {
        let options = &self.table.boosted_trees;
        let columns = schema.columns();
        let place = |name: &String| columns.iter().position(|column| column.name == *name);
        let start = match options.start {
            TreesStart::Baseline => Some(
                schema
                    .baseline
                    .as_ref()
                    .and_then(place)
                    .ok_or_else(|| TrainError::new(TrainErrorKind::NoBaseline))?,
            ),
            _ => None,
        };
        let mut relative: Vec<usize> = match start {
            Some(_) => schema.history.iter().filter_map(place).collect(),
            None => Vec::new(),
        };
        // The start itself tells how large the number is.
        relative.retain(|column| Some(*column) != start);
        let model = TreeModel {
            columns: columns.len(),
            scale: options.scale,
            start,
            relative,
            base: 0.0,
            roots: Vec::new(),
            nodes: Vec::new(),
        };
        let scaled = table.scaled(options.scale)?;
        let (mut rows, mut left) = (Vec::with_capacity(table.rows.len()), Vec::new());
        for (row, target) in table.rows.chunks_exact(columns.len().max(1)).zip(&scaled) {
            let (start, row) = model.asked(row);
            rows.extend_from_slice(&row);
            left.push(target - start);
        }
        let base = if options.clip < 1.0 { median(&left) } else { mean(&left) };
        let left = clipped(left.iter().map(|left| left - base).collect(), options.clip);
        let seed = self.table.seed;
        let growth = Growth { columns: &columns, options, max_leaves, trees, seed };
        let Grown { roots, nodes } = match trees {
            0 => Grown::default(),
            _ => growth.grow(&rows, &left)?,
        };
        Ok(TreeModel { base, roots, nodes, ..model })
    }

    /// How many of the trees tell the validation split best, and the root of the mean squared
    /// error that they leave there, on the scale.
    fn shortest(&self, whole: &TreeModel, validation: &Table) -> Result<(usize, f64), Stopped> {
        let truth = validation.scaled(whole.scale)?;
        let mut squares = vec![0.0; whole.roots.len() + 1];
        for (row, truth) in validation.rows.chunks_exact(whole.columns.max(1)).zip(&truth) {
            let (mut told, parts) = whole.parts(row);
            for (sum, part) in squares.iter_mut().zip(parts) {
                told += part;
                *sum += (told - truth).powi(2);
            }
        }
        let least = squares.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
        let (trees, sum) = least.map_or((0, 0.0), |(trees, sum)| (trees, *sum));
        #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
        let count = truth.len().max(1) as f64;
        Ok((trees, (sum / count).sqrt()))
    }
}

/// The first trees of a model.
fn cut(whole: &TreeModel, trees: usize) -> TreeModel {
    let end = whole.roots.get(trees).map_or(whole.nodes.len(), |root| *root as usize);
    TreeModel {
        roots: whole.roots.get(..trees).unwrap_or(&whole.roots).to_vec(),
        nodes: whole.nodes.get(..end).unwrap_or(&whole.nodes).to_vec(),
        relative: whole.relative.clone(),
        ..*whole
    }
}

fn mean(values: &[f64]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
    let count = values.len().max(1) as f64;
    values.iter().sum::<f64>() / count
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Values whose size is cut to that of a share of them.
fn clipped(values: Vec<f64>, share: f64) -> Vec<f64> {
    if share >= 1.0 {
        return values;
    }
    let mut sizes: Vec<f64> = values.iter().map(|value| value.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count"
    )]
    let at = (sizes.len() as f64 * share) as usize;
    let most = sizes.get(at).copied().unwrap_or(f64::INFINITY);
    values.into_iter().map(|value| value.clamp(-most, most)).collect()
}
