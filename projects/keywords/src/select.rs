//! Which candidates become keywords.

use crate::maxsum::max_sum;

/// A candidate, its embedding, and how alike it and the document are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scored<'a> {
    /// The candidate.
    pub(crate) text: &'a str,
    /// Its embedding.
    pub(crate) vector: &'a [f32],
    /// The cosine of its embedding and the document's.
    pub(crate) score: f32,
}

/// By what keywords are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Choice {
    /// Likeness to the document alone.
    Nearest,
    /// Maximal marginal relevance (Carbonell and Goldstein, 1998): each next one has the highest
    /// `(1 - diversity) * score - diversity * likeness`, likeness being that to the most alike of
    /// those before.
    Diverse {
        /// From 0, the nearest, to 1, the least alike.
        diversity: f64,
    },
    /// Of that many nearest ones, those with the least sum of likenesses between each two.
    Distant {
        /// How many.
        pool: usize,
    },
}

/// The embedding of a document with seeds: three quarters its own, one quarter the mean of theirs,
/// then normalised.
pub(crate) fn guided<'a>(
    document: &[f32],
    seeds: impl ExactSizeIterator<Item = &'a [f32]>,
) -> Vec<f32> {
    if seeds.len() == 0 {
        return document.to_vec();
    }
    #[expect(clippy::cast_precision_loss, reason = "there are few seeds")]
    let share = 0.25 / seeds.len() as f32;
    let mut guided: Vec<f32> = document.iter().map(|x| 0.75 * x).collect();
    for seed in seeds {
        guided.iter_mut().zip(seed).for_each(|(sum, x)| *sum += share * x);
    }
    let norm = dot(&guided, &guided).sqrt();
    if norm > 0.0 {
        guided.iter_mut().for_each(|x| *x /= norm);
    }
    guided
}

/// The candidates, the likest to the document first, by text where they are as alike.
pub(crate) fn rank<'a>(
    document: &[f32],
    candidates: impl Iterator<Item = (&'a str, &'a [f32])>,
) -> Vec<Scored<'a>> {
    let scored =
        candidates.map(|(text, vector)| Scored { text, vector, score: cosine(document, vector) });
    let mut ranked: Vec<_> = scored.collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.text.cmp(b.text)));
    ranked
}

/// At most `top_n` of the ranked candidates.
pub(crate) fn choose<'a>(ranked: &[Scored<'a>], top_n: usize, choice: Choice) -> Vec<Scored<'a>> {
    match choice {
        Choice::Nearest => ranked.iter().take(top_n).copied().collect(),
        Choice::Diverse { diversity } => diverse(ranked, top_n, diversity),
        Choice::Distant { pool } => {
            let pool = ranked.get(..pool).unwrap_or(ranked);
            let chosen = max_sum(pool, top_n);
            chosen.into_iter().filter_map(|at| pool.get(at)).copied().collect()
        }
    }
}

fn diverse<'a>(ranked: &[Scored<'a>], top_n: usize, diversity: f64) -> Vec<Scored<'a>> {
    let Some((&first, others)) = ranked.split_first() else {
        return Vec::new();
    };
    // Each with its likeness to the most alike of the chosen.
    let mut others: Vec<(Scored<'a>, f32)> = others.iter().map(|&other| (other, -1.0)).collect();
    let mut chosen = vec![first];
    let mut last = first;
    while chosen.len() < top_n {
        for (other, likeness) in &mut others {
            *likeness = likeness.max(cosine(other.vector, last.vector));
        }
        let relevance = |(other, likeness): &(Scored<'_>, f32)| {
            (1.0 - diversity) * f64::from(other.score) - diversity * f64::from(*likeness)
        };
        // Of equals the first, which is ranked higher.
        let relevances = others.iter().map(relevance).enumerate();
        let best = relevances.reduce(|best, next| if next.1 > best.1 { next } else { best });
        let Some((at, _)) = best else { break };
        (last, _) = others.remove(at);
        chosen.push(last);
    }
    chosen
}

/// The cosine of two normalised vectors; 0 if they are not.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let cosine = dot(a, b);
    if cosine.is_finite() { cosine.clamp(-1.0, 1.0) } else { 0.0 }
}

