use std::path::Path;

use memmap2::Mmap;

use super::{
    Chain, ChainRoom, TOKEN_FEATURES, TokenFeatures,
    pack::{Header, Layout, MAGIC, VERSION, first_place},
};
use crate::{CompiledEncoder, EngineError, EngineErrorKind, TextTokenizer, WordWindows, map::map};

/// The tags of a sentence.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tagging {
    /// The tag of every token: its place among [`CompiledSequence::tags`].
    pub tags: Vec<usize>,
    /// How likely each of them is, 0 to 1, whatever the others are.
    pub scores: Vec<f32>,
}

/// A conditional random field packed into one file, memory-mapped; with the encoder whose vectors
/// it needs, if it needs some.
#[derive(Debug)]
pub struct CompiledSequence {
    map: Mmap,
    header: Header,
    layout: Layout,
    chain: Chain,
    encoder: Option<(CompiledEncoder, TextTokenizer)>,
}

/// Longest header that is read: tags need far less.
const MAX_HEADER: usize = 1 << 20;

impl CompiledSequence {
    /// The name of its file in a compiled artifact.
    pub const FILE: &str = "sequence.mesh";

    /// Opens the model of a folder, and the encoder beside it if the model needs one. Every size
    /// is checked here: what a file claims is never trusted later.
    ///
    /// # Errors
    /// When a file is missing, damaged, cut or newer, or they do not fit each other.
    pub fn open(folder: &Path) -> Result<Self, EngineError> {
        let path = folder.join(Self::FILE);
        let map = map(&path)?;
        let (header, layout) = read_header(&path, &map)?;
        let fail = |reason: &str| EngineError::format(&path, reason);
        let floats = |range: &std::ops::Range<usize>| -> Option<Vec<f32>> {
            let (values, _) = map.get(range.clone())?.as_chunks::<4>();
            let values: Vec<f32> = values.iter().map(|b| f32::from_le_bytes(*b)).collect();
            values.iter().all(|value| value.is_finite()).then_some(values)
        };
        let chain = floats(&layout.start).zip(floats(&layout.follow));
        let chain = chain.and_then(|(start, follow)| Chain::new(header.tags.len(), start, follow));
        let chain = chain.ok_or_else(|| fail("its scores of tags are no numbers"))?;
        let encoder = match header.dimension {
            0 => None,
            dimension => {
                let encoder = CompiledEncoder::open(&folder.join(CompiledEncoder::FILE))?;
                if encoder.config().hidden != dimension {
                    return Err(fail("it was trained on another encoder"));
                }
                let vocabulary = encoder.config().vocabulary;
                let file = folder.join(TextTokenizer::FILE);
                Some((encoder, TextTokenizer::read(&file, vocabulary)?))
            }
        };
        Ok(Self { map, header, layout, chain, encoder })
    }

