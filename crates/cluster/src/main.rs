//! `mesh-cluster`: hands work to many machines, by DataFusion and Ballista.
//!
//! The idea: a backfill is cut into chunks, and a few chunks are a *task*, a line of text that only
//! `mesh` understands. Here a task is a query of one row over one function, [`function`]; Ballista
//! finds it an executor, and finds it another one if that one is lost. The executor gives the line
//! to a `mesh backfill worker` that it keeps beside it, and answers with the line that comes back.
//! So nothing of DataFusion is in `mesh`, and nothing of `mesh` is here.
//!
//! ```text
//! mesh backfill run ──lines──▶ mesh-cluster submit ──query──▶ scheduler ──▶ mesh-cluster executor
//!        ▲                                                                          │ lines
//!        └── ledger                     parts, created if absent ◀── mesh backfill worker
//! ```

mod error;
mod executor;
mod function;
mod scheduler;
mod submit;
mod worker;

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    thread,
};

use clap::{Args, Parser, Subcommand};
use miette::{GraphicalReportHandler, GraphicalTheme};
use tracing_subscriber::EnvFilter;

use crate::error::ClusterError;

/// The machines that backfills are run on
#[derive(Debug, Parser)]
#[command(
    name = "mesh cluster",
    bin_name = "mesh cluster",
    version,
    disable_help_subcommand = true,
    after_help = "Examples:
  mesh cluster scheduler &
  mesh cluster executor --scheduler df://127.0.0.1:50050 &
  mesh backfill run packages news-topic --engine df://127.0.0.1:50050

Whoever reaches a scheduler can have work done on its executors: let only your own machines reach
them. Documents, enrichments and the store of models have to be where all of them can read and
write: on S3, in PostgreSQL, or in a folder that all have under the same path."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the scheduler: it deals work to the executors
    #[command(after_help = "Examples:
  mesh cluster scheduler
  mesh cluster scheduler --listen 10.0.0.7:50050")]
    Scheduler {
        /// The address to listen on
        #[arg(long, default_value = "127.0.0.1:50050", value_name = "ADDRESS")]
        listen: SocketAddr,
    },
    /// Start an executor: it does the work, one per machine
    #[command(after_help = "Examples:
  mesh cluster executor --scheduler df://10.0.0.7:50050 --listen 10.0.0.8:0
  mesh cluster executor --threads 1

It waits for the scheduler if that is not there yet, and comes back to one that was restarted.")]
    Executor(ExecutorArgs),
    /// Take tasks from standard input, a line each, and write their answers: what `mesh backfill
    /// run --engine` starts
    #[command(hide = true)]
    Submit {
        /// The scheduler
        scheduler: Scheduler,
    },
}

#[derive(Debug, Args)]
struct ExecutorArgs {
    /// The scheduler
    #[arg(long, default_value = "df://127.0.0.1:50050", value_name = "URL")]
    scheduler: Scheduler,
    /// The address to listen on, where the scheduler and those who run backfills reach it; port 0
    /// takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Tasks that are done at once; else one per core
    #[arg(long, env = "MESH_THREADS", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// The `mesh` that does them; else the one beside this program, else the one on the path
    #[arg(long, value_name = "FILE")]
    mesh: Option<PathBuf>,
    /// Where models are kept that come from a store elsewhere; else a folder of its own in the
    /// user's cache
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
}

/// Where a scheduler is: `df://host:port`.
#[derive(Debug, Clone)]
struct Scheduler {
    host: String,
    port: u16,
}

const PORT: u16 = 50050;

impl std::str::FromStr for Scheduler {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is no scheduler: write df://host:{PORT}");
        let rest = text.strip_prefix("df://").ok_or_else(wrong)?.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
            None => (rest, PORT),
        };
        if host.is_empty() || host.contains('/') {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl Scheduler {
    fn url(&self) -> String {
        format!("http://{}:{}", self.host, self.port)
    }
}

/// What is logged. Who removes what tasks left calls it an error that a file went meanwhile, as it
/// does all the time; what fails there for good is returned too.
const LEVEL: &str = "warn,mesh_cluster=info,ballista_executor::executor_process=off";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let quiet = matches!(cli.command, Command::Submit { .. });
    let level = if quiet { "off" } else { LEVEL };
    let filter = EnvFilter::try_from_env("MESH_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    logs.with_ansi(false).init();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = String::new();
            let theme = GraphicalTheme::unicode_nocolor();
            let told = GraphicalReportHandler::new_themed(theme).render_report(&mut text, &error);
            if told.is_ok() {
                let _ = writeln!(io::stderr().lock(), "{text}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), ClusterError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ClusterError::start("the threads", error))?;
    match command {
        Command::Scheduler { listen } => runtime.block_on(scheduler::serve(listen)),
        Command::Executor(options) => runtime.block_on(executor::serve(options)),
        Command::Submit { scheduler } => {
            let done = runtime.block_on(submit::submit(&scheduler));
            // Whoever asked is gone: nobody waits for what is still under way.
            runtime.shutdown_background();
            done
        }
    }
}

fn cores() -> u16 {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u16::try_from(cores).unwrap_or(u16::MAX)
}
