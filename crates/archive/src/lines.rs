use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use mesh_core::ProgressTask;

use crate::{ArchiveError, ArchiveErrorKind};

/// The lines of a file, each as it is, with its end.
pub(crate) struct Lines<'a> {
    file: &'a Path,
    reader: BufReader<Box<dyn Read + 'a>>,
    task: &'a dyn ProgressTask,
    number: u64,
    /// Where in the file the next line begins.
    offset: u64,
    /// Bytes that are read and not yet told.
    untold: u64,
}

/// The most bytes of a line: what is longer is no line of an archive.
pub(crate) const MAX_BYTES: usize = 64 << 20;
/// Bytes after which progress is told.
const TELL: u64 = 1 << 18;
const BOM: &[u8] = b"\xef\xbb\xbf";

impl<'a> Lines<'a> {
    pub(crate) fn open(file: &'a Path, task: &'a dyn ProgressTask) -> Result<Self, ArchiveError> {
        let opened = File::open(file).map_err(|error| ArchiveError::open(file, error))?;
        Ok(Self::new(file, Box::new(opened), task))
    }

    /// The lines of what is read from somewhere; `file` is named by errors alone.
    pub(crate) fn new(
        file: &'a Path,
        reader: Box<dyn Read + 'a>,
        task: &'a dyn ProgressTask,
    ) -> Self {
        let reader = BufReader::with_capacity(1 << 18, reader);
        Self { file, reader, task, number: 0, offset: 0, untold: 0 }
    }

    /// What is read begins there in the file, where a line begins; how many lines are before it
    /// is not known, so that an error numbers them from there.
    pub(crate) fn starting_at(self, offset: u64) -> Self {
        Self { offset, ..self }
    }

    /// The file whose lines they are.
    pub(crate) fn file(&self) -> &'a Path {
        self.file
    }

    /// Where in the file the next line begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads the next line; says whether there is one.
    pub(crate) fn next(&mut self, line: &mut Vec<u8>) -> Result<bool, ArchiveError> {
        line.clear();
        let begins_file = self.offset == 0;
        let read = self.reader.by_ref().take(MAX_BYTES as u64).read_until(b'\n', line);
        let read = read.map_err(|error| ArchiveError::open(self.file, error))?;
        self.number += 1;
        self.offset += read as u64;
        self.untold += read as u64;
        if self.untold >= TELL || read == 0 {
            self.task.advance(std::mem::take(&mut self.untold));
        }
        if read == MAX_BYTES && line.last() != Some(&b'\n') {
            let file = self.file.display().to_string();
            return Err(ArchiveError::new(ArchiveErrorKind::TooLong { file, line: self.number }));
        }
        if begins_file && line.starts_with(BOM) {
            line.drain(..BOM.len());
        }
        Ok(read > 0)
    }

    /// Reads the next line that is not blank; gives where it begins, if there is one.
    pub(crate) fn next_written(&mut self, line: &mut Vec<u8>) -> Result<Option<u64>, ArchiveError> {
        loop {
            let offset = self.offset;
            if !self.next(line)? {
                return Ok(None);
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(offset));
            }
        }
    }
}
