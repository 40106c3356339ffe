//! What an encoder layer is made of besides attention, for every target at once.

use std::{marker::PhantomData, ops::Range};

use super::{
    Activation,
    buffer::{Operand, PANEL, Rows},
    gemm::{Aside, Block, Gemm, Left, Share},
    simd::{self, Simd},
};

/// Where the results of [`linear`] go.
pub(super) enum Sink<E> {
    /// Through an activation, as elements of the next operand.
    Elements { to: *mut E, stride: usize, activation: Activation },
    /// Added to rows of f32.
    Sum { to: *mut f32, stride: usize },
}

/// Weights and biases of one linear map, in panels.
pub(super) struct Weights<E> {
    pub(super) panels: *const E,
    /// One value per column, padded to whole panels.
    pub(super) bias: *const f32,
    pub(super) k: usize,
    /// Columns, in whole panels.
    pub(super) panel_count: usize,
}

/// Bytes of panels that stay in the second cache while all rows pass by.
const GROUP_BYTES: usize = 192 << 10;

/// Bytes of a line of the caches.
pub(super) const LINE: usize = 64;

/// Memory for a block of results: at most 32 rows of a panel.
#[repr(C, align(64))]
pub(super) struct BlockMemory([f32; 32 * PANEL]);

impl BlockMemory {
    pub(super) const fn new() -> Self {
        Self([0.0; 32 * PANEL])
    }

    pub(super) const fn block(&mut self) -> Block {
        Block { at: self.0.as_mut_ptr(), stride: PANEL }
    }
}

/// Elements of a panel of `k` values.
pub(super) const fn panel_elements<G: Gemm>(k: usize) -> usize {
    k.next_multiple_of(G::K_ALIGN) * PANEL
}

/// `sink = activation(left x weights + bias)`, or the sum added.
///
/// # Safety
/// The target's instructions must be there; `left` must have `rows` rows and what
/// [`Gemm::block`] asks for; the sink must have room for `rows` rows of whole panels.
#[inline(always)]
pub(super) unsafe fn linear<G: Gemm>(
    left: *const G::Elem,
    left_stride: usize,
    rows: usize,
    weights: &Weights<G::Elem>,
    sink: &Sink<G::Elem>,
) {
    unsafe {
        let x = (left, left_stride, rows);
        match *sink {
            Sink::Sum { to, stride } => product::<G, _>(x, weights, &Sum { to, stride }),
            Sink::Elements { to, stride, activation } => match activation {
                Activation::None => product(x, weights, &Elements::<G, Same>::new(to, stride)),
                Activation::Gelu => product(x, weights, &Elements::<G, Gelu>::new(to, stride)),
                Activation::GeluTanh => {
                    product(x, weights, &Elements::<G, GeluTanh>::new(to, stride));
                }
                Activation::Relu => product(x, weights, &Elements::<G, Relu>::new(to, stride)),
            },
        }
    }
}

/// Rows times all panels, block by block. A block is drained while the next one is multiplied.
#[inline(always)]
unsafe fn product<G: Gemm, D: Drain<G>>(
    (left, stride, rows): (*const G::Elem, usize, usize),
    weights: &Weights<G::Elem>,
    drain: &D,
) {
    unsafe {
        G::begin();
        let mut memory = [const { BlockMemory::new() }; 2];
        let [first, second] = &mut memory;
        let (mut block, mut other) = (first.block(), second.block());
        let mut done = Done::new(other, 0, weights.bias, (0, 0), drain);
        // A few panels stay in the second cache while all rows pass; a block of rows stays in the
        // first while those panels pass.
        let bytes = panel_elements::<G>(weights.k) * size_of::<G::Elem>();
        let group = (GROUP_BYTES / bytes.max(1)).max(1);
        let blocks = G::blocks(rows).count();
        let lines = if blocks > 1 { (bytes / LINE).div_ceil(blocks) } else { 0 };
        for first in (0..weights.panel_count).step_by(group) {
            let panels = first..weights.panel_count.min(first + group);
            for (index, (start, count)) in G::blocks(rows).enumerate() {
                let at = left.add(start * stride);
                let left = Left { at, stride, rows: count, k: weights.k };
                for panel in panels.clone() {
                    let right = weights.panels.add(panel * panel_elements::<G>(weights.k));
                    // The weights lie in the order of their use: what comes after this group is
                    // fetched while it is worked on, some of each panel with each block.
                    done.later = right.wrapping_byte_add(group * bytes + index * lines * LINE);
                    done.lines = lines;
                    G::block(left, right, block, &done);
                    let bias = weights.bias.add(panel * PANEL);
                    done = Done::new(block, count, bias, (start, panel * PANEL), drain);
                    std::mem::swap(&mut block, &mut other);
                }
            }
        }
        done.part(0, done.share(1));
        G::end();
    }
}

