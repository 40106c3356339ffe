use std::{iter::repeat_n, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::Table;
use crate::{ArchiveError, Format, TableFile};

/// Which columns are read, and what they become.
pub(super) struct Plan {
    /// Those to be read from each file, each once.
    pub(super) own: Vec<FieldRef>,
    /// Where each column that was asked for comes from.
    origins: Vec<Origin>,
    schema: SchemaRef,
}

enum Origin {
    /// One of those that are read.
    Own(usize),
    /// The names of the folders of a file.
    Folder(String),
}

impl Plan {
    pub(super) fn new(table: &Table, asked: &[String]) -> Result<Self, ArchiveError> {
        let known = table.own_columns()?;
        let mut plan =
            Self { own: Vec::new(), origins: Vec::new(), schema: SchemaRef::new(Schema::empty()) };
        let mut fields = Vec::new();
        for name in asked {
            // As everywhere where folders are columns, they are before those of the files.
            if table.has_folder(name) {
                plan.origins.push(Origin::Folder(name.clone()));
                fields.push(Arc::new(Field::new(name, DataType::Utf8, true)));
                continue;
            }
            let found = known.iter().find(|field| field.name() == name).cloned();
            let field = match found {
                Some(field) => field,
                // A later row may have it.
                None if table.format() == Format::Jsonl && !table.is_live() => {
                    super::text::field(name, table.format())
                }
                None => return Err(table.no_column(name)),
            };
            let place = plan.own.iter().position(|own| own.name() == name);
            let place = place.unwrap_or_else(|| {
                plan.own.push(field.clone());
                plan.own.len() - 1
            });
            plan.origins.push(Origin::Own(place));
            fields.push(field);
        }
        plan.schema = SchemaRef::new(Schema::new(fields));
        Ok(plan)
    }

    /// The same, with the texts of Parquet files as views of what was read: they are not copied.
    pub(super) fn viewing(mut self, table: &Table) -> Self {
        if table.format() != Format::Parquet || table.is_live() {
            return self;
        }
        let view = |field: &mut FieldRef| {
            if has_views(field.data_type()) {
                *field = Arc::new(Field::clone(field).with_data_type(DataType::Utf8View));
            }
        };
        self.own.iter_mut().for_each(view);
        let column = |(origin, field): (&Origin, &FieldRef)| match origin {
            Origin::Own(place) => self.own.get(*place).unwrap_or(field).clone(),
            Origin::Folder(_) => field.clone(),
        };
        let fields: Vec<FieldRef> =
            self.origins.iter().zip(self.schema.fields()).map(column).collect();
        self.schema = SchemaRef::new(Schema::new(fields));
        self
    }

    /// Whether a column of a file is to be read as views of its texts.
    pub(super) fn views(&self, column: &Field) -> bool {
        let viewed =
            |own: &FieldRef| own.name() == column.name() && *own.data_type() == DataType::Utf8View;
        has_views(column.data_type()) && self.own.iter().any(viewed)
    }

    /// The columns that were asked for.
    pub(super) fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    /// The columns that were asked for, from those that were read of some rows of a file.
    pub(super) fn batch(
        &self,
        file: &TableFile,
        own: &[ArrayRef],
        rows: usize,
    ) -> Result<RecordBatch, arrow_schema::ArrowError> {
        let column = |origin: &Origin| -> Option<ArrayRef> {
            Some(match origin {
                Origin::Own(place) => own.get(*place)?.clone(),
                Origin::Folder(name) => {
                    let value = file.partitions.iter().find(|(column, _)| column == name);
                    let value = value.map(|(_, value)| value.as_str());
                    Arc::new(repeat_n(value, rows).collect::<StringArray>())
                }
            })
        };
        let columns = self.origins.iter().filter_map(column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
    }
}

/// Whether values of a type can be read as views.
const fn has_views(of: &DataType) -> bool {
    matches!(of, DataType::Utf8 | DataType::LargeUtf8)
}
