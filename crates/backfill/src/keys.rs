//! The keys of an archive: each once, and where.

use std::num::ParseIntError;

use mesh_core::Digest;
use serde::{Deserialize, Serialize};

/// A file of an archive, as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileStamp {
    /// Its name in the archive.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// What tells one state of it from another.
    pub stamp: String,
}

impl FileStamp {
    /// Makes the stamp of a table in a database one of what was in it at a moment.
    pub(crate) fn at_moment(&mut self, moment: Digest) {
        self.stamp = format!("{}{MOMENT}{}", self.stamp, moment.short());
    }

    /// Makes it that of the table again, whatever is in it.
    pub(crate) fn forget_moment(&mut self) {
        if let Some(end) = self.stamp.find(MOMENT) {
            self.stamp.truncate(end);
        }
    }
}

/// What stands between the number of a table and what was in it.
const MOMENT: &str = "/";

/// The first half of a SHA-256 digest: no two keys of any archive share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct KeyHash(u128);

impl From<KeyHash> for String {
    fn from(hash: KeyHash) -> Self {
        format!("{:032x}", hash.0)
    }
}

impl TryFrom<String> for KeyHash {
    type Error = ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u128::from_str_radix(&text, 16).map(Self)
    }
}

impl KeyHash {
    pub(crate) fn of(text: &str) -> Self {
        Self::of_parts([text])
    }

    /// The hash of texts that follow each other.
    pub(crate) fn of_parts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let digest = Digest::of_parts(texts.into_iter().map(str::as_bytes));
        let half = digest.as_bytes().first_chunk::<16>().copied().unwrap_or_default();
        Self(u128::from_be_bytes(half))
    }

    pub(crate) const fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub(crate) const fn number(self) -> u128 {
        self.0
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

/// A set of rows, a bit each.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RowSet {
    words: Vec<u64>,
}

impl RowSet {
    pub(crate) fn insert(&mut self, row: u64) {
        let word = usize::try_from(row / 64).unwrap_or(usize::MAX);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        if let Some(bits) = self.words.get_mut(word) {
            *bits |= 1 << (row % 64);
        }
    }

    pub(crate) fn contains(&self, row: u64) -> bool {
        let word = usize::try_from(row / 64).ok().and_then(|word| self.words.get(word));
        word.is_some_and(|bits| bits & (1 << (row % 64)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_row_set_holds_what_was_put_into_it(rows in prop::collection::btree_set(0u64..500, 0..60)) {
            let mut set = RowSet::default();
            rows.iter().chain(&rows).for_each(|row| set.insert(*row));
            for row in 0..600 {
                prop_assert_eq!(set.contains(row), rows.contains(&row));
            }
        }
    }
}
