//! Sorting of more records than fit into memory.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use crate::PrepareError;

/// Sorts records of N bytes by their bytes: the key comes first, numbers in big-endian order.
///
/// Records are held until there are too many, then written out as a sorted run; the runs are
/// merged while they are read back.
pub(crate) struct Sorter<const N: usize> {
    folder: PathBuf,
    name: &'static str,
    held: Vec<[u8; N]>,
    limit: usize,
    runs: Vec<PathBuf>,
    written: usize,
}

/// Records in order.
pub(crate) struct Sorted<const N: usize> {
    runs: Vec<Run<N>>,
    heads: BinaryHeap<Reverse<([u8; N], usize)>>,
}

enum Run<const N: usize> {
    File(PathBuf, BufReader<File>),
    Memory(std::vec::IntoIter<[u8; N]>),
}

/// Memory that a sorter may hold.
const MEMORY: usize = 32 << 20;
/// Runs that are merged at once.
const FAN_IN: usize = 64;

impl<const N: usize> Sorter<N> {
    pub(crate) fn new(folder: &Path, name: &'static str) -> Self {
        Self::with_memory(folder, name, MEMORY)
    }

    fn with_memory(folder: &Path, name: &'static str, bytes: usize) -> Self {
        let limit = (bytes / N).max(1);
        Self {
            folder: folder.to_owned(),
            name,
            held: Vec::new(),
            limit,
            runs: Vec::new(),
            written: 0,
        }
    }

    pub(crate) fn push(&mut self, record: [u8; N]) -> Result<(), PrepareError> {
        self.held.push(record);
        if self.held.len() >= self.limit {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<(), PrepareError> {
        self.held.sort_unstable();
        let path = self.next_path();
        let io = |error| PrepareError::io(&path, error);
        let mut out = BufWriter::new(File::create(&path).map_err(io)?);
        for record in self.held.drain(..) {
            out.write_all(&record).map_err(io)?;
        }
        out.flush().map_err(io)?;
        self.runs.push(path);
        Ok(())
    }

    /// Merges the first runs to one, so that no more files are open at once than may be.
    fn merge(&mut self) -> Result<(), PrepareError> {
        let path = self.next_path();
        let io = |error| PrepareError::io(&path, error);
        let some: Vec<PathBuf> = self.runs.drain(..FAN_IN.min(self.runs.len())).collect();
        let mut out = BufWriter::new(File::create(&path).map_err(io)?);
        for record in Sorted::<N>::open(&some, Vec::new())? {
            out.write_all(&record?).map_err(io)?;
        }
        out.flush().map_err(io)?;
        for merged in some {
            fs::remove_file(&merged).map_err(|error| PrepareError::io(&merged, error))?;
        }
        self.runs.push(path);
        Ok(())
    }

    fn next_path(&mut self) -> PathBuf {
        self.written += 1;
        self.folder.join(format!("{}-{}.run", self.name, self.written))
    }

    pub(crate) fn finish(mut self) -> Result<Sorted<N>, PrepareError> {
        while self.runs.len() > FAN_IN {
            self.merge()?;
        }
        self.held.sort_unstable();
        Sorted::open(&self.runs, self.held)
    }
}

impl<const N: usize> Sorted<N> {
    fn open(runs: &[PathBuf], held: Vec<[u8; N]>) -> Result<Self, PrepareError> {
        let mut sorted =
            Self { heads: BinaryHeap::new(), runs: vec![Run::Memory(held.into_iter())] };
        for path in runs {
            let file = File::open(path).map_err(|error| PrepareError::io(path, error))?;
            sorted.runs.push(Run::File(path.clone(), BufReader::with_capacity(1 << 16, file)));
        }
        for run in 0..sorted.runs.len() {
            sorted.advance(run)?;
        }
        Ok(sorted)
    }

    fn advance(&mut self, index: usize) -> Result<(), PrepareError> {
        let next = match self.runs.get_mut(index) {
            Some(Run::Memory(records)) => records.next(),
            Some(Run::File(path, reader)) => {
                read_record(reader).map_err(|error| PrepareError::io(path, error))?
            }
            None => None,
        };
        self.heads.extend(next.map(|record| Reverse((record, index))));
        Ok(())
    }
}

fn read_record<const N: usize>(reader: &mut impl Read) -> io::Result<Option<[u8; N]>> {
    let mut record = [0; N];
    match reader.read_exact(&mut record) {
        Ok(()) => Ok(Some(record)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

impl<const N: usize> Iterator for Sorted<N> {
    type Item = Result<[u8; N], PrepareError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((record, run)) = self.heads.pop()?;
        Some(self.advance(run).map(|()| record))
    }
}

/// A record put together from parts.
pub(crate) fn record<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut record = [0; N];
    for (to, from) in record.iter_mut().zip(parts.iter().copied().flatten()) {
        *to = *from;
    }
    record
}

/// Eight bytes of a record as a number.
pub(crate) fn number(record: &[u8], at: usize) -> u64 {
    let bytes = record.get(at..).and_then(|rest| rest.first_chunk::<8>());
    bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]
        #[test]
        fn what_goes_in_comes_out_in_order(mut values in prop::collection::vec(any::<u64>(), 0..3000)) {
            let folder = tempfile::tempdir().unwrap();
            // Room for 10 records: up to 300 runs on disk, which are merged in several passes.
            let mut sorter = Sorter::<8>::with_memory(folder.path(), "test", 80);
            for value in &values {
                sorter.push(value.to_be_bytes()).unwrap();
                prop_assert!(sorter.held.len() <= 10 && sorter.held.capacity() <= 16);
            }
            let sorted: Vec<u64> =
                sorter.finish().unwrap().map(|record| number(&record.unwrap(), 0)).collect();
            values.sort_unstable();
            prop_assert_eq!(sorted, values);
        }
    }
}
