//! Enrichments as they are kept: generations of one project's answers for one archive, in Parquet.
//!
//! A generation is whole or is not there: it begins to exist when its manifest is written, which
//! is after all of its parts. Parts are named by their chunk, written once, and never changed.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use arrow_array::{Array, RecordBatch, StringArray, new_null_array};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use bytes::Bytes;
use mesh_archive::Span;
use mesh_core::{Digest, ModelVersion, ProjectName};
use mesh_dataset::guarded;
use parquet::{
    arrow::{ArrowSchemaConverter, ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, Type, ZstdLevel},
    file::{metadata::KeyValue, properties::WriterProperties},
    schema::types::ColumnPath,
};
use serde::{Deserialize, Serialize};

use crate::{
    BackfillError, BackfillErrorKind,
    columns::{ENRICHED_AT, INPUT_DIGEST, MODEL_DIGEST, MODEL_VERSION},
    follow::{Tail, TailPart},
    inputs::text_in,
    keys::{FileStamp, KeyHash},
    place::Place,
    pointer::is_newer,
    sorter::{KeyIndex, Sorter},
};

/// What a generation is: its manifest, `generation.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationManifest {
    /// The version of this format.
    pub format: u32,
    /// The digest of what decides what is in it.
    pub key: Digest,
    /// The project.
    pub project: ProjectName,
    /// The model version that answered.
    pub version: ModelVersion,
    /// The digest of what answered.
    pub digest: String,
    /// The column that names documents.
    pub key_column: String,
    /// The fields of a prediction, each with its column.
    pub columns: Vec<(String, String)>,
    /// The files of the archive as they were.
    pub files: Vec<FileStamp>,
    /// Its parts, in the order of the archive.
    pub parts: Vec<Part>,
}

/// The rows of a chunk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The chunk.
    pub chunk: usize,
    /// The documents that it is about.
    pub span: Span,
    /// What became of them.
    pub counts: Counts,
    /// The length of its file, in bytes.
    pub bytes: u64,
    /// The digest of its file.
    pub digest: Digest,
}

/// What became of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Documents.
    pub rows: u64,
    /// Answered by the model now.
    pub enriched: u64,
    /// Of those, answered once for several documents with the same input.
    pub repeated: u64,
    /// Kept from the generation before.
    pub kept: u64,
    /// Not to be done, and never done.
    pub skipped: u64,
    /// Without an answer, with a reason.
    pub rejected: u64,
    /// Of those, rejected before and not looked at now: their reasons stay.
    #[serde(default, skip_serializing_if = "is_none")]
    pub rejected_before: u64,
}

/// The version of the format of generations.
pub(crate) const GENERATION_FORMAT: u32 = 1;
/// The file of a generation's manifest.
pub(crate) const MANIFEST: &str = "generation.json";
/// Names of what is kept in a part beside its rows.
const PART_KEY: &str = "mesh.key";
const PART_COUNTS: &str = "mesh.counts";
/// What to do about what is damaged.
const REMEDY: &str = "roll back to the generation before (`mesh backfill rollback`), or enrich the \
                      archive anew (`mesh backfill run --all-rows`, without --where), which needs \
                      nothing of it";
/// Parts of a generation that are kept in memory.
const CACHED: usize = 4;

/// A generation that can be read.
#[derive(Debug)]
pub(crate) struct Generation {
    place: Place,
    manifest: GenerationManifest,
    /// How many of its parts are its own; those after them are what was followed since.
    own: usize,
    /// Where those are.
    tail: Option<Place>,
    /// Whether what is damaged in it counts as not there.
    forgiving: bool,
    cache: Mutex<VecDeque<(usize, RecordBatch)>>,
    /// Where each key is, for documents that lie elsewhere now; made when it is needed first.
    index: OnceLock<KeyIndex>,
}

/// Where the answers for some documents are.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// The answers, and maybe others.
    pub(crate) batch: RecordBatch,
    /// Of each document its row in the batch.
    pub(crate) rows: Vec<Option<usize>>,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.enriched += other.enriched;
        self.repeated += other.repeated;
        self.kept += other.kept;
        self.skipped += other.skipped;
        self.rejected += other.rejected;
        self.rejected_before += other.rejected_before;
    }
}

impl Part {
    /// The name of its file.
    pub(crate) fn file(chunk: usize) -> String {
        format!("part-{chunk:05}.parquet")
    }

