//! What is known of each staged row, in a file of records of one size.

use std::{
    fs::File,
    io::{BufReader, BufWriter, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use mesh_dataset::SplitName;

use crate::{
    PrepareError,
    sort::{number, record},
};

/// What is known of a staged row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The first half of the digest of its text.
    pub(crate) content: u128,
    /// Its label, as an index into the labels found; `NO_LABEL` without one.
    pub(crate) label: u32,
    /// The split that the source gives.
    pub(crate) split: Option<SplitName>,
    /// A hash of its group; 0 without one.
    pub(crate) group: u64,
    /// Its time, as a number that sorts like it.
    pub(crate) time: u64,
}

pub(crate) const NO_LABEL: u32 = u32::MAX;
const SIZE: usize = 37;

pub(crate) struct FactsWriter {
    path: PathBuf,
    writer: BufWriter<File>,
}

pub(crate) struct FactsReader {
    path: PathBuf,
    reader: BufReader<File>,
}

impl FactsWriter {
    pub(crate) fn create(path: &Path) -> Result<Self, PrepareError> {
        let file = File::create(path).map_err(|error| PrepareError::io(path, error))?;
        Ok(Self { path: path.to_owned(), writer: BufWriter::new(file) })
    }

    pub(crate) fn push(&mut self, facts: Facts) -> Result<(), PrepareError> {
        let written = self.writer.write_all(&facts.to_bytes());
        written.map_err(|error| PrepareError::io(&self.path, error))
    }

    pub(crate) fn finish(mut self) -> Result<(), PrepareError> {
        self.writer.flush().map_err(|error| PrepareError::io(&self.path, error))
    }
}

impl FactsReader {
    pub(crate) fn open(path: &Path) -> Result<Self, PrepareError> {
        let file = File::open(path).map_err(|error| PrepareError::io(path, error))?;
        Ok(Self { path: path.to_owned(), reader: BufReader::new(file) })
    }
}

impl Iterator for FactsReader {
    type Item = Result<Facts, PrepareError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = [0; SIZE];
        match self.reader.read_exact(&mut bytes) {
            Ok(()) => Some(Ok(Facts::from_bytes(&bytes))),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => None,
            Err(error) => Some(Err(PrepareError::io(&self.path, error))),
        }
    }
}

impl Facts {
    fn to_bytes(self) -> [u8; SIZE] {
        let split = [self.split.map_or(u8::MAX, |split| split as u8)];
        record(&[
            &self.content.to_be_bytes(),
            &self.label.to_be_bytes(),
            &split,
            &self.group.to_be_bytes(),
            &self.time.to_be_bytes(),
        ])
    }

    fn from_bytes(bytes: &[u8; SIZE]) -> Self {
        let label = bytes.get(16..).and_then(|rest| rest.first_chunk::<4>());
        let split = bytes.get(20).and_then(|split| SplitName::ALL.get(usize::from(*split)));
        Self {
            content: (u128::from(number(bytes, 0)) << 64) | u128::from(number(bytes, 8)),
            label: label.map_or(NO_LABEL, |label| u32::from_be_bytes(*label)),
            split: split.copied(),
            group: number(bytes, 21),
            time: number(bytes, 29),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("facts");
        let facts =
            |split| Facts { content: u128::MAX / 3, label: 7, split, group: 9, time: 1 << 63 };
        let all = [None, Some(SplitName::Train), Some(SplitName::Test)].map(facts);
        let mut writer = FactsWriter::create(&path).unwrap();
        all.iter().for_each(|facts| writer.push(*facts).unwrap());
        writer.finish().unwrap();
        let read: Vec<Facts> = FactsReader::open(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, all);
    }
}