/// Sums in eight lanes, which the compiler makes one register; the order is always the same.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DOCUMENT: [f32; 3] = [1.0, 0.0, 0.0];

    /// Candidates around the document: two of a kind, one apart, one far away.
    fn around() -> Vec<(&'static str, [f32; 3])> {
        vec![
            ("far", [0.0, 0.0, 1.0]),
            ("near", [0.8, 0.6, 0.0]),
            ("again", [0.8, 0.6, 0.0]),
            ("apart", [0.6, -0.8, 0.0]),
        ]
    }

    fn texts(top_n: usize, choice: Choice) -> Vec<String> {
        let around = around();
        let ranked = rank(&DOCUMENT, around.iter().map(|(text, vector)| (*text, &vector[..])));
        choose(&ranked, top_n, choice).iter().map(|scored| scored.text.to_owned()).collect()
    }

    #[test]
    fn equals_are_ranked_by_text() {
        assert_eq!(texts(9, Choice::Nearest), ["again", "near", "apart", "far"]);
        assert_eq!(texts(2, Choice::Nearest), ["again", "near"]);
        assert!(choose(&[], 3, Choice::Diverse { diversity: 0.5 }).is_empty());
        assert!(choose(&[], 3, Choice::Distant { pool: 5 }).is_empty());
    }

    #[test]
    fn diverse_ones_do_not_say_the_same_again() {
        // After "again": near 0.5*0.8-0.5*1 = -0.1, apart 0.5*0.6-0.5*0 = 0.3, far 0.
        assert_eq!(texts(3, Choice::Diverse { diversity: 0.5 }), ["again", "apart", "far"]);
        assert_eq!(texts(9, Choice::Diverse { diversity: 1.0 }).len(), 4);
        assert_eq!(texts(2, Choice::Distant { pool: 3 }), ["again", "apart"]);
    }

    #[test]
    fn seeds_weigh_one_quarter() {
        let seeds: [&[f32]; 2] = [&[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0]];
        let expected = [0.75, 0.125, 0.125]
            .map(|x: f32| x / (0.75_f32.powi(2) + 2.0 * 0.125_f32.powi(2)).sqrt());
        for (x, expected) in guided(&DOCUMENT, seeds.into_iter()).iter().zip(expected) {
            assert!((x - expected).abs() < 1e-6);
        }
        assert_eq!(guided(&DOCUMENT, std::iter::empty()), DOCUMENT);
        let opposite: [&[f32]; 1] = [&[-3.0, 0.0, 0.0]];
        assert_eq!(guided(&DOCUMENT, opposite.into_iter()), [0.0; 3]);
    }

    #[test]
    fn what_is_no_vector_is_like_nothing() {
        assert_eq!(cosine(&[f32::NAN], &[1.0]), 0.0);
        assert_eq!(cosine(&[], &[1.0]), 0.0);
        assert_eq!(cosine(&[2.0], &[3.0]), 1.0);
    }

    proptest! {
        #[test]
        fn no_diversity_is_the_plain_ranking(
            vectors in prop::collection::vec(prop::array::uniform3(-1.0_f32..1.0), 0..30),
            top_n in 1_usize..40,
        ) {
            let names: Vec<_> = (0..vectors.len()).map(|i| format!("{i}")).collect();
            let candidates = names.iter().zip(&vectors).map(|(name, v)| (name.as_str(), &v[..]));
            let ranked = rank(&DOCUMENT, candidates);
            let diverse = choose(&ranked, top_n, Choice::Diverse { diversity: 0.0 });
            prop_assert_eq!(diverse, choose(&ranked, top_n, Choice::Nearest));
        }

        #[test]
        fn lanes_sum_like_one(pairs in prop::collection::vec((-1.0_f32..1.0, -1.0_f32..1.0), 0..40)) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            let plain: f64 = pairs.iter().map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            // Forty products of at most 1, each rounded to 24 bits.
            prop_assert!((f64::from(dot(&a, &b)) - plain).abs() < 1e-5);
        }
    }
}
