//! Sources on this machine: a file, a folder, a pattern.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use mesh_core::{Digest, digest_file};

use crate::{Fetcher, SourceError, SourceErrorKind, archive::Matcher};

impl Fetcher {
    /// The files that a path on this machine names, each with its path below the folder that
    /// the name starts from.
    pub(crate) fn local_files(
        &self,
        url: &str,
        path: &Path,
    ) -> Result<Vec<(String, PathBuf)>, SourceError> {
        let path = self.root.join(path);
        if path.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Ok(vec![(name, path)]);
        }
        let text = path.to_str().ok_or_else(|| SourceError::new(url, SourceErrorKind::Url))?;
        let fixed = text.find(['*', '?', '[', '{']);
        let folder = match fixed {
            Some(at) => {
                Path::new(text.get(..at).and_then(|t| t.rsplit_once('/')).map_or("/", |t| t.0))
            }
            None => &path,
        };
        let mut found = Vec::new();
        walk(folder, &mut found).map_err(|error| {
            SourceError::io(url, folder, error).help(format!(
                "{} must exist; the path is relative to the manifest's folder",
                folder.display()
            ))
        })?;
        let matcher = Matcher::new(text)
            .map_err(|error| SourceError::new(url, SourceErrorKind::Url).because(error))?;
        let mut files = Vec::new();
        for file in found {
            let name = file.to_str().unwrap_or_default().trim_start_matches('/');
            if let Some(relative) = matcher.relative(name) {
                files.push((relative, file));
            }
        }
        files.sort();
        if files.is_empty() {
            return Err(SourceError::new(url, SourceErrorKind::NoMatch(text.to_owned())));
        }
        Ok(files)
    }

    /// The digest of local files: of the content for one file, of the list of paths and
    /// contents for several.
    pub(crate) fn local_digest(
        &self,
        url: &str,
        files: &[(String, PathBuf)],
    ) -> Result<Digest, SourceError> {
        let digest = |path: &Path| {
            self.cached_digest(path).map_err(|error| SourceError::io(url, path, error))
        };
        if let [(_, path)] = files {
            return digest(path);
        }
        let mut list = String::new();
        for (name, path) in files {
            list.push_str(&format!("{} {name}\n", digest(path)?));
        }
        Ok(Digest::of(list.as_bytes()))
    }

    /// A file's digest, remembered by its place, length and time of change.
    fn cached_digest(&self, path: &Path) -> io::Result<Digest> {
        let found = fs::metadata(path)?;
        if !found.is_file() {
            // A pipe would be waited for, a device may never end.
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let changed = found.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let place = fs::canonicalize(path)?;
        let identity = format!("{} {} {}", place.display(), found.len(), changed.as_nanos());
        let folder = self.cache.join("digests");
        let note = folder.join(Digest::of(identity.as_bytes()).to_string());
        if let Some(digest) = fs::read_to_string(&note).ok().and_then(|text| text.parse().ok()) {
            return Ok(digest);
        }
        let (digest, _) = digest_file(path)?;
        // A file that changed a moment ago may change again within the clock's resolution.
        if changed.elapsed_since_now() > SETTLED_SECONDS {
            fs::create_dir_all(&folder)?;
            let temporary = tempfile::NamedTempFile::new_in(&folder)?;
            fs::write(temporary.path(), digest.to_string())?;
            temporary.persist(note).map_err(|error| error.error)?;
        }
        Ok(digest)
    }
}

const SETTLED_SECONDS: u64 = 2;

trait ElapsedSinceNow {
    fn elapsed_since_now(&self) -> u64;
}

impl ElapsedSinceNow for std::time::Duration {
    /// Whole seconds from this point after 1970 until now.
    fn elapsed_since_now(&self) -> u64 {
        let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.saturating_sub(*self).as_secs()
    }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { walk(&path, found)? } else { found.push(path) }
    }
    Ok(())
}
