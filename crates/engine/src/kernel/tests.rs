//! Every kernel against plain arithmetic, on random and odd shapes.

use proptest::prelude::*;

use super::*;

/// The kernels that can run here, the emulated tiles among them.
fn kernels() -> Vec<(&'static str, &'static dyn Kernel)> {
    let known = Target::available().into_iter();
    let mut kernels: Vec<_> =
        known.map(|target| (target.as_str(), kernel(target).unwrap())).collect();
    #[cfg(target_arch = "x86_64")]
    if Target::Avx512Bf16.is_available() {
        kernels.push(("amx-bf16 emulated", x86_kernels::EMULATED_AMX));
    }
    kernels
}

/// Numbers between -1 and 1.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn padded(mut values: Vec<f32>) -> Vec<f32> {
    values.resize(values.len().next_multiple_of(PANEL), 0.0);
    values
}

/// The relative error that elements of a target have.
fn rounding(target: Target) -> f32 {
    match target.layout() {
        Layout::F32 => 2e-6,
        Layout::Bf16 => 1.0 / 256.0,
    }
}

/// An operand with these rows, made as an encoder makes it: by layer norm. Gives the rows too.
fn operand(kernel: &dyn Kernel, rows: usize, columns: usize, seed: u64) -> (Operand, Rows) {
    let mut source = Rows::default();
    source.resize(rows, columns);
    for row in 0..rows {
        source.row_mut(row).copy_from_slice(&numbers(seed + row as u64, columns));
    }
    let (scale, shift) = (padded(vec![1.0; columns]), padded(vec![0.1; columns]));
    let mut to = Operand::default();
    let norm = Norm { scale: &scale, shift: &shift, epsilon: 1e-5 };
    kernel.layer_norm(&mut source, norm, &mut to);
    (to, source)
}

/// What an operand holds, seen through a map that changes nothing but adds it to zeros.
fn values(kernel: &dyn Kernel, operand: &Operand) -> Vec<Vec<f32>> {
    let columns = operand.columns();
    let mut identity = vec![0.0; columns * columns];
    (0..columns).for_each(|i| identity[i * columns + i] = 1.0);
    let bytes = kernel.target().layout().pack(&identity, columns, columns);
    let bias = padded(vec![0.0; columns]);
    let panels = Panels { bytes: &bytes, bias: &bias, inputs: columns, outputs: columns };
    let mut to = Rows::default();
    to.resize(operand.rows(), columns);
    let output = Output::Sum { to: &mut to, first: 0 };
    kernel.linear(operand, 0..operand.rows(), panels, output);
    (0..operand.rows()).map(|row| to.row(row).to_vec()).collect()
}

#[track_caller]
fn assert_near(name: &str, found: f32, expected: f32, tolerance: f32) {
    let off = (found - expected).abs();
    assert!(off <= tolerance, "{name}: {found} instead of {expected}, off by {off}");
}

fn plain_activation(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::GeluTanh => {
            0.5 * x
                * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
        }
        Activation::Gelu => 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)),
    }
}

