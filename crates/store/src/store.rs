use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::{StreamExt, TryStreamExt};
use mesh_core::{ArtifactDir, ArtifactManifest, Digest};
use object_store::{
    ObjectStore, ObjectStoreExt, PutMode, PutPayload, WriteMultipart, path::Path as ObjectPath,
};

use crate::{Locks, ObjectLocation, StoreError, StoreErrorKind, open_objects};

/// Where artifacts live: a folder, or a bucket with a folder in front of it.
#[derive(Debug, Clone)]
pub struct ArtifactStore {
    /// Holds `artifacts/<digest>/`, `tmp/` and `locks/`; with a bucket, a cache of it.
    folder: PathBuf,
    bucket: Option<ObjectLocation>,
}

/// An artifact as the store lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub digest: Digest,
    /// Its size in bytes, without the manifest.
    pub size: u64,
}

/// A temporary folder on the store's disk, where an artifact is put together. Dropping it
/// removes it.
#[derive(Debug)]
pub struct Workbench {
    folder: tempfile::TempDir,
}

/// Parts of a multipart upload, and how many of them are under way at once.
const PART_BYTES: usize = 8 << 20;
const PARTS_AT_ONCE: usize = 4;

impl ArtifactStore {
    /// Opens the store at a folder (relative to `root`) or at `s3://bucket/path`, for which
    /// `<root>/.mesh/cache` keeps what was read.
    ///
    /// # Errors
    /// When the URL is not understood, or the folder cannot be made.
    pub fn open(url: &str, root: &Path) -> Result<Self, StoreError> {
        let (folder, bucket) = if url.contains("://") {
            (root.join(".mesh/cache"), Some(open_objects(url)?))
        } else {
            (root.join(url), None)
        };
        let store = Self { folder, bucket };
        for part in ["artifacts", "tmp"] {
            let path = store.folder.join(part);
            fs::create_dir_all(&path)
                .map_err(|error| StoreError::io("make the folder", &path, error))?;
        }
        Ok(store)
    }

    /// The locks between processes that use this store.
    #[must_use]
    pub fn locks(&self) -> Locks {
        Locks::new(&self.folder.join("locks"))
    }

