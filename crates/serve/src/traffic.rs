//! What a service did since it started, for pages that show it live: counters that are read often
//! and written on every request, without a lock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Buckets of answer times: each 1.1 times the one before, from 10 us to a good minute. So a
/// percentile is exact to 5 per cent.
const BUCKETS: usize = 168;
const FIRST_SECONDS: f64 = 10e-6;
const RATIO: f64 = 1.1;

/// Counters of a service.
#[derive(Debug)]
pub(crate) struct Counters {
    answered: AtomicU64,
    failed: AtomicU64,
    times: [AtomicU64; BUCKETS],
}

/// How much a service was asked since it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// Requests that were answered.
    pub answered: u64,
    /// Requests that were not.
    pub failed: u64,
    times: Vec<u64>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            times: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Counters {
    pub(crate) fn answered(&self, time: Duration) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        if let Some(bucket) = self.times.get(bucket(time.as_secs_f64())) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Traffic {
        Traffic {
            answered: self.answered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            times: self.times.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect(),
        }
    }
}

impl Traffic {
    /// What came since an earlier reading.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            answered: self.answered.saturating_sub(before.answered),
            failed: self.failed.saturating_sub(before.failed),
            times: self
                .times
                .iter()
                .zip(&before.times)
                .map(|(now, then)| now.saturating_sub(*then))
                .collect(),
        }
    }

    /// The time in seconds within which this share of the answers came, exact to 5 per cent;
    /// nothing if there were none.
    #[must_use]
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let all: u64 = self.times.iter().sum();
        if all == 0 {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank among requests, 0 or more"
        )]
        let rank = ((all as f64 * share).ceil() as u64).clamp(1, all);
        let mut seen = 0;
        let place = self.times.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        let place = i32::try_from(place).ok()?;
        // The middle of the bucket.
        Some(FIRST_SECONDS * RATIO.powi(place) / RATIO.sqrt())
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the buckets before"
)]
fn bucket(seconds: f64) -> usize {
    let place = (seconds.max(FIRST_SECONDS) / FIRST_SECONDS).log(RATIO).ceil();
    (place as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact_to_five_per_cent() {
        let counters = Counters::default();
        assert_eq!(counters.read().percentile(0.99), None);
        for millis in 1..=1000 {
            counters.answered(Duration::from_millis(millis));
        }
        let traffic = counters.read();
        for (share, expected) in [(0.5, 0.5), (0.99, 0.99), (1.0, 1.0), (0.0, 0.001)] {
            let found = traffic.percentile(share).unwrap();
            assert!((found / expected - 1.0).abs() < 0.051, "{share}: {found}");
        }
        counters.failed();
        counters.answered(Duration::from_secs(900));
        let since = counters.read().since(&traffic);
        assert_eq!((since.answered, since.failed), (1, 1));
        assert!(since.percentile(0.5).unwrap() > 60.0);
    }
}
