use std::{hint::select_unpredictable, sync::LazyLock};

use mesh_core::manifest::Features;

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

// FNV-1a, 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/): good enough with the finish
// below, and simple enough to stay the same for ever. The values are stored in models.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
const CHAR_SEED: u64 = 0x9ae1_6a3b_2f90_404f;
const JOIN: u64 = 0x9e37_79b9_7f4a_7c15;

fn hash_bytes(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(seed, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

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

/// What a byte of ASCII is in a word: itself, or in lower case; 0 if it is in none.
const fn word_bytes(lowercase: bool) -> [u8; 128] {
    let mut bytes = [0; 128];
    let mut byte = 0u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            #[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
            {
                bytes[byte as usize] = if lowercase { byte.to_ascii_lowercase() } else { byte };
            }
        }
        byte += 1;
    }
    bytes
}

const ASCII: [u8; 128] = word_bytes(false);
const ASCII_LOWERED: [u8; 128] = word_bytes(true);

/// What a character of the first 65,536 is in a word, in lower case: another one of these, or one of
/// the two below. Looking characters up in the tables of Unicode takes several times as long as all
/// else that is done with a text.
static LOWERED: LazyLock<Box<[u16]>> = LazyLock::new(|| {
    let word = |code: u16| {
        let Some(character) = char::from_u32(u32::from(code)) else { return NO_WORD };
        let mut lowered = character.to_lowercase();
        match (lowered.next(), lowered.next()) {
            (Some(only), None) if is_word(only) => {
                u16::try_from(u32::from(only)).ok().filter(|code| *code != NO_WORD).unwrap_or(RARE)
            }
            (Some(_), None) => NO_WORD,
            _ => RARE,
        }
    };
    (0..=u16::MAX).map(word).collect()
});
/// What is in no word.
const NO_WORD: u16 = 0;
/// What is looked up each time. It is no character.
const RARE: u16 = 0xffff;

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// A hash with one more character, as its bytes in UTF-8.
#[inline]
fn hash_code(hash: u64, code: u16) -> u64 {
    let add = |hash: u64, byte: u16| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
    let tail = |shift: u32| (code >> shift) & 0x3f | 0x80;
    match code {
        0..0x80 => add(hash, code),
        0x80..0x800 => add(add(hash, code >> 6 | 0xc0), tail(0)),
        _ => add(add(add(hash, code >> 12 | 0xe0), tail(6)), tail(0)),
    }
}

/// The code of the first character of some UTF-8, if it has two bytes or three, and what comes after
/// it.
#[inline]
fn split_code(text: &[u8]) -> Option<(u16, &[u8])> {
    let low = |byte: &u8| u16::from(byte & 0x3f);
    match text {
        [a @ 0xc0..0xe0, b, rest @ ..] => Some((u16::from(a & 0x1f) << 6 | low(b), rest)),
        [a @ 0xe0..0xf0, b, c, rest @ ..] => {
            Some((u16::from(a & 0xf) << 12 | low(b) << 6 | low(c), rest))
        }
        _ => None,
    }
}

/// What is known of the words of a text, as far as it was read.
#[derive(Clone, Copy)]
struct Words {
    count: usize,
    /// Of the word that is being read.
    hash: u64,
    length: u32,
}

/// A text that is being cut into words.
struct Scan<'a> {
    rest: &'a str,
    hashes: &'a mut [u64],
    words: Words,
}

impl Words {
    const NONE: Self = Self { count: 0, hash: FNV_OFFSET, length: 0 };

    /// One more character, whose bytes make a hash another; or the end of a word, if it is in none.
    ///
    /// Where a word ends cannot be guessed: there is no branch on it.
    #[inline(always)]
    fn add(self, inside: bool, hash: u64, hashes: &mut [u64]) -> Self {
        if let Some(place) = hashes.get_mut(self.count) {
            *place = self.hash;
        }
        Self {
            count: self.count + usize::from(!inside & (self.length >= 2)),
            hash: select_unpredictable(inside, hash, FNV_OFFSET),
            length: select_unpredictable(inside, self.length + 1, 0),
        }
    }

    /// One more character of ASCII, as [`word_bytes`] has it.
    #[inline(always)]
    fn add_ascii(self, known: u8, hashes: &mut [u64]) -> Self {
        let hash = (self.hash ^ u64::from(known)).wrapping_mul(FNV_PRIME);
        self.add(known != 0, hash, hashes)
    }
}

