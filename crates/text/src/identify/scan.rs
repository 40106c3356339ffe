//! From a text to the mean of its rows.

use super::layout::{GROUP, Header, Layout, NO_WORD};
use crate::fasttext::{BEGIN, END, END_OF_LINE, LABEL, fnv1a, fnv1a_step, is_space, join, widen};

/// The parts of a packed model.
pub(super) struct Parts<'a> {
    table: &'a [[u32; 2]],
    starts: &'a [u32],
    text: &'a [u8],
    counts: &'a [u32],
    sums: &'a [f32],
    groups: &'a [u64],
    rows: &'a [f32],
}

/// What one text after the other is computed in.
pub(super) struct Room {
    hidden: Vec<f32>,
    hashes: Vec<u32>,
    word: Vec<u8>,
}

/// Something that rows are added to.
trait Sum {
    fn add(&mut self, row: &[f32]);
}

/// A number that others are divided by.
///
/// Lemire, Kaser and Kurz (2019), Faster remainder by direct computation.
#[derive(Clone, Copy)]
struct Divisor {
    divisor: u32,
    inverse: u64,
}

/// What is looked for in one text.
struct Scan<'a, 'b, S> {
    parts: &'a Parts<'b>,
    header: &'a Header,
    buckets: Divisor,
    sum: S,
    found: u32,
}

/// The dimension of nearly all models of languages: known to the compiler, it is fast.
const USUAL: usize = 16;

impl Room {
    pub(super) fn new(dimension: usize) -> Self {
        Self { hidden: vec![0.0; dimension], hashes: Vec::new(), word: Vec::new() }
    }
}

impl Sum for [f32; USUAL] {
    #[inline]
    fn add(&mut self, row: &[f32]) {
        if let Some(row) = row.first_chunk::<USUAL>() {
            self.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
    }
}

impl Sum for &mut [f32] {
    fn add(&mut self, row: &[f32]) {
        self.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
}

impl Divisor {
    const fn new(divisor: u32) -> Self {
        let inverse = if divisor == 0 { 0 } else { (u64::MAX / divisor as u64).wrapping_add(1) };
        Self { divisor, inverse }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a remainder is less than the divisor")]
    const fn remainder(self, number: u32) -> u32 {
        let low = self.inverse.wrapping_mul(number as u64);
        ((low as u128 * self.divisor as u128) >> 64) as u32
    }
}

impl<'a> Parts<'a> {
    pub(super) fn of(bytes: &'a [u8], layout: &Layout) -> Option<Self> {
        let part = |range: &std::ops::Range<usize>| bytes.get(range.clone());
        Some(Self {
            table: bytemuck::try_cast_slice(part(&layout.table)?).ok()?,
            starts: bytemuck::try_cast_slice(part(&layout.starts)?).ok()?,
            text: part(&layout.text)?,
            counts: bytemuck::try_cast_slice(part(&layout.counts)?).ok()?,
            sums: bytemuck::try_cast_slice(part(&layout.sums)?).ok()?,
            groups: bytemuck::try_cast_slice(part(&layout.groups)?).ok()?,
            rows: bytemuck::try_cast_slice(part(&layout.rows)?).ok()?,
        })
    }

    /// Whether the table has a free place, so that every search ends.
    pub(super) fn are_sound(&self, header: &Header) -> bool {
        let words = self.table.iter().filter(|[_, word]| *word != NO_WORD).count();
        words < self.table.len() && header.dimension > 0
    }

    /// The mean of all rows that a text stands for; nothing if there are none.
    pub(super) fn mean<'r>(
        &self,
        text: &str,
        header: &Header,
        room: &'r mut Room,
    ) -> Option<&'r [f32]> {
        let Room { hidden, hashes, word } = room;
        let buckets = Divisor::new(header.buckets);
        let found = if header.dimension == USUAL {
            let sum = [0.0; USUAL];
            let mut scan = Scan { parts: self, header, buckets, sum, found: 0 };
            scan.text(text, hashes, word);
            hidden.copy_from_slice(&scan.sum);
            scan.found
        } else {
            hidden.fill(0.0);
            let sum = hidden.as_mut_slice();
            let mut scan = Scan { parts: self, header, buckets, sum, found: 0 };
            scan.text(text, hashes, word);
            scan.found
        };
        #[expect(clippy::cast_precision_loss, reason = "a count of features")]
        let scale = 1.0 / found as f32;
        hidden.iter_mut().for_each(|value| *value *= scale);
        (found > 0).then_some(hidden.as_slice())
    }

