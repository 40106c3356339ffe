use crate::{
    kernel::shifted_minima,
    permutations::{CHUNK, Chunk},
};

/// Makes signatures: the least hash of a document's shingles under each permutation.
#[derive(Debug, Clone)]
pub(crate) struct MinHasher {
    /// Odd multipliers and offsets of multiply-shift hashing (Dietzfelbinger et al., 1997).
    chunks: Vec<Chunk>,
    permutations: usize,
    shingle: usize,
}

impl MinHasher {
    /// A hasher with this many permutations, for shingles of this many words.
    pub(crate) fn new(permutations: usize, shingle: usize) -> Self {
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

    /// The hashes of the shingles, in their order, of a document given as its words, whose case
    /// does not matter. Fewer words than a shingle are one shingle.
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
    pub(crate) fn signature_of_shingles(&self, shingles: &[u64]) -> Vec<u32> {
        let mut signature = shifted_minima(shingles, &self.chunks);
        signature.truncate(self.permutations);
        signature
    }
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
            let exact = shared.len() as f64 / (shared.len() + one.len() + two.len()) as f64;
            let hasher = MinHasher::new(512, 1);
            let signature = |own: &BTreeSet<String>| {
                let words = shared.iter().chain(own).map(String::as_str);
                hasher.signature_of_shingles(&hasher.shingles_of(words))
            };
            let (one, two) = (signature(&one), signature(&two));
            let same = one.iter().zip(&two).filter(|(a, b)| a == b).count();
            let found = same as f64 / 512.0;
            // Five standard errors.
            prop_assert!((found - exact).abs() < 5.0 * 0.5 / 512f64.sqrt(), "{found} {exact}");
        }
    }

    #[test]
    fn short_texts_have_shingles_and_empty_ones_have_none() {
        let hasher = MinHasher::new(16, 5);
        let one = hasher.shingles_of(["Two", "words"]);
        assert_eq!(one.len(), 1);
        assert_eq!(one, hasher.shingles_of(["two", "WORDS"]));
        assert_ne!(one, hasher.shingles_of(["other", "words"]));
        assert!(hasher.shingles_of([]).is_empty());
    }
}