    /// A place to put an artifact together.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn workbench(&self) -> Result<Workbench, StoreError> {
        let tmp = self.folder.join("tmp");
        let fail = |error| StoreError::io("make a temporary folder in", &tmp, error);
        let folder = tempfile::Builder::new().prefix("step-").tempdir_in(&tmp).map_err(fail)?;
        let bench = Workbench { folder };
        fs::create_dir(bench.output()).map_err(fail)?;
        fs::create_dir(bench.scratch()).map_err(fail)?;
        Ok(bench)
    }

    /// Makes the folder [`Workbench::output`] an artifact: all of it appears at once, under the
    /// digest of its manifest, or nothing does.
    ///
    /// # Errors
    /// When a file cannot be written, synced, moved or uploaded.
    pub async fn commit(
        &self,
        bench: Workbench,
        mut manifest: ArtifactManifest,
    ) -> Result<ArtifactDir, StoreError> {
        let this = self.clone();
        let committed = blocking(move || {
            let output = bench.output();
            let fail = |error| StoreError::io("commit the artifact in", &output, error);
            manifest.files = ArtifactManifest::scan(&output).map_err(fail)?;
            manifest.write(&output).map_err(fail)?;
            let digest = manifest.digest().map_err(|error| fail(error.into()))?;
            sync_tree(&output).map_err(fail)?;
            let place = this.local(digest);
            // Not only complete but whole: a damaged artifact is healed by making it again.
            if ArtifactDir::open(&place, digest).is_err() {
                replace(&output, &place, bench.folder.path()).map_err(fail)?;
            }
            Ok((digest, place))
        });
        let (digest, place) = committed.await?;
        if let Some(bucket) = &self.bucket {
            self.upload(bucket, digest, &place).await?;
        }
        ArtifactDir::open_unverified(&place, digest).map_err(|error| artifact(digest, error))
    }

    /// The artifact of that name, every byte of it verified.
    ///
    /// # Errors
    /// When it is not there or damaged.
    pub async fn get(&self, digest: Digest) -> Result<ArtifactDir, StoreError> {
        let place = self.local(digest);
        let verify = move || ArtifactDir::open(&place, digest).map_err(|e| artifact(digest, e));
        let Some(bucket) = &self.bucket else { return blocking(verify).await };
        if let Ok(cached) = blocking(verify.clone()).await {
            return Ok(cached);
        }
        self.download(bucket, digest).await?;
        blocking(verify).await
    }

    /// Whether the artifact is there, its manifest valid and its files of the right length.
    /// Quick; [`ArtifactStore::get`] verifies the content.
    pub async fn contains(&self, digest: Digest) -> bool {
        if is_complete(&self.local(digest), digest) {
            return true;
        }
        match &self.bucket {
            Some(bucket) => bucket.store.head(&manifest_path(bucket, digest)).await.is_ok(),
            None => false,
        }
    }

    /// What is in the store, sorted by digest.
    ///
    /// # Errors
    /// When the folder or the bucket cannot be listed.
    pub async fn list(&self) -> Result<Vec<Stored>, StoreError> {
        let mut found = match &self.bucket {
            None => self.list_local()?,
            Some(bucket) => list_bucket(bucket).await?,
        };
        found.sort_by_key(|stored| stored.digest);
        Ok(found)
    }

    /// Removes an artifact. Nobody who reads it later sees half of it.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub async fn remove(&self, digest: Digest) -> Result<(), StoreError> {
        let place = self.local(digest);
        let fail = |error| StoreError::io("remove the artifact", &place, error);
        if place.exists() {
            let away = self.workbench()?;
            fs::rename(&place, away.folder.path().join("removed")).map_err(fail)?;
        }
        let Some(bucket) = &self.bucket else { return Ok(()) };
        // The manifest first: what has none is not an artifact.
        let failed = |error| objects("remove the artifact", digest, error);
        bucket.store.delete(&manifest_path(bucket, digest)).await.map_err(failed)?;
        let prefix = artifact_path(bucket, digest);
        let rest: Vec<_> = bucket.store.list(Some(&prefix)).try_collect().await.map_err(failed)?;
        for object in rest {
            bucket.store.delete(&object.location).await.map_err(failed)?;
        }
        Ok(())
    }

    /// What killed processes left in the temporary folder; nobody may be running.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn leftovers(&self) -> Result<Vec<PathBuf>, StoreError> {
        let tmp = self.folder.join("tmp");
        let fail = |error| StoreError::io("list", &tmp, error);
        let entries = fs::read_dir(&tmp).map_err(fail)?;
        entries.map(|entry| entry.map(|entry| entry.path()).map_err(fail)).collect()
    }

    /// Where the artifact is, or would be, on this machine.
    #[must_use]
    pub fn local(&self, digest: Digest) -> PathBuf {
        self.folder.join("artifacts").join(digest.to_string())
    }

    fn list_local(&self) -> Result<Vec<Stored>, StoreError> {
        let folder = self.folder.join("artifacts");
        let fail = |error| StoreError::io("list", &folder, error);
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Ok(digest) = name.parse::<Digest>() else { continue };
            let size = ArtifactManifest::scan_sizes(&path).map_err(fail)?;
            found.push(Stored { digest, size });
        }
        Ok(found)
    }

    async fn upload(
        &self,
        bucket: &ObjectLocation,
        digest: Digest,
        place: &Path,
    ) -> Result<(), StoreError> {
        let failed = |error| objects("upload the artifact", digest, error);
        let local = ArtifactDir::open_unverified(place, digest).map_err(|e| artifact(digest, e))?;
        for file in &local.manifest().files {
            let target = child(&artifact_path(bucket, digest), &file.path);
            upload_file(&bucket.store, &target, &place.join(&file.path), failed).await?;
        }
        let text = fs::read(place.join(ArtifactManifest::file_name()))
            .map_err(|error| StoreError::io("read", place, error))?;
        let target = manifest_path(bucket, digest);
        let put = bucket.store.put_opts(&target, PutPayload::from(text), PutMode::Create.into());
        match put.await {
            // Somebody else made the same artifact: the same bytes.
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    async fn download(&self, bucket: &ObjectLocation, digest: Digest) -> Result<(), StoreError> {
        let failed = |error| objects("download the artifact", digest, error);
        let bench = self.workbench()?;
        let output = bench.output();
        let io = |error| StoreError::io("write below", &output, error);
        let text = bucket.store.get(&manifest_path(bucket, digest)).await.map_err(failed)?;
        let text = text.bytes().await.map_err(failed)?;
        let manifest = ArtifactManifest::parse(&String::from_utf8_lossy(&text))
            .map_err(|kind| artifact(digest, kind))?;
        for file in &manifest.files {
            let local = output.join(safe_relative(&file.path).map_err(io)?);
            fs::create_dir_all(local.parent().unwrap_or(&output)).map_err(io)?;
            let source = child(&artifact_path(bucket, digest), &file.path);
            let mut stream = bucket.store.get(&source).await.map_err(failed)?.into_stream();
            let mut out = fs::File::create(&local).map_err(io)?;
            while let Some(chunk) = stream.next().await {
                io::Write::write_all(&mut out, &chunk.map_err(failed)?).map_err(io)?;
            }
        }
        fs::write(output.join(ArtifactManifest::file_name()), &text).map_err(io)?;
        sync_tree(&output).map_err(io)?;
        replace(&output, &self.local(digest), bench.folder.path()).map_err(io)
    }
}

impl Workbench {
    /// The folder that becomes the artifact.
    #[must_use]
    pub fn output(&self) -> PathBuf {
        self.folder.path().join("output")
    }

    /// A folder for temporary files.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.folder.path().join("scratch")
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(StoreError::new(StoreErrorKind::Io, "work on the store").because(error))
    })
}

