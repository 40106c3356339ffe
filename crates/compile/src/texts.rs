//! The texts that models are compared on.

use std::path::PathBuf;

use mesh_dataset::{Dataset, SplitName};

use crate::{CompileError, CompileErrorKind, fidelity::UNKNOWN};

/// Texts, and the label of each if it has one.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    pub(crate) texts: Vec<String>,
    pub(crate) labels: Vec<Option<String>>,
}

/// Words that a line must have to count as a text.
const MIN_WORDS: usize = 4;
/// Longest file of texts that is read.
const MAX_FILE: u64 = 256 << 20;

impl Texts {
    /// Texts of the test split, else of the validation or training split; at most so many.
    pub(crate) fn of_dataset(dataset: &Dataset, most: usize) -> Result<Self, CompileError> {
        let order = [SplitName::Test, SplitName::Validation, SplitName::Train];
        let split = order.into_iter().find(|split| dataset.rows(*split) > 0);
        let split = split.ok_or_else(|| CompileError::new(CompileErrorKind::NoTexts))?;
        let mut texts = Self::default();
        for document in dataset.read(split)?.take(most) {
            let document = document?;
            texts.texts.push(document.text);
            texts.labels.push(document.label);
        }
        Ok(texts)
    }

    /// Lines of files, spread evenly over them; at most so many.
    pub(crate) fn of_files(files: &[(String, PathBuf)], most: usize) -> Result<Self, CompileError> {
        let mut lines = Vec::new();
        for (name, path) in files {
            let unreadable = |error: std::io::Error| {
                CompileError::new(CompileErrorKind::Texts(name.clone())).because(error)
            };
            if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_FILE {
                return Err(CompileError::new(CompileErrorKind::Texts(name.clone())));
            }
            let bytes = std::fs::read(path).map_err(unreadable)?;
            let text = String::from_utf8_lossy(&bytes);
            let texts = text.lines().filter(|line| line.split_whitespace().count() >= MIN_WORDS);
            lines.extend(texts.map(|line| line.trim().to_owned()));
        }
        lines.sort_unstable();
        lines.dedup();
        if lines.is_empty() {
            return Err(CompileError::new(CompileErrorKind::NoTexts));
        }
        let every = lines.len().div_ceil(most);
        let texts: Vec<String> = lines.into_iter().step_by(every).collect();
        Ok(Self { labels: vec![None; texts.len()], texts })
    }

    /// The place of each text's label among a model's.
    pub(crate) fn truth(&self, labels: &[String]) -> Vec<usize> {
        let place = |label: &Option<String>| {
            label.as_ref().and_then(|label| labels.iter().position(|known| known == label))
        };
        self.labels.iter().map(|label| place(label).unwrap_or(UNKNOWN)).collect()
    }
}
