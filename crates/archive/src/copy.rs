use std::{
    fs::File,
    io::{BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use mesh_core::{NoProgress, ProgressTask};
use tempfile::NamedTempFile;

use crate::{
    Archive, ArchiveError, ArchiveErrorKind, Format, Watch, lines::Lines, parquet, read::Keep,
    records::Records,
};

/// A file that is there when it is whole, and not before.
#[derive(Debug)]
pub struct Unfinished {
    path: PathBuf,
    file: NamedTempFile,
}

impl Archive {
    /// Writes the rows that are to be kept, as they are and in their order, to one file of the
    /// archive's format. Gives how many rows there were.
    pub(crate) fn copy(
        &self,
        unfinished: &Unfinished,
        watch: Watch<'_>,
        mut keep: impl FnMut(u64) -> bool,
    ) -> Result<u64, ArchiveError> {
        let mut rows = 0;
        let mut keep = || {
            watch.cancel.check()?;
            rows += 1;
            Ok(keep(rows - 1))
        };
        let task = self.begin("write what remains", watch);
        let to = (unfinished.path.as_path(), unfinished.file.as_file());
        match self.format {
            Format::Parquet => parquet::copy(&self.files, to, task.as_ref(), &mut keep)?,
            _ => self.copy_text(to, task.as_ref(), &mut keep)?,
        }
        Ok(rows)
    }

    /// Fails if a copy cannot be put there: it would take the place of the archive, lie in its
    /// folder or have another format; or if it cannot be one file, as those of the archive have
    /// different columns.
    ///
    /// # Errors
    /// When that is so.
    pub fn check_copy(&self, output: &Path) -> Result<(), ArchiveError> {
        self.check_apart(output)?;
        if Format::of(output) != Some(self.format) {
            let (file, format) = (output.display().to_string(), self.format);
            return Err(ArchiveError::new(ArchiveErrorKind::OtherFormat { file, format }));
        }
        match self.format {
            Format::Parquet => self.check_alike(|file| Ok(parquet::schema(file)?.fields().clone())),
            Format::Jsonl => Ok(()),
            Format::Csv | Format::Tsv => self.check_alike(|file| {
                Ok(Records::open(file, self.format.dialect(), &NoProgress)?.names)
            }),
        }
    }

    /// Fails if a file that is written there would take the place of the archive, or be taken for
    /// a part of it.
    ///
    /// # Errors
    /// When that is so.
    pub fn check_apart(&self, output: &Path) -> Result<(), ArchiveError> {
        let is_part = output.canonicalize().is_ok_and(|output| {
            self.files.iter().any(|file| file.canonicalize().is_ok_and(|file| file == output))
        });
        let folder = || folder_of(output).canonicalize().ok();
        let is_inside = self.folder.as_ref().is_some_and(|archive| {
            Format::of(output).is_some() && archive.canonicalize().ok() == folder()
        });
        if is_part || is_inside {
            let told = output.display().to_string();
            return Err(ArchiveError::new(ArchiveErrorKind::Itself(told)));
        }
        Ok(())
    }

    fn check_alike<T: PartialEq>(
        &self,
        columns: impl Fn(&Path) -> Result<T, ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let Some((first, others)) = self.files.split_first() else { return Ok(()) };
        let expected = columns(first)?;
        for other in others {
            if columns(other)? != expected {
                let (file, first) = (other.display().to_string(), first.display().to_string());
                return Err(ArchiveError::new(ArchiveErrorKind::Unlike { file, first }));
            }
        }
        Ok(())
    }

    fn copy_text(
        &self,
        (output, to): (&Path, &File),
        task: &dyn ProgressTask,
        keep: Keep<'_>,
    ) -> Result<(), ArchiveError> {
        let mut writer = BufWriter::with_capacity(1 << 18, to);
        let mut write = |row: &[u8]| {
            // The last line of a file may have no end.
            let end: &[u8] = if row.ends_with(b"\n") { b"" } else { b"\n" };
            let written = writer.write_all(row).and_then(|()| writer.write_all(end));
            written.map_err(|error| ArchiveError::write(output, error))
        };
        for (at, file) in self.files.iter().enumerate() {
            if self.format == Format::Jsonl {
                let (mut lines, mut line) = (Lines::open(file, task)?, Vec::new());
                while lines.next_written(&mut line)?.is_some() {
                    if keep()? {
                        write(&line)?;
                    }
                }
                continue;
            }
            let mut records = Records::open(file, self.format.dialect(), task)?;
            if at == 0 {
                write(&records.header)?;
            }
            while let Some(record) = records.next()? {
                if keep()? {
                    write(&record.raw)?;
                }
            }
        }
        writer.flush().map_err(|error| ArchiveError::write(output, error))
    }
}

impl Unfinished {
    /// Begins a file beside its place.
    ///
    /// # Errors
    /// When no file can be made there.
    pub fn create(path: &Path) -> Result<Self, ArchiveError> {
        if path.is_dir() {
            return Err(ArchiveError::write(path, "it is a folder"));
        }
        let mut builder = tempfile::Builder::new();
        // Like any new file, not only for whoever made it.
        let builder = builder.prefix(".mesh-").permissions(PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(folder_of(path));
        let file = file.map_err(|error| ArchiveError::write(path, error))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Where it will be.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn as_file(&self) -> &File {
        self.file.as_file()
    }

    /// Puts the file in its place; what was there is replaced.
    ///
    /// # Errors
    /// When it cannot be written to the disk, or not be put there.
    pub fn finish(self) -> Result<(), ArchiveError> {
        let synced = self.file.as_file().sync_all();
        synced.map_err(|error| ArchiveError::write(&self.path, error))?;
        let put = self.file.persist(&self.path);
        put.map_err(|error| ArchiveError::write(&self.path, error.error))?;
        Ok(())
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
