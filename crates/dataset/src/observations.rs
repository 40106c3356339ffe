use std::{fs::File, path::Path, sync::Arc};

use arrow_array::{
    Array, ArrayRef, Float64Array, RecordBatch, StringArray,
    builder::{Float64Builder, StringBuilder},
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use mesh_core::features::{Cell, FeatureSchema, FieldKind};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};

use crate::{
    Column, DATASET_FORMAT, DatasetError, DatasetErrorKind, DatasetSchema,
    table::{guarded, properties, write_error},
};

/// One row of a table: what is known, and the number that is to be told by it.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The file and line of the source that it comes from.
    pub origin: String,
    /// What it is one of a series of.
    pub group: Option<String>,
    /// The day that it is of, in a series.
    pub day: Option<String>,
    /// What is known, in the order of the schema's fields.
    pub cells: Vec<Cell>,
    /// The number that is to be told.
    pub target: f64,
    /// What the seasonal-naive baseline tells.
    pub baseline: Option<f64>,
}

/// Columns beside the fields; a field cannot have such a name.
const ORIGIN: &str = "_origin";
const GROUP: &str = "_group";
const DAY: &str = "_day";
const TARGET: &str = "_target";
const BASELINE: &str = "_baseline";

/// Rows that are written at once.
const BATCH_ROWS: usize = 8192;

/// Writes observations to a Parquet file. The same ones give the same bytes.
///
/// # Errors
/// When the file cannot be written.
pub fn write_observations(
    path: &Path,
    schema: &FeatureSchema,
    observations: &[Observation],
) -> Result<(), DatasetError> {
    let columns = arrow_schema(schema);
    let file = File::create(path).map_err(|error| DatasetError::io("create", path, error))?;
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&columns), Some(properties().build()))
        .map_err(|error| write_error(path, error))?;
    for rows in observations.chunks(BATCH_ROWS) {
        let batch = RecordBatch::try_new(Arc::clone(&columns), arrays(schema, rows));
        let fail = |error| DatasetError::new("write", path, DatasetErrorKind::Format, error);
        writer.write(&batch.map_err(fail)?).map_err(|error| write_error(path, error))?;
    }
    writer.close().map_err(|error| write_error(path, error))?;
    Ok(())
}

/// Reads the observations of a Parquet file that [`write_observations`] wrote.
///
/// # Errors
/// When the file cannot be opened, is damaged, or has other columns than the schema.
pub fn read_observations(
    path: &Path,
    schema: &FeatureSchema,
) -> Result<Vec<Observation>, DatasetError> {
    let file = File::open(path).map_err(|error| DatasetError::io("open", path, error))?;
    let fail = |error| DatasetError::new("read", path, DatasetErrorKind::Format, error);
    let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(file)).map_err(fail)?;
    let mut reader = guarded(|| builder.with_batch_size(BATCH_ROWS).build()).map_err(fail)?;
    let mut observations = Vec::new();
    while let Some(batch) = guarded(|| Ok(reader.next().transpose()?)).map_err(fail)? {
        let read = observations_of(&batch, schema).ok_or_else(|| {
            let reason = "a column is missing, or of another type than in the schema";
            DatasetError::new("read", path, DatasetErrorKind::Format, reason)
        })?;
        observations.extend(read);
    }
    Ok(observations)
}

impl DatasetSchema {
    /// The schema of observations.
    #[must_use]
    pub fn observations(features: &FeatureSchema) -> Self {
        let column = |name: &str, description: &str| Column {
            name: name.to_owned(),
            description: description.to_owned(),
        };
        let mut columns = vec![
            column(ORIGIN, "the file and line of the source that it comes from"),
            column(GROUP, "what it is one of a series of"),
            column(DAY, "the day that it is of, in a series"),
        ];
        columns.extend(features.fields.iter().map(|field| column(&field.name, &field.description)));
        columns.push(column(TARGET, &format!("`{}`, which is to be told", features.target)));
        columns.push(column(BASELINE, "what the seasonal-naive baseline tells"));
        Self { format: DATASET_FORMAT, columns, labels: Vec::new() }
    }
}

fn arrow_schema(schema: &FeatureSchema) -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let number = |name: &str, nullable| Field::new(name, DataType::Float64, nullable);
    let mut columns = vec![text(ORIGIN, false), text(GROUP, true), text(DAY, true)];
    columns.extend(schema.fields.iter().map(|field| match field.kind {
        FieldKind::Number { .. } => number(&field.name, true),
        _ => text(&field.name, true),
    }));
    columns.extend([number(TARGET, false), number(BASELINE, true)]);
    Arc::new(Schema::new(columns))
}

