//! From a trained encoder to the file of a compiled one.

use super::{
    EncoderOptions,
    config::EncoderConfig,
    layout::{Description, MAGIC, MapPlan, NormPlan, Plan, VERSION},
    reference::ReferenceEncoder,
    weights::{LayerWeights, Linear, NormWeights},
};
use crate::kernel::Target;

/// Packs an encoder for a target: the bytes of a compiled encoder's file.
#[must_use]
pub fn pack_encoder(
    encoder: &ReferenceEncoder,
    target: Target,
    options: &EncoderOptions,
) -> Vec<u8> {
    let config = encoder.config().clone();
    let max_tokens = options.max_tokens(&config);
    let description =
        Description { target: target.to_string(), config, pooling: options.pooling, max_tokens };
    let json = serde_json::to_vec(&description).unwrap_or_default();
    let plan = Plan::new(&description, target, json.len());
    let mut file = File { bytes: vec![0; plan.total], target };
    file.put(0, MAGIC);
    file.put(8, &VERSION.to_le_bytes());
    file.put(12, &u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes());
    file.put(16, &json);
    let weights = &encoder.weights;
    file.floats(plan.words.start, &weights.words.values);
    file.floats(plan.positions.start, &weights.positions.values);
    file.norm(&plan.norm, &weights.norm);
    for (layer, plan) in weights.layers.iter().zip(&plan.layers) {
        file.panels(&plan.qkv, &queries_keys_values(layer, &description.config));
        file.panels(&plan.attention, &layer.attention);
        file.norm(&plan.attention_norm, &layer.attention_norm);
        for (up, down, columns) in &plan.chunks {
            file.panels(up, &outputs_of(&layer.up, columns.clone()));
            file.panels(down, &inputs_of(&layer.down, columns.clone()));
        }
        file.norm(&plan.output_norm, &layer.output_norm);
    }
    if let Some(head) = &weights.head {
        if let (Some(plan), Some(dense)) = (&plan.dense, &head.dense) {
            file.rows(plan, dense);
        }
        if let Some(plan) = &plan.classifier {
            file.rows(plan, &head.classifier);
        }
    }
    file.bytes
}

struct File {
    bytes: Vec<u8>,
    target: Target,
}

impl File {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    fn floats(&mut self, at: usize, values: &[f32]) {
        for (index, value) in values.iter().enumerate() {
            self.put(at + index * size_of::<f32>(), &value.to_le_bytes());
        }
    }

    fn panels(&mut self, plan: &MapPlan, map: &Linear) {
        let packed = self.target.layout().pack(&map.weight, plan.inputs, plan.outputs);
        self.put(plan.weights.start, &packed);
        self.floats(plan.bias.start, &map.bias);
    }

    fn rows(&mut self, plan: &MapPlan, map: &Linear) {
        self.floats(plan.weights.start, &map.weight);
        self.floats(plan.bias.start, &map.bias);
    }

    fn norm(&mut self, plan: &NormPlan, norm: &NormWeights) {
        self.floats(plan.scale.start, &norm.scale);
        self.floats(plan.shift.start, &norm.shift);
    }
}

/// One map to all three, the queries scaled by one over the root of a head's size: products need
/// no scaling then.
fn queries_keys_values(layer: &LayerWeights, config: &EncoderConfig) -> Linear {
    #[expect(clippy::cast_precision_loss, reason = "a few dozen columns")]
    let scale = 1.0 / (config.head_size() as f32).sqrt();
    let scaled = |values: &[f32]| values.iter().map(|value| value * scale).collect();
    let query = Linear {
        weight: scaled(&layer.query.weight),
        bias: scaled(&layer.query.bias),
        inputs: layer.query.inputs,
    };
    let maps = [&query, &layer.key, &layer.value];
    Linear {
        weight: maps.iter().flat_map(|map| map.weight.iter().copied()).collect(),
        bias: maps.iter().flat_map(|map| map.bias.iter().copied()).collect(),
        inputs: config.hidden,
    }
}

/// Some of the outputs of a map.
fn outputs_of(map: &Linear, columns: std::ops::Range<usize>) -> Linear {
    let rows = columns.start * map.inputs..columns.end * map.inputs;
    Linear {
        weight: map.weight.get(rows).unwrap_or_default().to_vec(),
        bias: map.bias.get(columns).unwrap_or_default().to_vec(),
        inputs: map.inputs,
    }
}

/// Some of the inputs of a map; the bias goes with the first of them.
fn inputs_of(map: &Linear, columns: std::ops::Range<usize>) -> Linear {
    let rows = map.weight.chunks_exact(map.inputs.max(1));
    let part = |row: &[f32]| row.get(columns.clone()).unwrap_or_default().to_vec();
    let bias = if columns.start == 0 { map.bias.clone() } else { vec![0.0; map.outputs()] };
    Linear { weight: rows.flat_map(part).collect(), bias, inputs: columns.len() }
}
