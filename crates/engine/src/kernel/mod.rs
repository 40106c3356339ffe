//! Kernels: products of matrices and what goes with them, for one kind of CPU each.
//!
//! An encoder sees one small interface, [`Kernel`], and three kinds of memory: [`Rows`] of f32,
//! [`Operand`]s whose elements only the kernel knows, and [`Panels`] of weights, packed ahead of
//! time. Everything is written once, generic over the vectors of a CPU ([`simd::Simd`]) and over
//! its way to multiply ([`gemm::Gemm`]); a target is a pair of the two. Another precision (int8 on
//! VNNI) is another `Gemm`, another instruction set (NEON) another `Simd`.
//!
//! This module holds the engine's `unsafe`: what is behind a [`Kernel`] checks shapes first.
//!
//! A row of any result is the same bits whatever rows are computed with it.

#![expect(unsafe_code, reason = "instructions of one CPU, memory without bounds checks")]

#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
#[cfg(target_arch = "x86_64")]
mod bf16;
mod buffer;
mod gemm;
mod ops;
mod peak;
mod portable;
mod simd;
mod target;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::Range;

pub(crate) use attention::{AttentionScratch, Heads};
pub(crate) use buffer::{Operand, PANEL, Rows};
use gemm::Gemm;
pub use peak::{Peak, peak};
pub use target::{Target, TargetError};

/// What an element goes through after a linear map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// Nothing.
    None,
    /// GELU, the exact one.
    Gelu,
    /// GELU by way of tanh.
    GeluTanh,
    /// What is below zero becomes zero.
    Relu,
}

/// The weights of one linear map, packed for a kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Panels<'a> {
    /// The weights, as [`Layout::pack`] leaves them.
    pub(crate) bytes: &'a [u8],
    /// A value per column, padded with zeros to whole panels.
    pub(crate) bias: &'a [f32],
    /// Rows: what goes in.
    pub(crate) inputs: usize,
    /// Columns: what comes out.
    pub(crate) outputs: usize,
}

/// Scale and shift of a layer norm, padded with zeros to whole panels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Norm<'a> {
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) epsilon: f32,
}

/// How weights lie in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// f32, one value of k after the other.
    F32,
    /// bf16, pairs of k side by side, k padded to 32.
    Bf16,
}

