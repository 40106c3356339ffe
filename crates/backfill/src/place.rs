use std::{
    collections::HashMap,
    error::Error as StdError,
    fs::{self, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{
    Error as ObjectError, ListResult, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    UpdateVersion, local::LocalFileSystem, path::Path as ObjectPath,
};
use tokio::runtime::Handle;

use crate::{BackfillError, BackfillErrorKind};

/// Where enrichments are kept: a folder, or a folder of a bucket.
///
/// Its methods wait for the network or the disk: they are called from threads of one's own, never
/// from an asynchronous task.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    local: Option<PathBuf>,
    runtime: Handle,
}

/// A file's bytes, and which version of it they are.
pub(crate) struct Versioned {
    pub(crate) bytes: Bytes,
    version: UpdateVersion,
}

impl Place {
    /// A folder; made if it is not there.
    pub(crate) fn folder(folder: &Path, runtime: Handle) -> Result<Self, BackfillError> {
        let fail = |error: Box<dyn std::error::Error + Send + Sync>| {
            let place = folder.display().to_string();
            BackfillError::new("keep enrichments", BackfillErrorKind::Write(place))
                .because(error)
                .help("see that the folder may be written, or name another by `enrichments`")
        };
        fs::create_dir_all(folder).map_err(|error| fail(error.into()))?;
        let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| fail(error.into()))?;
        let local = Some(folder.to_owned());
        Ok(Self { store: Arc::new(store), prefix: ObjectPath::default(), local, runtime })
    }

    /// A folder of a bucket.
    pub(crate) fn objects(
        store: Arc<dyn ObjectStore>,
        prefix: ObjectPath,
        runtime: Handle,
    ) -> Self {
        Self { store, prefix, local: None, runtime }
    }

    /// Another folder of this machine.
    pub(crate) fn elsewhere(&self, folder: &Path) -> Result<Self, BackfillError> {
        Self::folder(folder, self.runtime.clone())
    }

    /// The folder on this machine, if it is one.
    pub(crate) fn local(&self) -> Option<&Path> {
        self.local.as_deref()
    }

    /// A folder in it.
    pub(crate) fn below(&self, name: &str) -> Self {
        let mut place = self.clone();
        place.prefix = place.prefix.join(name);
        place.local = place.local.map(|folder| folder.join(name));
        place
    }

    /// Its name, for people.
    pub(crate) fn shown(&self, name: &str) -> String {
        match &self.local {
            Some(folder) => folder.join(name).display().to_string(),
            None => self.path(name).to_string(),
        }
    }

    /// The bytes of a file; nothing if there is none.
    pub(crate) fn get(&self, name: &str) -> Result<Option<Bytes>, BackfillError> {
        Ok(self.get_versioned(name)?.map(|found| found.bytes))
    }

    /// The bytes of a file and their version.
    pub(crate) fn get_versioned(&self, name: &str) -> Result<Option<Versioned>, BackfillError> {
        let read = match &self.local {
            Some(folder) => {
                let path = folder.join(name);
                let version = UpdateVersion { e_tag: None, version: None };
                let found = fs::read(&path).map_err(|error| of_file(&path, error));
                found.map(|bytes| Versioned { bytes: bytes.into(), version })
            }
            None => self.runtime.block_on(async {
                let found = self.store.get(&self.path(name)).await?;
                let meta = found.meta.clone();
                let version = UpdateVersion { e_tag: meta.e_tag, version: meta.version };
                Ok(Versioned { bytes: found.bytes().await?, version })
            }),
        };
        match read {
            Ok(found) => Ok(Some(found)),
            Err(ObjectError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.unreadable(name, error)),
        }
    }

    /// How long a file is; nothing if there is none.
    pub(crate) fn size(&self, name: &str) -> Result<Option<u64>, BackfillError> {
        let path = self.path(name);
        match self.runtime.block_on(self.store.head(&path)) {
            Ok(found) => Ok(Some(found.size)),
            Err(ObjectError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.unreadable(name, error)),
        }
    }

    /// Writes a file that is not there yet, as a whole or not at all; says whether it was written,
    /// else one was there.
    pub(crate) fn create(&self, name: &str, bytes: Bytes) -> Result<bool, BackfillError> {
        match self.put(name, bytes, PutMode::Create) {
            Ok(()) => Ok(true),
            Err(ObjectError::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(self.unwritable(name, error)),
        }
    }

    /// Writes a file, in the place of one that may be there, in one move.
    pub(crate) fn replace(&self, name: &str, bytes: Bytes) -> Result<(), BackfillError> {
        self.put(name, bytes, PutMode::Overwrite).map_err(|error| self.unwritable(name, error))
    }

    /// Writes a file in the place of the one that was read, in one move; says whether that one was
    /// still there. On this machine a lock keeps others away.
    pub(crate) fn swap(
        &self,
        name: &str,
        bytes: Bytes,
        old: Option<&Versioned>,
    ) -> Result<bool, BackfillError> {
        let mode = match old {
            Some(_) if self.local.is_some() => PutMode::Overwrite,
            Some(old) => PutMode::Update(old.version.clone()),
            None => PutMode::Create,
        };
        match self.put(name, bytes, mode) {
            Ok(()) => self.sync().map(|()| true),
            Err(ObjectError::AlreadyExists { .. } | ObjectError::Precondition { .. }) => Ok(false),
            Err(error) => Err(self.unwritable(name, error)),
        }
    }

    /// Gives a file another name, in one move on this machine; says whether there was one.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<bool, BackfillError> {
        let (old, new) = (self.path(from), self.path(to));
        match self.runtime.block_on(self.store.rename(&old, &new)) {
            Ok(()) => Ok(true),
            Err(ObjectError::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.unwritable(to, error)),
        }
    }

    /// Removes a file, if it is there.
    pub(crate) fn delete(&self, name: &str) -> Result<(), BackfillError> {
        let path = self.path(name);
        match self.runtime.block_on(self.store.delete(&path)) {
            Ok(()) | Err(ObjectError::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.unwritable(name, error)),
        }
    }

    /// The names of the folders in it.
    pub(crate) fn folders(&self) -> Result<Vec<String>, BackfillError> {
        let name =
            |path: &ObjectPath| path.parts().next_back().map(|part| part.as_ref().to_owned());
        Ok(self.listed()?.common_prefixes.iter().filter_map(name).collect())
    }

    /// The files in it, without those in folders of it, each with its length.
    pub(crate) fn lengths(&self) -> Result<HashMap<String, u64>, BackfillError> {
        let named = |file: &ObjectMeta| Some((file.location.filename()?.to_owned(), file.size));
        Ok(self.listed()?.objects.iter().filter_map(named).collect())
    }

    /// What is in it: nothing, if it is not there.
    fn listed(&self) -> Result<ListResult, BackfillError> {
        let prefix = (!self.prefix.as_ref().is_empty()).then_some(&self.prefix);
        match self.runtime.block_on(self.store.list_with_delimiter(prefix)) {
            Err(ObjectError::NotFound { .. }) => Ok(ListResult {
                common_prefixes: Vec::new(),
                objects: Vec::new(),
                extensions: Default::default(),
            }),
            listed => listed.map_err(|error| self.unreadable("", error)),
        }
    }

    /// Removes all files in it; says how many bytes they had.
    pub(crate) fn remove(&self) -> Result<u64, BackfillError> {
        let prefix = (!self.prefix.as_ref().is_empty()).then_some(&self.prefix);
        let removed = async {
            let files: Vec<_> = self.store.list(prefix).try_collect().await?;
            let mut bytes = 0;
            for file in files {
                self.store.delete(&file.location).await?;
                bytes += file.size;
            }
            Ok(bytes)
        };
        let bytes = match self.runtime.block_on(removed) {
            Ok(bytes) => bytes,
            Err(ObjectError::NotFound { .. }) => 0,
            Err(error) => return Err(self.unwritable("", error)),
        };
        if let Some(folder) = &self.local {
            // What is left are empty folders: nobody minds them.
            let _ = fs::remove_dir_all(folder);
        }
        Ok(bytes)
    }

    /// Waits until all that was written lies on the disk.
    pub(crate) fn sync(&self) -> Result<(), BackfillError> {
        let Some(folder) = &self.local else { return Ok(()) };
        let sync = || rustix::fs::syncfs(fs::File::open(folder)?).map_err(io::Error::from);
        sync().map_err(|error| {
            let kind = BackfillErrorKind::Write(folder.display().to_string());
            BackfillError::new("keep enrichments", kind)
                .because(error)
                .help("see to the disk, then go on: what is done stays done")
        })
    }

    fn put(&self, name: &str, bytes: Bytes, mode: PutMode) -> Result<(), ObjectError> {
        if let Some(folder) = &self.local {
            let path = folder.join(name);
            return write(&path, &bytes, &mode).map_err(|error| of_file(&path, error));
        }
        let (path, options) = (self.path(name), PutOptions::from(mode));
        self.runtime.block_on(self.store.put_opts(&path, bytes.into(), options)).map(drop)
    }

    fn path(&self, name: &str) -> ObjectPath {
        name.split('/')
            .filter(|part| !part.is_empty())
            .fold(self.prefix.clone(), |path, part| path.join(part))
    }

    fn unreadable(&self, name: &str, error: ObjectError) -> BackfillError {
        let help = format!("{}: what is done stays done", remedy(&error, "read"));
        BackfillError::new("read enrichments", BackfillErrorKind::Read(self.shown(name)))
            .because(error)
            .help(help)
    }

    fn unwritable(&self, name: &str, error: ObjectError) -> BackfillError {
        let help = format!("{}: what is done stays done", remedy(&error, "write"));
        BackfillError::new("write enrichments", BackfillErrorKind::Write(self.shown(name)))
            .because(error)
            .help(help)
    }
}

