use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use super::{marks::Span, parquet::Cursor};
use crate::ArchiveError;

/// Blocks of rows of Parquet files, for spans that are read one after another: a page holds the rows
/// of many short spans, and is decoded once for all of them.
#[derive(Default)]
pub(super) struct Blocks {
    kept: Mutex<Kept>,
    /// Where the file was left that was decoded last, with its number and the columns.
    left: Mutex<Option<(usize, SchemaRef, Cursor)>>,
}

#[derive(Default)]
struct Kept {
    /// Where the spans end that were read last.
    ends: VecDeque<(usize, u64)>,
    blocks: VecDeque<(Key, Slot)>,
}

/// The file, the first row, and the columns.
type Key = (usize, u64, SchemaRef);
/// Whoever decodes a block locks it.
type Slot = Arc<Mutex<Option<Arc<[RecordBatch]>>>>;

/// Blocks that are kept, and ends that are remembered: some threads read at once.
const BLOCKS: usize = 2;
const ENDS: usize = 64;
/// Rows of a block at most, and their bytes.
const MAX_ROWS: u64 = 2_048;
const MAX_BYTES: u64 = 512 << 10;

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks").finish_non_exhaustive()
    }
}

impl Blocks {
    /// How many rows a block has, if a row has so many bytes.
    pub(super) fn rows(bytes: u64) -> u64 {
        (MAX_BYTES / bytes.max(1)).clamp(1, MAX_ROWS)
    }

    /// Whether blocks are worth while for a span: it goes on where another one ended, and they are
    /// longer than it.
    pub(super) fn follows(&self, span: &Span, rows: u64) -> bool {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let follows = kept.ends.contains(&(span.file, span.first));
        kept.ends.push_back((span.file, span.first + span.rows));
        if kept.ends.len() > ENDS {
            kept.ends.pop_front();
        }
        follows && span.rows < rows
    }

    /// A block, which `decode` makes if it is not kept: it is given the cursor that was left at its
    /// first row, if there is one, and leaves it at the end. Blocks are decoded one at a time, as each
    /// goes on where the one before it ends.
    pub(super) fn get(
        &self,
        key: Key,
        decode: impl FnOnce(&mut Option<Cursor>) -> Result<Vec<RecordBatch>, ArchiveError>,
    ) -> Result<Arc<[RecordBatch]>, ArchiveError> {
        let (file, _, columns) = key.clone();
        let slot = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let found = kept.blocks.iter().find(|(known, _)| *known == key);
            match found.map(|(_, slot)| Arc::clone(slot)) {
                Some(slot) => slot,
                None => {
                    let slot = Slot::default();
                    kept.blocks.push_back((key, Arc::clone(&slot)));
                    if kept.blocks.len() > BLOCKS {
                        kept.blocks.pop_front();
                    }
                    slot
                }
            }
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = slot.as_ref() {
            return Ok(Arc::clone(block));
        }
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = left.take().filter(|known| (known.0, &known.1) == (file, &columns));
        let mut cursor = fitting.map(|(.., cursor)| cursor);
        let block: Arc<[RecordBatch]> = decode(&mut cursor)?.into();
        *left = cursor.map(|cursor| (file, columns, cursor));
        *slot = Some(Arc::clone(&block));
        Ok(block)
    }
}

/// The rows from `first` on, so many, of batches one after another.
pub(super) fn slices(
    batches: &[RecordBatch],
    first: u64,
    rows: u64,
) -> impl Iterator<Item = RecordBatch> {
    let mut start = 0;
    batches.iter().filter_map(move |batch| {
        let end = start + batch.num_rows() as u64;
        let (from, to) = (first.max(start), (first + rows).min(end));
        let offset = usize::try_from(from.saturating_sub(start)).unwrap_or(usize::MAX);
        let length = usize::try_from(to.saturating_sub(from)).unwrap_or(0);
        start = end;
        (length > 0).then(|| batch.slice(offset, length))
    })
}

#[cfg(test)]
mod tests {
    use arrow_array::{Array, Int64Array, cast::AsArray, types::Int64Type};

    use super::*;

    #[test]
    fn slices_are_the_rows_that_were_asked_for() {
        let column = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as Arc<dyn Array>;
        let batch = |values| RecordBatch::try_from_iter([("n", column(values))]).unwrap();
        let batches = [batch((0..5).collect()), batch(vec![]), batch((5..12).collect())];
        for first in 0..14 {
            for rows in 0..14 {
                let values: Vec<i64> = slices(&batches, first, rows)
                    .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
                    .collect();
                let first = i64::try_from(first).unwrap();
                let last = (first + i64::try_from(rows).unwrap()).min(12);
                assert_eq!(values, (first..last.max(first)).collect::<Vec<_>>());
            }
        }
    }
}
