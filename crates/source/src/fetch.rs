use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use mesh_core::{Cancel, Digest, Progress, digest_file};
use mesh_store::{Lock, Locks};

use crate::{
    Origin, SourceError, SourceErrorKind, SourceUrl,
    archive::{Unpack, is_archive, split_at_archive},
    http::{Transfer, hub_address},
    hub::HubModel,
    pypi::Package,
};

/// Fetches sources, and keeps what it fetched.
#[derive(Debug, Clone)]
pub struct Fetcher {
    pub(crate) cache: PathBuf,
    pub(crate) root: PathBuf,
}

/// A source that is wanted.
#[derive(Clone)]
pub struct Request {
    /// Where it comes from.
    pub url: SourceUrl,
    /// The digest of what is fetched; must be there unless the source is on this machine.
    pub sha256: Option<Digest>,
    /// Where the transfer is shown.
    pub progress: Arc<dyn Progress>,
    /// Whether to stop.
    pub cancel: Cancel,
}

/// A source that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// What steps take as the digest of this source: of the fetched bytes and the path inside.
    pub digest: Digest,
    /// Its files, each with its path inside the source, sorted.
    pub files: Vec<(String, PathBuf)>,
}

impl Fetcher {
    /// A fetcher that keeps what it fetches in `cache`, and takes `file:` paths as relative to
    /// `root`.
    #[must_use]
    pub fn new(cache: &Path, root: &Path) -> Self {
        Self { cache: cache.to_owned(), root: root.to_owned() }
    }

    /// Where it keeps what it fetches.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// The digest of a source, without fetching it where it is pinned.
    ///
    /// # Errors
    /// When it is not pinned and not on this machine, or cannot be read.
    pub fn digest(&self, url: &SourceUrl, sha256: Option<Digest>) -> Result<Digest, SourceError> {
        match (url.origin(), sha256) {
            (_, Some(pinned)) => Ok(with_inner(pinned, url)),
            (Origin::File(path), None) => {
                let name = url.to_string();
                let files = self.local_files(&name, &outermost(path))?;
                let digest = self.local_digest(&name, &files)?;
                Ok(with_inner(digest, url))
            }
            _ => Err(SourceError::new(url, SourceErrorKind::Url)
                .help("a source that is fetched must be pinned: add its `sha256`")),
        }
    }

    /// The digest that pins a source: of the file that is fetched or, for a folder and for a model
    /// of a hub, of its files. Fetches what is not on this machine.
    ///
    /// # Errors
    /// When it is not there or cannot be transferred; for `pypi://`, where the index tells digests.
    pub async fn pin(&self, request: &Request) -> Result<Digest, SourceError> {
        let url = &request.url;
        let name = url.to_string();
        match url.origin() {
            Origin::File(path) => {
                let files = self.local_files(&name, &outermost(path))?;
                self.local_digest(&name, &files)
            }
            Origin::Hub { repository, revision, path } if path.is_empty() => {
                let model = HubModel { fetcher: self, request, repository, revision };
                Ok(model.fetch(None).await?.0)
            }
            Origin::Pypi { .. } => Err(SourceError::new(url, SourceErrorKind::Url)
                .help("the index lists the sha256 of every file: `pip download --no-deps`, then `mesh source pin <file>`")),
            origin => {
                let folder = self.cache.join("partial");
                let io = |error| SourceError::io(&name, &folder, error);
                fs::create_dir_all(&folder).map_err(io)?;
                let partial = folder.join(Digest::of(name.as_bytes()).to_string());
                let transfer = Transfer {
                    url: &name,
                    partial: &partial,
                    progress: request.progress.as_ref(),
                    cancel: &request.cancel,
                };
                let file = transferred(&transfer, origin).await?;
                let (found, _) = digest_file(&partial).map_err(io)?;
                let kept = self.cache.join("files").join(found.to_string());
                if kept.is_dir() {
                    fs::remove_file(&partial).map_err(io)?;
                } else {
                    fs::create_dir_all(&kept).map_err(io)?;
                    fs::rename(&partial, kept.join(file)).map_err(io)?;
                }
                Ok(found)
            }
        }
    }

    /// Fetches what is not here yet, verifies it, unpacks it; gives its files.
    ///
    /// # Errors
    /// When it is not there, has another digest, cannot be transferred or unpacked.
    pub async fn fetch(&self, request: &Request) -> Result<Fetched, SourceError> {
        let url = &request.url;
        let name = url.to_string();
        if let Origin::File(path) = url.origin() {
            return self.fetch_local(request, &name, path);
        }
        let digest = self.digest(url, request.sha256)?;
        let Some(pinned) = request.sha256 else {
            return Err(SourceError::new(url, SourceErrorKind::Url));
        };
        let _one_at_a_time = self.lock(&name, &pinned.to_string())?;
        if let Origin::Hub { repository, revision, path } = url.origin()
            && path.is_empty()
        {
            let model = HubModel { fetcher: self, request, repository, revision };
            let (digest, files) = model.fetch(Some(pinned)).await?;
            return Ok(Fetched { digest, files });
        }
        let file = self.download(request, &name, pinned).await?;
        let files = self.unpacked(request, &file, digest)?;
        Ok(Fetched { digest, files })
    }

