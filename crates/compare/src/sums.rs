//! Sums that are kept while rows go by.

use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use crate::report::{Interval, Quantiles, Share};

/// The number of values, their sum and the sum of their squares.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moments {
    count: f64,
    sum: f64,
    squares: f64,
}

/// Some of many values, each with the same chance to be among them: Vitter, Random Sampling with a
/// Reservoir, algorithm R.
#[derive(Debug, Clone)]
pub(crate) struct Reservoir {
    values: Vec<f64>,
    seen: u64,
    most: f64,
    random: ChaCha8Rng,
}

/// 95 per cent of a normal distribution lie within so many deviations.
pub(crate) const NORMAL: f64 = 1.96;
const RESERVOIR: usize = 10_000;

impl Moments {
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        self.sum += value;
        self.squares += value * value;
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    /// The mean with its interval; nothing if there is no value.
    pub(crate) fn mean(self) -> Option<Interval> {
        let Self { count, sum, squares } = self;
        if count < 1.0 {
            return None;
        }
        let value = sum / count;
        let variance = (squares / count - value * value).max(0.0) * count / (count - 1.0).max(1.0);
        let spread = NORMAL * (variance / count).sqrt();
        Some(Interval { value, low: value - spread, high: value + spread })
    }
}

impl Default for Reservoir {
    fn default() -> Self {
        let random = ChaCha8Rng::seed_from_u64(0);
        Self { values: Vec::new(), seen: 0, most: 0.0, random }
    }
}

impl Reservoir {
    pub(crate) fn add(&mut self, value: f64) {
        self.seen += 1;
        self.most = self.most.max(value);
        if self.values.len() < RESERVOIR {
            self.values.push(value);
            return;
        }
        let place = self.random.random_range(0..self.seen);
        if let Some(old) = usize::try_from(place).ok().and_then(|at| self.values.get_mut(at)) {
            *old = value;
        }
    }

    pub(crate) fn quantiles(&self) -> Quantiles {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a place in a short list"
            )]
            let place = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
            sorted.get(place).copied().unwrap_or_default()
        };
        Quantiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), most: self.most }
    }
}

impl Share {
    /// A share with its interval: Wilson, Probable Inference, 1927.
    pub(crate) fn of(rows: u64, all: u64) -> Self {
        if all == 0 {
            return Self { rows, of: all, share: 0.0, low: 0.0, high: 1.0 };
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of rows")]
        let (some, count) = (rows as f64, all as f64);
        let share = some / count;
        let square = NORMAL * NORMAL;
        let middle = (share + square / (2.0 * count)) / (1.0 + square / count);
        let inner = share * (1.0 - share) / count + square / (4.0 * count * count);
        let spread = NORMAL * inner.sqrt() / (1.0 + square / count);
        Self {
            rows,
            of: all,
            share,
            low: (middle - spread).max(0.0),
            high: (middle + spread).min(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_intervals() {
        let share = Share::of(10, 100);
        assert!(
            (share.low - 0.0552).abs() < 1e-3 && (share.high - 0.1744).abs() < 1e-3,
            "{share:?}"
        );
        let mut moments = Moments::default();
        [1.0, 2.0, 3.0, 4.0].into_iter().for_each(|value| moments.add(value));
        let mean = moments.mean().unwrap();
        assert!((mean.value - 2.5).abs() < 1e-12 && (mean.high - 3.765).abs() < 1e-2, "{mean:?}");
        assert_eq!(Moments::default().mean(), None);
        let mut reservoir = Reservoir::default();
        (0..50_000).for_each(|value| reservoir.add(f64::from(value)));
        let quantiles = reservoir.quantiles();
        assert!((quantiles.p50 - 25_000.0).abs() < 1_000.0, "{quantiles:?}");
        assert!((quantiles.most - 49_999.0).abs() < 1e-9);
    }
}
