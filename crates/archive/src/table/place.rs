use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::{Buf, Bytes};
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, path::Path as ObjectPath};
use tokio::runtime::Handle;

use crate::{ArchiveError, TableFile};

/// Where a file of a table is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Local(PathBuf),
    Object(Object),
}

/// An object, as it was when it was listed.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) bucket: Bucket,
    pub(super) path: ObjectPath,
    /// Its path, to name it by in errors.
    told: PathBuf,
    pub(super) bytes: u64,
    e_tag: Option<String>,
}

/// A store, and what runs its requests.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) runtime: Handle,
}

/// How long a file is, and what tells it from others that were there under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) bytes: u64,
    pub(super) stamp: String,
}

/// Reads an object from some byte on, block by block.
struct Stream {
    object: Object,
    at: u64,
    block: Bytes,
    /// How long the next block is: few rows are no reason to read much.
    length: u64,
}

/// The lengths of the first block that is read of an object, and of the longest.
const FIRST_BLOCK: u64 = 256 << 10;
const BLOCK: u64 = 4 << 20;

impl Place {
    /// The file, to name it by in errors.
    pub(super) fn told(&self) -> &Path {
        match self {
            Self::Local(path) => path,
            Self::Object(object) => &object.told,
        }
    }

    /// What it reads from some byte on.
    pub(super) fn read_from(&self, offset: u64) -> Result<Box<dyn Read>, ArchiveError> {
        match self {
            Self::Local(path) => {
                let opened = File::open(path).and_then(|mut file| {
                    file.seek(SeekFrom::Start(offset))?;
                    Ok(file)
                });
                Ok(Box::new(opened.map_err(|error| ArchiveError::open(path, error))?))
            }
            Self::Object(object) => Ok(object.read_from(offset)),
        }
    }

    /// Fails if the file is not the one that was found when the table was opened.
    pub(super) fn check(&self, file: &TableFile) -> Result<(), ArchiveError> {
        let now = match self {
            Self::Local(path) => {
                let about = path.metadata().map_err(|error| ArchiveError::open(path, error))?;
                Identity::of_file(&about)
            }
            Self::Object(Object { bucket, path, told, .. }) => {
                let found = bucket.runtime.block_on(bucket.store.head(path));
                Identity::of_object(&found.map_err(|error| ArchiveError::store(told, error))?)
            }
        };
        if now.bytes != file.bytes {
            let how = format!("it has {} bytes now, and had {}", now.bytes, file.bytes);
            return Err(ArchiveError::changed(self.told(), &how));
        }
        if now.stamp != file.stamp {
            return Err(ArchiveError::changed(self.told(), "it was written anew"));
        }
        Ok(())
    }
}

impl Object {
    pub(super) fn new(bucket: &Bucket, about: ObjectMeta) -> Self {
        let ObjectMeta { location: path, size: bytes, e_tag, .. } = about;
        Self { bucket: bucket.clone(), told: path.as_ref().into(), path, bytes, e_tag }
    }

    /// Some of its bytes, all of them.
    pub(super) fn get(&self, start: u64, length: u64) -> io::Result<Bytes> {
        let options = GetOptions {
            range: Some((start..start.saturating_add(length)).into()),
            // A part of another object under its name would be taken for a part of this one.
            if_match: self.e_tag.clone(),
            ..GetOptions::default()
        };
        let Bucket { store, runtime } = &self.bucket;
        let got = runtime
            .block_on(async { store.get_opts(&self.path, options).await?.bytes().await })
            .map_err(io::Error::other)?;
        if got.len() as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(got)
    }

    pub(super) fn read_from(&self, at: u64) -> Box<dyn Read> {
        Box::new(Stream { object: self.clone(), at, block: Bytes::new(), length: FIRST_BLOCK })
    }
}

impl Read for Stream {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.block.is_empty() {
            let length = self.length.min(self.object.bytes.saturating_sub(self.at));
            if length == 0 {
                return Ok(0);
            }
            self.block = self.object.get(self.at, length)?;
            self.at += length;
            self.length = (2 * self.length).min(BLOCK);
        }
        let read = (&*self.block).read(to)?;
        self.block.advance(read);
        Ok(read)
    }
}

impl Identity {
    pub(super) fn of_file(about: &std::fs::Metadata) -> Self {
        let stamp = i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec());
        Self { bytes: about.len(), stamp: stamp.to_string() }
    }

    pub(super) fn of_object(about: &ObjectMeta) -> Self {
        let written = || about.last_modified.to_rfc3339();
        Self { bytes: about.size, stamp: about.e_tag.clone().unwrap_or_else(written) }
    }
}