    /// The number of a word of the vocabulary.
    #[inline]
    fn find(&self, word: &[u8], hash: u32) -> Option<usize> {
        let mask = self.table.len() - 1;
        let mut place = hash as usize & mask;
        loop {
            let [other, number] = *self.table.get(place)?;
            if number == NO_WORD {
                return None;
            }
            if other == hash && self.word(number as usize) == Some(word) {
                return Some(number as usize);
            }
            place = (place + 1) & mask;
        }
    }

    fn word(&self, number: usize) -> Option<&[u8]> {
        let start = *self.starts.get(number)? as usize;
        self.text.get(start..*self.starts.get(number + 1)? as usize)
    }

    /// The row of a bucket, by its place.
    #[inline]
    fn row(&self, bucket: u32) -> Option<usize> {
        let group = *self.groups.get((bucket / GROUP) as usize)?;
        let bit = 1u64 << (bucket % GROUP);
        if group & bit == 0 {
            return None;
        }
        Some((group >> GROUP) as usize + (group & (bit - 1)).count_ones() as usize)
    }
}

impl<S: Sum> Scan<'_, '_, S> {
    fn text(&mut self, text: &str, hashes: &mut Vec<u32>, room: &mut Vec<u8>) {
        hashes.clear();
        let words = text.as_bytes().split(|byte| is_space(*byte)).filter(|word| !word.is_empty());
        for word in words.take_while(|word| *word != END_OF_LINE).chain([END_OF_LINE]) {
            if word.starts_with(LABEL) {
                continue;
            }
            let hash = fnv1a(word);
            if let Some(known) = self.parts.find(word, hash) {
                let sum = self.parts.sums.get(known * self.header.dimension..);
                self.sum.add(sum.unwrap_or_default());
                let more = self.parts.counts.get(known).copied().unwrap_or(0);
                self.found = self.found.saturating_add(more);
            } else if word != END_OF_LINE {
                room.clear();
                for part in [BEGIN, word, END] {
                    room.extend_from_slice(part);
                }
                self.subwords(room);
            }
            if self.header.word_ngrams > 1 {
                hashes.push(hash);
            }
        }
        self.word_ngrams(hashes);
    }

    /// Adds the rows of a word's runs of characters.
    fn subwords(&mut self, word: &[u8]) {
        let (shortest, longest) = self.header.characters;
        for start in 0..word.len() {
            let rest = word.get(start..).unwrap_or_default();
            if rest.first().is_none_or(|byte| is_inside(*byte)) {
                continue;
            }
            let (mut hash, mut length) = (fnv1a(&[]), 0);
            let mut bytes = rest.iter().copied().peekable();
            while let Some(byte) = bytes.next() {
                hash = fnv1a_step(hash, byte);
                if bytes.peek().is_some_and(|next| is_inside(*next)) {
                    continue;
                }
                length += 1;
                if length > longest {
                    break;
                }
                let lone = length == 1 && (start == 0 || bytes.peek().is_none());
                if length >= shortest && !lone {
                    self.bucket(self.buckets.remainder(hash));
                }
                if length == longest {
                    break;
                }
            }
        }
    }

    fn word_ngrams(&mut self, hashes: &[u32]) {
        if self.header.word_ngrams < 2 || self.header.buckets == 0 {
            return;
        }
        for (at, first) in hashes.iter().enumerate() {
            let mut hash = widen(*first);
            for next in hashes.iter().skip(at + 1).take(self.header.word_ngrams - 1) {
                hash = join(hash, *next);
                let bucket = hash % u64::from(self.header.buckets);
                self.bucket(u32::try_from(bucket).unwrap_or(u32::MAX));
            }
        }
    }

    /// Adds the row of a bucket, if it has one.
    #[inline]
    fn bucket(&mut self, bucket: u32) {
        if let Some(row) = self.parts.row(bucket) {
            let row = self.parts.rows.get(row * self.header.dimension..);
            self.sum.add(row.unwrap_or_default());
            // What a file says of a word may be close to the most.
            self.found = self.found.saturating_add(1);
        }
    }
}

/// Whether a byte goes on with a character, by UTF-8.
#[inline]
const fn is_inside(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn remainders_are_those_of_division(number: u32, divisor in 1u32..) {
            prop_assert_eq!(Divisor::new(divisor).remainder(number), number % divisor);
        }
    }
}
