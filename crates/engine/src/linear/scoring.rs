//! What both ways of running a linear model share.

use half::f16;

/// Turns decision values into probabilities, in place: softmax, or for one value (a binary
/// model) the logistic function of the second label. `powers` is room that is used again.
pub(super) fn probabilities(
    mut decision: Vec<f32>,
    labels: usize,
    powers: &mut Vec<f64>,
) -> Vec<f32> {
    if let ([value], 2) = (decision.as_slice(), labels) {
        let second = 1.0 / (1.0 + (-f64::from(*value)).exp());
        return vec![narrow(1.0 - second), narrow(second)];
    }
    let highest = decision.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    powers.clear();
    powers.extend(decision.iter().map(|value| f64::from(value - highest).exp()));
    let sum: f64 = powers.iter().sum();
    for (value, power) in decision.iter_mut().zip(powers) {
        *value = narrow(*power / sum);
    }
    decision
}

#[expect(clippy::cast_possible_truncation, reason = "a probability needs no more digits")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// How often a term counts that occurs `count` times in a text.
pub(super) fn term_weight(count: u32, sublinear: bool) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a text has fewer words than f32 has integers")]
    let count = count as f32;
    // Most terms occur once, and logarithms are slow.
    if sublinear && count > 1.0 { 1.0 + count.ln() } else { count }
}

/// The value of a 16-bit float, without the branches that keep a compiler from vectorising:
/// the exponent's bias is mended by one exact multiplication, subnormal numbers included.
#[inline]
pub(super) fn widen(bits: u16) -> f32 {
    const REBIAS: f32 = f32::from_bits(0x7780_0000); // 2^112
    let magnitude = f32::from_bits(u32::from(bits & 0x7fff) << 13) * REBIAS;
    f32::from_bits(magnitude.to_bits() | (u32::from(bits & 0x8000) << 16))
}

/// The nearest 16-bit float of finite size.
pub(super) fn narrow_to_half(value: f32) -> u16 {
    f16::from_f32(value.clamp(f16::MIN.to_f32(), f16::MAX.to_f32())).to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widening_is_exact_for_every_finite_half() {
        for bits in 0..=u16::MAX {
            let value = f16::from_bits(bits);
            if value.is_finite() {
                assert_eq!(widen(bits).to_bits(), value.to_f32().to_bits(), "{bits:#x}");
            }
        }
    }

    #[test]
    fn probabilities_add_up() {
        for (decision, labels) in [(vec![0.3], 2), (vec![1.0, 2.0, -400.0], 3), (vec![9e30; 4], 4)]
        {
            let given = probabilities(decision.clone(), labels, &mut Vec::new());
            assert_eq!(given.len(), labels);
            assert!((given.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{given:?}");
        }
    }
}
