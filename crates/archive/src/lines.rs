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
    reader: BufReader<File>,
    task: &'a dyn ProgressTask,
    number: u64,
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
        let reader = BufReader::with_capacity(1 << 18, opened);
        Ok(Self { file, reader, task, number: 0, untold: 0 })
    }

    /// Reads the next line; says whether there is one.
    pub(crate) fn next(&mut self, line: &mut Vec<u8>) -> Result<bool, ArchiveError> {
        line.clear();
        let read = self.reader.by_ref().take(MAX_BYTES as u64).read_until(b'\n', line);
        let read = read.map_err(|error| ArchiveError::open(self.file, error))?;
        self.number += 1;
        self.untold += read as u64;
        if self.untold >= TELL || read == 0 {
            self.task.advance(std::mem::take(&mut self.untold));
        }
        if read == MAX_BYTES && line.last() != Some(&b'\n') {
            let file = self.file.display().to_string();
            return Err(ArchiveError::new(ArchiveErrorKind::TooLong { file, line: self.number }));
        }
        if self.number == 1 && line.starts_with(BOM) {
            line.drain(..BOM.len());
        }
        Ok(read > 0)
    }

    /// Reads the next line that is not blank; says whether there is one.
    pub(crate) fn next_written(&mut self, line: &mut Vec<u8>) -> Result<bool, ArchiveError> {
        while self.next(line)? {
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
