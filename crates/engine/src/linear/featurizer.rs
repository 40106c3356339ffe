use std::collections::HashSet;

use mesh_core::manifest::Features;

use super::words::{FNV_OFFSET, hash_bytes, is_word, scan_words};

/// Turns a text into features: runs of words, and runs of characters inside words.
///
/// A word is a run of two or more letters, digits or underscores, as scikit-learn's default
/// token pattern has it. A character n-gram lies inside a run of other characters than white
/// space, whose edges count as a space (scikit-learn's `char_wb`). Each feature is known by a
/// 64-bit hash; two features of one hash are taken for the same.
///
/// Two ways lead to the same hashes: [`Featurizer::named`] builds each feature's text and is
/// there to be right; [`Featurizer::hashes_of`] builds none and is there to be fast.
#[derive(Debug, Clone)]
pub struct Featurizer {
    words: [usize; 2],
    chars: [usize; 2],
    lowercase: bool,
    buckets: u64,
}

/// What features are made of. Those of each kind are weighed against each other only: a text has
/// several times as many runs of characters as it has words, which would drown them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureKind {
    /// Runs of words.
    Words,
    /// Runs of characters inside words.
    Characters,
}

/// Room that [`Featurizer::hashes_of`] uses again and again.
#[derive(Debug, Default)]
pub struct Scratch {
    words: Vec<u64>,
    chars: Vec<char>,
}

/// Longest n-gram that a manifest may ask for.
const MAX_NGRAM: usize = 8;

