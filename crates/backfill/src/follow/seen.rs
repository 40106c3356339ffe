//! The keys of all documents that there are: each is taken once.

use std::collections::HashSet;

use mesh_archive::{Table, Watch};

use crate::{
    BackfillError,
    inputs::text_in,
    keys::KeyHash,
    sorter::{KeyIndex, Sorter},
};

/// Keys that were seen. Most lie on the disk, so that memory does not grow with the archive.
pub(super) struct Seen {
    indexes: Vec<KeyIndex>,
    fresh: HashSet<KeyHash>,
}

/// Keys that are in memory, at most.
const FRESH: usize = 1 << 20;

impl Seen {
    /// The keys of an archive's documents, and those of files of keys.
    pub(super) fn of(
        table: &Table,
        key: &str,
        files: &[bytes::Bytes],
        watch: Watch<'_>,
    ) -> Result<Self, BackfillError> {
        let mut seen = Self { indexes: Vec::new(), fresh: HashSet::new() };
        for file in files {
            for hash in file.chunks_exact(HASH) {
                let hash = hash.first_chunk::<HASH>().copied().unwrap_or_default();
                seen.add(KeyHash::from_bytes(hash))?;
            }
        }
        if table.files().is_empty() {
            return Ok(seen);
        }
        let mut sorter = Sorter::new()?;
        let mut failed = None;
        table.scan(&[key.to_owned()], watch, "read the keys", &mut |found| {
            for row in 0..found.batch.num_rows() {
                let key = text_in(&found.batch, key, row).filter(|key| !key.is_empty());
                let added = key.map_or(Ok(()), |key| sorter.add((KeyHash::of(&key), 0)));
                if let Err(error) = added {
                    failed.get_or_insert(error);
                }
            }
            watch.cancel.check().map_err(Into::into)
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        seen.indexes.push(sorter.index()?);
        Ok(seen)
    }

    /// Takes a key; says whether it was not there yet.
    pub(super) fn insert(&mut self, key: &str) -> Result<bool, BackfillError> {
        let hash = KeyHash::of(key);
        if self.fresh.contains(&hash) || self.indexes.iter().any(|all| all.find(hash).is_some()) {
            return Ok(false);
        }
        self.add(hash)?;
        Ok(true)
    }

    fn add(&mut self, hash: KeyHash) -> Result<(), BackfillError> {
        self.fresh.insert(hash);
        if self.fresh.len() < FRESH {
            return Ok(());
        }
        let mut sorter = Sorter::new()?;
        for hash in self.fresh.drain() {
            sorter.add((hash, 0))?;
        }
        self.indexes.push(sorter.index()?);
        Ok(())
    }
}

/// Bytes of a key in a file of keys.
const HASH: usize = 16;

/// A file of keys.
pub(super) fn file_of<'k>(keys: impl Iterator<Item = &'k str>) -> bytes::Bytes {
    keys.flat_map(|key| KeyHash::of(key).bytes()).collect()
}

#[cfg(test)]
mod tests {
    use mesh_archive::Format;
    use mesh_core::{Cancel, NoProgress};

    use super::*;

    #[test]
    fn a_key_is_new_once_also_over_files_of_keys() {
        let watch = Watch { progress: &NoProgress, cancel: &Cancel::new() };
        let table = Table::empty(Format::Jsonl);
        let mut seen = Seen::of(&table, "id", &[], watch).unwrap();
        assert!(seen.insert("a").unwrap() && seen.insert("b").unwrap());
        assert!(!seen.insert("a").unwrap());
        let file = file_of(["a", "b"].into_iter());
        let mut again = Seen::of(&table, "id", &[file], watch).unwrap();
        assert!(!again.insert("a").unwrap() && !again.insert("b").unwrap());
        assert!(again.insert("c").unwrap());
    }
}
