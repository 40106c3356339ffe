//! The packed form of a conditional random field, and how it is laid out.
//!
//! Little-endian. Magic, u32 version, u32 length of the header, the header as JSON; then, each at
//! the next multiple of 64:
//!
//! 1. **records**: an open-addressing hash table, a power of two of places; per place the u64 hash
//!    of a feature, 0 for none, and an f32 weight per tag;
//! 2. **dense**: per value of a word's vector an f32 weight per tag;
//! 3. **start** and **follow**: f32 per tag, and per pair of tags.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{SequenceModel, model::MAX_TAGS};
use crate::PackReport;

pub(super) const MAGIC: &[u8; 8] = b"MESHSEQ\0";
pub(super) const VERSION: u32 = 1;
const ALIGNMENT: usize = 64;
/// Features whose largest weight is below this share of the largest of all are left out.
const NEGLIGIBLE: f32 = 1e-4;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) tags: Vec<String>,
    /// Places of the table.
    pub(super) places: usize,
    /// Values of a word's vector.
    pub(super) dimension: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) records: Range<usize>,
    pub(super) dense: Range<usize>,
    pub(super) start: Range<usize>,
    pub(super) follow: Range<usize>,
    /// Bytes of a record.
    pub(super) stride: usize,
}

impl Header {
    /// Where the sections are behind a header of so many bytes; nothing if its sizes are beyond
    /// all reason.
    pub(super) fn layout(&self, header: usize) -> Option<Layout> {
        let tags = self.tags.len();
        if !self.places.is_power_of_two() || !(1..=MAX_TAGS).contains(&tags) {
            return None;
        }
        let mut end = (MAGIC.len() + 8).checked_add(header)?;
        let mut section = |bytes: Option<usize>| {
            let start = end.checked_next_multiple_of(ALIGNMENT)?;
            end = start.checked_add(bytes?)?;
            Some(start..end)
        };
        let stride = (8 + 4 * tags).next_multiple_of(8);
        Some(Layout {
            records: section(self.places.checked_mul(stride))?,
            dense: section(self.dimension.checked_mul(4 * tags))?,
            start: section(Some(4 * tags))?,
            follow: section(Some(4 * tags * tags))?,
            stride,
        })
    }
}

/// Packs a trained model into the bytes of a [`super::CompiledSequence`].
#[must_use]
pub fn pack_sequence(model: &SequenceModel) -> (Vec<u8>, PackReport) {
    let tags = model.tags.len().max(1);
    let largest = |row: &[f32]| row.iter().fold(0.0f32, |most, weight| most.max(weight.abs()));
    let limit = largest(&model.weights) * NEGLIGIBLE;
    let rows = model.hashes.iter().zip(model.weights.chunks_exact(tags));
    // A hash of 0 marks an empty place; no feature has it.
    let kept: Vec<(u64, &[f32])> = rows
        .map(|(hash, row)| (*hash, row))
        .filter(|(hash, row)| *hash != 0 && largest(row) > limit)
        .collect();
    let places = (kept.len() + kept.len() / 2).next_power_of_two().max(8);
    let header = Header { tags: model.tags.clone(), places, dimension: model.dimension };
    let json = serde_json::to_vec(&header).unwrap_or_default();
    let mut bytes = Vec::new();
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(&json);
    let features = model.hashes.len();
    let report = |bytes: usize| PackReport { features, kept: kept.len(), bytes };
    // A model that fills more than the address space is not in memory either.
    let Some(layout) = header.layout(json.len()) else { return (bytes, report(0)) };
    bytes.resize(layout.records.end, 0);
    for (hash, row) in &kept {
        let mut place = first_place(*hash, places);
        while let Some(record) = record_mut(&mut bytes, &layout, place) {
            if record.first_chunk() == Some(&0u64.to_le_bytes()) {
                let values = hash.to_le_bytes().into_iter();
                let values = values.chain(row.iter().flat_map(|weight| weight.to_le_bytes()));
                record.iter_mut().zip(values).for_each(|(to, from)| *to = from);
                break;
            }
            place = (place + 1) & (places - 1);
        }
    }
    for (range, values) in [
        (&layout.dense, &model.dense),
        (&layout.start, &model.start),
        (&layout.follow, &model.follow),
    ] {
        bytes.resize(range.start, 0);
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    let report = report(bytes.len());
    (bytes, report)
}

fn record_mut<'a>(bytes: &'a mut [u8], layout: &Layout, place: usize) -> Option<&'a mut [u8]> {
    bytes
        .get_mut(layout.records.clone())?
        .get_mut(place * layout.stride..)?
        .get_mut(..layout.stride)
}

/// Where the search for a hash starts in a table of a power of two of places.
#[inline]
pub(super) const fn first_place(hash: u64, places: usize) -> usize {
    // Features are hashed well in all their bits.
    hash as usize & (places - 1)
}
