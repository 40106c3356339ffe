//! The language of a text, by a fastText model made fast.
//!
//! What is fast about it: a word of the vocabulary has the sum of its vector and those of its runs
//! of characters ready; one number tells for 32 buckets which of them have a row, and how many
//! have one before them; rows lie as they are added.

mod check;
mod layout;
mod pack;
mod scan;

pub use check::LanguageCheck;
pub use pack::pack_identifier;

use layout::{Header, Layout, MAGIC, VERSION};
use scan::{Parts, Room};

use crate::{LanguageModelError, LanguageModelErrorKind, fasttext::Output};

/// The name of a packed model's file in a compiled artifact.
pub const LANGUAGE_FILE: &str = "language.mesh";

/// A language model in its packed form, opened over bytes that stay as they are: a mapped file,
/// or a `Vec`.
pub struct LanguageIdentifier<B> {
    bytes: B,
    header: Header,
    layout: Layout,
    tree: Vec<[u32; 2]>,
}

impl<B> std::fmt::Debug for LanguageIdentifier<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LanguageIdentifier").field("header", &self.header).finish_non_exhaustive()
    }
}

impl<B: AsRef<[u8]>> LanguageIdentifier<B> {
    /// Opens a packed model. What it claims is checked here, and not trusted later.
    ///
    /// # Errors
    /// When the bytes are not a packed model, cut, of another version, or contradict themselves;
    /// or do not start at a multiple of eight in memory.
    pub fn open(bytes: B) -> Result<Self, LanguageModelError> {
        let fail = LanguageModelError::damaged;
        let all = bytes.as_ref();
        let rest = all.strip_prefix(MAGIC).ok_or_else(|| fail("it is no packed model"))?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(|| fail("it is cut"))?;
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            let reason = format!("it has version {version}, this program reads {VERSION}");
            return Err(LanguageModelError::new(LanguageModelErrorKind::Version, reason));
        }
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(|| fail("it is cut"))?;
        let length = u32::from_le_bytes(*length) as usize;
        let text = rest.get(..length).ok_or_else(|| fail("it is cut"))?;
        let header: Header = serde_json::from_slice(text).map_err(|error| {
            let reason = format!("its description is damaged: {error}");
            LanguageModelError::new(LanguageModelErrorKind::Damaged, reason)
        })?;
        let contradiction = || fail("its parts contradict each other");
        let layout = Layout::of(&header, length).ok_or_else(contradiction)?;
        if layout.total != all.len() {
            return Err(fail("it is cut, or longer than it says"));
        }
        let section = |range: &std::ops::Range<usize>| all.get(range.clone()).unwrap_or_default();
        let tree: &[[u32; 2]] =
            bytemuck::try_cast_slice(section(&layout.tree)).map_err(|_| contradiction())?;
        let tree = tree.to_vec();
        let model = Self { bytes, header, layout, tree };
        let parts = model.parts().ok_or_else(contradiction)?;
        if !parts.are_sound(&model.header) || model.output().is_none() {
            return Err(contradiction());
        }
        Ok(model)
    }

    /// The languages, as the model calls them: codes of ISO 639.
    #[must_use]
    pub fn languages(&self) -> &[String] {
        &self.header.labels
    }

    /// The likeliest languages of a text, at most so many, the likeliest first: each by its place
    /// among [`LanguageIdentifier::languages`], with its probability. None for a text of which
    /// the model knows nothing.
    #[must_use]
    pub fn top(&self, text: &str, count: usize) -> Vec<(usize, f32)> {
        self.top_of_all(&[text], count).pop().unwrap_or_default()
    }

    /// As [`LanguageIdentifier::top`], of each text.
    #[must_use]
    pub fn top_of_all(&self, texts: &[&str], count: usize) -> Vec<Vec<(usize, f32)>> {
        let (Some(parts), Some(output)) = (self.parts(), self.output()) else {
            return vec![Vec::new(); texts.len()];
        };
        let mut room = Room::new(self.header.dimension);
        texts
            .iter()
            .map(|text| match parts.mean(text, &self.header, &mut room) {
                Some(hidden) => output.top(hidden, count),
                None => Vec::new(),
            })
            .collect()
    }

    fn parts(&self) -> Option<Parts<'_>> {
        Parts::of(self.bytes.as_ref(), &self.layout)
    }

    fn output(&self) -> Option<Output<&[f32], &[[u32; 2]]>> {
        let bytes = self.bytes.as_ref().get(self.layout.output.clone())?;
        let weights: &[f32] = bytemuck::try_cast_slice(bytes).ok()?;
        let Header { loss, dimension, labels, .. } = &self.header;
        Output::new(*loss, *dimension, weights, (labels.len(), self.tree.as_slice())).ok()
    }
}
