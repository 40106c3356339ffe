//! Boosted trees: sums of many small decision trees over the columns of a table.
//!
//! [`TreeModel`] is what the trainer leaves, run in the plainest way; [`CompiledTrees`] is the
//! same packed into one file that is memory-mapped. Both add the same numbers in the same order,
//! so their answers are the same bits.

mod compiled;
mod layout;
mod model;
mod pack;

pub use compiled::CompiledTrees;
pub use model::{Branch, TreeModel, TreeNode};
pub use pack::pack_trees;

use std::{fs, path::Path};

use mesh_core::{
    features::{FEATURES_FORMAT, FeatureSchema},
    manifest::Scale,
};

use crate::{EngineError, EngineErrorKind};

/// Reads what the rows of a model are made of.
///
/// # Errors
/// When the file is missing, damaged, or of a newer format.
pub fn read_features(folder: &Path) -> Result<FeatureSchema, EngineError> {
    let path = folder.join(FeatureSchema::FILE);
    let text = fs::read_to_string(&path).map_err(|error| EngineError::io(&path, error))?;
    let schema: FeatureSchema = serde_json::from_str(&text)
        .map_err(|error| EngineError::format(&path, error.to_string()))?;
    if schema.format > FEATURES_FORMAT {
        let reason = format!("it has format {}", schema.format);
        return Err(EngineError::new(&path, EngineErrorKind::Newer, reason));
    }
    Ok(schema)
}

/// Tells a number for every row of a table.
pub trait Regressor: Send + Sync {
    /// How many columns a row has.
    fn columns(&self) -> usize;

    /// A number per row; `rows` holds one row after the other, NaN where a value is missing. The
    /// answer to a row is the same bits whatever other rows are asked with it.
    fn tell(&self, rows: &[f64]) -> Vec<f64>;
}

/// A number on the scale on which it is fitted.
#[must_use]
pub fn to_scale(scale: Scale, number: f64) -> f64 {
    match scale {
        Scale::Log => libm::log1p(number),
        _ => number,
    }
}

/// A number as it is, from the scale on which it was fitted.
#[must_use]
pub fn from_scale(scale: Scale, number: f64) -> f64 {
    match scale {
        // What is told of counts is not below zero.
        Scale::Log => libm::expm1(number).max(0.0),
        _ => number,
    }
}

#[cfg(test)]
mod tests;
