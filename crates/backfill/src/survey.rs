//! One look at all documents before any of them is done: their number, keys that are there twice,
//! inputs that are there several times.

use std::collections::HashSet;

use arrow_array::RecordBatch;
use mesh_archive::{Marks, Table, Watch};
use mesh_core::Digest;
use serde::{Deserialize, Serialize};

use crate::{
    BackfillError,
    inputs::text_in,
    keys::{KeyHash, KeyIndex, RowSet},
};

/// What is known of an archive's documents.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) marks: Marks,
    /// Documents.
    pub(crate) rows: u64,
    /// The number of the first document of each file.
    starts: Vec<u64>,
    /// Documents whose key an earlier one has.
    pub(crate) doubles: RowSet,
    /// Inputs that several documents have.
    repeated: HashSet<KeyHash>,
    /// Different inputs.
    pub(crate) distinct: u64,
    /// Bytes of all inputs.
    pub(crate) bytes: u64,
    /// The sum of what tells the inputs of each document apart: no edit leaves it as it was.
    inputs: u128,
}

/// What chunks are done by, of what is known of an archive's documents.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SharedSurvey {
    rows: u64,
    starts: Vec<u64>,
    doubles: RowSet,
    repeated: Vec<KeyHash>,
}

/// Inputs that are there several times, of which it is kept in mind: what is more is answered more
/// than once.
const MAX_REPEATED: usize = 1 << 20;

impl Survey {
    /// Reads the keys and the inputs of all documents.
    pub(crate) fn of(
        table: &Table,
        key: &str,
        inputs: &[String],
        watch: Watch<'_>,
    ) -> Result<Self, BackfillError> {
        let mut columns = vec![key.to_owned()];
        columns.extend(inputs.iter().filter(|name| *name != key).cloned());
        let (mut keys, mut texts) = (KeyIndex::builder()?, KeyIndex::builder()?);
        let mut starts = vec![0; table.files().len()];
        let (mut rows, mut bytes, mut sum, mut failed) = (0, 0, 0u128, None);
        let marks = table.scan(&columns, watch, "read the keys", &mut |found| {
            if let Some(start) = starts.get_mut(found.file)
                && found.first == 0
            {
                *start = rows;
            }
            for row in 0..found.batch.num_rows() {
                let mut add = || {
                    let (hash, length) = input_hash(&found.batch, inputs, row);
                    if let Some(key) = text_in(&found.batch, key, row) {
                        let key = KeyHash::of(&key);
                        // Whose input it is counts too: that two exchange theirs is an edit.
                        sum = sum.wrapping_add(key.number().wrapping_mul(hash.number() | 1));
                        keys.add(key, rows)?;
                    }
                    bytes += length;
                    texts.add(hash, rows)
                };
                if let Err(error) = add() {
                    failed.get_or_insert(error);
                }
                rows += 1;
            }
            watch.cancel.check().map_err(Into::into)
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        let mut doubles = RowSet::default();
        keys.sorted(|_, rows| {
            rows.iter().skip(1).for_each(|row| doubles.insert(*row));
            Ok(())
        })?;
        let (mut repeated, mut distinct) = (HashSet::new(), 0);
        texts.sorted(|hash, rows| {
            distinct += 1;
            if rows.len() > 1 && repeated.len() < MAX_REPEATED {
                repeated.insert(hash);
            }
            Ok(())
        })?;
        Ok(Self { marks, rows, starts, doubles, repeated, distinct, bytes, inputs: sum })
    }

    /// What tells this state of a table in a database from another, if it is of one: files tell by
    /// themselves.
    pub(crate) fn moment(&self) -> Option<Digest> {
        let keys = self.marks.identity()?;
        Some(Digest::of(&[keys.as_bytes().as_slice(), &self.inputs.to_be_bytes()].concat()))
    }

    /// What other machines need of it.
    pub(crate) fn share(&self) -> SharedSurvey {
        let (rows, starts) = (self.rows, self.starts.clone());
        let repeated = self.repeated.iter().copied().collect();
        SharedSurvey { rows, starts, doubles: self.doubles.clone(), repeated }
    }

    /// Whether several documents have an input.
    pub(crate) fn is_repeated(&self, input: KeyHash) -> bool {
        self.repeated.contains(&input)
    }

    /// The number of a document of a file.
    pub(crate) fn ordinal(&self, file: usize, row: u64) -> u64 {
        self.starts.get(file).copied().unwrap_or_default() + row
    }
}

impl From<SharedSurvey> for Survey {
    fn from(shared: SharedSurvey) -> Self {
        let SharedSurvey { rows, starts, doubles, repeated } = shared;
        let repeated = repeated.into_iter().collect();
        Self { rows, starts, doubles, repeated, ..Self::default() }
    }
}

/// What tells inputs apart, and their length in bytes.
pub(crate) fn input_hash(batch: &RecordBatch, inputs: &[String], row: usize) -> (KeyHash, u64) {
    let mut all = String::new();
    for name in inputs {
        all.push('\u{1f}');
        all.push_str(text_in(batch, name, row).as_deref().unwrap_or("\u{1e}"));
    }
    (KeyHash::of(&all), all.len() as u64)
}
