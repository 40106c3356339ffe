//! What this CPU can compute at most: what kernels are measured against.

use std::time::Instant;

use super::{Activation, Operand, Output, Panels, Target, kernel};

/// The most that one thread reached of a product whose operands stay in the first cache.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// The target.
    pub target: Target,
    /// Billions of floating-point operations per second.
    pub gflops: f64,
}

/// Rows, depth and columns of the product: small enough for the first cache.
const SHAPE: (usize, usize, usize) = (28, 96, 32);
/// Times that it is done in one measurement.
const TIMES: usize = 4_000;
/// Measurements, of which the best counts.
const ROUNDS: usize = 15;

/// Measures a target on this machine, in one thread. Takes some tenths of a second.
///
/// # Errors
/// When this machine does not have the target.
pub fn peak(target: Target) -> Result<Peak, super::TargetError> {
    let kernel = kernel(target)?;
    let (rows, depth, columns) = SHAPE;
    // Some real numbers: zeros and ones run faster on some CPUs than what models hold.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let numbers = |count: usize| (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 17.0);
    let bytes = target.layout().pack(&numbers(depth * columns).collect::<Vec<_>>(), depth, columns);
    let bias = vec![0.0; columns];
    let panels = Panels { bytes: &bytes, bias: &bias, inputs: depth, outputs: columns };
    let (mut source, mut x, mut to) =
        (super::Rows::default(), Operand::default(), Operand::default());
    source.resize(rows, depth);
    for row in 0..rows {
        for (place, value) in source.row_mut(row).iter_mut().zip(numbers(depth)) {
            *place = value;
        }
    }
    let norm = vec![1.0; depth];
    let norm = super::Norm { scale: &norm, shift: &norm, epsilon: 1e-5 };
    kernel.layer_norm(&mut source, norm, &mut x);
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for _ in 0..TIMES {
            let output = Output::Elements { to: &mut to, activation: Activation::None };
            kernel.linear(&x, 0..rows, panels, output);
        }
        best = best.min(started.elapsed().as_secs_f64());
    }
    #[expect(clippy::cast_precision_loss, reason = "some millions of operations")]
    let operations = (2 * rows * depth * columns * TIMES) as f64;
    Ok(Peak { target, gflops: operations / best / 1e9 })
}
