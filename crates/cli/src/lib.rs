//! The `mesh` command: it parses, calls, prints.
//!
//! A company's own workspace with projects in Rust makes its own binary from this crate:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     mlmesh::run(Vec::new())
//! }
//! ```

mod args;
mod commands;
mod context;
mod live;
mod output;
mod progress;
mod projects;
mod reference;
mod report;
mod scaffold;

use std::process::ExitCode;

use clap::Parser;
use mesh_core::Registration;

pub use report::CliError;

use crate::{args::Args, context::Context};

/// Runs the command line, with the projects of one's own beside the tasks of the library.
#[must_use]
pub fn run(projects: Vec<Registration>) -> ExitCode {
    mesh_memory::settle();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return report::usage(&error),
    };
    output::init_logs(&args.global);
    let global = args.global.clone();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return report::fail(&CliError::io("start the threads", "", error), global.json);
        }
    };
    let context = Context::new(global.clone(), projects);
    let ended = runtime.block_on(async {
        context.watch_interrupts();
        commands::dispatch(&context, args.command).await
    });
    // Whatever still waits (a slow peer, a blocked read) must not keep the program alive.
    runtime.shutdown_background();
    match ended {
        Ok(code) if code == ExitCode::SUCCESS && !output::is_whole() => {
            ExitCode::from(report::FAILED)
        }
        Ok(code) => code,
        Err(error) => report::fail(&error, global.json),
    }
}
