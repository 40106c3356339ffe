//! A logistic head on the embeddings of an encoder that stays as it is.

use std::{fs, path::Path};

use safetensors::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};

use super::reference::{dot, softmax};
use crate::{EngineError, EngineErrorKind};

/// A multinomial logistic regression on L2-normalised embeddings.
///
/// Files: `head.json`, and `head.safetensors` with `weight` (labels x dimension) and `bias`
/// (labels), f32.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticHead {
    /// The labels, in the order of the weights.
    pub labels: Vec<String>,
    /// Decision values are divided by it before they become probabilities; 1 is uncalibrated.
    pub temperature: f32,
    /// Labels x dimension.
    pub weight: Vec<f32>,
    /// One per label.
    pub bias: Vec<f32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: u32,
    labels: Vec<String>,
    temperature: f32,
}

const FORMAT: u32 = 1;

struct Floats<'a>(&'a [f32], Vec<usize>);

impl View for Floats<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.1
    }
    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        self.0.iter().flat_map(|value| value.to_le_bytes()).collect()
    }
    fn data_len(&self) -> usize {
        size_of_val(self.0)
    }
}

impl LogisticHead {
    /// The description's file.
    pub const FILE: &str = "head.json";
    /// The weights' file.
    pub const WEIGHTS: &str = "head.safetensors";

    /// Reads a head from the folder of a model.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the two contradict each other.
    pub fn read(folder: &Path) -> Result<Self, EngineError> {
        let path = folder.join(Self::FILE);
        let text = fs::read_to_string(&path).map_err(|error| EngineError::io(&path, error))?;
        let description: Description = serde_json::from_str(&text)
            .map_err(|error| EngineError::format(&path, error.to_string()))?;
        if description.format > FORMAT {
            let reason = format!("it has format {}", description.format);
            return Err(EngineError::new(&path, EngineErrorKind::Newer, reason));
        }
        let path = folder.join(Self::WEIGHTS);
        let bytes = fs::read(&path).map_err(|error| EngineError::io(&path, error))?;
        let wrong = |reason: &str| EngineError::format(&path, reason);
        let tensors = SafeTensors::deserialize(&bytes)
            .map_err(|error| EngineError::format(&path, error.to_string()))?;
        let floats = |name: &str| {
            let view = tensors.tensor(name).map_err(|_| wrong("a tensor is missing"))?;
            let values = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
            let values: Vec<f32> = values.collect();
            let finite = values.iter().all(|value| value.is_finite());
            let right = view.dtype() == Dtype::F32 && finite;
            right.then_some(values).ok_or_else(|| wrong("a tensor is not of finite f32"))
        };
        let Description { labels, temperature, .. } = description;
        let head = Self { labels, temperature, weight: floats("weight")?, bias: floats("bias")? };
        let labels = head.labels.len();
        let fits = labels >= 2
            && head.bias.len() == labels
            && !head.weight.is_empty()
            && head.weight.len().is_multiple_of(labels)
            && head.temperature > 0.0;
        if fits { Ok(head) } else { Err(wrong("labels, weights and biases do not fit each other")) }
    }

    /// Writes the head into the folder of a model.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), EngineError> {
        let (labels, temperature) = (self.labels.clone(), self.temperature);
        let description = Description { format: FORMAT, labels, temperature };
        let json = serde_json::to_string_pretty(&description).unwrap_or_default();
        let path = folder.join(Self::FILE);
        fs::write(&path, json).map_err(|error| EngineError::io(&path, error))?;
        let rows = self.labels.len();
        let tensors = [
            ("weight", Floats(&self.weight, vec![rows, self.weight.len() / rows.max(1)])),
            ("bias", Floats(&self.bias, vec![rows])),
        ];
        let path = folder.join(Self::WEIGHTS);
        let bytes = safetensors::serialize(tensors, None)
            .map_err(|error| EngineError::format(&path, error.to_string()))?;
        fs::write(&path, bytes).map_err(|error| EngineError::io(&path, error))
    }

    /// Values of an embedding.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.weight.len() / self.labels.len().max(1)
    }

    /// The probability of every label for a normalised embedding.
    #[must_use]
    pub fn probabilities(&self, embedding: &[f32]) -> Vec<f32> {
        let rows = self.weight.chunks_exact(self.dimension().max(1));
        let mut scores: Vec<f32> = rows
            .zip(&self.bias)
            .map(|(weights, bias)| (dot(weights, embedding) + bias) / self.temperature)
            .collect();
        softmax(&mut scores);
        scores
    }
}
