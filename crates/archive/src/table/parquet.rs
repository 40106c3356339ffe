use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, cast::AsArray, types::Float64Type};
use arrow_cast::{CastOptions, can_cast_types, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema};
use mesh_dataset::guarded;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
            ParquetRecordBatchReaderBuilder,
        },
    },
    errors::ParquetError,
    file::metadata::{PageIndexPolicy, ParquetMetaData},
};

use super::{Reading, Rows, chunks::Chunks, place::Place, plan::Plan};
use crate::{ArchiveError, ArchiveErrorKind, parquet::batch_rows};

/// Which rows of a file are read, and how many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) first: u64,
    pub(super) rows: u64,
}

impl Part {
    /// Whether as many rows were read as there are to be.
    pub(super) fn whole(self, reading: &Reading<'_>, rows: u64) -> Result<(), ArchiveError> {
        if rows < self.rows {
            let how = format!("it has {rows} rows, and says {}", self.rows);
            return Err(ArchiveError::read(reading.place.told(), how));
        }
        Ok(())
    }
}

/// What a file says of itself; with where its pages are, if single rows are looked for.
pub(super) fn about(
    place: &Place,
    pages: PageIndexPolicy,
) -> Result<ArrowReaderMetadata, ArchiveError> {
    let chunks = Chunks::open(place, 1)?;
    let options = ArrowReaderOptions::new().with_offset_index_policy(pages);
    guarded(|| ArrowReaderMetadata::load(&chunks, options))
        .map_err(|error| ArchiveError::read(place.told(), error))
}

/// How many rows a file says it has.
pub(super) fn rows(about: &ArrowReaderMetadata) -> u64 {
    u64::try_from(about.metadata().file_metadata().num_rows()).unwrap_or(0)
}

/// How many bytes the values of some columns have, by what a file says.
pub(super) fn bytes(about: &ArrowReaderMetadata, plan: &Plan) -> u64 {
    let is_read = |name: Option<&String>| plan.own.iter().any(|own| Some(own.name()) == name);
    let groups = about.metadata().row_groups().iter();
    let columns = groups.flat_map(|group| group.columns());
    columns
        .filter(|column| is_read(column.column_path().parts().first()))
        .map(|column| u64::try_from(column.uncompressed_size()).unwrap_or(u64::MAX))
        .fold(0, u64::saturating_add)
}

/// The columns of a file. Any value may be null: other files may have some that are.
pub(super) fn columns(about: &ArrowReaderMetadata) -> Vec<FieldRef> {
    let nullable = |field: &FieldRef| Arc::new(Field::clone(field).with_nullable(true));
    about.schema().fields().iter().map(nullable).collect()
}

/// A file that is read on from where it was left.
pub(super) struct Cursor {
    reader: ParquetRecordBatchReader,
    /// The row that comes next.
    next: u64,
}

/// Rows that are shown at a time, at most: what has just been read is still in the processor's cache.
const SCAN_ROWS: usize = 1024;

/// Gives the rows of a part of a file; tells how many there are.
pub(super) fn read(
    reading: &Reading<'_>,
    about: ArrowReaderMetadata,
    part: Part,
    sink: &mut dyn FnMut(Rows) -> Result<(), ArchiveError>,
) -> Result<u64, ArchiveError> {
    let Reading { number, file, task, .. } = *reading;
    let all = rows(&about);
    let batch = batch_rows(about.metadata()).min(SCAN_ROWS);
    let mut cursor = Cursor::open(reading, about, part, batch)?;
    // Progress is told in bytes, whatever the format.
    let bytes = |row: u64| {
        let bytes = u128::from(file.bytes) * u128::from(row.min(all)) / u128::from(all.max(1));
        u64::try_from(bytes).unwrap_or(u64::MAX)
    };
    while let Some(batch) = cursor.next(reading)? {
        let first = cursor.next - batch.num_rows() as u64;
        sink(Rows { file: number, first, batch, broken: Vec::new() })?;
        task.advance(bytes(cursor.next).saturating_sub(bytes(first)));
    }
    Ok(cursor.next - part.first)
}

