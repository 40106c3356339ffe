//! Models of a hub: not one file, but the few that make a model.

use std::{
    fs,
    path::{Path, PathBuf},
};

use mesh_core::Digest;

use crate::{
    Fetcher, Request, SourceError, SourceErrorKind,
    fetch::sorted_files,
    http::{Transfer, hub_address},
};

/// The files of a model, and whether it is none without them.
const FILES: [(&str, bool); 5] = [
    ("config.json", true),
    ("tokenizer.json", true),
    ("model.safetensors", true),
    ("1_Pooling/config.json", false),
    ("sentence_bert_config.json", false),
];

/// A model of a hub.
pub(crate) struct HubModel<'a> {
    pub(crate) fetcher: &'a Fetcher,
    pub(crate) request: &'a Request,
    pub(crate) repository: &'a str,
    pub(crate) revision: &'a str,
}

impl HubModel<'_> {
    /// Fetches the model unless it is here; gives its digest, that of a folder, and its files.
    pub(crate) async fn fetch(
        &self,
        pinned: Option<Digest>,
    ) -> Result<(Digest, Vec<(String, PathBuf)>), SourceError> {
        let url = self.request.url.to_string();
        let models = self.fetcher.cache().join("models");
        let io = |error| SourceError::io(&url, &models, error);
        if let Some(digest) = pinned {
            let folder = models.join(digest.to_string());
            if folder.is_dir() {
                let files = sorted_files(&folder).map_err(io)?;
                let found = self.fetcher.local_digest(&url, &files)?;
                if found == digest {
                    return Ok((digest, files));
                }
                tracing::warn!(url, %digest, %found, "kept files were changed: they are fetched anew");
                fs::remove_dir_all(&folder).map_err(io)?;
            }
        }
        // A name of its own, so that what was cut goes on where it was.
        let staging =
            self.fetcher.cache().join("partial").join(Digest::of(url.as_bytes()).to_string());
        for (name, needed) in FILES {
            self.file(&staging, &url, name, needed).await?;
        }
        let files = sorted_files(&staging.join("done")).map_err(io)?;
        let found = self.fetcher.local_digest(&url, &files)?;
        if let Some(expected) = pinned.filter(|expected| *expected != found) {
            fs::remove_dir_all(&staging).map_err(io)?;
            return Err(SourceError::new(&url, SourceErrorKind::Digest { expected, found }));
        }
        let folder = models.join(found.to_string());
        fs::create_dir_all(&models).map_err(io)?;
        if !folder.is_dir() {
            fs::rename(staging.join("done"), &folder).map_err(io)?;
        }
        fs::remove_dir_all(&staging).map_err(io)?;
        Ok((found, sorted_files(&folder).map_err(io)?))
    }

    async fn file(
        &self,
        staging: &Path,
        url: &str,
        name: &str,
        needed: bool,
    ) -> Result<(), SourceError> {
        let (partial, done) = (staging.join("partial").join(name), staging.join("done").join(name));
        if done.is_file() {
            return Ok(());
        }
        for path in [&partial, &done] {
            let folder = path.parent().unwrap_or(staging);
            fs::create_dir_all(folder).map_err(|error| SourceError::io(url, folder, error))?;
        }
        let (address, token) = hub_address(self.repository, self.revision, name);
        let told = format!("{url}/{name}");
        let transfer = Transfer {
            url: &told,
            partial: &partial,
            progress: self.request.progress.as_ref(),
            cancel: &self.request.cancel,
        };
        match transfer.http(&address, token.as_deref()).await {
            Err(error) if !needed && error.kind == SourceErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                fs::rename(&partial, &done).map_err(|error| SourceError::io(url, &done, error))
            }
        }
    }
}
