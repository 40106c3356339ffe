//! From a text's vector to probabilities of labels.

/// How the scores of labels are made into probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Loss {
    /// By the turns of a Huffman tree whose leaves are the labels (Morin and Bengio, 2005).
    HierarchicalSoftmax,
    /// Each label for itself, as trained with negative samples.
    NegativeSampling,
    /// Together, adding up to 1.
    Softmax,
    /// Each label for itself.
    OneVersusAll,
}

/// The output matrix, with how it is read.
#[derive(Debug)]
pub(crate) struct Output<W, T> {
    pub(crate) loss: Loss,
    pub(crate) dimension: usize,
    pub(crate) labels: usize,
    /// Row by row: a row per label, or per inner node of the tree.
    pub(crate) weights: W,
    /// For each inner node of the tree its two children: labels come first, then inner nodes.
    pub(crate) tree: T,
}

/// Labels, tree and matrix do not fit each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutputError;

/// Counts of nodes that are not there yet: more than any label has.
const NO_COUNT: i64 = 1_000_000_000_000_000;

impl Loss {
    pub(super) const fn from_number(number: i32) -> Option<Self> {
        match number {
            1 => Some(Self::HierarchicalSoftmax),
            2 => Some(Self::NegativeSampling),
            3 => Some(Self::Softmax),
            4 => Some(Self::OneVersusAll),
            _ => None,
        }
    }
}

impl<W: AsRef<[f32]>> Output<W, Vec<[u32; 2]>> {
    /// The output of labels that occurred so often.
    pub(super) fn of_counts(
        loss: Loss,
        dimension: usize,
        weights: W,
        counts: &[i64],
    ) -> Result<Self, OutputError> {
        let tree = match loss {
            Loss::HierarchicalSoftmax => huffman(counts)?,
            _ => Vec::new(),
        };
        Self::new(loss, dimension, weights, (counts.len(), tree))
    }
}

impl<W: AsRef<[f32]>, T: AsRef<[[u32; 2]]>> Output<W, T> {
    /// Checks that the parts fit: what they claim is not looked at again.
    pub(crate) fn new(
        loss: Loss,
        dimension: usize,
        weights: W,
        (labels, tree): (usize, T),
    ) -> Result<Self, OutputError> {
        let tall = loss == Loss::HierarchicalSoftmax;
        let rows = if tall { labels.saturating_sub(1) } else { labels };
        let fits = labels > 0
            && dimension > 0
            && rows.checked_mul(dimension).is_some_and(|all| all <= weights.as_ref().len())
            && tree.as_ref().len() == if tall { rows } else { 0 };
        // Children come before their parents, so no walk down is endless.
        let down = tree
            .as_ref()
            .iter()
            .enumerate()
            .all(|(at, children)| children.iter().all(|child| (*child as usize) < labels + at));
        if fits && down {
            Ok(Self { loss, dimension, labels, weights, tree })
        } else {
            Err(OutputError)
        }
    }

    /// The labels with the highest probabilities, the highest first.
    pub(crate) fn top(&self, hidden: &[f32], count: usize) -> Vec<(usize, f32)> {
        let mut best = Best { count: count.min(self.labels), found: Vec::new() };
        if best.count == 0 {
            return Vec::new();
        }
        match self.loss {
            Loss::HierarchicalSoftmax => self.walk(hidden, &mut best),
            Loss::Softmax => self.softmax(hidden, &mut best),
            Loss::NegativeSampling | Loss::OneVersusAll => {
                for label in 0..self.labels {
                    best.offer(label, log(sigmoid(self.dot(label, hidden))));
                }
            }
        }
        best.found.into_iter().map(|(label, score)| (label, score.exp())).collect()
    }

    fn softmax(&self, hidden: &[f32], best: &mut Best) {
        let scores: Vec<f32> = (0..self.labels).map(|label| self.dot(label, hidden)).collect();
        let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = scores.iter().map(|score| (score - highest).exp()).sum();
        for (label, score) in scores.into_iter().enumerate() {
            best.offer(label, log((score - highest).exp() / sum));
        }
    }

    /// Walks down the tree, and turns back where nothing better can be.
    fn walk(&self, hidden: &[f32], best: &mut Best) {
        let root = self.labels + self.tree.as_ref().len();
        // The root is the last node; with one label it is the label.
        let mut open = vec![(root - 1, 0.0f32)];
        while let Some((node, score)) = open.pop() {
            if score < log(0.0) || !best.takes(score) {
                continue;
            }
            let Some(inner) = node.checked_sub(self.labels) else {
                best.offer(node, score);
                continue;
            };
            let [left, right] = self.tree.as_ref().get(inner).copied().unwrap_or_default();
            let turn = 1.0 / (1.0 + (-self.dot(inner, hidden)).exp());
            open.push((right as usize, score + log(turn)));
            open.push((left as usize, score + log(1.0 - turn)));
        }
    }

