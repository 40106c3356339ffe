/// With fewer rows the temperature would be a guess.
pub const MIN_CALIBRATION_ROWS: usize = 50;

/// Temperatures outside of this are not looked at.
const RANGE: (f64, f64) = (0.02, 50.0);
const STEPS: usize = 60;

/// Finds the temperature by which decision values are divided so that the probabilities fit the
/// labels best: the least log loss. The order of the labels does not change.
///
/// Source: Guo et al., "On calibration of modern neural networks", ICML 2017. The log loss is
/// convex in the inverse temperature; a golden-section search finds it to six digits.
#[must_use]
pub fn temperature(decision: &[Vec<f32>], labels: &[u32]) -> f32 {
    let loss = |inverse: f64| log_loss(decision, labels, inverse);
    let golden = (5.0f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = ((1.0 / RANGE.1).ln(), (1.0 / RANGE.0).ln());
    for _ in 0..STEPS {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if loss(left.exp()) <= loss(right.exp()) { high = right } else { low = left }
    }
    #[expect(clippy::cast_possible_truncation, reason = "a temperature needs few digits")]
    let found = (1.0 / ((low + high) / 2.0).exp()) as f32;
    found
}

/// The sum of the log losses of decision values that are multiplied by the inverse temperature.
pub(crate) fn log_loss(decision: &[Vec<f32>], labels: &[u32], inverse: f64) -> f64 {
    let one = |(row, label): (&Vec<f32>, &u32)| {
        let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|value| (f64::from(value - highest) * inverse).exp()).sum();
        let own = row.get(*label as usize).copied().unwrap_or(highest);
        sum.ln() - f64::from(own - highest) * inverse
    };
    decision.iter().zip(labels).map(one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overconfidence_is_cooled() {
        // Sure of itself to 98 per cent, right in 75 of 100: ln(0.75/0.25) = 1.0986 apart.
        let decision = vec![vec![4.0f32, 0.0]; 100];
        let labels: Vec<u32> = (0..100).map(|row| u32::from(row % 4 == 0)).collect();
        let found = temperature(&decision, &labels);
        assert!((found - 4.0 / 1.0986).abs() < 1e-2, "{found}");
    }
}
