use std::collections::BTreeMap;

use serde::Serialize;

use crate::Truth;

/// What differs between two versions' predictions over an archive.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DiffReport {
    /// Documents that have a prediction before and after.
    pub compared: u64,
    /// Of those, documents where nothing changed.
    pub same: u64,
    /// Of those, documents where something changed.
    pub changed: u64,
    /// Documents that have a prediction only now.
    pub gained: u64,
    /// Documents that had one only before.
    pub lost: u64,
    /// Documents whose label changed; nothing for a task without labels.
    pub flips: Option<Share>,
    /// Documents by their labels before and after.
    pub matrix: Vec<Cell>,
    /// The mean size of a change.
    pub change: Interval,
    /// How the sizes of changes are spread.
    pub quantiles: Quantiles,
    /// The mean change of the score of the label after, or of the number.
    pub drift: Option<Interval>,
    /// The same by slices of the archive.
    pub slices: BTreeMap<String, Vec<Slice>>,
    /// The largest changes.
    pub examples: Vec<ExampleChange>,
    /// Which version is nearer to the truth, where it is known.
    pub truth: Option<Truth>,
}

/// A value, and where it lies with a probability of 95 per cent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Interval {
    /// The value.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// A share of rows, and where it lies with a probability of 95 per cent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    /// Rows.
    pub rows: u64,
    /// Of so many.
    pub of: u64,
    /// The share, 0 to 1.
    pub share: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Documents with a label before and a label after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// The label before.
    pub before: String,
    /// The label after.
    pub after: String,
    /// How many there are.
    pub rows: u64,
}

/// Sizes of changes that so many changes do not exceed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// Half of them.
    pub p50: f64,
    /// 90 per cent.
    pub p90: f64,
    /// 99 per cent.
    pub p99: f64,
    /// All of them.
    pub most: f64,
}

/// What differs in a part of the archive.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Slice {
    /// What its documents have in common.
    pub value: String,
    /// Documents that were compared.
    pub rows: u64,
    /// Documents whose label changed.
    pub flips: Option<Share>,
    /// The mean size of a change.
    pub change: Interval,
    /// The mean change of the score or the number.
    pub drift: Option<Interval>,
}

/// A document that changed much.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExampleChange {
    /// Its key.
    pub key: String,
    /// The beginning of its text.
    pub text: String,
    /// The label before.
    pub before: Option<String>,
    /// The label after.
    pub after: Option<String>,
    /// How much changed.
    pub size: f64,
    /// The beginning of the prediction before.
    pub prediction_before: String,
    /// The beginning of the prediction after.
    pub prediction_after: String,
}
