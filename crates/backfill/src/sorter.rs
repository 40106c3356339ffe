//! Hashes by the hundred million: sorted in a temporary file, and found in one.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt,
};

use crate::{BackfillError, BackfillErrorKind, keys::KeyHash};

const BUCKET_BITS: u32 = 7;
const BUCKETS: usize = 1 << BUCKET_BITS;
/// Entries of a block.
const BLOCK: usize = 256;

/// What is sorted by the hundred million.
pub(crate) trait Entry: Copy + Ord {
    /// Its length in a file.
    const BYTES: usize;

    /// The first bits of its hash.
    fn bucket(&self) -> usize;

    /// Whether another one has the same hash.
    fn is_alike(&self, other: &Self) -> bool;

    fn write(self, out: &mut Vec<u8>);

    fn read(bytes: &[u8]) -> Self;
}

/// A hash and where it is found.
pub(crate) type Located = (KeyHash, u64);

impl Entry for Located {
    const BYTES: usize = 24;

    fn bucket(&self) -> usize {
        (self.0.number() >> (128 - BUCKET_BITS)) as usize
    }

    fn is_alike(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend(self.0.bytes());
        out.extend(self.1.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Self {
        let hash = bytes.first_chunk::<16>().copied().unwrap_or_default();
        let number = bytes.last_chunk::<8>().copied().unwrap_or_default();
        (KeyHash::from_bytes(hash), u64::from_be_bytes(number))
    }
}

impl Entry for u64 {
    const BYTES: usize = 8;

    fn bucket(&self) -> usize {
        (self >> (64 - BUCKET_BITS)) as usize
    }

    fn is_alike(&self, other: &Self) -> bool {
        self == other
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend(self.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Self {
        Self::from_be_bytes(bytes.first_chunk().copied().unwrap_or_default())
    }
}

/// Hashes with a number each, by the hundred million: they lie in a temporary file, of which a
/// hundredth is in memory at a time.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    file: File,
    /// Where each bucket begins, in entries.
    starts: Vec<u64>,
}

/// Entries by bucket, which go to a temporary file block by block.
pub(crate) struct Sorter<E> {
    file: File,
    /// Blocks that are in the file.
    blocks: u64,
    buckets: Vec<Bucket<E>>,
}

struct Bucket<E> {
    /// Which blocks of the file are its own.
    blocks: Vec<u64>,
    /// The entries that are not yet a block.
    open: Vec<E>,
}

impl KeyIndex {
    /// The number of a hash: the least, where there are several.
    pub(crate) fn find(&self, hash: KeyHash) -> Option<u64> {
        let bucket = (hash, 0).bucket();
        let (mut low, mut high) = (*self.starts.get(bucket)?, *self.starts.get(bucket + 1)?);
        let mut entry = [0; Located::BYTES];
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            self.file.read_exact_at(&mut entry, middle * Located::BYTES as u64).ok()?;
            let (key, number) = Located::read(&entry);
            if key < hash {
                low = middle + 1;
            } else {
                if key == hash {
                    found = Some(number);
                }
                high = middle;
            }
        }
        found
    }
}

impl Sorter<Located> {
    pub(crate) fn index(self) -> Result<KeyIndex, BackfillError> {
        let mut out = BufWriter::new(tempfile::tempfile().map_err(scratch)?);
        let mut starts = vec![0];
        let mut total = 0;
        self.buckets_in_order(|entries| {
            let mut bytes = Vec::with_capacity(entries.len() * Located::BYTES);
            entries.iter().for_each(|entry| entry.write(&mut bytes));
            out.write_all(&bytes).map_err(scratch)?;
            total += entries.len() as u64;
            starts.push(total);
            Ok(())
        })?;
        let file = out.into_inner().map_err(|error| scratch(error.into_error()))?;
        Ok(KeyIndex { file, starts })
    }
}

impl<E: Entry> Sorter<E> {
    pub(crate) fn new() -> Result<Self, BackfillError> {
        let file = tempfile::tempfile().map_err(scratch)?;
        let bucket = |_| Bucket { blocks: Vec::new(), open: Vec::new() };
        Ok(Self { file, blocks: 0, buckets: (0..BUCKETS).map(bucket).collect() })
    }

    pub(crate) fn add(&mut self, entry: E) -> Result<(), BackfillError> {
        let Self { file, blocks, buckets } = self;
        let Some(bucket) = buckets.get_mut(entry.bucket()) else { return Ok(()) };
        bucket.open.push(entry);
        if bucket.open.len() < BLOCK {
            return Ok(());
        }
        let mut block = Vec::with_capacity(BLOCK * E::BYTES);
        bucket.open.drain(..).for_each(|entry| entry.write(&mut block));
        file.write_all_at(&block, *blocks * (BLOCK * E::BYTES) as u64).map_err(scratch)?;
        bucket.blocks.push(*blocks);
        *blocks += 1;
        Ok(())
    }

    /// Shows the entries of each hash, in their order.
    pub(crate) fn each_hash(self, mut each: impl FnMut(&[E])) -> Result<(), BackfillError> {
        self.buckets_in_order(|entries| {
            entries.chunk_by(E::is_alike).for_each(&mut each);
            Ok(())
        })
    }

    fn buckets_in_order(
        self,
        mut each: impl FnMut(&[E]) -> Result<(), BackfillError>,
    ) -> Result<(), BackfillError> {
        for bucket in self.buckets {
            each(&bucket.sorted(&self.file).map_err(scratch)?)?;
        }
        Ok(())
    }
}

impl<E: Entry> Bucket<E> {
    fn sorted(self, file: &File) -> io::Result<Vec<E>> {
        let mut entries = self.open;
        let mut block = vec![0; BLOCK * E::BYTES];
        entries.reserve_exact(self.blocks.len() * BLOCK);
        for at in self.blocks {
            file.read_exact_at(&mut block, at * (BLOCK * E::BYTES) as u64)?;
            entries.extend(block.chunks_exact(E::BYTES).map(E::read));
        }
        entries.sort_unstable();
        Ok(entries)
    }
}

fn scratch(error: io::Error) -> BackfillError {
    let folder = std::env::temp_dir().display().to_string();
    BackfillError::new("keep the keys of an archive aside", BackfillErrorKind::Write(folder))
        .because(error)
        .help("make room there, or name another folder by TMPDIR")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_index_finds_the_first_of_each_key(keys in prop::collection::vec("[a-e]{0,2}", 0..200)) {
            let [mut sorter, mut shown] = [0, 1].map(|_| Sorter::new().unwrap());
            let mut hashes = Sorter::new().unwrap();
            let mut expected: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
            for (key, row) in keys.iter().zip(0..) {
                sorter.add((KeyHash::of(key), row)).unwrap();
                shown.add((KeyHash::of(key), row)).unwrap();
                hashes.add((KeyHash::of(key).number() >> 64) as u64).unwrap();
                expected.entry(key).or_default().push(row);
            }
            let index = sorter.index().unwrap();
            let mut seen: Vec<Vec<u64>> = Vec::new();
            shown.each_hash(|rows| seen.push(rows.iter().map(|(_, row)| *row).collect())).unwrap();
            let mut counts = Vec::new();
            hashes.each_hash(|alike| counts.push(alike.len())).unwrap();
            prop_assert_eq!(counts, seen.iter().map(Vec::len).collect::<Vec<_>>());
            seen.sort();
            let mut all: Vec<Vec<u64>> = expected.values().cloned().collect();
            all.sort();
            prop_assert_eq!(seen, all);
            for (key, rows) in expected {
                prop_assert_eq!(index.find(KeyHash::of(key)), rows.first().copied());
            }
            prop_assert_eq!(index.find(KeyHash::of("nowhere")), None);
        }
    }
}
