//! Reading the rows of a table: all of them, or a span again.

use std::{
    num::NonZero,
    panic::resume_unwind,
    path::Path,
    thread::{self, ScopedJoinHandle},
};

use ::parquet::{arrow::arrow_reader::ArrowReaderMetadata, file::metadata::PageIndexPolicy};
use mesh_core::{Cancel, NoProgress, Unit};

use super::{
    Head, Reading, Rows, Table, TableFile,
    blocks::{self, Blocks},
    groups::Groups,
    marks::{FileMarks, Marks, Span},
    parquet,
    place::Place,
    plan::Plan,
    relation::Source,
    text,
    waiting::Batches,
};
use crate::{ArchiveError, Format, Watch};

/// Threads that scan a table at once, at most: each holds some megabytes of rows.
const SCANNING: usize = 4;

impl Table {
    /// Reads these columns of all rows once, in order, and gives them to `sink`, some at a time;
    /// what it gives back finds any run of rows again.
    ///
    /// A column may be asked for twice. A row that cannot be read is a row of nulls; a type that
    /// is another in a later file is made that of the first.
    ///
    /// # Errors
    /// When a column is not there (in JSONL: in no row), or values of another type would be lost;
    /// a file cannot be read, or changes meanwhile; it was asked to stop, or `sink` fails.
    pub fn scan(
        &self,
        columns: &[String],
        watch: Watch<'_>,
        label: &str,
        sink: &mut dyn FnMut(Rows) -> Result<(), ArchiveError>,
    ) -> Result<Marks, ArchiveError> {
        let plan = Plan::new(self, columns)?;
        if let Some((source, file)) = self.relation() {
            let task = watch.progress.begin(label, None, Unit::Items);
            let batches = source_batches(source, file, &plan, watch.cancel);
            let file = source.scan(batches, task.as_ref(), sink)?;
            return Ok(Marks { files: vec![file] });
        }
        let total = self.files().iter().map(|file| file.bytes).sum();
        let task = watch.progress.begin(label, Some(total), Unit::Bytes);
        let mut met = text::Met::default();
        let mut marks = Marks::default();
        for number in 0..self.files().len() {
            watch.cancel.check()?;
            let reading = self.reading(number, &plan, (task.as_ref(), watch.cancel))?;
            let file = reading.unchanged(sink, |sink| match self.0.format {
                Format::Parquet => {
                    let about = parquet::about(reading.place, PageIndexPolicy::Skip)?;
                    let part = parquet::Part { first: 0, rows: parquet::rows(&about) };
                    let rows = parquet::read(&reading, about, part, sink)?;
                    part.whole(&reading, rows)?;
                    Ok(FileMarks { rows, ..FileMarks::default() })
                }
                format => text::scan(&reading, format, &mut met, sink),
            })?;
            marks.files.push(file);
        }
        // Only objects are met.
        let Some(missing) = met.missing(&plan.own) else { return Ok(marks) };
        let told = self.0.places.get(missing.file).map(Place::told).unwrap_or(Path::new(""));
        Err(ArchiveError::no_column(told, missing.key, missing.all))
    }