    /// The name of the file of what was rejected of it.
    pub(crate) fn rejects(chunk: usize) -> String {
        format!("rejects/part-{chunk:05}.parquet")
    }
}

impl GenerationManifest {
    /// Puts the files into the order of their names, which is that of an archive.
    fn sort_files(&mut self) {
        let mut order: Vec<usize> = (0..self.files.len()).collect();
        let name = |at: &usize| self.files.get(*at).map(|file| file.name.as_str());
        order.sort_by(|one, two| name(one).cmp(&name(two)));
        let sorted = order.iter().filter_map(|at| self.files.get(*at).cloned()).collect();
        let places: HashMap<usize, usize> =
            order.iter().enumerate().map(|(to, from)| (*from, to)).collect();
        self.files = sorted;
        for part in &mut self.parts {
            if let Some(to) = places.get(&part.span.file) {
                part.span.file = *to;
            }
        }
    }
}

impl Generation {
    /// A generation in its place; nothing if it is not there, or not whole.
    pub(crate) fn open(place: Place) -> Result<Option<Self>, BackfillError> {
        let Some(bytes) = place.get(MANIFEST)? else { return Ok(None) };
        if is_newer(&bytes, GENERATION_FORMAT) {
            return Err(BackfillError::newer("read an enrichment", place.shown(MANIFEST)));
        }
        let damaged = || {
            let kind = BackfillErrorKind::Damaged(place.shown(MANIFEST));
            BackfillError::new("read an enrichment", kind).help(REMEDY)
        };
        let manifest: GenerationManifest =
            serde_json::from_slice(&bytes).map_err(|error| damaged().because(error))?;
        if manifest.format != GENERATION_FORMAT {
            let help = "another `mesh` wrote it: use that one, or enrich the archive anew";
            return Err(damaged().help(help));
        }
        let own = manifest.parts.len();
        let (cache, index) = (Mutex::default(), OnceLock::new());
        let (tail, forgiving) = (None, false);
        Ok(Some(Self { place, manifest, own, tail, forgiving, cache, index }))
    }

    /// The generation with what was told of documents that arrived since it was made. `known` are
    /// the files of the archive as they are.
    pub(crate) fn with_tail(mut self, tail: Tail, known: &[FileStamp]) -> Self {
        let manifest = &mut self.manifest;
        let covered: HashSet<String> =
            manifest.files.iter().map(|file| file.name.clone()).collect();
        for TailPart { file, told } in tail.parts {
            // Rows with other columns cannot stand beside these.
            let alike = told.columns == manifest.columns && told.key_column == manifest.key_column;
            if !alike || covered.contains(&file) {
                continue;
            }
            let stamp = known.iter().find(|known| known.name == file).cloned();
            let gone = || FileStamp { name: file, bytes: 0, stamp: String::new() };
            manifest.files.push(stamp.unwrap_or_else(gone));
            let mut part = told.part;
            part.span.file = manifest.files.len() - 1;
            manifest.parts.push(part);
        }
        manifest.sort_files();
        self.tail = Some(tail.place);
        self
    }

    /// The generation for whom nothing depends on it: what is damaged in it counts as not there.
    pub(crate) fn forgiving(mut self) -> Self {
        self.forgiving = true;
        self
    }

    /// The parts that are its own, without what was followed since.
    pub(crate) fn own_parts(&self) -> &[Part] {
        self.manifest.parts.get(..self.own).unwrap_or_default()
    }

    /// Where a part is.
    fn place_of(&self, at: usize) -> &Place {
        self.tail.as_ref().filter(|_| at >= self.own).unwrap_or(&self.place)
    }

    /// The name of a part of its own that is not there, or is not as long as it was written.
    pub(crate) fn lost_part(&self) -> Result<Option<String>, BackfillError> {
        let lengths = self.place.lengths()?;
        let is_lost = |part: &&Part| lengths.get(&Part::file(part.chunk)) != Some(&part.bytes);
        Ok(self.own_parts().iter().find(is_lost).map(|part| Part::file(part.chunk)))
    }

    pub(crate) const fn manifest(&self) -> &GenerationManifest {
        &self.manifest
    }