const CHAR_SEED: u64 = 0x9ae1_6a3b_2f90_404f;
const JOIN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads the bits: the table of a compiled model takes its places from the high ones.
/// (The finalizer of MurmurHash3, 64 bits.)
fn finish(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

fn join(ngram: u64, word: u64) -> u64 {
    (ngram.rotate_left(23) ^ word).wrapping_mul(JOIN)
}

impl Featurizer {
    /// A featurizer with the options of a model: what a manifest leaves out, the train step has
    /// chosen.
    #[must_use]
    pub fn new(options: &Features) -> Self {
        Self {
            words: options.word_ngrams.map(|length| length.min(MAX_NGRAM)),
            chars: options.char_ngrams.unwrap_or_default().map(|length| length.min(MAX_NGRAM)),
            lowercase: options.lowercase,
            buckets: u64::from(options.hash_buckets),
        }
    }

    /// Calls `each` with the hash of every occurrence of a feature, in an order of no meaning.
    pub fn hashes(&self, text: &str, scratch: &mut Scratch, mut each: impl FnMut(u64)) {
        for kind in FeatureKind::ALL {
            self.hashes_of(kind, text, scratch, &mut each);
        }
    }

    /// Calls `each` with the hash of every occurrence of a feature of one kind, in an order of no
    /// meaning.
    pub fn hashes_of(
        &self,
        kind: FeatureKind,
        text: &str,
        scratch: &mut Scratch,
        mut each: impl FnMut(u64),
    ) {
        let Scratch { words, chars } = scratch;
        let mut each = |hash: u64| each(self.place(finish(hash)));
        match kind {
            FeatureKind::Words if self.words[1] > 0 => {
                let words = scan_words(text, self.lowercase, words);
                word_ngrams(words, self.words, &mut each);
            }
            FeatureKind::Characters if self.chars[1] > 0 => {
                for token in text.split_whitespace() {
                    chars.clear();
                    chars.push(' ');
                    match self.lowercase {
                        true => chars.extend(token.chars().flat_map(char::to_lowercase)),
                        false => chars.extend(token.chars()),
                    }
                    chars.push(' ');
                    char_ngrams(chars, self.chars, &mut each);
                }
            }
            FeatureKind::Words | FeatureKind::Characters => {}
        }
    }

    /// The words of a text, for [`Featurizer::singles`] and [`Featurizer::known_runs`].
    pub(super) fn words<'a>(&self, text: &str, scratch: &'a mut Scratch) -> &'a [u64] {
        scan_words(text, self.lowercase, &mut scratch.words)
    }

    /// The hashes of words as features of their own.
    pub(super) fn singles(words: &[u64], hashes: &mut Vec<u64>) {
        hashes.clear();
        hashes.extend(words.iter().map(|word| finish(*word)));
    }

    /// The hashes of those runs of two words and more of which all words are known.
    ///
    /// Whether a word is known cannot be guessed: there is no branch on it.
    pub(super) fn known_runs(&self, words: &[u64], known: &[bool], hashes: &mut Vec<u64>) {
        let longest = self.words[1];
        let most = words.len() * longest.saturating_sub(1);
        hashes.clear();
        hashes.resize(most + 1, 0);
        let mut count = 0;
        for start in 0..words.len() {
            let mut run = words.iter().zip(known).skip(start).take(longest);
            let Some((mut hash, mut all)) = run.next().map(|(word, known)| (*word, *known)) else {
                break;
            };
            for (word, known) in run {
                (hash, all) = (join(hash, *word), all & known);
                if let Some(place) = hashes.get_mut(count) {
                    *place = hash;
                }
                count += usize::from(all);
            }
        }
        hashes.truncate(count);
        hashes.iter_mut().for_each(|hash| *hash = finish(*hash));
    }

    /// Calls `each` with the hash and the text of every occurrence of a feature. The text is
    /// `w`, a tab and the words, or `c`, a tab and the characters; never a line break.
    pub fn named(&self, text: &str, each: &mut dyn FnMut(u64, &str)) {
        let text = match self.lowercase {
            true => text.chars().flat_map(char::to_lowercase).collect(),
            false => text.to_owned(),
        };
        let mut words = Vec::new();
        split_words(&text, |word| words.push(word.to_owned()));
        for end in 1..=words.len() {
            for length in self.words[0].max(1)..=self.words[1].min(end) {
                let run = words.get(end - length..end).unwrap_or_default();
                self.tell('w', &run.join(" "), each);
            }
        }
        for token in text.split_whitespace() {
            let padded: Vec<char> = format!(" {token} ").chars().collect();
            for length in self.chars[0].max(1)..=self.chars[1] {
                for run in padded.windows(length) {
                    self.tell('c', &run.iter().collect::<String>(), each);
                }
            }
        }
    }

    /// The hash of a feature by its text, as [`Featurizer::named`] gives it.
    #[must_use]
    pub fn hash_of(&self, name: &str) -> Option<u64> {
        let (kind, text) = name.split_once('\t')?;
        let hash = match kind {
            "w" => {
                let mut hashes =
                    text.split(' ').map(|word| hash_bytes(FNV_OFFSET, word.as_bytes()));
                let first = hashes.next()?;
                hashes.fold(first, join)
            }
            "c" => hash_bytes(CHAR_SEED, text.as_bytes()),
            _ => return None,
        };
        Some(self.place(finish(hash)))
    }

    fn tell(&self, kind: char, text: &str, each: &mut dyn FnMut(u64, &str)) {
        let name = format!("{kind}\t{text}");
        if let Some(hash) = self.hash_of(&name) {
            each(hash, &name);
        }
    }

    /// Whether all words of each run of words are features too, so that a run needs to be looked for
    /// only where its words are known. `names` are the texts of all features.
    pub(super) fn has_words_of_runs<'a>(
        &self,
        names: impl Iterator<Item = &'a str> + Clone,
    ) -> bool {
        let runs = names.filter_map(|name| name.strip_prefix("w\t"));
        let words: HashSet<&str> = runs.clone().filter(|run| !run.contains(' ')).collect();
        self.buckets == 0
            && self.words[0] == 1
            && self.words[1] > 1
            && runs.flat_map(|run| run.split(' ')).all(|word| words.contains(word))
    }

    /// With hashing, features share buckets: the bucket stands for the hash.
    fn place(&self, hash: u64) -> u64 {
        if self.buckets == 0 { hash } else { finish(hash & (self.buckets - 1)) }
    }
}

impl FeatureKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Words, Self::Characters];

    /// The kind of a feature by its text, as [`Featurizer::named`] gives it.
    pub(super) fn of(name: &str) -> Self {
        if name.starts_with("c\t") { Self::Characters } else { Self::Words }
    }
}

fn split_words(text: &str, mut each: impl FnMut(&str)) {
    for word in text.split(|c| !is_word(c)) {
        let mut characters = word.chars();
        if characters.next().is_some() && characters.next().is_some() {
            each(word);
        }
    }
}

fn word_ngrams(words: &[u64], [low, high]: [usize; 2], each: &mut impl FnMut(u64)) {
    for start in 0..words.len() {
        let mut hash = 0;
        for (index, word) in words.iter().skip(start).take(high).enumerate() {
            hash = if index == 0 { *word } else { join(hash, *word) };
            if index + 1 >= low {
                each(hash);
            }
        }
    }
}