    /// The tags.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        &self.header.tags
    }

    /// The target of the encoder, if there is one.
    #[must_use]
    pub fn encoder(&self) -> Option<&CompiledEncoder> {
        self.encoder.as_ref().map(|(encoder, _)| encoder)
    }

    /// Tags the tokens of sentences, each the same whatever others are asked with it.
    #[must_use]
    pub fn tag(&self, sentences: &[Vec<&str>], threads: usize) -> Vec<Tagging> {
        let vectors = self.vectors(sentences, threads);
        let mut room = Room::default();
        let mut vectors = vectors.iter().map(Vec::as_slice).chain(std::iter::repeat(&[][..]));
        let tag = |sentence: &Vec<&str>| {
            self.score(sentence, vectors.next().unwrap_or_default(), &mut room);
            let Room { scores, chain, .. } = &mut room;
            let tags = self.chain.best(scores, chain);
            self.chain.marginals(scores, chain);
            let rows = chain.marginals.chunks_exact(self.header.tags.len());
            let likely = rows.zip(&tags).map(|(row, tag)| row.get(*tag).copied());
            let scores = likely.map(|score| score.unwrap_or_default().clamp(0.0, 1.0)).collect();
            Tagging { tags, scores }
        };
        sentences.iter().map(tag).collect()
    }

    /// The vectors of the words of every sentence; nothing without an encoder.
    fn vectors(&self, sentences: &[Vec<&str>], threads: usize) -> Vec<Vec<f32>> {
        let Some((encoder, tokenizer)) = &self.encoder else { return Vec::new() };
        WordWindows::vectors_of(encoder, tokenizer, sentences, threads)
    }

    /// The scores of every token's tags.
    fn score(&self, words: &[&str], vectors: &[f32], room: &mut Room) {
        let tags = self.header.tags.len();
        let Room { features, hashes, scores, .. } = room;
        features.hashes(words, hashes);
        scores.clear();
        scores.resize(words.len() * tags, 0.0);
        let records = self.map.get(self.layout.records.clone()).unwrap_or_default();
        for (scores, hashes) in
            scores.chunks_exact_mut(tags).zip(hashes.chunks_exact(TOKEN_FEATURES))
        {
            for hash in hashes.iter().filter(|hash| **hash != 0) {
                if let Some(weights) = self.find(records, *hash) {
                    add(weights, 1.0, scores);
                }
            }
        }
        let dense = self.map.get(self.layout.dense.clone()).unwrap_or_default();
        let vectors = vectors.chunks_exact(self.header.dimension.max(1));
        for (scores, vector) in scores.chunks_exact_mut(tags).zip(vectors) {
            for (value, weights) in vector.iter().zip(dense.chunks_exact(4 * tags)) {
                add(weights, *value, scores);
            }
        }
    }

    /// The weights of a feature, if the model knows it.
    #[inline]
    fn find<'a>(&self, records: &'a [u8], hash: u64) -> Option<&'a [u8]> {
        let (places, stride) = (self.header.places, self.layout.stride);
        let mut place = first_place(hash, places);
        // A table without an empty place ends the search after one round.
        for _ in 0..places {
            let (found, weights) = records.get(place * stride..)?.split_first_chunk::<8>()?;
            match u64::from_le_bytes(*found) {
                0 => return None,
                found if found == hash => return Some(weights),
                _ => place = (place + 1) & (places - 1),
            }
        }
        None
    }
}

#[inline]
fn add(weights: &[u8], value: f32, scores: &mut [f32]) {
    let (weights, _) = weights.as_chunks::<4>();
    for (score, weight) in scores.iter_mut().zip(weights) {
        *score += value * f32::from_le_bytes(*weight);
    }
}

/// Room that is used for one sentence after the other.
#[derive(Default)]
struct Room {
    features: TokenFeatures,
    hashes: Vec<u64>,
    scores: Vec<f32>,
    chain: ChainRoom,
}

fn read_header(path: &Path, bytes: &[u8]) -> Result<(Header, Layout), EngineError> {
    let fail = |reason: &str| EngineError::format(path, reason);
    let number = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| fail("it is no compiled tagger"))?;
    let version = number(rest).ok_or_else(|| fail("it is cut"))?;
    if version != VERSION {
        let reason = format!("it has version {version}, this program reads {VERSION}");
        let newer = version > VERSION;
        let kind = if newer { EngineErrorKind::Newer } else { EngineErrorKind::Format };
        return Err(EngineError::new(path, kind, reason));
    }
    let rest = rest.get(4..).unwrap_or_default();
    let length = number(rest).ok_or_else(|| fail("it is cut"))? as usize;
    if length > MAX_HEADER {
        return Err(fail("its header is too long"));
    }
    let text =
        rest.get(4..).and_then(|rest| rest.get(..length)).ok_or_else(|| fail("it is cut"))?;
    let header: Header = serde_json::from_slice(text)
        .map_err(|error| EngineError::format(path, format!("its header is damaged: {error}")))?;
    let layout = header.layout(length).ok_or_else(|| fail("its header contradicts itself"))?;
    if layout.follow.end > bytes.len() {
        return Err(fail("it is cut"));
    }
    Ok((header, layout))
}
