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

/// One hash per band of a signature, cut into so many bands of so many rows: documents that share
/// one are candidates. A band's place is part of its hash.
pub fn band_hashes(signature: &[u32], (bands, rows): (usize, usize)) -> impl Iterator<Item = u64> {
    signature.chunks_exact(rows.max(1)).take(bands).zip(1u64..).map(|(band, place)| {
        let seed = place.wrapping_mul(0xd6e8_feb8_6659_fd93);
        band.iter().fold(seed, |hash: u64, value| {
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

    #[test]
    fn bands_fit_into_the_signature() {
        for permutations in [2, 7, 64, 256, 1024] {
            for threshold in [0.01, 0.3, 0.99] {
                let (count, rows) = bands(threshold, permutations);
                assert!(count * rows <= permutations && count * rows > 0);
            }
        }
    }

    #[test]
    fn a_band_is_known_by_its_rows_and_its_place() {
        let hashes = |signature: &[u32]| band_hashes(signature, (2, 2)).collect::<Vec<_>>();
        let (one, two) = (hashes(&[1, 2, 1, 2, 9]), hashes(&[1, 2, 2, 1, 9]));
        assert_eq!(one.len(), 2);
        assert_eq!(one[0], two[0]);
        assert_ne!(one[1], two[1]);
        assert_ne!(one[0], one[1]);
    }
}
