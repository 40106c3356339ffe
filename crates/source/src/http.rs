//! Files of web servers, hubs and buckets: fetched in pieces that are kept, so that a cut
//! transfer goes on where it was cut.

use std::{env, fs, path::Path, time::Duration};

use futures::StreamExt;
use mesh_core::{Cancel, Progress, Unit};
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use reqwest::{StatusCode, header};
use tokio::io::AsyncWriteExt;

use crate::{SourceError, SourceErrorKind};

/// Tries before a transfer is given up; each that brought bytes starts the count again.
const TRIES: u32 = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// A server that sends nothing for so long counts as gone.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// One transfer: from where, to which file, told to whom.
pub(crate) struct Transfer<'a> {
    pub(crate) url: &'a str,
    pub(crate) partial: &'a Path,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) cancel: &'a Cancel,
}

enum Fault {
    /// Worth another try.
    Passing(String),
    Final(SourceError),
}

impl Transfer<'_> {
    /// Fetches from a web server; `token` is sent as a bearer token.
    pub(crate) async fn http(&self, address: &str, token: Option<&str>) -> Result<(), SourceError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .user_agent(concat!("mesh/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| self.network(&chain(&error)))?;
        self.with_retries(async |have| {
            let mut request = client.get(address);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            if have > 0 {
                request = request.header(header::RANGE, format!("bytes={have}-"));
            }
            let response = request.send().await.map_err(|error| Fault::Passing(chain(&error)))?;
            let status = response.status();
            let resumed = status == StatusCode::PARTIAL_CONTENT;
            if status == StatusCode::RANGE_NOT_SATISFIABLE {
                // All of it is here already, or what is here is of another file: the digest
                // tells.
                return Ok(());
            }
            if !status.is_success() {
                return Err(self.refused(status));
            }
            let start = if resumed { have } else { 0 };
            let total = response.content_length().map(|length| length + start);
            let stream = response.bytes_stream().map(|part| part.map_err(|e| chain(&e)));
            self.receive(start, total, stream).await
        })
        .await
    }

    /// Fetches an object of a bucket.
    pub(crate) async fn s3(&self, address: &str) -> Result<(), SourceError> {
        let place = mesh_store::open_objects(address)
            .map_err(|error| SourceError::new(self.url, SourceErrorKind::Url).because(error))?;
        self.with_retries(async |have| {
            let head = place.store.head(&place.path).await.map_err(|error| self.object(error))?;
            if have >= head.size && have > 0 {
                return Ok(());
            }
            let range = (have > 0).then_some(GetRange::Offset(have));
            let options = GetOptions { range, ..GetOptions::default() };
            let got =
                place.store.get_opts(&place.path, options).await.map_err(|e| self.object(e))?;
            let stream = got.into_stream().map(|part| part.map_err(|error| chain(&error)));
            self.receive(have, Some(head.size), stream).await
        })
        .await
    }

    async fn with_retries(
        &self,
        attempt: impl AsyncFn(u64) -> Result<(), Fault>,
    ) -> Result<(), SourceError> {
        let have = || fs::metadata(self.partial).map_or(0, |found| found.len());
        let mut tries = 0;
        loop {
            let before = have();
            let reason = match attempt(before).await {
                Ok(()) => return Ok(()),
                Err(Fault::Final(error)) => return Err(error),
                Err(Fault::Passing(reason)) => reason,
            };
            tries = if have() > before { 1 } else { tries + 1 };
            if tries >= TRIES {
                return Err(self.network(&reason));
            }
            tracing::warn!(url = self.url, tries, reason, "the transfer was cut, trying again");
            tokio::time::sleep(FIRST_PAUSE * 2u32.pow(tries - 1)).await;
            self.check()?;
        }
    }

    async fn receive(
        &self,
        start: u64,
        total: Option<u64>,
        stream: impl futures::Stream<Item = Result<bytes::Bytes, String>>,
    ) -> Result<(), Fault> {
        let io = |error| Fault::Final(SourceError::io(self.url, self.partial, error));
        let mut file = tokio::fs::File::options()
            .create(true)
            .write(true)
            .truncate(start == 0)
            .append(start > 0)
            .open(self.partial)
            .await
            .map_err(io)?;
        let name = self.url.rsplit('/').next().unwrap_or(self.url);
        let task = self.progress.begin(&format!("fetch {name}"), total, Unit::Bytes);
        task.advance(start);
        let mut stream = std::pin::pin!(stream);
        let mut received = start;
        while let Some(part) = stream.next().await {
            self.check().map_err(Fault::Final)?;
            let part = part.map_err(Fault::Passing)?;
            file.write_all(&part).await.map_err(io)?;
            received += part.len() as u64;
            task.advance(part.len() as u64);
        }
        file.flush().await.map_err(io)?;
        file.sync_all().await.map_err(io)?;
        match total {
            Some(total) if received < total => {
                Err(Fault::Passing(format!("cut after {received} of {total} bytes")))
            }
            _ => Ok(()),
        }
    }

    fn refused(&self, status: StatusCode) -> Fault {
        let error = |kind| Fault::Final(SourceError::new(self.url, kind));
        match status {
            StatusCode::NOT_FOUND | StatusCode::GONE => error(SourceErrorKind::NotFound),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let denied =
                    SourceError::new(self.url, SourceErrorKind::Denied(status.to_string()));
                Fault::Final(denied.help(
                    "set HF_TOKEN for a hub, the AWS variables or profile for a bucket; a web \
                     server that needs a password is not supported",
                ))
            }
            status
                if status.is_server_error()
                    || status == StatusCode::TOO_MANY_REQUESTS
                    || status == StatusCode::REQUEST_TIMEOUT =>
            {
                Fault::Passing(status.to_string())
            }
            status => error(SourceErrorKind::Network(status.to_string())),
        }
    }

    fn object(&self, error: object_store::Error) -> Fault {
        use object_store::Error;
        let kind = match &error {
            Error::NotFound { .. } => SourceErrorKind::NotFound,
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                SourceErrorKind::Denied("by the bucket".into())
            }
            _ => return Fault::Passing(chain(&error)),
        };
        Fault::Final(SourceError::new(self.url, kind).because(error))
    }

    fn network(&self, reason: &str) -> SourceError {
        SourceError::new(self.url, SourceErrorKind::Network(reason.to_owned()))
    }

    fn check(&self) -> Result<(), SourceError> {
        let stopped = |_| SourceError::new(self.url, SourceErrorKind::Interrupted);
        self.cancel.check().map_err(stopped)
    }
}

/// The address and the token of a file of a model hub, by the variables that its own tools use.
pub(crate) fn hub_address(
    repository: &str,
    revision: &str,
    path: &str,
) -> (String, Option<String>) {
    let endpoint = env::var("HF_ENDPOINT").unwrap_or_else(|_| "https://huggingface.co".into());
    let address =
        format!("{}/{repository}/resolve/{revision}/{path}", endpoint.trim_end_matches('/'));
    let saved = || {
        let home = env::var_os("HF_HOME").map(std::path::PathBuf::from).or_else(|| {
            Some(std::path::PathBuf::from(env::var_os("HOME")?).join(".cache/huggingface"))
        })?;
        fs::read_to_string(home.join("token")).ok()
    };
    let token = env::var("HF_TOKEN").ok().or_else(saved).map(|token| token.trim().to_owned());
    (address, token.filter(|token| !token.is_empty()))
}

/// An error with what caused it: HTTP clients keep the reason deep down.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
