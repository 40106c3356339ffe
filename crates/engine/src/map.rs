//! Files as memory. The only place of this crate with `unsafe`.

use std::{fs::File, path::Path};

use memmap2::Mmap;

use crate::EngineError;

/// Maps a file of an artifact.
#[expect(unsafe_code, reason = "mapping a file is unsafe as others may change it")]
pub(crate) fn map(path: &Path) -> Result<Mmap, EngineError> {
    let file = File::open(path).map_err(|error| EngineError::io(path, error))?;
    // SAFETY: artifacts are immutable: they are written elsewhere, moved to their place when
    // complete, and replaced or removed as whole folders, which leaves existing maps intact.
    unsafe { Mmap::map(&file) }.map_err(|error| EngineError::io(path, error))
}
