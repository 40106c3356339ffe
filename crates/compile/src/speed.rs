use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// How fast two models answered the same texts, one thread each, on the machine that compiled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speed {
    /// Texts per second of the uncompiled model.
    pub trained: f64,
    /// Texts per second of the compiled model.
    pub compiled: f64,
    /// The median over rounds of how many times as fast the compiled one was.
    pub speedup: f64,
}

/// Rounds, in each of which both models answer in turn.
const ROUNDS: usize = 7;
/// A round goes on until the slower model has worked for so long, or has seen all texts.
const ROUND: Duration = Duration::from_millis(60);

impl Speed {
    /// Measures two models against each other, in interleaved rounds.
    pub(crate) fn measure<T>(trained: &dyn Fn(&[T]), compiled: &dyn Fn(&[T]), texts: &[T]) -> Self {
        let texts = texts.get(..fitting(trained, texts)).unwrap_or(texts);
        let seconds = |model: &dyn Fn(&[T])| {
            let started = Instant::now();
            model(black_box(texts));
            started.elapsed().as_secs_f64().max(1e-9)
        };
        seconds(compiled);
        let mut rounds: Vec<(f64, f64)> =
            (0..ROUNDS).map(|_| (seconds(trained), seconds(compiled))).collect();
        rounds.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
        let (slow, fast) = rounds.get(ROUNDS / 2).copied().unwrap_or((1.0, 1.0));
        #[expect(clippy::cast_precision_loss, reason = "a count of texts")]
        let count = texts.len() as f64;
        Self { trained: count / slow, compiled: count / fast, speedup: slow / fast }
    }
}

/// How many texts the model answers in a round; also warms it up.
fn fitting<T>(model: &dyn Fn(&[T]), texts: &[T]) -> usize {
    let started = Instant::now();
    let mut count = 0;
    while count < texts.len() && started.elapsed() < ROUND {
        // More and more at once: the first may take as long as a round by itself.
        let end = (count + count.clamp(1, 16)).min(texts.len());
        model(texts.get(count..end).unwrap_or_default());
        count = end;
    }
    count
}