    fn fetch_local(
        &self,
        request: &Request,
        name: &str,
        path: &Path,
    ) -> Result<Fetched, SourceError> {
        let outer = outermost(path);
        let files = self.local_files(name, &outer)?;
        let found = self.local_digest(name, &files)?;
        if let Some(expected) = request.sha256.filter(|expected| *expected != found) {
            return Err(SourceError::new(name, SourceErrorKind::Digest { expected, found }));
        }
        let digest = with_inner(found, &request.url);
        match files.as_slice() {
            [(name, file)]
                if request.url.inner().is_some() || outer != *path || name.ends_with(".gz") =>
            {
                let files = self.unpacked(request, file, digest)?;
                Ok(Fetched { digest, files })
            }
            _ => Ok(Fetched { digest, files }),
        }
    }

    /// The fetched file, from the cache or from where it comes from.
    async fn download(
        &self,
        request: &Request,
        url: &str,
        pinned: Digest,
    ) -> Result<PathBuf, SourceError> {
        let folder = self.cache.join("files").join(pinned.to_string());
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| SourceError::io(url, &path, error)
        };
        if let Some(file) = only_file(&folder) {
            let found = self.local_digest(url, &[(String::new(), file.clone())])?;
            if found == pinned {
                return Ok(file);
            }
            tracing::warn!(url, %pinned, %found, "the kept file was changed: it is fetched anew");
            fs::remove_dir_all(&folder).map_err(io(&folder))?;
        }
        let partial_folder = self.cache.join("partial");
        fs::create_dir_all(&partial_folder).map_err(io(&partial_folder))?;
        let staging = tempfile::tempdir_in(&partial_folder).map_err(io(&partial_folder))?;
        let partial = partial_folder.join(pinned.to_string());
        let transfer = Transfer {
            url,
            partial: &partial,
            progress: request.progress.as_ref(),
            cancel: &request.cancel,
        };
        let (file, name) = match request.url.origin() {
            Origin::Pypi { name, version } => {
                let folder = staging.path();
                let package = Package { url, name, version, sha256: pinned, folder };
                let file = package.download(transfer.progress, transfer.cancel).await?;
                let name = file_name(&file.to_string_lossy());
                (file, name)
            }
            origin => (partial.clone(), transferred(&transfer, origin).await?),
        };
        let (found, _) = digest_file(&file).map_err(io(&file))?;
        if found != pinned {
            // What was fetched is of no use: the next try starts from nothing.
            fs::remove_file(&file).map_err(io(&file))?;
            return Err(SourceError::new(url, SourceErrorKind::Digest { expected: pinned, found }));
        }
        let finished = staging.path().join("finished");
        fs::create_dir(&finished).map_err(io(&finished))?;
        fs::rename(&file, finished.join(&name)).map_err(io(&file))?;
        fs::create_dir_all(self.cache.join("files")).map_err(io(&self.cache))?;
        fs::rename(&finished, &folder).map_err(io(&folder))?;
        Ok(folder.join(name))
    }

    /// Waits until no other process works on what is named so.
    fn lock(&self, url: &str, name: &str) -> Result<Lock, SourceError> {
        let waiting = || tracing::info!(url, "waiting for another mesh");
        let lock = Locks::new(&self.cache.join("locks")).work(name, waiting);
        lock.map_err(|error| {
            SourceError::new(url, SourceErrorKind::Io("no lock".into())).because(error)
        })
    }

    /// The files that the path inside names, unpacked once.
    fn unpacked(
        &self,
        request: &Request,
        file: &Path,
        digest: Digest,
    ) -> Result<Vec<(String, PathBuf)>, SourceError> {
        let url = request.url.to_string();
        let name = file_name(&file.to_string_lossy());
        let inner = match request.url.origin() {
            Origin::File(path) => inner_of(path, request.url.inner()),
            _ => request.url.inner().unwrap_or_default().to_owned(),
        };
        if inner.is_empty() && !is_archive(&name) && !name.ends_with(".gz") {
            return Ok(vec![(name, file.to_owned())]);
        }
        let parent = self.cache.join("unpacked");
        let target = parent.join(digest.to_string());
        let note = parent.join(format!("{digest}.sha256"));
        let io = |error| SourceError::io(&url, &target, error);
        let _one_at_a_time = self.lock(&url, &format!("unpack-{digest}"))?;
        if let Some(files) = self.unpacked_before(&url, &target, &note)? {
            return Ok(files);
        }
        fs::create_dir_all(&parent).map_err(io)?;
        let staging = tempfile::tempdir_in(&parent).map_err(io)?;
        let content = staging.path().join("content");
        fs::create_dir(&content).map_err(io)?;
        let unpack = Unpack { url: &url, cancel: &request.cancel };
        if is_archive(&name) {
            let pattern = match request.url.origin() {
                Origin::Pypi { .. } if name.ends_with(".tar.gz") => {
                    // An sdist holds everything in one folder named like itself.
                    format!("{}/{inner}", name.trim_end_matches(".tar.gz"))
                }
                _ => inner,
            };
            unpack.select(file, &name, &pattern, &content)?;
        } else {
            gunzip(file, &content.join(name.trim_end_matches(".gz"))).map_err(io)?;
        }
        decompress_members(&content).map_err(io)?;
        fs::rename(&content, &target).map_err(io)?;
        let files = sorted_files(&target).map_err(io)?;
        // Who is killed before this unpacks again.
        fs::write(&note, self.local_digest(&url, &files)?.to_string()).map_err(io)?;
        Ok(files)
    }

    /// The files of an archive that was unpacked before, if they are still what they were then:
    /// else what is there is removed.
    fn unpacked_before(
        &self,
        url: &str,
        target: &Path,
        note: &Path,
    ) -> Result<Option<Vec<(String, PathBuf)>>, SourceError> {
        let io = |error| SourceError::io(url, target, error);
        if !target.exists() {
            return Ok(None);
        }
        let noted = fs::read_to_string(note).ok().and_then(|text| text.parse::<Digest>().ok());
        let files = sorted_files(target).map_err(io)?;
        if noted.is_some() && !files.is_empty() && noted == Some(self.local_digest(url, &files)?) {
            return Ok(Some(files));
        }
        if noted.is_some() {
            tracing::warn!(url, "unpacked files were changed: they are unpacked anew");
        }
        fs::remove_dir_all(target).map_err(io)?;
        Ok(None)
    }
}

