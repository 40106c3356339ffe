//! Attention, for every target at once.

use std::ops::Range;

use super::{
    buffer::{Operand, PANEL},
    gemm::{Block, Gemm, Left, even_blocks},
    ops::{BlockMemory, panel_elements},
    simd::{self, Simd},
};

/// Queries whose scores are held at once: they stay in the second cache.
pub(super) const QUERY_ROWS: usize = 64;

/// Buffers of [`attention`].
#[derive(Default)]
pub(crate) struct AttentionScratch {
    keys: Operand,
    values: Operand,
    scores: Operand,
    weights: Operand,
}

impl AttentionScratch {
    /// Makes room for a text.
    fn make_room<G: Gemm>(&mut self, length: usize, head: usize) {
        let padded = length.next_multiple_of(PANEL);
        self.keys.resize_flat(padded / PANEL * panel_elements::<G>(head));
        self.values.resize_flat(head.div_ceil(PANEL) * panel_elements::<G>(length));
        self.scores.resize_flat(QUERY_ROWS * padded);
        self.weights.resize_flat(QUERY_ROWS * padded);
    }
}

/// One of queries, keys and values of one head of a text.
#[derive(Clone, Copy)]
pub(super) struct Text<E> {
    pub(super) at: *const E,
    /// Elements from token to token.
    pub(super) stride: usize,
    /// Tokens.
    pub(super) length: usize,
    /// Columns of the head.
    pub(super) size: usize,
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
        let hidden = heads.count * heads.size;
        let stride = qkv.stride();
        for text in texts {
            let length = text.len();
            scratch.make_room::<G>(length, heads.size);
            for head in 0..heads.count {
                let column = head * heads.size;
                let at = qkv.as_ptr::<G::Elem>().add(text.start * stride + column);
                let part =
                    |first: usize| Text { at: at.add(first), stride, length, size: heads.size };
                G::pack_keys(part(hidden), scratch.keys.as_mut_ptr());
                G::pack_values(part(2 * hidden), scratch.values.as_mut_ptr());
                for (start, count) in even_blocks(length, QUERY_ROWS) {
                    let queries =
                        Left { at: at.add(start * stride), stride, rows: count, k: heads.size };
                    scores::<G>(queries, length, scratch);
                    let to = (text.start + start) * out.stride() + column;
                    let to = (out.as_mut_ptr::<G::Elem>().add(to), out.stride());
                    weighted::<G>((count, length), heads.size, scratch, to);
                }
            }
        }
        G::end();
    }
}

/// Products of queries and all keys.
#[inline(always)]
unsafe fn scores<G: Gemm>(queries: Left<G::Elem>, length: usize, scratch: &mut AttentionScratch) {
    unsafe {
        let stride = length.next_multiple_of(PANEL);
        let keys = scratch.keys.as_ptr::<G::Elem>();
        let scores = scratch.scores.as_mut_ptr::<f32>();
        for (row, rows) in G::blocks(queries.rows) {
            let left = Left { at: queries.at.add(row * queries.stride), rows, ..queries };
            for panel in 0..stride / PANEL {
                let keys = keys.add(panel * panel_elements::<G>(queries.k));
                let to = Block { at: scores.add(row * stride + panel * PANEL), stride };
                G::block(left, keys, to, &());
            }
        }
    }
}

/// Softmax of the scores, and the values weighted with it.
#[inline(always)]
unsafe fn weighted<G: Gemm>(
    (count, length): (usize, usize),
    size: usize,
    scratch: &mut AttentionScratch,
    (to, to_stride): (*mut G::Elem, usize),
) {
    unsafe {
        let stride = length.next_multiple_of(PANEL);
        let scores = scratch.scores.as_mut_ptr::<f32>();
        let weights = scratch.weights.as_mut_ptr::<G::Elem>();
        let mut inverse = [0.0; QUERY_ROWS];
        G::softmax(scores, weights, (count, length), &mut inverse);
        let mut memory = BlockMemory::new();
        let block = memory.block();
        for panel in 0..size.div_ceil(PANEL) {
            let values =
                scratch.values.as_ptr::<G::Elem>().add(panel * panel_elements::<G>(length));
            let columns = (size - panel * PANEL).min(PANEL);
            for (row, rows) in G::blocks(count) {
                let at = weights.add(row * stride).cast_const();
                G::block(Left { at, stride, rows, k: length }, values, block, &());
                let to = to.add(row * to_stride + panel * PANEL);
                for (at, inverse) in inverse.iter().skip(row).take(rows).enumerate() {
                    let from = block.at.cast_const().add(at * PANEL);
                    store_scaled::<G>(from, *inverse, to.add(at * to_stride), columns);
                }
            }
        }
    }
}

/// The keys of a text as the right operand of queries: k is the head's columns.
#[inline(always)]
pub(super) unsafe fn pack_keys<G: Gemm>(text: Text<G::Elem>, to: *mut G::Elem) {
    unsafe {
        let Text { at: from, stride, length, size } = text;
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
pub(super) unsafe fn pack_values<G: Gemm>(text: Text<G::Elem>, to: *mut G::Elem) {
    unsafe {
        let Text { at: from, stride, length, size } = text;
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

/// See [`Gemm::softmax`].
#[inline(always)]
pub(super) unsafe fn softmax<G: Gemm>(
    scores: *mut f32,
    to: *mut G::Elem,
    (length, padded): (usize, usize),
) -> f32 {
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
            let weight = G::S::load(scores.add(column));
            total = G::S::add(total, weight);
            G::narrow(to.add(column), weight);
        }
        1.0 / G::S::sum(total)
    }
}

/// Writes the first `columns` values of a row, scaled, as elements.
#[inline(always)]
unsafe fn store_scaled<G: Gemm>(from: *const f32, scale: f32, to: *mut G::Elem, columns: usize) {
    unsafe {
        let scales = G::S::splat(scale);
        if columns == PANEL {
            for column in (0..PANEL).step_by(2 * G::S::LANES) {
                let (first, second) = simd::load_two::<G::S>(from.add(column));
                let (first, second) = (G::S::mul(first, scales), G::S::mul(second, scales));
                G::narrow_two(to.add(column), first, second);
            }
            return;
        }
        let whole = columns - columns % G::S::LANES;
        for column in (0..whole).step_by(G::S::LANES) {
            G::narrow(to.add(column), G::S::mul(G::S::load(from.add(column)), scales));
        }
        for column in whole..columns {
            *to.add(column) = G::narrow_one(*from.add(column) * scale);
        }
    }
}
