//! Sketches of all staged rows, on disk: their shingles, to be looked up by row, and their bands,
//! to be sorted.

use std::{
    fs::File,
    io::{BufWriter, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    thread,
};

use mesh_core::manifest::NearDuplicates;
use mesh_minhash::{Options, Sketch, Sketcher};
use mesh_text::words;

use crate::{
    PrepareError, PrepareErrorKind,
    sort::{Sorted, Sorter, record},
};

/// Makes sketches, a batch of texts at a time on several threads, and a record for each of their
/// bands: the band's hash and the row.
pub(crate) struct SketchWriter {
    sketcher: Sketcher,
    threads: usize,
    shingles: Values,
    /// How many shingles there are up to the end of each row.
    ends: Values,
    bands: Sorter<16>,
    rows: u64,
    texts: Vec<String>,
    bytes: usize,
}

/// The shingles of all rows.
pub(crate) struct Shingles {
    path: PathBuf,
    shingles: File,
    ends: File,
}

/// A file of numbers.
struct Values {
    path: PathBuf,
    writer: BufWriter<File>,
    written: u64,
}

/// Bytes of text that are held for a batch.
const BATCH_BYTES: usize = 4 << 20;
/// Bytes of text under which another thread does not pay.
const THREAD_BYTES: usize = 64 << 10;
/// Bytes of a number.
const WIDTH: u64 = 8;

impl SketchWriter {
    pub(crate) fn create(
        scratch: &Path,
        options: &NearDuplicates,
        threads: usize,
    ) -> Result<Self, PrepareError> {
        let NearDuplicates { shingle, threshold, permutations, .. } = *options;
        let sketcher =
            Sketcher::new(Options { shingle, threshold, permutations }).map_err(|error| {
                PrepareError::new(PrepareErrorKind::NearDuplicates(error.to_string()))
            })?;
        Ok(Self {
            sketcher,
            threads: threads.max(1),
            shingles: Values::create(scratch.join("shingles.bin"))?,
            ends: Values::create(scratch.join("shingle-ends.bin"))?,
            bands: Sorter::new(scratch, "bands"),
            rows: 0,
            texts: Vec::new(),
            bytes: 0,
        })
    }

    /// Takes the text of the next row.
    pub(crate) fn push(&mut self, text: String) -> Result<(), PrepareError> {
        self.bytes += text.len();
        self.texts.push(text);
        if self.bytes >= BATCH_BYTES || self.texts.len() >= BATCH_BYTES / 64 {
            self.sketch()?;
        }
        Ok(())
    }

    fn sketch(&mut self) -> Result<(), PrepareError> {
        let texts = std::mem::take(&mut self.texts);
        let threads = self.threads.min(self.bytes / THREAD_BYTES + 1);
        self.bytes = 0;
        let sketcher = &self.sketcher;
        let sketch = |texts: &[String]| -> Vec<Sketch> {
            texts.iter().map(|text| sketcher.sketch(words(text))).collect()
        };
        let sketches: Vec<_> = thread::scope(|scope| {
            let share = texts.len().div_ceil(threads).max(1);
            let mut parts = texts.chunks(share);
            let first = parts.next().unwrap_or_default();
            let others: Vec<_> = parts.map(|part| (part, scope.spawn(|| sketch(part)))).collect();
            let mut sketches = sketch(first);
            for (part, other) in others {
                // Sketching does not panic; if it did, it would here too, and be told.
                sketches.extend(other.join().unwrap_or_else(|_| sketch(part)));
            }
            sketches
        });
        for sketch in sketches {
            self.store(&sketch)?;
        }
        Ok(())
    }

    /// A text without words has no bands, so it is nobody's candidate.
    fn store(&mut self, sketch: &Sketch) -> Result<(), PrepareError> {
        let row = self.rows.to_be_bytes();
        for hash in sketch.bands() {
            self.bands.push(record(&[&hash.to_be_bytes(), &row]))?;
        }
        self.shingles.push(sketch.shingles())?;
        self.ends.push(&[self.shingles.written])?;
        self.rows += 1;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<(Shingles, Sorted<16>), PrepareError> {
        self.sketch()?;
        let path = self.shingles.path.clone();
        let (shingles, ends) = (self.shingles.finish()?, self.ends.finish()?);
        Ok((Shingles { path, shingles, ends }, self.bands.finish()?))
    }
}

impl Shingles {
    /// Hashes of a row's shingles, sorted, each once.
    pub(crate) fn of(&self, row: u64) -> Result<Vec<u64>, PrepareError> {
        let start = match row.checked_sub(1) {
            Some(before) => self.read(&self.ends, before, 1)?.first().copied().unwrap_or(0),
            None => 0,
        };
        let end = self.read(&self.ends, row, 1)?.first().copied().unwrap_or(start);
        self.read(&self.shingles, start, end.saturating_sub(start))
    }

    fn read(&self, file: &File, at: u64, count: u64) -> Result<Vec<u64>, PrepareError> {
        let mut bytes = vec![0; usize::try_from(count * WIDTH).unwrap_or(0)];
        let read = file.read_exact_at(&mut bytes, at * WIDTH);
        read.map_err(|error| PrepareError::io(&self.path, error))?;
        let (values, _) = bytes.as_chunks::<8>();
        Ok(values.iter().map(|value| u64::from_le_bytes(*value)).collect())
    }
}

impl Values {
    fn create(path: PathBuf) -> Result<Self, PrepareError> {
        let file = File::create(&path).map_err(|error| PrepareError::io(&path, error))?;
        Ok(Self { path, writer: BufWriter::new(file), written: 0 })
    }

    fn push(&mut self, values: &[u64]) -> Result<(), PrepareError> {
        for value in values {
            let written = self.writer.write_all(&value.to_le_bytes());
            written.map_err(|error| PrepareError::io(&self.path, error))?;
        }
        self.written += values.len() as u64;
        Ok(())
    }

    fn finish(mut self) -> Result<File, PrepareError> {
        let flushed = self.writer.flush().and_then(|()| File::open(&self.path));
        flushed.map_err(|error| PrepareError::io(&self.path, error))
    }
}
