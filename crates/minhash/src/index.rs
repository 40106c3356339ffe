use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use crate::{
    Options, OptionsError,
    bands::{band_hashes, bands_with_recall},
    signature::MinHasher,
};

/// Documents that were seen, to find those that are like another one.
///
/// Candidates are found by the bands of signatures and verified by their shingles, so whatever is
/// found is as similar as it is said to be. A pair at the threshold is found with a probability of
/// [`Index::RECALL`], one above it with a higher one. A document takes as much memory as it has
/// words, times eight, and some 800 bytes.
///
/// ```
/// use mesh_minhash::{Index, Options};
///
/// let mut index = Index::new(Options { shingle: 2, ..Options::default() })?;
/// for text in ["the bank left its rates as they were", "rain in the north, sun in the south"] {
///     let sketch = index.sketcher().sketch(text.split_whitespace());
///     index.insert(&sketch);
/// }
/// let again = index.sketcher().sketch("The bank left its rates as they were".split(' '));
/// let found = index.nearest(&again).ok_or("not found")?;
/// assert_eq!((found.document, found.similarity), (0, 1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Index {
    sketcher: Sketcher,
    threshold: f64,
    /// The document that came last to each band.
    heads: HashMap<u64, u32, BuildHasherDefault<AsItIs>>,
    /// The document that came to the same band before, for each document and each of its bands.
    before: Vec<u32>,
    /// The shingles of all documents, one after another.
    shingles: Vec<u64>,
    /// Where those of each document end.
    ends: Vec<usize>,
    /// Which question each document was last a candidate of.
    asked: Vec<u32>,
    question: u32,
}

/// Makes sketches, on any thread.
#[derive(Debug, Clone)]
pub struct Sketcher {
    hasher: MinHasher,
    cut: (usize, usize),
}

/// What an index needs to know of a document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sketch {
    /// Hashes of its shingles, sorted, each once.
    shingles: Vec<u64>,
    bands: Vec<u64>,
}

/// A document of an index that is like another one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// Which it is: the first that was inserted is 0.
    pub document: usize,
    /// The Jaccard similarity of the two sets of shingles.
    pub similarity: f64,
}

/// Hashes of bands are mixed already.
#[derive(Debug, Default)]
struct AsItIs(u64);

/// No document.
const NONE: u32 = u32::MAX;

impl Index {
    /// The least probability with which a pair at the threshold is found.
    pub const RECALL: f64 = 0.98;

    /// An index without documents.
    ///
    /// # Errors
    /// Which option cannot be, and what it can be.
    pub fn new(options: Options) -> Result<Self, OptionsError> {
        Ok(Self {
            sketcher: Sketcher::new(options)?,
            threshold: options.threshold,
            heads: HashMap::default(),
            before: Vec::new(),
            shingles: Vec::new(),
            ends: Vec::new(),
            asked: Vec::new(),
            question: 0,
        })
    }

    /// What makes sketches for this index.
    #[must_use]
    pub fn sketcher(&self) -> &Sketcher {
        &self.sketcher
    }

    /// How many documents there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Takes a document. One without words is taken too, and never found.
    ///
    /// Documents beyond `u32::MAX - 1` are not taken: more do not fit into memory.
    pub fn insert(&mut self, sketch: &Sketch) {
        let Some(document) = u32::try_from(self.ends.len()).ok().filter(|id| *id != NONE) else {
            return;
        };
        self.shingles.extend_from_slice(&sketch.shingles);
        self.ends.push(self.shingles.len());
        self.asked.push(0);
        let (bands, _) = self.sketcher.cut;
        for hash in &sketch.bands {
            self.before.push(self.heads.insert(*hash, document).unwrap_or(NONE));
        }
        self.before.resize(self.ends.len() * bands, NONE);
    }

    /// The documents that are like one, the most similar first, then the first inserted.
    pub fn matches(&mut self, sketch: &Sketch) -> Vec<Match> {
        let mut found = Vec::new();
        self.each(sketch, |matched| found.push(matched));
        found.sort_by(|a: &Match, b| {
            b.similarity.total_cmp(&a.similarity).then(a.document.cmp(&b.document))
        });
        found
    }

