use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{Array, ArrayRef, RecordBatch, StringArray, builder::StringBuilder};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    },
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::{WriterProperties, WriterPropertiesBuilder},
};

use crate::{DatasetError, DatasetErrorKind};

/// One document of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Document {
    /// Its identifier.
    pub id: String,
    /// Its text, normalised.
    pub text: String,
    /// Its label.
    pub label: Option<String>,
    /// The file and line of the source that it comes from.
    pub origin: String,
}

/// Writes documents to a Parquet file, a batch at a time. The same documents give the same
/// bytes.
pub struct SplitWriter {
    path: PathBuf,
    writer: ArrowWriter<File>,
    schema: SchemaRef,
    columns: [StringBuilder; 4],
    bytes: usize,
    rows: u64,
}

/// Documents of a Parquet file, read a batch at a time.
pub struct Documents {
    path: PathBuf,
    /// Nothing once reading has failed.
    reader: Option<ParquetRecordBatchReader>,
    batch: Option<(RecordBatch, usize)>,
}

const COLUMNS: [&str; 4] = ["id", "text", "label", "origin"];
/// Rows and bytes of text that are held before they are written.
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 8 << 20;
const ROW_GROUP_ROWS: usize = 65_536;
const ROW_GROUP_BYTES: usize = 64 << 20;

impl SplitWriter {
    /// Creates the file.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(path: &Path) -> Result<Self, DatasetError> {
        let field = |name| Field::new(name, DataType::Utf8, name == "label");
        let schema: SchemaRef = Arc::new(Schema::new(COLUMNS.map(field).to_vec()));
        let file = File::create(path).map_err(|error| DatasetError::io("create", path, error))?;
        // Their values differ from row to row: a dictionary would only cost time.
        let properties = ["id", "text", "origin"].into_iter().fold(properties(), |all, column| {
            all.set_column_dictionary_enabled(column.into(), false)
        });
        let properties = properties.build();
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))
            .map_err(|error| write_error(path, error))?;
        let columns = std::array::from_fn(|_| StringBuilder::new());
        Ok(Self { path: path.to_owned(), writer, schema, columns, bytes: 0, rows: 0 })
    }

    /// Adds a document.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, document: &Document) -> Result<(), DatasetError> {
        let [id, text, label, origin] = &mut self.columns;
        id.append_value(&document.id);
        text.append_value(&document.text);
        label.append_option(document.label.as_ref());
        origin.append_value(&document.origin);
        let rows = id.values_slice().len() + text.values_slice().len();
        self.bytes = rows + origin.values_slice().len();
        self.rows += 1;
        let held = arrow_array::builder::ArrayBuilder::len(&self.columns[0]);
        if held >= BATCH_ROWS || self.bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    /// Ends the file; gives how many documents it holds.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> Result<u64, DatasetError> {
        self.flush()?;
        self.writer.close().map_err(|error| write_error(&self.path, error))?;
        Ok(self.rows)
    }

    fn flush(&mut self) -> Result<(), DatasetError> {
        let arrays: Vec<ArrayRef> =
            self.columns.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef).collect();
        let fail = |error| DatasetError::new("write", &self.path, DatasetErrorKind::Format, error);
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(fail)?;
        self.bytes = 0;
        self.writer.write(&batch).map_err(|error| write_error(&self.path, error))?;
        if self.writer.in_progress_size() >= ROW_GROUP_BYTES {
            self.writer.flush().map_err(|error| write_error(&self.path, error))?;
        }
        Ok(())
    }
}

/// How files of a dataset are written.
pub(crate) fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        // The library's own text holds its version: the bytes must not change with it.
        .set_created_by("mesh".into())
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
}

/// Reads the documents of a Parquet file that a [`SplitWriter`] wrote.
///
/// # Errors
/// When the file cannot be opened or has other columns. Each document may fail too.
pub fn read_split(path: &Path) -> Result<Documents, DatasetError> {
    let file = File::open(path).map_err(|error| DatasetError::io("open", path, error))?;
    let fail = |error| DatasetError::new("read", path, DatasetErrorKind::Format, error);
    let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(file)).map_err(fail)?;
    for name in COLUMNS {
        let found = builder.schema().field_with_name(name).map(Field::data_type);
        if !matches!(found, Ok(DataType::Utf8)) {
            let reason = format!("the column `{name}` is missing or no text");
            return Err(DatasetError::new("read", path, DatasetErrorKind::Format, reason));
        }
    }
    let reader = guarded(|| builder.with_batch_size(1024).build()).map_err(fail)?;
    Ok(Documents { path: path.to_owned(), reader: Some(reader), batch: None })
}

impl Iterator for Documents {
    type Item = Result<Document, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((batch, row)) = &mut self.batch
                && *row < batch.num_rows()
            {
                *row += 1;
                let document = document(batch, *row - 1);
                return Some(document.ok_or_else(|| {
                    let reason = "a column has another type than in the file's schema";
                    DatasetError::new("read", &self.path, DatasetErrorKind::Format, reason)
                }));
            }
            let reader = self.reader.as_mut()?;
            match guarded(|| Ok(reader.next().transpose()?)) {
                Ok(batch) => self.batch = Some((batch?, 0)),
                Err(error) => {
                    (self.reader, self.batch) = (None, None);
                    let kind = DatasetErrorKind::Format;
                    return Some(Err(DatasetError::new("read", &self.path, kind, error)));
                }
            }
        }
    }
}

/// Calls the Parquet library on bytes that may be damaged: it panics on some of them, where this
/// gives an error.
///
/// # Errors
/// What the library says, or that the file is damaged.
pub fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    // What it was called on is not used again after an error, so it may be left half-way.
    let result = catch_unwind(AssertUnwindSafe(read));
    result.unwrap_or_else(|_| Err(ParquetError::General("the file is damaged".into())))
}

fn document(batch: &RecordBatch, row: usize) -> Option<Document> {
    let text = |name| {
        let column = batch.column_by_name(name)?.as_any().downcast_ref::<StringArray>()?;
        Some(if column.is_null(row) { None } else { Some(column.value(row).to_owned()) })
    };
    Some(Document {
        id: text("id")??,
        text: text("text")??,
        label: text("label")?,
        origin: text("origin")??,
    })
}

pub(crate) fn write_error(path: &Path, error: ParquetError) -> DatasetError {
    // The writer wraps what the operating system said; a full disk must stay one.
    if let ParquetError::External(source) = &error
        && let Some(io) = source.downcast_ref::<std::io::Error>()
    {
        return DatasetError::io("write", path, std::io::Error::new(io.kind(), error));
    }
    DatasetError::new("write", path, DatasetErrorKind::Io, error)
}
