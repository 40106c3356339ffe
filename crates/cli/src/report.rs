//! How the program fails: one report, one exit code.

use std::{
    io::{self, Write},
    process::ExitCode,
};

mod once;

use mesh_archive::{ArchiveError, ArchiveErrorKind};
use mesh_backfill::{BackfillError, Ending};
use mesh_core::{ArtifactError, LoadError, manifest::ManifestError};
use mesh_pipeline::{PipelineError, PipelineErrorKind};
use mesh_prepare::PrepareError;
use mesh_serve::ServeError;
use mesh_show::{AdminKeyError, ExportError};
use mesh_source::SourceError;
use mesh_store::{BackfillId, StoreError};
use miette::Diagnostic;
use serde_json::json;
use thiserror::Error;

use once::{Once, told};

/// The work failed.
pub(crate) const FAILED: u8 = 1;
/// The command was wrong.
pub(crate) const USAGE: u8 = 2;
/// A gate refused the result.
pub(crate) const REFUSED: u8 = 3;
/// Somebody stopped it.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command failed.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum CliError {
    /// Steps could not be assessed or run.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Pipeline(#[from] PipelineError),
    /// The store or the registry failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// A source cannot be had.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Source(#[from] SourceError),
    /// A table cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Prepare(#[from] PrepareError),
    /// A manifest cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Manifest(#[from] ManifestError),
    /// A file of an artifact cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Artifact(#[from] ArtifactError),
    /// A model cannot be loaded.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Load(#[from] LoadError),
    /// An archive cannot be gone through.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Archive(#[from] ArchiveError),
    /// An archive cannot be enriched.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Backfill(#[from] BackfillError),
    /// A service does not start.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Serve(#[from] ServeError),
    /// A page cannot be written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Export(#[from] ExportError),
    /// The admin key is none.
    #[error(transparent)]
    #[diagnostic(transparent)]
    AdminKey(#[from] AdminKeyError),
    /// The models that a backfill was begun with cannot be loaded any more.
    #[error("failed to go on with backfill {id}, whose models cannot be loaded")]
    #[diagnostic(help(
        "{}or give it up, `mesh backfill cancel {id}`, and begin anew with the version that there is",
        source.help().map(|help| format!("{help}; ")).unwrap_or_default()
    ))]
    Gone {
        /// The backfill.
        id: BackfillId,
        /// Why.
        #[source]
        source: Box<Self>,
    },
    /// The operating system refused.
    #[error("failed to {action} {place}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// The command was wrong.
    #[error("failed to {action}")]
    #[diagnostic(help("{help}"))]
    Usage {
        /// What was tried.
        action: String,
        /// What to do instead.
        help: String,
    },
}

impl CliError {
    pub(crate) fn io(action: &'static str, place: impl ToString, source: io::Error) -> Self {
        Self::Io { action, place: place.to_string(), source }
    }

    pub(crate) fn usage(action: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Usage { action: action.into(), help: help.into() }
    }

    /// What a backfill that was begun fails with, where its models are in the way.
    pub(crate) fn of_begun(self, id: BackfillId) -> Self {
        match self {
            Self::Pipeline(_) | Self::Artifact(_) | Self::Load(_) => {
                Self::Gone { id, source: Box::new(self) }
            }
            other => other,
        }
    }

    /// The exit code of a program that ends with it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Pipeline(error) => match error.kind() {
                PipelineErrorKind::Failed => FAILED,
                PipelineErrorKind::Usage => USAGE,
                PipelineErrorKind::Gate => REFUSED,
                PipelineErrorKind::Interrupted => INTERRUPTED,
            },
            Self::Archive(error) => match error.kind {
                ArchiveErrorKind::Read(_)
                | ArchiveErrorKind::Write(_)
                | ArchiveErrorKind::TooLong { .. }
                | ArchiveErrorKind::Changed => FAILED,
                ArchiveErrorKind::Interrupted => INTERRUPTED,
                _ => USAGE,
            },
            Self::Backfill(error) => match error.ending() {
                Ending::Failed => FAILED,
                Ending::Usage => USAGE,
                Ending::Gate => REFUSED,
                Ending::Interrupted => INTERRUPTED,
            },
            Self::Usage { .. } => USAGE,
            _ => FAILED,
        }
    }
}

/// Prints an error for people, and with `json` for programs too.
pub(crate) fn fail(error: &CliError, json: bool) -> ExitCode {
    let code = error.exit_code();
    if json {
        crate::output::json(&json!({ "error": describe(error), "exit_code": code }));
    }
    print(error);
    ExitCode::from(code)
}

/// An error as JSON: its text, what caused it, what to do.
pub(crate) fn describe(error: &dyn Diagnostic) -> serde_json::Value {
    let (message, causes) = told(error);
    let help = error.help().or_else(|| error.diagnostic_source()?.help()).map(|h| h.to_string());
    let related: Vec<_> = error.related().into_iter().flatten().map(describe).collect();
    json!({ "message": message, "causes": causes, "help": help, "related": related })
}

/// Prints what is wrong with a command line, or the help that it asks for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        let text = error.to_string();
        let message = text.trim().strip_prefix("error: ").unwrap_or(&text);
        let none = serde_json::Value::Null;
        crate::output::json(&json!({
            "error": { "message": message, "causes": [], "help": none, "related": [] },
            "exit_code": USAGE,
        }));
    }
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE))
}

/// Prints an error for people.
pub(crate) fn print(error: &dyn Diagnostic) {
    let mut text = String::new();
    let handler = miette::GraphicalReportHandler::new_themed(theme()).with_width(100);
    // One that has another report in it is told as it is.
    let rendered = match error.diagnostic_source() {
        Some(_) => handler.render_report(&mut text, error),
        None => handler.render_report(&mut text, &Once::of(error)),
    };
    // Nobody may be there to read it any more: the exit code tells all the same.
    if rendered.is_ok() {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

fn theme() -> miette::GraphicalTheme {
    use std::io::IsTerminal;
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if colours {
        miette::GraphicalTheme::unicode()
    } else {
        miette::GraphicalTheme::unicode_nocolor()
    }
}
