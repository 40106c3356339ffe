use std::path::Path;

use memmap2::Mmap;
use mesh_core::{LoadError, ModelFiles, manifest::Precision};

use super::{
    FeatureKind, Featurizer,
    featurizer::Scratch,
    layout::{GROUP, Header, INDEX_BYTES, Layout, MAGIC, VERSION},
    scoring::{probabilities, term_weight, widen},
    table::{Candidates, Counts, Record, Table},
};
use crate::{EngineError, EngineErrorKind, TextClassifier, map::map};

/// A linear model packed into one file, memory-mapped: nothing is copied when it is loaded.
#[derive(Debug)]
pub struct CompiledLinear {
    map: Mmap,
    header: Header,
    featurizer: Featurizer,
    layout: Layout,
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
        let (header, layout) = read_header(path, &map)?;
        let featurizer = Featurizer::new(&header.features);
        Ok(Self { map, header, featurizer, layout })
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

    fn table(&self) -> Table<'_> {
        let section = |range: &std::ops::Range<usize>| self.map.get(range.clone());
        let Layout { control, index, records, silent, stride } = &self.layout;
        Table {
            control: section(control).unwrap_or_default(),
            index: section(index).unwrap_or_default(),
            records: section(records).unwrap_or_default(),
            silent: section(silent).unwrap_or_default(),
            stride: *stride,
            loud: self.header.records as usize,
        }
    }

    /// The probabilities of one text.
    fn score(&self, text: &str, table: &Table<'_>, room: &mut Room) -> Vec<f32> {
        let mut decision = self.header.bias.clone();
        for kind in FeatureKind::ALL {
            self.add_kind(kind, text, (table, room), &mut decision);
        }
        probabilities(decision, self.header.labels.len(), &mut room.powers)
    }

    /// Adds what the features of one kind say to the decision values.
    fn add_kind(
        &self,
        kind: FeatureKind,
        text: &str,
        (table, room): (&Table<'_>, &mut Room),
        decision: &mut [f32],
    ) {
        let Room { scratch, hashes, candidates, found, counts, sums, .. } = room;
        found.clear();
        if kind == FeatureKind::Words && self.header.words_of_runs {
            let words = self.featurizer.words(text, scratch);
            Featurizer::singles(words, hashes);
            table.find_all(hashes, found, candidates);
            self.featurizer.known_runs(words, &candidates.known, hashes);
        } else {
            hashes.clear();
            self.featurizer.hashes_of(kind, text, scratch, |hash| hashes.push(hash));
        }
        table.find_all(hashes, found, candidates);
        if found.is_empty() {
            return;
        }
        sums.clear();
        sums.resize(decision.len(), 0.0);
        let mut squares = 0.0f32;
        for (feature, count) in counts.count(found) {
            let Some(Record { idf, weights }) = table.record(*feature) else { continue };
            let value = term_weight(*count, self.header.features.sublinear_tf) * idf;
            squares += value * value;
            self.add(weights, value, sums);
        }
        let scale = if squares > 0.0 { 1.0 / squares.sqrt() } else { 0.0 };
        for (value, sum) in decision.iter_mut().zip(sums) {
            *value += *sum * scale;
        }
    }

    /// Adds a feature's weights to the decision values.
    #[inline]
    fn add(&self, weights: &[u8], value: f32, decision: &mut [f32]) {
        match self.header.precision {
            Precision::F32 => {
                let (weights, _) = weights.as_chunks::<4>();
                for (sum, weight) in decision.iter_mut().zip(weights) {
                    *sum += f32::from_le_bytes(*weight) * value;
                }
            }
            _ => {
                let (weights, _) = weights.as_chunks::<2>();
                let weights = weights.get(..decision.len()).unwrap_or_default();
                // Four at once, where there are so many: a compiler makes one instruction of each.
                let (fours, weights) = weights.as_chunks::<4>();
                let (sums, rest) = decision.as_chunks_mut::<4>();
                let add = |(sum, weight): (&mut f32, &[u8; 2])| {
                    *sum += widen(u16::from_le_bytes(*weight)) * value;
                };
                for (sums, weights) in sums.iter_mut().zip(fours) {
                    sums.iter_mut().zip(weights).for_each(add);
                }
                rest.iter_mut().zip(weights).for_each(add);
            }
        }
    }
}

/// Room that is used for one text after the other.
#[derive(Default)]
struct Room {
    scratch: Scratch,
    hashes: Vec<u64>,
    candidates: Candidates,
    found: Vec<u32>,
    counts: Counts,
    sums: Vec<f32>,
    powers: Vec<f64>,
}

impl TextClassifier for CompiledLinear {
    fn labels(&self) -> &[String] {
        &self.header.labels
    }

    fn scores(&self, texts: &[&str]) -> Vec<Vec<f32>> {
        let (table, mut room) = (self.table(), Room::default());
        texts.iter().map(|text| self.score(text, &table, &mut room)).collect()
    }
}

/// Reads the header, and checks that all it promises is there.
fn read_header(path: &Path, bytes: &[u8]) -> Result<(Header, Layout), EngineError> {
    let fail = |reason: &str| EngineError::format(path, reason);
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| fail("it is no compiled linear model"))?;
    let (version, rest) = number(rest).ok_or_else(|| fail("it is cut"))?;
    if version != VERSION {
        let reason = format!("it has version {version}, this program reads {VERSION}");
        let kind = match version > VERSION {
            true => EngineErrorKind::Newer,
            false => EngineErrorKind::Format,
        };
        return Err(EngineError::new(path, kind, reason));
    }
    let (length, rest) = number(rest).ok_or_else(|| fail("it is cut"))?;
    let length = length as usize;
    if length > MAX_HEADER {
        return Err(fail("its header is too long"));
    }
    let text = rest.get(..length).ok_or_else(|| fail("it is cut"))?;
    let header: Header = serde_json::from_slice(text)
        .map_err(|error| EngineError::format(path, format!("its header is damaged: {error}")))?;
    let few = header.labels.len() < 2 || (header.places as usize) < GROUP;
    if few || header.bias.len() != header.outputs() {
        return Err(fail("its header contradicts itself"));
    }
    let layout = header.layout(length).ok_or_else(|| fail("its header contradicts itself"))?;
    if layout.silent.end > bytes.len() {
        return Err(fail("it is cut"));
    }
    let features = u64::from(header.records) + u64::from(header.silent);
    let (index, _) = bytes.get(layout.index.clone()).unwrap_or_default().as_chunks::<INDEX_BYTES>();
    let control = bytes.get(layout.control.clone()).unwrap_or_default();
    for (entry, control) in index.iter().zip(control) {
        if *control != 0 && u64::from(u32::from_le_bytes(*entry)) >= features {
            return Err(fail("its table points outside of its features"));
        }
    }
    Ok((header, layout))
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*head), rest))
}