impl<'a> Scan<'a> {
    /// The room for the hashes of the words of so many bytes: a word takes three at least, with what
    /// parts it from the next, and one that is being read has its place too.
    const fn room(bytes: usize) -> usize {
        bytes / 3 + 2
    }

    const fn new(text: &'a str, hashes: &'a mut [u64]) -> Self {
        Self { rest: text, hashes, words: Words::NONE }
    }

    /// Reads what begins with characters of ASCII, of this text and of another.
    ///
    /// The hash of a word waits for each of its characters in turn: reading two texts takes hardly
    /// longer than one.
    #[inline]
    fn ascii(&mut self, other: &mut Self, known: &[u8; 128]) {
        let (mut one, mut two) = (self.words, other.words);
        let mut read = 0;
        for (first, second) in self.rest.bytes().zip(other.rest.bytes()) {
            let (first, second) = (known.get(usize::from(first)), known.get(usize::from(second)));
            let (Some(first), Some(second)) = (first, second) else { break };
            one = one.add_ascii(*first, self.hashes);
            two = two.add_ascii(*second, other.hashes);
            read += 1;
        }
        self.rest = self.rest.get(read..).unwrap_or_default();
        other.rest = other.rest.get(read..).unwrap_or_default();
        (self.words, other.words) = (one, two);
    }

    /// Reads characters that are not of ASCII, as far as there are any, or a single one that is.
    fn others(&mut self, known: &[u8; 128], lowered: Option<&[u16]>) {
        let mut words = self.words;
        let mut rest = self.rest.as_bytes();
        if let Some((byte, after)) = rest.split_first()
            && let Some(known) = known.get(usize::from(*byte))
        {
            words = words.add_ascii(*known, self.hashes);
            rest = after;
        }
        if let Some(table) = lowered {
            while let Some((code, after)) = split_code(rest) {
                let word = table.get(usize::from(code)).copied().unwrap_or(RARE);
                if word == RARE {
                    break;
                }
                rest = after;
                words = words.add(word != NO_WORD, hash_code(words.hash, word), self.hashes);
            }
        }
        let read = self.rest.len() - rest.len();
        self.rest = self.rest.get(read..).unwrap_or_default();
        self.words = words;
        if let Some(character) = self.rest.chars().next().filter(|next| !next.is_ascii()) {
            self.rare(character, lowered.is_some());
        }
    }

    #[cold]
    fn rare(&mut self, character: char, lowercase: bool) {
        self.rest = self.rest.get(character.len_utf8()..).unwrap_or_default();
        match lowercase {
            true => character.to_lowercase().for_each(|lowered| self.add(lowered)),
            false => self.add(character),
        }
    }

    fn add(&mut self, character: char) {
        let mut bytes = [0; 4];
        let hash = hash_bytes(self.words.hash, character.encode_utf8(&mut bytes).as_bytes());
        self.words = self.words.add(is_word(character), hash, self.hashes);
    }

    /// How many words there are, at the end.
    fn count(self) -> usize {
        self.words.add(false, FNV_OFFSET, self.hashes).count
    }
}

/// The hashes of the words of a text: cut, lower-cased and hashed in one pass. They are at the start of
/// `room`, which grows as it needs to.
fn scan_words<'a>(text: &str, lowercase: bool, room: &'a mut Vec<u64>) -> &'a [u64] {
    let known = if lowercase { &ASCII_LOWERED } else { &ASCII };
    let lowered = lowercase.then(|| &**LOWERED);
    let (one, two) = halves(text);
    let (start, end) = (Scan::room(one.len()), Scan::room(two.len()));
    if room.len() < start + end {
        room.resize(start + end, 0);
    }
    let (first, second) = room.split_at_mut(start);
    let (mut one, mut two) = (Scan::new(one, first), Scan::new(two, second));
    while !one.rest.is_empty() || !two.rest.is_empty() {
        one.ascii(&mut two, known);
        one.others(known, lowered);
        two.others(known, lowered);
    }
    let (one, two) = (one.count(), two.count());
    room.copy_within(start..start + two, one);
    room.get(..one + two).unwrap_or_default()
}

/// A text in two parts of about one length, between two words.
fn halves(text: &str) -> (&str, &str) {
    let middle = text.len() / 2;
    let space = text.as_bytes().iter().skip(middle).position(|byte| *byte == b' ');
    text.split_at_checked(space.map_or(text.len(), |space| middle + space)).unwrap_or((text, ""))
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
