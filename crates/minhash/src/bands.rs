use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

/// What was computed is kept: by the bits of the threshold, and the permutations.
static KNOWN: LazyLock<Mutex<HashMap<(u64, usize), Bands>>> = LazyLock::new(Mutex::default);
/// Answers that are kept, at most.
const MOST_KNOWN: usize = 1024;

/// How many bands, and how many rows in each.
type Bands = (usize, usize);

/// Pieces that each side of the threshold is integrated in.
const PIECES: u32 = 100;
/// Places and weights of Gauss and Legendre's rule of four points, on -1 to 1.
const POINTS: [(f64, f64); 4] = [
    (-0.861_136_311_594_052_6, 0.347_854_845_137_453_85),
    (-0.339_981_043_584_856_26, 0.652_145_154_862_546_1),
    (0.339_981_043_584_856_26, 0.652_145_154_862_546_1),
    (0.861_136_311_594_052_6, 0.347_854_845_137_453_85),
];

/// The number of bands, and of rows in each, that fit a threshold best: those with the least
/// sum of the integrals of false positives below the threshold and false negatives above it,
/// each weighing half.
///
/// They are computed once for a threshold and a number of permutations, and kept.
pub(crate) fn bands(threshold: f64, permutations: usize) -> (usize, usize) {
    let key = (threshold.to_bits(), permutations);
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known().get(&key) {
        return *found;
    }
    let found = best_bands(threshold, permutations);
    let mut known = known();
    if known.len() >= MOST_KNOWN {
        known.clear();
    }
    known.insert(key, found);
    found
}

fn best_bands(threshold: f64, permutations: usize) -> (usize, usize) {
    // A document of similarity s is missed with the probability (1 - s^rows)^bands. What is found
    // below the threshold and missed above it: both are integrals of that, up to a constant.
    let points: Vec<(f64, f64)> = points(0.0, threshold)
        .map(|(at, weight)| (at, -weight))
        .chain(points(threshold, 1.0))
        .collect();
    let mut power = vec![1.0; points.len()];
    let mut best = (1, permutations.max(1));
    let mut least = f64::INFINITY;
    for rows in 1..=permutations {
        for (power, (at, _)) in power.iter_mut().zip(&points) {
            *power *= at;
        }
        let mut missed: Vec<f64> = points.iter().map(|(_, weight)| *weight).collect();
        for bands in 1..=permutations / rows {
            let mut error = 0.0;
            for (missed, power) in missed.iter_mut().zip(&power) {
                *missed *= 1.0 - power;
                error += *missed;
            }
            if error < least || (error <= least && bands < best.0) {
                least = error;
                best = (bands, rows);
            }
        }
    }
    best
}

/// Where a function is looked at to integrate it, and what weighs there.
fn points(from: f64, to: f64) -> impl Iterator<Item = (f64, f64)> {
    let half = (to - from) / f64::from(2 * PIECES);
    (0..PIECES).flat_map(move |piece| {
        let middle = from + half * f64::from(2 * piece + 1);
        POINTS.map(|(at, weight)| (middle + half * at, half * weight))
    })
}

/// The bands with the most rows in each, so the fewest candidates, that find a pair at the
/// threshold with at least some probability; a pair above it is found with a higher one.
///
/// For those who verify candidates: [`bands`] that weigh false positives as well miss nearly half
/// of the pairs at the threshold.
pub(crate) fn bands_with_recall(
    threshold: f64,
    permutations: usize,
    recall: f64,
) -> (usize, usize) {
    let finds = |rows: usize| {
        let missed = 1.0 - threshold.powf(rows as f64);
        1.0 - missed.powf((permutations / rows) as f64) >= recall
    };
    let rows = (1..=permutations).rev().find(|rows| finds(*rows)).unwrap_or(1);
    (permutations / rows, rows)
}

/// One hash per band of a signature, cut into so many bands of so many rows: documents that share
/// one are candidates. A band's place is part of its hash.
pub(crate) fn band_hashes(
    signature: &[u32],
    (bands, rows): (usize, usize),
) -> impl Iterator<Item = u64> {
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
            // Computed, and kept.
            assert_eq!(bands(threshold, 128), expected, "{threshold}");
            assert_eq!(bands(threshold, 128), expected, "{threshold}");
        }
    }

    #[test]
    fn bands_fit_into_the_signature() {
        for permutations in [2, 7, 64, 256, 1024] {
            for threshold in [1e-300, 0.01, 0.3, 0.99, 1.0 - f64::EPSILON] {
                let all = [
                    bands(threshold, permutations),
                    bands_with_recall(threshold, permutations, 0.98),
                ];
                for (count, rows) in all {
                    assert!(count * rows <= permutations && count * rows > 0);
                }
            }
        }
    }

    #[test]
    fn what_is_kept_does_not_grow_without_end() {
        for at in 1..=MOST_KNOWN + 10 {
            let _ = bands(at as f64 / 10_000.0, 2);
        }
        assert!(KNOWN.lock().unwrap().len() <= MOST_KNOWN);
    }

    #[test]
    fn bands_with_recall_find_what_they_should() {
        for threshold in [0.5, 0.8, 0.95] {
            let (bands, rows) = bands_with_recall(threshold, 128, 0.98);
            let found = |rows: usize, bands: usize| {
                1.0 - (1.0 - threshold.powf(rows as f64)).powf(bands as f64)
            };
            assert!(found(rows, bands) >= 0.98);
            assert!(found(rows + 1, 128 / (rows + 1)) < 0.98);
        }
        assert_eq!(bands_with_recall(0.8, 128, 0.98), (18, 7));
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
