use std::collections::BTreeMap;

use mesh_core::manifest::TaskName;
use serde_json::Value;

use crate::{
    Comparison,
    report::{Cell, DiffReport, ExampleChange, Interval, Share, Slice},
    sums::{Moments, Reservoir},
    truth::TruthCounts,
};

/// What differs over an archive, added up row by row.
#[derive(Debug)]
pub struct Diff {
    comparison: Comparison,
    options: DiffOptions,
    all: Sums,
    same: u64,
    gained: u64,
    lost: u64,
    labels: Vec<String>,
    matrix: BTreeMap<(usize, usize), u64>,
    sizes: Reservoir,
    slices: BTreeMap<String, BTreeMap<String, Sums>>,
    examples: Vec<ExampleChange>,
    truth: TruthCounts,
}

/// What a difference shows.
#[derive(Debug, Clone)]
pub struct DiffOptions {
    /// Documents with the largest changes that are shown.
    pub examples: usize,
    /// Values of a slice that are shown; the others are one.
    pub slice_values: usize,
}

/// What is known of a document beside its predictions.
#[derive(Debug, Clone, Copy)]
pub struct RowFacts<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its text.
    pub text: Option<&'a str>,
    /// The slices that it is in: each by its dimension and its value.
    pub slices: &'a [(&'a str, String)],
    /// Its true label.
    pub truth: Option<&'a str>,
}

/// Sums over some rows.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    rows: u64,
    flips: u64,
    size: Moments,
    drift: Moments,
}

/// What is smaller is no change: sums of floats differ by as much.
const SAME: f64 = 1e-9;
/// Different labels; later ones are one.
pub(crate) const MAX_LABELS: usize = 100;
/// Different values of a slice that are told apart; later ones are one.
const MAX_VALUES: usize = 1_000;
pub(crate) const OTHER: &str = "other";
const TEXT: usize = 200;
const PREDICTION: usize = 400;

impl Default for DiffOptions {
    fn default() -> Self {
        Self { examples: 10, slice_values: 50 }
    }
}

impl Diff {
    /// Nothing compared yet.
    #[must_use]
    pub fn new(task: TaskName, options: DiffOptions) -> Self {
        Self {
            comparison: Comparison::of(task),
            options,
            all: Sums::default(),
            same: 0,
            gained: 0,
            lost: 0,
            labels: Vec::new(),
            matrix: BTreeMap::new(),
            sizes: Reservoir::default(),
            slices: BTreeMap::new(),
            examples: Vec::new(),
            truth: TruthCounts::default(),
        }
    }

    /// A document that has a prediction before and after.
    pub fn both(&mut self, facts: &RowFacts<'_>, before: &Value, after: &Value) {
        let change = self.comparison.compare(before, after);
        let flipped = change.before != change.after;
        let row = Sums::of(flipped, change.size, change.drift);
        self.all.merge(row);
        self.sizes.add(change.size);
        self.same += u64::from(change.size <= SAME && !flipped);
        for (dimension, value) in facts.slices {
            let values = self.slices.entry((*dimension).to_owned()).or_default();
            let value = match values.len() < MAX_VALUES || values.contains_key(value) {
                true => value.as_str(),
                false => OTHER,
            };
            values.entry(value.to_owned()).or_default().merge(row);
        }
        if let (Some(before), Some(after)) = (&change.before, &change.after) {
            let cell = (self.label(before), self.label(after));
            *self.matrix.entry(cell).or_default() += 1;
            if let Some(truth) = facts.truth {
                let truth = self.label(truth);
                self.truth.add(truth, cell.0, cell.1);
            }
        }
        if change.size > SAME || flipped {
            self.example(facts, change, before, after);
        }
    }

    /// A document that has a prediction only now.
    pub fn gained(&mut self, _: &RowFacts<'_>) {
        self.gained += 1;
    }

    /// A document that had a prediction only before.
    pub fn lost(&mut self, _: &RowFacts<'_>) {
        self.lost += 1;
    }

