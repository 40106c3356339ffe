use std::collections::HashMap;

use super::{Options, read::Reader};
use crate::LanguageModelError;

/// What marks a word that is a label.
pub(crate) const LABEL: &[u8] = b"__label__";
/// The word that ends every line.
pub(crate) const END_OF_LINE: &[u8] = b"</s>";
/// What stands before and after a word when it is cut into runs of characters.
pub(crate) const BEGIN: &[u8] = b"<";
pub(crate) const END: &[u8] = b">";

/// Words, labels, and which buckets were kept.
#[derive(Debug)]
pub(crate) struct Dictionary {
    words: Vec<Vec<u8>>,
    labels: Vec<Label>,
    /// The row of a word, or that it is a label.
    known: HashMap<Vec<u8>, Known>,
    kept: Kept,
}

/// A label, and how often it occurred.
#[derive(Debug)]
pub(crate) struct Label {
    pub(crate) name: String,
    pub(crate) count: i64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) row: usize,
    pub(super) is_label: bool,
}

/// Which buckets have a row.
#[derive(Debug)]
enum Kept {
    All,
    /// These, each with its place after the words.
    Some(HashMap<u32, u32>),
}

impl Dictionary {
    pub(super) fn read(
        reader: &mut Reader<'_>,
        options: &Options,
    ) -> Result<Self, LanguageModelError> {
        let foreign = LanguageModelError::foreign;
        let size = reader.small_size()?;
        let (words, labels) = (reader.small_size()?, reader.small_size()?);
        if words.checked_add(labels) != Some(size) {
            return Err(foreign("its dictionary contradicts itself"));
        }
        // How many words it was trained on does not matter.
        reader.i64()?;
        let pruned = reader.i64()?;
        let mut dictionary =
            Self { words: Vec::new(), labels: Vec::new(), known: HashMap::new(), kept: Kept::All };
        for at in 0..size {
            let word = reader.until_zero()?.to_vec();
            let count = reader.i64()?;
            let is_label = reader.u8()? == 1;
            if is_label != (at >= words) {
                return Err(foreign("its words and labels are not in order"));
            }
            let known = Known { row: at, is_label };
            if is_label {
                let name = word.strip_prefix(LABEL).unwrap_or(&word);
                let name = String::from_utf8(name.to_vec());
                let name = name.map_err(|_| foreign("a label is no UTF-8"))?;
                dictionary.labels.push(Label { name, count });
            } else {
                dictionary.words.push(word.clone());
            }
            if dictionary.known.insert(word, known).is_some() {
                return Err(foreign("a word is in its dictionary twice"));
            }
        }
        if dictionary.labels.is_empty() {
            return Err(foreign("it has no labels"));
        }
        if pruned >= 0 {
            let mut kept = HashMap::new();
            for _ in 0..pruned {
                let (bucket, place) = (reader.small_size()?, reader.small_size()?);
                let place = u32::try_from(place).unwrap_or(u32::MAX);
                match u32::try_from(bucket) {
                    Ok(bucket) if bucket < options.buckets => kept.insert(bucket, place),
                    _ => return Err(foreign("a bucket that it keeps is none")),
                };
            }
            dictionary.kept = Kept::Some(kept);
        }
        // Every bucket may be asked for, so its row must be there: the caller compares.
        Ok(dictionary)
    }

    /// Rows of the input matrix that may be asked for: one more than the last.
    pub(super) fn rows(&self) -> usize {
        let last = match &self.kept {
            Kept::All => None,
            Kept::Some(kept) => kept.values().max().map(|place| *place as usize + 1),
        };
        self.words.len() + last.unwrap_or(0)
    }

    /// The words, each at its row.
    pub(crate) fn words(&self) -> &[Vec<u8>] {
        &self.words
    }

    pub(crate) fn labels(&self) -> &[Label] {
        &self.labels
    }

    pub(super) fn find(&self, word: &[u8]) -> Option<Known> {
        self.known.get(word).copied()
    }

    /// The row of a hash's bucket, if it has one.
    pub(crate) fn bucket(&self, hash: u64, options: &Options) -> Option<usize> {
        let bucket = u32::try_from(hash.checked_rem(options.buckets.into())?).ok()?;
        self.row_of(bucket)
    }

    /// The row of a bucket, if it has one.
    pub(crate) fn row_of(&self, bucket: u32) -> Option<usize> {
        let place = match &self.kept {
            Kept::All => bucket,
            Kept::Some(kept) => *kept.get(&bucket)?,
        };
        Some(self.words.len() + place as usize)
    }
}

/// Whether a byte parts words.
pub(crate) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | 0x0b | 0x0c | 0)
}

/// The FNV-1a hash of 32 bits, with bytes taken as signed numbers as the reference does.
pub(crate) fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(2_166_136_261, |hash, byte| fnv1a_step(hash, *byte))
}

/// One byte more.
#[inline]
pub(crate) const fn fnv1a_step(hash: u32, byte: u8) -> u32 {
    (hash ^ (byte.cast_signed() as i32).cast_unsigned()).wrapping_mul(16_777_619)
}
