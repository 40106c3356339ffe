//! An encoder as it was trained, run in the plainest way: what compiled ones are held against.

use std::path::Path;

use super::{
    config::{Architecture, EncoderConfig, HeadKind, HiddenActivation},
    weights::{EncoderWeights, HeadWeights, Linear, NormWeights},
};
use crate::EngineError;

/// An uncompiled encoder: f32 weights in memory, one text and one row after the other.
#[derive(Debug, Clone)]
pub struct ReferenceEncoder {
    pub(super) config: EncoderConfig,
    pub(super) weights: EncoderWeights,
}

/// Partial sums of a product of vectors: enough for a compiler to use the CPU's vectors.
const PARTS: usize = 16;

impl ReferenceEncoder {
    /// Reads `config.json` and `model.safetensors` of a model folder.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the two contradict each other.
    pub fn read(folder: &Path) -> Result<Self, EngineError> {
        let config = EncoderConfig::read(folder)?;
        let weights = EncoderWeights::read(folder, &config)?;
        Ok(Self { config, weights })
    }

    /// What it is made of.
    #[must_use]
    pub const fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The hidden state of every token, row by row. Tokens must be inside the vocabulary, and no
    /// more than the encoder has positions for; others count as the first one, or not at all.
    #[must_use]
    pub fn hidden(&self, tokens: &[u32]) -> Vec<Vec<f32>> {
        let tokens = tokens.get(..self.config.max_tokens()).unwrap_or(tokens);
        let mut rows: Vec<Vec<f32>> =
            tokens.iter().enumerate().map(|(at, id)| self.embed(*id, at)).collect();
        for layer in &self.weights.layers {
            let query = map_rows(&rows, &layer.query);
            let key = map_rows(&rows, &layer.key);
            let value = map_rows(&rows, &layer.value);
            let context = self.attention(&query, &key, &value);
            add_norm(
                &mut rows,
                &map_rows(&context, &layer.attention),
                &layer.attention_norm,
                self.config.epsilon,
            );
            let mut inner = map_rows(&rows, &layer.up);
            let activation = self.config.activation;
            inner.iter_mut().flatten().for_each(|value| *value = activate(activation, *value));
            add_norm(
                &mut rows,
                &map_rows(&inner, &layer.down),
                &layer.output_norm,
                self.config.epsilon,
            );
        }
        rows
    }

    /// The decision of the head: of the text in one row, or of every token in a row of its own;
    /// nothing if the encoder has no head.
    #[must_use]
    pub fn logits(&self, hidden: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let Some(head) = &self.weights.head else { return Vec::new() };
        let rows = match self.config.head {
            HeadKind::TokenClassification => hidden,
            _ => hidden.get(..1).unwrap_or_default(),
        };
        rows.iter().map(|row| head.logits(self.config.architecture, row)).collect()
    }

    /// As [`ReferenceEncoder::logits`], as probabilities.
    #[must_use]
    pub fn probabilities(&self, hidden: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let mut rows = self.logits(hidden);
        rows.iter_mut().for_each(|row| softmax(row));
        rows
    }

    fn embed(&self, token: u32, at: usize) -> Vec<f32> {
        let hidden = self.config.hidden;
        let row = |table: &[f32], row: usize| {
            table.get(row * hidden..(row + 1) * hidden).unwrap_or_default().to_vec()
        };
        let token = if (token as usize) < self.config.vocabulary { token as usize } else { 0 };
        let mut embedded = row(&self.weights.words.values, token);
        let position = row(&self.weights.positions.values, at);
        embedded.iter_mut().zip(position).for_each(|(value, add)| *value += add);
        norm(&mut embedded, &self.weights.norm, self.config.epsilon);
        embedded
    }

    fn attention(&self, query: &[Vec<f32>], key: &[Vec<f32>], value: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let size = self.config.head_size();
        #[expect(clippy::cast_precision_loss, reason = "a few dozen columns")]
        let scale = 1.0 / (size as f32).sqrt();
        let mut context = vec![vec![0.0; self.config.hidden]; query.len()];
        for head in 0..self.config.heads {
            let columns = head * size..(head + 1) * size;
            let part = |row: &Vec<f32>| row.get(columns.clone()).unwrap_or_default().to_vec();
            let keys: Vec<_> = key.iter().map(part).collect();
            for (row, query) in context.iter_mut().zip(query) {
                let query = part(query);
                let mut weights: Vec<f32> =
                    keys.iter().map(|key| dot(&query, key) * scale).collect();
                softmax(&mut weights);
                let to = row.get_mut(columns.clone()).unwrap_or_default();
                for (weight, value) in weights.iter().zip(value) {
                    let value = value.get(columns.clone()).unwrap_or_default();
                    to.iter_mut().zip(value).for_each(|(to, value)| *to += weight * value);
                }
            }
        }
        context
    }
}

impl HeadWeights {
    /// The decision of the head on one hidden state.
    pub(super) fn logits(&self, architecture: Architecture, hidden: &[f32]) -> Vec<f32> {
        let Some(dense) = &self.dense else { return self.classifier.apply(hidden) };
        let mut inner = dense.apply(hidden);
        let rectified = architecture == Architecture::Distilbert;
        for value in &mut inner {
            *value = if rectified { value.max(0.0) } else { libm::tanhf(*value) };
        }
        self.classifier.apply(&inner)
    }
}

impl Linear {
    /// One row through the map.
    pub(super) fn apply(&self, row: &[f32]) -> Vec<f32> {
        let rows = self.weight.chunks_exact(self.inputs.max(1));
        rows.zip(&self.bias).map(|(weights, bias)| dot(weights, row) + bias).collect()
    }
}

/// Scales values to positive ones that add up to 1.
pub(super) fn softmax(values: &mut [f32]) {
    let largest = values.iter().copied().fold(f32::MIN, f32::max);
    values.iter_mut().for_each(|value| *value = libm::expf(*value - largest));
    let sum: f32 = values.iter().sum();
    values.iter_mut().for_each(|value| *value /= sum);
}

/// The product of two vectors, always added up in the same order.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; PARTS];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<PARTS>(), b.as_chunks::<PARTS>());
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

fn map_rows(rows: &[Vec<f32>], map: &Linear) -> Vec<Vec<f32>> {
    rows.iter().map(|row| map.apply(row)).collect()
}

fn add_norm(rows: &mut [Vec<f32>], add: &[Vec<f32>], weights: &NormWeights, epsilon: f32) {
    for (row, add) in rows.iter_mut().zip(add) {
        row.iter_mut().zip(add).for_each(|(value, add)| *value += add);
        norm(row, weights, epsilon);
    }
}

fn norm(row: &mut [f32], weights: &NormWeights, epsilon: f32) {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand columns")]
    let count = row.len() as f32;
    let mean = row.iter().sum::<f32>() / count;
    let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / count;
    let inverse = 1.0 / (variance + epsilon).sqrt();
    for ((value, scale), shift) in row.iter_mut().zip(&weights.scale).zip(&weights.shift) {
        *value = (*value - mean) * inverse * scale + shift;
    }
}

fn activate(activation: HiddenActivation, x: f32) -> f32 {
    match activation {
        HiddenActivation::Relu => x.max(0.0),
        HiddenActivation::Gelu => 0.5 * x * (1.0 + libm::erff(x * std::f32::consts::FRAC_1_SQRT_2)),
        HiddenActivation::GeluTanh => {
            // sqrt(2 / pi)
            let inner = 0.797_884_6 * (x + 0.044_715 * x * x * x);
            0.5 * x * (1.0 + libm::tanhf(inner))
        }
    }
}
