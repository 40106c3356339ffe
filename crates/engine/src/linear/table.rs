//! Finding features by their hashes, and counting them.

use super::layout::{GROUP, INDEX_BYTES, RECORD_HEAD, fingerprint, start};

/// The sections of a packed model, as bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    pub(super) control: &'a [u8],
    pub(super) index: &'a [u8],
    pub(super) records: &'a [u8],
    pub(super) silent: &'a [u8],
    /// Bytes of a record.
    pub(super) stride: usize,
    /// Features with weights; those after them have none.
    pub(super) loud: usize,
}

/// A feature: how much it counts in a text, and its weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) idf: f32,
    pub(super) weights: &'a [u8],
}

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// The high bit of each byte that is 0, and perhaps of some bytes of 1 above one.
#[inline]
const fn zero_bytes(group: u64) -> u64 {
    group.wrapping_sub(LOW_BITS) & !group & HIGH_BITS
}

/// A hash's fingerprint, eight times.
#[inline]
const fn pattern(hash: u64) -> u64 {
    (fingerprint(hash) as u64).wrapping_mul(LOW_BITS)
}

/// The first byte that `zero_bytes` marks; 8 if it marks none.
#[inline]
const fn first(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

/// Room that [`Table::find_all`] uses again and again.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Hashes that are likely there, and where.
    hashes: Vec<(u64, usize)>,
    features: Vec<u32>,
    /// Of each hash whether it is likely there.
    pub(super) known: Vec<bool>,
}

impl<'a> Table<'a> {
    /// Adds the features with these hashes, those that the model does not know left out; the others in
    /// their order, each as often as it is there.
    ///
    /// What takes time here is waiting for memory, and a wrongly guessed branch ends all waiting
    /// ahead. So there are three loops, none of which has a branch that is hard to guess.
    pub(super) fn find_all(&self, hashes: &[u64], found: &mut Vec<u32>, room: &mut Candidates) {
        let places = self.places();
        let Candidates { hashes: likely, features, known } = room;
        if likely.len() < hashes.len() {
            likely.resize(hashes.len(), (0, 0));
        }
        known.clear();
        known.resize(hashes.len(), false);
        let mut count = 0;
        for (hash, known) in hashes.iter().zip(known) {
            let place = start(*hash, places);
            let Some(group) = self.group(place) else { break };
            let same = zero_bytes(group ^ pattern(*hash));
            if let Some(candidate) = likely.get_mut(count) {
                *candidate = (*hash, self.around(place + first(same)));
            }
            // Neither there nor known to be absent: the search goes on behind this group.
            *known = (same != 0) | (zero_bytes(group) == 0);
            count += usize::from(*known);
        }
        let likely = likely.get(..count).unwrap_or_default();
        features.clear();
        features.extend(likely.iter().map(|(_, place)| self.feature(*place).unwrap_or(u32::MAX)));
        for ((hash, _), feature) in likely.iter().zip(features) {
            if self.is(*feature, *hash) {
                found.push(*feature);
            } else {
                found.extend(self.find(*hash));
            }
        }
    }

    /// The feature with a hash, if the model knows it.
    ///
    /// Eight places are looked at together, as in Abseil's Swiss tables
    /// (<https://abseil.io/about/design/swisstables>), without vector instructions.
    #[cold]
    fn find(&self, hash: u64) -> Option<u32> {
        let places = self.places();
        let mut place = start(hash, places);
        // A table without an empty place ends the search after one round.
        for _ in 0..=places / GROUP {
            let group = self.group(place)?;
            let mut same = zero_bytes(group ^ pattern(hash));
            while same != 0 {
                let feature = self.feature(self.around(place + first(same)))?;
                if self.is(feature, hash) {
                    return Some(feature);
                }
                same &= same - 1;
            }
            if zero_bytes(group) != 0 {
                return None;
            }
            place = self.around(place + GROUP);
        }
        None
    }

    const fn places(&self) -> usize {
        self.index.len() / INDEX_BYTES
    }

    /// A place, or its fellow at the start of the table if it is beyond the end.
    #[inline]
    const fn around(&self, place: usize) -> usize {
        if place >= self.places() { place - self.places() } else { place }
    }

    /// The control bytes from a place on.
    #[inline]
    fn group(&self, place: usize) -> Option<u64> {
        let bytes = self.control.get(place..)?.first_chunk::<GROUP>()?;
        Some(u64::from_le_bytes(*bytes))
    }

    /// The feature at a place.
    #[inline]
    fn feature(&self, place: usize) -> Option<u32> {
        let (index, _) = self.index.as_chunks::<INDEX_BYTES>();
        Some(u32::from_le_bytes(*index.get(place)?))
    }

    /// Whether a feature has this hash.
    #[inline]
    fn is(&self, feature: u32, hash: u64) -> bool {
        self.head(feature).is_some_and(|head| head.first_chunk() == Some(&hash.to_le_bytes()))
    }

    /// A feature's record.
    #[inline]
    pub(super) fn record(&self, feature: u32) -> Option<Record<'a>> {
        let (head, weights) = self.head(feature)?.split_at_checked(RECORD_HEAD)?;
        Some(Record { idf: f32::from_le_bytes(*head.last_chunk()?), weights })
    }

    #[inline]
    fn head(&self, feature: u32) -> Option<&'a [u8]> {
        let feature = feature as usize;
        if let Some(silent) = feature.checked_sub(self.loud) {
            return self.silent.get(silent * RECORD_HEAD..)?.get(..RECORD_HEAD);
        }
        self.records.get(feature * self.stride..)?.get(..self.stride)
    }
}

/// Counts how often each feature occurs in a text: a small hash table that is used again and
/// again. The features keep the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// One more than the place in `found`; 0 where there is none.
    slots: Vec<u32>,
    found: Vec<(u32, u32)>,
}

impl Counts {
    /// The features, each with how often it is among those given.
    pub(super) fn count(&mut self, features: &[u32]) -> &[(u32, u32)] {
        let capacity = (features.len() * 2).next_power_of_two();
        self.found.clear();
        self.slots.clear();
        self.slots.resize(capacity, 0);
        for feature in features {
            // Fibonacci hashing: features that follow each other are spread.
            let mut slot = feature.wrapping_mul(0x9e37_79b9).swap_bytes() as usize & (capacity - 1);
            while let Some(taken) = self.slots.get_mut(slot) {
                let Some(at) = taken.checked_sub(1) else {
                    self.found.push((*feature, 1));
                    *taken = u32::try_from(self.found.len()).unwrap_or(u32::MAX);
                    break;
                };
                match self.found.get_mut(at as usize) {
                    Some((known, count)) if known == feature => {
                        *count += 1;
                        break;
                    }
                    _ => slot = (slot + 1) & (capacity - 1),
                }
            }
        }
        &self.found
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn features_are_counted(features in prop::collection::vec(0u32..40, 0..200)) {
            let mut plain: BTreeMap<u32, u32> = BTreeMap::new();
            for feature in &features {
                *plain.entry(*feature).or_default() += 1;
            }
            let mut counts = Counts::default();
            counts.count(&[7, 7, 7]);
            let counted: BTreeMap<u32, u32> = counts.count(&features).iter().copied().collect();
            prop_assert_eq!(counted, plain);
        }
    }
}
