//! From texts to the tokens of an encoder, cut to windows where a text is longer than the model.

use std::{
    panic::{self, AssertUnwindSafe},
    path::Path,
};

use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use crate::{EngineError, map::read_small};

/// The tokenizer of a model folder.
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    /// Special tokens before a text.
    before: Vec<u32>,
    /// Special tokens behind a text.
    behind: Vec<u32>,
}

/// A text as windows of tokens, special tokens in each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    /// The windows, in the order of the text; none for a text without tokens.
    pub windows: Vec<Vec<u32>>,
    /// Tokens of the whole text, special ones counted once.
    pub tokens: usize,
}

/// Letters that hardly any vocabulary has (Ugaritic, and a Cyrillic one from a single manuscript).
const RARE: &str = "a \u{10380}\u{10381} \u{a66e}";
/// Some replace a blank by a mark of three bytes, none more than once.
const MAX_GROWTH: f64 = 16.0;
/// Longer tokenizers are of no model known.
const MAX_BYTES: u64 = 256 << 20;

impl TextTokenizer {
    /// The name of its file.
    pub const FILE: &str = "tokenizer.json";

    /// Reads a tokenizer for a model with a vocabulary of this size.
    ///
    /// # Errors
    /// When the file is missing or no tokenizer, or knows tokens that the model does not have.
    pub fn read(path: &Path, vocabulary: usize) -> Result<Self, EngineError> {
        let wrong = |reason: String| EngineError::foreign(path, reason);
        let bytes = read_small(path, MAX_BYTES)?;
        let tokenizer = guarded(|| parse(&bytes)).unwrap_or_else(|| Err("it breaks".into()));
        let tokenizer =
            tokenizer.map_err(|reason| wrong(format!("it is no tokenizer: {reason}")))?;
        let largest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0) as usize;
        if largest >= vocabulary {
            return Err(wrong(format!(
                "it does not fit the model: it knows {} tokens, the model {vocabulary}",
                largest + 1
            )));
        }
        let example = guarded(|| tokenizer.encode_fast("a", true).ok()).flatten();
        let example = example.ok_or_else(|| wrong("it cannot read a letter".into()))?;
        // Its own special tokens are named by number, which nobody has checked.
        if let Some(id) = example.get_ids().iter().find(|id| **id as usize >= vocabulary) {
            return Err(wrong(format!(
                "it does not fit the model: it puts token {id} around a text, the model knows \
                 {vocabulary}"
            )));
        }
        if guarded(|| tokenizer.encode_fast(RARE, false).ok()).flatten().is_none() {
            return Err(wrong("it has no token for what it does not know".into()));
        }
        let special = example.get_special_tokens_mask();
        let count = special.iter().take_while(|mark| **mark == 1).count();
        let last = special.iter().rev().take_while(|mark| **mark == 1).count();
        let ids = example.get_ids();
        let before = ids.get(..count).unwrap_or_default().to_vec();
        let behind =
            ids.get(ids.len() - last.min(ids.len() - count)..).unwrap_or_default().to_vec();
        Ok(Self { tokenizer, before, behind })
    }

    /// Special tokens of a window.
    #[must_use]
    pub fn special(&self) -> usize {
        self.before.len() + self.behind.len()
    }

    /// The tokens of each word of a sentence, without special ones. A word that has none, such as
    /// one of control characters, has an empty list.
    #[must_use]
    pub fn pieces(&self, words: &[&str]) -> Vec<Vec<u32>> {
        let mut pieces = vec![Vec::new(); words.len()];
        let encode = || self.tokenizer.encode_fast(words, false).ok();
        if let Some(encoding) = guarded(encode).flatten() {
            for (id, word) in encoding.get_ids().iter().zip(encoding.get_word_ids()) {
                if let Some(pieces) = word.and_then(|word| pieces.get_mut(word as usize)) {
                    pieces.push(*id);
                }
            }
        }
        pieces
    }

    /// Puts the special tokens around those of a part of a text.
    pub(super) fn surround(&self, part: &[u32]) -> Vec<u32> {
        [&self.before, part, &self.behind].concat()
    }

    /// How many special tokens stand before a text.
    pub(super) fn leading(&self) -> usize {
        self.before.len()
    }

    /// The tokens of a text, in windows of at most `max_tokens`. A text whose characters give no
    /// tokens at all has no windows.
    #[must_use]
    pub fn windows(&self, text: &str, max_tokens: usize) -> Windows {
        // What cannot be encoded has no tokens: the tokenizers of encoders refuse nothing.
        let encoding = guarded(|| self.tokenizer.encode_fast(text, false).ok()).flatten();
        let ids = encoding.map(|encoding| encoding.get_ids().to_vec()).unwrap_or_default();
        let special = self.special();
        let room = max_tokens.saturating_sub(special).max(1);
        let tokens = if ids.is_empty() { 0 } else { ids.len() + special };
        Windows { windows: ids.chunks(room).map(|part| self.surround(part)).collect(), tokens }
    }
}

/// Parses a tokenizer without what is not needed here: texts are never put together again, windows
/// are cut by us, and nothing is padded.
fn parse(bytes: &[u8]) -> Result<Tokenizer, String> {
    let mut json: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    for part in ["decoder", "truncation", "padding"] {
        json.remove(part);
    }
    let growth = json.get("normalizer").map_or(1.0, growth);
    if growth > MAX_GROWTH {
        return Err(format!(
            "its normalizer may make a text {growth} times as long, {MAX_GROWTH} times are allowed"
        ));
    }
    serde_json::from_value(Value::Object(json)).map_err(|error| error.to_string())
}

/// How many times as long a normalizer may make a text: by what is put in the place of a character,
/// for each step of it.
fn growth(normalizer: &Value) -> f64 {
    if let Some(steps) = normalizer.get("normalizers").and_then(Value::as_array) {
        return steps.iter().map(growth).product();
    }
    let text = ["content", "prepend"].iter().find_map(|key| normalizer.get(*key)?.as_str());
    #[expect(clippy::cast_precision_loss, reason = "the length of a text in a file")]
    let length = text.map_or(0.0, |text| text.len() as f64);
    match normalizer.get("type").and_then(Value::as_str) {
        Some("Replace") => length.max(1.0),
        // Once for a text, however short it is.
        Some("Prepend") => 1.0 + length,
        _ => 1.0,
    }
}

/// Runs code of others on files of others: on some hostile ones it panics instead of telling what
/// is wrong (found by fuzzing). Nothing if it does.
fn guarded<R>(run: impl FnOnce() -> R) -> Option<R> {
    panic::catch_unwind(AssertUnwindSafe(run)).ok()
}

impl std::fmt::Debug for TextTokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextTokenizer").finish_non_exhaustive()
    }
}
