use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    Options, OptionsError, Words,
    bands::bands,
    kernel::{Hasher, minima},
    permutations::chunks,
};

/// Signatures as the Python package `datasketch` 1 makes them with its seed 1, bit by bit, and
/// the keys of their bands as its storage has them.
///
/// A shingle is hashed by the first four bytes of its SHA-1, the permutations are those of numpy's
/// `RandomState(1)`, and a signature is cut into the bands whose false positives and negatives
/// around the threshold are the least together.
///
/// ```
/// use mesh_minhash::{Datasketch, Options, Words};
///
/// let options = Options { shingle: 5, threshold: 0.6, permutations: 128 };
/// let words: Words = "call functions to generate hash signatures for each article"
///     .split(' ')
///     .collect();
/// let keys = Datasketch::new(options)?.keys(&words).unwrap_or_default();
/// assert_eq!(keys.len(), 18);
/// assert!(keys[0].starts_with("AAAAAHoQC+YAAAAACA8jAgAAAAAVKX9Q"));
/// # Ok::<(), mesh_minhash::OptionsError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Datasketch {
    options: Options,
    bands: (usize, usize),
}

impl Datasketch {
    /// What makes signatures by some options.
    ///
    /// # Errors
    /// Which option cannot be, and what it can be.
    pub fn new(options: Options) -> Result<Self, OptionsError> {
        let options = options.checked()?;
        Ok(Self { options, bands: bands(options.threshold, options.permutations) })
    }

    /// How many bands a signature is cut into, and of how many values each.
    #[must_use]
    pub const fn bands(&self) -> (usize, usize) {
        self.bands
    }

    /// The signature of a document; nothing if it has fewer words than a shingle.
    #[must_use]
    pub fn signature(&self, words: &Words) -> Option<Vec<u32>> {
        if words.len() < self.options.shingle {
            return None;
        }
        let mut hasher = Hasher::new(words.len());
        for shingle in words.shingles(self.options.shingle) {
            hasher.push(shingle.as_bytes());
        }
        let mut signature = minima(&hasher.finish(), chunks(self.options.permutations));
        signature.truncate(self.options.permutations);
        Some(signature)
    }

    /// The keys of a document's bands: each the base64 of its values, as big-endian numbers of 64
    /// bits. Nothing if the document has fewer words than a shingle.
    #[must_use]
    pub fn keys(&self, words: &Words) -> Option<Vec<String>> {
        let (bands, rows) = self.bands;
        let signature = self.signature(words)?;
        let key = |band: &[u32]| {
            let bytes: Vec<u8> =
                band.iter().flat_map(|value| u64::from(*value).to_be_bytes()).collect();
            STANDARD.encode(bytes)
        };
        Some(signature.chunks_exact(rows.max(1)).take(bands).map(key).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "call functions to generate hash signatures for each article";

    #[test]
    fn the_known_answer() {
        let options = Options { shingle: 5, threshold: 0.6, permutations: 128 };
        let keys = Datasketch::new(options).unwrap().keys(&TEXT.split(' ').collect()).unwrap();
        assert_eq!(keys.len(), 18);
        let first = "AAAAAHoQC+YAAAAACA8jAgAAAAAVKX9QAAAAAHqyEgMAAAAAIhuY/wAAAAAUT4vZAAAAAErnGNA=";
        let last = "AAAAACLs1yMAAAAACeLl7AAAAAB84gjfAAAAAENRjaAAAAAAFvruLAAAAAAgOb/1AAAAAA1Evss=";
        assert_eq!((keys[0].as_str(), keys[17].as_str()), (first, last));
    }

    #[test]
    fn signatures_of_any_length_begin_alike() {
        let words: Words = TEXT.split(' ').collect();
        let signature = |permutations| {
            let options = Options { permutations, ..Options::default() };
            Datasketch::new(options).unwrap().signature(&words).unwrap()
        };
        let longest = signature(1024);
        for permutations in [2, 31, 32, 33, 128, 1000] {
            assert_eq!(signature(permutations), longest[..permutations], "{permutations}");
        }
    }

    #[test]
    fn fewer_words_than_a_shingle_have_no_signature() {
        let hasher = Datasketch::new(Options::default()).unwrap();
        assert_eq!(hasher.keys(&"one two three four".split(' ').collect()), None);
        assert_eq!(hasher.keys(&Words::default()), None);
        assert!(hasher.keys(&"one two three four five".split(' ').collect()).is_some());
    }

    #[test]
    fn options_that_cannot_be_are_told() {
        let good = Options::default();
        let cases = [
            (Options { shingle: 0, ..good }, "0 words"),
            (Options { shingle: 10_000, ..good }, "10000 words"),
            (Options { permutations: 1, ..good }, "1 permutations"),
            (Options { permutations: 1_000_000, ..good }, "2 to 1024"),
            (Options { threshold: 0.0, ..good }, "threshold of 0 "),
            (Options { threshold: 1.0, ..good }, "between 0 and 1"),
            (Options { threshold: f64::NAN, ..good }, "NaN"),
        ];
        for (options, told) in cases {
            let error = Datasketch::new(options).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
