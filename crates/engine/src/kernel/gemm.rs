//! Products of matrices, block by block: what the targets differ in.

use std::marker::PhantomData;

use super::{buffer::PANEL, simd::Simd};

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

    /// `rows` rows of `a`, each `k` long and `stride` apart, times one panel: written to `block`,
    /// [`PANEL`] values a row.
    ///
    /// `a` must be readable for `ROWS` rows of `k` rounded up to `K_ALIGN`.
    unsafe fn block(left: Left<Self::Elem>, panel: *const Self::Elem, block: *mut f32);

    /// Writes a vector as elements.
    unsafe fn narrow(to: *mut Self::Elem, vector: <Self::S as Simd>::V);

    /// One value as an element.
    unsafe fn narrow_one(value: f32) -> Self::Elem;
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

/// `R` rows times `C` vectors of columns: the accumulators stay in registers.
///
/// # Safety
/// As [`Gemm::block`].
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const C: usize>(
    left: Left<f32>,
    panel: *const f32,
    block: *mut f32,
) {
    unsafe {
        let mut sums = [[S::splat(0.0); C]; R];
        let (mut at, mut panel) = (left.at, panel);
        for _ in 0..left.k {
            let right: [S::V; C] = std::array::from_fn(|c| S::load(panel.add(c * S::LANES)));
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
                S::store(block.add(row * PANEL + c * S::LANES), *sum);
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
            unsafe fn block(left: Left<f32>, panel: *const f32, block: *mut f32) {
                // A function of its own: mixed with its callers, the loop loses its registers.
                $(#[target_feature(enable = $features)])?
                #[inline(never)]
                unsafe fn run(left: Left<f32>, panel: *const f32, block: *mut f32) {
                    for column in (0..PANEL).step_by($vectors * <$simd>::LANES) {
                        // SAFETY: as the caller's; a column is inside the panel.
                        unsafe {
                            let (panel, block) = (panel.add(column), block.add(column));
                            match left.rows {
                                $($rows => tile::<$simd, $rows, $vectors>(left, panel, block),)*
                                _ => tile::<$simd, $most, $vectors>(left, panel, block),
                            }
                        }
                    }
                }
                // SAFETY: as the caller's.
                unsafe { run(left, panel, block) }
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
