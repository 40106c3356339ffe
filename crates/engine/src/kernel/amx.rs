//! Products of bf16 operands on the tile unit of Intel's CPUs (AMX).
//!
//! The intrinsics are not stable, so the instructions stand in inline assembly. A block is 32
//! rows by 32 columns: four tiles of sums, two of the left and two of the right operand. What is
//! done with the tiles is generic over [`Tiles`], so that it is tested on CPUs without them.

use std::{
    arch::{asm, x86_64::*},
    marker::PhantomData,
    sync::OnceLock,
};

use super::{
    attention::{QUERY_ROWS, Text},
    bf16::{self, bf16_elements},
    buffer::PANEL,
    gemm::{Aside, Block, Gemm, Left},
    simd::Simd,
    target::Target,
    x86::Avx512,
};

/// Values of k in one step of the tiles.
const STEP: usize = 32;
/// Rows of one tile.
const TILE_ROWS: usize = 16;

/// Eight tiles: 0 to 3 hold sums (upper left, upper right, lower left, lower right), 4 and 5 the
/// left operand, 6 and 7 the right one.
///
/// # Safety
/// The instructions must be there and allowed; pointers must be valid for what is read: 16 rows
/// of 64 bytes per tile.
pub(super) trait Tiles: Copy {
    /// Gives every tile 16 rows of 64 bytes.
    unsafe fn configure();
    /// Gives the tiles back.
    unsafe fn release();
    /// Sets the sums to zero.
    unsafe fn zero();
    /// Adds the product of 16 rows of the left operand.
    unsafe fn step_upper(left: *const u16, stride_bytes: usize, right: *const u16);
    /// Adds the product of 32 rows of the left operand.
    unsafe fn step(left: *const u16, stride_bytes: usize, right: *const u16);
    /// Writes the sums of the upper 16 rows, 32 values each.
    unsafe fn store_upper(block: *mut f32, stride_bytes: usize);
    /// Writes the sums: 32 rows of 32 values.
    unsafe fn store(block: *mut f32, stride_bytes: usize);
}

/// Products on tiles.
#[derive(Clone, Copy)]
pub(super) struct Amx<T>(PhantomData<T>);

/// The tiles of the CPU.
#[derive(Clone, Copy)]
pub(super) struct Hardware;

/// What LDTILECFG reads: palette 1, all tiles 16 rows of 64 bytes (Intel SDM, volume 1, 18.2).
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_per_row: [u16; 16],
    rows: [u8; 16],
}

const CONFIGURATION: Configuration = Configuration {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    bytes_per_row: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Whether this CPU has tiles for bf16, and the kernel lets this process use them. Asked once: the
/// permission is the whole process's.
pub(super) fn allowed() -> bool {
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    *ALLOWED.get_or_init(|| has_instructions() && permitted())
}

/// CPUID leaf 7: AMX-BF16 is bit 22 of EDX, AMX-TILE bit 24. XGETBV says whether the operating
/// system saves the tiles: bits 17 and 18.
fn has_instructions() -> bool {
    if !Target::Avx512Bf16.is_available() || !is_x86_feature_detected!("xsave") {
        return false;
    }
    let leaf = __cpuid_count(7, 0);
    if leaf.edx & (1 << 22) == 0 || leaf.edx & (1 << 24) == 0 {
        return false;
    }
    #[target_feature(enable = "xsave")]
    fn saved() -> u64 {
        // SAFETY: register 0 is there wherever XGETBV is.
        unsafe { _xgetbv(0) }
    }
    // SAFETY: XSAVE is there, as asked above.
    let saved = unsafe { saved() };
    saved & (0b11 << 17) == 0b11 << 17
}

/// Asks Linux for the tiles: their state is 8 kB that it does not save for whoever did not ask.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    let refused: i64;
    // SAFETY: the call reads no memory of ours; the kernel clobbers rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => refused,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    refused == 0
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// Adds products to the sums, and writes them.
///
/// # Safety
/// As [`Gemm::block`].
#[inline(always)]
unsafe fn multiply<T: Tiles>(left: Left<u16>, panel: *const u16, block: Block, aside: &impl Aside) {
    // SAFETY: as the caller's: operands have spare rows behind the last one.
    unsafe {
        let bytes = left.stride * size_of::<u16>();
        let to_bytes = block.stride * size_of::<f32>();
        let steps = left.k.div_ceil(STEP);
        let share = aside.share(steps);
        if left.rows > TILE_ROWS {
            for step in 0..steps {
                let k = step * STEP;
                aside.part(step, share);
                T::step(left.at.add(k), bytes, panel.add(k * PANEL));
            }
            T::store(block.at, to_bytes);
        } else {
            for step in 0..steps {
                let k = step * STEP;
                aside.part(step, share);
                T::step_upper(left.at.add(k), bytes, panel.add(k * PANEL));
            }
            T::store_upper(block.at, to_bytes);
        }
    }
}

impl<T: Tiles> Gemm for Amx<T> {
    type S = Avx512;
    type Elem = u16;
    const GROUP: usize = 2;
    const K_ALIGN: usize = STEP;
    const ROWS: usize = 2 * TILE_ROWS;

    #[inline(always)]
    unsafe fn begin() {
        // SAFETY: as the caller's.
        unsafe { T::configure() }
    }

    #[inline(always)]
    unsafe fn end() {
        // SAFETY: as the caller's.
        unsafe { T::release() }
    }

    /// Whole blocks first: what is left may fit into the upper tiles.
    #[inline(always)]
    fn blocks(rows: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..rows).step_by(Self::ROWS).map(move |start| (start, (rows - start).min(Self::ROWS)))
    }

    #[inline(always)]
    unsafe fn block(left: Left<u16>, panel: *const u16, block: Block, aside: &impl Aside) {
        // SAFETY: as the caller's.
        unsafe {
            T::zero();
            multiply::<T>(left, panel, block, aside);
        }
    }

    #[inline(always)]
    unsafe fn prefetch(at: *const u16) {
        // SAFETY: a hint, for any address.
        unsafe { Avx512::prefetch(at.cast()) }
    }

    bf16_elements!();
}

