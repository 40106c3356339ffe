//! Products of matrices, block by block: what the targets differ in.

use std::marker::PhantomData;

use super::{
    attention::{self, QUERY_ROWS, Text},
    buffer::PANEL,
    simd::{self, Simd},
};

/// How a target multiplies: the type of its operands, and one block of a product.
///
/// The right operand lies in panels of [`PANEL`] columns; in a panel, `GROUP` values of one
/// column that follow each other in k lie side by side, then come the other columns, then the
/// next group of k. A row of the result depends on its own row of the left operand only, and is
/// added up in the order of k: so it is the same bits in any block.
///
/// # Safety
/// Every function may only be called where the target's instructions are there.
pub(super) trait Gemm: Copy {
    /// Vectors for all that is no product.
    type S: Simd;
    /// An element of an operand.
    type Elem: Copy;
    /// Values of k side by side in a panel.
    const GROUP: usize;
    /// What the length of k is rounded up to in panels; operands have zeros there.
    const K_ALIGN: usize;
    /// The most rows of a block.
    const ROWS: usize;

    /// Makes the thread ready for [`Gemm::block`].
    #[inline(always)]
    unsafe fn begin() {}

    /// Ends what [`Gemm::begin`] began.
    #[inline(always)]
    unsafe fn end() {}

    /// Cuts rows into blocks of at most `ROWS`: (start, rows).
    #[inline(always)]
    fn blocks(rows: usize) -> impl Iterator<Item = (usize, usize)> {
        even_blocks(rows, Self::ROWS)
    }

    /// `rows` rows of `left`, each `k` long, times one panel, written to `block`; all of `aside`
    /// is done at some time in between.
    ///
    /// `left` must be readable, and `block` writable, for `ROWS` rows of `k` rounded up to
    /// `K_ALIGN`, and of [`PANEL`] values.
    unsafe fn block(
        left: Left<Self::Elem>,
        panel: *const Self::Elem,
        block: Block,
        aside: &impl Aside,
    );

    /// Writes a vector as elements.
    unsafe fn narrow(to: *mut Self::Elem, vector: <Self::S as Simd>::V);

    /// Writes two vectors as elements, side by side.
    #[inline(always)]
    unsafe fn narrow_two(
        to: *mut Self::Elem,
        first: <Self::S as Simd>::V,
        second: <Self::S as Simd>::V,
    ) {
        // SAFETY: as the caller's.
        unsafe {
            Self::narrow(to, first);
            Self::narrow(to.add(Self::S::LANES), second);
        }
    }

    /// One value as an element.
    unsafe fn narrow_one(value: f32) -> Self::Elem;

    /// Asks for a line of weights that is needed later.
    #[inline(always)]
    unsafe fn prefetch(_: *const Self::Elem) {}

    /// The exact GELU, as exact as elements are.
    #[inline(always)]
    unsafe fn gelu(vector: <Self::S as Simd>::V) -> <Self::S as Simd>::V {
        // SAFETY: as the caller's.
        unsafe { simd::gelu::<Self::S>(vector) }
    }

    /// Weights of attention from rows of scores, not yet divided by their sums, zeros behind the
    /// text; `inverse` gets 1 / sum of each row. May change the scores.
    ///
    /// Scores and weights have [`PANEL`]s of values to a row, `length` of them of the text.
    #[inline(always)]
    unsafe fn softmax(
        scores: *mut f32,
        to: *mut Self::Elem,
        (rows, length): (usize, usize),
        inverse: &mut [f32; QUERY_ROWS],
    ) {
        let padded = length.next_multiple_of(PANEL);
        for (row, inverse) in inverse.iter_mut().enumerate().take(rows) {
            // SAFETY: as the caller's.
            *inverse = unsafe {
                let (scores, to) = (scores.add(row * padded), to.add(row * padded));
                attention::softmax::<Self>(scores, to, (length, padded))
            };
        }
    }

    /// The keys of a text as the right operand of queries: k is the head's columns.
    #[inline(always)]
    unsafe fn pack_keys(text: Text<Self::Elem>, to: *mut Self::Elem) {
        // SAFETY: as the caller's.
        unsafe { attention::pack_keys::<Self>(text, to) }
    }

    /// The values of a text as the right operand of attention weights: k is the text's tokens.
    #[inline(always)]
    unsafe fn pack_values(text: Text<Self::Elem>, to: *mut Self::Elem) {
        // SAFETY: as the caller's.
        unsafe { attention::pack_values::<Self>(text, to) }
    }
}

/// Where a block of results goes.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub(super) at: *mut f32,
    /// Values from row to row.
    pub(super) stride: usize,
}

/// Work for the vector units that a product is interleaved with, so that they are busy while the
/// units of the product are.
pub(super) trait Aside {
    /// What one of `parts` parts has to do, rounded up. Divisions are slow: this is asked once.
    fn share(&self, parts: usize) -> Share;

