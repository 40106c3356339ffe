//! Vectors of f32, and the mathematics that every kernel shares.
//!
//! What is generic over [`Simd`] is `#[inline(always)]`: it becomes part of the function that
//! enables the CPU's instructions, and only there do its intrinsics become single instructions.

/// A vector of f32 of one instruction set.
///
/// # Safety
/// Every function may only be called where the instruction set is there, and pointers must be
/// valid for [`Simd::LANES`] values; they need no alignment.
pub(super) trait Simd: Copy {
    /// The vector.
    type V: Copy;
    /// Values in a vector.
    const LANES: usize;

    unsafe fn splat(value: f32) -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, vector: Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, rounded once where the instruction set can.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The bits of each value, moved left by 23: an integer in the low bits becomes an exponent.
    unsafe fn exponent(a: Self::V) -> Self::V;
    /// Adds the bits of `b` to those of `a`, as integers.
    unsafe fn add_bits(a: Self::V, b: Self::V) -> Self::V;
    /// The sum of the values, always in the same order.
    unsafe fn sum(a: Self::V) -> f32;
    /// The largest value.
    unsafe fn largest(a: Self::V) -> f32;
    /// Asks for the line at an address, which need not be valid, into the second cache.
    #[inline(always)]
    unsafe fn prefetch(_: *const u8) {}
}

/// Two vectors that lie side by side.
///
/// # Safety
/// As [`Simd`].
#[inline(always)]
pub(super) unsafe fn load_two<S: Simd>(from: *const f32) -> (S::V, S::V) {
    unsafe { (S::load(from), S::load(from.add(S::LANES))) }
}

/// Adding it to a float below 2^22 rounds it to an integer, which stands in the low bits.
const ROUND: f32 = 12_582_912.0;
/// Below it e^x is no normal number any more.
const EXP_LOW: f32 = -87.3;
const EXP_HIGH: f32 = 88.3;
/// ln 2 in two parts: the first has few bits, so that its product with an integer is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// Taylor's coefficients of e^r, from the fifth order down; |r| is at most ln(2)/2, where the
/// rest is below 2e-6 relative to the result of order 5, so order 6 is kept as well.
const EXP: [f32; 7] = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];

/// erf(x / sqrt 2) / x on |x| <= 5.4 as a polynomial in 2 (x / 5.4)^2 - 1, highest order first:
/// a weighted minimax fit, which keeps GELU within 8e-7 in f32 arithmetic.
const ERF: [f32; 15] = [
    0.0006315404,
    -0.001924399,
    0.0021979907,
    -0.0027456544,
    0.0068165227,
    -0.013031288,
    0.019573415,
    -0.028129257,
    0.039217558,
    -0.05144374,
    0.064242065,
    -0.07841864,
    0.0969988,
    -0.13065597,
    0.26185623,
];
const ERF_LIMIT: f32 = 5.4;

/// e^x, within two units in the last place; 0 below -87.
///
/// # Safety
/// As [`Simd`].
#[inline(always)]
pub(super) unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    unsafe {
        let x = S::max(S::min(x, S::splat(EXP_HIGH)), S::splat(EXP_LOW));
        let rounded = S::fma(x, S::splat(std::f32::consts::LOG2_E), S::splat(ROUND));
        let n = S::sub(rounded, S::splat(ROUND));
        let r = S::sub(x, S::mul(n, S::splat(LN_2_HIGH)));
        let r = S::sub(r, S::mul(n, S::splat(LN_2_LOW)));
        S::add_bits(polynomial::<S, 7>(r, &EXP), S::exponent(rounded))
    }
}

/// x times the probability that a normal variable is below it: GELU, the exact one (Hendrycks and
/// Gimpel 2016).
///
/// # Safety
/// As [`Simd`].
#[inline(always)]
pub(super) unsafe fn gelu<S: Simd>(x: S::V) -> S::V {
    unsafe {
        let limit = S::splat(ERF_LIMIT);
        let clamped = S::max(S::min(x, limit), S::sub(S::splat(0.0), limit));
        let scale = S::splat(2.0 / (ERF_LIMIT * ERF_LIMIT));
        let u = S::fma(S::mul(clamped, clamped), scale, S::splat(-1.0));
        let erf = S::mul(polynomial::<S, 15>(u, &ERF), clamped);
        let half = S::mul(x, S::splat(0.5));
        S::fma(half, erf, half)
    }
}

/// tanh(x), through e^(2x).
///
/// # Safety
/// As [`Simd`].
#[inline(always)]
pub(super) unsafe fn tanh<S: Simd>(x: S::V) -> S::V {
    unsafe {
        let one = S::splat(1.0);
        let power = exp::<S>(S::add(x, x));
        S::sub(one, S::div(S::splat(2.0), S::add(power, one)))
    }
}

/// GELU by way of tanh, as GPT-2 and some BERTs have it.
///
/// # Safety
/// As [`Simd`].
#[inline(always)]
pub(super) unsafe fn gelu_tanh<S: Simd>(x: S::V) -> S::V {
    unsafe {
        let cube = S::mul(S::mul(x, x), x);
        // sqrt(2 / pi)
        let inner = S::mul(S::splat(0.797_884_6), S::fma(S::splat(0.044_715), cube, x));
        let half = S::mul(x, S::splat(0.5));
        S::fma(half, tanh::<S>(inner), half)
    }
}

/// A polynomial, highest order first.
///
/// # Safety
/// As [`Simd`].
#[inline(always)]
pub(super) unsafe fn polynomial<S: Simd, const N: usize>(x: S::V, coefficients: &[f32; N]) -> S::V {
    unsafe {
        let mut result = S::splat(coefficients[0]);
        for coefficient in &coefficients[1..] {
            result = S::fma(result, x, S::splat(*coefficient));
        }
        result
    }
}
