//! The weights of an encoder by their role, whatever the architecture names them.

use std::path::Path;

use super::{
    config::{Architecture, EncoderConfig, HeadKind},
    tensors::{self, Tensor, TensorFile},
};
use crate::EngineError;

/// A linear map: `outputs` rows of `inputs` weights, and a bias per output.
#[derive(Debug, Clone, Default)]
pub(super) struct Linear {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) inputs: usize,
}

/// Scale and shift of a layer norm.
#[derive(Debug, Clone, Default)]
pub(super) struct NormWeights {
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
}

/// One layer.
#[derive(Debug, Clone, Default)]
pub(super) struct LayerWeights {
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) attention: Linear,
    pub(super) attention_norm: NormWeights,
    pub(super) up: Linear,
    pub(super) down: Linear,
    pub(super) output_norm: NormWeights,
}

/// A classification head: for a text a map with an activation first, for a token none.
#[derive(Debug, Clone, Default)]
pub(super) struct HeadWeights {
    pub(super) dense: Option<Linear>,
    pub(super) classifier: Linear,
}

/// All weights of an encoder.
#[derive(Debug, Clone, Default)]
pub(super) struct EncoderWeights {
    pub(super) words: Tensor,
    /// The tables of positions and of the first segment, added up: row i is the i-th token's.
    pub(super) positions: Tensor,
    pub(super) norm: NormWeights,
    pub(super) layers: Vec<LayerWeights>,
    pub(super) head: Option<HeadWeights>,
}

/// The names of one architecture's tensors inside a layer.
struct Names {
    layer: &'static str,
    query: &'static str,
    key: &'static str,
    value: &'static str,
    attention: &'static str,
    attention_norm: &'static str,
    up: &'static str,
    down: &'static str,
    output_norm: &'static str,
}

const BERT: Names = Names {
    layer: "encoder.layer",
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    attention: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    output_norm: "output.LayerNorm",
};

const DISTILBERT: Names = Names {
    layer: "transformer.layer",
    query: "attention.q_lin",
    key: "attention.k_lin",
    value: "attention.v_lin",
    attention: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    up: "ffn.lin1",
    down: "ffn.lin2",
    output_norm: "output_layer_norm",
};

const WORDS: &str = "embeddings.word_embeddings.weight";

impl Linear {
    pub(super) fn outputs(&self) -> usize {
        self.bias.len()
    }
}

impl EncoderWeights {
    /// The name of its file.
    pub(super) const FILE: &str = "model.safetensors";

    /// Reads the weights of a model folder, as the config promises them.
    pub(super) fn read(folder: &Path, config: &EncoderConfig) -> Result<Self, EngineError> {
        let path = folder.join(Self::FILE);
        let map = tensors::open(&path)?;
        let mut file = TensorFile::parse(&path, &map, WORDS)?;
        let weights = Self::take(&mut file, config)?;
        file.finish()?;
        Ok(weights)
    }

    fn take(file: &mut TensorFile<'_>, config: &EncoderConfig) -> Result<Self, EngineError> {
        let hidden = config.hidden;
        let words = file.take(WORDS, &[config.vocabulary, hidden])?;
        let all =
            file.take("embeddings.position_embeddings.weight", &[config.positions, hidden])?;
        let skipped = config.first_position * hidden;
        let mut positions = all.values.get(skipped..).unwrap_or_default().to_vec();
        if config.segments > 0 {
            let shape = [config.segments, hidden];
            let segments = file.take("embeddings.token_type_embeddings.weight", &shape)?;
            for row in positions.chunks_exact_mut(hidden) {
                row.iter_mut().zip(&segments.values).for_each(|(value, add)| *value += add);
            }
        }
        let norm = take_norm(file, "embeddings.LayerNorm", hidden)?;
        let names =
            if config.architecture == Architecture::Distilbert { &DISTILBERT } else { &BERT };
        let layer = |index| take_layer(file, config, names, index);
        let layers = (0..config.layers).map(layer).collect::<Result<_, _>>()?;
        let head = take_head(file, config)?;
        let positions = Tensor { values: positions, columns: hidden };
        Ok(Self { words, positions, norm, layers, head })
    }
}

fn take_layer(
    file: &mut TensorFile<'_>,
    config: &EncoderConfig,
    names: &Names,
    index: usize,
) -> Result<LayerWeights, EngineError> {
    let (hidden, intermediate) = (config.hidden, config.intermediate);
    let name = |part: &str| format!("{}.{index}.{part}", names.layer);
    let mut linear = |part: &str, inputs, outputs| take_linear(file, &name(part), inputs, outputs);
    let query = linear(names.query, hidden, hidden)?;
    let key = linear(names.key, hidden, hidden)?;
    let value = linear(names.value, hidden, hidden)?;
    let attention = linear(names.attention, hidden, hidden)?;
    let up = linear(names.up, hidden, intermediate)?;
    let down = linear(names.down, intermediate, hidden)?;
    let attention_norm = take_norm(file, &name(names.attention_norm), hidden)?;
    let output_norm = take_norm(file, &name(names.output_norm), hidden)?;
    Ok(LayerWeights { query, key, value, attention, attention_norm, up, down, output_norm })
}

fn take_linear(
    file: &mut TensorFile<'_>,
    name: &str,
    inputs: usize,
    outputs: usize,
) -> Result<Linear, EngineError> {
    let weight = file.take(&format!("{name}.weight"), &[outputs, inputs])?.values;
    let bias = file.take(&format!("{name}.bias"), &[outputs])?.values;
    Ok(Linear { weight, bias, inputs })
}

fn take_norm(
    file: &mut TensorFile<'_>,
    name: &str,
    hidden: usize,
) -> Result<NormWeights, EngineError> {
    let scale = file.take(&format!("{name}.weight"), &[hidden])?.values;
    let shift = file.take(&format!("{name}.bias"), &[hidden])?.values;
    Ok(NormWeights { scale, shift })
}

/// The head's tensors stand beside the encoder's, but BERT's pooler, which is inside.
fn take_head(
    file: &mut TensorFile<'_>,
    config: &EncoderConfig,
) -> Result<Option<HeadWeights>, EngineError> {
    let (hidden, labels) = (config.hidden, config.labels.len());
    let mut linear = |name: &str, outputs| -> Result<Linear, EngineError> {
        let weight = file.take_named(&format!("{name}.weight"), &[outputs, hidden])?.values;
        let bias = file.take_named(&format!("{name}.bias"), &[outputs])?.values;
        Ok(Linear { weight, bias, inputs: hidden })
    };
    let (dense, classifier) = match (config.head, config.architecture) {
        (HeadKind::None, _) => return Ok(None),
        (HeadKind::TokenClassification, _) => (None, linear("classifier", labels)?),
        (HeadKind::SequenceClassification, Architecture::Bert) => {
            (Some("pooler.dense"), linear("classifier", labels)?)
        }
        (HeadKind::SequenceClassification, Architecture::Distilbert) => {
            (Some("pre_classifier"), linear("classifier", labels)?)
        }
        (HeadKind::SequenceClassification, _) => {
            (Some("classifier.dense"), linear("classifier.out_proj", labels)?)
        }
    };
    let dense = match dense {
        Some(name @ "pooler.dense") => Some(take_linear(file, name, hidden, hidden)?),
        Some(name) => Some(linear(name, hidden)?),
        None => None,
    };
    Ok(Some(HeadWeights { dense, classifier }))
}
