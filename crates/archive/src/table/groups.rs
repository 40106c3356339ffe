//! The row groups of all files of a table, handed out one after another.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use ::parquet::{arrow::arrow_reader::ArrowReaderMetadata, file::metadata::PageIndexPolicy};
use mesh_core::{Cancel, NoProgress};

use super::{
    Table,
    marks::{FileMarks, Marks},
    parquet::{self, Part},
    plan::Plan,
};
use crate::ArchiveError;

/// What is still to be read of a table of Parquet files.
pub(super) struct Groups<'a> {
    table: &'a Table,
    plan: &'a Plan,
    cancel: &'a Cancel,
    left: Mutex<Left>,
}

#[derive(Default)]
struct Left {
    /// The number of the file that comes next.
    file: usize,
    /// The groups of the one before it.
    groups: VecDeque<(usize, ArrowReaderMetadata, Part)>,
    marks: Marks,
    stopped: bool,
}

impl<'a> Groups<'a> {
    pub(super) fn of(table: &'a Table, plan: &'a Plan, cancel: &'a Cancel) -> Self {
        Self { table, plan, cancel, left: Mutex::default() }
    }

    /// The row group that comes next, with the number of its file and what that says of itself.
    pub(super) fn next(&self) -> Result<Option<(usize, ArrowReaderMetadata, Part)>, ArchiveError> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if left.stopped {
                return Ok(None);
            }
            if let Some(group) = left.groups.pop_front() {
                return Ok(Some(group));
            }
            let number = left.file;
            if number == self.table.files().len() {
                return Ok(None);
            }
            // A file that cannot be opened is told once.
            left.stopped = true;
            let reading = self.table.reading(number, self.plan, (&NoProgress, self.cancel))?;
            let about = reading.unchanged(&mut |_| Ok(()), |_| {
                parquet::about(reading.place, PageIndexPolicy::Skip)
            })?;
            let mut first = 0;
            for group in about.metadata().row_groups() {
                let rows = u64::try_from(group.num_rows()).unwrap_or(0);
                left.groups.push_back((number, about.clone(), Part { first, rows }));
                first += rows;
            }
            left.marks.files.push(FileMarks { rows: first, ..FileMarks::default() });
            left.file += 1;
            left.stopped = false;
        }
    }

    /// Hands out nothing more.
    pub(super) fn stop(&self) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
    }

    /// How many rows each file has, once all are read.
    pub(super) fn marks(self) -> Marks {
        self.left.into_inner().unwrap_or_else(PoisonError::into_inner).marks
    }
}
