use mesh_core::{
    features::{FeatureSchema, parse_date},
    manifest::Scale,
};
use mesh_dataset::{Dataset, Observation, SplitName};
use mesh_engine::to_scale;

use crate::{TrainError, TrainErrorKind};

/// The observations of a split as numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    /// One row after the other.
    pub(super) rows: Vec<f64>,
    /// The number that is to be told, per row.
    pub(super) target: Vec<f64>,
    /// What the seasonal-naive baseline tells, per row; nothing without a series.
    pub(super) baseline: Option<Vec<f64>>,
    /// Rows that may be alike by more than chance: of one series and one week.
    pub(super) blocks: Vec<Vec<usize>>,
}

/// Days of a block.
const BLOCK_DAYS: i64 = 7;

impl Table {
    pub(super) fn read(
        dataset: &Dataset,
        split: SplitName,
        schema: &FeatureSchema,
    ) -> Result<Self, TrainError> {
        let observations = dataset.observations(split, schema)?;
        let mut table = Self::default();
        for observation in &observations {
            schema.encode(&observation.cells, &mut table.rows);
            table.target.push(observation.target);
        }
        table.baseline = observations.iter().map(|observation| observation.baseline).collect();
        table.blocks = blocks(&observations);
        Ok(table)
    }

    pub(super) fn len(&self) -> usize {
        self.target.len()
    }

    /// The numbers to be told on a scale.
    ///
    /// # Errors
    /// When a number is not on it.
    pub(super) fn scaled(&self, scale: Scale) -> Result<Vec<f64>, TrainError> {
        let scaled = |number: &f64| match scale {
            Scale::Log if *number < 0.0 => {
                Err(TrainError::new(TrainErrorKind::Negative(number.to_string())))
            }
            _ => Ok(to_scale(scale, *number)),
        };
        self.target.iter().map(scaled).collect()
    }

    /// The rows of two tables.
    pub(super) fn and(&self, other: &Self) -> Self {
        let joined = |one: &[f64], two: &[f64]| one.iter().chain(two).copied().collect();
        Self {
            rows: joined(&self.rows, &other.rows),
            target: joined(&self.target, &other.target),
            baseline: None,
            blocks: Vec::new(),
        }
    }
}

fn blocks(observations: &[Observation]) -> Vec<Vec<usize>> {
    let mut blocks: Vec<Vec<usize>> = Vec::new();
    let mut known = std::collections::HashMap::new();
    for (row, observation) in observations.iter().enumerate() {
        let Some(day) = observation.day.as_deref().and_then(parse_date) else {
            blocks.push(vec![row]);
            continue;
        };
        let days = day.signed_duration_since(chrono::NaiveDate::default()).num_days();
        let key = (observation.group.as_deref(), days.div_euclid(BLOCK_DAYS));
        let block = *known.entry(key).or_insert_with(|| {
            blocks.push(Vec::new());
            blocks.len() - 1
        });
        if let Some(block) = blocks.get_mut(block) {
            block.push(row);
        }
    }
    blocks
}
