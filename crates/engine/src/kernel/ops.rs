//! What an encoder layer is made of, for every target at once.

use std::ops::Range;

use super::{
    Activation,
    buffer::{Operand, PANEL, Rows},
    gemm::{Gemm, Left, even_blocks},
    simd::{self, Simd},
};

/// Where the results of [`linear`] go.
pub(super) enum Sink<E> {
    /// Through an activation, as elements of the next operand.
    Elements { to: *mut E, stride: usize, activation: Activation },
    /// Added to rows of f32.
    Sum { to: *mut f32, stride: usize },
}

/// Weights and biases of one linear map, in panels.
pub(super) struct Weights<E> {
    pub(super) panels: *const E,
    /// One value per column, padded to whole panels.
    pub(super) bias: *const f32,
    pub(super) k: usize,
    /// Columns, in whole panels.
    pub(super) panel_count: usize,
}

/// Bytes of panels that stay in the second cache while all rows pass by.
const GROUP_BYTES: usize = 384 << 10;

/// One block of results: at most 32 rows of a panel.
#[repr(C, align(64))]
struct Block([f32; 32 * PANEL]);

/// Elements of a panel of `k` values.
const fn panel_elements<G: Gemm>(k: usize) -> usize {
    k.next_multiple_of(G::K_ALIGN) * PANEL
}

/// `sink = activation(left x weights + bias)`, or the sum added.
///
/// # Safety
/// The target's instructions must be there; `left` must have `rows` rows and what
/// [`Gemm::block`] asks for; the sink must have room for `rows` rows of whole panels.
#[inline(always)]
pub(super) unsafe fn linear<G: Gemm>(
    left: *const G::Elem,
    left_stride: usize,
    rows: usize,
    weights: &Weights<G::Elem>,
    sink: &Sink<G::Elem>,
) {
    unsafe {
        G::begin();
        let mut block = Block([0.0; 32 * PANEL]);
        let block = block.0.as_mut_ptr();
        // A few panels stay in the second cache while all rows pass; a block of rows stays in the
        // first while those panels pass.
        let bytes = panel_elements::<G>(weights.k) * size_of::<G::Elem>();
        let group = (GROUP_BYTES / bytes.max(1)).max(1);
        for first in (0..weights.panel_count).step_by(group) {
            let panels = first..weights.panel_count.min(first + group);
            for (start, count) in even_blocks(rows, G::ROWS) {
                let at = left.add(start * left_stride);
                let left = Left { at, stride: left_stride, rows: count, k: weights.k };
                for panel in panels.clone() {
                    let right = weights.panels.add(panel * panel_elements::<G>(weights.k));
                    G::block(left, right, block);
                    let bias = weights.bias.add(panel * PANEL);
                    drain::<G>(block, count, bias, sink, (start, panel * PANEL));
                }
            }
        }
        G::end();
    }
}

/// Takes a block to where it belongs: the row and the column of its first value.
#[inline(always)]
unsafe fn drain<G: Gemm>(
    block: *const f32,
    rows: usize,
    bias: *const f32,
    sink: &Sink<G::Elem>,
    (row, column): (usize, usize),
) {
    unsafe {
        match sink {
            Sink::Elements { to, stride, activation } => {
                let to = to.add(row * stride + column);
                match activation {
                    Activation::None => elements::<G>(block, rows, bias, to, *stride, |v| v),
                    Activation::Gelu => {
                        elements::<G>(block, rows, bias, to, *stride, |v| simd::gelu::<G::S>(v));
                    }
                    Activation::GeluTanh => {
                        let gelu = |v| simd::gelu_tanh::<G::S>(v);
                        elements::<G>(block, rows, bias, to, *stride, gelu);
                    }
                    Activation::Relu => {
                        let relu = |v| G::S::max(v, G::S::splat(0.0));
                        elements::<G>(block, rows, bias, to, *stride, relu);
                    }
                }
            }
            Sink::Sum { to, stride } => {
                sum::<G::S>(block, rows, bias, to.add(row * stride + column), *stride);
            }
        }
    }
}

#[inline(always)]
unsafe fn elements<G: Gemm>(
    block: *const f32,
    rows: usize,
    bias: *const f32,
    to: *mut G::Elem,
    stride: usize,
    activation: impl Fn(<G::S as Simd>::V) -> <G::S as Simd>::V,
) {
    unsafe {
        for row in 0..rows {
            for column in (0..PANEL).step_by(G::S::LANES) {
                let value = G::S::load(block.add(row * PANEL + column));
                let value = G::S::add(value, G::S::load(bias.add(column)));
                G::narrow(to.add(row * stride + column), activation(value));
            }
        }
    }
}

#[inline(always)]
unsafe fn sum<S: Simd>(
    block: *const f32,
    rows: usize,
    bias: *const f32,
    to: *mut f32,
    stride: usize,
) {
    unsafe {
        for row in 0..rows {
            for column in (0..PANEL).step_by(S::LANES) {
                let to = to.add(row * stride + column);
                let value = S::add(S::load(block.add(row * PANEL + column)), S::load(to));
                S::store(to, S::add(value, S::load(bias.add(column))));
            }
        }
    }
}

