//! Signatures of all staged rows, in a file of records of one size.

use std::{
    fs::File,
    io::{BufWriter, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    thread,
};

use mesh_core::manifest::NearDuplicates;
use mesh_minhash::{MinHasher, Signature, band_hashes, bands};
use mesh_text::words;

use crate::{
    PrepareError,
    sort::{Sorted, Sorter, record},
};

/// Makes signatures, a batch of texts at a time on several threads, and a record for each of
/// their bands: the band's hash and the row.
pub(crate) struct Signer {
    hasher: MinHasher,
    cut: (usize, usize),
    threads: usize,
    path: PathBuf,
    writer: BufWriter<File>,
    bands: Sorter<16>,
    permutations: usize,
    rows: u64,
    texts: Vec<String>,
    bytes: usize,
}

/// Signatures, to be looked up by row.
pub(crate) struct Signatures {
    path: PathBuf,
    file: File,
    permutations: usize,
}

/// How far under the threshold the bands aim. Candidates are verified, so more of them only cost
/// time, while bands that aim at the threshold itself miss nearly half of the pairs there.
const MARGIN: f64 = 0.125;
/// Bytes of text that are held for a batch.
const BATCH_BYTES: usize = 4 << 20;
/// Bytes of text under which another thread does not pay.
const THREAD_BYTES: usize = 64 << 10;

impl Signer {
    pub(crate) fn create(
        scratch: &Path,
        options: &NearDuplicates,
        threads: usize,
    ) -> Result<Self, PrepareError> {
        let path = scratch.join("signatures.bin");
        let file = File::create(&path).map_err(|error| PrepareError::io(&path, error))?;
        Ok(Self {
            hasher: MinHasher::new(options.permutations, options.shingle),
            cut: bands((1.0 - MARGIN) * options.threshold, options.permutations),
            threads: threads.max(1),
            path,
            writer: BufWriter::new(file),
            bands: Sorter::new(scratch, "bands"),
            permutations: options.permutations,
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
            self.sign()?;
        }
        Ok(())
    }

    fn sign(&mut self) -> Result<(), PrepareError> {
        let texts = std::mem::take(&mut self.texts);
        let threads = self.threads.min(self.bytes / THREAD_BYTES + 1);
        self.bytes = 0;
        let hasher = &self.hasher;
        let sign = |texts: &[String]| -> Vec<Option<Signature>> {
            texts.iter().map(|text| hasher.signature_of(words(text))).collect()
        };
        let signatures: Vec<_> = thread::scope(|scope| {
            let share = texts.len().div_ceil(threads).max(1);
            let mut parts = texts.chunks(share);
            let first = parts.next().unwrap_or_default();
            let others: Vec<_> = parts.map(|part| (part, scope.spawn(|| sign(part)))).collect();
            let mut signatures = sign(first);
            for (part, other) in others {
                // Signing does not panic; if it did, it would here too, and be told.
                signatures.extend(other.join().unwrap_or_else(|_| sign(part)));
            }
            signatures
        });
        for signature in signatures {
            self.store(signature)?;
        }
        Ok(())
    }

    fn store(&mut self, signature: Option<Signature>) -> Result<(), PrepareError> {
        let row = self.rows.to_be_bytes();
        for hash in signature.iter().flat_map(|signature| band_hashes(signature, self.cut)) {
            self.bands.push(record(&[&hash.to_be_bytes(), &row]))?;
        }
        // A text without words is nobody's candidate; its place in the file is kept.
        let signature = signature.unwrap_or_else(|| vec![0; self.permutations]);
        let bytes: Vec<u8> = signature.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.rows += 1;
        self.writer.write_all(&bytes).map_err(|error| PrepareError::io(&self.path, error))
    }

    pub(crate) fn finish(mut self) -> Result<(Signatures, Sorted<16>), PrepareError> {
        self.sign()?;
        let fail = |error| PrepareError::io(&self.path, error);
        self.writer.flush().map_err(fail)?;
        let file = File::open(&self.path).map_err(fail)?;
        let bands = self.bands.finish()?;
        Ok((Signatures { path: self.path, file, permutations: self.permutations }, bands))
    }
}

impl Signatures {
    pub(crate) fn of(&self, row: u64) -> Result<Signature, PrepareError> {
        let mut bytes = vec![0; self.permutations * 4];
        let at = row * bytes.len() as u64;
        let read = self.file.read_exact_at(&mut bytes, at);
        read.map_err(|error| PrepareError::io(&self.path, error))?;
        let (values, _) = bytes.as_chunks::<4>();
        Ok(values.iter().map(|value| u32::from_le_bytes(*value)).collect())
    }
}