/// Where the results of a linear map go.
pub(crate) enum Output<'a> {
    /// Through an activation into an operand, which gets just these rows.
    Elements { to: &'a mut Operand, activation: Activation },
    /// Added to rows, from `first` on.
    Sum { to: &'a mut Rows, first: usize },
}

/// What an encoder needs computed.
pub(crate) trait Kernel: Send + Sync {
    /// Which it is.
    fn target(&self) -> Target;

    /// `x weights + bias` for some of the rows of `x`.
    fn linear(&self, x: &Operand, rows: Range<usize>, weights: Panels<'_>, output: Output<'_>);

    /// Layer norm of every row, in place and as an operand.
    fn layer_norm(&self, rows: &mut Rows, norm: Norm<'_>, to: &mut Operand);

    /// Attention of each text over itself; `qkv` holds queries, keys and values side by side, the
    /// queries already scaled.
    fn attention(
        &self,
        qkv: &Operand,
        texts: Texts<'_>,
        to: &mut Operand,
        scratch: &mut AttentionScratch,
    );
}

/// The rows of each text, and the heads of attention.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Texts<'a> {
    pub(crate) rows: &'a [Range<usize>],
    pub(crate) heads: Heads,
}

impl Layout {
    /// Bytes of the packed weights of a map.
    pub(crate) fn bytes(self, inputs: usize, outputs: usize) -> usize {
        let columns = outputs.next_multiple_of(PANEL);
        match self {
            Self::F32 => inputs * columns * size_of::<f32>(),
            Self::Bf16 => inputs.next_multiple_of(32) * columns * size_of::<u16>(),
        }
    }

    /// Packs weights given as `outputs` rows of `inputs` values, as model files have them.
    pub(crate) fn pack(self, weights: &[f32], inputs: usize, outputs: usize) -> Vec<u8> {
        let mut bytes = vec![0; self.bytes(inputs, outputs)];
        let (group, depth) = match self {
            Self::F32 => (1, inputs),
            Self::Bf16 => (2, inputs.next_multiple_of(32)),
        };
        for (output, row) in weights.chunks_exact(inputs.max(1)).take(outputs).enumerate() {
            let (panel, column) = (output / PANEL, output % PANEL);
            for (k, value) in row.iter().enumerate() {
                let at = panel * depth * PANEL + (k / group * PANEL + column) * group + k % group;
                match self {
                    Self::F32 => put(&mut bytes, at, value.to_le_bytes()),
                    Self::Bf16 => put(&mut bytes, at, half::bf16::from_f32(*value).to_le_bytes()),
                }
            }
        }
        bytes
    }
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(place) = bytes.get_mut(at * N..(at + 1) * N) {
        place.copy_from_slice(&value);
    }
}

/// The weights as the generic code takes them, shapes checked.
fn weights<G: Gemm>(panels: &Panels<'_>, x: &Operand) -> ops::Weights<G::Elem> {
    let columns = panels.outputs.next_multiple_of(PANEL);
    let depth = panels.inputs.next_multiple_of(G::K_ALIGN);
    assert_eq!(panels.inputs, x.columns(), "a map takes as many values as its rows have");
    assert!(panels.bytes.len() >= depth * columns * size_of::<G::Elem>(), "all panels are there");
    assert!(panels.bias.len() >= columns, "all biases are there");
    ops::Weights {
        panels: panels.bytes.as_ptr().cast(),
        bias: panels.bias.as_ptr(),
        k: panels.inputs,
        panel_count: columns / PANEL,
    }
}

/// The output as the generic code takes it, shapes checked.
fn sink<E>(output: Output<'_>, rows: usize, outputs: usize) -> ops::Sink<E> {
    match output {
        Output::Elements { to, activation } => {
            to.resize(rows, outputs);
            ops::Sink::Elements { to: to.as_mut_ptr(), stride: to.stride(), activation }
        }
        Output::Sum { to, first } => {
            assert_eq!(outputs, to.columns(), "sums have the columns of what is added");
            assert!(first + rows <= to.rows(), "sums have the rows of what is added");
            let stride = to.stride();
            // SAFETY: the row is there, as asked above.
            ops::Sink::Sum { to: unsafe { to.as_mut_ptr().add(first * stride) }, stride }
        }
    }
}

/// A target: a name, a way to multiply, and the instructions that it needs. It is only given out
/// where they are there, which is why its methods may call what needs them.
macro_rules! kernel {
    ($(#[$doc:meta])* $name:ident, $gemm:ty, $target:expr $(, $features:literal)?) => {
        $(#[$doc])*
        struct $name;

        impl $name {
            $(#[target_feature(enable = $features)])?
            unsafe fn run_linear(
                x: &Operand,
                rows: Range<usize>,
                weights: &ops::Weights<<$gemm as Gemm>::Elem>,
                sink: &ops::Sink<<$gemm as Gemm>::Elem>,
            ) {
                // SAFETY: as the caller's; the range lies inside the rows.
                unsafe {
                    let left = x.as_ptr::<<$gemm as Gemm>::Elem>().add(rows.start * x.stride());
                    ops::linear::<$gemm>(left, x.stride(), rows.len(), weights, sink);
                }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn run_layer_norm(rows: &mut Rows, norm: Norm<'_>, to: &mut Operand) {
                let norm = (norm.scale.as_ptr(), norm.shift.as_ptr(), norm.epsilon);
                // SAFETY: as the caller's.
                unsafe { ops::layer_norm::<$gemm>(rows, norm, to) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn run_attention(
                qkv: &Operand,
                texts: Texts<'_>,
                to: &mut Operand,
                scratch: &mut AttentionScratch,
            ) {
                // SAFETY: as the caller's.
                unsafe { attention::attention::<$gemm>(qkv, texts.rows, texts.heads, to, scratch) }
            }
        }

        impl Kernel for $name {
            fn target(&self) -> Target {
                $target
            }

            fn linear(
                &self,
                x: &Operand,
                rows: Range<usize>,
                panels: Panels<'_>,
                output: Output<'_>,
            ) {
                assert!(rows.end <= x.rows(), "rows that are there");
                let weights = weights::<$gemm>(&panels, x);
                let sink = sink(output, rows.len(), panels.outputs);
                // SAFETY: the shapes fit, as checked; the instructions are there.
                unsafe { Self::run_linear(x, rows, &weights, &sink) }
            }

            fn layer_norm(&self, rows: &mut Rows, norm: Norm<'_>, to: &mut Operand) {
                let stride = rows.stride();
                assert!(norm.scale.len() >= stride && norm.shift.len() >= stride, "a full norm");
                to.resize(rows.rows(), rows.columns());
                // SAFETY: as above.
                unsafe { Self::run_layer_norm(rows, norm, to) }
            }

            fn attention(
                &self,
                qkv: &Operand,
                texts: Texts<'_>,
                to: &mut Operand,
                scratch: &mut AttentionScratch,
            ) {
                let Heads { count, size } = texts.heads;
                assert_eq!(qkv.columns(), 3 * count * size, "queries, keys and values");
                let inside = |text: &Range<usize>| text.end <= qkv.rows();
                assert!(texts.rows.iter().all(inside), "texts lie inside the rows");
                to.resize(qkv.rows(), count * size);
                // SAFETY: as above.
                unsafe { Self::run_attention(qkv, texts, to, scratch) }
            }
        }
    };
}

kernel!(
    /// Any CPU.
    PortableF32,
    gemm::F32<portable::Portable>,
    Target::PortableF32
);

#[cfg(target_arch = "x86_64")]
mod x86_kernels {
    use super::*;

    kernel!(
        /// AVX2 and FMA.
        Avx2F32,
        gemm::F32<x86::Avx2>,
        Target::Avx2F32,
        "avx2,fma"
    );
    kernel!(
        /// AVX-512 F.
        Avx512F32,
        gemm::F32<x86::Avx512>,
        Target::Avx512F32,
        "avx512f"
    );
    kernel!(
        /// AVX-512 BF16.
        Avx512Bf16,
        bf16::Avx512Bf16,
        Target::Avx512Bf16,
        "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16"
    );
    kernel!(
        /// The tile unit, with AVX-512 for what is no product.
        AmxBf16,
        amx::Amx<amx::Hardware>,
        Target::AmxBf16,
        "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16"
    );
    #[cfg(test)]
    kernel!(
        /// The tile unit, emulated.
        EmulatedAmx,
        amx::Amx<amx::emulated::Emulated>,
        Target::AmxBf16,
        "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16"
    );

    pub(super) static AVX2_F32: &dyn Kernel = &Avx2F32;
    pub(super) static AVX512_F32: &dyn Kernel = &Avx512F32;
    pub(super) static AVX512_BF16: &dyn Kernel = &Avx512Bf16;
    pub(super) static AMX_BF16: &dyn Kernel = &AmxBf16;
    #[cfg(test)]
    pub(super) static EMULATED_AMX: &dyn Kernel = &EmulatedAmx;
}

/// The kernel of a target, where this CPU has its instructions.
pub(crate) fn kernel(target: Target) -> Result<&'static dyn Kernel, TargetError> {
    if !target.is_available() {
        return Err(TargetError::Unavailable(target));
    }
    Ok(match target {
        Target::PortableF32 => &PortableF32,
        #[cfg(target_arch = "x86_64")]
        Target::Avx2F32 => x86_kernels::AVX2_F32,
        #[cfg(target_arch = "x86_64")]
        Target::Avx512F32 => x86_kernels::AVX512_F32,
        #[cfg(target_arch = "x86_64")]
        Target::Avx512Bf16 => x86_kernels::AVX512_BF16,
        #[cfg(target_arch = "x86_64")]
        Target::AmxBf16 => x86_kernels::AMX_BF16,
        #[cfg(not(target_arch = "x86_64"))]
        other => return Err(TargetError::Unavailable(other)),
    })
}