/// Layer norm (Ba, Kiros and Hinton 2016) of every row, in place and as elements of an operand.
///
/// # Safety
/// The target's instructions must be there; `scale` and `shift` must hold as many values as a
/// row with its padding, zeros in it.
#[inline(always)]
pub(super) unsafe fn layer_norm<G: Gemm>(
    rows: &mut Rows,
    (scale, shift, epsilon): (*const f32, *const f32, f32),
    out: &mut Operand,
) {
    unsafe {
        let (stride, out_stride, columns) = (rows.stride(), out.stride(), rows.columns());
        #[expect(clippy::cast_precision_loss, reason = "a few thousand columns")]
        let (count, padding) = (columns as f32, (stride - columns) as f32);
        for row in 0..rows.rows() {
            let x = rows.as_mut_ptr().add(row * stride);
            let to = out.as_mut_ptr::<G::Elem>().add(row * out_stride);
            let mut total = G::S::splat(0.0);
            for column in (0..stride).step_by(G::S::LANES) {
                total = G::S::add(total, G::S::load(x.add(column)));
            }
            let mean = G::S::sum(total) / count;
            let mean_vector = G::S::splat(mean);
            let mut squares = G::S::splat(0.0);
            for column in (0..stride).step_by(G::S::LANES) {
                let off = G::S::sub(G::S::load(x.add(column)), mean_vector);
                squares = G::S::fma(off, off, squares);
            }
            // The zeros of the padding are off by the mean too.
            let variance = (G::S::sum(squares) - padding * mean * mean).max(0.0) / count;
            let inverse = G::S::splat(1.0 / (variance + epsilon).sqrt());
            for column in (0..stride).step_by(G::S::LANES) {
                let off = G::S::sub(G::S::load(x.add(column)), mean_vector);
                let scale = G::S::mul(inverse, G::S::load(scale.add(column)));
                let value = G::S::fma(off, scale, G::S::load(shift.add(column)));
                G::S::store(x.add(column), value);
                G::narrow(to.add(column), value);
            }
        }
    }
}

/// Queries whose scores are held at once: they stay in the second cache.
const QUERY_ROWS: usize = 64;

/// Buffers of [`attention`].
#[derive(Default)]
pub(crate) struct AttentionScratch {
    keys: Operand,
    values: Operand,
    scores: Operand,
    weights: Operand,
}

/// The shape of attention.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    /// Heads.
    pub(crate) count: usize,
    /// Columns of a head.
    pub(crate) size: usize,
}

/// Scaled dot-product attention (Vaswani et al. 2017), text by text and head by head: `qkv` holds
/// queries, keys and values side by side, the queries already scaled.
///
/// # Safety
/// The target's instructions must be there; the spans must lie inside the rows of `qkv`.
#[inline(always)]
pub(super) unsafe fn attention<G: Gemm>(
    qkv: &Operand,
    texts: &[Range<usize>],
    heads: Heads,
    out: &mut Operand,
    scratch: &mut AttentionScratch,
) {
    unsafe {
        G::begin();
        let mut block = Block([0.0; 32 * PANEL]);
        let block = block.0.as_mut_ptr();
        let hidden = heads.count * heads.size;
        let (stride, out_stride) = (qkv.stride(), out.stride());
        for text in texts {
            let length = text.len();
            let padded = length.next_multiple_of(PANEL);
            let key_panel = panel_elements::<G>(heads.size);
            let value_panel = panel_elements::<G>(length);
            scratch.keys.resize_flat(padded / PANEL * key_panel);
            scratch.values.resize_flat(heads.size.div_ceil(PANEL) * value_panel);
            scratch.scores.resize_flat(QUERY_ROWS * padded);
            scratch.weights.resize_flat(QUERY_ROWS * padded);
            for head in 0..heads.count {
                let first = qkv.as_ptr::<G::Elem>().add(text.start * stride + head * heads.size);
                let keys = scratch.keys.as_mut_ptr::<G::Elem>();
                let values = scratch.values.as_mut_ptr::<G::Elem>();
                pack_keys::<G>(first.add(hidden), stride, (length, heads.size), keys);
                pack_values::<G>(first.add(2 * hidden), stride, (length, heads.size), values);
                for (start, count) in even_blocks(length, QUERY_ROWS) {
                    let queries = first.add(start * stride);
                    let scores = scratch.scores.as_mut_ptr::<f32>();
                    let weights = scratch.weights.as_mut_ptr::<G::Elem>();
                    for panel in 0..padded / PANEL {
                        let keys = keys.add(panel * key_panel);
                        for (row, rows) in even_blocks(count, G::ROWS) {
                            let at = queries.add(row * stride);
                            let left = Left { at, stride, rows, k: heads.size };
                            G::block(left, keys, block);
                            let to = scores.add(row * padded + panel * PANEL);
                            copy_rows::<G::S>(block, rows, to, padded);
                        }
                    }
                    for row in 0..count {
                        let at = row * padded;
                        softmax::<G>(scores.add(at), weights.add(at), length, padded);
                    }
                    for panel in 0..heads.size.div_ceil(PANEL) {
                        let values = values.add(panel * value_panel);
                        let columns = (heads.size - panel * PANEL).min(PANEL);
                        for (row, rows) in even_blocks(count, G::ROWS) {
                            let at = weights.add(row * padded).cast_const();
                            let left = Left { at, stride: padded, rows, k: length };
                            G::block(left, values, block);
                            let column = head * heads.size + panel * PANEL;
                            let to = (text.start + start + row) * out_stride + column;
                            let to = out.as_mut_ptr::<G::Elem>().add(to);
                            for row in 0..rows {
                                let from = block.cast_const().add(row * PANEL);
                                store_some::<G>(from, to.add(row * out_stride), columns);
                            }
                        }
                    }
                }
            }
        }
        G::end();
    }
}

