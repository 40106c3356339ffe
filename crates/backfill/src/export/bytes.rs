//! Columns of bytes in formats that know none: old writers of Parquet leave texts as plain bytes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_cast::base64::{BASE64_STANDARD, Engine};
use arrow_schema::{DataType, Field, Schema};
use mesh_archive::{bytes_of, is_bytes};

use super::damaged;
use crate::BackfillError;

/// The columns of bytes of some documents, and of which all that was seen is text.
pub(super) struct Bytes(Vec<(String, AtomicBool)>);

impl Bytes {
    /// Those of a schema. None was seen yet.
    pub(super) fn of(schema: &Schema) -> Self {
        let fields = schema.fields().iter().filter(|field| is_bytes(field));
        Self(fields.map(|field| (field.name().clone(), AtomicBool::new(true))).collect())
    }

    /// Their names.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|(name, _)| name)
    }

    /// Looks at some documents.
    pub(super) fn see(&self, batch: &RecordBatch) {
        for (name, is_text) in &self.0 {
            let Some(column) = batch.column_by_name(name) else { continue };
            let is_none = |row| {
                bytes_of(column.as_ref(), row).is_some_and(|v| std::str::from_utf8(v).is_err())
            };
            if is_text.load(Ordering::Relaxed) && (0..column.len()).any(is_none) {
                is_text.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Documents with their bytes as text: as they are where all of a column is text, else in
    /// Base64.
    pub(super) fn as_text(&self, batch: RecordBatch) -> Result<RecordBatch, BackfillError> {
        if self.0.is_empty() {
            return Ok(batch);
        }
        let (schema, columns, _) = batch.into_parts();
        let (mut fields, mut arrays) = (Vec::new(), Vec::new());
        for (field, column) in schema.fields().iter().zip(columns) {
            let Some((_, is_text)) = self.0.iter().find(|(name, _)| name == field.name()) else {
                fields.push(Arc::clone(field));
                arrays.push(column);
                continue;
            };
            let is_text = is_text.load(Ordering::Relaxed);
            let text = |row| {
                let bytes = bytes_of(column.as_ref(), row)?;
                match is_text {
                    true => std::str::from_utf8(bytes).ok().map(ToOwned::to_owned),
                    false => Some(BASE64_STANDARD.encode(bytes)),
                }
            };
            let texts: StringArray = (0..column.len()).map(text).collect();
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
            arrays.push(Arc::new(texts) as ArrayRef);
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(damaged)
    }
}
