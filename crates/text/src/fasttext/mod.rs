//! Models of [fastText](https://fasttext.cc), as its programs save them: plain (`.bin`) and
//! quantised (`.ftz`).
//!
//! Read from the description of the format in its source, version 12 of the file: arguments,
//! dictionary, input matrix, output matrix, all little-endian. What a file claims is checked
//! against what it holds before anything is reserved for it.

mod dictionary;
mod error;
mod matrix;
mod output;
mod read;

pub use error::{LanguageModelError, LanguageModelErrorKind};
pub(crate) use {
    dictionary::{BEGIN, END, END_OF_LINE, LABEL, fnv1a, fnv1a_step, is_space},
    output::{Loss, Output, OutputError},
};

use dictionary::Dictionary;
use matrix::Matrix;
use read::Reader;

/// A supervised fastText model: gives a text labels.
///
/// It answers as the reference does, in the plainest way: every row of the input matrix is put
/// together from its codes when it is needed. [`crate::LanguageIdentifier`] is the same model made
/// fast.
#[derive(Debug)]
pub struct FastText {
    pub(crate) options: Options,
    pub(crate) dictionary: Dictionary,
    pub(crate) input: Matrix,
    pub(crate) output: Output<Vec<f32>, Vec<[u32; 2]>>,
}

/// What of the arguments of training matters to who uses the model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Values of a vector.
    pub(crate) dimension: usize,
    /// The longest run of words that is a feature.
    pub(crate) word_ngrams: usize,
    /// Buckets that runs of characters and of words are hashed into.
    pub(crate) buckets: u32,
    /// The shortest and the longest run of characters of a word that is a feature.
    pub(crate) characters: (usize, usize),
}

/// The first number of every file.
const MAGIC: i32 = 793_712_314;
/// The version of the format that is written since 2017.
const VERSION: i32 = 12;
/// `supervised`, as the file tells kinds of models.
const SUPERVISED: i32 = 3;
/// The most buckets: fastText takes two million unless told otherwise, and a packed model has a bit
/// for each, whether its row was kept or not.
const MAX_BUCKETS: u32 = 1 << 24;
/// The longest vectors of any model that is read.
const MAX_DIMENSION: usize = 4_096;

impl FastText {
    /// Reads a model from the bytes of its file.
    ///
    /// # Errors
    /// When they are no fastText model, cut, of another version, of an unsupervised model, or
    /// contradict themselves.
    pub fn read(bytes: &[u8]) -> Result<Self, LanguageModelError> {
        let foreign = |reason: &str| LanguageModelError::foreign(reason);
        let mut reader = Reader::new(bytes);
        if reader.i32().ok() != Some(MAGIC) {
            return Err(foreign("it is no fastText model"));
        }
        let version = reader.i32()?;
        if version != VERSION {
            let reason = format!("it has version {version} of the format, known is {VERSION}");
            return Err(LanguageModelError::new(LanguageModelErrorKind::Foreign, reason));
        }
        let mut arguments = [0; 12];
        for argument in &mut arguments {
            *argument = reader.i32()?;
        }
        // The last argument, a sampling threshold.
        reader.take(8)?;
        let [dimension, _, _, _, _, word_ngrams, loss, model, buckets, shortest, longest, _] =
            arguments;
        if model != SUPERVISED {
            return Err(foreign("it is a model of word vectors, it gives texts no labels"));
        }
        let size = |value: i32, most: usize, name: &str| {
            let value = usize::try_from(value).ok().filter(|value| *value <= most);
            value.ok_or_else(|| {
                let reason = format!("its {name} is out of range");
                LanguageModelError::new(LanguageModelErrorKind::Foreign, reason)
            })
        };
        let options = Options {
            dimension: size(dimension, MAX_DIMENSION, "dimension")?,
            word_ngrams: size(word_ngrams, 16, "length of word n-grams")?,
            buckets: u32::try_from(buckets)
                .ok()
                .filter(|buckets| *buckets <= MAX_BUCKETS)
                .ok_or_else(|| foreign("its number of buckets is out of range"))?,
            characters: (
                size(shortest, 64, "shortest n-gram")?,
                size(longest, 64, "longest n-gram")?,
            ),
        };
        if options.dimension == 0 {
            return Err(foreign("its dimension is 0"));
        }
        let loss = Loss::from_number(loss).ok_or_else(|| foreign("its loss is unknown"))?;
        let dictionary = Dictionary::read(&mut reader, &options)?;
        let quantised = reader.bool()?;
        let input = Matrix::read(&mut reader, quantised)?;
        let output = reader.bool()? && quantised;
        let output = Matrix::read(&mut reader, output)?;
        let rows = dictionary.rows();
        if input.rows() < rows || input.columns() != options.dimension {
            return Err(foreign("its dictionary and its matrix do not fit"));
        }
        if output.columns() != options.dimension {
            return Err(foreign("its two matrices do not fit"));
        }
        let counts: Vec<i64> = dictionary.labels().iter().map(|label| label.count).collect();
        let weights = output.all(counts.len())?;
        let output = Output::of_counts(loss, options.dimension, weights, &counts);
        let output = output.map_err(|OutputError| foreign("its output does not fit its labels"))?;
        Ok(Self { options, dictionary, input, output })
    }

