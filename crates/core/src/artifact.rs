use std::{
    fmt, fs, io,
    num::NonZero,
    panic::resume_unwind,
    path::{Path, PathBuf},
    str::FromStr,
    thread,
};

use miette::Diagnostic;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Digest, StepName, canonical_json, digest_file};

/// The version of the format of artifact manifests.
pub const ARTIFACT_FORMAT: u32 = 2;

const MANIFEST_FILE: &str = "artifact.json";

/// What an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ArtifactKind {
    /// What prepare leaves: Parquet splits, schema, statistics, rejected rows.
    Dataset,
    /// What train leaves: weights, vocabulary, label set, model card.
    Model,
    /// What compile leaves for one target.
    Compiled,
}

/// One file of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Path inside the artifact, with `/` between its parts.
    pub path: String,
    /// Length in bytes.
    pub size: u64,
    /// Digest of the content.
    pub digest: Digest,
}

/// What a step was given to make an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputEntry {
    /// What it was to the step: `source`, `dataset`, `model`.
    pub role: String,
    /// Digest of the artifact or of the source.
    pub digest: Digest,
}

/// Who made an artifact: the step, its code version and its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Producer {
    /// The step that made it.
    pub step: StepName,
    /// The version of the step's code.
    pub code: u32,
    /// The step's parameters.
    pub parameters: serde_json::Value,
}

/// What an artifact is, what is in it, and where it came from.
///
/// The digest of its canonical JSON is the artifact's name, so it holds nothing that differs
/// between two runs of the same step on the same inputs: no time, no machine, no duration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactManifest {
    /// The version of this format: [`ARTIFACT_FORMAT`].
    pub format: u32,
    /// What the artifact is.
    pub kind: ArtifactKind,
    /// Its files, sorted by path.
    pub files: Vec<FileEntry>,
    /// Who made it.
    pub producer: Producer,
    /// What it was made from, sorted by role.
    pub inputs: Vec<InputEntry>,
    /// A few facts for people and pages: row counts, headline metrics.
    pub summary: serde_json::Value,
}

/// An artifact as a local folder, its files verified against its manifest.
#[derive(Debug, Clone)]
pub struct ArtifactDir {
    path: PathBuf,
    digest: Digest,
    manifest: ArtifactManifest,
}

/// What went wrong with an artifact, and at which file.
#[derive(Debug, Error, Diagnostic)]
#[error("failed to read artifact {name}: {kind}")]
#[diagnostic(help(
    "`mesh run` makes it again from its inputs; of an older version, whose manifest was another, \
     it cannot: `mesh model promote` takes another version"
))]
pub struct ArtifactError {
    name: String,
    /// What exactly was wrong.
    pub kind: ArtifactErrorKind,
    #[source]
    source: Option<io::Error>,
}

/// The ways in which reading an artifact fails.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ArtifactErrorKind {
    /// The folder or its manifest is not there.
    #[error("it is not in the store")]
    Missing,
    /// The manifest is not the one that the name promises.
    #[error("its manifest is damaged: expected digest {expected}, found {found}")]
    Manifest {
        /// The digest in the artifact's name.
        expected: Digest,
        /// The digest of what is there.
        found: Digest,
    },
    /// The manifest has a format that this program does not know.
    #[error("its manifest cannot be understood: {0}")]
    Format(String),
    /// A file is missing or has another content.
    #[error("its file `{0}` is damaged or missing")]
    File(String),
    /// A file of that name is not part of the artifact.
    #[error("it holds no file `{0}`")]
    NoSuchFile(String),
    /// The operating system refused.
    #[error("`{0}` cannot be read")]
    Io(String),
}

impl ArtifactManifest {
    /// The artifact's name.
    ///
    /// # Errors
    /// When the summary or the parameters cannot be written as JSON.
    pub fn digest(&self) -> Result<Digest, serde_json::Error> {
        Digest::of_json(self)
    }

    /// Lists and digests the files below `dir`, in the order of their paths.
    ///
    /// # Errors
    /// When a file cannot be read, or a path is not Unicode.
    pub fn scan(dir: &Path) -> io::Result<Vec<FileEntry>> {
        let mut files = Vec::new();
        let mut folders = vec![dir.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let relative = path.strip_prefix(dir).map_err(io::Error::other)?;
                let parts: Option<Vec<_>> = relative.iter().map(|part| part.to_str()).collect();
                let parts = parts.ok_or_else(|| io::Error::other("a path is not Unicode"))?;
                let name = parts.join("/");
                if name == MANIFEST_FILE {
                    continue;
                }
                let (digest, size) = digest_file(&path)?;
                files.push(FileEntry { path: name, size, digest });
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// The size in bytes of the files below `dir`, the manifest left out, without reading them.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub fn scan_sizes(dir: &Path) -> io::Result<u64> {
        let mut size = 0;
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let found = entry.metadata()?;
            if found.is_dir() {
                size += Self::scan_sizes(&entry.path())?;
            } else if entry.file_name() != MANIFEST_FILE {
                size += found.len();
            }
        }
        Ok(size)
    }

