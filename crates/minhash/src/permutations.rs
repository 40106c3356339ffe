//! The permutations of `datasketch` 1: those of numpy's `RandomState(1)`.

use std::sync::LazyLock;

/// The most permutations of a signature.
pub const MAX_PERMUTATIONS: usize = 1024;

/// Permutations that are worked on together: four vectors of eight.
pub(crate) const CHUNK: usize = 32;

/// The Mersenne prime that values are taken modulo.
pub(crate) const PRIME: u64 = (1 << 61) - 1;

/// Factors and offsets of `CHUNK` permutations.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) factors: [u64; CHUNK],
    pub(crate) offsets: [u64; CHUNK],
}

/// The first permutations of a signature are the same however many it has.
static ALL: LazyLock<Vec<Chunk>> = LazyLock::new(|| {
    let mut random = MersenneTwister::new(1);
    (0..MAX_PERMUTATIONS.div_ceil(CHUNK))
        .map(|_| {
            let mut chunk = Chunk { factors: [0; CHUNK], offsets: [0; CHUNK] };
            for (factor, offset) in chunk.factors.iter_mut().zip(&mut chunk.offsets) {
                *factor = 1 + random.up_to(PRIME - 2);
                *offset = random.up_to(PRIME - 1);
            }
            chunk
        })
        .collect()
});

/// The chunks that hold so many permutations.
pub(crate) fn chunks(permutations: usize) -> &'static [Chunk] {
    let count = permutations.div_ceil(CHUNK);
    ALL.get(..count).unwrap_or(&ALL)
}

/// MT19937 (Matsumoto and Nishimura, 1998), as numpy's `RandomState` seeds and draws from it.
struct MersenneTwister {
    state: Vec<u32>,
    at: usize,
}

const SIZE: usize = 624;
const SHIFT: usize = 397;

impl MersenneTwister {
    fn new(seed: u32) -> Self {
        let mut state = vec![seed];
        let mut last = seed;
        for at in 1u32.. {
            if state.len() == SIZE {
                break;
            }
            last = (last ^ (last >> 30)).wrapping_mul(1_812_433_253).wrapping_add(at);
            state.push(last);
        }
        Self { state, at: SIZE }
    }

    /// A number from 0 to `most`: numbers of as many bits are drawn until one is not above it.
    fn up_to(&mut self, most: u64) -> u64 {
        let mask = u64::MAX >> most.leading_zeros();
        loop {
            let high = u64::from(self.next());
            let drawn = ((high << 32) | u64::from(self.next())) & mask;
            if drawn <= most {
                return drawn;
            }
        }
    }

    fn next(&mut self) -> u32 {
        if self.at == SIZE {
            self.refill();
            self.at = 0;
        }
        let value = self.get(self.at);
        self.at += 1;
        let value = value ^ (value >> 11);
        let value = value ^ ((value << 7) & 0x9d2c_5680);
        let value = value ^ ((value << 15) & 0xefc6_0000);
        value ^ (value >> 18)
    }

    fn refill(&mut self) {
        for at in 0..SIZE {
            let joined = (self.get(at) & 0x8000_0000) | (self.get(at + 1) & 0x7fff_ffff);
            let twist = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
            let value = self.get(at + SHIFT) ^ (joined >> 1) ^ twist;
            if let Some(place) = self.state.get_mut(at) {
                *place = value;
            }
        }
    }

    fn get(&self, at: usize) -> u32 {
        self.state.get(at % SIZE).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutations_are_those_of_numpy() {
        let chunk = &chunks(1)[0];
        let expected = [
            (775_169_054_918_279_404, 1_758_426_461_858_698_312),
            (2_109_959_069_025_162, 965_365_488_286_768_773),
            (401_325_382_989_534_145, 1_703_346_441_743_126_657),
            (1_130_051_441_076_870_728, 1_762_784_241_922_636_284),
        ];
        for (at, expected) in expected.into_iter().enumerate() {
            assert_eq!((chunk.factors[at], chunk.offsets[at]), expected);
        }
        assert_eq!(chunks(MAX_PERMUTATIONS).len() * CHUNK, MAX_PERMUTATIONS);
        assert_eq!(chunks(33).len(), 2);
    }

    /// The least h >= 0 with `low <= factor * h mod modulus <= high`, by Euclid's algorithm.
    fn first_in(factor: u128, modulus: u128, low: u128, high: u128) -> Option<u128> {
        if low == 0 {
            return Some(0);
        }
        let factor = factor % modulus;
        if factor == 0 {
            return None;
        }
        let least = low.div_ceil(factor);
        if least * factor <= high {
            return Some(least);
        }
        // factor * h - modulus * k in [low, high]: so modulus * k mod factor in
        // [-high, -low] mod factor.
        let flip = |value: u128| (factor - value % factor) % factor;
        let k = first_in(modulus % factor, factor, flip(high), flip(low))?;
        Some((low + modulus * k).div_ceil(factor))
    }

    #[test]
    fn the_first_in_a_range_is_found() {
        for modulus in [7u128, 16, 61, 100] {
            for factor in 0..modulus {
                for low in 0..modulus {
                    for high in low..(low + 3).min(modulus) {
                        let plain =
                            (0..modulus).find(|h| (low..=high).contains(&(factor * h % modulus)));
                        assert_eq!(first_in(factor, modulus, low, high), plain);
                    }
                }
            }
        }
    }

    /// A value modulo 2^61 - 1 is its upper bits added to its lower ones, less the prime if that
    /// reaches it. That it reaches it happens to no hash of 32 bits under any of these
    /// permutations, so the kernel does not ask.
    #[test]
    fn no_hash_needs_the_last_subtraction() {
        let wrap = 1u128 << 64;
        for chunk in chunks(MAX_PERMUTATIONS) {
            for (factor, offset) in chunk.factors.iter().zip(&chunk.offsets) {
                for upper in 0..8u64 {
                    // Values whose lower 61 bits and `upper` add up to the prime or more.
                    let high = u128::from((upper << 61) | PRIME);
                    let low = high - u128::from(upper);
                    let shifted = |value: u128| (value + wrap - u128::from(*offset)) % wrap;
                    let (low, high) = (shifted(low), shifted(high));
                    let ranges = match low <= high {
                        true => vec![(low, high)],
                        false => vec![(low, wrap - 1), (0, high)],
                    };
                    for (low, high) in ranges {
                        let first = first_in(u128::from(*factor), wrap, low, high);
                        assert!(first.is_none_or(|hash| hash >> 32 != 0), "{factor} {offset}");
                    }
                }
            }
        }
    }
}