/// The rows of a part of a file: read on by a cursor if it is there, which is left at their end.
pub(super) fn block(
    reading: &Reading<'_>,
    about: ArrowReaderMetadata,
    part: Part,
    left: &mut Option<Cursor>,
) -> Result<Vec<RecordBatch>, ArchiveError> {
    let mut cursor = match left.take().filter(|cursor| cursor.next == part.first) {
        Some(cursor) => cursor,
        None => {
            let rows = rows(&about).saturating_sub(part.first);
            let batch = usize::try_from(part.rows).unwrap_or(usize::MAX);
            Cursor::open(reading, about, Part { first: part.first, rows }, batch)?
        }
    };
    let end = part.first.saturating_add(part.rows);
    let mut batches = Vec::new();
    while cursor.next < end {
        match cursor.next(reading)? {
            Some(batch) => batches.push(batch),
            None => return Ok(batches),
        }
    }
    *left = Some(cursor);
    Ok(batches)
}

impl Cursor {
    /// Opens a file at the first row of a part, to be read so many rows at a time.
    fn open(
        reading: &Reading<'_>,
        about: ArrowReaderMetadata,
        part: Part,
        batch: usize,
    ) -> Result<Self, ArchiveError> {
        Ok(Self { reader: open(reading, about, part, batch)?, next: part.first })
    }

    /// The rows that come next, as the plan has them.
    fn next(&mut self, reading: &Reading<'_>) -> Result<Option<RecordBatch>, ArchiveError> {
        let Reading { file, place, plan, cancel, .. } = *reading;
        let fail = |error: ParquetError| ArchiveError::read(place.told(), error);
        let reader = &mut self.reader;
        let Some(batch) = guarded(|| Ok(reader.next().transpose()?)).map_err(fail)? else {
            return Ok(None);
        };
        cancel.check()?;
        let column = |field: &FieldRef| {
            let found = batch.column_by_name(field.name()).ok_or_else(|| {
                ArchiveError::read(place.told(), format!("`{}` was not read", field.name()))
            })?;
            fit(found, field.data_type())
                .map_err(|error| other_type(place, field, found.data_type(), Some(error)))
        };
        let own = plan.own.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let batch = plan
            .batch(file, &own, batch.num_rows())
            .map_err(|error| ArchiveError::read(place.told(), error))?;
        self.next += batch.num_rows() as u64;
        Ok(Some(batch))
    }
}

fn open(
    reading: &Reading<'_>,
    about: ArrowReaderMetadata,
    part: Part,
    batch: usize,
) -> Result<ParquetRecordBatchReader, ArchiveError> {
    let Reading { place, plan, .. } = *reading;
    let fail = |error| ArchiveError::read(place.told(), error);
    let mut places = Vec::new();
    for field in &plan.own {
        let Some((root, found)) = about.schema().column_with_name(field.name()) else {
            let all: Vec<_> = about.schema().fields().iter().map(|f| f.name().clone()).collect();
            return Err(ArchiveError::no_column(place.told(), field.name(), &all));
        };
        if !fits(found.data_type(), field.data_type()) {
            return Err(other_type(place, field, found.data_type(), None));
        }
        places.push(root);
    }
    let about = guarded(|| viewing(about, plan)).map_err(fail)?;
    let mask = ProjectionMask::roots(about.parquet_schema(), places);
    let leaves = about.parquet_schema().num_columns();
    let leaves = (0..leaves).filter(|leaf| mask.leaf_included(*leaf)).count();
    let chunks = Chunks::open(place, leaves)?;
    let (groups, skipped) = groups(about.metadata(), part);
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, about)
        .with_projection(mask)
        .with_batch_size(batch)
        .with_row_groups(groups)
        .with_offset(usize::try_from(skipped).unwrap_or(usize::MAX))
        .with_limit(usize::try_from(part.rows).unwrap_or(usize::MAX));
    guarded(|| builder.build()).map_err(fail)
}

/// What a file says of itself, with texts to be read as views where the plan has them so.
fn viewing(about: ArrowReaderMetadata, plan: &Plan) -> Result<ArrowReaderMetadata, ParquetError> {
    let schema = about.schema();
    if !schema.fields().iter().any(|field| plan.views(field)) {
        return Ok(about);
    }
    let field = |field: &FieldRef| match plan.views(field) {
        true => Arc::new(Field::clone(field).with_data_type(DataType::Utf8View)),
        false => Arc::clone(field),
    };
    let fields: Vec<FieldRef> = schema.fields().iter().map(field).collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    let options = ArrowReaderOptions::new().with_schema(schema);
    ArrowReaderMetadata::try_new(Arc::clone(about.metadata()), options)
}