    /// The document that is most like one; of several, the first inserted.
    pub fn nearest(&mut self, sketch: &Sketch) -> Option<Match> {
        let mut nearest: Option<Match> = None;
        self.each(sketch, |matched| {
            let nearer = nearest.is_none_or(|known| {
                let order = matched.similarity.total_cmp(&known.similarity);
                order.then(known.document.cmp(&matched.document)).is_gt()
            });
            if nearer {
                nearest = Some(matched);
            }
        });
        nearest
    }

    fn each(&mut self, sketch: &Sketch, mut take: impl FnMut(Match)) {
        self.question = self.question.wrapping_add(1);
        if self.question == 0 {
            self.asked.fill(0);
            self.question = 1;
        }
        let (bands, _) = self.sketcher.cut;
        for (band, hash) in sketch.bands.iter().enumerate() {
            let mut next = self.heads.get(hash).copied().unwrap_or(NONE);
            while next != NONE {
                let document = next as usize;
                next = self.before.get(document * bands + band).copied().unwrap_or(NONE);
                let Some(asked) = self.asked.get_mut(document) else { break };
                if std::mem::replace(asked, self.question) == self.question {
                    continue;
                }
                let other = shingles_of(&self.shingles, &self.ends, document);
                if let Some(similarity) = jaccard(&sketch.shingles, other, self.threshold) {
                    take(Match { document, similarity });
                }
            }
        }
    }
}

impl Sketcher {
    /// What makes sketches for an index with these options.
    ///
    /// # Errors
    /// Which option cannot be, and what it can be.
    pub fn new(options: Options) -> Result<Self, OptionsError> {
        let Options { shingle, threshold, permutations } = options.checked()?;
        let hasher = MinHasher::new(permutations, shingle);
        let cut = bands_with_recall(threshold, permutations, Index::RECALL);
        Ok(Self { hasher, cut })
    }

    /// The sketch of a document given as its words, whose case does not matter. Fewer words than a
    /// shingle are one shingle.
    pub fn sketch<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Sketch {
        let mut shingles = self.hasher.shingles_of(words);
        if shingles.is_empty() {
            return Sketch::default();
        }
        shingles.sort_unstable();
        shingles.dedup();
        let signature = self.hasher.signature_of_shingles(&shingles);
        Sketch { shingles, bands: band_hashes(&signature, self.cut).collect() }
    }
}

impl Sketch {
    /// Whether the document has no words.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shingles.is_empty()
    }

    /// The Jaccard similarity of two documents, if it reaches a threshold.
    #[must_use]
    pub fn similarity(&self, other: &Self, threshold: f64) -> Option<f64> {
        jaccard(&self.shingles, &other.shingles, threshold)
    }

    /// Hashes of the document's shingles, sorted, each once.
    #[must_use]
    pub fn shingles(&self) -> &[u64] {
        &self.shingles
    }

    /// Hashes of its signature's bands: documents that share one are candidates.
    #[must_use]
    pub fn bands(&self) -> &[u64] {
        &self.bands
    }
}

fn shingles_of<'a>(shingles: &'a [u64], ends: &[usize], document: usize) -> &'a [u64] {
    let start = document.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    let end = ends.get(document).copied().unwrap_or(start);
    shingles.get(start..end).unwrap_or_default()
}

