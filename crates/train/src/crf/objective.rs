//! What a conditional random field loses on sentences with known tags.

use std::thread;

use mesh_core::{Cancel, Interrupted};
use mesh_engine::{Chain, ChainRoom, TOKEN_FEATURES};

use super::lbfgs::Objective;

/// Sentences as numbers.
#[derive(Debug, Default, Clone)]
pub(crate) struct Sentences {
    /// Where each sentence ends, in tokens.
    pub(crate) ends: Vec<usize>,
    /// The features of each token: their rows, and [`NO_FEATURE`] where there is none.
    pub(crate) features: Vec<u32>,
    /// Values of each token beside its features: `dense` of them.
    pub(crate) values: Vec<f32>,
    pub(crate) dense: usize,
    /// The tag of each token.
    pub(crate) tags: Vec<u16>,
}

/// Where a token has fewer features than others, or one that is not known.
pub(crate) const NO_FEATURE: u32 = u32::MAX;
/// Sentences are cut into so many parts, whatever the number of threads, so that sums are added in
/// one order.
const PARTS: usize = 4;

/// Where which weights lie in the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) tags: usize,
    pub(crate) features: usize,
    pub(crate) dense: usize,
}

pub(crate) struct Loss<'a> {
    pub(crate) sentences: &'a Sentences,
    pub(crate) shape: Shape,
    /// Per pair of tags: whether the second may follow the first; and before them which may start.
    pub(crate) allowed: &'a [bool],
    /// The strength of the regularisation.
    pub(crate) l2: f64,
    pub(crate) threads: usize,
    pub(crate) cancel: &'a Cancel,
    /// The gradients of the parts, kept from one evaluation to the next.
    pub(crate) gradients: Vec<Vec<f32>>,
}

/// The score of what cannot be: no exponential of it is more than 0.
pub(crate) const NEVER: f32 = -1.0e4;

impl Shape {
    /// Places: features, dense values, starts, followers.
    pub(crate) const fn dense_at(&self) -> usize {
        self.features * self.tags
    }

    pub(crate) const fn start_at(&self) -> usize {
        self.dense_at() + self.dense * self.tags
    }

    pub(crate) const fn follow_at(&self) -> usize {
        self.start_at() + self.tags
    }

    pub(crate) const fn total(&self) -> usize {
        self.follow_at() + self.tags * self.tags
    }

    /// The chain of a point.
    pub(crate) fn chain(&self, point: &[f32], allowed: &[bool]) -> Option<Chain> {
        let scores: Vec<f32> = point
            .get(self.start_at()..)?
            .iter()
            .zip(allowed)
            .map(|(score, allowed)| if *allowed { *score } else { NEVER })
            .collect();
        let (start, follow) = scores.split_at_checked(self.tags)?;
        Chain::new(self.tags, start.to_vec(), follow.to_vec())
    }

    /// The scores of the tags of tokens.
    pub(crate) fn scores(
        &self,
        point: &[f32],
        (features, values): (&[u32], &[f32]),
        scores: &mut Vec<f32>,
    ) {
        let tags = self.tags;
        scores.clear();
        scores.resize(features.len() / TOKEN_FEATURES * tags, 0.0);
        let dense = point.get(self.dense_at()..self.start_at()).unwrap_or_default();
        let tokens = features.chunks_exact(TOKEN_FEATURES).zip(scores.chunks_exact_mut(tags));
        for (token, (features, row)) in tokens.enumerate() {
            for feature in features {
                let start = *feature as usize * tags;
                if let Some(weights) = point.get(start..start + tags)
                    && *feature != NO_FEATURE
                {
                    row.iter_mut().zip(weights).for_each(|(score, weight)| *score += weight);
                }
            }
            let own = values.get(token * self.dense..(token + 1) * self.dense).unwrap_or_default();
            for (value, weights) in own.iter().zip(dense.chunks_exact(tags)) {
                row.iter_mut().zip(weights).for_each(|(score, weight)| *score += value * weight);
            }
        }
    }
}

impl Sentences {
    pub(crate) fn token_ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends.iter().copied()).map(|(start, end)| start..end)
    }

    /// The features and values of a range of tokens.
    pub(crate) fn tokens(&self, range: &std::ops::Range<usize>) -> (&[u32], &[f32]) {
        let features = range.start * TOKEN_FEATURES..range.end * TOKEN_FEATURES;
        let values = range.start * self.dense..range.end * self.dense;
        (
            self.features.get(features).unwrap_or_default(),
            self.values.get(values).unwrap_or_default(),
        )
    }
}