    /// The labels, in the order of the file, without the prefix that marks them there.
    #[must_use]
    pub fn labels(&self) -> Vec<&str> {
        self.dictionary.labels().iter().map(|label| label.name.as_str()).collect()
    }

    /// The labels with the highest probabilities, at most so many, the highest first, each by its
    /// place among [`FastText::labels`].
    #[must_use]
    pub fn top(&self, text: &str, count: usize) -> Vec<(usize, f32)> {
        let mut rows = Vec::new();
        self.rows(text, &mut rows);
        if rows.is_empty() {
            return Vec::new();
        }
        let mut hidden = vec![0.0; self.options.dimension];
        for row in &rows {
            self.input.add_row(*row, &mut hidden);
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of features")]
        let scale = 1.0 / rows.len() as f32;
        hidden.iter_mut().for_each(|value| *value *= scale);
        self.output.top(&hidden, count)
    }

    /// The rows of the input matrix that a text stands for. A line break is a space: the
    /// reference takes lines.
    fn rows(&self, text: &str, rows: &mut Vec<usize>) {
        let mut hashes = Vec::new();
        let words = text.as_bytes().split(|byte| is_space(*byte)).filter(|word| !word.is_empty());
        for word in words.take_while(|word| *word != END_OF_LINE).chain([END_OF_LINE]) {
            let known = self.dictionary.find(word);
            if known.is_none() && word.starts_with(LABEL) || known.is_some_and(|w| w.is_label) {
                continue;
            }
            hashes.push(fnv1a(word));
            if let Some(known) = known {
                rows.push(known.row);
            }
            if word != END_OF_LINE {
                self.subwords(word, rows);
            }
        }
        self.word_ngrams(&hashes, rows);
    }

    /// The rows that a word of the vocabulary stands for.
    pub(crate) fn rows_of_word(&self, row: usize, word: &[u8]) -> Vec<usize> {
        let mut rows = vec![row];
        if word != END_OF_LINE {
            self.subwords(word, &mut rows);
        }
        rows
    }

    /// The rows of a word's runs of characters.
    fn subwords(&self, word: &[u8], rows: &mut Vec<usize>) {
        let (shortest, longest) = self.options.characters;
        let word = [BEGIN, word, END].concat();
        let starts = |at: usize| word.get(at).is_some_and(|byte| byte & 0xc0 != 0x80);
        for start in (0..word.len()).filter(|at| starts(*at)) {
            let mut end = start;
            for length in 1..=longest {
                end += 1;
                while end < word.len() && !starts(end) {
                    end += 1;
                }
                let lone = length == 1 && (start == 0 || end == word.len());
                if length >= shortest && !lone {
                    let run = word.get(start..end).unwrap_or_default();
                    rows.extend(self.dictionary.bucket(fnv1a(run).into(), &self.options));
                }
                if end >= word.len() {
                    break;
                }
            }
        }
    }

    /// The rows of runs of words.
    fn word_ngrams(&self, hashes: &[u32], rows: &mut Vec<usize>) {
        for (at, first) in hashes.iter().enumerate() {
            let mut hash = widen(*first);
            for next in hashes.iter().skip(at + 1).take(self.options.word_ngrams.saturating_sub(1))
            {
                hash = join(hash, *next);
                rows.extend(self.dictionary.bucket(hash, &self.options));
            }
        }
    }
}

/// The hash of a run of words from that of all but the last, and the last one's.
pub(crate) const fn join(hash: u64, next: u32) -> u64 {
    hash.wrapping_mul(116_049_371).wrapping_add(widen(next))
}

/// The reference keeps hashes as signed numbers.
pub(crate) const fn widen(hash: u32) -> u64 {
    hash.cast_signed() as i64 as u64
}
