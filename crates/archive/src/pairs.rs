use std::{
    io::{self, BufWriter, Write},
    path::Path,
};

use serde::Serialize;

use crate::{ArchiveError, Pair, Unfinished};

/// Writes pairs to a JSONL file, which is there when it is whole.
#[derive(Debug)]
pub struct PairWriter {
    unfinished: Unfinished,
    writer: BufWriter<std::fs::File>,
}

/// A pair, as it is written.
#[derive(Serialize)]
struct Line<'a> {
    first: u64,
    second: u64,
    similarity: f64,
    exact: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    second_key: Option<&'a str>,
}

impl PairWriter {
    /// Begins a file.
    ///
    /// # Errors
    /// When no file can be made there.
    pub fn create(path: &Path) -> Result<Self, ArchiveError> {
        let unfinished = Unfinished::create(path)?;
        let file = unfinished.as_file().try_clone();
        let file = file.map_err(|error| ArchiveError::write(path, error))?;
        Ok(Self { unfinished, writer: BufWriter::with_capacity(1 << 16, file) })
    }

    /// Writes a pair: `{"first": 3, "second": 12, "similarity": 0.9, "exact": false}`, and
    /// `first_key` and `second_key` where the rows have such.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, pair: &Pair<'_>) -> Result<(), ArchiveError> {
        let line = Line {
            first: pair.first.row,
            second: pair.second.row,
            similarity: pair.similarity,
            exact: pair.exact,
            first_key: pair.first.key,
            second_key: pair.second.key,
        };
        let written = serde_json::to_writer(&mut self.writer, &line)
            .map_err(io::Error::from)
            .and_then(|()| self.writer.write_all(b"\n"));
        written.map_err(|error| ArchiveError::write(self.unfinished.path(), error))
    }

    /// Puts the file in its place; what was there is replaced.
    ///
    /// # Errors
    /// When it cannot be written to the disk, or not be put there.
    pub fn finish(mut self) -> Result<(), ArchiveError> {
        let flushed = self.writer.flush();
        flushed.map_err(|error| ArchiveError::write(self.unfinished.path(), error))?;
        self.unfinished.finish()
    }
}
