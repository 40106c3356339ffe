use crate::{
    kernel::shifted_minima,
    permutations::{CHUNK, Chunk},
};

/// The least hash of a document's shingles under each permutation.
pub type Signature = Vec<u32>;

/// Makes signatures.
#[derive(Debug, Clone)]
pub struct MinHasher {
    /// Odd multipliers and offsets of multiply-shift hashing (Dietzfelbinger et al., 1997).
    chunks: Vec<Chunk>,
    permutations: usize,
    shingle: usize,
}

impl MinHasher {
    /// A hasher with this many permutations, for shingles of this many words.
    #[must_use]
    pub fn new(permutations: usize, shingle: usize) -> Self {
        let mut state = 0x5851_f42d_4c95_7f2d;
        let mut chunk = || {
            let mut chunk = Chunk { factors: [0; CHUNK], offsets: [0; CHUNK] };
            for (factor, offset) in chunk.factors.iter_mut().zip(&mut chunk.offsets) {
                (*factor, *offset) = (next(&mut state) | 1, next(&mut state));
            }
            chunk
        };
        let chunks = (0..permutations.div_ceil(CHUNK)).map(|_| chunk()).collect();
        Self { chunks, permutations, shingle: shingle.max(1) }
    }

    /// The signature of a text, whose words are runs of letters and digits. Nothing for a text
    /// without words.
    #[must_use]
    pub fn signature(&self, text: &str) -> Option<Signature> {
        self.signature_of(
            text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()),
        )
    }

    /// The signature of a document given as its words, whose case does not matter. Fewer words
    /// than a shingle are one shingle; nothing for no words, as all empty sets are alike.
    pub fn signature_of<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Option<Signature> {
        let shingles = self.shingles_of(words);
        (!shingles.is_empty()).then(|| self.signature_of_shingles(&shingles))
    }

    /// The hashes of a document's shingles, in their order.
    pub(crate) fn shingles_of<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Vec<u64> {
        let words: Vec<u64> = words.into_iter().map(hash_word).collect();
        let hash = |shingle: &[u64]| {
            let hash = shingle.iter().fold(0u64, |hash, word| {
                (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            });
            hash ^ (hash >> 31)
        };
        if words.is_empty() {
            return Vec::new();
        }
        words.windows(self.shingle.min(words.len())).map(hash).collect()
    }

    /// The signature of the shingles of a document.
    pub(crate) fn signature_of_shingles(&self, shingles: &[u64]) -> Signature {
        let mut signature = shifted_minima(shingles, &self.chunks);
        signature.truncate(self.permutations);
        signature
    }
}

/// The estimated Jaccard similarity of two documents, 0 to 1. With n permutations its standard
/// error is at most `1 / (2 sqrt(n))`.
#[must_use]
pub fn similarity(one: &[u32], two: &[u32]) -> f64 {
    let same = one.iter().zip(two).filter(|(a, b)| a == b).count();
    #[expect(clippy::cast_precision_loss, reason = "a signature has at most 1024 values")]
    let share = same as f64 / one.len().max(1) as f64;
    share
}

fn hash_word(word: &str) -> u64 {
    let add = |hash: u64, c: u32| (hash ^ u64::from(c)).wrapping_mul(0x0000_0100_0000_01b3);
    let start = 0xcbf2_9ce4_8422_2325;
    if word.is_ascii() {
        let bytes = word.bytes().map(|byte| u32::from(byte.to_ascii_lowercase()));
        return bytes.fold(start, add);
    }
    word.chars().flat_map(char::to_lowercase).map(u32::from).fold(start, add)
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut value = *state;
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_estimate_is_near_the_truth(
            shared in prop::collection::btree_set("[a-z]{4,6}", 20..60),
            one in prop::collection::btree_set("[A-M][0-9]{3,5}", 0..30),
            two in prop::collection::btree_set("[N-Z][0-9]{3,5}", 0..30),
        ) {
            let document = |own: &BTreeSet<String>| {
                shared.iter().chain(own).cloned().collect::<Vec<_>>().join(" ")
            };
            let exact = shared.len() as f64 / (shared.len() + one.len() + two.len()) as f64;
            let hasher = MinHasher::new(512, 1);
            let signature = |own| hasher.signature(&document(own)).unwrap();
            let found = similarity(&signature(&one), &signature(&two));
            // Five standard errors.
            prop_assert!((found - exact).abs() < 5.0 * 0.5 / 512f64.sqrt(), "{found} {exact}");
        }
    }

    #[test]
    fn short_texts_have_signatures_and_empty_ones_have_none() {
        let hasher = MinHasher::new(16, 5);
        assert_eq!(hasher.signature("Two words"), hasher.signature("two, WORDS!"));
        assert_ne!(hasher.signature("two words"), hasher.signature("other words"));
        for none in ["", " ", "!?", ":-)"] {
            assert_eq!(hasher.signature(none), None, "{none}");
        }
        let words = hasher.signature_of(["Two", "words"]);
        assert_eq!(words, hasher.signature("two words"));
    }
}
