//! Packages of PyPI, by the ordinary `pip download`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use mesh_core::{Cancel, Digest, Progress, Unit, digest_file};
use tokio::process::Command;

use crate::{SourceError, SourceErrorKind};

/// How often a waiting download looks whether it should stop.
const GLANCE: Duration = Duration::from_millis(100);

/// A package, and where it is put.
pub(crate) struct Package<'a> {
    pub(crate) url: &'a str,
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) sha256: Digest,
    pub(crate) folder: &'a Path,
}

impl Package<'_> {
    /// Downloads the wheel or sdist that has the pinned digest; gives its path.
    pub(crate) async fn download(
        &self,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<PathBuf, SourceError> {
        let io = |error| SourceError::io(self.url, self.folder, error);
        let requirements = self.folder.join("requirements.txt");
        let line = format!("{}=={} --hash=sha256:{}\n", self.name, self.version, self.sha256);
        fs::write(&requirements, line).map_err(io)?;
        let target = self.folder.join("downloaded");
        let label = format!("pip download {} {}", self.name, self.version);
        let task = progress.begin(&label, None, Unit::Bytes);
        let child = Command::new("python3")
            .args(["-m", "pip", "download", "--no-deps", "--require-hashes", "--quiet"])
            .args(["--disable-pip-version-check", "--no-input", "--progress-bar", "off"])
            .arg("--dest")
            .arg(&target)
            .arg("--requirement")
            .arg(&requirements)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| self.tool().because(error))?;
        let mut output = std::pin::pin!(child.wait_with_output());
        let output = loop {
            if let Ok(done) = tokio::time::timeout(GLANCE, &mut output).await {
                break done.map_err(|error| self.tool().because(error))?;
            }
            cancel.check().map_err(|_| SourceError::new(self.url, SourceErrorKind::Interrupted))?;
        };
        drop(task);
        if !output.status.success() {
            return Err(self.explain(&String::from_utf8_lossy(&output.stderr)));
        }
        let file = fs::read_dir(&target)
            .map_err(io)?
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .next()
            .ok_or_else(|| self.tool().because("pip said that it was done and left nothing"))?;
        let (found, _) = digest_file(&file).map_err(io)?;
        if found != self.sha256 {
            let kind = SourceErrorKind::Digest { expected: self.sha256, found };
            return Err(SourceError::new(self.url, kind));
        }
        Ok(file)
    }

    fn tool(&self) -> SourceError {
        SourceError::new(self.url, SourceErrorKind::Tool("python3 -m pip".into())).help(
            "pypi:// sources are fetched by pip: install it (on Debian: `apt-get install \
             python3-pip`), then run again",
        )
    }

    /// What pip's complaint means.
    fn explain(&self, complaint: &str) -> SourceError {
        let got = complaint.lines().find_map(|line| line.trim().strip_prefix("Got"));
        if let Some(found) = got.and_then(|hex| hex.trim().parse().ok()) {
            let kind = SourceErrorKind::Digest { expected: self.sha256, found };
            return SourceError::new(self.url, kind);
        }
        if complaint.contains("No matching distribution") {
            return SourceError::new(self.url, SourceErrorKind::NotFound)
                .help(format!("`pip index versions {}` lists what there is", self.name));
        }
        if complaint.contains("No module named pip") {
            return self.tool();
        }
        let last: Vec<_> = complaint.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = last.iter().rev().take(3).rev().copied().collect::<Vec<_>>().join("\n");
        SourceError::new(self.url, SourceErrorKind::Network("pip failed".into())).because(last)
    }
}
