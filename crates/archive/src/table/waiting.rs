use std::{path::Path, sync::Arc};

use arrow_array::{ArrayRef, builder::StringBuilder};
use mesh_core::Cancel;

use super::{Rows, plan::Plan};
use crate::{ArchiveError, TableFile, Unusable};

/// What takes the rows of a table, some at a time.
pub(super) type Sink<'s> = &'s mut dyn FnMut(Rows) -> Result<(), ArchiveError>;

/// Whose rows are read, and for what.
#[derive(Clone, Copy)]
pub(super) struct Batches<'a> {
    /// The number of the file.
    pub(super) number: usize,
    pub(super) file: &'a TableFile,
    /// What errors name.
    pub(super) told: &'a Path,
    pub(super) plan: &'a Plan,
    pub(super) cancel: &'a Cancel,
}

/// Rows that wait to be given on.
pub(super) struct Waiting<'a, 's> {
    batches: Batches<'a>,
    sink: Sink<'s>,
    /// The number of the first.
    first: u64,
    rows: usize,
    bytes: usize,
    columns: Vec<StringBuilder>,
    broken: Vec<(usize, Unusable)>,
}

/// Rows that are given on at once, at most, and bytes of their values, of which the last row may
/// bring more.
const BATCH_ROWS: usize = 4096;
const BATCH_BYTES: usize = 8 << 20;

impl<'a, 's> Waiting<'a, 's> {
    pub(super) fn new(batches: Batches<'a>, first: u64, sink: Sink<'s>) -> Self {
        let columns = batches.plan.own.iter().map(|_| StringBuilder::new()).collect();
        Self { batches, sink, first, rows: 0, bytes: 0, columns, broken: Vec::new() }
    }

    pub(super) fn push(
        &mut self,
        row: Result<Vec<Option<&str>>, Unusable>,
    ) -> Result<(), ArchiveError> {
        match row {
            Ok(values) => {
                for (column, value) in self.columns.iter_mut().zip(values) {
                    self.bytes += value.map_or(0, str::len);
                    column.append_option(value);
                }
            }
            Err(reason) => {
                self.broken.push((self.rows, reason));
                self.columns.iter_mut().for_each(StringBuilder::append_null);
            }
        }
        self.rows += 1;
        if self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), ArchiveError> {
        if self.rows == 0 {
            return Ok(());
        }
        let Batches { number, file, told, plan, cancel } = self.batches;
        cancel.check()?;
        let finish = |column: &mut StringBuilder| Arc::new(column.finish()) as ArrayRef;
        let own: Vec<ArrayRef> = self.columns.iter_mut().map(finish).collect();
        let rows = std::mem::take(&mut self.rows);
        let batch = plan.batch(file, &own, rows);
        let batch = batch.map_err(|error| ArchiveError::read(told, error))?;
        let broken = std::mem::take(&mut self.broken);
        let first = self.first;
        self.first += rows as u64;
        self.bytes = 0;
        (self.sink)(Rows { file: number, first, batch, broken })
    }
}
