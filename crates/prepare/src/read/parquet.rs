use std::fs::File;

use arrow_array::{Array, ArrayRef, StringArray};
use arrow_schema::{DataType, SchemaRef};
use mesh_dataset::guarded;
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

use super::{Opened, Sink, check_names, mapped};
use crate::PrepareError;

/// Rows that are decoded at once: few, as texts may be long.
const BATCH_ROWS: usize = 256;

/// The rows of a Parquet file. Only mapped columns are read, each as text.
pub(super) fn read_parquet(file: &Opened<'_>, sink: Sink<'_>) -> Result<(), PrepareError> {
    let opened = File::open(file.path).map_err(|error| PrepareError::file(file.name, error))?;
    let fail = |error| PrepareError::file(file.name, error);
    let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(opened)).map_err(fail)?;
    let names = |schema: &SchemaRef| -> Vec<String> {
        schema.fields().iter().map(|field| field.name().clone()).collect()
    };
    let all = names(builder.schema());
    check_names(file, &all)?;
    let wanted = file.columns();
    let kept = (0..all.len()).filter(|at| all.get(*at).is_some_and(|name| wanted.contains(&name)));
    let mask = ProjectionMask::roots(builder.parquet_schema(), kept);
    let total = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0).max(1);
    let size = file.path.metadata().map_or(0, |found| found.len());
    let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
    let mut reader = guarded(|| builder.build()).map_err(fail)?;
    let mut number = 0u64;
    while let Some(batch) = guarded(|| Ok(reader.next().transpose()?)).map_err(fail)? {
        let names = names(&batch.schema());
        let columns: Vec<StringArray> = batch.columns().iter().map(as_text).collect();
        for row in 0..batch.num_rows() {
            number += 1;
            let origin = file.origin(number);
            let found = mapped(file, origin.clone(), |wanted| {
                let column = columns.get(names.iter().position(|column| column == wanted)?)?;
                (!column.is_null(row)).then(|| column.value(row).to_owned())
            });
            sink(found.map_err(|reject| reject.at(origin, &[])))?;
        }
        file.progress.advance((batch.num_rows() as u64).saturating_mul(size) / total);
    }
    Ok(())
}

/// The columns of a Parquet file.
pub(super) fn column_names(file: &Opened<'_>) -> Result<Vec<String>, PrepareError> {
    let opened = File::open(file.path).map_err(|error| PrepareError::file(file.name, error))?;
    let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(opened))
        .map_err(|error| PrepareError::file(file.name, error))?;
    Ok(builder.schema().fields().iter().map(|field| field.name().clone()).collect())
}

/// A column as text. One that has no text form (lists, structs) has no values.
fn as_text(column: &ArrayRef) -> StringArray {
    let text = arrow_cast::cast(column, &DataType::Utf8).ok();
    let text = text.and_then(|text| text.as_any().downcast_ref::<StringArray>().cloned());
    text.unwrap_or_else(|| StringArray::new_null(column.len()))
}