fn arrays(schema: &FeatureSchema, rows: &[Observation]) -> Vec<ArrayRef> {
    let texts = |value: &dyn Fn(&Observation) -> Option<String>| {
        let mut column = StringBuilder::new();
        rows.iter().for_each(|row| column.append_option(value(row)));
        Arc::new(column.finish()) as ArrayRef
    };
    let numbers = |value: &dyn Fn(&Observation) -> Option<f64>| {
        let mut column = Float64Builder::new();
        rows.iter().for_each(|row| column.append_option(value(row)));
        Arc::new(column.finish()) as ArrayRef
    };
    let mut arrays = vec![
        texts(&|row| Some(row.origin.clone())),
        texts(&|row| row.group.clone()),
        texts(&|row| row.day.clone()),
    ];
    for (at, field) in schema.fields.iter().enumerate() {
        arrays.push(match field.kind {
            FieldKind::Number { .. } => numbers(&|row| match row.cells.get(at) {
                Some(Cell::Number(number)) => Some(*number),
                _ => None,
            }),
            _ => texts(&|row| match row.cells.get(at) {
                Some(Cell::Text(text)) => Some(text.clone()),
                _ => None,
            }),
        });
    }
    arrays.push(numbers(&|row| Some(row.target)));
    arrays.push(numbers(&|row| row.baseline));
    arrays
}

/// The rows of a batch; nothing if a column is not what the schema says.
fn observations_of(batch: &RecordBatch, schema: &FeatureSchema) -> Option<Vec<Observation>> {
    let texts = |name: &str| {
        let column = batch.column_by_name(name)?.as_any().downcast_ref::<StringArray>()?.clone();
        Some(move |row: usize| (!column.is_null(row)).then(|| column.value(row).to_owned()))
    };
    let numbers = |name: &str| {
        let column = batch.column_by_name(name)?.as_any().downcast_ref::<Float64Array>()?.clone();
        Some(move |row: usize| (!column.is_null(row)).then(|| column.value(row)))
    };
    let (origin, group, day) = (texts(ORIGIN)?, texts(GROUP)?, texts(DAY)?);
    let (target, baseline) = (numbers(TARGET)?, numbers(BASELINE)?);
    let mut cells: Vec<Vec<Cell>> =
        (0..batch.num_rows()).map(|_| Vec::with_capacity(schema.fields.len())).collect();
    for field in &schema.fields {
        match field.kind {
            FieldKind::Number { .. } => {
                let value = numbers(&field.name)?;
                for (row, cells) in cells.iter_mut().enumerate() {
                    cells.push(value(row).map_or(Cell::Missing, Cell::Number));
                }
            }
            _ => {
                let value = texts(&field.name)?;
                for (row, cells) in cells.iter_mut().enumerate() {
                    cells.push(value(row).map_or(Cell::Missing, Cell::Text));
                }
            }
        }
    }
    let observation = |(row, cells): (usize, Vec<Cell>)| {
        Some(Observation {
            origin: origin(row)?,
            group: group(row),
            day: day(row),
            cells,
            target: target(row)?,
            baseline: baseline(row),
        })
    };
    cells.into_iter().enumerate().map(observation).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use mesh_core::features::{FEATURES_FORMAT, Field, parse_date};

    use super::*;

    fn schema() -> FeatureSchema {
        let date = parse_date("2016-01-01").unwrap();
        let kinds = [
            ("price", FieldKind::number([0.0, 1.0], [0.0, 1.0], 1.0)),
            ("shop", FieldKind::Category { values: vec!["a".into()] }),
            ("day", FieldKind::date([date, date], [date, date], 1.0)),
        ];
        let field = |(name, kind): (&str, FieldKind)| Field {
            name: name.into(),
            description: name.into(),
            kind,
            optional: true,
        };
        FeatureSchema {
            format: FEATURES_FORMAT,
            target: "sales".into(),
            fields: kinds.map(field).to_vec(),
            history: Vec::new(),
            baseline: None,
            sample: BTreeMap::new(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.parquet");
        let whole = Observation {
            origin: "a.csv:2".into(),
            group: Some("a".into()),
            day: Some("2016-01-01".into()),
            cells: vec![Cell::Number(0.1), Cell::Text("a".into()), Cell::Text("2016-01-01".into())],
            target: 3.5,
            baseline: Some(2.0),
        };
        let sparse = Observation {
            group: None,
            day: None,
            cells: vec![Cell::Missing; 3],
            baseline: None,
            ..whole.clone()
        };
        write_observations(&path, &schema(), &[whole.clone(), sparse.clone()]).unwrap();
        assert_eq!(read_observations(&path, &schema()).unwrap(), [whole, sparse]);
        assert_eq!(DatasetSchema::observations(&schema()).columns.len(), 8);
        // Cut short, or with another schema, it is an error and no panic.
        let mut other = schema();
        other.fields[0].name = "prize".into();
        assert!(read_observations(&path, &other).is_err());
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(read_observations(&path, &schema()).is_err());
    }
}
