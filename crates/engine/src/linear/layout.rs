//! How the file of a compiled linear model is laid out: the one place that both the packer and
//! the reader take it from.
//!
//! Little-endian. Magic, u32 version, u32 length of the header, the header as JSON; then, each at
//! the next multiple of 64:
//!
//! 1. **control**: a byte per place of an open-addressing hash table: 0 for an empty place, else
//!    the fingerprint of the feature there; the first eight once more at the end, so that eight
//!    can always be read at once. It is small enough for a cache, and tells nearly every feature
//!    that the model does not know by itself.
//! 2. **index**: a u32 per place: which feature is there.
//! 3. **records**: per feature that has a say its u64 hash, f32 idf, and a weight per output
//!    divided by the temperature; the features of the most documents first, so that what is used
//!    most lies close together.
//! 4. **silent**: u64 hash and f32 idf of features whose weights do not matter: they count for
//!    the length of a text's vector only.

use std::ops::Range;

use mesh_core::manifest::{Features, Precision};
use serde::{Deserialize, Serialize};

/// The first bytes of a compiled linear model.
pub(super) const MAGIC: &[u8; 8] = b"MESHLIN\0";
/// The version of its format.
pub(super) const VERSION: u32 = 3;
/// Sections start at multiples of this: a cache line.
const ALIGNMENT: usize = 64;
/// Places that are looked at together.
pub(super) const GROUP: usize = 8;
/// Bytes of an entry of the index.
pub(super) const INDEX_BYTES: usize = 4;
/// Bytes of a record before its weights: hash and idf.
pub(super) const RECORD_HEAD: usize = 12;

/// The header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) labels: Vec<String>,
    pub(super) features: Features,
    pub(super) precision: Precision,
    /// Biases, divided by the temperature.
    pub(super) bias: Vec<f32>,
    /// Places in the table, `GROUP` or more.
    pub(super) places: u32,
    /// Features with weights.
    pub(super) records: u32,
    /// Features without.
    pub(super) silent: u32,
    /// Whether all words of each run of words are features too.
    #[serde(default)]
    pub(super) words_of_runs: bool,
}

/// Where the sections are.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) control: Range<usize>,
    pub(super) index: Range<usize>,
    pub(super) records: Range<usize>,
    pub(super) silent: Range<usize>,
    /// Bytes of a record.
    pub(super) stride: usize,
}

impl Header {
    /// How many decision values a text gets: one for two labels, else one per label.
    pub(super) const fn outputs(&self) -> usize {
        match self.labels.len() {
            2 => 1,
            more => more,
        }
    }

    /// Where the sections are that this header promises, if they can be anywhere.
    pub(super) fn layout(&self, header_bytes: usize) -> Option<Layout> {
        let section = |end: usize, count: usize, size: usize| {
            let start = end.checked_next_multiple_of(ALIGNMENT)?;
            Some(start..start.checked_add(count.checked_mul(size)?)?)
        };
        let places = self.places as usize;
        let width = if self.precision == Precision::F32 { 4 } else { 2 };
        let stride = self.outputs().checked_mul(width)?.checked_add(RECORD_HEAD)?;
        let stride = stride.checked_next_multiple_of(INDEX_BYTES)?;
        let control = section((MAGIC.len() + 8).checked_add(header_bytes)?, places + GROUP, 1)?;
        let index = section(control.end, places, INDEX_BYTES)?;
        let records = section(index.end, self.records as usize, stride)?;
        let silent = section(records.end, self.silent as usize, RECORD_HEAD)?;
        Some(Layout { control, index, records, silent, stride })
    }
}

/// Where the search for a hash starts: its share of the table, without a division.
#[inline]
pub(super) fn start(hash: u64, places: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "the product's high half is below places")]
    let place = ((u128::from(hash) * places as u128) >> 64) as usize;
    place
}

/// What stands for a hash in the control bytes: of its low bits, as `start` takes the high ones;
/// never 0.
#[inline]
pub(super) const fn fingerprint(hash: u64) -> u8 {
    match hash.to_le_bytes()[0] {
        0 => 1,
        byte => byte,
    }
}
