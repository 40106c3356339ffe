//! Archives, and archives inside archives, read as folders.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Write},
    path::{Component, Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use globset::GlobBuilder;
use mesh_core::Cancel;

use crate::{SourceError, SourceErrorKind};

/// An archive that unpacks to more than this, and to more than [`MAX_RATIO`] times its own
/// size, is taken for a decompression bomb.
const SUSPICIOUS_BYTES: u64 = 1 << 30;
const MAX_RATIO: u64 = 200;

/// How many names of an archive an error shows.
const SHOWN_NAMES: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Zip,
    Tar,
    TarGz,
}

/// What is unpacked, and how it is told.
pub(crate) struct Unpack<'a> {
    pub(crate) url: &'a str,
    pub(crate) cancel: &'a Cancel,
}

/// Whether a file's name is one of an archive.
pub(crate) fn is_archive(name: &str) -> bool {
    kind_of(name).is_some()
}

fn kind_of(name: &str) -> Option<Kind> {
    let name = name.to_ascii_lowercase();
    let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| name.ends_with(suffix));
    match () {
        () if ends(&[".zip", ".whl", ".jar"]) => Some(Kind::Zip),
        () if ends(&[".tar.gz", ".tgz"]) => Some(Kind::TarGz),
        () if ends(&[".tar"]) => Some(Kind::Tar),
        () => None,
    }
}

impl Unpack<'_> {
    /// Unpacks what `pattern` names in the archive at `path` (called `name`) into `target`: one
    /// file, all files below a folder, or the files that a pattern matches. Paths in `target`
    /// are relative to the folder that the pattern starts from.
    pub(crate) fn select(
        &self,
        path: &Path,
        name: &str,
        pattern: &str,
        target: &Path,
    ) -> Result<(), SourceError> {
        let kind = kind_of(name).ok_or_else(|| self.damaged(name, "not a zip or tar archive"))?;
        if let Some((outer, rest)) = split_at_archive(pattern) {
            let nested = target.join(".nested");
            fs::create_dir_all(&nested).map_err(|e| SourceError::io(self.url, &nested, e))?;
            self.extract(path, name, kind, outer, &nested)?;
            let inner = outer.rsplit('/').next().unwrap_or(outer);
            self.select(&nested.join(inner), inner, rest, target)?;
            return fs::remove_dir_all(&nested).map_err(|e| SourceError::io(self.url, &nested, e));
        }
        self.extract(path, name, kind, pattern, target)
    }

    fn extract(
        &self,
        path: &Path,
        name: &str,
        kind: Kind,
        pattern: &str,
        target: &Path,
    ) -> Result<(), SourceError> {
        let open = || File::open(path).map_err(|error| SourceError::io(self.url, path, error));
        let size = open()?.metadata().map_or(0, |found| found.len());
        let mut sink = Sink {
            unpack: self,
            archive: name,
            matcher: Matcher::new(pattern).map_err(|error| self.damaged(name, &error))?,
            target,
            left: SUSPICIOUS_BYTES.max(size.saturating_mul(MAX_RATIO)),
            found: 0,
            seen: Vec::new(),
        };
        match kind {
            Kind::Zip => sink.zip(open()?)?,
            Kind::Tar => sink.tar(BufReader::new(open()?))?,
            Kind::TarGz => sink.tar(MultiGzDecoder::new(BufReader::new(open()?)))?,
        }
        if sink.found > 0 {
            return Ok(());
        }
        let seen = sink.seen.join(", ");
        Err(SourceError::new(self.url, SourceErrorKind::NoMatch(pattern.to_owned()))
            .help(format!("{name} holds, among others: {seen}")))
    }

    fn damaged(&self, name: &str, reason: &str) -> SourceError {
        SourceError::new(self.url, SourceErrorKind::Archive(name.to_owned()))
            .because(reason.to_owned())
    }
}

struct Sink<'a> {
    unpack: &'a Unpack<'a>,
    archive: &'a str,
    matcher: Matcher,
    target: &'a Path,
    left: u64,
    found: usize,
    seen: Vec<String>,
}

impl Sink<'_> {
    fn zip(&mut self, file: File) -> Result<(), SourceError> {
        let damaged =
            |error: zip::result::ZipError| self.unpack.damaged(self.archive, &error.to_string());
        let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
        for index in 0..archive.len() {
            let mut entry = archive
                .by_index(index)
                .map_err(|error| self.unpack.damaged(self.archive, &error.to_string()))?;
            let name = entry
                .name()
                .map_err(|error| self.unpack.damaged(self.archive, &error.to_string()))?
                .into_owned();
            if entry.is_file() {
                self.entry(&name, &mut entry)?;
            }
        }
        Ok(())
    }

    fn tar(&mut self, reader: impl Read) -> Result<(), SourceError> {
        let damaged =
            |this: &Self, error: io::Error| this.unpack.damaged(this.archive, &error.to_string());
        let mut archive = tar::Archive::new(reader);
        for entry in archive.entries().map_err(|error| damaged(self, error))? {
            let mut entry = entry.map_err(|error| damaged(self, error))?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            // Links are left out: they could lead out of the archive.
            if entry.header().entry_type().is_file() {
                self.entry(&name, &mut entry)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, name: &str, content: &mut dyn Read) -> Result<(), SourceError> {
        if self.seen.len() < SHOWN_NAMES {
            self.seen.push(name.to_owned());
        }
        let Some(relative) = self.matcher.relative(name) else { return Ok(()) };
        self.unpack.cancel.check().map_err(|error| {
            SourceError::new(self.unpack.url, SourceErrorKind::Interrupted).because(error)
        })?;
        let relative = safe(&relative).ok_or_else(|| {
            self.unpack.damaged(self.archive, &format!("`{name}` leads out of the archive"))
        })?;
        let local = self.target.join(relative);
        let io = |error| SourceError::io(self.unpack.url, &local, error);
        fs::create_dir_all(local.parent().unwrap_or(self.target)).map_err(io)?;
        let mut out = File::create(&local).map_err(io)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = content
                .read(&mut buffer)
                .map_err(|error| self.unpack.damaged(self.archive, &error.to_string()))?;
            if read == 0 {
                break;
            }
            self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
                self.unpack.damaged(self.archive, "it unpacks to more than 200 times its size")
            })?;
            out.write_all(buffer.get(..read).unwrap_or_default()).map_err(io)?;
        }
        self.found += 1;
        Ok(())
    }
}

