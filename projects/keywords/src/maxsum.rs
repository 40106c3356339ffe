//! Max sum distance: those of a pool that are least alike.

use crate::select::{Scored, cosine};

/// Steps that looking at every combination may take: enough for 10 of 20, some tens of
/// milliseconds.
const EXACT_STEPS: usize = 20_000_000;

/// Likenesses of each two of a pool.
struct Likeness(Vec<Vec<f32>>);

/// A walk through the combinations, in the order of the pool.
struct Search<'a> {
    likeness: &'a Likeness,
    top_n: usize,
    chosen: Vec<usize>,
    best: Vec<usize>,
    least: f64,
}

/// The positions of the `top_n` of a pool with the least sum of likenesses between each two; of
/// equal sums the one of the better ranked.
///
/// Exact where the combinations are few enough. Else greedy: the one most alike to all that are
/// left is dropped, again and again, until `top_n` are left. That takes the square of the pool.
pub(crate) fn max_sum(pool: &[Scored<'_>], top_n: usize) -> Vec<usize> {
    if pool.len() <= top_n {
        return (0..pool.len()).collect();
    }
    let row =
        |one: &Scored<'_>| pool.iter().map(|other| cosine(one.vector, other.vector)).collect();
    let likeness = Likeness(pool.iter().map(row).collect());
    match is_small(pool.len(), top_n) {
        true => exact(&likeness, top_n),
        false => greedy(&likeness, top_n),
    }
}

/// Whether every combination can be looked at: each takes about the square of its length.
fn is_small(pool: usize, top_n: usize) -> bool {
    let most = EXACT_STEPS / top_n.saturating_mul(top_n).max(1);
    let mut combinations = 1_usize;
    for i in 1..=top_n.min(pool - top_n) {
        // Exact at each step: it is the number of ways to choose i.
        combinations = combinations.saturating_mul(pool + 1 - i) / i;
        if combinations > most {
            return false;
        }
    }
    combinations <= most
}

fn exact(likeness: &Likeness, top_n: usize) -> Vec<usize> {
    let mut search =
        Search { likeness, top_n, chosen: Vec::new(), best: Vec::new(), least: f64::INFINITY };
    search.walk(0, 0.0);
    search.best
}

fn greedy(likeness: &Likeness, top_n: usize) -> Vec<usize> {
    let all = 0..likeness.0.len();
    // Each with its likeness to all others.
    let sum = |one: usize| {
        all.clone().filter(|&other| other != one).map(|other| likeness.of(one, other)).sum()
    };
    let mut left: Vec<(usize, f64)> = all.clone().map(|one| (one, sum(one))).collect();
    while left.len() > top_n {
        // Of equals the last, which is ranked lower.
        let sums = left.iter().map(|(_, sum)| *sum).enumerate();
        let most = sums.reduce(|most, next| if next.1 >= most.1 { next } else { most });
        let Some((at, _)) = most else { break };
        let (dropped, _) = left.remove(at);
        for (one, sum) in &mut left {
            *sum -= likeness.of(*one, dropped);
        }
    }
    left.into_iter().map(|(one, _)| one).collect()
}

impl Likeness {
    fn of(&self, one: usize, other: usize) -> f64 {
        let likeness = self.0.get(one).and_then(|row| row.get(other));
        likeness.copied().unwrap_or_default().into()
    }
}

impl Search<'_> {
    /// Tries all ways to go on with what comes from there on.
    fn walk(&mut self, from: usize, sum: f64) {
        let missing = self.top_n - self.chosen.len();
        if missing == 0 {
            if sum < self.least {
                self.least = sum;
                self.best.clone_from(&self.chosen);
            }
            return;
        }
        for next in from..=self.likeness.0.len() - missing {
            let more: f64 = self.chosen.iter().map(|&one| self.likeness.of(one, next)).sum();
            self.chosen.push(next);
            self.walk(next + 1, sum + more);
            self.chosen.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pool(vectors: &[[f32; 2]]) -> Vec<Scored<'_>> {
        vectors.iter().map(|vector| Scored { text: "", vector, score: 0.0 }).collect()
    }

    fn sum(likeness: &Likeness, chosen: &[usize]) -> f64 {
        let pairs = chosen.iter().flat_map(|&a| chosen.iter().map(move |&b| (a, b)));
        pairs.filter(|(a, b)| a < b).map(|(a, b)| likeness.of(a, b)).sum()
    }

    #[test]
    fn only_what_is_small_is_searched_whole() {
        for (pool, top_n) in [(20, 10), (100, 3), (2_000, 1), (2_000, 2_000), (270, 269)] {
            assert!(is_small(pool, top_n), "{top_n} of {pool}");
        }
        for (pool, top_n) in [(24, 12), (40, 10), (2_000, 10), (2_000, 1_999), (2_000, 1_000)] {
            assert!(!is_small(pool, top_n), "{top_n} of {pool}");
        }
    }

    #[test]
    fn large_pools_are_done_too() {
        let vectors: Vec<[f32; 2]> =
            (0..2_000).map(|i| [(i as f32 * 0.1).cos(), (i as f32 * 0.1).sin()]).collect();
        for top_n in [10, 1_000, 1_999] {
            assert_eq!(max_sum(&pool(&vectors), top_n).len(), top_n);
        }
    }

    proptest! {
        #[test]
        fn nothing_is_less_alike_than_the_exact_answer(
            angles in prop::collection::vec(0.0_f32..6.3, 1..9),
            top_n in 1_usize..9,
        ) {
            let vectors: Vec<_> = angles.iter().map(|angle| [angle.cos(), angle.sin()]).collect();
            let pool = pool(&vectors);
            let row = |one: &Scored<'_>| pool.iter().map(|other| cosine(one.vector, other.vector)).collect();
            let likeness = Likeness(pool.iter().map(row).collect());
            let top_n = top_n.min(pool.len());
            let found = max_sum(&pool, top_n);
            prop_assert_eq!(found.len(), top_n);
            prop_assert!(found.is_sorted_by(|a, b| a < b));
            let least = sum(&likeness, &found);
            for subset in 0_u32..1 << pool.len() {
                let chosen: Vec<_> = (0..pool.len()).filter(|i| subset >> i & 1 == 1).collect();
                if chosen.len() == top_n {
                    prop_assert!(least <= sum(&likeness, &chosen) + 1e-9);
                }
            }
            let greedy = greedy(&likeness, top_n);
            prop_assert_eq!(greedy.len(), top_n);
            prop_assert!(least <= sum(&likeness, &greedy) + 1e-9);
        }
    }
}
