use std::{
    collections::{HashSet, VecDeque},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use ::parquet::{arrow::arrow_reader::ArrowReaderMetadata, file::metadata::PageIndexPolicy};
use arrow_array::RecordBatch;
use arrow_schema::{FieldRef, Schema, SchemaRef};
use mesh_core::{Cancel, ProgressTask, printable};
use mesh_postgres::Database;
use object_store::{ObjectStore, path::Path as ObjectPath};
use tokio::runtime::Handle;

mod blocks;
mod chunks;
mod groups;
mod json;
mod keys;
mod list;
mod marks;
mod parquet;
mod place;
mod plan;
mod relation;
mod rows;
mod text;
mod waiting;

pub use keys::KeyRange;
pub use marks::{Marks, Span};

use crate::{ArchiveError, ArchiveErrorKind, Format, Unusable};
use blocks::Blocks;
use list::Listed;
use place::{Bucket, Place};
use plan::Plan;
use relation::Source;
use waiting::Batches;

/// An archive as a table: its files, and its columns. Clones are the same table.
///
/// A table in a database is one of a single file, whose lines are JSON: it may be written while it
/// is read. What is read in spans are the rows that there are between their keys at that moment.
///
/// Each call blocks; one that needs an object store or a database must not be made from
/// asynchronous code.
#[derive(Clone, Debug)]
pub struct Table(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: Vec<TableFile>,
    /// Where each of the files is; of a table in a database there are none.
    places: Vec<Place>,
    /// Names of other files that lie among them.
    passed: Vec<String>,
    /// The names of the columns that are folders.
    folders: HashSet<String>,
    /// The table in a database, if it is one.
    source: Option<Source>,
    format: Format,
    /// The columns of the first file.
    own: OnceLock<Vec<FieldRef>>,
    /// What the files that were read last say of themselves, with their numbers.
    heads: Mutex<VecDeque<(usize, Head)>>,
    blocks: Blocks,
}

/// A file of a table, as it was when the table was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFile {
    /// Its path below the table's folder, with `/` between its parts; the file's own name if the
    /// table is a single file.
    pub name: String,
    /// How long it is.
    pub bytes: u64,
    /// What tells it from others that were there under its name: when it was written, in
    /// nanoseconds, or of an object its `ETag`, else when that was written.
    pub stamp: String,
    /// The columns that its folders below the table's are, as `lang=en/` is one, with their
    /// values for all of its rows.
    pub partitions: Vec<(String, String)>,
}

/// Where a table is.
#[derive(Debug, Clone)]
pub enum Location {
    /// A file or folder of this machine.
    Local(PathBuf),
    /// An object, or all below a path.
    Objects {
        /// The store: one bucket.
        store: Arc<dyn ObjectStore>,
        /// The path inside it.
        path: ObjectPath,
        /// What runs the requests: a runtime of several threads, that lives as long as the table.
        /// It is waited for, so no thread of its own may read the table.
        runtime: Handle,
    },
    /// A table in a database.
    Relation {
        /// The database, whose address names the table.
        database: Database,
        /// The column that names rows.
        key: String,
    },
}

/// Some rows of one file, one after another.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The number of the file.
    pub file: usize,
    /// The number of the first row in its file, from 0.
    pub first: u64,
    /// The columns that were asked for, in that order.
    pub batch: RecordBatch,
    /// The rows of the batch that cannot be read, and why: their values are null.
    pub broken: Vec<(usize, Unusable)>,
}

/// What a file says of itself, before its rows.
#[derive(Debug, Clone)]
enum Head {
    Parquet(ArrowReaderMetadata),
    Names(Arc<[String]>),
}

/// A file that is being read, and for what.
struct Reading<'a> {
    number: usize,
    file: &'a TableFile,
    place: &'a Place,
    plan: &'a Plan,
    task: &'a dyn ProgressTask,
    cancel: &'a Cancel,
}

/// Heads that are kept: spans are mostly read in order, by a few threads.
const HEADS: usize = 8;

