//! What a generation rejected, for the backfills that come after it.

use std::collections::{HashMap, HashSet};

use arrow_array::RecordBatch;

use crate::{
    BackfillError, answers::Reason, generation::Generation, inputs::text_in, keys::KeyHash,
};

/// The documents that a generation rejected.
#[derive(Debug, Default)]
pub(crate) struct Rejects {
    /// Those that are found again by their keys, each with where its reason is.
    known: HashMap<KeyHash, RejectAt>,
    /// By file the rows of those that are not: they had no key, or that of an earlier document.
    nameless: HashMap<String, HashSet<u64>>,
    /// Whether each of the other documents has an answer.
    whole: bool,
}

/// Where it is told why a document was rejected: a part, and a row of its rejects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RejectAt {
    part: usize,
    row: usize,
}

/// Why documents were rejected, read part by part.
pub(crate) struct Reasons<'g> {
    generation: Option<&'g Generation>,
    part: Option<(usize, Option<RecordBatch>)>,
}

/// The reason that a document has whose key an earlier one has.
pub(crate) const DOUBLE_KEY: &str = "double-key";

impl Rejects {
    /// All that a generation rejected.
    pub(crate) fn of(generation: &Generation) -> Result<Self, BackfillError> {
        let manifest = generation.manifest();
        let mut all = Self::default();
        for part in 0..manifest.parts.len() {
            let Some(rejects) = generation.rejects(part)? else { continue };
            for row in 0..rejects.num_rows() {
                let text = |name: &str| text_in(&rejects, name, row);
                let double = text("reason").as_deref() == Some(DOUBLE_KEY);
                match text(&manifest.key_column).filter(|_| !double) {
                    Some(key) => {
                        all.known.entry(KeyHash::of(&key)).or_insert(RejectAt { part, row });
                    }
                    None => {
                        let number = text("row").and_then(|number| number.parse::<u64>().ok());
                        let file = text("file").unwrap_or_default();
                        all.nameless.entry(file).or_default().extend(number);
                    }
                }
            }
        }
        all.whole = manifest.parts.iter().all(|part| part.counts.skipped == 0);
        Ok(all)
    }

    /// Where it is told why the document of a key was rejected, if it was.
    pub(crate) fn find(&self, key: &str) -> Option<RejectAt> {
        if self.known.is_empty() {
            return None;
        }
        self.known.get(&KeyHash::of(key)).copied()
    }

    /// Whether a document with neither an answer nor a reason may be one that was rejected before
    /// it had its key. Where all others had an answer, any may be: rows move when a file is mended.
    pub(crate) fn may_hold(&self, file: &str, row: u64) -> bool {
        match self.whole {
            true => !self.nameless.is_empty(),
            false => self.nameless.get(file).is_some_and(|rows| rows.contains(&row)),
        }
    }
}

impl<'g> Reasons<'g> {
    /// The reasons of a generation.
    pub(crate) const fn of(generation: Option<&'g Generation>) -> Self {
        Self { generation, part: None }
    }

    /// What was rejected of a part.
    pub(crate) fn part(&mut self, at: usize) -> Result<Option<RecordBatch>, BackfillError> {
        if self.part.as_ref().is_none_or(|(part, _)| *part != at) {
            let rejects = self.generation.map(|from| from.rejects(at)).transpose()?;
            self.part = Some((at, rejects.flatten()));
        }
        Ok(self.part.as_ref().and_then(|(_, rejects)| rejects.clone()))
    }

    /// Why a document was rejected.
    pub(crate) fn read(&mut self, at: RejectAt) -> Result<Reason, BackfillError> {
        let empty = || Reason { kind: String::new(), detail: String::new() };
        Ok(self.part(at.part)?.map_or_else(empty, |rejects| reason(&rejects, at.row)))
    }
}

/// Why the document of a row of rejects was rejected.
pub(crate) fn reason(rejects: &RecordBatch, row: usize) -> Reason {
    let text = |name: &str| text_in(rejects, name, row).unwrap_or_default();
    Reason { kind: text("reason"), detail: text("detail") }
}
