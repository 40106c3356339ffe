use mesh_core::manifest::Precision;
use serde::{Deserialize, Serialize};

use super::{Featurizer, LinearModel, model::vocabulary_hash, scoring::narrow_to_half};

/// The first bytes of a compiled linear model.
pub(super) const MAGIC: &[u8; 8] = b"MESHLIN\0";
/// The version of its format.
pub(super) const VERSION: u32 = 1;
/// Sections start at multiples of this: a cache line, so that no entry crosses one.
pub(super) const ALIGNMENT: usize = 64;
/// Bytes of an entry of the table: hash, row, idf.
pub(super) const ENTRY_BYTES: usize = 16;
/// In place of a row: the feature counts for the norm only.
pub(super) const NO_ROW: u32 = u32::MAX;
/// An entry with this row is empty.
pub(super) const EMPTY: u32 = u32::MAX - 1;
/// Places in the table per feature: longer runs of full places cost more than the memory.
const ROOM: f64 = 1.6;
/// Features whose largest weight is below this share of the model's largest weight have no say.
const NEGLIGIBLE: f32 = 1e-4;

/// The header of a compiled linear model: JSON after the magic, version and length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) labels: Vec<String>,
    pub(super) features: mesh_core::manifest::Features,
    pub(super) precision: Precision,
    /// Biases, divided by the temperature.
    pub(super) bias: Vec<f32>,
    /// Places in the table.
    pub(super) places: u32,
    /// Rows of weights.
    pub(super) rows: u32,
}

/// What packing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackReport {
    /// Features of the trained model.
    pub features: usize,
    /// Features whose weights were kept; the others count for the norm only.
    pub kept: usize,
    /// Size of the file in bytes.
    pub bytes: usize,
}

/// Packs a trained model into the bytes of a [`super::CompiledLinear`].
///
/// Layout, little-endian: 8 bytes magic, u32 version, u32 length of the header, the header as
/// JSON; at the next multiple of 64 the table, an open-addressing hash table with linear probing
/// of (u64 hash, u32 row, f32 idf); at the next multiple of 64 the rows, each one weight per
/// output as f16 or f32, divided by the temperature.
#[must_use]
pub fn pack(model: &LinearModel, precision: Precision) -> (Vec<u8>, PackReport) {
    let featurizer = Featurizer::new(&model.description.features);
    let temperature = model.description.temperature;
    let largest = |row: &[f32]| row.iter().fold(0.0f32, |most, weight| most.max(weight.abs()));
    let limit = largest(&model.weight) * NEGLIGIBLE;
    let features = model.vocabulary.len();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a count"
    )]
    let places = ((features as f64 * ROOM) as usize).max(8);
    let mut table = vec![(0u64, EMPTY, 0f32); places];
    let mut rows: Vec<u8> = Vec::new();
    let mut kept = 0u32;
    for (feature, name) in model.vocabulary.iter().enumerate() {
        let Some(hash) = vocabulary_hash(&featurizer, name) else { continue };
        let weights = model.row(feature);
        let row = if largest(weights) < limit { NO_ROW } else { kept };
        if row != NO_ROW {
            kept += 1;
            for weight in weights {
                let weight = weight / temperature;
                match precision {
                    Precision::F32 => rows.extend(weight.to_le_bytes()),
                    _ => rows.extend(narrow_to_half(weight).to_le_bytes()),
                }
            }
        }
        let idf = model.idf.get(feature).copied().unwrap_or_default();
        let mut place = start(hash, places);
        while table.get(place).is_some_and(|(_, row, _)| *row != EMPTY) {
            place = if place + 1 == places { 0 } else { place + 1 };
        }
        if let Some(entry) = table.get_mut(place) {
            *entry = (hash, row, idf);
        }
    }
    let header = Header {
        labels: model.description.labels.clone(),
        features: model.description.features.clone(),
        precision,
        bias: model.bias.iter().map(|bias| bias / temperature).collect(),
        places: u32::try_from(places).unwrap_or(u32::MAX),
        rows: kept,
    };
    let header = serde_json::to_vec(&header).unwrap_or_default();
    let mut bytes = Vec::with_capacity(places * ENTRY_BYTES + rows.len() + header.len() + 256);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(u32::try_from(header.len()).unwrap_or_default().to_le_bytes());
    bytes.extend(&header);
    align(&mut bytes);
    for (hash, row, idf) in table {
        bytes.extend(hash.to_le_bytes());
        bytes.extend(row.to_le_bytes());
        bytes.extend(idf.to_le_bytes());
    }
    align(&mut bytes);
    bytes.extend(rows);
    let report = PackReport { features, kept: kept as usize, bytes: bytes.len() };
    (bytes, report)
}

/// Where the search for a hash starts: its share of the table, without a division.
#[inline]
pub(super) fn start(hash: u64, places: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "the product's high half is below places")]
    let place = ((u128::from(hash) * places as u128) >> 64) as usize;
    place
}

fn align(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
}