/// A block that is multiplied, and has to be taken to where it belongs.
struct Done<'a, G: Gemm, D> {
    block: Block,
    rows: usize,
    bias: *const f32,
    /// The row and the column of its first value.
    at: (usize, usize),
    drain: &'a D,
    later: *const G::Elem,
    lines: usize,
}

impl<'a, G: Gemm, D> Done<'a, G, D> {
    #[inline(always)]
    fn new(block: Block, rows: usize, bias: *const f32, at: (usize, usize), drain: &'a D) -> Self {
        Self { block, rows, bias, at, drain, later: std::ptr::null(), lines: 0 }
    }
}

impl<G: Gemm, D: Drain<G>> Aside for Done<'_, G, D> {
    #[inline(always)]
    fn share(&self, parts: usize) -> Share {
        Share { rows: self.rows.div_ceil(parts), lines: self.lines.div_ceil(parts) }
    }

    #[inline(always)]
    unsafe fn part(&self, part: usize, share: Share) {
        let (first, end) = (part * share.rows, self.rows.min((part + 1) * share.rows));
        for line in part * share.lines..self.lines.min((part + 1) * share.lines) {
            // SAFETY: a hint.
            unsafe { G::prefetch(self.later.wrapping_byte_add(line * LINE)) };
        }
        // SAFETY: as the caller's.
        unsafe { self.drain.drain(self.block.at, first..end, self.bias, self.at) }
    }
}

/// Takes rows of a block to where they belong.
trait Drain<G: Gemm> {
    unsafe fn drain(
        &self,
        block: *const f32,
        rows: Range<usize>,
        bias: *const f32,
        at: (usize, usize),
    );
}

/// See [`Sink::Elements`].
struct Elements<G: Gemm, A> {
    to: *mut G::Elem,
    stride: usize,
    activation: PhantomData<A>,
}

impl<G: Gemm, A> Elements<G, A> {
    const fn new(to: *mut G::Elem, stride: usize) -> Self {
        Self { to, stride, activation: PhantomData }
    }
}

impl<G: Gemm, A: Activate> Drain<G> for Elements<G, A> {
    #[inline(always)]
    unsafe fn drain(
        &self,
        block: *const f32,
        rows: Range<usize>,
        bias: *const f32,
        (first, column): (usize, usize),
    ) {
        unsafe {
            for row in rows {
                let to = self.to.add((first + row) * self.stride + column);
                for part in (0..PANEL).step_by(2 * G::S::LANES) {
                    let (one, two) = simd::load_two::<G::S>(block.add(row * PANEL + part));
                    let (bias, other) = simd::load_two::<G::S>(bias.add(part));
                    let one = A::activate::<G>(G::S::add(one, bias));
                    let two = A::activate::<G>(G::S::add(two, other));
                    G::narrow_two(to.add(part), one, two);
                }
            }
        }
    }
}

/// See [`Sink::Sum`].
struct Sum {
    to: *mut f32,
    stride: usize,
}

impl<G: Gemm> Drain<G> for Sum {
    #[inline(always)]
    unsafe fn drain(
        &self,
        block: *const f32,
        rows: Range<usize>,
        bias: *const f32,
        (first, column): (usize, usize),
    ) {
        unsafe {
            for row in rows {
                let to = self.to.add((first + row) * self.stride + column);
                for column in (0..PANEL).step_by(G::S::LANES) {
                    let to = to.add(column);
                    let value = G::S::load(block.add(row * PANEL + column));
                    let value = G::S::add(value, G::S::load(to));
                    G::S::store(to, G::S::add(value, G::S::load(bias.add(column))));
                }
            }
        }
    }
}

