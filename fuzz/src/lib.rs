//! What fuzz targets share: a file to read, in a folder of the process.

use std::{
    env, fs, panic,
    path::{Path, PathBuf},
    process,
    sync::{Once, OnceLock},
};

/// A folder of this process, in memory where there is such a place.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { env::temp_dir() };
        let folder = parent.join(format!("mesh-fuzz-{}", process::id()));
        fs::create_dir_all(&folder).expect("the folder of a fuzz target");
        folder
    })
}

/// Writes the input as a file, and gives its place.
pub fn file(name: &str, input: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, input).expect("the file of a fuzz target");
    path
}

/// Lets panics unwind that the code under test catches by itself, where libFuzzer would end the
/// process at once; those that nothing catches end it all the same.
pub fn let_panics_be_caught() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| panic::set_hook(Box::new(|_| {})));
}

/// Bytes that start where numbers may, as those of a mapped file do.
pub struct Aligned(Vec<u64>, usize);

impl Aligned {
    /// Copies the bytes.
    pub fn new(bytes: &[u8]) -> Self {
        let words = bytes.chunks(8).map(|chunk| {
            let mut eight = [0; 8];
            eight[..chunk.len()].copy_from_slice(chunk);
            u64::from_ne_bytes(eight)
        });
        Self(words.collect(), bytes.len())
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.0)[..self.1]
    }
}
