//! Embeddings by the content of their texts: training again, or on more data, computes new texts
//! only.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use mesh_core::Digest;

/// The embeddings of one encoder, kept in one file: magic, u32 dimension, then per text the first
/// half of its digest and its values, little-endian.
///
/// It is a cache: what cannot be read is computed again, what cannot be written is not kept.
pub(crate) struct EmbeddingCache {
    file: Option<PathBuf>,
    dimension: usize,
    known: HashMap<Name, Vec<f32>>,
    changed: bool,
}

/// Half of a SHA-256.
type Name = [u8; 16];

const MAGIC: &[u8; 8] = b"MESHEMB1";

impl EmbeddingCache {
    /// The cache in a folder of what depends on `key`; without a folder only memory.
    pub(crate) fn open(folder: Option<&Path>, key: Digest, dimension: usize) -> Self {
        let file = folder.map(|folder| folder.join(format!("{key}.embeddings")));
        let bytes = file.as_ref().and_then(|file| fs::read(file).ok()).unwrap_or_default();
        let known = read(&bytes, dimension).unwrap_or_default();
        Self { file, dimension, known, changed: false }
    }

    pub(crate) fn get(&self, text: &str) -> Option<&[f32]> {
        self.known.get(&name(text)).map(Vec::as_slice)
    }

    pub(crate) fn put(&mut self, text: &str, embedding: Vec<f32>) {
        if embedding.len() == self.dimension {
            self.known.insert(name(text), embedding);
            self.changed = true;
        }
    }

    /// Writes what is new, in one move.
    pub(crate) fn save(&self) {
        let Some(file) = self.file.as_ref().filter(|_| self.changed) else { return };
        if let Err(error) = self.write(file) {
            tracing::warn!(%error, "embeddings are not kept for the next time");
        }
    }

    fn write(&self, file: &Path) -> io::Result<()> {
        let folder = file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let dimension = u32::try_from(self.dimension).map_err(io::Error::other)?;
        let mut bytes = [MAGIC.as_slice(), &dimension.to_le_bytes()].concat();
        for (name, embedding) in &self.known {
            bytes.extend(name);
            bytes.extend(embedding.iter().flat_map(|value| value.to_le_bytes()));
        }
        let temporary = file.with_extension(format!("{}.part", std::process::id()));
        fs::write(&temporary, bytes)?;
        fs::rename(&temporary, file)
    }
}

fn name(text: &str) -> Name {
    let digest = Digest::of(text.as_bytes());
    digest.as_bytes().first_chunk().copied().unwrap_or_default()
}

fn read(bytes: &[u8], dimension: usize) -> Option<HashMap<Name, Vec<f32>>> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (found, records) = rest.split_first_chunk::<4>()?;
    let size = size_of::<Name>() + dimension * size_of::<f32>();
    if u32::from_le_bytes(*found) as usize != dimension || !records.len().is_multiple_of(size) {
        return None;
    }
    let record = |record: &[u8]| -> Option<(Name, Vec<f32>)> {
        let (name, values) = record.split_first_chunk()?;
        let values = values.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        Some((*name, values.collect()))
    };
    records.chunks_exact(size).map(record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_found_and_damage_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let key = Digest::of(b"an encoder");
        let mut cache = EmbeddingCache::open(Some(folder.path()), key, 2);
        cache.put("a", vec![1.0, 2.0]);
        cache.save();
        let again = EmbeddingCache::open(Some(folder.path()), key, 2);
        assert_eq!(again.get("a"), Some([1.0, 2.0].as_slice()));
        assert_eq!(again.get("b"), None);
        let file = again.file.unwrap();
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(EmbeddingCache::open(Some(folder.path()), key, 2).get("a"), None);
    }
}