/// Transfers the one file of an origin; gives its name.
async fn transferred(transfer: &Transfer<'_>, origin: &Origin) -> Result<String, SourceError> {
    match origin {
        Origin::Hub { repository, revision, path } => {
            let (address, token) = hub_address(repository, revision, path);
            transfer.http(&address, token.as_deref()).await?;
            Ok(file_name(path))
        }
        Origin::S3(address) => {
            transfer.s3(address).await?;
            Ok(file_name(address))
        }
        Origin::Http(address) => {
            transfer.http(address, None).await?;
            Ok(file_name(address.split(['?', '#']).next().unwrap_or(address)))
        }
        Origin::File(_) | Origin::Pypi { .. } => {
            Err(SourceError::new(transfer.url, SourceErrorKind::Url))
        }
    }
}

/// The digest of a source as steps see it: another path inside the same file is another source.
fn with_inner(digest: Digest, url: &SourceUrl) -> Digest {
    let inner = match url.origin() {
        Origin::File(path) => inner_of(path, url.inner()),
        _ => url.inner().unwrap_or_default().to_owned(),
    };
    if inner.is_empty() { digest } else { Digest::of(format!("{digest} {inner}").as_bytes()) }
}

/// For `file:a/b.zip/c.csv`, the path of the archive.
fn outermost(path: &Path) -> PathBuf {
    let text = path.to_string_lossy();
    split_at_archive(&text).map_or_else(|| path.to_owned(), |(outer, _)| PathBuf::from(outer))
}

/// For `file:a/b.zip/c.csv`, the path inside the archive.
fn inner_of(path: &Path, inner: Option<&str>) -> String {
    let text = path.to_string_lossy();
    let own = split_at_archive(&text).map(|(_, inner)| inner);
    [own, inner].into_iter().flatten().collect::<Vec<_>>().join("/")
}

fn file_name(path: &str) -> String {
    path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("data").to_owned()
}

fn only_file(folder: &Path) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.filter_map(Result::ok).map(|entry| entry.path()).next()
}

/// All files of a folder, sorted by their paths in it.
pub(crate) fn sorted_files(folder: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    list(folder, folder, &mut files)?;
    files.sort();
    Ok(files)
}

pub(crate) fn list(
    folder: &Path,
    root: &Path,
    files: &mut Vec<(String, PathBuf)>,
) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, root, files)?;
        } else if let Ok(relative) = path.strip_prefix(root) {
            files.push((relative.to_string_lossy().into_owned(), path.clone()));
        }
    }
    Ok(())
}

fn decompress_members(folder: &Path) -> std::io::Result<()> {
    let mut files = Vec::new();
    list(folder, folder, &mut files)?;
    for (name, path) in files {
        if name.ends_with(".gz") && !is_archive(&name) {
            gunzip(&path, &path.with_extension(""))?;
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn gunzip(from: &Path, to: &Path) -> std::io::Result<()> {
    let reader = std::io::BufReader::new(fs::File::open(from)?);
    let mut reader = flate2::read::MultiGzDecoder::new(reader);
    std::io::copy(&mut reader, &mut fs::File::create(to)?).map(|_| ())
}