/// Which paths of an archive or a folder a pattern names.
pub(crate) struct Matcher {
    /// The folder that the pattern starts from, with a `/` at its end, or empty.
    base: String,
    pattern: String,
    glob: Option<globset::GlobMatcher>,
}

impl Matcher {
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        let pattern = pattern.trim_matches('/').to_owned();
        let is_glob = pattern.contains(['*', '?', '[', '{']);
        let fixed = pattern.find(['*', '?', '[', '{']).unwrap_or(pattern.len());
        let folder = pattern.get(..fixed).unwrap_or_default().rfind('/').map_or(0, |at| at + 1);
        let glob = match is_glob {
            false => None,
            true => Some(
                GlobBuilder::new(&pattern)
                    .literal_separator(true)
                    .build()
                    .map_err(|error| error.to_string())?
                    .compile_matcher(),
            ),
        };
        Ok(Self { base: pattern.get(..folder).unwrap_or_default().to_owned(), pattern, glob })
    }

    /// The path relative to the pattern's folder, if the pattern names it.
    pub(crate) fn relative(&self, path: &str) -> Option<String> {
        let path = path.trim_start_matches("./");
        if let Some(glob) = &self.glob {
            return glob
                .is_match(path)
                .then(|| path.strip_prefix(&self.base).unwrap_or(path).to_owned());
        }
        if self.pattern.is_empty() {
            return Some(path.to_owned());
        }
        if path == self.pattern {
            return path.strip_prefix(&self.base).map(str::to_owned);
        }
        path.strip_prefix(&self.pattern)?.strip_prefix('/').map(str::to_owned)
    }
}

/// Splits a path after the first part that names an archive and is not the last part.
pub(crate) fn split_at_archive(pattern: &str) -> Option<(&str, &str)> {
    let mut end = 0;
    for part in pattern.split('/') {
        end += part.len();
        if end < pattern.len() && is_archive(part) && !part.contains('*') {
            return Some((pattern.get(..end)?, pattern.get(end + 1..)?));
        }
        end += 1;
    }
    None
}

fn safe(relative: &str) -> Option<PathBuf> {
    let path = PathBuf::from(relative);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    (plain && !relative.is_empty() && !relative.contains(['\0', '\\'])).then_some(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zipped() -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        for name in ["a/b.csv", "a/c/d.csv", "e.txt"] {
            writer.start_file(name, options).unwrap();
            writer.write_all(&b"some text, and more of it\n".repeat(20)).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn tarred() -> Vec<u8> {
        let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut builder = tar::Builder::new(encoder);
        for name in ["a/b.csv", "a/c/d.csv", "e.txt"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(4);
            header.set_cksum();
            builder.append_data(&mut header, name, &b"text"[..]).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    proptest! {
        #[test]
        fn damaged_archives_are_unpacked_or_told(
            zip: bool, at in 0usize..700, with: u8, cut in prop::option::of(0usize..700),
        ) {
            let (name, mut bytes) = if zip { ("x.zip", zipped()) } else { ("x.tar.gz", tarred()) };
            bytes.truncate(cut.unwrap_or(usize::MAX).min(bytes.len()));
            if let Some(byte) = bytes.get_mut(at) {
                *byte = with;
            }
            let folder = tempfile::tempdir().unwrap();
            let (path, target) = (folder.path().join(name), folder.path().join("out"));
            fs::write(&path, bytes).unwrap();
            fs::create_dir(&target).unwrap();
            let unpack = Unpack { url: "file:x", cancel: &Cancel::new() };
            let _ = unpack.select(&path, name, "a", &target);
            // Nothing is beside the target.
            prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        }
    }

    #[test]
    fn patterns_name_files_folders_and_globs() {
        let relative = |pattern: &str, path: &str| Matcher::new(pattern).unwrap().relative(path);
        assert_eq!(relative("a/b.csv", "a/b.csv").unwrap(), "b.csv");
        assert_eq!(relative("a/b", "a/b/c/d.txt").unwrap(), "c/d.txt");
        assert_eq!(relative("a/b", "a/bc/d.txt"), None);
        assert_eq!(relative("a/*.txt", "a/x.txt").unwrap(), "x.txt");
        assert_eq!(relative("a/*.txt", "a/b/x.txt"), None);
        assert_eq!(relative("a/**/*.txt", "a/b/x.txt").unwrap(), "b/x.txt");
        assert_eq!(relative("", "x").unwrap(), "x");
    }

    #[test]
    fn a_path_goes_on_inside_archives() {
        assert_eq!(split_at_archive("a/b.tar.gz/c/*.txt"), Some(("a/b.tar.gz", "c/*.txt")));
        assert_eq!(split_at_archive("a/b.tar.gz"), None);
        assert_eq!(split_at_archive("a/b/c"), None);
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        for bad in ["../x", "/etc/passwd", "a/../../x", "", "a\\..\\x"] {
            assert_eq!(safe(bad), None, "{bad}");
        }
    }
}
