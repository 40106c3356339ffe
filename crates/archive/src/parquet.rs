use std::{fs::File, path::Path};

use arrow_array::{Array, BooleanArray, LargeStringArray};
use arrow_schema::{DataType, SchemaRef};
use mesh_core::ProgressTask;
use mesh_dataset::guarded;
use parquet::{
    arrow::{ArrowWriter, ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, ZstdLevel},
    file::{metadata::ParquetMetaData, properties::WriterProperties},
};

use crate::{
    ArchiveError, ArchiveErrorKind, Columns, Unusable,
    read::{Keep, Row, Sink},
};

type Builder = ParquetRecordBatchReaderBuilder<File>;

/// Rows that are decoded at once, at most.
const BATCH_ROWS: usize = 4096;
/// Bytes that the rows decoded at once should not exceed by far: texts may be long.
const BATCH_BYTES: u64 = 8 << 20;
/// Bytes of a row group that are held before they are written.
const GROUP_BYTES: usize = 64 << 20;

/// The columns of a file.
pub(crate) fn schema(file: &Path) -> Result<SchemaRef, ArchiveError> {
    Ok(open(file)?.schema().clone())
}

/// How many rows a file says it has.
pub(crate) fn rows(file: &Path) -> Option<u64> {
    u64::try_from(open(file).ok()?.metadata().file_metadata().num_rows()).ok()
}

/// Gives every row of a file to `sink`.
pub(crate) fn read(
    file: &Path,
    columns: &Columns,
    task: &dyn ProgressTask,
    sink: Sink<'_>,
) -> Result<(), ArchiveError> {
    let fail = |error| ArchiveError::read(file, error);
    let builder = open(file)?;
    let places = places(file, builder.schema(), columns)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), places);
    let rows = batch_rows(builder.metadata());
    let builder = builder.with_projection(mask).with_batch_size(rows);
    let mut reader = guarded(|| builder.build()).map_err(fail)?;
    while let Some(batch) = guarded(|| Ok(reader.next().transpose()?)).map_err(fail)? {
        let column = |name: &String| {
            let read = || {
                let column = batch.column_by_name(name)?;
                let text = arrow_cast::cast(column, &DataType::LargeUtf8).ok()?;
                let text = text.as_any().downcast_ref::<LargeStringArray>()?.clone();
                Some((column.logical_nulls(), text))
            };
            read().ok_or_else(|| ArchiveError::read(file, format!("`{name}` is no text there")))
        };
        let (nulls, texts) = column(&columns.text)?;
        let keys = columns.key.as_ref().map(column).transpose()?;
        let value = |column: &LargeStringArray, row| {
            (!column.is_null(row)).then(|| column.value(row).to_owned())
        };
        for row in 0..batch.num_rows() {
            let null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            let without = if null { Unusable::Null } else { Unusable::Encoding };
            let key = keys.as_ref().and_then(|(_, keys)| value(keys, row));
            sink(Row { key, text: value(&texts, row).ok_or(without) })?;
        }
        task.advance(batch.num_rows() as u64);
    }
    Ok(())
}

/// Writes the rows to keep of some files, which have the same columns.
pub(crate) fn copy(
    files: &[impl AsRef<Path>],
    (output, to): (&Path, &File),
    task: &dyn ProgressTask,
    keep: Keep<'_>,
) -> Result<(), ArchiveError> {
    let written = |error| ArchiveError::write(output, error);
    let mut writer: Option<ArrowWriter<&File>> = None;
    for file in files {
        let file = file.as_ref();
        let fail = |error| ArchiveError::read(file, error);
        let builder = open(file)?;
        let schema = builder.schema().clone();
        let rows = batch_rows(builder.metadata());
        let mut reader = guarded(|| builder.with_batch_size(rows).build()).map_err(fail)?;
        let writer = match &mut writer {
            Some(writer) => writer,
            None => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .build();
                let created = ArrowWriter::try_new(to, schema, Some(properties));
                writer.insert(created.map_err(written)?)
            }
        };
        while let Some(batch) = guarded(|| Ok(reader.next().transpose()?)).map_err(fail)? {
            let kept = (0..batch.num_rows()).map(|_| keep()).collect::<Result<Vec<bool>, _>>()?;
            let batch =
                arrow_select::filter::filter_record_batch(&batch, &BooleanArray::from(kept));
            let batch = batch.map_err(|error| ArchiveError::read(file, error))?;
            task.advance(batch.num_rows() as u64);
            writer.write(&batch).map_err(written)?;
            if writer.in_progress_size() >= GROUP_BYTES {
                writer.flush().map_err(written)?;
            }
        }
    }
    writer.map_or(Ok(()), |writer| writer.close().map(|_| ()).map_err(written))
}

fn open(file: &Path) -> Result<Builder, ArchiveError> {
    let opened = File::open(file).map_err(|error| ArchiveError::open(file, error))?;
    guarded(|| Builder::try_new(opened)).map_err(|error| ArchiveError::read(file, error))
}

/// How many rows are decoded at once, by what a row of the file takes in the mean.
pub(crate) fn batch_rows(metadata: &ParquetMetaData) -> usize {
    let groups = metadata.row_groups();
    let bytes: u64 = groups.iter().filter_map(|g| u64::try_from(g.total_byte_size()).ok()).sum();
    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
    let fitting = BATCH_BYTES.saturating_mul(rows) / bytes.max(1);
    usize::try_from(fitting).unwrap_or(BATCH_ROWS).clamp(1, BATCH_ROWS)
}

/// Where the columns are among those of a file, if they are there and have a text form.
fn places(file: &Path, schema: &SchemaRef, columns: &Columns) -> Result<Vec<usize>, ArchiveError> {
    let place = |column: &String, fits: fn(&DataType) -> bool| {
        let Some((place, field)) = schema.column_with_name(column) else {
            let all: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
            return Err(ArchiveError::no_column(file, column, &all));
        };
        let found = field.data_type();
        if !fits(found) {
            return Err(ArchiveError::new(ArchiveErrorKind::NotText {
                file: file.display().to_string(),
                column: column.clone(),
                found: found.to_string(),
            }));
        }
        Ok(place)
    };
    let mut places = vec![place(&columns.text, is_text)?];
    if let Some(key) = &columns.key {
        places.push(place(key, names_documents)?);
    }
    Ok(places)
}

fn is_text(found: &DataType) -> bool {
    match found {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        DataType::Dictionary(_, values) => is_text(values),
        // A column without any value.
        DataType::Null => true,
        _ => false,
    }
}

/// Numbers and dates name documents as texts do.
fn names_documents(found: &DataType) -> bool {
    !found.is_nested() && arrow_cast::can_cast_types(found, &DataType::LargeUtf8)
}
