//! A batch of texts through the layers, packed one after the other without padding.

use std::ops::Range;

use memmap2::Mmap;

use super::{
    config::HiddenActivation,
    layout::{Description, LayerPlan, MapPlan, NormPlan, Plan},
};
use crate::kernel::{
    Activation, AttentionScratch, Heads, Kernel, Norm, Operand, Output, Panels, Rows, Texts,
};

/// Rows that go through the feed-forward part together: with the weights of a chunk they stay in
/// the second cache.
const BLOCK_ROWS: usize = 384;

/// What a thread computes in. It grows to the largest batch, and is used again.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) hidden: Rows,
    x: Operand,
    qkv: Operand,
    context: Operand,
    inner: Operand,
    attention: AttentionScratch,
}

/// A compiled encoder's parts, as the file and the plan give them.
pub(super) struct Network<'a> {
    pub(super) map: &'a Mmap,
    pub(super) plan: &'a Plan,
    pub(super) description: &'a Description,
    pub(super) kernel: &'static dyn Kernel,
}

impl<'a> Network<'a> {
    /// Leaves the hidden states of all tokens of the texts in `scratch.hidden`, text by text;
    /// gives the rows of each.
    pub(super) fn run<T: AsRef<[u32]>>(
        &self,
        texts: &[T],
        scratch: &mut Scratch,
    ) -> Vec<Range<usize>> {
        let config = &self.description.config;
        let spans = self.embed(texts, &mut scratch.hidden);
        let Scratch { hidden, x, qkv, context, inner, attention } = scratch;
        let heads = Heads { count: config.heads, size: config.head_size() };
        let activation = match config.activation {
            HiddenActivation::Gelu => Activation::Gelu,
            HiddenActivation::GeluTanh => Activation::GeluTanh,
            HiddenActivation::Relu => Activation::Relu,
        };
        let rows = hidden.rows();
        self.kernel.layer_norm(hidden, self.norm(&self.plan.norm), x);
        for layer in &self.plan.layers {
            let output = Output::Elements { to: qkv, activation: Activation::None };
            self.kernel.linear(x, 0..rows, self.panels(&layer.qkv), output);
            self.kernel.attention(qkv, Texts { rows: &spans, heads }, context, attention);
            let output = Output::Sum { to: hidden, first: 0 };
            self.kernel.linear(context, 0..rows, self.panels(&layer.attention), output);
            self.kernel.layer_norm(hidden, self.norm(&layer.attention_norm), x);
            self.feed_forward(layer, activation, (x, inner, hidden));
            self.kernel.layer_norm(hidden, self.norm(&layer.output_norm), x);
        }
        spans
    }

    fn feed_forward(
        &self,
        layer: &LayerPlan,
        activation: Activation,
        (x, inner, hidden): (&Operand, &mut Operand, &mut Rows),
    ) {
        let rows = hidden.rows();
        for first in (0..rows).step_by(BLOCK_ROWS) {
            let block = first..rows.min(first + BLOCK_ROWS);
            for (up, down, _) in &layer.chunks {
                let output = Output::Elements { to: inner, activation };
                self.kernel.linear(x, block.clone(), self.panels(up), output);
                let output = Output::Sum { to: hidden, first };
                self.kernel.linear(inner, 0..block.len(), self.panels(down), output);
            }
        }
    }

    /// The sums of the tables of words and positions.
    fn embed<T: AsRef<[u32]>>(&self, texts: &[T], hidden: &mut Rows) -> Vec<Range<usize>> {
        let config = &self.description.config;
        let columns = config.hidden;
        let (words, positions) = (self.floats(&self.plan.words), self.floats(&self.plan.positions));
        let longest = config.max_tokens();
        let mut end = 0;
        let spans: Vec<Range<usize>> = texts
            .iter()
            .map(|text| {
                let start = end;
                end += text.as_ref().len().min(longest);
                start..end
            })
            .collect();
        hidden.resize(end, columns);
        for (text, span) in texts.iter().zip(&spans) {
            for ((token, row), at) in text.as_ref().iter().zip(span.clone()).zip(0..) {
                let token = *token as usize;
                let token = if token < config.vocabulary { token } else { 0 };
                let word = words.get(token * columns..).unwrap_or_default();
                let position = positions.get(at * columns..).unwrap_or_default();
                let to = hidden.row_mut(row);
                for ((to, word), position) in to.iter_mut().zip(word).zip(position) {
                    *to = word + position;
                }
            }
        }
        spans
    }

    /// Numbers of the file. A plan's ranges lie inside the file and are aligned: checked when it
    /// was opened.
    pub(super) fn floats(&self, range: &Range<usize>) -> &'a [f32] {
        let bytes = self.map.get(range.clone()).unwrap_or_default();
        bytemuck::try_cast_slice(bytes).unwrap_or_default()
    }

    fn panels(&self, plan: &MapPlan) -> Panels<'a> {
        Panels {
            bytes: self.map.get(plan.weights.clone()).unwrap_or_default(),
            bias: self.floats(&plan.bias),
            inputs: plan.inputs,
            outputs: plan.outputs,
        }
    }

    fn norm(&self, plan: &NormPlan) -> Norm<'a> {
        Norm {
            scale: self.floats(&plan.scale),
            shift: self.floats(&plan.shift),
            epsilon: self.description.config.epsilon,
        }
    }
}
