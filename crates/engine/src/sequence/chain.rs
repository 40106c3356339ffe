//! The chain: scores of tags, and of one tag after another.

/// A tag sequence's structure: how well each tag starts a sentence and follows another.
///
/// Linear-chain conditional random fields: Lafferty, McCallum and Pereira (2001). Probabilities are
/// computed forward and backward, scaled token by token (Rabiner, 1989); the best sequence by
/// Viterbi (1967).
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// How many tags there are.
    tags: usize,
    /// Per tag: how well it starts a sentence. Minus infinity where it cannot.
    start: Vec<f32>,
    /// Row by row: how well the tag of the column follows the one of the row.
    follow: Vec<f32>,
    /// The exponentials of both.
    start_factor: Vec<f32>,
    follow_factor: Vec<f32>,
}

/// What is computed for one sentence after the other.
#[derive(Debug, Default)]
pub struct ChainRoom {
    /// Per token and tag: the exponential of its score, less the highest.
    pub(crate) factors: Vec<f32>,
    alpha: Vec<f32>,
    beta: Vec<f32>,
    /// One over the sum of each token's row of alpha before it was scaled.
    scales: Vec<f32>,
    back: Vec<u16>,
    best: Vec<f32>,
    /// Per token and tag: its probability.
    pub marginals: Vec<f32>,
}

impl Chain {
    /// A chain of so many tags. `None` if the scores are not as many as tags, and their square.
    #[must_use]
    pub fn new(tags: usize, start: Vec<f32>, follow: Vec<f32>) -> Option<Self> {
        if tags == 0 || start.len() != tags || follow.len() != tags * tags {
            return None;
        }
        let start_factor = start.iter().map(|score| score.exp()).collect();
        let follow_factor = follow.iter().map(|score| score.exp()).collect();
        Some(Self { tags, start, follow, start_factor, follow_factor })
    }

    /// The scores of starting a sentence.
    #[must_use]
    pub fn start(&self) -> &[f32] {
        &self.start
    }

    /// The scores of following, row by row.
    #[must_use]
    pub fn follow(&self) -> &[f32] {
        &self.follow
    }

    /// The tags of the best sequence, by the scores of every token's tags.
    pub fn best(&self, scores: &[f32], room: &mut ChainRoom) -> Vec<usize> {
        let tags = self.tags;
        let ChainRoom { back, best, .. } = room;
        back.clear();
        best.clear();
        let mut rows = scores.chunks_exact(tags);
        let Some(first) = rows.next() else { return Vec::new() };
        best.extend(first.iter().zip(&self.start).map(|(score, start)| score + start));
        let mut next = vec![0.0f32; tags];
        for row in rows {
            next.fill(f32::NEG_INFINITY);
            let from = back.len();
            back.resize(from + tags, 0);
            let back = back.get_mut(from..).unwrap_or_default();
            for ((tag, before), follow) in (0u16..).zip(&*best).zip(self.follow.chunks_exact(tags))
            {
                for ((next, back), follow) in next.iter_mut().zip(&mut *back).zip(follow) {
                    let score = before + follow;
                    if score > *next {
                        (*next, *back) = (score, tag);
                    }
                }
            }
            best.clear();
            best.extend(next.iter().zip(row).map(|(next, score)| next + score));
        }
        let highest = best.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1));
        let mut tag = highest.map_or(0, |(tag, _)| tag);
        let mut path = vec![tag];
        for row in back.chunks_exact(tags).rev() {
            tag = row.get(tag).copied().unwrap_or_default().into();
            path.push(tag);
        }
        path.reverse();
        path
    }

    /// Leaves the probability of every token's tags in [`ChainRoom::marginals`]; gives the
    /// logarithm of the sum over all sequences.
    pub fn marginals(&self, scores: &[f32], room: &mut ChainRoom) -> f64 {
        let tags = self.tags;
        let sum = self.forward(scores, room);
        let ChainRoom { factors, alpha, beta, scales, marginals, .. } = room;
        beta.clear();
        beta.resize(alpha.len(), 1.0);
        let tokens = scales.len();
        for token in (1..tokens).rev() {
            let (before, own) = beta.split_at_mut(token * tags);
            let before = before.get_mut((token - 1) * tags..).unwrap_or_default();
            let own = own.get(..tags).unwrap_or_default();
            let factors = factors.get(token * tags..).unwrap_or_default();
            let scale = scales.get(token).copied().unwrap_or(1.0);
            let rows = self.follow_factor.chunks_exact(tags);
            for (before, follow) in before.iter_mut().zip(rows) {
                let products = follow.iter().zip(factors).zip(own);
                *before = scale * products.map(|((a, b), c)| a * b * c).sum::<f32>();
            }
        }
        marginals.clear();
        marginals.extend(alpha.iter().zip(&*beta).map(|(alpha, beta)| alpha * beta));
        sum
    }

    /// Adds the probability of every pair of neighbouring tags, row by row; after
    /// [`Chain::marginals`] of the same scores.
    pub fn add_pairs(&self, room: &ChainRoom, to: &mut [f32]) {
        let tags = self.tags;
        let ChainRoom { factors, alpha, beta, scales, .. } = room;
        let tokens = alpha
            .chunks_exact(tags)
            .zip(factors.chunks_exact(tags).zip(beta.chunks_exact(tags)).zip(scales).skip(1));
        let mut right = vec![0.0f32; tags];
        for (before, ((factors, beta), scale)) in tokens {
            for ((right, factor), beta) in right.iter_mut().zip(factors).zip(beta) {
                *right = factor * beta * scale;
            }
            let rows = self.follow_factor.chunks_exact(tags).zip(to.chunks_exact_mut(tags));
            for (alpha, (follow, to)) in before.iter().zip(rows) {
                for ((to, follow), right) in to.iter_mut().zip(follow).zip(&right) {
                    *to += alpha * follow * right;
                }
            }
        }
    }

    fn forward(&self, scores: &[f32], room: &mut ChainRoom) -> f64 {
        let tags = self.tags;
        let ChainRoom { factors, alpha, scales, .. } = room;
        factors.clear();
        factors.resize(scores.len(), 0.0);
        alpha.clear();
        alpha.resize(scores.len(), 0.0);
        scales.clear();
        let mut sum = 0.0f64;
        let rows = scores.chunks_exact(tags).zip(factors.chunks_exact_mut(tags)).enumerate();
        for (token, (scores, factors)) in rows {
            let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for (factor, score) in factors.iter_mut().zip(scores) {
                *factor = (score - highest).exp();
            }
            let (before, own) = alpha.split_at_mut(token * tags);
            let own = own.get_mut(..tags).unwrap_or_default();
            match token {
                0 => own.copy_from_slice(&self.start_factor),
                _ => {
                    let before = before.get((token - 1) * tags..).unwrap_or_default();
                    let rows = self.follow_factor.chunks_exact(tags);
                    for (before, follow) in before.iter().zip(rows) {
                        for (own, follow) in own.iter_mut().zip(follow) {
                            *own += before * follow;
                        }
                    }
                }
            }
            own.iter_mut().zip(&*factors).for_each(|(own, factor)| *own *= factor);
            let total: f32 = own.iter().sum();
            let scale = 1.0 / total.max(f32::MIN_POSITIVE);
            own.iter_mut().for_each(|own| *own *= scale);
            scales.push(scale);
            sum += f64::from(highest) - f64::from(scale).ln();
        }
        sum
    }
}
