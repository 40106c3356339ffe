//! A trained conditional random field, as the trainer leaves it.

use std::{collections::HashMap, fs, path::Path};

use safetensors::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};

use super::{Chain, TOKEN_FEATURES, TokenFeatures};
use crate::{EngineError, EngineErrorKind};

/// The weights of a linear-chain conditional random field.
///
/// Files: `crf.json`, and `crf.safetensors` with `hashes` (u64 per feature), `weights` (features x
/// tags), `dense` (dimension x tags), `start` (tags) and `follow` (tags x tags), f32.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SequenceModel {
    /// The tags, in the order of the weights.
    pub tags: Vec<String>,
    /// The hash of every feature, no two the same.
    pub hashes: Vec<u64>,
    /// Features x tags.
    pub weights: Vec<f32>,
    /// Values of a word's vector; 0 for a model without an encoder.
    pub dimension: usize,
    /// Dimension x tags.
    pub dense: Vec<f32>,
    /// How well each tag starts a sentence.
    pub start: Vec<f32>,
    /// How well the tag of the column follows that of the row.
    pub follow: Vec<f32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: u32,
    tags: Vec<String>,
    dimension: usize,
}

const FORMAT: u32 = 1;
/// No task has more tags.
pub(super) const MAX_TAGS: usize = 1 << 12;

struct Tensor<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: &'a [u8],
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        self.bytes.into()
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

impl SequenceModel {
    /// The description's file.
    pub const FILE: &str = "crf.json";
    /// The weights' file.
    pub const WEIGHTS: &str = "crf.safetensors";

    /// Reads a model from its folder.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the two contradict each other.
    pub fn read(folder: &Path) -> Result<Self, EngineError> {
        let path = folder.join(Self::FILE);
        let text = fs::read_to_string(&path).map_err(|error| EngineError::io(&path, error))?;
        let Description { format, tags, dimension } = serde_json::from_str(&text)
            .map_err(|error| EngineError::format(&path, error.to_string()))?;
        if format > FORMAT {
            let reason = format!("it has format {format}");
            return Err(EngineError::new(&path, EngineErrorKind::Newer, reason));
        }
        let path = folder.join(Self::WEIGHTS);
        let bytes = fs::read(&path).map_err(|error| EngineError::io(&path, error))?;
        let wrong = |reason: &str| EngineError::format(&path, reason);
        let tensors = SafeTensors::deserialize(&bytes)
            .map_err(|error| EngineError::format(&path, error.to_string()))?;
        let view = |name: &str, dtype| {
            let view = tensors.tensor(name).ok().filter(|view| view.dtype() == dtype);
            view.ok_or_else(|| wrong("a tensor is missing, or of another type"))
        };
        let floats = |name: &str| {
            let view = view(name, Dtype::F32)?;
            let values = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
            let values: Vec<f32> = values.collect();
            let finite = values.iter().all(|value| value.is_finite());
            finite.then_some(values).ok_or_else(|| wrong("a tensor is not of finite numbers"))
        };
        let hashes = view("hashes", Dtype::U64)?;
        let hashes = hashes.data().as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b));
        let model = Self {
            hashes: hashes.collect(),
            weights: floats("weights")?,
            dense: floats("dense")?,
            start: floats("start")?,
            follow: floats("follow")?,
            tags,
            dimension,
        };
        let tags = model.tags.len();
        let fits = (1..=MAX_TAGS).contains(&tags)
            && Some(model.weights.len()) == model.hashes.len().checked_mul(tags)
            && Some(model.dense.len()) == dimension.checked_mul(tags)
            && model.start.len() == tags
            && model.follow.len() == tags * tags;
        if fits { Ok(model) } else { Err(wrong("tags and weights do not fit each other")) }
    }

    /// Writes the model into its folder.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), EngineError> {
        let (tags, dimension) = (self.tags.clone(), self.dimension);
        let count = tags.len();
        let json = serde_json::to_string_pretty(&Description { format: FORMAT, tags, dimension });
        let path = folder.join(Self::FILE);
        fs::write(&path, json.unwrap_or_default())
            .map_err(|error| EngineError::io(&path, error))?;
        let floats = |values, shape| Tensor {
            dtype: Dtype::F32,
            shape,
            bytes: bytemuck::cast_slice::<f32, u8>(values),
        };
        let hashes = Tensor {
            dtype: Dtype::U64,
            shape: vec![self.hashes.len()],
            bytes: bytemuck::cast_slice(&self.hashes),
        };
        let tensors = [
            ("hashes", hashes),
            ("weights", floats(&self.weights, vec![self.hashes.len(), count])),
            ("dense", floats(&self.dense, vec![dimension, count])),
            ("start", floats(&self.start, vec![count])),
            ("follow", floats(&self.follow, vec![count, count])),
        ];
        let path = folder.join(Self::WEIGHTS);
        let bytes = safetensors::serialize(tensors, None)
            .map_err(|error| EngineError::format(&path, error.to_string()))?;
        fs::write(&path, bytes).map_err(|error| EngineError::io(&path, error))
    }

    /// The rows of the features by their hashes.
    #[must_use]
    pub fn rows(&self) -> HashMap<u64, usize> {
        self.hashes.iter().enumerate().map(|(row, hash)| (*hash, row)).collect()
    }

    /// The chain of its tags.
    #[must_use]
    pub fn chain(&self) -> Option<Chain> {
        Chain::new(self.tags.len(), self.start.clone(), self.follow.clone())
    }

    /// The scores of every token's tags, in the plainest way. `rows` are those of
    /// [`SequenceModel::rows`], `vectors` those of the words.
    #[must_use]
    pub fn scores(&self, rows: &HashMap<u64, usize>, words: &[&str], vectors: &[f32]) -> Vec<f32> {
        let tags = self.tags.len();
        let mut hashes = Vec::new();
        TokenFeatures::default().hashes(words, &mut hashes);
        let mut scores = vec![0.0f32; words.len() * tags];
        for (token, (scores, hashes)) in
            scores.chunks_exact_mut(tags).zip(hashes.chunks_exact(TOKEN_FEATURES)).enumerate()
        {
            for row in hashes.iter().filter_map(|hash| rows.get(hash)) {
                let weights = self.weights.get(row * tags..).unwrap_or_default();
                scores.iter_mut().zip(weights).for_each(|(score, weight)| *score += weight);
            }
            let own = vectors.get(token * self.dimension..).unwrap_or_default();
            for (value, weights) in own.iter().zip(self.dense.chunks_exact(tags)) {
                let products = weights.iter().map(|weight| value * weight);
                scores.iter_mut().zip(products).for_each(|(score, product)| *score += product);
            }
        }
        scores
    }
}
