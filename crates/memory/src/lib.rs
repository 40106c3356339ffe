//! How the program gets memory from the system.

/// Tells the allocator of the C library what this program does, where it is glibc's; elsewhere nothing
/// is to be told. To be called before there are threads.
///
/// Pages of Parquet files and the like are got and given back again and again, a megabyte at a time.
/// glibc would return each to the system, or keep them once in every of many arenas: both cost more
/// than what is done with them.
pub fn settle() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::settle();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::{num::NonZero, thread};

    use libc::{M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, c_int, mallopt};

    /// From so many bytes on, a block is got from the system and given back by itself.
    const BY_ITSELF: c_int = 4 << 20;
    /// So many free bytes at its end an arena keeps.
    const KEPT: c_int = 3 << 20;

    pub(super) fn settle() {
        // Threads that compute take turns in as many arenas as there are processors.
        let arenas = thread::available_parallelism().map_or(1, NonZero::get).max(2);
        tell(M_ARENA_MAX, c_int::try_from(arenas).unwrap_or(c_int::MAX));
        tell(M_MMAP_THRESHOLD, BY_ITSELF);
        tell(M_TRIM_THRESHOLD, KEPT);
    }

    /// What the allocator does not know it leaves as it is.
    #[expect(
        unsafe_code,
        reason = "the standard library has no way to tell its allocator anything"
    )]
    fn tell(what: c_int, value: c_int) {
        // SAFETY: `mallopt` takes two numbers, checks them, and locks what it changes.
        unsafe { mallopt(what, value) };
    }
}
