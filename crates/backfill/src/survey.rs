//! One look at all documents before any of them is done: their number, keys that are there twice,
//! inputs that are there several times.

use std::{
    collections::HashSet,
    panic::resume_unwind,
    sync::{Mutex, PoisonError},
    thread,
};

use mesh_archive::{Marks, Rows, Table, Watch, text_of};
use mesh_core::{Digest, Interrupted};
use serde::{Deserialize, Serialize};

use crate::{
    BackfillError,
    inputs::{Inputs, column_of},
    keys::{KeyHash, RowSet},
    sorter::{Located, Sorter},
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
    repeated: HashSet<u64>,
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
    repeated: Vec<u64>,
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
        let count = Mutex::new(Count::new()?);
        let failed = Mutex::new(None);
        let scanned = table.scan_unordered(&columns, watch, "read the keys", &|found| {
            watch.cancel.check()?;
            let hashes = hashes(&found, key, inputs);
            let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
            count.add(&found, &hashes).map_err(|error| {
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                Interrupted.into()
            })
        });
        if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let marks = scanned?;
        let Count { keys, texts, bytes, sum } =
            count.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (starts, rows) = (marks.starts(), marks.rows());
        let start = |file: usize| starts.get(file).copied().unwrap_or_default();
        let mut doubles = RowSet::default();
        let (mut repeated, mut distinct) = (HashSet::new(), 0);
        let add_double = |rows: &[Located]| {
            let later = rows.iter().skip(1).map(|(_, place)| file_and_row(*place));
            later.for_each(|(file, row)| doubles.insert(start(file) + row));
        };
        let add_input = |alike: &[u64]| {
            distinct += 1;
            if let [hash, _, ..] = alike
                && repeated.len() < MAX_REPEATED
            {
                repeated.insert(*hash);
            }
        };
        thread::scope(|scope| {
            let keys = scope.spawn(|| keys.each_hash(add_double));
            texts.each_hash(add_input)?;
            keys.join().unwrap_or_else(|panic| resume_unwind(panic))
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

    /// Whether all inputs are known that several documents have.
    pub(crate) fn knows_repeated(&self) -> bool {
        self.rows > 0 && self.repeated.len() < MAX_REPEATED
    }

    /// Whether several documents have an input.
    pub(crate) fn is_repeated(&self, input: u64) -> bool {
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

/// What is counted of the documents, in whatever order they come.
struct Count {
    keys: Sorter<Located>,
    texts: Sorter<u64>,
    bytes: u64,
    sum: u128,
}

/// The hashes of a document's key and its input, and how long that is.
type Hashes = (Option<KeyHash>, u64, u64);

fn hashes(found: &Rows, key: &str, inputs: &[String]) -> Vec<Hashes> {
    let (key, inputs) = (column_of(&found.batch, key), Inputs::new(&found.batch, inputs));
    let of = |row| {
        let key = key.and_then(|(column, field)| text_of(column, field, row));
        let (input, length) = inputs.hash(row);
        (key.map(|key| KeyHash::of(&key)), input, length)
    };
    (0..found.batch.num_rows()).map(of).collect()
}

impl Count {
    fn new() -> Result<Self, BackfillError> {
        Ok(Self { keys: Sorter::new()?, texts: Sorter::new()?, bytes: 0, sum: 0 })
    }

    fn add(&mut self, found: &Rows, hashes: &[Hashes]) -> Result<(), BackfillError> {
        for (row, (key, input, length)) in (found.first..).zip(hashes) {
            let place = place(found.file, row);
            if let Some(key) = key {
                // Whose input it is counts too: that two exchange theirs is an edit.
                let told = key.number().wrapping_mul(u128::from(*input | 1));
                self.sum = self.sum.wrapping_add(told);
                self.keys.add((*key, place))?;
            }
            self.texts.add(*input)?;
            self.bytes += length;
        }
        Ok(())
    }
}

/// Bits of a row in the number of a place; the file has the others.
const ROW_BITS: u32 = 40;

/// A row of a file as one number, by which rows are in the order of their files.
const fn place(file: usize, row: u64) -> u64 {
    ((file as u64) << ROW_BITS) | row
}

const fn file_and_row(place: u64) -> (usize, u64) {
    ((place >> ROW_BITS) as usize, place & ((1 << ROW_BITS) - 1))
}
