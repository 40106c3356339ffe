//! Vectors of words: what an encoder says of each word of a sentence.

use super::{CompiledEncoder, TextTokenizer};

/// A sentence as an encoder reads it: windows of whole words, and which rows are which word's.
#[derive(Debug, Default)]
pub struct WordWindows {
    /// The tokens of the windows, special ones in each.
    pub windows: Vec<Vec<u32>>,
    /// Per word its window and its rows in it; none for a word without tokens.
    words: Vec<Option<(usize, std::ops::Range<usize>)>>,
}

impl WordWindows {
    /// Cuts a sentence to windows of at most `max_tokens`. A word that is longer than a window by
    /// itself counts by its beginning.
    #[must_use]
    pub fn new(tokenizer: &TextTokenizer, words: &[&str], max_tokens: usize) -> Self {
        let room = max_tokens.saturating_sub(tokenizer.special()).max(1);
        let mut parts: Vec<Vec<u32>> = Vec::new();
        let places = tokenizer.pieces(words).into_iter().map(|mut pieces| {
            pieces.truncate(room);
            if pieces.is_empty() {
                return None;
            }
            if parts.last().is_none_or(|part| part.len() + pieces.len() > room) {
                parts.push(Vec::new());
            }
            let window = parts.len() - 1;
            let part = parts.last_mut()?;
            let start = tokenizer.leading() + part.len();
            part.extend(&pieces);
            Some((window, start..start + pieces.len()))
        });
        let words = places.collect();
        Self { windows: parts.iter().map(|part| tokenizer.surround(part)).collect(), words }
    }

    /// The vector of every word, one after the other: the mean of its tokens' hidden states, given
    /// per window and token; zeros for a word without tokens.
    #[must_use]
    pub fn vectors(&self, hidden: &[Vec<Vec<f32>>], dimension: usize) -> Vec<f32> {
        let mut vectors = vec![0.0f32; self.words.len() * dimension];
        for (vector, place) in vectors.chunks_exact_mut(dimension.max(1)).zip(&self.words) {
            let Some((window, rows)) = place else { continue };
            let rows = hidden.get(*window).and_then(|window| window.get(rows.clone()));
            let rows = rows.unwrap_or_default();
            #[expect(clippy::cast_precision_loss, reason = "a few tokens")]
            let share = 1.0 / rows.len().max(1) as f32;
            for row in rows {
                vector.iter_mut().zip(row).for_each(|(to, from)| *to += share * from);
            }
        }
        vectors
    }
}

impl WordWindows {
    /// The vectors of the words of several sentences, each sentence's one after the other.
    #[must_use]
    pub fn vectors_of(
        encoder: &CompiledEncoder,
        tokenizer: &TextTokenizer,
        sentences: &[Vec<&str>],
        threads: usize,
    ) -> Vec<Vec<f32>> {
        let most = encoder.max_tokens();
        let cut: Vec<Self> =
            sentences.iter().map(|words| Self::new(tokenizer, words, most)).collect();
        let windows: Vec<&[u32]> =
            cut.iter().flat_map(|cut| &cut.windows).map(Vec::as_slice).collect();
        let mut hidden = encoder.hidden(&windows, threads).into_iter();
        let dimension = encoder.config().hidden;
        let vectors = cut.iter().map(|cut| {
            let own: Vec<_> = hidden.by_ref().take(cut.windows.len()).collect();
            cut.vectors(&own, dimension)
        });
        vectors.collect()
    }
}
