use mesh_core::manifest::Precision;
use serde::{Deserialize, Serialize};

use super::{
    Featurizer, LinearModel,
    layout::{GROUP, Header, MAGIC, VERSION, fingerprint, start},
    model::vocabulary_hash,
    scoring::narrow_to_half,
};

/// Places in the table per feature: longer runs of full places cost more than the memory.
const ROOM: f64 = 4.0;
/// Features whose largest weight is below this share of the model's largest weight have no say.
const NEGLIGIBLE: f32 = 1e-4;

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
/// Features keep their order, which the trainer makes by how many documents have them.
#[must_use]
pub fn pack(model: &LinearModel, precision: Precision) -> (Vec<u8>, PackReport) {
    let temperature = model.description.temperature;
    let limit = largest(&model.weight) * NEGLIGIBLE;
    let featurizer = Featurizer::new(&model.description.features);
    let named = model.vocabulary.iter().enumerate();
    let hashed = named.filter_map(|(at, name)| Some((at, vocabulary_hash(&featurizer, name)?)));
    let (kept, silent): (Vec<_>, Vec<_>) =
        hashed.partition(|(feature, _)| largest(model.row(*feature)) >= limit);
    let places = places(kept.len() + silent.len());
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let header = Header {
        labels: model.description.labels.clone(),
        features: model.description.features.clone(),
        precision,
        bias: model.bias.iter().map(|bias| bias / temperature).collect(),
        places: count(places),
        records: count(kept.len()),
        silent: count(silent.len()),
        words_of_runs: featurizer.has_words_of_runs(model.vocabulary.iter().map(String::as_str)),
    };
    let json = serde_json::to_vec(&header).unwrap_or_default();
    let mut bytes = Vec::new();
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(count(json.len()).to_le_bytes());
    bytes.extend(&json);
    let report =
        |bytes: usize| PackReport { features: model.vocabulary.len(), kept: kept.len(), bytes };
    // A model that fills more than the address space is not in memory either.
    let Some(layout) = header.layout(json.len()) else { return (bytes, report(0)) };
    let (control, index) = table(kept.iter().chain(&silent).map(|(_, hash)| *hash), places);
    bytes.resize(layout.control.start, 0);
    bytes.extend(control);
    bytes.resize(layout.index.start, 0);
    bytes.extend(index.into_iter().flat_map(u32::to_le_bytes));
    let head = |bytes: &mut Vec<u8>, (feature, hash): &(usize, u64)| {
        let idf = model.idf.get(*feature).copied().unwrap_or_default();
        bytes.extend(hash.to_le_bytes());
        bytes.extend(idf.to_le_bytes());
    };
    bytes.resize(layout.records.start, 0);
    for (at, record) in kept.iter().enumerate() {
        head(&mut bytes, record);
        for weight in model.row(record.0) {
            let weight = weight / temperature;
            match precision {
                Precision::F32 => bytes.extend(weight.to_le_bytes()),
                _ => bytes.extend(narrow_to_half(weight).to_le_bytes()),
            }
        }
        bytes.resize(layout.records.start + (at + 1) * layout.stride, 0);
    }
    bytes.resize(layout.silent.start, 0);
    silent.iter().for_each(|record| head(&mut bytes, record));
    let report = report(bytes.len());
    (bytes, report)
}

fn largest(row: &[f32]) -> f32 {
    row.iter().fold(0.0f32, |most, weight| most.max(weight.abs()))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a count"
)]
fn places(features: usize) -> usize {
    ((features as f64 * ROOM) as usize).max(GROUP)
}

/// The control bytes and the index of features by their hashes.
fn table(hashes: impl Iterator<Item = u64>, places: usize) -> (Vec<u8>, Vec<u32>) {
    let (mut control, mut index) = (vec![0u8; places], vec![0u32; places]);
    for (hash, feature) in hashes.zip(0u32..) {
        let mut place = start(hash, places);
        while control.get(place).is_some_and(|byte| *byte != 0) {
            place = if place + 1 == places { 0 } else { place + 1 };
        }
        if let (Some(byte), Some(entry)) = (control.get_mut(place), index.get_mut(place)) {
            (*byte, *entry) = (fingerprint(hash), feature);
        }
    }
    control.extend_from_within(..GROUP.min(places));
    (control, index)
}