impl Table {
    /// Opens a file, or all files of one format below a folder: those that the given format has,
    /// else the one that all files have whose name tells one. What begins with `.` or `_` is
    /// passed over, folders too, and folders that end in `.enriched`. A single file may have any name
    /// if its format is given.
    ///
    /// # Errors
    /// When it is not there, its format is not known, or a folder holds no files, or files of
    /// several formats; when a table in a database has no unique index on its key.
    pub fn open(location: &Location, format: Option<Format>) -> Result<Self, ArchiveError> {
        let Listed { files, format, passed } = match location {
            Location::Local(path) => list::local(path, format)?,
            Location::Objects { store, path, runtime } => {
                let bucket = Bucket { store: store.clone(), runtime: runtime.clone() };
                list::objects(&bucket, path, format)?
            }
            Location::Relation { database, key } => {
                let source = Source::open(database, key)?;
                let (files, places, source) = (vec![source.file()], Vec::new(), Some(source));
                return Ok(Self::new(files, places, Format::Jsonl, source));
            }
        };
        let (files, places) = files.into_iter().unzip();
        let mut table = Self::new(files, places, format, None);
        if let Some(inner) = Arc::get_mut(&mut table.0) {
            inner.passed = passed;
        }
        Ok(table)
    }

    fn new(
        files: Vec<TableFile>,
        places: Vec<Place>,
        format: Format,
        source: Option<Source>,
    ) -> Self {
        let (own, heads, blocks) = (OnceLock::new(), Mutex::default(), Blocks::default());
        let partitions = files.iter().flat_map(|file| &file.partitions);
        let folders = partitions.map(|(column, _)| column.clone()).collect();
        let passed = Vec::new();
        Self(Arc::new(Inner { files, places, passed, folders, source, format, own, heads, blocks }))
    }

