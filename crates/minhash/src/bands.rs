/// Steps of the numeric integration.
const STEP: f64 = 0.001;

/// The number of bands, and of rows in each, that fit a threshold best: those with the least
/// sum of the integrals of false positives below the threshold and false negatives above it,
/// each weighing half.
#[must_use]
pub fn bands(threshold: f64, permutations: usize) -> (usize, usize) {
    let mut best = (1, permutations.max(1));
    let mut least = f64::INFINITY;
    for count in 1..=permutations {
        for rows in 1..=permutations / count {
            let found =
                |similarity: f64| 1.0 - (1.0 - similarity.powf(rows as f64)).powf(count as f64);
            let positives = integrate(&found, 0.0, threshold);
            let negatives = integrate(&|similarity| 1.0 - found(similarity), threshold, 1.0);
            let error = 0.5 * positives + 0.5 * negatives;
            if error < least {
                least = error;
                best = (count, rows);
            }
        }
    }
    best
}

fn integrate(function: &dyn Fn(f64) -> f64, from: f64, to: f64) -> f64 {
    let mut area = 0.0;
    let mut at = from;
    while at < to {
        area += function(at + 0.5 * STEP) * STEP;
        at += STEP;
    }
    area
}

/// One hash per band of a signature: documents that share one are candidates.
pub fn band_hashes(signature: &[u32], rows: usize) -> impl Iterator<Item = u64> {
    signature.chunks_exact(rows.max(1)).map(|band| {
        band.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, value| {
            (hash ^ u64::from(*value)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let cases =
            [(0.5, (25, 5)), (0.6, (18, 7)), (0.7, (14, 9)), (0.8, (9, 13)), (0.9, (5, 25))];
        for (threshold, expected) in cases {
            assert_eq!(bands(threshold, 128), expected, "{threshold}");
        }
    }
}
