use std::collections::BTreeMap;

use mesh_core::manifest::Metric;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// What a classifier reached on labelled rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Rows that were measured on.
    pub rows: usize,
    /// The share of rows with the right label.
    pub accuracy: Estimate,
    /// The mean over labels of the harmonic mean of precision and recall.
    pub macro_f1: Estimate,
    /// The mean distance between a prediction's probability and how often it is right, over 15
    /// bins of probability.
    pub expected_calibration_error: f64,
    /// The mean negative logarithm of the right label's probability.
    pub log_loss: f64,
    /// Per label.
    pub classes: BTreeMap<String, ClassMetrics>,
    /// Rows by true label (outer) and given label (inner), in the order of the labels.
    pub confusion: Vec<Vec<u64>>,
    /// What always giving the most frequent label reaches.
    pub baseline: Baseline,
}

/// A figure with its 95% confidence interval, from 1000 bootstrap resamples of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// 2.5 in 100 resamples are below.
    pub low: f64,
    /// 2.5 in 100 resamples are above.
    pub high: f64,
}

/// The figures of one label.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// The share of rows given this label that have it.
    pub precision: f64,
    /// The share of rows with this label that were given it.
    pub recall: f64,
    /// The harmonic mean of the two.
    pub f1: f64,
    /// Rows with this label.
    pub support: u64,
}

/// What always giving the most frequent label reaches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// That label.
    pub label: String,
    /// Its accuracy.
    pub accuracy: f64,
    /// Its macro-F1.
    pub macro_f1: f64,
}

const RESAMPLES: usize = 1000;
const CALIBRATION_BINS: usize = 15;

impl Evaluation {
    /// Measures decision values (or probabilities' logarithms) against the true labels.
    #[must_use]
    pub fn measure(labels: &[String], truth: &[u32], decision: &[Vec<f32>], seed: u64) -> Self {
        let given: Vec<u32> = decision.iter().map(|row| best(row)).collect();
        let pairs: Vec<(u32, u32)> = truth.iter().copied().zip(given).collect();
        let confusion = confusion(&pairs, labels.len());
        let (accuracy, macro_f1) = headline(&confusion);
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let samples: Vec<(f64, f64)> = (0..RESAMPLES)
            .map(|_| headline(&resampled(&pairs, labels.len(), &mut generator)))
            .collect();
        let interval = |value, of: fn(&(f64, f64)) -> f64| {
            let mut values: Vec<f64> = samples.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            let at = |share: usize| values.get(RESAMPLES * share / 1000).copied().unwrap_or(value);
            Estimate { value, low: at(25), high: at(974) }
        };
        let (expected_calibration_error, log_loss) = calibration(truth, decision);
        Self {
            rows: pairs.len(),
            accuracy: interval(accuracy, |sample| sample.0),
            macro_f1: interval(macro_f1, |sample| sample.1),
            expected_calibration_error,
            log_loss,
            classes: labels.iter().cloned().zip(classes(&confusion)).collect(),
            baseline: baseline(labels, &confusion),
            confusion,
        }
    }

    /// A metric that a gate can demand.
    #[must_use]
    pub fn metric(&self, metric: Metric) -> f64 {
        match metric {
            Metric::Accuracy => self.accuracy.value,
            _ => self.macro_f1.value,
        }
    }
}

/// Macro-F1 of decision values, without intervals: for searches.
pub(crate) fn macro_f1(truth: &[u32], decision: &[Vec<f32>], labels: usize) -> f64 {
    let pairs: Vec<_> = truth.iter().copied().zip(decision.iter().map(|row| best(row))).collect();
    headline(&confusion(&pairs, labels)).1
}

/// The label with the highest value, the first of equals.
pub(crate) fn best(row: &[f32]) -> u32 {
    let highest = row.iter().zip(0u32..).max_by(|a, b| a.0.total_cmp(b.0).then(b.1.cmp(&a.1)));
    highest.map_or(0, |(_, label)| label)
}

fn confusion(pairs: &[(u32, u32)], labels: usize) -> Vec<Vec<u64>> {
    let mut confusion = vec![vec![0; labels]; labels];
    for (truth, given) in pairs {
        if let Some(cell) =
            confusion.get_mut(*truth as usize).and_then(|row| row.get_mut(*given as usize))
        {
            *cell += 1;
        }
    }
    confusion
}

