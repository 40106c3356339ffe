//! Vectors for any CPU: four values, which compilers make one register of.

use super::simd::Simd;

/// Four values at a time, in plain Rust.
#[derive(Clone, Copy)]
pub(super) struct Portable;

#[inline(always)]
fn zip(a: [f32; 4], b: [f32; 4], f: impl Fn(f32, f32) -> f32) -> [f32; 4] {
    let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (a, b);
    [f(a0, b0), f(a1, b1), f(a2, b2), f(a3, b3)]
}

impl Simd for Portable {
    type V = [f32; 4];
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> [f32; 4] {
        [value; 4]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; 4] {
        // SAFETY: the caller's pointer is valid for four values.
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, vector: [f32; 4]) {
        // SAFETY: the caller's pointer is valid for four values.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(vector) }
    }
    #[inline(always)]
    unsafe fn add(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn min(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn max(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn fma(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        // Not `mul_add`: without the instruction it is a call of a slow function.
        zip(zip(a, b, |a, b| a * b), c, |product, c| product + c)
    }
    #[inline(always)]
    unsafe fn exponent(a: [f32; 4]) -> [f32; 4] {
        a.map(|value| f32::from_bits(value.to_bits() << 23))
    }
    #[inline(always)]
    unsafe fn add_bits(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| f32::from_bits(a.to_bits().wrapping_add(b.to_bits())))
    }
    #[inline(always)]
    unsafe fn sum([a, b, c, d]: [f32; 4]) -> f32 {
        (a + c) + (b + d)
    }
    #[inline(always)]
    unsafe fn largest([a, b, c, d]: [f32; 4]) -> f32 {
        a.max(b).max(c.max(d))
    }
}
