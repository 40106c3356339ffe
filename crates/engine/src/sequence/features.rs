//! What a token is made into: words, affixes, shapes, and those of its neighbours.

/// Features of one token; a hash of 0 is none.
pub const TOKEN_FEATURES: usize = 36;

/// Turns the tokens of a sentence into features, each known by a hash of 64 bits.
///
/// The features are the usual ones of conditional random fields for names: the word and its
/// neighbours as they are and in lower case, prefixes and suffixes of up to four characters, and
/// shapes (`Xxxx`, `9.9`), alone and in pairs. Two features of one hash are taken for the same.
/// The hashes are stored in models: they stay as they are.
#[derive(Debug, Default)]
pub struct TokenFeatures {
    words: Vec<Word>,
    lower: String,
}

/// What of a word is asked for again and again.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    exact: u64,
    lower: u64,
    prefixes: [u64; 4],
    suffixes: [u64; 4],
    /// The kinds of its characters, runs of one kind as one.
    shape: u64,
    /// The kinds of its characters, up to twelve of them.
    long_shape: u64,
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
/// Characters of a long shape.
const SHAPE: usize = 12;

fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(FNV_OFFSET, |hash, byte| step(hash, *byte))
}

/// A feature of a kind. (The finish of MurmurHash3, 64 bits.)
#[inline]
const fn feature(kind: u64, value: u64) -> u64 {
    let mut hash = value ^ kind.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^= hash >> 33;
    // Nothing is 0 but what is not there.
    if hash == 0 { 1 } else { hash }
}

#[inline]
const fn pair(one: u64, other: u64) -> u64 {
    (one.rotate_left(23) ^ other).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

const fn kind_of(c: char) -> u8 {
    match c {
        'a'..='z' => b'x',
        'A'..='Z' => b'X',
        '0'..='9' => b'9',
        c if c.is_ascii() => c as u8,
        _ => b'o',
    }
}

impl Word {
    fn new(token: &str, lower: &mut String) -> Self {
        lower.clear();
        lower.extend(token.chars().flat_map(char::to_lowercase));
        let mut word = Self {
            exact: hash(token.as_bytes()),
            lower: hash(lower.as_bytes()),
            ..Self::default()
        };
        let ends = lower.char_indices().map(|(at, c)| at + c.len_utf8());
        for (prefix, end) in word.prefixes.iter_mut().zip(ends) {
            *prefix = hash(lower.as_bytes().get(..end).unwrap_or_default());
        }
        let starts = lower.char_indices().rev().map(|(at, _)| at);
        for (suffix, start) in word.suffixes.iter_mut().zip(starts) {
            *suffix = hash(lower.as_bytes().get(start..).unwrap_or_default());
        }
        (word.shape, word.long_shape) = (FNV_OFFSET, FNV_OFFSET);
        let mut last = 0;
        for (at, c) in token.chars().enumerate() {
            let kind = match kind_of(c) {
                b'o' if c.is_uppercase() => b'X',
                b'o' if c.is_alphabetic() => b'x',
                b'o' if c.is_numeric() => b'9',
                kind => kind,
            };
            if at < SHAPE {
                word.long_shape = step(word.long_shape, kind);
            }
            if kind != last {
                word.shape = step(word.shape, kind);
            }
            last = kind;
        }
        word
    }
}

impl TokenFeatures {
    /// Puts the features of the tokens into `features`, [`TOKEN_FEATURES`] for each.
    pub fn hashes(&mut self, tokens: &[&str], features: &mut Vec<u64>) {
        features.clear();
        features.reserve(tokens.len() * TOKEN_FEATURES);
        let Self { words, lower } = self;
        words.clear();
        // Two places before the first token and after the last: words that there are none of.
        let outside = |at: u64| Word { lower: at, shape: at, ..Word::default() };
        words.extend([outside(2), outside(1)]);
        words.extend(tokens.iter().map(|token| Word::new(token, lower)));
        words.extend([outside(3), outside(4)]);
        for window in words.windows(5) {
            if let [before2, before, own, after, after2] = window {
                features.extend(own.features([before2, before, after, after2]));
            }
        }
    }
}

impl Word {
    #[inline]
    fn features(&self, [before2, before, after, after2]: [&Self; 4]) -> impl Iterator<Item = u64> {
        let some = |kind: u64, value: u64| if value == 0 { 0 } else { feature(kind, value) };
        let affixes = |first: u64, values: [u64; 4]| {
            (first..).zip(values).map(move |(kind, value)| some(kind, value))
        };
        let rest = [
            feature(1, 1),
            feature(2, self.exact),
            feature(3, self.lower),
            feature(4, self.shape),
            feature(5, self.long_shape),
            feature(6, before.lower),
            feature(7, after.lower),
            feature(8, before2.lower),
            feature(9, after2.lower),
            feature(10, before.shape),
            feature(11, after.shape),
            feature(12, pair(before.lower, self.lower)),
            feature(13, pair(self.lower, after.lower)),
            feature(14, pair(before.shape, self.shape)),
            feature(15, pair(self.shape, after.shape)),
            feature(16, pair(before.shape, pair(self.shape, after.shape))),
            feature(17, pair(before.lower, after.lower)),
            feature(18, pair(before.lower, self.shape)),
            feature(19, pair(self.shape, after.lower)),
            some(20, before.suffixes[2]),
            some(21, after.suffixes[2]),
            some(22, before.prefixes[2]),
            some(23, after.prefixes[2]),
            feature(24, pair(before2.lower, before.lower)),
            feature(25, pair(after.lower, after2.lower)),
            feature(26, before.exact),
            feature(27, after.exact),
            feature(28, pair(before2.shape, pair(before.shape, pair(self.shape, after.shape)))),
        ];
        rest.into_iter().chain(affixes(40, self.prefixes)).chain(affixes(50, self.suffixes))
    }
}