fn resampled(pairs: &[(u32, u32)], labels: usize, generator: &mut impl Rng) -> Vec<Vec<u64>> {
    let mut confusion = vec![vec![0; labels]; labels];
    for _ in 0..pairs.len() {
        let Some((truth, given)) = pairs.get(generator.random_range(0..pairs.len())) else { break };
        if let Some(cell) =
            confusion.get_mut(*truth as usize).and_then(|row| row.get_mut(*given as usize))
        {
            *cell += 1;
        }
    }
    confusion
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn classes(confusion: &[Vec<u64>]) -> Vec<ClassMetrics> {
    let class = |label: usize| {
        let cell = |row: &Vec<u64>| row.get(label).copied().unwrap_or_default();
        let right = confusion.get(label).map(cell).unwrap_or_default();
        let support: u64 = confusion.get(label).map(|row| row.iter().sum()).unwrap_or_default();
        let given: u64 = confusion.iter().map(cell).sum();
        let f1 = share(2 * right, support + given);
        ClassMetrics { precision: share(right, given), recall: share(right, support), f1, support }
    };
    (0..confusion.len()).map(class).collect()
}

/// Accuracy, and macro-F1 over the labels that occur, in the rows or among the answers.
fn headline(confusion: &[Vec<u64>]) -> (f64, f64) {
    let right = confusion.iter().enumerate().filter_map(|(label, row)| row.get(label)).sum();
    let all: u64 = confusion.iter().flatten().sum();
    let classes = classes(confusion);
    let present: Vec<_> = classes
        .iter()
        .filter(|class| class.support > 0 || class.precision > 0.0)
        .map(|class| class.f1)
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "a count of labels")]
    let macro_f1 = present.iter().sum::<f64>() / present.len().max(1) as f64;
    (share(right, all), macro_f1)
}

fn baseline(labels: &[String], confusion: &[Vec<u64>]) -> Baseline {
    let supports: Vec<u64> = confusion.iter().map(|row| row.iter().sum()).collect();
    let most =
        supports.iter().zip(0..).max_by_key(|(support, label)| (**support, -(*label as i64)));
    let most = most.map_or(0usize, |(_, label)| label);
    let mut always = vec![vec![0; labels.len()]; labels.len()];
    for (row, support) in always.iter_mut().zip(&supports) {
        if let Some(cell) = row.get_mut(most) {
            *cell = *support;
        }
    }
    let (accuracy, macro_f1) = headline(&always);
    let label = labels.get(most).cloned().unwrap_or_default();
    Baseline { label, accuracy, macro_f1 }
}

/// The expected calibration error and the log loss of decision values.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of rows and bins"
)]
fn calibration(truth: &[u32], decision: &[Vec<f32>]) -> (f64, f64) {
    let mut bins = [(0.0, 0.0, 0.0); CALIBRATION_BINS];
    let mut loss = 0.0;
    for (row, truth) in decision.iter().zip(truth) {
        let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|value| f64::from(value - highest).exp()).sum();
        let confidence = 1.0 / sum;
        let own = row.get(*truth as usize).copied().unwrap_or(highest);
        loss += sum.ln() - f64::from(own - highest);
        let bin = ((confidence * CALIBRATION_BINS as f64) as usize).min(CALIBRATION_BINS - 1);
        if let Some((count, confident, right)) = bins.get_mut(bin) {
            *count += 1.0;
            *confident += confidence;
            *right += f64::from(u8::from(best(row) == *truth));
        }
    }
    let rows = truth.len().max(1) as f64;
    let distance: f64 =
        bins.iter().map(|(_, confident, right): &(f64, f64, f64)| (confident - right).abs()).sum();
    (distance / rows, loss / rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_known_table() {
        let labels: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        // Checked with scikit-learn's classification_report.
        let truth = [0, 0, 0, 1, 1, 2];
        let given = [0, 0, 1, 1, 2, 2];
        let decision: Vec<Vec<f32>> = given
            .iter()
            .map(|label| (0..3).map(|class| if class == *label { 2.0 } else { 0.0 }).collect())
            .collect();
        let evaluation = Evaluation::measure(&labels, &truth, &decision, 1);
        assert!((evaluation.accuracy.value - 4.0 / 6.0).abs() < 1e-12);
        assert!((evaluation.macro_f1.value - (0.8 + 0.5 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
        assert_eq!(evaluation.classes["a"].recall, 2.0 / 3.0);
        assert_eq!(evaluation.classes["b"].precision, 0.5);
        assert_eq!(evaluation.confusion, [[2, 1, 0], [0, 1, 1], [0, 0, 1]]);
        assert_eq!(evaluation.baseline.label, "a");
        assert_eq!(evaluation.baseline.accuracy, 0.5);
        let Estimate { value, low, high } = evaluation.accuracy;
        assert!(low <= value && value <= high && low < high);
        assert_eq!(evaluation, Evaluation::measure(&labels, &truth, &decision, 1));
    }
}
