//! Files as memory. The only place of this crate with `unsafe`.

use std::{fs::File, path::Path};

use memmap2::Mmap;

use crate::EngineError;

/// A file of an artifact as memory, for models that are computed elsewhere.
#[derive(Debug)]
pub struct MappedFile(Mmap);

impl MappedFile {
    /// Maps a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        map(path).map(Self)
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Maps a file of an artifact.
#[expect(unsafe_code, reason = "mapping a file is unsafe as others may change it")]
pub(crate) fn map(path: &Path) -> Result<Mmap, EngineError> {
    let file = File::open(path).map_err(|error| EngineError::io(path, error))?;
    // SAFETY: artifacts are immutable: they are written elsewhere, moved to their place when
    // complete, and replaced or removed as whole folders, which leaves existing maps intact.
    unsafe { Mmap::map(&file) }.map_err(|error| EngineError::io(path, error))
}