    /// Whether it may be written while it is read: a table in a database.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.0.source.is_some()
    }

    /// A table without files: nothing is in it yet.
    #[must_use]
    pub fn empty(format: Format) -> Self {
        Self::new(Vec::new(), Vec::new(), format, None)
    }

    /// The table of some of its files; that of a database is one.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&TableFile) -> bool) -> Self {
        if self.is_live() {
            return self.clone();
        }
        let all = self.0.files.iter().zip(&self.0.places);
        let (files, places) = all
            .filter(|(file, _)| keep(file))
            .map(|(file, place)| (file.clone(), place.clone()))
            .unzip();
        Self::new(files, places, self.0.format, None)
    }

    /// Its files, in the order in which they are read: that of their names.
    #[must_use]
    pub fn files(&self) -> &[TableFile] {
        &self.0.files
    }

    /// What lies in the folder and is no file of the table, as its name tells another format or
    /// none. What is hidden, or begins with `_` as marks of other programs do, is not told.
    #[must_use]
    pub fn passed_over(&self) -> &[String] {
        &self.0.passed
    }

    /// Whether a column has a type of its own, and is not text whatever it holds: all of Parquet
    /// but those that are folders.
    #[must_use]
    pub fn is_typed(&self, column: &str) -> bool {
        self.0.format == Format::Parquet && !self.has_folder(column)
    }

    /// The format of its files.
    #[must_use]
    pub fn format(&self) -> Format {
        self.0.format
    }

    /// Names and types of the columns of the first file, and those that are folders after them,
    /// as text. All columns of text files are text. Those of JSONL are the keys in the first
    /// hundred lines, as others may be below; their values are JSON, and their metadata says so:
    /// `mesh` is `json`.
    ///
    /// # Errors
    /// When the first file cannot be read.
    pub fn schema(&self) -> Result<SchemaRef, ArchiveError> {
        let mut fields = self.own_columns()?.to_vec();
        fields.retain(|field| !self.has_folder(field.name()));
        let mut known: HashSet<String> = fields.iter().map(|field| field.name().clone()).collect();
        for (name, _) in self.files().iter().flat_map(|file| &file.partitions) {
            if known.insert(name.clone()) {
                fields.push(text::field(name, Format::Csv));
            }
        }
        Ok(SchemaRef::new(Schema::new(fields)))
    }

    /// How many rows there are, if that is known without reading all: Parquet files tell.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn rows(&self) -> Result<Option<u64>, ArchiveError> {
        if self.0.format != Format::Parquet {
            return Ok(None);
        }
        let rows = |place| Ok(parquet::rows(&parquet::about(place, PageIndexPolicy::Skip)?));
        self.0.places.iter().map(rows).sum::<Result<u64, _>>().map(Some)
    }

    /// The table in a database, and it as a file.
    fn relation(&self) -> Option<(&Source, &TableFile)> {
        self.0.source.as_ref().zip(self.0.files.first())
    }

    /// What errors name where no file is at fault.
    fn told(&self) -> &Path {
        let source = self.0.source.as_ref().map(Source::told);
        source.or_else(|| self.0.places.first().map(Place::told)).unwrap_or(Path::new(""))
    }

    /// The columns of the first file.
    fn own_columns(&self) -> Result<&[FieldRef], ArchiveError> {
        if let Some(known) = self.0.own.get() {
            return Ok(known);
        }
        if let Some(source) = &self.0.source {
            return Ok(self.0.own.get_or_init(|| source.columns()));
        }
        let Some(first) = self.0.places.first() else { return Ok(&[]) };
        let mut columns = self.columns_of(first)?;
        // Of columns with one name, the first is read.
        let mut known = HashSet::new();
        columns.retain(|field| {
            let is_first = known.insert(field.name().clone());
            if !is_first {
                let (column, file) = (printable(field.name()), self.told().display());
                tracing::warn!("two columns of {file} have the name `{column}`: the first is read");
            }
            is_first
        });
        self.warn_of_folders()?;
        Ok(self.0.own.get_or_init(|| columns))
    }

    /// Says of which columns the files' own values are not read, as folders have their names. Of each
    /// column that is folders, one file is looked at.
    fn warn_of_folders(&self) -> Result<(), ArchiveError> {
        let mut seen = HashSet::new();
        for (file, place) in self.0.files.iter().zip(&self.0.places) {
            let new: Vec<&String> = file
                .partitions
                .iter()
                .map(|(column, _)| column)
                .filter(|column| seen.insert(column.as_str()))
                .collect();
            if new.is_empty() {
                continue;
            }
            let own = self.columns_of(place)?;
            for column in new.into_iter().filter(|new| own.iter().any(|own| own.name() == *new)) {
                let (column, file) = (printable(column), place.told().display());
                tracing::warn!(
                    "{file} has a column `{column}` of its own, which is not read: its folder \
                     `{column}=...` tells it"
                );
            }
        }
        Ok(())
    }

    /// The columns of a file, as it names them.
    fn columns_of(&self, place: &Place) -> Result<Vec<FieldRef>, ArchiveError> {
        Ok(match self.0.format {
            Format::Parquet => parquet::columns(&parquet::about(place, PageIndexPolicy::Skip)?),
            format => {
                let names = text::names(place, format)?;
                names.iter().map(|name| text::field(name, format)).collect()
            }
        })
    }

    /// Whether the folders of any file are a column of that name.
    fn has_folder(&self, name: &str) -> bool {
        self.0.folders.contains(name)
    }

    /// The first file has no such column.
    fn no_column(&self, name: &str) -> ArchiveError {
        let all = self.schema().map(|schema| {
            schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>()
        });
        ArchiveError::no_column(self.told(), name, &all.unwrap_or_default())
    }

    fn reading<'a>(
        &'a self,
        number: usize,
        plan: &'a Plan,
        (task, cancel): (&'a dyn ProgressTask, &'a Cancel),
    ) -> Result<Reading<'a>, ArchiveError> {
        let found = self.0.files.get(number).zip(self.0.places.get(number));
        // Marks of another table.
        let (file, place) = found.ok_or_else(|| ArchiveError::new(ArchiveErrorKind::Changed))?;
        Ok(Reading { number, file, place, plan, task, cancel })
    }

    /// What a file says of itself; it is kept for the spans that follow.
    fn head(&self, reading: &Reading<'_>) -> Result<Head, ArchiveError> {
        let lock = || self.0.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let Reading { number, place, .. } = *reading;
        if let Some((_, head)) = lock().iter().find(|(other, _)| *other == number) {
            return Ok(head.clone());
        }
        let head = match self.0.format {
            Format::Parquet => Head::Parquet(parquet::about(place, PageIndexPolicy::Optional)?),
            // Their rows name their values.
            Format::Jsonl => Head::Names(Arc::new([])),
            format => Head::Names(text::names(place, format)?.into()),
        };
        let mut heads = lock();
        heads.push_back((number, head.clone()));
        if heads.len() > HEADS {
            heads.pop_front();
        }
        Ok(head)
    }
}

impl Reading<'_> {
    fn batches(&self) -> Batches<'_> {
        let Self { number, file, place, plan, cancel, .. } = *self;
        Batches { number, file, told: place.told(), plan, cancel }
    }

    /// Reads the file, and fails if it is not what it was, before or after.
    fn unchanged<T>(
        &self,
        sink: &mut dyn FnMut(Rows) -> Result<(), ArchiveError>,
        read: impl FnOnce(&mut dyn FnMut(Rows) -> Result<(), ArchiveError>) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        self.place.check(self.file)?;
        let mut refused = false;
        let read = read(&mut |rows| sink(rows).inspect_err(|_| refused = true));
        if refused {
            return read;
        }
        match (read, self.place.check(self.file)) {
            (Ok(_), Err(error)) => Err(error),
            // That is why it could not be read.
            (Err(_), Err(error)) if error.kind == ArchiveErrorKind::Changed => Err(error),
            (read, _) => read,
        }
    }
}
