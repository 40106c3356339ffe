use thiserror::Error;

use crate::MAX_PERMUTATIONS;

/// The most words of a shingle.
pub const MAX_SHINGLE: usize = 100;

/// How documents are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Words in a shingle: 1 to [`MAX_SHINGLE`].
    pub shingle: usize,
    /// The Jaccard similarity that is aimed at: between 0 and 1, both excluded.
    pub threshold: f64,
    /// Values of a signature: 2 to [`MAX_PERMUTATIONS`].
    pub permutations: usize,
}

/// An option that documents cannot be compared by.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// Too few or too many words in a shingle.
    #[error("a shingle of {0} words cannot be: it has 1 to {MAX_SHINGLE}")]
    Shingle(usize),
    /// A threshold that everything or nothing reaches.
    #[error("a threshold of {0} cannot be: it lies between 0 and 1, both excluded")]
    Threshold(f64),
    /// Too few or too many values in a signature.
    #[error("a signature of {0} permutations cannot be: it has 2 to {MAX_PERMUTATIONS}")]
    Permutations(usize),
}

impl Options {
    /// The same options, if documents can be compared by them.
    ///
    /// # Errors
    /// Which option cannot be, and what it can be.
    pub fn checked(self) -> Result<Self, OptionsError> {
        if !(1..=MAX_SHINGLE).contains(&self.shingle) {
            return Err(OptionsError::Shingle(self.shingle));
        }
        if !(self.threshold > 0.0 && self.threshold < 1.0) {
            return Err(OptionsError::Threshold(self.threshold));
        }
        if !(2..=MAX_PERMUTATIONS).contains(&self.permutations) {
            return Err(OptionsError::Permutations(self.permutations));
        }
        Ok(self)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { shingle: 5, threshold: 0.8, permutations: 128 }
    }
}
