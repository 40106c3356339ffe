//! Products of bf16 operands, added up in f32: AVX-512 BF16, and a plain one to test against.

use std::arch::x86_64::*;

use super::{
    buffer::PANEL,
    gemm::{Gemm, Left},
    simd::Simd,
    x86::Avx512,
};

/// bf16 by the dot-product instruction of AVX-512 BF16.
#[derive(Clone, Copy)]
pub(super) struct Avx512Bf16;

/// `R` rows times the 32 columns of a panel.
///
/// # Safety
/// As [`Gemm::block`].
#[inline(always)]
unsafe fn tile<const R: usize>(left: Left<u16>, panel: *const u16, block: *mut f32) {
    unsafe {
        let mut sums = [[Avx512::splat(0.0); 2]; R];
        let (mut at, mut panel) = (left.at, panel.cast::<__m512bh>());
        for _ in 0..left.k.div_ceil(2) {
            let right = [panel.read_unaligned(), panel.add(1).read_unaligned()];
            for (row, sums) in sums.iter_mut().enumerate() {
                let values = at.add(row * left.stride).cast::<i32>();
                let values = _mm512_set1_epi32(values.read_unaligned());
                let values = std::mem::transmute::<__m512i, __m512bh>(values);
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = _mm512_dpbf16_ps(*sum, values, right);
                }
            }
            at = at.add(2);
            panel = panel.add(2);
        }
        for (row, [first, second]) in sums.iter().enumerate() {
            Avx512::store(block.add(row * PANEL), *first);
            Avx512::store(block.add(row * PANEL + Avx512::LANES), *second);
        }
    }
}

/// Sixteen values rounded to bf16, as the CPU rounds them: to nearest, ties to even.
///
/// # Safety
/// AVX-512 BF16 must be there.
#[inline(always)]
pub(super) unsafe fn narrow(to: *mut u16, vector: __m512) {
    unsafe {
        let narrow = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(vector));
        _mm256_storeu_si256(to.cast(), narrow);
    }
}

/// One value rounded to bf16, as [`narrow`] does: what is too small for a normal number is zero.
pub(super) fn narrow_one(value: f32) -> u16 {
    let value = if value.is_subnormal() { 0.0f32.copysign(value) } else { value };
    half::bf16::from_f32(value).to_bits()
}

impl Gemm for Avx512Bf16 {
    type S = Avx512;
    type Elem = u16;
    const GROUP: usize = 2;
    const K_ALIGN: usize = 32;
    const ROWS: usize = 14;

    #[inline(always)]
    unsafe fn block(left: Left<u16>, panel: *const u16, block: *mut f32) {
        // A function of its own: mixed with its callers, the loop loses its registers.
        #[target_feature(enable = "avx512f,avx512bf16")]
        #[inline(never)]
        unsafe fn run(left: Left<u16>, panel: *const u16, block: *mut f32) {
            // SAFETY: as the caller's.
            unsafe {
                match left.rows {
                    1 => tile::<1>(left, panel, block),
                    2 => tile::<2>(left, panel, block),
                    3 => tile::<3>(left, panel, block),
                    4 => tile::<4>(left, panel, block),
                    5 => tile::<5>(left, panel, block),
                    6 => tile::<6>(left, panel, block),
                    7 => tile::<7>(left, panel, block),
                    8 => tile::<8>(left, panel, block),
                    9 => tile::<9>(left, panel, block),
                    10 => tile::<10>(left, panel, block),
                    11 => tile::<11>(left, panel, block),
                    12 => tile::<12>(left, panel, block),
                    13 => tile::<13>(left, panel, block),
                    _ => tile::<14>(left, panel, block),
                }
            }
        }
        // SAFETY: as the caller's.
        unsafe { run(left, panel, block) }
    }

    #[inline(always)]
    unsafe fn narrow(to: *mut u16, vector: __m512) {
        // SAFETY: as the caller's.
        unsafe { narrow(to, vector) }
    }

    #[inline(always)]
    unsafe fn narrow_one(value: f32) -> u16 {
        narrow_one(value)
    }
}