    /// What was found so far.
    #[must_use]
    pub fn report(&self) -> DiffReport {
        let labels = self.comparison.has_labels();
        let name = |label: usize| self.labels.get(label).cloned().unwrap_or_else(|| OTHER.into());
        let mut matrix: Vec<Cell> = self
            .matrix
            .iter()
            .map(|((before, after), rows)| Cell {
                before: name(*before),
                after: name(*after),
                rows: *rows,
            })
            .collect();
        matrix.sort_by(|a, b| (&a.before, &a.after).cmp(&(&b.before, &b.after)));
        let slices = self
            .slices
            .iter()
            .map(|(dimension, values)| (dimension.clone(), self.values(values, labels)));
        DiffReport {
            compared: self.all.rows,
            same: self.same,
            changed: self.all.rows - self.same,
            gained: self.gained,
            lost: self.lost,
            flips: labels.then(|| Share::of(self.all.flips, self.all.rows)),
            matrix,
            change: self.all.size.mean().unwrap_or_default(),
            quantiles: self.sizes.quantiles(),
            drift: self.all.drift.mean(),
            slices: slices.collect(),
            examples: self.examples.clone(),
            truth: self.truth.judge(),
        }
    }

    fn label(&mut self, label: &str) -> usize {
        if let Some(at) = self.labels.iter().position(|known| known == label) {
            return at;
        }
        if self.labels.len() < MAX_LABELS {
            self.labels.push(label.to_owned());
            return self.labels.len() - 1;
        }
        MAX_LABELS
    }

    fn values(&self, values: &BTreeMap<String, Sums>, labels: bool) -> Vec<Slice> {
        let mut sorted: Vec<(&str, Sums)> =
            values.iter().map(|(value, sums)| (value.as_str(), *sums)).collect();
        sorted.sort_by(|(one, a), (two, b)| b.rows.cmp(&a.rows).then(one.cmp(two)));
        let mut rest = Sums::default();
        while sorted.len() > self.options.slice_values.max(1) {
            if let Some((_, sums)) = sorted.pop() {
                rest.merge(sums);
            }
        }
        if rest.rows > 0 {
            match sorted.iter_mut().find(|(value, _)| *value == OTHER) {
                Some((_, other)) => other.merge(rest),
                None => sorted.push((OTHER, rest)),
            }
        }
        let slice = |(value, sums): (&str, Sums)| Slice {
            value: value.to_owned(),
            rows: sums.rows,
            flips: labels.then(|| Share::of(sums.flips, sums.rows)),
            change: sums.size.mean().unwrap_or_else(Interval::default),
            drift: sums.drift.mean(),
        };
        sorted.into_iter().map(slice).collect()
    }

    /// Keeps a change if it is among the largest; of equal ones the first keys.
    fn example(
        &mut self,
        facts: &RowFacts<'_>,
        change: crate::Change,
        before: &Value,
        after: &Value,
    ) {
        let goes_before = |other: &ExampleChange| {
            let order = other.size.total_cmp(&change.size);
            order.is_lt() || (order.is_eq() && facts.key < other.key.as_str())
        };
        let place = self.examples.iter().position(goes_before).unwrap_or(self.examples.len());
        if place >= self.options.examples {
            return;
        }
        let example = ExampleChange {
            key: facts.key.to_owned(),
            text: beginning(facts.text.unwrap_or_default(), TEXT),
            before: change.before,
            after: change.after,
            size: change.size,
            prediction_before: beginning(&before.to_string(), PREDICTION),
            prediction_after: beginning(&after.to_string(), PREDICTION),
        };
        self.examples.insert(place, example);
        self.examples.truncate(self.options.examples);
    }
}

impl Sums {
    fn of(flipped: bool, size: f64, drift: Option<f64>) -> Self {
        let mut sums = Self { rows: 1, flips: u64::from(flipped), ..Self::default() };
        sums.size.add(size);
        if let Some(drift) = drift {
            sums.drift.add(drift);
        }
        sums
    }

    fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        self.flips += other.flips;
        self.size.merge(other.size);
        self.drift.merge(other.drift);
    }
}

fn beginning(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}
