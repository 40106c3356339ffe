//! What the program prints.

use std::{
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use tracing_subscriber::{EnvFilter, fmt};

use crate::args::{Global, LogFormat};

/// Starts the logs, on standard error.
pub(crate) fn init_logs(global: &Global) {
    let filter = EnvFilter::try_new(&global.log).unwrap_or_else(|_| EnvFilter::new("warn"));
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours);
    // A second initialisation (a program that embeds this one) keeps the first.
    let _ = match global.log_format {
        LogFormat::Human => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

/// Whether something could not be printed.
static LOST: AtomicBool = AtomicBool::new(false);

/// Prints a line. A closed pipe (`mesh status | head`) is no error; a full disk is one, as whoever
/// reads the file would take a part for the whole: [`is_whole`] tells.
pub(crate) fn line(text: impl AsRef<str>) {
    let written = writeln!(io::stdout().lock(), "{}", text.as_ref());
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
        && !LOST.swap(true, Ordering::Relaxed)
    {
        let _ = writeln!(io::stderr().lock(), "failed to write to standard output: {error}");
    }
}

/// Whether all that was printed could be written.
pub(crate) fn is_whole() -> bool {
    !LOST.load(Ordering::Relaxed)
}

/// Prints a value as JSON.
pub(crate) fn json<T: Serialize>(value: &T) {
    if let Ok(text) = serde_json::to_string_pretty(value) {
        line(text);
    }
}

/// A table for people.
pub(crate) fn table<H: AsRef<str>>(header: &[H]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header.iter().map(AsRef::as_ref));
    table
}

/// Bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::DecimalBytes(count).to_string()
}
