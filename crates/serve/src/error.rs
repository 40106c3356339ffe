use std::io;

use miette::Diagnostic;
use thiserror::Error;

/// Why a service does not start.
#[derive(Debug, Error, Diagnostic)]
#[error("failed to {action}")]
pub struct ServeError {
    action: String,
    /// In which way.
    pub kind: ServeErrorKind,
    #[source]
    source: io::Error,
    #[help]
    help: Option<String>,
}

/// The ways in which a service does not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServeErrorKind {
    /// Another program listens on the address.
    AddressInUse,
    /// The address cannot be listened on.
    Address,
    /// The operating system gives no threads.
    Threads,
}

impl ServeError {
    pub(crate) fn address(address: &str, source: io::Error) -> Self {
        let (kind, help) = match source.kind() {
            io::ErrorKind::AddrInUse => (
                ServeErrorKind::AddressInUse,
                "another program listens there: choose another `--port` (0 picks a free one), or \
                 end that program",
            ),
            io::ErrorKind::PermissionDenied => {
                (ServeErrorKind::Address, "ports below 1024 need rights: choose a higher `--port`")
            }
            _ => (ServeErrorKind::Address, "check `--host` and `--port`"),
        };
        Self { action: format!("listen on {address}"), kind, source, help: Some(help.into()) }
    }

    pub(crate) fn threads(source: io::Error) -> Self {
        let action = "start the worker threads".into();
        Self { action, kind: ServeErrorKind::Threads, source, help: None }
    }
}