    /// As [`Table::scan`] by several threads, where the format allows for it: `sink` is given the rows
    /// of Parquet files in any order, and their texts as views.
    ///
    /// # Errors
    /// As [`Table::scan`]; the first that any thread meets.
    pub fn scan_unordered(
        &self,
        columns: &[String],
        watch: Watch<'_>,
        label: &str,
        sink: &(dyn Fn(Rows) -> Result<(), ArchiveError> + Sync),
    ) -> Result<Marks, ArchiveError> {
        if self.0.format != Format::Parquet || self.is_live() {
            return self.scan(columns, watch, label, &mut |rows| sink(rows));
        }
        let plan = Plan::new(self, columns)?.viewing(self);
        let total = self.files().iter().map(|file| file.bytes).sum();
        let task = watch.progress.begin(label, Some(total), Unit::Bytes);
        let groups = Groups::of(self, &plan, watch.cancel);
        let work = || -> Result<(), ArchiveError> {
            while let Some((number, about, part)) = groups.next()? {
                let reading = self.reading(number, &plan, (task.as_ref(), watch.cancel))?;
                let rows = reading
                    .unchanged(&mut |rows| sink(rows), |sink| {
                        parquet::read(&reading, about, part, sink)
                    })
                    .and_then(|rows| part.whole(&reading, rows));
                rows.inspect_err(|_| groups.stop())?;
            }
            Ok(())
        };
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(SCANNING);
        thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let own = work();
            let join = |other: ScopedJoinHandle<'_, _>| {
                // A panic goes on where it would have without threads.
                other.join().unwrap_or_else(|panic| resume_unwind(panic))
            };
            others.into_iter().map(join).fold(own, Result::and)
        })?;
        Ok(groups.marks())
    }

    /// Reads these columns of the rows of a span again.
    ///
    /// # Errors
    /// When the file is not what it was when the table was opened, or has fewer rows
    /// ([`Changed`](crate::ArchiveErrorKind::Changed)); as [`Table::scan`] else.
    pub fn read(
        &self,
        columns: &[String],
        span: &Span,
        sink: &mut dyn FnMut(Rows) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        self.read_as(&Plan::new(self, columns)?, span, sink)
    }

    /// As [`Table::read`], with the texts of Parquet files as views.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn read_views(
        &self,
        columns: &[String],
        span: &Span,
        sink: &mut dyn FnMut(Rows) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        self.read_as(&Plan::new(self, columns)?.viewing(self), span, sink)
    }

    fn read_as(
        &self,
        plan: &Plan,
        span: &Span,
        sink: &mut dyn FnMut(Rows) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let cancel = Cancel::new();
        if let Some((source, file)) = self.relation() {
            return source.read(source_batches(source, file, plan, &cancel), span, sink);
        }
        let reading = self.reading(span.file, plan, (&NoProgress, &cancel))?;
        let rows = reading.unchanged(sink, |sink| match self.head(&reading)? {
            Head::Parquet(about) => self.parquet(&reading, about, span, sink),
            Head::Names(names) => text::read(&reading, self.0.format, &names, span, sink),
        })?;
        if rows < span.rows {
            let how = "it has fewer rows than were counted";
            return Err(ArchiveError::changed(reading.place.told(), how));
        }
        Ok(())
    }

    /// Reads the rows of a span of a Parquet file: by blocks, if it is one of many in a row.
    fn parquet(
        &self,
        reading: &Reading<'_>,
        about: ArrowReaderMetadata,
        span: &Span,
        sink: &mut dyn FnMut(Rows) -> Result<(), ArchiveError>,
    ) -> Result<u64, ArchiveError> {
        let all = parquet::rows(&about);
        let length = Blocks::rows(parquet::bytes(&about, reading.plan) / all.max(1));
        if !self.0.blocks.follows(span, length) {
            let part = parquet::Part { first: span.first, rows: span.rows };
            return parquet::read(reading, about, part, sink);
        }
        let end = span.first.saturating_add(span.rows).min(all);
        let mut next = span.first;
        while next < end {
            let first = next - next % length;
            let part = parquet::Part { first, rows: length.min(all - first) };
            let key = (span.file, first, reading.plan.schema());
            let block = self
                .0
                .blocks
                .get(key, |left| parquet::block(reading, about.clone(), part, left))?;
            let rows = part.rows.min(end - first) - (next - first);
            let mut given = 0;
            for batch in blocks::slices(&block, next - first, rows) {
                let (file, first, broken) = (span.file, next + given, Vec::new());
                given += batch.num_rows() as u64;
                sink(Rows { file, first, batch, broken })?;
            }
            next += given;
            if given < rows {
                break;
            }
        }
        Ok(next - span.first)
    }
}

fn source_batches<'a>(
    source: &'a Source,
    file: &'a TableFile,
    plan: &'a Plan,
    cancel: &'a Cancel,
) -> Batches<'a> {
    Batches { number: 0, file, told: source.told(), plan, cancel }
}