/// The error function by its series, as far as f64 goes.
fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn linear_maps_are_the_plain_sums(
        rows in 1usize..50, inputs in 1usize..100, outputs in 1usize..100, seed in 0u64..1000,
        activation in prop::sample::select(vec![
            Activation::None, Activation::Gelu, Activation::GeluTanh, Activation::Relu,
        ]),
    ) {
        let weights = numbers(seed, inputs * outputs);
        let bias = numbers(seed + 1, outputs);
        for (name, kernel) in kernels() {
            let (x, source) = operand(kernel, rows, inputs, seed + 2);
            let bytes = kernel.target().layout().pack(&weights, inputs, outputs);
            let padded_bias = padded(bias.clone());
            let panels = Panels { bytes: &bytes, bias: &padded_bias, inputs, outputs };
            let mut to = Operand::default();
            kernel.linear(&x, 0..rows, panels, Output::Elements { to: &mut to, activation });
            for (row, found) in values(kernel, &to).iter().enumerate() {
                for (column, found) in found.iter().enumerate() {
                    let products = source.row(row).iter().zip(&weights[column * inputs..]);
                    let (mut sum, mut size) = (f64::from(bias[column]), 1.0);
                    for (a, b) in products {
                        sum += f64::from(a * b);
                        size += f64::from((a * b).abs());
                    }
                    let expected = plain_activation(activation, sum) as f32;
                    // Inputs and weights are rounded, then the result: three roundings.
                    let tolerance = 3.0 * rounding(kernel.target()) * size as f32;
                    assert_near(name, *found, expected, tolerance);
                }
            }
        }
    }

    #[test]
    fn a_row_is_the_same_bits_in_any_batch(
        rows in 2usize..60, inputs in 1usize..80, outputs in 1usize..80, seed in 0u64..1000,
    ) {
        let weights = numbers(seed, inputs * outputs);
        let bias = padded(numbers(seed + 1, outputs));
        for (name, kernel) in kernels() {
            let (x, _) = operand(kernel, rows, inputs, seed + 2);
            let bytes = kernel.target().layout().pack(&weights, inputs, outputs);
            let panels = Panels { bytes: &bytes, bias: &bias, inputs, outputs };
            let sums = |range: Range<usize>| {
                let mut to = Rows::default();
                to.resize(range.len(), outputs);
                kernel.linear(&x, range, panels, Output::Sum { to: &mut to, first: 0 });
                to
            };
            let all = sums(0..rows);
            let bits = |row: &[f32]| row.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            for row in 0..rows {
                let alone = sums(row..row + 1);
                prop_assert_eq!(bits(all.row(row)), bits(alone.row(0)), "{}", name);
            }
        }
    }

    #[test]
    fn attention_is_the_plain_one_text_by_text(
        lengths in prop::collection::vec(1usize..80, 1..4), count in 1usize..4,
        size in prop::sample::select(vec![4usize, 8, 20, 32, 33, 64]), seed in 0u64..1000,
    ) {
        let total: usize = lengths.iter().sum();
        let mut start = 0;
        let texts: Vec<_> = lengths.iter().map(|length| { start += length; start - length..start }).collect();
        let hidden = count * size;
        for (name, kernel) in kernels() {
            let (qkv, _) = operand(kernel, total, 3 * hidden, seed);
            let exact = values(kernel, &qkv);
            let mut to = Operand::default();
            let mut scratch = AttentionScratch::default();
            let heads = Heads { count, size };
            kernel.attention(&qkv, Texts { rows: &texts, heads }, &mut to, &mut scratch);
            let found = values(kernel, &to);
            for text in &texts {
                let mut alone_to = Operand::default();
                let only = [text.clone()];
                kernel.attention(&qkv, Texts { rows: &only, heads }, &mut alone_to, &mut scratch);
                let alone = values(kernel, &alone_to);
                for row in text.clone() {
                    prop_assert_eq!(&alone[row], &found[row], "{}", name);
                }
                for head in 0..count {
                    for row in text.clone() {
                        let part = |row: usize, which: usize| &exact[row][which * hidden + head * size..][..size];
                        let scores: Vec<f64> = text.clone().map(|other| {
                            part(row, 0).iter().zip(part(other, 1)).map(|(a, b)| f64::from(a * b)).sum()
                        }).collect();
                        let largest = scores.iter().copied().fold(f64::MIN, f64::max);
                        let powers: Vec<f64> = scores.iter().map(|s| (s - largest).exp()).collect();
                        let sum: f64 = powers.iter().sum();
                        for column in 0..size {
                            let expected: f64 = text.clone().zip(&powers)
                                .map(|(other, power)| power / sum * f64::from(part(other, 2)[column])).sum();
                            let tolerance = 12.0 * rounding(kernel.target());
                            assert_near(name, found[row][head * size + column], expected as f32, tolerance);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn layer_norm_is_the_plain_one(rows in 1usize..20, columns in 8usize..150, seed in 0u64..1000) {
        let (scale, shift) = (numbers(seed + 1, columns), numbers(seed + 2, columns));
        let (padded_scale, padded_shift) = (padded(scale.clone()), padded(shift.clone()));
        for (name, kernel) in kernels() {
            let (mut source, mut to) = (Rows::default(), Operand::default());
            source.resize(rows, columns);
            for row in 0..rows {
                source.row_mut(row).copy_from_slice(&numbers(seed + 10 + row as u64, columns));
            }
            let before: Vec<Vec<f32>> = (0..rows).map(|row| source.row(row).to_vec()).collect();
            let norm = Norm { scale: &padded_scale, shift: &padded_shift, epsilon: 1e-5 };
            kernel.layer_norm(&mut source, norm, &mut to);
            let elements = values(kernel, &to);
            for row in 0..rows {
                let count = columns as f64;
                let mean = before[row].iter().map(|v| f64::from(*v)).sum::<f64>() / count;
                let variance = before[row].iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
                for column in 0..columns {
                    let value = (f64::from(before[row][column]) - mean) / (variance + 1e-5).sqrt();
                    let expected = (value * f64::from(scale[column]) + f64::from(shift[column])) as f32;
                    assert_near(name, source.row(row)[column], expected, 2e-4);
                    let tolerance = rounding(kernel.target()) * (1.0 + expected.abs()) + 2e-4;
                    assert_near(name, elements[row][column], expected, tolerance);
                }
            }
        }
    }
}

#[test]
fn activations_are_close_to_the_exact_ones_everywhere() {
    // Wide: far out nothing may overflow either.
    let inputs: Vec<f32> = (-2000..=2000).map(|i| i as f32 / 100.0).collect();
    for (name, kernel) in kernels() {
        let layout = kernel.target().layout();
        for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Relu] {
            // One input of one, and a weight per value.
            let (x, source) = operand(kernel, 1, 2, 5);
            let weights: Vec<f32> =
                inputs.iter().flat_map(|v| [v / source.row(0)[0], 0.0]).collect();
            let bytes = layout.pack(&weights, 2, inputs.len());
            let bias = padded(vec![0.0; inputs.len()]);
            let panels = Panels { bytes: &bytes, bias: &bias, inputs: 2, outputs: inputs.len() };
            let mut to = Operand::default();
            kernel.linear(&x, 0..1, panels, Output::Elements { to: &mut to, activation });
            for (found, input) in values(kernel, &to)[0].iter().zip(&inputs) {
                let expected = plain_activation(activation, f64::from(*input)) as f32;
                let tolerance = 4.0 * rounding(kernel.target()) * (1.0 + input.abs());
                assert_near(name, *found, expected, tolerance);
            }
        }
    }
}

#[test]
fn a_forced_target_that_is_not_there_is_an_error() {
    assert!("avx1024-f8".parse::<Target>().is_err());
    assert_eq!("avx2-f32".parse::<Target>(), Ok(Target::Avx2F32));
    assert!(Target::available().contains(&Target::PortableF32));
}
