//! The two loops that take the time, written so that the compiler makes vectors of them; which
//! vectors, is asked when the program runs.

#![expect(clippy::indexing_slicing, reason = "arrays of known size, in loops of known size")]

use pulp::{Arch, NullaryFnOnce};

use crate::permutations::{CHUNK, Chunk};

/// Messages whose digests are made together.
pub(crate) const LANES: usize = 16;
/// The longest message that is one block with its end: a bit that is set, and its length.
const ONE_BLOCK: usize = 55;
const BLOCK: usize = 64;

/// One word of each message, its bytes in the message's order.
type Words = [u32; LANES];

const START: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// Takes shingles, and gives the first four bytes of their SHA-1 as little-endian numbers, in any
/// order.
pub(crate) struct Hasher<'a> {
    arch: Arch,
    /// Shingles that wait for their lanes to be full: those of one block apart from the others.
    short: [&'a [u8]; LANES],
    long: [&'a [u8]; LANES],
    waiting: [usize; 2],
    hashes: Vec<u32>,
}

impl<'a> Hasher<'a> {
    pub(crate) fn new(expected: usize) -> Self {
        Self {
            arch: Arch::new(),
            short: [&[]; LANES],
            long: [&[]; LANES],
            waiting: [0; 2],
            hashes: Vec::with_capacity(expected),
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, shingle: &'a [u8]) {
        let long = shingle.len() > ONE_BLOCK;
        let queue = if long { &mut self.long } else { &mut self.short };
        let count = &mut self.waiting[usize::from(long)];
        queue[*count] = shingle;
        *count += 1;
        if *count == LANES {
            *count = 0;
            self.arch.dispatch(Digest { messages: queue, hashes: &mut self.hashes });
        }
    }

    pub(crate) fn finish(mut self) -> Vec<u32> {
        let [short, long] = self.waiting;
        for messages in [&self.short[..short], &self.long[..long]] {
            self.arch.dispatch(Digest { messages, hashes: &mut self.hashes });
        }
        self.hashes
    }
}

/// At most `LANES` messages, and where what their digests begin with is appended.
struct Digest<'m, 'a> {
    messages: &'m [&'a [u8]],
    hashes: &'m mut Vec<u32>,
}

impl NullaryFnOnce for Digest<'_, '_> {
    type Output = ();

    // A closure of this size is not made part of the function that knows the vectors.
    #[inline(always)]
    fn call(self) {
        let blocks = |message: &[u8]| (message.len() + 8) / BLOCK + 1;
        let most = self.messages.iter().map(|message| blocks(message)).max().unwrap_or(0);
        let mut state = START.map(|word| [word; LANES]);
        let mut words = [[0; LANES]; 16];
        for block in 0..most {
            for (lane, message) in self.messages.iter().enumerate() {
                if block < blocks(message) {
                    let bytes = block_of(message, block);
                    for (at, word) in bytes.as_chunks::<4>().0.iter().enumerate() {
                        words[at][lane] = u32::from_ne_bytes(*word);
                    }
                }
            }
            compress(&mut state, &words);
            for (lane, message) in self.messages.iter().enumerate() {
                if block + 1 == blocks(message) {
                    self.hashes.push(state[0][lane].swap_bytes());
                }
            }
        }
    }
}

/// A block of a message, with what of its end is in it.
#[inline]
fn block_of(message: &[u8], block: usize) -> [u8; BLOCK] {
    let mut bytes = [0; BLOCK];
    let start = block * BLOCK;
    let rest = message.get(start..).unwrap_or_default();
    let held = rest.len().min(BLOCK);
    bytes[..held].copy_from_slice(&rest[..held]);
    if held < BLOCK && start <= message.len() {
        bytes[held] = 0x80;
    }
    if rest.len() <= ONE_BLOCK {
        let bits = message.len() as u64 * 8;
        bytes[BLOCK - 8..].copy_from_slice(&bits.to_be_bytes());
    }
    bytes
}

/// One block of SHA-1 (FIPS 180-4) for each lane.
#[inline(always)]
fn compress(state: &mut [Words; 5], words: &[Words; 16]) {
    let [sa, sb, sc, sd, se] = state;
    for lane in 0..LANES {
        let (mut a, mut b, mut c, mut d, mut e) =
            (sa[lane], sb[lane], sc[lane], sd[lane], se[lane]);
        let choice = |b: u32, c: u32, d: u32| (b & c) | (!b & d);
        let parity = |b: u32, c: u32, d: u32| b ^ c ^ d;
        let majority = |b: u32, c: u32, d: u32| (b & c) | (b & d) | (c & d);
        macro_rules! load {
            ($($word:ident $at:literal),*) => { $(let mut $word = u32::from_be(words[$at][lane]);)* };
        }
        macro_rules! round {
            ($function:ident, $constant:literal, $word:ident) => {
                let next = a
                    .rotate_left(5)
                    .wrapping_add($function(b, c, d))
                    .wrapping_add(e)
                    .wrapping_add($constant)
                    .wrapping_add($word);
                (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
            };
        }
        macro_rules! given {
            ($function:ident, $constant:literal: $($word:ident)*) => {
                $(round!($function, $constant, $word);)*
            };
        }
        // Each word gives way to one of its own and three others.
        macro_rules! made {
            ($function:ident, $constant:literal: $($word:ident $b:ident $c:ident $d:ident),*) => {
                $(
                    $word = ($word ^ $b ^ $c ^ $d).rotate_left(1);
                    round!($function, $constant, $word);
                )*
            };
        }
        load!(
            w0 0, w1 1, w2 2, w3 3, w4 4, w5 5, w6 6, w7 7, w8 8, w9 9, w10 10, w11 11, w12 12,
            w13 13, w14 14, w15 15
        );
        given!(choice, 0x5a82_7999: w0 w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 w13 w14 w15);
        made!(choice, 0x5a82_7999: w0 w13 w8 w2, w1 w14 w9 w3, w2 w15 w10 w4, w3 w0 w11 w5);
        made!(
            parity, 0x6ed9_eba1:
            w4 w1 w12 w6, w5 w2 w13 w7, w6 w3 w14 w8, w7 w4 w15 w9, w8 w5 w0 w10, w9 w6 w1 w11,
            w10 w7 w2 w12, w11 w8 w3 w13, w12 w9 w4 w14, w13 w10 w5 w15, w14 w11 w6 w0,
            w15 w12 w7 w1, w0 w13 w8 w2, w1 w14 w9 w3, w2 w15 w10 w4, w3 w0 w11 w5, w4 w1 w12 w6,
            w5 w2 w13 w7, w6 w3 w14 w8, w7 w4 w15 w9
        );
        made!(
            majority, 0x8f1b_bcdc:
            w8 w5 w0 w10, w9 w6 w1 w11, w10 w7 w2 w12, w11 w8 w3 w13, w12 w9 w4 w14,
            w13 w10 w5 w15, w14 w11 w6 w0, w15 w12 w7 w1, w0 w13 w8 w2, w1 w14 w9 w3,
            w2 w15 w10 w4, w3 w0 w11 w5, w4 w1 w12 w6, w5 w2 w13 w7, w6 w3 w14 w8, w7 w4 w15 w9,
            w8 w5 w0 w10, w9 w6 w1 w11, w10 w7 w2 w12, w11 w8 w3 w13
        );
        made!(
            parity, 0xca62_c1d6:
            w12 w9 w4 w14, w13 w10 w5 w15, w14 w11 w6 w0, w15 w12 w7 w1, w0 w13 w8 w2,
            w1 w14 w9 w3, w2 w15 w10 w4, w3 w0 w11 w5, w4 w1 w12 w6, w5 w2 w13 w7, w6 w3 w14 w8,
            w7 w4 w15 w9, w8 w5 w0 w10, w9 w6 w1 w11, w10 w7 w2 w12, w11 w8 w3 w13,
            w12 w9 w4 w14, w13 w10 w5 w15, w14 w11 w6 w0, w15 w12 w7 w1
        );
        sa[lane] = sa[lane].wrapping_add(a);
        sb[lane] = sb[lane].wrapping_add(b);
        sc[lane] = sc[lane].wrapping_add(c);
        sd[lane] = sd[lane].wrapping_add(d);
        se[lane] = se[lane].wrapping_add(e);
    }
}

/// The least value of some hashes under each permutation of each chunk, one chunk after another.
pub(crate) fn minima(hashes: &[u32], chunks: &[Chunk]) -> Vec<u32> {
    let mut all = Vec::with_capacity(chunks.len() * CHUNK);
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for chunk in chunks {
                all.extend_from_slice(&minima_of(hashes, chunk));
            }
        },
    );
    all
}

