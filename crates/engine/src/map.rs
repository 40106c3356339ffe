//! Files as memory. The only place of this crate with `unsafe`.

use std::{
    fs::{self, File},
    path::Path,
};

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

/// The length of a regular file. Anything else, such as a pipe, would wait or never end.
fn regular(path: &Path) -> Result<u64, EngineError> {
    let found = fs::metadata(path).map_err(|error| EngineError::io(path, error))?;
    match found.is_file() {
        true => Ok(found.len()),
        false => Err(EngineError::foreign(path, "it is no regular file")),
    }
}

/// Reads a file of a model that is not its weights.
pub(crate) fn read_small(path: &Path, most: u64) -> Result<Vec<u8>, EngineError> {
    let size = regular(path)?;
    if size > most {
        return Err(EngineError::foreign(path, format!("{size} bytes are too many")));
    }
    fs::read(path).map_err(|error| EngineError::io(path, error))
}

/// Maps a file of an artifact.
#[expect(unsafe_code, reason = "mapping a file is unsafe as others may change it")]
pub(crate) fn map(path: &Path) -> Result<Mmap, EngineError> {
    regular(path)?;
    let file = File::open(path).map_err(|error| EngineError::io(path, error))?;
    // SAFETY: artifacts are immutable: they are written elsewhere, moved to their place when
    // complete, and replaced or removed as whole folders, which leaves existing maps intact.
    unsafe { Mmap::map(&file) }.map_err(|error| EngineError::io(path, error))
}