/// What is wrong with a file, as a store tells it.
fn of_file(path: &Path, error: io::Error) -> ObjectError {
    let (path, kind, source) = (path.display().to_string(), error.kind(), error.into());
    match kind {
        io::ErrorKind::NotFound => ObjectError::NotFound { path, source },
        io::ErrorKind::AlreadyExists => ObjectError::AlreadyExists { path, source },
        _ => ObjectError::Generic { store: "folder", source },
    }
}

/// Writes a file as a whole or not at all, and makes the folders that it lies in. In the place of
/// another only if the mode says so.
fn write(path: &Path, bytes: &[u8], mode: &PutMode) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // Readers of a folder of Parquet pass over names with a dot.
    let mut staged = tempfile::Builder::new();
    staged.prefix(".staged-").permissions(Permissions::from_mode(0o666));
    let mut file = match staged.tempfile_in(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            staged.tempfile_in(folder)?
        }
        staged => staged?,
    };
    file.write_all(bytes)?;
    let kept = match mode {
        PutMode::Create => file.persist_noclobber(path),
        _ => file.persist(path),
    };
    kept.map(drop).map_err(|refused| refused.error)
}

/// What to do about a place that does not give or take files.
fn remedy(error: &ObjectError, what: &str) -> String {
    let (mut next, mut found) = (Some(error as &(dyn StdError + 'static)), None);
    while let (Some(cause), None) = (next, found) {
        found = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        next = cause.source();
    }
    match found {
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            "the disk is full: make room, then go on".into()
        }
        Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
            format!("see that who runs this may {what} there, then go on")
        }
        Some(_) => "see to the disk, then go on".into(),
        None => match mesh_core::bucket_remedy(error) {
            Some(remedy) => format!("{remedy}; then go on"),
            None => format!("see that the store answers, and lets you {what} there, then go on"),
        },
    }
}