#[inline(always)]
fn minima_of(hashes: &[u32], chunk: &Chunk) -> [u32; CHUNK] {
    let mut least = [u32::MAX; CHUNK];
    let (factors, offsets) = (&chunk.factors, &chunk.offsets);
    for hash in hashes {
        let hash = u64::from(*hash);
        for at in 0..CHUNK {
            let value = factors[at].wrapping_mul(hash).wrapping_add(offsets[at]);
            // Modulo 2^61 - 1, of which the lower half is kept: a test of the permutations shows
            // that the prime never has to be taken off once more.
            #[expect(clippy::cast_possible_truncation, reason = "the lower half is kept")]
            let value = value.wrapping_add(value >> 61) as u32;
            least[at] = least[at].min(value);
        }
    }
    least
}

/// The least value of some hashes under multiply-shift hashing with each factor and offset.
pub(crate) fn shifted_minima(hashes: &[u64], permutations: &[Chunk]) -> Vec<u32> {
    let mut all = Vec::with_capacity(permutations.len() * CHUNK);
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for chunk in permutations {
                let (factors, offsets) = (&chunk.factors, &chunk.offsets);
                let mut least = [u32::MAX; CHUNK];
                for hash in hashes {
                    for at in 0..CHUNK {
                        let value = factors[at].wrapping_mul(*hash).wrapping_add(offsets[at]);
                        least[at] = least[at].min((value >> 32) as u32);
                    }
                }
                all.extend_from_slice(&least);
            }
        },
    );
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha1::{Digest, Sha1};

    use super::*;
    use crate::permutations::{PRIME, chunks};

    proptest! {
        #[test]
        fn hashes_are_those_of_sha_1(messages in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..80),
                prop::collection::vec(any::<u8>(), 110..140),
                prop::collection::vec(any::<u8>(), 0..700),
            ],
            0..70,
        )) {
            let mut hasher = Hasher::new(messages.len());
            messages.iter().for_each(|message| hasher.push(message));
            let mut found = hasher.finish();
            let plain = |message: &Vec<u8>| {
                u32::from_le_bytes(*Sha1::digest(message).first_chunk::<4>().unwrap())
            };
            let mut expected: Vec<u32> = messages.iter().map(plain).collect();
            found.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn minima_are_those_of_plain_arithmetic(
            hashes in prop::collection::vec(any::<u32>(), 0..40),
        ) {
            let found = minima(&hashes, chunks(64));
            let mut expected = Vec::new();
            for chunk in chunks(64) {
                for (factor, offset) in chunk.factors.iter().zip(&chunk.offsets) {
                    let value = |hash: &u32| {
                        let value = factor.wrapping_mul(u64::from(*hash)).wrapping_add(*offset);
                        ((value % PRIME) & 0xffff_ffff) as u32
                    };
                    expected.push(hashes.iter().map(value).min().unwrap_or(u32::MAX));
                }
            }
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn messages_of_every_length_around_a_block() {
        let text = [b'a'; 200];
        for length in 0..text.len() {
            let mut hasher = Hasher::new(1);
            hasher.push(&text[..length]);
            let expected =
                u32::from_le_bytes(*Sha1::digest(&text[..length]).first_chunk().unwrap());
            assert_eq!(hasher.finish(), [expected], "{length}");
        }
    }
}