    /// Writes the manifest into an artifact's folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        fs::write(dir.join(MANIFEST_FILE), canonical_json(self).map_err(io::Error::other)?)
    }

    /// Reads a manifest from its text, as found in an artifact's folder.
    ///
    /// # Errors
    /// When the text is not a manifest of a format known here.
    pub fn parse(text: &str) -> Result<Self, ArtifactErrorKind> {
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        let format = |error: serde_json::Error| ArtifactErrorKind::Format(error.to_string());
        let Versioned { format: found } = serde_json::from_str(text).map_err(format)?;
        if found != ARTIFACT_FORMAT {
            let text = format!("format {found}, this program reads {ARTIFACT_FORMAT}");
            return Err(ArtifactErrorKind::Format(text));
        }
        serde_json::from_str(text).map_err(format)
    }

    /// The name of the manifest's file inside an artifact's folder.
    #[must_use]
    pub const fn file_name() -> &'static str {
        MANIFEST_FILE
    }
}

impl ArtifactDir {
    /// Opens the folder of an artifact and verifies every byte of it.
    ///
    /// # Errors
    /// When the folder is missing, or its manifest or one of its files is not what the digest
    /// promises.
    pub fn open(path: &Path, digest: Digest) -> Result<Self, ArtifactError> {
        let artifact = Self::open_unverified(path, digest)?;
        let files = &artifact.manifest.files;
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let share = files.len().div_ceil(threads).max(1);
        let verify = |files: &[FileEntry]| files.iter().try_for_each(|file| artifact.verify(file));
        thread::scope(|scope| {
            let mut shares = files.chunks(share);
            let first = shares.next().unwrap_or_default();
            let others: Vec<_> = shares.map(|files| scope.spawn(move || verify(files))).collect();
            let mut verified = verify(first);
            for other in others {
                verified = verified.and(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
            }
            verified
        })?;
        Ok(artifact)
    }

    fn verify(&self, file: &FileEntry) -> Result<(), ArtifactError> {
        let damaged = |source| self.error(ArtifactErrorKind::File(file.path.clone()), source);
        let (found, size) =
            digest_file(&self.path.join(&file.path)).map_err(|error| damaged(Some(error)))?;
        match found == file.digest && size == file.size {
            true => Ok(()),
            false => Err(damaged(None)),
        }
    }

    /// Opens the folder of an artifact and verifies its manifest only: for lists and pages.
    ///
    /// # Errors
    /// When the folder is missing or its manifest is not what the digest promises.
    pub fn open_unverified(path: &Path, digest: Digest) -> Result<Self, ArtifactError> {
        let fail = |kind, source| ArtifactError { name: digest.short(), kind, source };
        let text = fs::read_to_string(path.join(MANIFEST_FILE)).map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::NotFound => ArtifactErrorKind::Missing,
                _ => ArtifactErrorKind::Io(MANIFEST_FILE.into()),
            };
            fail(kind, Some(error))
        })?;
        let found = Digest::of(text.as_bytes());
        if found != digest {
            return Err(fail(ArtifactErrorKind::Manifest { expected: digest, found }, None));
        }
        let manifest = ArtifactManifest::parse(&text).map_err(|kind| fail(kind, None))?;
        Ok(Self { path: path.to_owned(), digest, manifest })
    }

    /// The artifact's name.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// What it is and where it came from.
    #[must_use]
    pub const fn manifest(&self) -> &ArtifactManifest {
        &self.manifest
    }

    /// The folder that holds its files.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of one of its files.
    ///
    /// # Errors
    /// When the artifact's manifest does not list it.
    pub fn file(&self, name: &str) -> Result<PathBuf, ArtifactError> {
        if self.manifest.files.iter().any(|file| file.path == name) {
            return Ok(self.path.join(name));
        }
        Err(self.error(ArtifactErrorKind::NoSuchFile(name.to_owned()), None))
    }

    /// The text of one of its files.
    ///
    /// # Errors
    /// When the artifact does not list it, or it cannot be read as UTF-8.
    pub fn read(&self, name: &str) -> Result<String, ArtifactError> {
        let path = self.file(name)?;
        fs::read_to_string(path)
            .map_err(|error| self.error(ArtifactErrorKind::Io(name.to_owned()), Some(error)))
    }

    fn error(&self, kind: ArtifactErrorKind, source: Option<io::Error>) -> ArtifactError {
        ArtifactError { name: self.digest.short(), kind, source }
    }
}

impl ArtifactKind {
    /// The kind as it is written in manifests and lists.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dataset => "dataset",
            Self::Model => "model",
            Self::Compiled => "compiled",
        }
    }
}

impl fmt::Display for ArtifactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ArtifactKind {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        [Self::Dataset, Self::Model, Self::Compiled]
            .into_iter()
            .find(|kind| kind.as_str() == given)
            .ok_or_else(|| format!("unknown artifact kind `{given}`"))
    }
}
