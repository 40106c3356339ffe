//! JetStream, the logs of NATS.

use std::{
    error::Error as _,
    future::Future,
    io, iter,
    time::{Duration, Instant},
};

use async_nats::{
    Client, ConnectError, ConnectErrorKind, ConnectOptions,
    jetstream::{self, context::GetStreamErrorKind, stream::Stream},
};
use tokio::runtime::Handle;

mod read;
mod sink;
mod source;

pub use sink::NatsSink;
pub use source::NatsSource;

use crate::{LogUrl, StreamError, StreamErrorKind};

/// A connection to a server of NATS. Clones are the same connection, which is made again when it
/// breaks.
#[derive(Debug, Clone)]
pub struct Nats {
    client: Client,
    jetstream: jetstream::Context,
    /// The server, for people.
    shown: String,
    runtime: Handle,
}

/// How long a server may take to be reached at first.
const CONNECT: Duration = Duration::from_secs(10);
/// How long it may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may be away before we give up: longer than a restart takes.
const PATIENCE: Duration = Duration::from_secs(300);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The file with the credentials of whoever asks, as NATS's own tools know it.
const CREDENTIALS: &str = "NATS_CREDS";

impl Nats {
    /// Connects to the server of a log. Who asks is in the URL (`user:password@` or `token@`), or in
    /// the file that `NATS_CREDS` names.
    ///
    /// # Errors
    /// When the server cannot be reached, or does not let us in.
    pub fn connect(url: &LogUrl, runtime: &Handle) -> Result<Self, StreamError> {
        // TLS needs to know who computes; a second one to say so changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let shown = url.shown();
        let client = runtime.block_on(async {
            let options = options(url).await?;
            options.connect(url.server().as_str()).await.map_err(|error| {
                let (kind, help) = match error.kind() {
                    ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                        let help = format!(
                            "write nats://user:password@host:4222/..., or name a file of \
                             credentials by {CREDENTIALS}"
                        );
                        (StreamErrorKind::Denied(shown.clone()), help)
                    }
                    _ if is_untrusted(&error) => {
                        let help = "name the file with the certificate of its authority by \
                                    SSL_CERT_FILE";
                        (StreamErrorKind::Untrusted(shown.clone()), help.to_owned())
                    }
                    _ => {
                        let help = "see that it runs there, with JetStream: nats-server -js";
                        (StreamErrorKind::Away(shown.clone()), help.to_owned())
                    }
                };
                StreamError::new("connect to NATS", kind).help(help).because(error)
            })
        })?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(TIMEOUT);
        Ok(Self { client, jetstream, shown, runtime: runtime.clone() })
    }

    /// The messages of a stream, by its name, or of the subjects that a name with dots and
    /// wildcards stands for.
    ///
    /// # Errors
    /// When there is no such stream, or its messages go away by being read.
    pub fn source(&self, name: &str) -> Result<NatsSource, StreamError> {
        NatsSource::open(self.clone(), name)
    }

    /// The stream that keeps a subject, to publish to that.
    ///
    /// # Errors
    /// When no stream keeps it.
    pub fn sink(&self, subject: &str) -> Result<NatsSink, StreamError> {
        NatsSink::open(self.clone(), subject)
    }

    /// A stream by its name; nothing if there is none.
    async fn stream(&self, name: &str) -> Result<Option<Stream>, StreamError> {
        match self.jetstream.get_stream(name).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error) => match error.kind() {
                GetStreamErrorKind::InvalidStreamName | GetStreamErrorKind::EmptyName => Ok(None),
                GetStreamErrorKind::JetStream(ref told)
                    if told.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND =>
                {
                    Ok(None)
                }
                _ => Err(self.away("ask for the stream", error)),
            },
        }
    }

    /// The stream that keeps a subject; nothing if none does.
    async fn keeper(&self, subject: &str) -> Result<Option<Stream>, StreamError> {
        use jetstream::context::GetStreamByNameErrorKind as Kind;
        match self.jetstream.stream_by_subject(subject).await {
            Ok(name) => self.stream(&name).await,
            Err(error) => match error.kind() {
                Kind::NotFound | Kind::InvalidSubject => Ok(None),
                _ => Err(self.away("ask for the stream", error)),
            },
        }
    }

    fn away(
        &self,
        action: &str,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> StreamError {
        StreamError::new(action, StreamErrorKind::Away(self.shown.clone()))
            .because(error)
            .help("see that it runs with JetStream; what is done stays done: start again")
    }

    /// Tries until it works, until it cannot, or until patience ends.
    async fn patiently<T, F: Future<Output = Result<T, StreamError>>>(
        &self,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, StreamError> {
        let (started, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let passes = matches!(error.kind, StreamErrorKind::Away(_));
            if !passes || started.elapsed() > PATIENCE {
                return Err(error);
            }
            tracing::debug!(%error, "tried again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Whether a server was reached and its certificate refused.
fn is_untrusted(error: &ConnectError) -> bool {
    let first = error.source();
    iter::successors(first, |error| (*error).source()).any(|error| {
        let io = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner = io.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let told = inner.or_else(|| error.downcast_ref::<rustls::Error>());
        matches!(told, Some(rustls::Error::InvalidCertificate(_)))
    })
}

async fn options(url: &LogUrl) -> Result<ConnectOptions, StreamError> {
    let mut options = ConnectOptions::new()
        .name("mesh")
        .connection_timeout(CONNECT)
        .request_timeout(Some(TIMEOUT))
        .require_tls(url.server().scheme() == "tls");
    let server = url.server();
    options = match (server.username(), server.password()) {
        ("", _) => options,
        (token, None) => options.token(token.to_owned()),
        (user, Some(password)) => options.user_and_password(user.to_owned(), password.to_owned()),
    };
    match std::env::var_os(CREDENTIALS) {
        None => Ok(options),
        Some(file) => options.credentials_file(&file).await.map_err(|error| {
            let shown = file.to_string_lossy().into_owned();
            let what = format!("{CREDENTIALS} names {shown}, which cannot be read");
            StreamError::new("connect to NATS", StreamErrorKind::Unfit(what))
                .because(error)
                .help("name the file of credentials that `nsc` wrote")
        }),
    }
}