/// The keys of a text as the right operand of queries: k is the head's columns.
#[inline(always)]
unsafe fn pack_keys<G: Gemm>(
    from: *const G::Elem,
    stride: usize,
    (length, size): (usize, usize),
    to: *mut G::Elem,
) {
    unsafe {
        let zero = G::narrow_one(0.0);
        let depth = size.next_multiple_of(G::K_ALIGN);
        for panel in 0..length.div_ceil(PANEL) {
            let to = to.add(panel * panel_elements::<G>(size));
            let tokens = (length - panel * PANEL).min(PANEL);
            let from = from.add(panel * PANEL * stride);
            for group in 0..depth / G::GROUP {
                for token in 0..PANEL {
                    for part in 0..G::GROUP {
                        let k = group * G::GROUP + part;
                        let inside = token < tokens && k < size;
                        let value = if inside { *from.add(token * stride + k) } else { zero };
                        *to.add((group * PANEL + token) * G::GROUP + part) = value;
                    }
                }
            }
        }
    }
}

/// The values of a text as the right operand of attention weights: k is the text's tokens.
#[inline(always)]
unsafe fn pack_values<G: Gemm>(
    from: *const G::Elem,
    stride: usize,
    (length, size): (usize, usize),
    to: *mut G::Elem,
) {
    unsafe {
        let zero = G::narrow_one(0.0);
        let depth = length.next_multiple_of(G::K_ALIGN);
        for panel in 0..size.div_ceil(PANEL) {
            let to = to.add(panel * panel_elements::<G>(length));
            let columns = (size - panel * PANEL).min(PANEL);
            let from = from.add(panel * PANEL);
            for group in 0..depth / G::GROUP {
                for part in 0..G::GROUP {
                    let token = group * G::GROUP + part;
                    let columns = if token < length { columns } else { 0 };
                    let to = to.add(group * PANEL * G::GROUP + part);
                    for column in 0..columns {
                        *to.add(column * G::GROUP) = *from.add(token * stride + column);
                    }
                    for column in columns..PANEL {
                        *to.add(column * G::GROUP) = zero;
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn copy_rows<S: Simd>(from: *const f32, rows: usize, to: *mut f32, stride: usize) {
    unsafe {
        for row in 0..rows {
            for column in (0..PANEL).step_by(S::LANES) {
                let value = S::load(from.add(row * PANEL + column));
                S::store(to.add(row * stride + column), value);
            }
        }
    }
}

/// Softmax of one row of `length` scores; zeros up to `padded`.
#[inline(always)]
unsafe fn softmax<G: Gemm>(scores: *mut f32, to: *mut G::Elem, length: usize, padded: usize) {
    unsafe {
        // What is behind the text must not count: so low that its e^x is as good as nothing,
        // and set to exactly nothing below.
        for column in length..padded {
            *scores.add(column) = f32::MIN;
        }
        let mut largest = G::S::splat(f32::MIN);
        for column in (0..padded).step_by(G::S::LANES) {
            largest = G::S::max(largest, G::S::load(scores.add(column)));
        }
        let largest = G::S::splat(G::S::largest(largest));
        for column in (0..padded).step_by(G::S::LANES) {
            let score = G::S::sub(G::S::load(scores.add(column)), largest);
            G::S::store(scores.add(column), simd::exp::<G::S>(score));
        }
        for column in length..padded {
            *scores.add(column) = 0.0;
        }
        let mut total = G::S::splat(0.0);
        for column in (0..padded).step_by(G::S::LANES) {
            total = G::S::add(total, G::S::load(scores.add(column)));
        }
        let inverse = G::S::splat(1.0 / G::S::sum(total));
        for column in (0..padded).step_by(G::S::LANES) {
            let weight = G::S::mul(G::S::load(scores.add(column)), inverse);
            G::narrow(to.add(column), weight);
        }
    }
}

/// Writes the first `columns` values of a row as elements.
#[inline(always)]
unsafe fn store_some<G: Gemm>(from: *const f32, to: *mut G::Elem, columns: usize) {
    unsafe {
        let whole = columns - columns % G::S::LANES;
        for column in (0..whole).step_by(G::S::LANES) {
            G::narrow(to.add(column), G::S::load(from.add(column)));
        }
        for column in whole..columns {
            *to.add(column) = G::narrow_one(*from.add(column));
        }
    }
}
