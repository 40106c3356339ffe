//! How the file of a compiled encoder is laid out: the one place that both the packer and the
//! reader take it from.
//!
//! Little-endian. Magic, u32 version, u32 length of the description, the description as JSON; then,
//! each at the next multiple of 64, f32 unless said otherwise:
//!
//! 1. the table of words, the table of positions (the first segment's row added), and the norm of
//!    their sum;
//! 2. at the next multiple of a page, per layer: the map to queries (scaled), keys and values in
//!    panels of the target, its bias; the map behind attention, its bias; the norm; per chunk of
//!    the feed-forward part the map up, its bias, the map down, its bias; the norm;
//! 3. the head, if there is one: a dense map with its bias, the classifier with its bias, as rows.
//!
//! The layers lie in the order in which they are used, so that a cold file is read from front to
//! back. Scales, shifts and biases of panels are padded with zeros to whole panels.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{
    Pooling,
    config::{EncoderConfig, HeadKind},
};
use crate::kernel::{Layout, PANEL, Target};

/// The first bytes of a compiled encoder.
pub(super) const MAGIC: &[u8; 8] = b"MESHENC\0";
/// The version of its format.
pub(super) const VERSION: u32 = 1;
/// Sections start at multiples of this: a cache line.
const ALIGNMENT: usize = 64;
/// Layers start at a multiple of this: a page of memory.
const PAGE: usize = 4096;
/// Columns of the feed-forward part that are computed at once: so few that a block of tokens and
/// the weights stay in the second cache.
const CHUNK: usize = 384;

/// What the file says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    pub(super) target: String,
    pub(super) config: EncoderConfig,
    pub(super) pooling: Pooling,
    /// The most tokens of one window of a text, special ones included.
    pub(super) max_tokens: usize,
}

/// Where the parts of a linear map are.
#[derive(Debug, Clone)]
pub(super) struct MapPlan {
    pub(super) weights: Range<usize>,
    pub(super) bias: Range<usize>,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

/// Where the parts of a norm are.
#[derive(Debug, Clone)]
pub(super) struct NormPlan {
    pub(super) scale: Range<usize>,
    pub(super) shift: Range<usize>,
}

/// Where the parts of a layer are.
#[derive(Debug, Clone)]
pub(super) struct LayerPlan {
    pub(super) qkv: MapPlan,
    pub(super) attention: MapPlan,
    pub(super) attention_norm: NormPlan,
    /// Maps up and down, and the columns of the feed-forward part that they are for.
    pub(super) chunks: Vec<(MapPlan, MapPlan, Range<usize>)>,
    pub(super) output_norm: NormPlan,
}

/// Where everything is.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) words: Range<usize>,
    pub(super) positions: Range<usize>,
    pub(super) norm: NormPlan,
    pub(super) layers: Vec<LayerPlan>,
    pub(super) dense: Option<MapPlan>,
    pub(super) classifier: Option<MapPlan>,
    /// Bytes of the file.
    pub(super) total: usize,
}

struct Cursor {
    at: usize,
    layout: Layout,
}

impl Cursor {
    fn bytes(&mut self, count: usize) -> Range<usize> {
        let start = self.at.next_multiple_of(ALIGNMENT);
        self.at = start + count;
        start..self.at
    }

    fn floats(&mut self, count: usize) -> Range<usize> {
        self.bytes(count * size_of::<f32>())
    }

    fn padded(&mut self, count: usize) -> Range<usize> {
        self.floats(count.next_multiple_of(PANEL))
    }

    fn panels(&mut self, inputs: usize, outputs: usize) -> MapPlan {
        let weights = self.bytes(self.layout.bytes(inputs, outputs));
        MapPlan { weights, bias: self.padded(outputs), inputs, outputs }
    }

    fn rows(&mut self, inputs: usize, outputs: usize) -> MapPlan {
        let weights = self.floats(inputs * outputs);
        MapPlan { weights, bias: self.floats(outputs), inputs, outputs }
    }

    fn norm(&mut self, columns: usize) -> NormPlan {
        NormPlan { scale: self.padded(columns), shift: self.padded(columns) }
    }

    fn layer(&mut self, config: &EncoderConfig) -> LayerPlan {
        let EncoderConfig { hidden, intermediate, .. } = *config;
        let qkv = self.panels(hidden, 3 * hidden);
        let attention = self.panels(hidden, hidden);
        let attention_norm = self.norm(hidden);
        let starts = (0..intermediate).step_by(CHUNK);
        let chunks = starts.map(|start| {
            let columns = start..intermediate.min(start + CHUNK);
            let up = self.panels(hidden, columns.len());
            (up, self.panels(columns.len(), hidden), columns)
        });
        let chunks = chunks.collect();
        LayerPlan { qkv, attention, attention_norm, chunks, output_norm: self.norm(hidden) }
    }
}

impl Plan {
    /// The plan of a file whose description takes this many bytes. The dimensions are those of a
    /// checked config, so that nothing overflows.
    pub(super) fn new(description: &Description, target: Target, description_bytes: usize) -> Self {
        let config = &description.config;
        let mut cursor = Cursor { at: 16 + description_bytes, layout: target.layout() };
        let words = cursor.floats(config.vocabulary * config.hidden);
        let positions = cursor.floats(config.max_tokens() * config.hidden);
        let norm = cursor.norm(config.hidden);
        cursor.at = cursor.at.next_multiple_of(PAGE);
        let layers = (0..config.layers).map(|_| cursor.layer(config)).collect();
        let text = config.head == HeadKind::SequenceClassification;
        let dense = text.then(|| cursor.rows(config.hidden, config.hidden));
        let labels = config.labels.len();
        let classifier =
            (config.head != HeadKind::None).then(|| cursor.rows(config.hidden, labels));
        Self { words, positions, norm, layers, dense, classifier, total: cursor.at }
    }

    /// The layers, first to last byte.
    pub(super) fn layer_bytes(&self) -> Range<usize> {
        let start = self.layers.first().map_or(0, |layer| layer.qkv.weights.start);
        let end = self.layers.last().map_or(0, |layer| layer.output_norm.shift.end);
        start..end
    }
}
