use std::{ops::Range, path::Path};

use memmap2::Mmap;
use mesh_core::{LoadError, ModelFiles, manifest::Precision};

use super::{
    Featurizer,
    featurizer::Scratch,
    pack::{ALIGNMENT, EMPTY, ENTRY_BYTES, Header, MAGIC, NO_ROW, VERSION, start},
    scoring::{probabilities, term_weight, widen},
};
use crate::{EngineError, EngineErrorKind, TextClassifier, map::map};

/// A linear model packed into one file, memory-mapped: nothing is copied when it is loaded.
#[derive(Debug)]
pub struct CompiledLinear {
    map: Mmap,
    header: Header,
    featurizer: Featurizer,
    table: Range<usize>,
    rows: Range<usize>,
}

/// Longest header that is read: labels and options need far less.
const MAX_HEADER: usize = 16 << 20;

impl CompiledLinear {
    /// The name of its file in a compiled artifact.
    pub const FILE: &str = "linear.mesh";

    /// Opens a packed model. Every offset is checked here: what a file claims is never trusted
    /// later.
    ///
    /// # Errors
    /// When the file is not a packed linear model, cut, newer, or contradicts itself.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let map = map(path)?;
        let (header, table, rows) = layout(path, &map)?;
        let featurizer = Featurizer::new(&header.features);
        Ok(Self { map, header, featurizer, table, rows })
    }

    /// Opens the model of a project.
    ///
    /// # Errors
    /// When there is none, or it cannot be opened.
    pub fn load(model: &ModelFiles) -> Result<Self, LoadError> {
        let fail = |error| LoadError::new(&model.manifest.project.name, error);
        let folder = model.compiled.as_deref().ok_or_else(|| {
            fail(EngineError::format(Path::new(Self::FILE), "the project has no compiled model"))
        })?;
        Self::open(&folder.join(Self::FILE)).map_err(fail)
    }

    /// The probabilities of one text.
    fn score(&self, text: &str, room: &mut Room) -> Vec<f32> {
        let table = self.map.get(self.table.clone()).unwrap_or_default();
        let rows = self.map.get(self.rows.clone()).unwrap_or_default();
        let Room { scratch, hashes, found } = room;
        hashes.clear();
        self.featurizer.hashes(text, scratch, |hash| hashes.push(hash));
        // One loop by itself: the processor then waits for many places of the table at once.
        found.clear();
        found.extend(hashes.iter().filter_map(|hash| find(table, *hash)));
        found.sort_unstable();
        let mut decision = vec![0.0f32; self.header.bias.len()];
        let mut squares = 0.0f32;
        for same in found.chunk_by(|a, b| a == b) {
            let Some(entry) = same.first().and_then(|place| entry(table, *place)) else { continue };
            let count = u32::try_from(same.len()).unwrap_or(u32::MAX);
            let value = term_weight(count, self.header.features.sublinear_tf) * entry.idf;
            squares += value * value;
            if entry.row != NO_ROW {
                self.add_row(rows, entry.row as usize, value, &mut decision);
            }
        }
        let scale = if squares > 0.0 { 1.0 / squares.sqrt() } else { 0.0 };
        for (value, bias) in decision.iter_mut().zip(&self.header.bias) {
            *value = *value * scale + bias;
        }
        probabilities(&decision, self.header.labels.len())
    }

    #[inline]
    fn add_row(&self, rows: &[u8], row: usize, value: f32, decision: &mut [f32]) {
        let outputs = decision.len();
        match self.header.precision {
            Precision::F32 => {
                let bytes = rows.get(row * outputs * 4..(row + 1) * outputs * 4);
                let (weights, _) = bytes.unwrap_or_default().as_chunks::<4>();
                for (sum, weight) in decision.iter_mut().zip(weights) {
                    *sum += f32::from_le_bytes(*weight) * value;
                }
            }
            _ => {
                let bytes = rows.get(row * outputs * 2..(row + 1) * outputs * 2);
                let (weights, _) = bytes.unwrap_or_default().as_chunks::<2>();
                for (sum, weight) in decision.iter_mut().zip(weights) {
                    *sum += widen(u16::from_le_bytes(*weight)) * value;
                }
            }
        }
    }
}