fn char_ngrams(chars: &[char], [low, high]: [usize; 2], each: &mut impl FnMut(u64)) {
    for start in 0..chars.len() {
        let mut hash = CHAR_SEED;
        for (index, character) in chars.iter().skip(start).take(high).enumerate() {
            let mut bytes = [0; 4];
            hash = hash_bytes(hash, character.encode_utf8(&mut bytes).as_bytes());
            if index + 1 >= low {
                each(hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn both(options: &Features, text: &str) -> (Vec<u64>, Vec<u64>) {
        let featurizer = Featurizer::new(options);
        let (mut fast, mut plain) = (Vec::new(), Vec::new());
        featurizer.hashes(text, &mut Scratch::default(), |hash| fast.push(hash));
        featurizer.named(text, &mut |hash, name| {
            assert!(!name.contains('\n'), "{name:?}");
            plain.push(hash);
        });
        fast.sort_unstable();
        plain.sort_unstable();
        (fast, plain)
    }

    proptest! {
        #[test]
        fn fast_and_plain_agree(
            text in "\\PC{0,60}",
            words in prop::sample::select(vec![[0, 0], [1, 1], [1, 2], [2, 3]]),
            chars in prop::sample::select(vec![[0, 0], [1, 1], [2, 4], [3, 5]]),
            lowercase: bool,
            hash_buckets in prop::sample::select(vec![0u32, 16, 1 << 20]),
        ) {
            let options = Features {
                word_ngrams: words, char_ngrams: Some(chars), lowercase, hash_buckets,
                ..Features::default()
            };
            let (fast, plain) = both(&options, &text);
            prop_assert_eq!(fast, plain);
        }
    }

    proptest! {
        #[test]
        fn runs_are_those_of_which_all_words_are_known(
            text in "([a-c]{1,3} ){0,20}",
            unknown in "[a-c]{2,3}",
            longest in 2usize..4,
        ) {
            let options = Features {
                word_ngrams: [1, longest], char_ngrams: Some([0, 0]), ..Features::default()
            };
            let featurizer = Featurizer::new(&options);
            let (mut scratch, mut found) = (Scratch::default(), Vec::new());
            let words = featurizer.words(&text, &mut scratch).to_vec();
            Featurizer::singles(&words, &mut found);
            let gone = featurizer.hash_of(&format!("w\t{unknown}"));
            let known: Vec<bool> = found.iter().map(|hash| Some(*hash) != gone).collect();
            let mut runs = Vec::new();
            featurizer.known_runs(&words, &known, &mut runs);
            found.retain(|hash| Some(*hash) != gone);
            found.extend(runs);
            let mut plain = Vec::new();
            featurizer.named(&text, &mut |hash, name| {
                if name.split(['\t', ' ']).all(|word| word != unknown) {
                    plain.push(hash);
                }
            });
            found.sort_unstable();
            plain.sort_unstable();
            prop_assert_eq!(found, plain);
        }
    }

    #[test]
    fn a_model_has_the_words_of_its_runs_or_not() {
        let all = ["w\ta1", "w\tb1", "w\ta1 b1", "c\t a1"];
        let has = |words: [usize; 2], hash_buckets: u32, names: &[&str]| {
            let options = Features { word_ngrams: words, hash_buckets, ..Features::default() };
            Featurizer::new(&options).has_words_of_runs(names.iter().copied())
        };
        assert!(has([1, 2], 0, &all));
        assert!(!has([1, 2], 0, &all[1..]), "a word is missing");
        assert!(!has([2, 2], 0, &all) && !has([1, 1], 0, &all) && !has([1, 2], 16, &all));
    }

    #[test]
    fn fast_and_plain_agree_on_every_character() {
        let options = Features { lowercase: true, ..Features::default() };
        for character in '\0'..=char::MAX {
            let (fast, plain) = both(&options, &format!("a{character}b c{character}"));
            assert_eq!(fast, plain, "{character:?}");
        }
    }

    #[test]
    fn hashes_never_change() {
        let featurizer = Featurizer::new(&Features::default());
        // Stored models depend on these values.
        assert_eq!(featurizer.hash_of("w\trates"), Some(0x05c0_c093_9f02_2a66));
        assert_eq!(featurizer.hash_of("c\t ra"), Some(0x521c_22e1_c1e4_229f));
    }
}
