use std::path::{Path, PathBuf};

use mesh_text::Dialect;

use crate::{ArchiveError, ArchiveErrorKind};

/// A file or a folder of files, each with documents in rows.
#[derive(Debug, Clone)]
pub struct Archive {
    pub(crate) files: Vec<PathBuf>,
    /// The folder that they lie in, if that was asked for.
    pub(crate) folder: Option<PathBuf>,
    passed: Vec<PathBuf>,
    pub(crate) format: Format,
}

/// How documents are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// An object of JSON per line.
    Jsonl,
    /// Values between commas, with a header.
    Csv,
    /// Values between tabs, with a header.
    Tsv,
}

impl Archive {
    /// An archive: a file, or all files of one format that lie in a folder, in the order of their
    /// names.
    ///
    /// # Errors
    /// When it is not there, its format is not known, or a folder holds files of several.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let told = || path.display().to_string();
        let about = path.metadata().map_err(|error| ArchiveError::open(path, error))?;
        if !about.is_dir() {
            let format = Format::of(path).ok_or_else(|| ArchiveError::format(path))?;
            let (files, passed) = (vec![path.to_owned()], Vec::new());
            return Ok(Self { files, folder: None, passed, format });
        }
        let entries = path.read_dir().map_err(|error| ArchiveError::open(path, error))?;
        let (mut files, mut passed) = (Vec::new(), Vec::new());
        for entry in entries {
            let file = entry.map_err(|error| ArchiveError::open(path, error))?.path();
            match Format::of(&file) {
                Some(format) if file.is_file() && !is_aside(&file) => files.push((file, format)),
                _ if is_aside(&file) => {}
                _ => passed.push(file),
            }
        }
        passed.sort();
        files.sort_by(|(one, _), (two, _)| one.cmp(two));
        let first = files.first().map(|(_, format)| *format);
        let format = first.ok_or_else(|| ArchiveError::new(ArchiveErrorKind::Empty(told())))?;
        if files.iter().any(|(_, other)| *other != format) {
            return Err(ArchiveError::new(ArchiveErrorKind::Mixed(told())));
        }
        let files = files.into_iter().map(|(file, _)| file).collect();
        Ok(Self { files, folder: Some(path.to_owned()), passed, format })
    }

    /// What lies in the folder and is no part of the archive, as it is a folder or its name tells
    /// no format. What is hidden, or begins with `_` as marks of other programs do, is not told.
    #[must_use]
    pub fn passed_over(&self) -> &[PathBuf] {
        &self.passed
    }

    /// Its files, in the order in which they are read.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

impl Format {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::Jsonl => "JSONL",
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
        }
    }

    /// The format that the name of a file tells.
    #[must_use]
    pub fn of(file: &Path) -> Option<Self> {
        match file.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "parquet" => Some(Self::Parquet),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            _ => None,
        }
    }

    /// How the values of a row are told apart.
    pub(crate) const fn dialect(self) -> Dialect {
        if matches!(self, Self::Tsv) { Dialect::TSV } else { Dialect::CSV }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a file is hidden, or a mark of another program.
fn is_aside(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(['.', '_']))
}
