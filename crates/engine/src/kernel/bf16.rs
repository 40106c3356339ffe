//! Products of bf16 operands, added up in f32: AVX-512 BF16, and a plain one to test against.

use std::arch::x86_64::*;

use super::{
    attention::{self, QUERY_ROWS, Text},
    buffer::PANEL,
    gemm::{Aside, Block, Gemm, Left},
    simd::{Simd, polynomial},
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
unsafe fn tile<const R: usize>(left: Left<u16>, panel: *const u16, block: Block) {
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
            let to = block.at.add(row * block.stride);
            Avx512::store(to, *first);
            Avx512::store(to.add(Avx512::LANES), *second);
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

/// Two vectors rounded to bf16, as [`narrow`] does, in one go.
///
/// # Safety
/// AVX-512 BF16 must be there.
#[inline(always)]
pub(super) unsafe fn narrow_two(to: *mut u16, first: __m512, second: __m512) {
    unsafe {
        let both = _mm512_cvtne2ps_pbh(second, first);
        _mm512_storeu_si512(to.cast(), std::mem::transmute::<__m512bh, __m512i>(both));
    }
}

/// One value rounded to bf16, as [`narrow`] does: what is too small for a normal number is zero.
pub(super) fn narrow_one(value: f32) -> u16 {
    let value = if value.is_subnormal() { 0.0f32.copysign(value) } else { value };
    half::bf16::from_f32(value).to_bits()
}

/// What the targets that multiply bf16 share: how elements are made and laid out.
macro_rules! bf16_elements {
    () => {
        #[inline(always)]
        unsafe fn narrow(to: *mut u16, vector: __m512) {
            // SAFETY: as the caller's.
            unsafe { $crate::kernel::bf16::narrow(to, vector) }
        }

        #[inline(always)]
        unsafe fn narrow_two(to: *mut u16, first: __m512, second: __m512) {
            // SAFETY: as the caller's.
            unsafe { $crate::kernel::bf16::narrow_two(to, first, second) }
        }

        #[inline(always)]
        unsafe fn narrow_one(value: f32) -> u16 {
            $crate::kernel::bf16::narrow_one(value)
        }

        #[inline(always)]
        unsafe fn gelu(vector: __m512) -> __m512 {
            // SAFETY: as the caller's.
            unsafe { $crate::kernel::bf16::gelu(vector) }
        }

        #[inline(always)]
        unsafe fn softmax(
            scores: *mut f32,
            to: *mut u16,
            shape: (usize, usize),
            inverse: &mut [f32; QUERY_ROWS],
        ) {
            // SAFETY: as the caller's.
            unsafe { $crate::kernel::bf16::softmax(scores, to, shape, inverse) }
        }

        #[inline(always)]
        unsafe fn pack_keys(text: Text<u16>, to: *mut u16) {
            // SAFETY: as the caller's.
            unsafe { $crate::kernel::bf16::pack_keys::<Self>(text, to) }
        }

        #[inline(always)]
        unsafe fn pack_values(text: Text<u16>, to: *mut u16) {
            // SAFETY: as the caller's.
            unsafe { $crate::kernel::bf16::pack_values::<Self>(text, to) }
        }
    };
}
pub(super) use bf16_elements;

impl Gemm for Avx512Bf16 {
    type S = Avx512;
    type Elem = u16;
    const GROUP: usize = 2;
    const K_ALIGN: usize = 32;
    const ROWS: usize = 14;

    #[inline(always)]
    unsafe fn block(left: Left<u16>, panel: *const u16, block: Block, aside: &impl Aside) {
        // A function of its own: mixed with its callers, the loop loses its registers.
        #[target_feature(enable = "avx512f,avx512bf16")]
        #[inline(never)]
        unsafe fn run(left: Left<u16>, panel: *const u16, block: Block) {
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
        unsafe {
            aside.part(0, aside.share(1));
            run(left, panel, block);
        }
    }

    bf16_elements!();
}

/// erf(x / sqrt 2) / 2x on |x| <= 4.2 as a polynomial in x^2, highest order first: a minimax fit
/// that keeps GELU within 3e-5 there and 1.4e-5 |x| beyond, a hundredth of what rounding to bf16
/// takes.
const ERF: [f32; 9] = [
    4.923_711e-11,
    -4.795_583e-9,
    2.072_452_5e-7,
    -5.289_526e-6,
    8.983_559e-5,
    -0.001_086_457,
    0.009_740_935,
    -0.066_222_07,
    0.398_834_6,
];
const ERF_LIMIT: f32 = 4.2;

/// GELU, the exact one, to the precision of bf16.
///
/// # Safety
/// AVX-512 F and DQ must be there.
#[inline(always)]
pub(super) unsafe fn gelu(x: __m512) -> __m512 {
    /// The smaller absolute value, with the sign of the first operand.
    const NEARER_TO_ZERO: i32 = 0b0010;
    unsafe {
        let clamped = _mm512_range_ps::<NEARER_TO_ZERO>(x, _mm512_set1_ps(ERF_LIMIT));
        let square = _mm512_mul_ps(clamped, clamped);
        let half_erf = polynomial::<Avx512, 9>(square, &ERF);
        _mm512_mul_ps(x, _mm512_fmadd_ps(clamped, half_erf, _mm512_set1_ps(0.5)))
    }
}

/// 2^r on |r| <= 1/2, highest order first: a minimax fit within 7.5e-5, a fiftieth of what
/// rounding to bf16 takes.
const POWER: [f32; 4] = [0.055_171_34, 0.242_611_17, 0.693_261, 0.999_928_07];

/// [`Gemm::softmax`] in bf16, sixteen rows at a time: their maxima and their sums lie in one
/// vector each.
///
/// # Safety
/// AVX-512 F, VL, BW and BF16 must be there; pointers as [`Gemm::softmax`] says.
#[inline(always)]
pub(super) unsafe fn softmax(
    scores: *const f32,
    to: *mut u16,
    (rows, length): (usize, usize),
    inverse: &mut [f32; QUERY_ROWS],
) {
    unsafe {
        let padded = length.next_multiple_of(PANEL);
        // Behind the text: in the last two vectors only.
        let inside = u32::MAX >> (padded - length);
        for (first, inverse) in (0..rows).step_by(ROWS).zip(inverse.chunks_exact_mut(ROWS)) {
            let count = (rows - first).min(ROWS);
            let (scores, to) = (scores.add(first * padded), to.add(first * padded));
            let mut partial = [_mm512_setzero_ps(); ROWS];
            for (row, partial) in partial.iter_mut().enumerate().take(count) {
                *partial = largest_of(scores.add(row * padded), padded, inside);
            }
            let scale = _mm512_set1_ps(std::f32::consts::LOG2_E);
            let mut off = [0.0f32; ROWS];
            _mm512_storeu_ps(off.as_mut_ptr(), _mm512_mul_ps(maxima(partial), scale));
            for ((row, partial), off) in partial.iter_mut().enumerate().zip(&off).take(count) {
                let at = row * padded;
                *partial = powers(scores.add(at), to.add(at), (padded, inside), *off);
            }
            let one = _mm512_set1_ps(1.0);
            _mm512_storeu_ps(inverse.as_mut_ptr(), _mm512_div_ps(one, sums(partial)));
        }
    }
}

/// Rows that softmax takes at once: the values of a vector.
const ROWS: usize = Avx512::LANES;

/// The masks of the last two vectors of a row.
#[inline(always)]
const fn masks(inside: u32) -> (__mmask16, __mmask16) {
    ((inside & 0xffff) as u16, (inside >> 16) as u16)
}

/// The largest values of a row, place by place.
#[inline(always)]
unsafe fn largest_of(scores: *const f32, padded: usize, inside: u32) -> __m512 {
    unsafe {
        let last = padded - PANEL;
        let (first_mask, second_mask) = masks(inside);
        let lowest = _mm512_set1_ps(f32::MIN);
        let mut first = _mm512_mask_loadu_ps(lowest, first_mask, scores.add(last));
        let mut second = _mm512_mask_loadu_ps(lowest, second_mask, scores.add(last + ROWS));
        for column in (0..last).step_by(PANEL) {
            first = _mm512_max_ps(first, _mm512_loadu_ps(scores.add(column)));
            second = _mm512_max_ps(second, _mm512_loadu_ps(scores.add(column + ROWS)));
        }
        _mm512_max_ps(first, second)
    }
}

/// Writes e^(score) / 2^off of a row; gives their sums, place by place.
#[inline(always)]
unsafe fn powers(
    scores: *const f32,
    to: *mut u16,
    (padded, inside): (usize, u32),
    off: f32,
) -> __m512 {
    unsafe {
        let last = padded - PANEL;
        let (first_mask, second_mask) = masks(inside);
        let scale = _mm512_set1_ps(std::f32::consts::LOG2_E);
        let off = _mm512_set1_ps(off);
        let exponent = |at: usize| _mm512_fmsub_ps(_mm512_loadu_ps(scores.add(at)), scale, off);
        let mut total = _mm512_setzero_ps();
        for column in (0..last).step_by(PANEL) {
            let [first, second] = power([exponent(column), exponent(column + ROWS)]);
            total = _mm512_add_ps(total, _mm512_add_ps(first, second));
            narrow_two(to.add(column), first, second);
        }
        let [first, second] = power([exponent(last), exponent(last + ROWS)]);
        let first = _mm512_maskz_mov_ps(first_mask, first);
        let second = _mm512_maskz_mov_ps(second_mask, second);
        narrow_two(to.add(last), first, second);
        _mm512_add_ps(total, _mm512_add_ps(first, second))
    }
}

/// Sixteen vectors become one, value by value the result of all values of one of them, in an
/// order that is always the same.
macro_rules! across {
    ($(#[$doc:meta])* $name:ident, $op:ident) => {
        $(#[$doc])*
        #[expect(clippy::indexing_slicing, reason = "places of arrays, known when it is compiled")]
        #[inline(always)]
        unsafe fn $name(rows: [__m512; ROWS]) -> __m512 {
            unsafe {
                let zero = _mm512_setzero_ps();
                let (mut pairs, mut fours) = ([zero; 8], [zero; 4]);
                for i in 0..8 {
                    let (a, b) = (rows[2 * i], rows[2 * i + 1]);
                    pairs[i] = $op(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
                }
                for i in 0..4 {
                    let (a, b) = (_mm512_castps_pd(pairs[2 * i]), _mm512_castps_pd(pairs[2 * i + 1]));
                    let (low, high) = (_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
                    fours[i] = $op(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
                }
                let [a, b, c, d] = fours;
                let halves = [
                    $op(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b)),
                    $op(_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xdd>(c, d)),
                ];
                let [a, b] = halves;
                $op(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b))
            }
        }
    };
}

across!(
    /// The largest value of each vector.
    maxima,
    _mm512_max_ps
);
across!(
    /// The sum of each vector.
    sums,
    _mm512_add_ps
);

/// 2^x of two vectors, in step.
#[inline(always)]
unsafe fn power(x: [__m512; 2]) -> [__m512; 2] {
    const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    unsafe {
        let whole = [_mm512_roundscale_ps::<NEAREST>(x[0]), _mm512_roundscale_ps::<NEAREST>(x[1])];
        let rest = [_mm512_sub_ps(x[0], whole[0]), _mm512_sub_ps(x[1], whole[1])];
        let mut power = [_mm512_set1_ps(POWER[0]); 2];
        for coefficient in &POWER[1..] {
            let coefficient = _mm512_set1_ps(*coefficient);
            power[0] = _mm512_fmadd_ps(power[0], rest[0], coefficient);
            power[1] = _mm512_fmadd_ps(power[1], rest[1], coefficient);
        }
        [_mm512_scalef_ps(power[0], whole[0]), _mm512_scalef_ps(power[1], whole[1])]
    }
}

/// [`Gemm::pack_keys`]: where a head is whole vectors wide, sixteen tokens are transposed at once.
///
/// # Safety
/// As [`Gemm::pack_keys`].
#[inline(always)]
pub(super) unsafe fn pack_keys<G: Gemm<Elem = u16>>(text: Text<u16>, to: *mut u16) {
    const TOKENS: usize = 16;
    unsafe {
        if !text.size.is_multiple_of(PANEL) {
            return attention::pack_keys::<G>(text, to);
        }
        let panel = text.size * PANEL;
        for first in (0..text.length.next_multiple_of(PANEL)).step_by(TOKENS) {
            let to = to.add(first / PANEL * panel + first % PANEL * 2);
            for k in (0..text.size).step_by(PANEL) {
                let rows: [__m512i; TOKENS] = std::array::from_fn(|row| {
                    let token = first + row;
                    if token < text.length {
                        _mm512_loadu_si512(text.at.add(token * text.stride + k).cast())
                    } else {
                        _mm512_setzero_si512()
                    }
                });
                for (pair, tokens) in transposed(rows).into_iter().enumerate() {
                    _mm512_storeu_si512(to.add((k / 2 + pair) * 2 * PANEL).cast(), tokens);
                }
            }
        }
    }
}

/// [`Gemm::pack_values`]: where a head is whole vectors wide, two tokens are interleaved at once.
///
/// # Safety
/// As [`Gemm::pack_values`].
#[inline(always)]
pub(super) unsafe fn pack_values<G: Gemm<Elem = u16>>(text: Text<u16>, to: *mut u16) {
    unsafe {
        if !text.size.is_multiple_of(PANEL) {
            return attention::pack_values::<G>(text, to);
        }
        let low: [u16; 32] = std::array::from_fn(|at| (at as u16 / 2) + (at as u16 % 2) * 32);
        let high = low.map(|at| at + 16);
        let (low, high) =
            (_mm512_loadu_si512(low.as_ptr().cast()), _mm512_loadu_si512(high.as_ptr().cast()));
        let depth = text.length.next_multiple_of(PANEL);
        for column in (0..text.size).step_by(PANEL) {
            let to = to.add(column * depth);
            for token in (0..depth).step_by(2) {
                let row = |token: usize| {
                    if token < text.length {
                        _mm512_loadu_si512(text.at.add(token * text.stride + column).cast())
                    } else {
                        _mm512_setzero_si512()
                    }
                };
                let (first, second) = (row(token), row(token + 1));
                let to = to.add(token * PANEL);
                let vectors = [
                    _mm512_permutex2var_epi16(first, low, second),
                    _mm512_permutex2var_epi16(first, high, second),
                ];
                _mm512_storeu_si512(to.cast(), vectors[0]);
                _mm512_storeu_si512(to.add(32).cast(), vectors[1]);
            }
        }
    }
}

/// Sixteen rows of sixteen values of four bytes, rows and columns exchanged: pairs of rows, then
/// fours, then lanes of 128 bits.
#[expect(clippy::indexing_slicing, reason = "places of arrays, known when it is compiled")]
#[inline(always)]
unsafe fn transposed(rows: [__m512i; 16]) -> [__m512i; 16] {
    unsafe {
        let zero = _mm512_setzero_si512();
        let (mut pairs, mut fours, mut columns) = ([zero; 16], [zero; 16], [zero; 16]);
        for i in (0..16).step_by(2) {
            pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
            pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
        }
        for i in (0..16).step_by(4) {
            fours[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
            fours[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
            fours[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
            fours[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
        }
        for i in 0..4 {
            let [a, b, c, d] = [fours[i], fours[4 + i], fours[8 + i], fours[12 + i]];
            let (first, second) =
                (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0x88>(c, d));
            columns[i] = _mm512_shuffle_i32x4::<0x88>(first, second);
            columns[8 + i] = _mm512_shuffle_i32x4::<0xdd>(first, second);
            let (first, second) =
                (_mm512_shuffle_i32x4::<0xdd>(a, b), _mm512_shuffle_i32x4::<0xdd>(c, d));
            columns[4 + i] = _mm512_shuffle_i32x4::<0x88>(first, second);
            columns[12 + i] = _mm512_shuffle_i32x4::<0xdd>(first, second);
        }
        columns
    }
}