/// Room that is used for one text after the other.
#[derive(Default)]
struct Room {
    scratch: Scratch,
    hashes: Vec<u64>,
    found: Vec<u32>,
}

struct Entry {
    row: u32,
    idf: f32,
}

impl TextClassifier for CompiledLinear {
    fn labels(&self) -> &[String] {
        &self.header.labels
    }

    fn scores(&self, texts: &[&str]) -> Vec<Vec<f32>> {
        let mut room = Room::default();
        texts.iter().map(|text| self.score(text, &mut room)).collect()
    }
}

/// The place of a hash in the table, if it is there. A full table ends the search after one
/// round.
#[inline]
fn find(table: &[u8], hash: u64) -> Option<u32> {
    let (entries, _) = table.as_chunks::<ENTRY_BYTES>();
    let mut place = start(hash, entries.len());
    for _ in 0..entries.len() {
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = *entries.get(place)?;
        if u32::from_le_bytes([i, j, k, l]) == EMPTY {
            return None;
        }
        if u64::from_le_bytes([a, b, c, d, e, f, g, h]) == hash {
            return u32::try_from(place).ok();
        }
        place = if place + 1 == entries.len() { 0 } else { place + 1 };
    }
    None
}

#[inline]
fn entry(table: &[u8], place: u32) -> Option<Entry> {
    let (entries, _) = table.as_chunks::<ENTRY_BYTES>();
    let [.., i, j, k, l, m, n, o, p] = *entries.get(place as usize)?;
    Some(Entry { row: u32::from_le_bytes([i, j, k, l]), idf: f32::from_le_bytes([m, n, o, p]) })
}

/// Reads the header, and finds where the table and the rows are.
fn layout(path: &Path, bytes: &[u8]) -> Result<(Header, Range<usize>, Range<usize>), EngineError> {
    let fail = |reason: &str| EngineError::format(path, reason);
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| fail("it is no compiled linear model"))?;
    let (version, rest) = number(rest).ok_or_else(|| fail("it is cut"))?;
    if version != VERSION {
        let reason = format!("it has version {version}, this program reads {VERSION}");
        return Err(EngineError::new(path, EngineErrorKind::Newer, reason));
    }
    let (length, rest) = number(rest).ok_or_else(|| fail("it is cut"))?;
    let length = length as usize;
    if length > MAX_HEADER {
        return Err(fail("its header is too long"));
    }
    let text = rest.get(..length).ok_or_else(|| fail("it is cut"))?;
    let header: Header = serde_json::from_slice(text)
        .map_err(|error| EngineError::format(path, format!("its header is damaged: {error}")))?;
    let labels = header.labels.len();
    let outputs = if labels == 2 { 1 } else { labels };
    if labels < 2 || header.bias.len() != outputs || header.places == 0 {
        return Err(fail("its header contradicts itself"));
    }
    let width = if header.precision == Precision::F32 { 4 } else { 2 };
    let section = |start: usize, count: usize, size: usize| {
        let start = start.checked_next_multiple_of(ALIGNMENT)?;
        let end = start.checked_add(count.checked_mul(size)?)?;
        (end <= bytes.len()).then_some(start..end)
    };
    let table = section(MAGIC.len() + 8 + length, header.places as usize, ENTRY_BYTES);
    let table = table.ok_or_else(|| fail("its table is cut"))?;
    let rows = section(table.end, header.rows as usize, outputs * width);
    let rows = rows.ok_or_else(|| fail("its weights are cut"))?;
    let (entries, _) = bytes.get(table.clone()).unwrap_or_default().as_chunks::<ENTRY_BYTES>();
    for entry in entries {
        let [.., i, j, k, l, _, _, _, _] = *entry;
        let row = u32::from_le_bytes([i, j, k, l]);
        if row >= header.rows && row != EMPTY && row != NO_ROW {
            return Err(fail("its table points outside of its weights"));
        }
    }
    Ok((header, table, rows))
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*head), rest))
}