/// The Jaccard similarity of two sets of shingles, each sorted and without repetition, if it
/// reaches a threshold; stops as soon as it cannot.
#[must_use]
pub fn jaccard(one: &[u64], two: &[u64], threshold: f64) -> Option<f64> {
    let (fewer, more) = (one.len().min(two.len()), one.len().max(two.len()));
    if fewer == 0 || (fewer as f64) < threshold * more as f64 {
        return None;
    }
    let both = one.len() + two.len();
    // In common they have at least so many: rounded down, as the end is exact.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most `both`")]
    let needed = (threshold / (1.0 + threshold) * both as f64 - 1e-6).max(0.0) as usize;
    let spare = fewer.saturating_sub(needed);
    let (mut ones, mut twos) = (one.iter(), two.iter());
    let (mut a, mut b) = (ones.next(), twos.next());
    let (mut common, mut only) = (0usize, [0usize; 2]);
    while let (Some(left), Some(right)) = (a, b) {
        match left.cmp(right) {
            std::cmp::Ordering::Equal => {
                common += 1;
                (a, b) = (ones.next(), twos.next());
            }
            std::cmp::Ordering::Less => {
                only[0] += 1;
                a = ones.next();
            }
            std::cmp::Ordering::Greater => {
                only[1] += 1;
                b = twos.next();
            }
        }
        let missed = if one.len() <= two.len() { only[0] } else { only[1] };
        if missed > spare {
            return None;
        }
    }
    let similarity = common as f64 / (both - common) as f64;
    (similarity >= threshold).then_some(similarity)
}

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        // The table takes its places from both ends of a hash.
        self.0 = hash ^ (hash >> 32);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn similarities_are_those_of_sets(
            one in prop::collection::btree_set(0u64..60, 0..40),
            two in prop::collection::btree_set(0u64..60, 0..40),
            threshold in 0.05f64..0.95,
        ) {
            let (common, all) = (one.intersection(&two).count(), one.union(&two).count());
            let exact = common as f64 / all.max(1) as f64;
            let list = |set: &BTreeSet<u64>| set.iter().copied().collect::<Vec<_>>();
            let found = jaccard(&list(&one), &list(&two), threshold);
            prop_assert_eq!(found, (exact >= threshold && common > 0).then_some(exact));
        }

        /// Whatever is found is similar, is found once, and a copy is always found.
        #[test]
        fn what_is_found_is_similar(
            texts in prop::collection::vec(prop::collection::vec("[a-d]", 0..12), 1..30),
        ) {
            let options = Options { shingle: 2, threshold: 0.5, permutations: 64 };
            let mut index = Index::new(options).unwrap();
            let mut sketches: Vec<Sketch> = Vec::new();
            for text in &texts {
                let sketch = index.sketcher().sketch(text.iter().map(String::as_str));
                let found = index.matches(&sketch);
                let mut documents: Vec<usize> = found.iter().map(|found| found.document).collect();
                for Match { document, similarity } in &found {
                    prop_assert_eq!(sketch.similarity(&sketches[*document], 0.5), Some(*similarity));
                }
                let copy = sketches.iter().position(|other| !sketch.is_empty() && *other == sketch);
                prop_assert!(copy.is_none_or(|copy| documents.contains(&copy)));
                prop_assert_eq!(index.nearest(&sketch), found.first().copied());
                documents.sort_unstable();
                documents.dedup();
                prop_assert_eq!(documents.len(), found.len());
                index.insert(&sketch);
                sketches.push(sketch);
            }
            prop_assert_eq!(index.len(), texts.len());
        }
    }

    #[test]
    fn documents_without_words_are_like_nothing() {
        let mut index = Index::new(Options::default()).unwrap();
        let empty = index.sketcher().sketch([]);
        index.insert(&empty);
        assert!(index.nearest(&empty).is_none() && empty.is_empty());
        let short = index.sketcher().sketch(["two", "words"]);
        index.insert(&short);
        let again = index.sketcher().sketch(["Two", "WORDS"]);
        assert_eq!(index.nearest(&again).map(|found| found.document), Some(1));
        assert_eq!(index.len(), 2);
    }

    #[test]
    fn pairs_at_the_threshold_are_found_as_often_as_promised() {
        // 100 shingles of one word in each, 89 of them in common: a similarity of 0.8018.
        let mut found = 0;
        let rounds = 400;
        let mut index = Index::new(Options { shingle: 1, ..Options::default() }).unwrap();
        for round in 0..rounds {
            let words = |side: &str| -> Vec<String> {
                let own = (0..11).map(|at| format!("{side}{round}x{at}"));
                (0..89).map(|at| format!("w{round}x{at}")).chain(own).collect()
            };
            let (one, two) = (words("a"), words("b"));
            let sketch = index.sketcher().sketch(one.iter().map(String::as_str));
            index.insert(&sketch);
            let sketch = index.sketcher().sketch(two.iter().map(String::as_str));
            found += usize::from(index.nearest(&sketch).is_some());
        }
        assert!(found as f64 > 0.96 * f64::from(rounds), "{found} of {rounds}");
    }
}
