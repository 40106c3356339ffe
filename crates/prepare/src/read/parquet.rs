use std::{fs::File, path::Path};

use arrow_array::{Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use mesh_core::manifest::SourceTable;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{Sink, mapped};
use crate::{PrepareError, read::table::no_column};

/// The rows of a Parquet file; every column is read as text.
pub(super) fn read_parquet(
    name: &str,
    path: &Path,
    source: &SourceTable,
    sink: Sink<'_>,
) -> Result<(), PrepareError> {
    let file = File::open(path).map_err(|error| PrepareError::file(name, error))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)
        .map_err(|error| PrepareError::file(name, error))?;
    let names: Vec<String> =
        builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    no_column(name, source, &names)?;
    let reader =
        builder.with_batch_size(1024).build().map_err(|error| PrepareError::file(name, error))?;
    let mut number = 0u64;
    for batch in reader {
        let batch = batch.map_err(|error| PrepareError::file(name, error))?;
        let columns = as_text(&batch, name)?;
        for row in 0..batch.num_rows() {
            number += 1;
            let origin = format!("{name}:{number}");
            let found = mapped(source, origin.clone(), |wanted| {
                let index = names.iter().position(|column| column == wanted)?;
                let column = columns.get(index)?;
                (!column.is_null(row)).then(|| column.value(row).to_owned())
            });
            sink(found.map_err(|reject| reject.at(origin, &[])))?;
        }
    }
    Ok(())
}

fn as_text(batch: &RecordBatch, name: &str) -> Result<Vec<StringArray>, PrepareError> {
    let cast = |column: &arrow_array::ArrayRef| {
        // A column that has no text form (lists, structs) is not one that can be mapped.
        let text = arrow_cast::cast(column, &DataType::Utf8).ok();
        let text = text.and_then(|text| text.as_any().downcast_ref::<StringArray>().cloned());
        Ok(text.unwrap_or_else(|| StringArray::new_null(column.len())))
    };
    batch
        .columns()
        .iter()
        .map(cast)
        .collect::<Result<_, arrow_schema::ArrowError>>()
        .map_err(|error| PrepareError::file(name, error))
}
