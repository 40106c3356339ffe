use std::error::Error as StdError;

use miette::Diagnostic;
use thiserror::Error;

use crate::LogUrl;

/// A log that cannot be read or published to, and why.
#[derive(Debug, Error, Diagnostic)]
#[error("failed to {action}: {kind}")]
pub struct StreamError {
    action: String,
    /// In which way.
    pub kind: StreamErrorKind,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
    #[help]
    help: Option<String>,
}

/// The ways in which a log fails.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StreamErrorKind {
    /// What should say where a log is does not.
    #[error("`{0}` is no place of a stream")]
    Url(String),
    /// The server cannot be reached, or does not answer.
    #[error("{0} does not answer")]
    Away(String),
    /// The server does not let us in.
    #[error("{0} does not let us in")]
    Denied(String),
    /// Nobody whom we know vouches for the server.
    #[error("the certificate of {0} is not trusted")]
    Untrusted(String),
    /// There is no such log.
    #[error("{0}")]
    Unknown(String),
    /// The log is not of a kind that can be used.
    #[error("{0}")]
    Unfit(String),
    /// The log does not hold what was read of it: it lost its end, or was restored from a copy.
    #[error("{0}")]
    Rewritten(String),
    /// A message is longer than the log takes.
    #[error("a message of {bytes} bytes is longer than the {limit} bytes that the server takes")]
    TooLong {
        /// The length of the message.
        bytes: usize,
        /// What the server takes.
        limit: usize,
    },
    /// The log refuses messages.
    #[error("{0}")]
    Refused(String),
}

impl StreamError {
    pub(crate) fn new(action: impl Into<String>, kind: StreamErrorKind) -> Self {
        Self { action: action.into(), kind, source: None, help: None }
    }

    pub(crate) fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    pub(crate) fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// What is published would be read again, without end.
    #[must_use]
    pub fn loops(to: &LogUrl) -> Self {
        let what = format!("what is published to {to} would be read from there again");
        Self::new("follow the stream", StreamErrorKind::Unfit(what))
            .help("publish to a subject that is not followed")
    }

    /// Whether what was asked for is wrong, and no trying again helps.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        use StreamErrorKind as Kind;
        matches!(self.kind, Kind::Url(_) | Kind::Unknown(_) | Kind::Unfit(_) | Kind::Rewritten(_))
    }
}
