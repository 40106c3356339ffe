//! Transformer encoders: BERT, DistilBERT, RoBERTa and XLM-RoBERTa.
//!
//! [`ReferenceEncoder`] is a model folder as it was trained, run in the plainest way;
//! [`pack_encoder`] makes one file of it for a target, which [`CompiledEncoder`] maps into memory
//! and runs fast. A batch has no padding: the tokens of its texts lie one after the other, products
//! run over all of them, attention runs text by text.

mod compiled;
mod config;
mod folder;
mod forward;
mod head;
mod layout;
mod pack;
mod reference;
mod tensors;
#[cfg(test)]
mod tests;
mod text;
mod tokens;
mod weights;
mod words;

pub use compiled::CompiledEncoder;
pub use config::{Architecture, EncoderConfig, HeadKind, HiddenActivation};
pub use folder::EncoderFolder;
pub use head::LogisticHead;
pub use pack::pack_encoder;
pub use reference::ReferenceEncoder;
pub use text::{EncoderClassifier, TextEncoder};
pub use tokens::{TextTokenizer, Windows};
pub use words::WordWindows;

pub use mesh_core::manifest::Pooling;

/// What is decided when an encoder is compiled, beside its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderOptions {
    /// How hidden states become one vector.
    pub pooling: Pooling,
    /// The most tokens of one window of a text, special ones included; as many as the encoder has
    /// positions without it.
    pub max_tokens: Option<usize>,
}

/// The vector of a text, from the hidden states of its tokens.
#[must_use]
pub fn pool<'a>(pooling: Pooling, mut rows: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
    let mut pooled = rows.next().map(<[f32]>::to_vec).unwrap_or_default();
    if pooling == Pooling::Cls {
        return pooled;
    }
    let mut count = 1.0;
    for row in rows {
        pooled.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        count += 1.0;
    }
    pooled.iter_mut().for_each(|sum| *sum /= count);
    pooled
}

impl Default for EncoderOptions {
    fn default() -> Self {
        Self { pooling: Pooling::Mean, max_tokens: None }
    }
}

impl EncoderOptions {
    /// The most tokens of a window of an encoder.
    #[must_use]
    pub fn max_tokens(&self, config: &EncoderConfig) -> usize {
        let longest = config.max_tokens();
        self.max_tokens.map_or(longest, |wanted| wanted.clamp(3, longest))
    }
}

/// Scales a vector to length 1; one of zeros stays as it is.
pub fn normalise(vector: &mut [f32]) {
    let length = reference::dot(vector, vector).sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
}