/// The row groups that some rows lie in, and how many rows of the first come before them.
fn groups(about: &ParquetMetaData, part: Part) -> (Vec<usize>, u64) {
    let (mut start, mut skipped) = (0_u64, None);
    let mut groups = Vec::new();
    let last = part.first.saturating_add(part.rows);
    for (number, group) in about.row_groups().iter().enumerate() {
        let end = u64::try_from(group.num_rows()).map_or(start, |rows| start.saturating_add(rows));
        if start < last && part.first < end {
            groups.push(number);
            skipped.get_or_insert(part.first.saturating_sub(start));
        }
        start = end;
    }
    (groups, skipped.unwrap_or(0))
}

fn fits(from: &DataType, to: &DataType) -> bool {
    from == to || can_cast_types(from, to)
}

/// Values in the type that their column has in the first file, unless any would be lost.
fn fit(values: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let from = values.data_type();
    if from == to {
        return Ok(values.clone());
    }
    let lost = || ArrowError::CastError("some values have no such form".into());
    // Without this, what cannot be cast becomes null.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let cast = cast_with_options(values, to, &options)?;
    if cast.logical_null_count() > values.logical_null_count() {
        return Err(lost());
    }
    // 3.7 would become 3. Among numbers with a point, only their last digits change.
    let counts = |of: &DataType| of.is_numeric() || of.is_temporal() || *of == DataType::Boolean;
    let rounds = from.is_floating() && to.is_floating();
    if rounds && finite(values)? != finite(&cast)? {
        return Err(lost());
    }
    if counts(from) && counts(to) && !rounds {
        let back = cast_with_options(&cast, from, &options)?;
        if back.to_data() != values.to_data() {
            return Err(lost());
        }
    }
    Ok(cast)
}

/// How many of some numbers are finite.
fn finite(values: &ArrayRef) -> Result<usize, ArrowError> {
    let values = arrow_cast::cast(values, &DataType::Float64)?;
    let values = values.as_primitive::<Float64Type>().iter().flatten();
    Ok(values.filter(|value| value.is_finite()).count())
}

fn other_type(
    place: &Place,
    field: &FieldRef,
    found: &DataType,
    source: Option<ArrowError>,
) -> ArchiveError {
    let error = ArchiveError::new(ArchiveErrorKind::OtherType {
        file: place.told().display().to_string(),
        column: field.name().clone(),
        found: found.to_string(),
        expected: field.data_type().to_string(),
    });
    match source {
        Some(source) => error.caused(source),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Float64Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn values_are_cast_whole_or_not_at_all() {
        let floats = |values: &[f64]| Arc::new(Float64Array::from(values.to_vec())) as ArrayRef;
        let ints = |values: &[i64]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        let texts = |values: &[&str]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
        let cases = [
            (ints(&[1, -5]), DataType::Int32, true),
            (ints(&[1 << 40]), DataType::Int32, false),
            (ints(&[-1]), DataType::UInt64, false),
            (ints(&[0, 1]), DataType::Boolean, true),
            (ints(&[2]), DataType::Boolean, false),
            (ints(&[1 << 53]), DataType::Float64, true),
            (ints(&[(1 << 53) + 1]), DataType::Float64, false),
            (ints(&[i64::MAX]), DataType::Float64, false),
            (floats(&[3.0]), DataType::Int64, true),
            (floats(&[3.7]), DataType::Int64, false),
            (floats(&[f64::NAN]), DataType::Int64, false),
            (floats(&[0.1]), DataType::Float32, true),
            (floats(&[1e300]), DataType::Float32, false),
            (texts(&["12"]), DataType::Int64, true),
            (texts(&["12", "x"]), DataType::Int64, false),
            (texts(&["x"]), DataType::LargeUtf8, true),
            (ints(&[7]), DataType::Utf8, true),
        ];
        for (values, to, expected) in cases {
            assert_eq!(fit(&values, &to).is_ok(), expected, "{values:?} as {to}");
        }
    }
}