    /// The rows of a part.
    pub(crate) fn part(&self, at: usize) -> Result<RecordBatch, BackfillError> {
        let locked = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, batch)) = locked().iter().find(|(cached, _)| *cached == at) {
            return Ok(batch.clone());
        }
        let chunk = self.manifest.parts.get(at).map_or(at, |part| part.chunk);
        let batch = with_stamp(read_part(self.place_of(at), &Part::file(chunk))?)?;
        let mut cache = locked();
        if cache.len() >= CACHED {
            cache.pop_front();
        }
        cache.push_back((at, batch.clone()));
        Ok(batch)
    }

    /// What was rejected of a part.
    pub(crate) fn rejects(&self, at: usize) -> Result<Option<RecordBatch>, BackfillError> {
        let Some(part) = self.manifest.parts.get(at) else { return Ok(None) };
        if part.counts.rejected == 0 {
            return Ok(None);
        }
        read_part(self.place_of(at), &Part::rejects(part.chunk)).map(Some)
    }

    /// Finds the answers for documents by their keys: first among those of the same place in the
    /// same file, then anywhere, if files of the archive are not what they were.
    pub(crate) fn find(
        &self,
        files: &[FileStamp],
        span: &Span,
        keys: &StringArray,
    ) -> Result<Found, BackfillError> {
        match self.found(files, span, keys) {
            Err(_) if self.forgiving => {
                let batch = RecordBatch::new_empty(empty());
                Ok(Found { batch, rows: vec![None; keys.len()] })
            }
            found => found,
        }
    }

    fn found(
        &self,
        files: &[FileStamp],
        span: &Span,
        keys: &StringArray,
    ) -> Result<Found, BackfillError> {
        let file = files.get(span.file);
        let place = self
            .manifest
            .files
            .iter()
            .position(|known| file.is_some_and(|file| file.name == known.name));
        let end = span.first + span.rows;
        let near = self.manifest.parts.iter().enumerate().filter(|(_, part)| {
            let theirs = part.span.first..part.span.first + part.span.rows;
            Some(part.span.file) == place && theirs.start < end && span.first < theirs.end
        });
        let mut batches = Vec::new();
        let mut base = 0;
        let mut known: HashMap<String, usize> = HashMap::new();
        for (at, _) in near {
            let batch = self.part(at)?;
            for row in 0..batch.num_rows() {
                if let Some(key) = text_in(&batch, &self.manifest.key_column, row) {
                    known.insert(key, base + row);
                }
            }
            base += batch.num_rows();
            batches.push(batch);
        }
        let mut rows: Vec<Option<usize>> =
            keys.iter().map(|key| known.get(key?).copied()).collect();
        if rows.iter().any(Option::is_none) && self.manifest.files != files {
            for (key, row) in keys.iter().zip(&mut rows) {
                let (Some(key), None) = (key, *row) else { continue };
                let Some(found) = self.index()?.find(KeyHash::of(key)) else { continue };
                let part = self.part(entry_of(found).0)?;
                let at = entry_of(found).1;
                if text_in(&part, &self.manifest.key_column, at).as_deref() == Some(key) {
                    batches.push(part.slice(at, 1));
                    *row = Some(base);
                    base += 1;
                }
            }
        }
        let schema = match batches.first() {
            Some(batch) => batch.schema(),
            None => return Ok(Found { batch: RecordBatch::new_empty(empty()), rows }),
        };
        let batch = concat_batches(&schema, &batches).map_err(|error| {
            let kind = BackfillErrorKind::Damaged(self.place.shown(""));
            BackfillError::new("read an enrichment", kind).because(error)
        })?;
        Ok(Found { batch, rows })
    }

    /// Where every key is.
    fn index(&self) -> Result<&KeyIndex, BackfillError> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let mut sorter = Sorter::new()?;
        for at in 0..self.manifest.parts.len() {
            let batch = self.part(at)?;
            for row in 0..batch.num_rows() {
                if let Some(key) = text_in(&batch, &self.manifest.key_column, row) {
                    sorter.add((KeyHash::of(&key), (at as u64) << 32 | row as u64))?;
                }
            }
        }
        let index = sorter.index()?;
        Ok(self.index.get_or_init(|| index))
    }
}