/// Multiplies what is in the tiles of the CPU, four products a time, and nothing else: the most
/// that it can. Gives the operations of one time.
///
/// # Safety
/// Tiles must be there and allowed.
#[inline(never)]
pub(super) unsafe fn saturate(times: usize) -> usize {
    // Some real numbers: zeros run faster on some CPUs than what models hold.
    let operand: [u16; TILE_ROWS * STEP] = std::array::from_fn(|at| {
        bf16::narrow_one(f32::from(u8::try_from(at * 37 % 101).unwrap_or_default()) / 17.0 - 2.9)
    });
    let at = operand.as_ptr();
    // SAFETY: the operand is a tile; tiles are there, as the caller says.
    unsafe {
        Hardware::configure();
        Hardware::zero();
        asm!(
            "tileloadd tmm4, [{at} + {stride}]",
            "tileloadd tmm5, [{at} + {stride}]",
            "tileloadd tmm6, [{at} + {stride}]",
            "tileloadd tmm7, [{at} + {stride}]",
            "2:",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "dec {times}",
            "jnz 2b",
            at = in(reg) at,
            stride = in(reg) STEP * size_of::<u16>(),
            times = inout(reg) times.max(1) => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
        Hardware::release();
    }
    4 * 2 * TILE_ROWS * TILE_ROWS * STEP
}

/// Bytes from one pair of k to the next in a panel.
const PAIR_BYTES: usize = 2 * PANEL * size_of::<u16>();

// The right operand is loaded with the hint that it is not needed in the first cache (T1): a panel
// is used once for each block of rows, and would drive out the rows, which every panel needs. That
// is worth a quarter of the time.
//
// SAFETY of the assembly: it names every tile that it writes as clobbered, reads and writes only
// what the trait says, and leaves flags and stack alone.
impl Tiles for Hardware {
    #[inline(always)]
    unsafe fn configure() {
        let configuration = &CONFIGURATION;
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) configuration, options(nostack, preserves_flags));
        }
    }

    #[inline(always)]
    unsafe fn release() {
        unsafe { asm!("tilerelease", options(nostack, preserves_flags)) }
    }

    #[inline(always)]
    unsafe fn zero() {
        unsafe {
            asm!(
                "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline(always)]
    unsafe fn step_upper(left: *const u16, stride_bytes: usize, right: *const u16) {
        unsafe {
            asm!(
                "tileloadd tmm4, [{left} + {stride}]",
                "tileloaddt1 tmm6, [{right} + {pair}]",
                "tileloaddt1 tmm7, [{right_2} + {pair}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                left = in(reg) left,
                stride = in(reg) stride_bytes,
                right = in(reg) right,
                right_2 = in(reg) right.add(PANEL),
                pair = in(reg) PAIR_BYTES,
                out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline(always)]
    unsafe fn step(left: *const u16, stride_bytes: usize, right: *const u16) {
        unsafe {
            asm!(
                "tileloadd tmm4, [{left} + {stride}]",
                "tileloaddt1 tmm6, [{right} + {pair}]",
                "tileloaddt1 tmm7, [{right_2} + {pair}]",
                "tileloadd tmm5, [{left_2} + {stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                left = in(reg) left,
                left_2 = in(reg) left.byte_add(TILE_ROWS * stride_bytes),
                stride = in(reg) stride_bytes,
                right = in(reg) right,
                right_2 = in(reg) right.add(PANEL),
                pair = in(reg) PAIR_BYTES,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline(always)]
    unsafe fn store_upper(block: *mut f32, stride_bytes: usize) {
        unsafe {
            asm!(
                "tilestored [{upper} + {stride}], tmm0",
                "tilestored [{upper_2} + {stride}], tmm1",
                upper = in(reg) block,
                upper_2 = in(reg) block.add(16),
                stride = in(reg) stride_bytes,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline(always)]
    unsafe fn store(block: *mut f32, stride_bytes: usize) {
        unsafe {
            Self::store_upper(block, stride_bytes);
            let lower = block.byte_add(TILE_ROWS * stride_bytes);
            asm!(
                "tilestored [{lower} + {stride}], tmm2",
                "tilestored [{lower_2} + {stride}], tmm3",
                lower = in(reg) lower,
                lower_2 = in(reg) lower.add(16),
                stride = in(reg) stride_bytes,
                options(nostack, preserves_flags),
            );
        }
    }
}

#[cfg(test)]
pub(super) mod emulated {
    //! The tiles in plain Rust, after the operation sections of Intel's manual: what the
    //! arrangement of loads and products is tested with where there are none.

    use std::cell::RefCell;

    use super::*;

    /// Tiles of the thread, emulated.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Emulated;

    type Tile = [[u8; 64]; 16];

    thread_local! {
        static TILES: RefCell<Option<[Tile; 8]>> = const { RefCell::new(None) };
    }

    /// Like the instructions, this faults where no tiles are configured.
    fn with<R>(act: impl FnOnce(&mut [Tile; 8]) -> R) -> R {
        TILES.with_borrow_mut(|tiles| act(tiles.as_mut().expect("tiles are configured")))
    }

    unsafe fn load(tile: usize, from: *const u16, stride_bytes: usize) {
        with(|tiles| {
            for (row, bytes) in tiles[tile].iter_mut().enumerate() {
                // SAFETY: as the caller's.
                *bytes = unsafe {
                    from.byte_add(row * stride_bytes).cast::<[u8; 64]>().read_unaligned()
                };
            }
        });
    }

    /// TDPBF16PS: for every row m, pair k and column n, two products added to the sum.
    fn product(sums: usize, left: usize, right: usize) {
        let bf16 = |tile: &Tile, row: usize, at: usize| {
            let bits = u16::from_le_bytes([tile[row][2 * at], tile[row][2 * at + 1]]);
            f32::from_bits(u32::from(bits) << 16)
        };
        with(|tiles| {
            for m in 0..16 {
                for k in 0..16 {
                    for n in 0..16 {
                        let at = 4 * n..4 * n + 4;
                        let sum =
                            f32::from_le_bytes(tiles[sums][m][at.clone()].try_into().unwrap());
                        let sum = sum
                            + bf16(&tiles[left], m, 2 * k) * bf16(&tiles[right], k, 2 * n)
                            + bf16(&tiles[left], m, 2 * k + 1) * bf16(&tiles[right], k, 2 * n + 1);
                        tiles[sums][m][at].copy_from_slice(&sum.to_le_bytes());
                    }
                }
            }
        });
    }

    unsafe fn write(tile: usize, to: *mut f32, stride_bytes: usize) {
        with(|tiles| {
            for (row, bytes) in tiles[tile].iter().enumerate() {
                let to = to.wrapping_byte_add(row * stride_bytes);
                // SAFETY: as the caller's.
                unsafe { to.cast::<[u8; 64]>().write_unaligned(*bytes) };
            }
        });
    }

    impl Tiles for Emulated {
        unsafe fn configure() {
            TILES.set(Some([[[0; 64]; 16]; 8]));
        }
        unsafe fn release() {
            TILES.set(None);
        }
        unsafe fn zero() {
            with(|tiles| tiles[..4].fill([[0; 64]; 16]));
        }
        unsafe fn step_upper(left: *const u16, stride_bytes: usize, right: *const u16) {
            unsafe {
                load(4, left, stride_bytes);
                load(6, right, PAIR_BYTES);
                load(7, right.add(PANEL), PAIR_BYTES);
            }
            product(0, 4, 6);
            product(1, 4, 7);
        }
        unsafe fn step(left: *const u16, stride_bytes: usize, right: *const u16) {
            unsafe {
                Self::step_upper(left, stride_bytes, right);
                load(5, left.byte_add(TILE_ROWS * stride_bytes), stride_bytes);
            }
            product(2, 5, 6);
            product(3, 5, 7);
        }
        unsafe fn store_upper(block: *mut f32, stride_bytes: usize) {
            unsafe {
                write(0, block, stride_bytes);
                write(1, block.add(16), stride_bytes);
            }
        }
        unsafe fn store(block: *mut f32, stride_bytes: usize) {
            unsafe {
                Self::store_upper(block, stride_bytes);
                let lower = block.byte_add(TILE_ROWS * stride_bytes);
                write(2, lower, stride_bytes);
                write(3, lower.add(16), stride_bytes);
            }
        }
    }
}
