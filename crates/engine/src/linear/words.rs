//! The words of a text: cut, lower-cased and hashed in one pass.

use std::{hint::select_unpredictable, sync::LazyLock};

// FNV-1a, 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/): good enough with the finish
// of features, and simple enough to stay the same for ever. The values are stored in models.
pub(super) const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

pub(super) fn hash_bytes(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(seed, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
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

pub(super) fn is_word(character: char) -> bool {
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
pub(super) fn scan_words<'a>(text: &str, lowercase: bool, room: &'a mut Vec<u64>) -> &'a [u64] {
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