/// A part with all columns of a stamp, also one of an older `mesh`: parts of both stand beside each
/// other where documents are followed.
fn with_stamp(batch: RecordBatch) -> Result<RecordBatch, BackfillError> {
    if batch.column_by_name(INPUT_DIGEST).is_some() {
        return Ok(batch);
    }
    let (schema, mut columns, rows) = batch.into_parts();
    let field = Arc::new(Field::new(INPUT_DIGEST, DataType::Utf8, true));
    columns.push(new_null_array(&DataType::Utf8, rows));
    let fields: Vec<FieldRef> = schema.fields().iter().cloned().chain([field]).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|error| {
        let kind = BackfillErrorKind::Damaged("a part".into());
        BackfillError::new("read an enrichment", kind).because(error)
    })
}

/// Whether a count is not written down: an older `mesh` does not know it.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
pub(crate) const fn is_none(count: &u64) -> bool {
    *count == 0
}

fn empty() -> SchemaRef {
    Arc::new(Schema::empty())
}

/// The part and the row of an entry of the index.
const fn entry_of(entry: u64) -> (usize, usize) {
    ((entry >> 32) as usize, (entry & 0xffff_ffff) as usize)
}

/// A part as a file, with what it belongs to.
pub(crate) fn encode(
    batch: &RecordBatch,
    key: Digest,
    counts: &Counts,
) -> Result<Bytes, BackfillError> {
    let told = serde_json::to_string(counts).unwrap_or_default();
    let facts = vec![
        KeyValue::new(PART_KEY.to_owned(), key.to_string()),
        KeyValue::new(PART_COUNTS.to_owned(), told),
    ];
    let level = ZstdLevel::try_new(1).unwrap_or_default();
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        // One value each: there is nothing to compress, and a compressor takes time to make ready.
        .set_column_compression(ColumnPath::from(MODEL_VERSION), Compression::UNCOMPRESSED)
        .set_column_compression(ColumnPath::from(MODEL_DIGEST), Compression::UNCOMPRESSED)
        .set_column_compression(ColumnPath::from(ENRICHED_AT), Compression::UNCOMPRESSED)
        // Hardly one is there twice.
        .set_column_dictionary_enabled(ColumnPath::from(INPUT_DIGEST), false)
        .set_key_value_metadata(Some(facts));
    if let Some(key) = batch.schema_ref().fields().first() {
        let key = ColumnPath::from(key.name().as_str());
        properties = properties.set_column_dictionary_enabled(key, false);
    }
    let write = || {
        // Scores hardly become smaller.
        let leaves = ArrowSchemaConverter::new().convert(batch.schema_ref())?;
        for leaf in leaves.columns() {
            if let Type::FLOAT | Type::DOUBLE = leaf.physical_type() {
                properties = properties
                    .set_column_dictionary_enabled(leaf.path().clone(), false)
                    .set_column_compression(leaf.path().clone(), Compression::UNCOMPRESSED);
            }
        }
        let properties = properties.build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))?;
        writer.write(batch)?;
        writer.close()?;
        Ok::<_, parquet::errors::ParquetError>(bytes)
    };
    write().map(Bytes::from).map_err(|error| {
        let kind = BackfillErrorKind::Write("a part".into());
        BackfillError::new("write enrichments", kind).because(error)
    })
}

/// What a part that was written before says of itself, if it belongs to what has that key.
pub(crate) fn counts_of(bytes: &Bytes, key: Digest) -> Option<Counts> {
    let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(bytes.clone())).ok()?;
    let facts = builder.metadata().file_metadata().key_value_metadata()?.clone();
    let fact = |name: &str| {
        let found = facts.iter().find(|fact| fact.key == name)?;
        found.value.clone()
    };
    if fact(PART_KEY)? != key.to_string() {
        return None;
    }
    serde_json::from_str(&fact(PART_COUNTS)?).ok()
}

/// The rows of a file of a generation.
pub(crate) fn read_part(place: &Place, file: &str) -> Result<RecordBatch, BackfillError> {
    let damaged = || {
        let kind = BackfillErrorKind::Damaged(place.shown(file));
        BackfillError::new("read an enrichment", kind).help(REMEDY)
    };
    let bytes = place.get(file)?.ok_or_else(damaged)?;
    let read = || {
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())?;
        let schema = builder.schema().clone();
        let rows = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let batches: Result<Vec<_>, _> = builder.with_batch_size(rows.max(1)).build()?.collect();
        Ok(concat_batches(&schema, &batches?)?)
    };
    guarded(read).map_err(|error| damaged().because(error.to_string()))
}