impl Loss<'_> {
    /// The loss of one part of the sentences; its gradient is left in `gradient`.
    fn part(
        &self,
        point: &[f32],
        chain: &Chain,
        part: usize,
        gradient: &mut Vec<f32>,
    ) -> Result<f64, Interrupted> {
        let Shape { tags, dense, .. } = self.shape;
        gradient.clear();
        gradient.resize(self.shape.total(), 0.0);
        let (mut scores, mut room) = (Vec::new(), ChainRoom::default());
        let mut loss = 0.0;
        let count = self.sentences.ends.len().div_ceil(PARTS).max(1);
        let ranges = self.sentences.token_ranges().skip(part * count).take(count);
        for (at, range) in ranges.enumerate() {
            if at.is_multiple_of(256) {
                self.cancel.check()?;
            }
            let (features, values) = self.sentences.tokens(&range);
            let truth = self.sentences.tags.get(range.clone()).unwrap_or_default();
            self.shape.scores(point, (features, values), &mut scores);
            loss += chain.marginals(&scores, &mut room);
            let (low, chained) = gradient.split_at_mut(self.shape.start_at());
            let (starts, follows) = chained.split_at_mut(tags);
            chain.add_pairs(&room, follows);
            if let Some(first) = room.marginals.get(..tags) {
                starts.iter_mut().zip(first).for_each(|(to, from)| *to += from);
            }
            let mut before: Option<usize> = None;
            for (row, tag) in scores.chunks_exact(tags).zip(truth) {
                let tag = usize::from(*tag);
                let own = row.get(tag).copied().unwrap_or_default();
                let chained = match before {
                    None => chain.start().get(tag),
                    Some(before) => chain.follow().get(before * tags + tag),
                };
                loss -= f64::from(own) + f64::from(chained.copied().unwrap_or_default());
                let seen = match before {
                    None => starts.get_mut(tag),
                    Some(before) => follows.get_mut(before * tags + tag),
                };
                if let Some(seen) = seen {
                    *seen -= 1.0;
                }
                before = Some(tag);
            }
            // From here on what is expected less what is seen.
            for (row, tag) in room.marginals.chunks_exact_mut(tags).zip(truth) {
                if let Some(seen) = row.get_mut(usize::from(*tag)) {
                    *seen -= 1.0;
                }
            }
            let (sparse, dense_gradient) = low.split_at_mut(self.shape.dense_at());
            let tokens =
                features.chunks_exact(TOKEN_FEATURES).zip(room.marginals.chunks_exact(tags));
            for (token, (features, row)) in tokens.enumerate() {
                for feature in features {
                    let start = *feature as usize * tags;
                    if *feature != NO_FEATURE
                        && let Some(to) = sparse.get_mut(start..start + tags)
                    {
                        to.iter_mut().zip(row).for_each(|(to, from)| *to += from);
                    }
                }
                let own = values.get(token * dense..(token + 1) * dense).unwrap_or_default();
                for (value, to) in own.iter().zip(dense_gradient.chunks_exact_mut(tags)) {
                    to.iter_mut().zip(row).for_each(|(to, from)| *to += value * from);
                }
            }
        }
        Ok(loss)
    }
}

impl Objective for Loss<'_> {
    type Stop = Interrupted;

    fn evaluate(&mut self, at: &[f32], gradient: &mut [f32]) -> Result<f64, Interrupted> {
        let Some(chain) = self.shape.chain(at, self.allowed) else { return Ok(f64::INFINITY) };
        let mut gradients = std::mem::take(&mut self.gradients);
        gradients.resize_with(PARTS, Vec::new);
        let (this, chain) = (&*self, &chain);
        let mut losses = Vec::new();
        let mut part = 0;
        for some in gradients.chunks_mut(this.threads.max(1)) {
            let done: Vec<_> = thread::scope(|scope| {
                let numbered = (part..).zip(some.iter_mut());
                let work: Vec<_> = numbered
                    .map(|(part, gradient)| {
                        scope.spawn(move || this.part(at, chain, part, gradient))
                    })
                    .collect();
                work.into_iter()
                    .map(|work| match work.join() {
                        Ok(done) => done,
                        Err(panic) => std::panic::resume_unwind(panic),
                    })
                    .collect()
            });
            part += done.len();
            losses.extend(done);
        }
        #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
        let l2 = self.l2 as f32;
        let mut value = 0.0;
        for (gradient, weight) in gradient.iter_mut().zip(at) {
            *gradient = l2 * weight;
        }
        let squares: f64 = at.iter().map(|weight| f64::from(*weight) * f64::from(*weight)).sum();
        value += 0.5 * self.l2 * squares;
        for (loss, own) in losses.into_iter().zip(&gradients) {
            value += loss?;
            gradient.iter_mut().zip(own).for_each(|(to, from)| *to += from);
        }
        self.gradients = gradients;
        let barred = self.allowed.iter().zip(gradient.iter_mut().skip(self.shape.start_at()));
        barred.filter(|(allowed, _)| !**allowed).for_each(|(_, gradient)| *gradient = 0.0);
        Ok(value)
    }
}