/// An [`Activation`] as a type, so that each has a loop of its own.
trait Activate {
    unsafe fn activate<G: Gemm>(value: <G::S as Simd>::V) -> <G::S as Simd>::V;
}

/// No activation.
struct Same;
struct Gelu;
struct GeluTanh;
struct Relu;

impl Activate for Same {
    #[inline(always)]
    unsafe fn activate<G: Gemm>(value: <G::S as Simd>::V) -> <G::S as Simd>::V {
        value
    }
}

impl Activate for Gelu {
    #[inline(always)]
    unsafe fn activate<G: Gemm>(value: <G::S as Simd>::V) -> <G::S as Simd>::V {
        // SAFETY: as the caller's.
        unsafe { G::gelu(value) }
    }
}

impl Activate for GeluTanh {
    #[inline(always)]
    unsafe fn activate<G: Gemm>(value: <G::S as Simd>::V) -> <G::S as Simd>::V {
        // SAFETY: as the caller's.
        unsafe { simd::gelu_tanh::<G::S>(value) }
    }
}

impl Activate for Relu {
    #[inline(always)]
    unsafe fn activate<G: Gemm>(value: <G::S as Simd>::V) -> <G::S as Simd>::V {
        // SAFETY: as the caller's.
        unsafe { G::S::max(value, G::S::splat(0.0)) }
    }
}

/// Layer norm (Ba, Kiros and Hinton 2016) of every row, in place and as elements of an operand.
///
/// # Safety
/// The target's instructions must be there; `scale` and `shift` must hold as many values as a
/// row with its padding, zeros in it.
#[inline(always)]
pub(super) unsafe fn layer_norm<G: Gemm>(
    rows: &mut Rows,
    (scale, shift, epsilon): (*const f32, *const f32, f32),
    out: &mut Operand,
) {
    unsafe {
        let (stride, out_stride, columns) = (rows.stride(), out.stride(), rows.columns());
        #[expect(clippy::cast_precision_loss, reason = "a few thousand columns")]
        let (count, padding) = (columns as f32, (stride - columns) as f32);
        for row in 0..rows.rows() {
            let x = rows.as_mut_ptr().add(row * stride);
            let to = out.as_mut_ptr::<G::Elem>().add(row * out_stride);
            let vectors = (0..stride).step_by(2 * G::S::LANES);
            // Two sums, as one addition has to wait for the one before.
            let mut totals = [G::S::splat(0.0); 2];
            for column in vectors.clone() {
                let (first, second) = simd::load_two::<G::S>(x.add(column));
                totals = [G::S::add(totals[0], first), G::S::add(totals[1], second)];
            }
            let mean = G::S::sum(G::S::add(totals[0], totals[1])) / count;
            let mean_vector = G::S::splat(mean);
            let mut squares = [G::S::splat(0.0); 2];
            for column in vectors.clone() {
                let (first, second) = simd::load_two::<G::S>(x.add(column));
                let (first, second) =
                    (G::S::sub(first, mean_vector), G::S::sub(second, mean_vector));
                squares =
                    [G::S::fma(first, first, squares[0]), G::S::fma(second, second, squares[1])];
            }
            // The zeros of the padding are off by the mean too.
            let squares = G::S::sum(G::S::add(squares[0], squares[1]));
            let variance = (squares - padding * mean * mean).max(0.0) / count;
            let inverse = G::S::splat(1.0 / (variance + epsilon).sqrt());
            for column in vectors {
                let x = x.add(column);
                let (first, second) = simd::load_two::<G::S>(x);
                let (scale, other_scale) = simd::load_two::<G::S>(scale.add(column));
                let (shift, other_shift) = simd::load_two::<G::S>(shift.add(column));
                let first = G::S::mul(G::S::sub(first, mean_vector), inverse);
                let second = G::S::mul(G::S::sub(second, mean_vector), inverse);
                let first = G::S::fma(first, scale, shift);
                let second = G::S::fma(second, other_scale, other_shift);
                G::S::store(x, first);
                G::S::store(x.add(G::S::LANES), second);
                G::narrow_two(to.add(column), first, second);
            }
        }
    }
}