    fn dot(&self, row: usize, hidden: &[f32]) -> f32 {
        let start = row * self.dimension;
        let weights = self.weights.as_ref().get(start..start + self.dimension).unwrap_or_default();
        weights.iter().zip(hidden).map(|(weight, value)| weight * value).sum()
    }
}

/// The best labels so far, the best first.
struct Best {
    count: usize,
    found: Vec<(usize, f32)>,
}

impl Best {
    fn takes(&self, score: f32) -> bool {
        self.found.len() < self.count || self.found.last().is_none_or(|last| score >= last.1)
    }

    fn offer(&mut self, label: usize, score: f32) {
        let place = self.found.partition_point(|(_, other)| *other >= score);
        if place < self.count {
            self.found.insert(place, (label, score));
            self.found.truncate(self.count);
        }
    }
}

/// The logarithm of the reference, which has no infinity: computed wider, as there.
#[expect(clippy::cast_possible_truncation, reason = "the reference rounds here too")]
fn log(value: f32) -> f32 {
    (f64::from(value) + 1e-5).ln() as f32
}

/// The logistic function of the reference: from a table of 512 steps between -8 and 8.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a place in a small table"
)]
fn sigmoid(value: f32) -> f32 {
    match value {
        value if value < -8.0 => 0.0,
        value if value > 8.0 => 1.0,
        value => {
            let place = ((value + 8.0) * 512.0 / 8.0 / 2.0) as usize;
            let step = (place * 16) as f32 / 512.0 - 8.0;
            1.0 / (1.0 + (-step).exp())
        }
    }
}

/// The children of each inner node of the tree over labels that are sorted by their counts, the
/// most frequent first.
fn huffman(counts: &[i64]) -> Result<Vec<[u32; 2]>, OutputError> {
    let labels = counts.len();
    let mut made: Vec<i64> = Vec::new();
    let mut tree = Vec::new();
    // The next label from the end, and the next inner node from the start.
    let (mut leaf, mut node) = (labels, 0);
    for _ in 1..labels {
        let mut count = 0i64;
        let mut children = [0; 2];
        for child in &mut children {
            let next = made.get(node).copied().unwrap_or(NO_COUNT);
            let own = leaf.checked_sub(1).and_then(|at| counts.get(at)).copied();
            let taken = match own {
                Some(own) if own < next => {
                    leaf -= 1;
                    count = count.saturating_add(own);
                    leaf
                }
                _ if node < made.len() => {
                    count = count.saturating_add(next);
                    node += 1;
                    labels + node - 1
                }
                // Counts that no file of the reference has.
                _ => return Err(OutputError),
            };
            *child = u32::try_from(taken).map_err(|_| OutputError)?;
        }
        made.push(count);
        tree.push(children);
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_labels_are_deep() {
        // Two rare ones are joined first, then they with the next.
        assert_eq!(huffman(&[10, 5, 3, 1]), Ok(vec![[3, 2], [4, 1], [5, 0]]));
        assert_eq!(huffman(&[7]), Ok(vec![]));
        assert_eq!(huffman(&[i64::MAX, i64::MAX]), Err(OutputError));
    }

    #[test]
    fn the_probabilities_of_a_tree_add_up() {
        let weights: Vec<f32> = (0..3u8).flat_map(|n| [f32::from(n) - 1.0, 0.5]).collect();
        let output =
            Output::of_counts(Loss::HierarchicalSoftmax, 2, weights, &[10, 5, 3, 1]).unwrap();
        let all = output.top(&[0.3, -0.8], 9);
        assert_eq!(all.len(), 4);
        assert!(all.is_sorted_by(|a, b| a.1 >= b.1));
        let sum: f32 = all.iter().map(|(_, probability)| probability).sum();
        assert!((sum - 1.0).abs() < 1e-3, "{sum}");
        assert_eq!(output.top(&[0.3, -0.8], 1), all[..1]);
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let new =
            |labels, tree| Output::new(Loss::HierarchicalSoftmax, 1, [0.0f32; 2], (labels, tree));
        assert!(new(3, vec![[0, 1], [2, 3]]).is_ok());
        assert!(new(3, vec![[0, 1], [2, 4]]).is_err());
        assert!(new(3, vec![[0, 1]]).is_err());
        assert!(new(4, vec![[0, 1], [2, 3], [4, 5]]).is_err());
        assert!(new(0, vec![]).is_err());
    }
}
