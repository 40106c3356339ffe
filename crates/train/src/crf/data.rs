//! Sentences, their tags, and the features of their words.

use std::collections::HashMap;

use mesh_core::tags::OUTSIDE;
use mesh_dataset::{Dataset, SplitName};
use mesh_engine::{TOKEN_FEATURES, TokenFeatures};

use super::objective::{NO_FEATURE, Sentences};
use crate::{TrainError, TrainErrorKind};

/// A sentence: its words joined by spaces, and their tags.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sentence {
    text: String,
    pub(super) tags: Vec<u16>,
}

/// The sentences of a split.
#[derive(Debug, Default)]
pub(super) struct Split {
    pub(super) sentences: Vec<Sentence>,
}

/// The features that a model has, by their hashes.
pub(super) struct FeatureIndex {
    rows: HashMap<u64, u32>,
}

impl Sentence {
    pub(super) fn words(&self) -> Vec<&str> {
        self.text.split(' ').collect()
    }
}

/// The tags of the training split: `O`, then the start and the inside of every kind of entity.
pub(super) fn tags(dataset: &Dataset) -> Result<Vec<String>, TrainError> {
    let train = dataset.statistics().splits.get(SplitName::Train.as_str());
    let kinds = train.into_iter().flat_map(|train| train.labels.keys());
    let mut tags = vec![OUTSIDE.to_owned()];
    tags.extend(kinds.flat_map(|kind| [format!("B-{kind}"), format!("I-{kind}")]));
    if dataset.rows(SplitName::Train) == 0 || tags.len() == 1 {
        return Err(TrainError::new(TrainErrorKind::EmptySplit("train")));
    }
    Ok(tags)
}

impl Split {
    pub(super) fn read(
        dataset: &Dataset,
        split: SplitName,
        tags: &[String],
    ) -> Result<Self, TrainError> {
        let places: HashMap<&str, u16> = tags.iter().map(String::as_str).zip(0..).collect();
        let mut sentences = Vec::new();
        for document in dataset.read(split)? {
            let document = document?;
            let Some(label) = document.label else {
                return Err(TrainError::new(TrainErrorKind::NoLabel(document.id)));
            };
            let mut own = Vec::new();
            for tag in label.split(' ') {
                let Some(place) = places.get(tag) else {
                    let (label, split) = (tag.to_owned(), split.as_str());
                    return Err(TrainError::new(TrainErrorKind::UnseenLabel { label, split }));
                };
                own.push(*place);
            }
            if document.text.split(' ').count() != own.len() {
                return Err(TrainError::new(TrainErrorKind::Tags(document.id)));
            }
            sentences.push(Sentence { text: document.text, tags: own });
        }
        Ok(Self { sentences })
    }

    /// Several splits as one.
    pub(super) fn of(splits: &[&Self]) -> Self {
        Self { sentences: splits.iter().flat_map(|split| split.sentences.clone()).collect() }
    }

    /// The sentences as numbers, with the values of the words' vectors.
    pub(super) fn numbers(
        &self,
        index: &FeatureIndex,
        values: Vec<f32>,
        dense: usize,
    ) -> Sentences {
        let mut numbers = Sentences { values, dense, ..Sentences::default() };
        let (mut reader, mut hashes) = (TokenFeatures::default(), Vec::new());
        for sentence in &self.sentences {
            reader.hashes(&sentence.words(), &mut hashes);
            let rows = hashes.iter().map(|hash| index.rows.get(hash).copied());
            numbers.features.extend(rows.map(|row| row.unwrap_or(NO_FEATURE)));
            numbers.tags.extend(&sentence.tags);
            numbers.ends.push(numbers.tags.len());
        }
        numbers
    }
}

impl FeatureIndex {
    /// The features that so many tokens have, in the order in which they first come.
    pub(super) fn of(splits: &[&Split], min_count: u32) -> Self {
        let mut counts: HashMap<u64, (u32, usize)> = HashMap::new();
        let (mut reader, mut hashes) = (TokenFeatures::default(), Vec::new());
        for sentence in splits.iter().flat_map(|split| &split.sentences) {
            reader.hashes(&sentence.words(), &mut hashes);
            for hash in hashes.iter().filter(|hash| **hash != 0) {
                let order = counts.len();
                counts.entry(*hash).or_insert((0, order)).0 += 1;
            }
        }
        let kept = counts.into_iter().filter(|(_, (count, _))| *count >= min_count);
        let mut kept: Vec<(usize, u64)> = kept.map(|(hash, (_, order))| (order, hash)).collect();
        kept.sort_unstable();
        Self { rows: kept.into_iter().map(|(_, hash)| hash).zip(0..).collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The hashes, in the order of the rows.
    pub(super) fn hashes(&self) -> Vec<u64> {
        let mut rows: Vec<(u32, u64)> = self.rows.iter().map(|(hash, row)| (*row, *hash)).collect();
        rows.sort_unstable();
        rows.into_iter().map(|(_, hash)| hash).collect()
    }
}

/// The feature that every token has.
pub(super) fn constant() -> u64 {
    let mut hashes = Vec::new();
    TokenFeatures::default().hashes(&["a"], &mut hashes);
    debug_assert_eq!(hashes.len(), TOKEN_FEATURES);
    hashes.first().copied().unwrap_or_default()
}
