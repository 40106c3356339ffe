//! A WHERE of SQL, evaluated on rows of every type.
#![no_main]

use std::{collections::HashMap, sync::Arc};

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use mesh_filter::Filter;

/// Columns with short names: `t` text, `j` JSON, `i`, `f`, `b`, `d` numbers, truth values, times.
fn rows() -> RecordBatch {
    let json = HashMap::from([("mesh".to_owned(), "json".to_owned())]);
    let utc: Arc<str> = "UTC".into();
    let columns: Vec<(Field, ArrayRef)> = vec![
        (
            Field::new("t", DataType::Utf8, true),
            Arc::new(StringArray::from(vec![Some("a_b%"), Some("12"), None, Some("ß\u{1f600}")])),
        ),
        (
            Field::new("j", DataType::Utf8, true).with_metadata(json),
            Arc::new(StringArray::from(vec![Some("\"a\""), Some("1e3"), None, Some("[1, {}]")])),
        ),
        (
            Field::new("i", DataType::Int64, true),
            Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(0), None, Some(i64::MAX)])),
        ),
        (
            Field::new("f", DataType::Float64, true),
            Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(-0.0), None, Some(1e300)])),
        ),
        (
            Field::new("b", DataType::Boolean, true),
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)])),
        ),
        (
            Field::new("d", DataType::Timestamp(TimeUnit::Millisecond, Some(utc)), true),
            Arc::new(
                TimestampMillisecondArray::from(vec![Some(0), Some(1 << 40), None, Some(-1)])
                    .with_timezone("UTC"),
            ),
        ),
    ];
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("the rows")
}

libfuzzer_sys::fuzz_target!(|input: &str| {
    let filter = match Filter::parse(input) {
        Ok(filter) => filter,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let rows = rows();
    if filter.check(&rows.schema()).is_err() {
        return;
    }
    if let Ok(selected) = filter.select(&rows) {
        assert_eq!(selected.len(), rows.num_rows());
        // Each row is judged by itself.
        for row in 0..rows.num_rows() {
            let alone = filter.select(&rows.slice(row, 1)).expect("what all of them passed");
            assert_eq!(alone.iter().next(), selected.iter().nth(row));
        }
    }
});