/// Moves a finished folder to its place. A damaged artifact in the place makes way: it is moved
/// aside first, as a folder cannot be replaced by another in one move.
fn replace(output: &Path, place: &Path, bench: &Path) -> io::Result<()> {
    if place.exists() {
        fs::rename(place, bench.join("damaged"))?;
    }
    match fs::rename(output, place) {
        // Another process put the same artifact there in between.
        Err(error) if place.exists() && error.kind() != io::ErrorKind::StorageFull => Ok(()),
        moved => moved,
    }?;
    sync(place.parent().unwrap_or(place))
}

/// Whether an artifact with a valid manifest and files of the right lengths is in a folder.
fn is_complete(place: &Path, digest: Digest) -> bool {
    ArtifactDir::open_unverified(place, digest).is_ok_and(|artifact| {
        artifact.manifest().files.iter().all(|file| {
            fs::metadata(place.join(&file.path)).is_ok_and(|found| found.len() == file.size)
        })
    })
}

fn sync(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { sync_tree(&path)? } else { sync(&path)? }
    }
    sync(folder)
}

/// A path of a manifest that stays below the folder that it is joined to.
fn safe_relative(path: &str) -> io::Result<&Path> {
    let relative = Path::new(path);
    let plain = |part| matches!(part, std::path::Component::Normal(_));
    if relative.components().all(plain) {
        return Ok(relative);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("the path `{path}` leads elsewhere")))
}

async fn upload_file(
    store: &Arc<dyn ObjectStore>,
    target: &ObjectPath,
    local: &Path,
    failed: impl Fn(object_store::Error) -> StoreError,
) -> Result<(), StoreError> {
    let io = |error| StoreError::io("read", local, error);
    let mut file = fs::File::open(local).map_err(io)?;
    let mut part = vec![0; PART_BYTES];
    let mut first = read_full(&mut file, &mut part).map_err(io)?;
    if first < PART_BYTES {
        part.truncate(first);
        return store.put(target, part.into()).await.map(|_| ()).map_err(failed);
    }
    let upload = store.put_multipart(target).await.map_err(&failed)?;
    let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
    while first > 0 {
        upload.wait_for_capacity(PARTS_AT_ONCE).await.map_err(&failed)?;
        upload.write(part.get(..first).unwrap_or_default());
        first = read_full(&mut file, &mut part).map_err(io)?;
    }
    upload.finish().await.map(|_| ()).map_err(failed)
}

fn read_full(file: &mut fs::File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match io::Read::read(file, rest)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

async fn list_bucket(bucket: &ObjectLocation) -> Result<Vec<Stored>, StoreError> {
    let folder = bucket.path.clone().join("artifacts");
    let failed =
        |error| StoreError::new(StoreErrorKind::Io, format!("list {folder}")).because(error);
    let mut stream = bucket.store.list(Some(&folder));
    let mut found: std::collections::BTreeMap<Digest, (bool, u64)> = Default::default();
    while let Some(object) = stream.next().await {
        let object = object.map_err(failed)?;
        let Some(mut parts) = object.location.prefix_match(&folder) else { continue };
        let Some(Ok(digest)) = parts.next().map(|part| part.as_ref().parse::<Digest>()) else {
            continue;
        };
        let entry = found.entry(digest).or_default();
        match object.location.filename() == Some(ArtifactManifest::file_name()) {
            true => entry.0 = true,
            false => entry.1 += object.size,
        }
    }
    let complete = found.into_iter().filter(|(_, (complete, _))| *complete);
    Ok(complete.map(|(digest, (_, size))| Stored { digest, size }).collect())
}

fn artifact_path(bucket: &ObjectLocation, digest: Digest) -> ObjectPath {
    bucket.path.clone().join("artifacts").join(digest.to_string())
}

fn manifest_path(bucket: &ObjectLocation, digest: Digest) -> ObjectPath {
    artifact_path(bucket, digest).join(ArtifactManifest::file_name())
}

fn child(folder: &ObjectPath, relative: &str) -> ObjectPath {
    relative.split('/').fold(folder.clone(), |path, part| path.join(part))
}

fn objects(action: &str, digest: Digest, error: object_store::Error) -> StoreError {
    let remedy = mesh_core::bucket_remedy(&error);
    let told = StoreError::new(StoreErrorKind::Io, format!("{action} {}", digest.short()));
    match remedy {
        Some(remedy) => told.because(error).help(remedy),
        None => told.because(error),
    }
}

fn artifact(
    digest: Digest,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::new(StoreErrorKind::Artifact, format!("use the artifact {}", digest.short()))
        .because(error)
        .help(
            "`mesh run` makes it again from its inputs; of an older version, whose manifest was \
             another, it cannot: `mesh model promote` takes another version",
        )
}
