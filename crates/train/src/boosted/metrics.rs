use mesh_core::manifest::{Metric, Scale};
use mesh_engine::{Regressor, TreeModel, to_scale};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::table::Table;
use crate::{Estimate, TrainError};

/// What a regression reached on rows of which the number is known. Intervals are of 1000 bootstrap
/// resamples of whole blocks (a week of a series), as neighbouring days are alike (Künsch, "The
/// jackknife and the bootstrap for general stationary observations", 1989); without a series every
/// row is a block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegressionMetrics {
    /// Rows that were measured on.
    pub rows: usize,
    /// Blocks that were resampled.
    pub blocks: usize,
    /// The scale of R2.
    pub scale: Scale,
    /// The share of the variance that is told, on the scale.
    pub r2: Estimate,
    /// The mean absolute difference, in the unit of the number.
    pub mae: Estimate,
    /// By how much R2 is above the baseline's, resampled together.
    pub r2_gain: Estimate,
    /// What it is measured beside.
    pub baseline: RegressionBaseline,
}

/// What telling without a model reaches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegressionBaseline {
    /// What it tells: `seasonal-naive`, the number as many whole seasons ago as the horizon takes;
    /// or `mean`, that of what the model was fitted on.
    pub kind: String,
    /// Its R2.
    pub r2: f64,
    /// Its mean absolute difference.
    pub mae: f64,
}

const RESAMPLES: usize = 1000;

/// What R2 and the mean absolute difference are computed of, for some rows.
#[derive(Clone, Copy, Default)]
struct Sums {
    count: f64,
    truth: f64,
    truth_squares: f64,
    /// Of the model, and of the baseline.
    squares: [f64; 2],
    sizes: [f64; 2],
}

impl RegressionMetrics {
    /// Measures a model on a table; the mean of what was `known` before is its baseline where
    /// there is no series.
    pub(super) fn measure(
        model: &TreeModel,
        (known, test): (&Table, &Table),
        scale: Scale,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let truth = test.scaled(scale)?;
        let told = model.tell(&test.rows);
        let naive = match &test.baseline {
            Some(naive) => naive.clone(),
            None => {
                let scaled = known.scaled(scale)?;
                let mean = super::mean(&scaled);
                vec![mesh_engine::from_scale(scale, mean); test.len()]
            }
        };
        let mut rows = vec![Sums::default(); test.len()];
        let each = rows.iter_mut().zip(&truth).zip(&test.target).zip(told.iter().zip(&naive));
        for (((sums, truth), target), (told, naive)) in each {
            let given = [*told, *naive];
            *sums = Sums {
                count: 1.0,
                truth: *truth,
                truth_squares: truth * truth,
                squares: given.map(|given| (to_scale(scale, given) - truth).powi(2)),
                sizes: given.map(|given| (given - target).abs()),
            };
        }
        let sum = |rows: &[usize], sums: &[Sums]| {
            rows.iter().filter_map(|row| sums.get(*row)).fold(Sums::default(), Sums::plus)
        };
        let blocks: Vec<Sums> = test.blocks.iter().map(|block| sum(block, &rows)).collect();
        let whole = rows.iter().fold(Sums::default(), Sums::plus);
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let samples: Vec<Sums> = (0..RESAMPLES)
            .map(|_| {
                let draw = (0..blocks.len()).map(|_| generator.random_range(0..blocks.len()));
                let draw: Vec<usize> = draw.collect();
                sum(&draw, &blocks)
            })
            .collect();
        let estimate = |of: &dyn Fn(&Sums) -> f64| {
            let mut values: Vec<f64> = samples.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            let value = of(&whole);
            let at = |share: usize| values.get(RESAMPLES * share / 1000).copied().unwrap_or(value);
            Estimate { value, low: at(25), high: at(974) }
        };
        let kind = if test.baseline.is_some() { "seasonal-naive" } else { "mean" };
        let [_, r2] = whole.r2();
        let [_, mae] = whole.mae();
        Ok(Self {
            rows: test.len(),
            blocks: blocks.len(),
            scale,
            r2: estimate(&|sums| sums.r2()[0]),
            mae: estimate(&|sums| sums.mae()[0]),
            r2_gain: estimate(&|sums| {
                let [model, baseline] = sums.r2();
                model - baseline
            }),
            baseline: RegressionBaseline { kind: kind.into(), r2, mae },
        })
    }

    /// A metric that a gate can demand.
    #[must_use]
    pub fn metric(&self, metric: Metric) -> f64 {
        match metric {
            Metric::R2Gain => self.r2_gain.low,
            _ => self.r2.value,
        }
    }
}

impl Sums {
    fn plus(self, other: &Self) -> Self {
        let [a, b] = self.squares;
        let [c, d] = self.sizes;
        Self {
            count: self.count + other.count,
            truth: self.truth + other.truth,
            truth_squares: self.truth_squares + other.truth_squares,
            squares: [a + other.squares[0], b + other.squares[1]],
            sizes: [c + other.sizes[0], d + other.sizes[1]],
        }
    }

    fn r2(&self) -> [f64; 2] {
        let variance = self.truth_squares - self.truth * self.truth / self.count.max(1.0);
        self.squares.map(|squares| match variance > 0.0 {
            true => 1.0 - squares / variance,
            // Of numbers that are all the same nothing is to be told.
            false => 0.0,
        })
    }

    fn mae(&self) -> [f64; 2] {
        self.sizes.map(|size| size / self.count.max(1.0))
    }
}