    /// Does the part that is `part` shares behind the start.
    unsafe fn part(&self, part: usize, share: Share);
}

/// A share of what is done beside a product.
#[derive(Clone, Copy)]
pub(super) struct Share {
    /// Rows of the block before.
    pub(super) rows: usize,
    /// Lines of weights that are asked for.
    pub(super) lines: usize,
}

/// Nothing beside.
impl Aside for () {
    #[inline(always)]
    fn share(&self, _: usize) -> Share {
        Share { rows: 0, lines: 0 }
    }

    #[inline(always)]
    unsafe fn part(&self, _: usize, _: Share) {}
}

/// The left operand of a block.
#[derive(Clone, Copy)]
pub(super) struct Left<E> {
    pub(super) at: *const E,
    /// Elements from row to row.
    pub(super) stride: usize,
    /// At most [`Gemm::ROWS`], at least one.
    pub(super) rows: usize,
    pub(super) k: usize,
}

/// Products in f32, with the vectors `S`.
#[derive(Clone, Copy)]
pub(super) struct F32<S>(PhantomData<S>);

/// How far ahead weights are asked for, in values: they lie in the order of their use.
const AHEAD: usize = 32 << 10;

/// `R` rows times `C` vectors of columns: the accumulators stay in registers.
///
/// # Safety
/// As [`Gemm::block`].
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const C: usize>(
    left: Left<f32>,
    panel: *const f32,
    block: Block,
) {
    unsafe {
        let mut sums = [[S::splat(0.0); C]; R];
        let (mut at, mut panel) = (left.at, panel);
        for _ in 0..left.k {
            let right: [S::V; C] = std::array::from_fn(|c| S::load(panel.add(c * S::LANES)));
            S::prefetch(panel.wrapping_add(AHEAD).cast());
            S::prefetch(panel.wrapping_add(AHEAD + PANEL / 2).cast());
            for (row, sums) in sums.iter_mut().enumerate() {
                let value = S::splat(*at.add(row * left.stride));
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = S::fma(value, right, *sum);
                }
            }
            at = at.add(1);
            panel = panel.add(PANEL);
        }
        for (row, sums) in sums.iter().enumerate() {
            for (c, sum) in sums.iter().enumerate() {
                S::store(block.at.add(row * block.stride + c * S::LANES), *sum);
            }
        }
    }
}

macro_rules! f32_gemm {
    ($simd:ty, $most:literal: $($rows:literal)*, $vectors:literal $(, $features:literal)?) => {
        impl Gemm for F32<$simd> {
            type S = $simd;
            type Elem = f32;
            const GROUP: usize = 1;
            const K_ALIGN: usize = 1;
            const ROWS: usize = $most;

            #[inline(always)]
            unsafe fn block(
                left: Left<f32>,
                panel: *const f32,
                block: Block,
                aside: &impl Aside,
            ) {
                // A function of its own: mixed with its callers, the loop loses its registers.
                $(#[target_feature(enable = $features)])?
                #[inline(never)]
                unsafe fn run(left: Left<f32>, panel: *const f32, block: Block) {
                    for column in (0..PANEL).step_by($vectors * <$simd>::LANES) {
                        // SAFETY: as the caller's; a column is inside the panel.
                        unsafe {
                            let panel = panel.add(column);
                            let block = Block { at: block.at.add(column), ..block };
                            match left.rows {
                                $($rows => tile::<$simd, $rows, $vectors>(left, panel, block),)*
                                _ => tile::<$simd, $most, $vectors>(left, panel, block),
                            }
                        }
                    }
                }
                // SAFETY: as the caller's.
                unsafe {
                    aside.part(0, aside.share(1));
                    run(left, panel, block);
                }
            }

            #[inline(always)]
            unsafe fn narrow(to: *mut f32, vector: <$simd as Simd>::V) {
                // SAFETY: as the caller's.
                unsafe { <$simd>::store(to, vector) }
            }

            #[inline(always)]
            unsafe fn narrow_one(value: f32) -> f32 {
                value
            }
        }
    };
}

// As many accumulators as there are registers: 16 of four, 16 of eight, 32 of sixteen values,
// less one for the left operand and those for the right.
f32_gemm!(super::portable::Portable, 4: 1 2 3, 2);
#[cfg(target_arch = "x86_64")]
f32_gemm!(super::x86::Avx2, 6: 1 2 3 4 5, 2, "avx2,fma");
#[cfg(target_arch = "x86_64")]
f32_gemm!(super::x86::Avx512, 14: 1 2 3 4 5 6 7 8 9 10 11 12 13, 2, "avx512f");

/// Cuts `rows` into blocks of at most `most`, as even as they get: (start, rows).
pub(super) fn even_blocks(rows: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = rows.div_ceil(most).max(1);
    let (each, longer) = (rows / count, rows % count);
    (0..count).map(move |i| {
        let start = i * each + i.min(longer);
        (start, each + usize::from(i < longer))
    })
}
