use std::collections::BTreeMap;

use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde::Serialize;

use crate::report::Interval;

/// How near two versions are to the truth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Truth {
    /// Documents whose true label is known.
    pub rows: u64,
    /// The share of right labels before.
    pub accuracy_before: f64,
    /// The share of right labels after.
    pub accuracy_after: f64,
    /// The difference of the two.
    pub accuracy_gain: Interval,
    /// The mean F1 of the labels before.
    pub macro_f1_before: f64,
    /// The mean F1 of the labels after.
    pub macro_f1_after: f64,
    /// The difference of the two.
    pub macro_f1_gain: Interval,
    /// Whether the version after is better, by accuracy.
    pub verdict: Verdict,
}

/// Whether a version is better than another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The interval of the gain lies above zero.
    Better,
    /// It lies below zero.
    Worse,
    /// It holds zero.
    NoDifference,
}

/// Documents by true label, label before and label after.
#[derive(Debug, Default)]
pub(crate) struct TruthCounts {
    cells: BTreeMap<(usize, usize, usize), u64>,
}

/// Samples of a bootstrap.
const SAMPLES: usize = 1_000;
/// Above this mean a Poisson distribution is drawn as a normal one.
const NORMAL_FROM: f64 = 30.0;

impl TruthCounts {
    pub(crate) fn add(&mut self, truth: usize, before: usize, after: usize) {
        *self.cells.entry((truth, before, after)).or_default() += 1;
    }

    /// Judges both; the intervals are those of a paired bootstrap over rows, where each row counts
    /// as often as a Poisson distribution of mean 1 says: rows of a cell together by that of as
    /// many.
    pub(crate) fn judge(&self) -> Option<Truth> {
        let rows: u64 = self.cells.values().sum();
        if rows == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of rows")]
        let weights: Vec<f64> = self.cells.values().map(|count| *count as f64).collect();
        let measured = self.measure(&weights);
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let (mut accuracy, mut f1) = (Vec::new(), Vec::new());
        for _ in 0..SAMPLES {
            let drawn: Vec<f64> = weights.iter().map(|mean| poisson(*mean, &mut random)).collect();
            let sample = self.measure(&drawn);
            accuracy.push(sample.accuracy.1 - sample.accuracy.0);
            f1.push(sample.f1.1 - sample.f1.0);
        }
        let accuracy_gain = interval(measured.accuracy.1 - measured.accuracy.0, accuracy);
        let verdict = match accuracy_gain {
            gain if gain.low > 0.0 => Verdict::Better,
            gain if gain.high < 0.0 => Verdict::Worse,
            _ => Verdict::NoDifference,
        };
        Some(Truth {
            rows,
            accuracy_before: measured.accuracy.0,
            accuracy_after: measured.accuracy.1,
            accuracy_gain,
            macro_f1_before: measured.f1.0,
            macro_f1_after: measured.f1.1,
            macro_f1_gain: interval(measured.f1.1 - measured.f1.0, f1),
            verdict,
        })
    }

    fn measure(&self, weights: &[f64]) -> Measures {
        let mut labels: BTreeMap<usize, (Counts, Counts)> = BTreeMap::new();
        let (mut all, mut right) = (0.0, (0.0, 0.0));
        for ((truth, before, after), weight) in self.cells.keys().zip(weights) {
            all += weight;
            labels.entry(*truth).or_default().0.truth += weight;
            labels.entry(*truth).or_default().1.truth += weight;
            labels.entry(*before).or_default().0.told += weight;
            labels.entry(*after).or_default().1.told += weight;
            if truth == before {
                right.0 += weight;
                labels.entry(*truth).or_default().0.right += weight;
            }
            if truth == after {
                right.1 += weight;
                labels.entry(*truth).or_default().1.right += weight;
            }
        }
        let all: f64 = f64::max(all, 1.0);
        // As elsewhere: the mean over the labels that the truth has.
        let known: Vec<_> = labels.values().filter(|(counts, _)| counts.truth > 0.0).collect();
        #[expect(clippy::cast_precision_loss, reason = "some labels")]
        let count = known.len().max(1) as f64;
        let before: f64 = known.iter().map(|(before, _)| before.f1()).sum();
        let after: f64 = known.iter().map(|(_, after)| after.f1()).sum();
        Measures { accuracy: (right.0 / all, right.1 / all), f1: (before / count, after / count) }
    }
}

/// Measures before and after.
struct Measures {
    accuracy: (f64, f64),
    f1: (f64, f64),
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    truth: f64,
    told: f64,
    right: f64,
}

impl Counts {
    fn f1(self) -> f64 {
        let both = self.truth + self.told;
        if both > 0.0 { 2.0 * self.right / both } else { 0.0 }
    }
}

fn interval(value: f64, mut samples: Vec<f64>) -> Interval {
    samples.sort_by(f64::total_cmp);
    let last = samples.len().saturating_sub(1);
    let at = |place: usize| samples.get(place).copied().unwrap_or(value);
    Interval { value, low: at(last * 25 / 1000), high: at(last * 975 / 1000) }
}

/// A draw from a Poisson distribution: Knuth's for small means, else a normal one.
fn poisson(mean: f64, random: &mut ChaCha8Rng) -> f64 {
    if mean < NORMAL_FROM {
        let (limit, mut product, mut count) = ((-mean).exp(), random.random::<f64>(), 0.0);
        while product > limit {
            product *= random.random::<f64>();
            count += 1.0;
        }
        return count;
    }
    // Box and Muller, 1958.
    let (one, two): (f64, f64) = (1.0 - random.random::<f64>(), random.random());
    let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos();
    (mean + mean.sqrt() * normal).round().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(cells: &[((usize, usize, usize), u64)]) -> Truth {
        let counts = TruthCounts { cells: cells.iter().copied().collect() };
        counts.judge().unwrap()
    }

    #[test]
    fn verdicts() {
        let better =
            judged(&[((0, 1, 0), 300), ((0, 0, 0), 300), ((1, 1, 1), 400), ((1, 1, 0), 20)]);
        assert_eq!(better.verdict, Verdict::Better);
        assert!((better.accuracy_before - 720.0 / 1020.0).abs() < 1e-9, "{better:?}");
        assert!((better.accuracy_after - 1000.0 / 1020.0).abs() < 1e-9);
        assert!(better.accuracy_gain.low < better.accuracy_gain.value);
        assert!(better.accuracy_gain.high > better.accuracy_gain.value);
        assert!((better.macro_f1_after - (1200.0 / 1220.0 + 800.0 / 820.0) / 2.0).abs() < 1e-9);
        let worse = judged(&[((0, 0, 1), 300), ((0, 0, 0), 300)]);
        assert_eq!(worse.verdict, Verdict::Worse);
        let same = judged(&[((0, 0, 1), 5), ((0, 1, 0), 6), ((1, 1, 1), 100)]);
        assert_eq!(same.verdict, Verdict::NoDifference);
        assert_eq!(TruthCounts::default().judge(), None);
    }

    #[test]
    fn draws_have_their_mean_and_variance() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for mean in [0.5, 7.0, 29.0, 31.0, 5_000.0] {
            let draws: Vec<f64> = (0..4_000).map(|_| poisson(mean, &mut random)).collect();
            let found = draws.iter().sum::<f64>() / 4_000.0;
            let variance = draws.iter().map(|x| (x - found).powi(2)).sum::<f64>() / 4_000.0;
            assert!((found / mean - 1.0).abs() < 0.1, "{mean}: {found}");
            assert!((variance / mean - 1.0).abs() < 0.15, "{mean}: {variance}");
        }
    }
}
