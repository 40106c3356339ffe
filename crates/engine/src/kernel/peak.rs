//! What this CPU can compute at most: what kernels are measured against.

use std::time::Instant;

use super::{Activation, Operand, Output, Panels, Target, kernel, ops::LINE};

/// The most that one thread reached of products whose operands stay in the first cache, or in the
/// tiles where there are such.
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
/// Times that tiles are multiplied in one measurement.
#[cfg(target_arch = "x86_64")]
const TILE_TIMES: usize = 100_000;
/// Measurements, of which the best counts.
const ROUNDS: usize = 15;

/// Measures a target on this machine, in one thread. Takes some tenths of a second.
///
/// # Errors
/// When this machine does not have the target.
pub fn peak(target: Target) -> Result<Peak, super::TargetError> {
    let kernel = kernel(target)?;
    let gflops = match target {
        #[cfg(target_arch = "x86_64")]
        Target::AmxBf16 => best_of(TILE_TIMES, |times| {
            // SAFETY: the kernel was given out, so tiles are there and allowed.
            unsafe { super::amx::saturate(times) }
        }),
        _ => products(kernel),
    };
    Ok(Peak { target, gflops })
}

/// The best of some measurements of something that does so many operations each time.
fn best_of(times: usize, mut run: impl FnMut(usize) -> usize) -> f64 {
    let seconds = || {
        let started = Instant::now();
        let operations = run(times);
        (started.elapsed().as_secs_f64(), operations)
    };
    let rounds = std::iter::repeat_with(seconds).take(ROUNDS);
    #[expect(clippy::cast_precision_loss, reason = "some millions of operations")]
    let rates = rounds.map(|(seconds, operations)| (operations * times) as f64 / seconds / 1e9);
    rates.fold(0.0, f64::max)
}

/// Small products by the kernel.
fn products(kernel: &dyn super::Kernel) -> f64 {
    let (rows, depth, columns) = SHAPE;
    // Some real numbers: zeros and ones run faster on some CPUs than what models hold.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let numbers = |count: usize| (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 17.0);
    let layout = kernel.target().layout();
    let packed = layout.pack(&numbers(depth * columns).collect::<Vec<_>>(), depth, columns);
    // As packs are: weights that straddle lines of the cache take longer.
    let mut room = vec![0; packed.len() + LINE];
    let start = room.as_ptr().align_offset(LINE).min(LINE);
    let bytes = room.get_mut(start..start + packed.len()).unwrap_or_default();
    bytes.copy_from_slice(&packed);
    let bias = vec![0.0; columns];
    let panels = Panels { bytes, bias: &bias, inputs: depth, outputs: columns };
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
    best_of(TIMES, |times| {
        for _ in 0..times {
            let output = Output::Elements { to: &mut to, activation: Activation::None };
            kernel.linear(&x, 0..rows, panels, output);
        }
        2 * rows * depth * columns
    })
}
