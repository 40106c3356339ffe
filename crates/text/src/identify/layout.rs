//! Where what lies in a packed model.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::fasttext::Loss;

pub(super) const MAGIC: &[u8] = b"MESHLANG";
pub(super) const VERSION: u32 = 1;
/// Parts start at multiples of so many bytes: a line of the cache.
const ALIGN: usize = 64;
/// Buckets that one number of the bitmap tells of.
pub(super) const GROUP: u32 = 32;
/// A place of the table of words with no word.
pub(super) const NO_WORD: u32 = u32::MAX;

/// What stands before the parts, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) dimension: usize,
    pub(super) word_ngrams: usize,
    pub(super) buckets: u32,
    /// The shortest and the longest run of characters.
    pub(super) characters: (usize, usize),
    pub(super) words: usize,
    /// Bytes of all words.
    pub(super) text: usize,
    /// Places of the table of words: a power of two.
    pub(super) places: usize,
    /// Rows of buckets.
    pub(super) rows: usize,
    /// Rows of the output.
    pub(super) outputs: usize,
    /// Inner nodes of the tree.
    pub(super) nodes: usize,
    pub(super) loss: Loss,
    pub(super) labels: Vec<String>,
}

/// The parts, by their bytes.
#[derive(Debug)]
pub(super) struct Layout {
    /// The table of words: a hash and a word's number per place.
    pub(super) table: Range<usize>,
    /// Where each word starts, and where the last one ends.
    pub(super) starts: Range<usize>,
    pub(super) text: Range<usize>,
    /// Per word, how many rows it stands for.
    pub(super) counts: Range<usize>,
    /// Per word, the sum of those rows.
    pub(super) sums: Range<usize>,
    /// Per group of buckets, a bit each, and above them how many have a row before the group.
    pub(super) groups: Range<usize>,
    pub(super) rows: Range<usize>,
    pub(super) output: Range<usize>,
    pub(super) tree: Range<usize>,
    pub(super) total: usize,
}

impl Layout {
    /// The layout after a description of so many bytes; nothing if its sizes are beyond all
    /// reason.
    pub(super) fn of(header: &Header, description: usize) -> Option<Self> {
        if !header.places.is_power_of_two() || header.places <= header.words {
            return None;
        }
        let mut end = MAGIC.len() + 8 + description;
        let mut part = |items: Option<usize>, size: usize| {
            let start = end.checked_next_multiple_of(ALIGN)?;
            end = start.checked_add(items?.checked_mul(size)?)?;
            Some(start..end)
        };
        let rows = |rows: usize| rows.checked_mul(header.dimension);
        let layout = Self {
            table: part(Some(header.places), 8)?,
            starts: part(header.words.checked_add(1), 4)?,
            text: part(Some(header.text), 1)?,
            counts: part(Some(header.words), 4)?,
            sums: part(rows(header.words), 4)?,
            groups: part(Some(header.buckets.div_ceil(GROUP) as usize), 8)?,
            rows: part(rows(header.rows), 4)?,
            output: part(rows(header.outputs), 4)?,
            tree: part(Some(header.nodes), 8)?,
            total: 0,
        };
        Some(Self { total: layout.tree.end, ..layout })
    }
}
