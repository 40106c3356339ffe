//! `mesh backfill`

use std::{path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, Subcommand};
use mesh_core::ProjectName;

use super::threads;
use crate::commands::backfill::follow::duration;

#[derive(Debug, Subcommand)]
pub(crate) enum Backfill {
    /// Say what is to be done, how long it takes and how large it is; change nothing
    #[command(after_help = "Examples:
  mesh backfill plan packages news-topic
  mesh backfill plan packages ner sentiment --where \"lang = 'en' and section in ('science', 'games')\"
  mesh backfill plan packages news-topic@2 --json")]
    Plan(BackfillPlan),
    /// Do it, chunk by chunk; the same command goes on after a stop
    #[command(after_help = "Examples:
  mesh backfill run packages news-topic
  mesh backfill run packages ner sentiment       one pass for both
  mesh backfill run packages news-topic@2 --where \"lang = 'en'\"
  mesh backfill run packages news-topic --all-rows
  mesh backfill run packages news-topic --through http://127.0.0.1:8080 --max-rate 200
  mesh backfill run packages news-topic --engine df://10.0.0.7:50050

Nothing changes for readers until `mesh backfill cutover`. Ctrl-C pauses.")]
    Run(BackfillRun),
    /// Show all backfills, or one
    #[command(after_help = "Examples:
  mesh backfill status
  mesh backfill status 3")]
    Status {
        /// The backfill
        id: Option<i64>,
    },
    /// Ask a running backfill to stop, to be resumed later
    #[command(after_help = "Examples:
  mesh backfill pause 3")]
    Pause {
        /// The backfill
        id: i64,
    },
    /// Go on with a backfill that was paused, failed or was killed
    #[command(after_help = "Examples:
  mesh backfill resume 3
  mesh backfill resume 3 --max-rejected 0.5")]
    Resume {
        /// The backfill
        id: i64,
        #[command(flatten)]
        pace: Pace,
    },
    /// Give a backfill up, and remove what it wrote
    #[command(after_help = "Examples:
  mesh backfill cancel 3")]
    Cancel {
        /// The backfill
        id: i64,
    },
    /// Show the rows that a backfill rejected, and why
    #[command(after_help = "Examples:
  mesh backfill rejects 3
  mesh backfill rejects 3 --limit 100000 --json > rejects.json")]
    Rejects {
        /// The backfill
        id: i64,
        /// How many rows are shown, at most
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Do the rows again that a backfill rejected, and no others
    #[command(after_help = "Examples:
  mesh backfill retry 3

It does not stop for rows that are rejected again, unless --max-rejected is given. Rows that had no
key when they were rejected are done as well.")]
    Retry {
        /// The backfill
        id: i64,
        #[command(flatten)]
        pace: Pace,
    },
    /// Compare what a backfill left with what readers see
    #[command(after_help = "Examples:
  mesh backfill diff 3
  mesh backfill diff 3 --html diff.html
  mesh backfill diff 3 --json | jq '.[0].report'")]
    Diff {
        /// The backfill
        id: i64,
        /// Write it as a page to this file too
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// How many examples are shown
        #[arg(long, default_value_t = 10)]
        examples: usize,
    },
    /// Make what a backfill left the archive's enrichment, in one move
    #[command(after_help = "Examples:
  mesh backfill cutover 3

If the manifest has a gate in [backfill], the difference is measured first; exit code 3 if it
refuses.")]
    Cutover {
        /// The backfill
        id: i64,
        /// Do it even if a gate refuses
        #[arg(long)]
        force: bool,
    },
    /// Make the enrichment before the live one live again, in one move
    #[command(after_help = "Examples:
  mesh backfill rollback packages              undo the last cutover, whichever projects it was of
  mesh backfill rollback packages news-topic   go one step back with this project")]
    Rollback {
        /// The archive
        archive: String,
        /// The projects; else those of the last cutover
        projects: Vec<ProjectName>,
    },
    /// Enrich documents as they arrive in a stream: into the archive, to another stream, or both
    #[command(after_help = "Examples:
  mesh backfill follow packages --from nats://localhost:4222/packages --project news-topic
  mesh backfill follow packages --from nats://localhost:4222/packages --to nats://localhost:4222/packages.told
  mesh backfill follow packages                 as [stream] in archives/packages.toml says
  mesh backfill follow packages --until-idle 2s   end when nothing comes any more

New documents get the version in production, also one that is promoted meanwhile; `mesh backfill run`
then does those before. Ctrl-C or SIGTERM end it after the batch that is under way. It may be killed
at any moment: the same command goes on where it stopped, with nothing lost and nothing twice.")]
    Follow(BackfillFollow),
    /// Show what was followed into an archive: how far, how much, and what was rejected
    #[command(after_help = "Examples:
  mesh backfill followed packages
  mesh backfill followed packages --limit 100000 --json > rejects.json")]
    Followed {
        /// The archive
        archive: String,
        /// How many rejects are shown of each kind, at most
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Write documents and their live enrichments to one file
    #[command(after_help = "Examples:
  mesh backfill export packages --output enriched.parquet
  mesh backfill export packages ner --output enriched.jsonl
  mesh backfill export packages --output enriched.csv

Lists and structs are JSON in a CSV. `<project>.rejected` tells why nothing is told of a document.")]
    Export {
        /// The archive
        archive: String,
        /// The projects; else all that have one
        projects: Vec<ProjectName>,
        /// A .parquet, .jsonl or .csv file
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Do the tasks of a cluster: `mesh cluster executor` starts it, and writes a line for each
    #[command(hide = true)]
    Worker(BackfillWorker),
    /// Show and remove enrichments that nobody sees any more
    #[command(after_help = "Examples:
  mesh backfill collect packages               show what would go
  mesh backfill collect packages --keep 0 --yes  remove all but the live ones

Enrichments that no backfill of this workspace made are another workspace's, which may still write them,
or its ledger is lost: they stay, and are told, unless --foreign says that nobody else works here.")]
    Collect {
        /// The archive
        archive: String,
        /// Enrichments before the live one that stay, for rollbacks
        #[arg(long, default_value_t = 1)]
        keep: usize,
        /// Also those that no backfill of this workspace made
        #[arg(long)]
        foreign: bool,
        /// Remove them; without this they are only shown
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Rows {
    /// The archive
    pub(crate) archive: String,
    /// The projects, each with a version or an alias if not production: `name` or `name@2`
    #[arg(required = true, value_name = "PROJECT[@VERSION]")]
    pub(crate) projects: Vec<String>,
    /// Only rows that a WHERE of SQL selects: the others stay as they are
    #[arg(long = "where", value_name = "SQL")]
    pub(crate) filter: Option<String>,
    /// Also rows that this model answered already
    #[arg(long)]
    pub(crate) all_rows: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Pace {
    /// Threads that answer; else one per core
    #[arg(long, env = "MESH_THREADS", value_parser = threads)]
    pub(crate) threads: Option<usize>,
    /// The share of rows that may be rejected, of all that the enrichment would have; above it the
    /// run stops
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) max_rejected: Option<f64>,
    /// Let a cluster do it, by its scheduler: df://host:50050 (`mesh cluster --help`)
    #[arg(long, value_name = "URL", conflicts_with = "through")]
    pub(crate) engine: Option<String>,
    /// Let a running service answer: http://host:port
    #[arg(long, value_name = "URL")]
    pub(crate) through: Option<String>,
    /// Requests to the service (8), or tasks of the cluster (64), that are under way at once; of a
    /// cluster no more than two per thread of its executors
    #[arg(long, value_name = "COUNT", value_parser = at_once)]
    pub(crate) in_flight: Option<usize>,
    /// Requests to the service in a second, at most
    #[arg(long, value_name = "REQUESTS", requires = "through", value_parser = rate)]
    pub(crate) max_rate: Option<f64>,
}

/// Requests or tasks at once, at most.
const MAX_AT_ONCE: usize = 1024;

/// How many requests or tasks are under way at once.
fn at_once(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=MAX_AT_ONCE).contains(count));
    count.ok_or_else(|| format!("expected 1 to {MAX_AT_ONCE} requests or tasks"))
}

/// A rate: more than nothing.
fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| *rate > 0.0 && rate.is_finite());
    rate.ok_or_else(|| "expected a number above 0".to_owned())
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BackfillFollow {
    /// The archive
    pub(crate) archive: String,
    /// The stream, or a subject of one; else `from` in [stream] of the archive's manifest
    #[arg(long, value_name = "URL")]
    pub(crate) from: Option<String>,
    /// The subject that documents are published to with what is told of them; else `to` in [stream]
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<String>,
    /// Publish only: leave nothing but keys in the archive
    #[arg(long)]
    pub(crate) publish_only: bool,
    /// A project that tells of them; else `projects` in [stream], else those that have an enrichment
    #[arg(long = "project", value_name = "PROJECT")]
    pub(crate) projects: Vec<ProjectName>,
    /// Messages of a batch, at most: each batch is a file of documents and one of each project
    #[arg(long, default_value_t = 1000, value_name = "MESSAGES", value_parser = batch)]
    pub(crate) batch: usize,
    /// How long a batch waits for messages
    #[arg(long, default_value = "250ms", value_name = "TIME", value_parser = duration)]
    pub(crate) linger: Duration,
    /// End when no message came for so long
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) until_idle: Option<Duration>,
    /// End after so many messages
    #[arg(long, value_name = "MESSAGES")]
    pub(crate) count: Option<u64>,
    /// Threads that answer; else one per core
    #[arg(long, env = "MESH_THREADS", value_parser = threads)]
    pub(crate) threads: Option<usize>,
    /// The share of the last 1000 messages that may be refused; above it follow stops, and leaves the
    /// batch in the stream. Else `max_rejected` in [backfill] of each project
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) max_rejected: Option<f64>,
    /// Begin with the first message, though this stream or another was followed already: documents
    /// whose keys are known are refused
    #[arg(long)]
    pub(crate) anew: bool,
}

/// Messages of a batch: they are in memory at once.
fn batch(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=100_000).contains(count));
    count.ok_or_else(|| "expected 1 to 100000 messages".to_owned())
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BackfillWorker {
    /// Tasks that are handed out at once; else one per core
    #[arg(long, value_parser = threads)]
    pub(crate) threads: Option<usize>,
    /// Where models are kept that come from a store elsewhere; else a folder of the user's cache
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cache: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BackfillPlan {
    #[command(flatten)]
    pub(crate) rows: Rows,
    /// Threads that would answer; else one per core
    #[arg(long, env = "MESH_THREADS", value_parser = threads)]
    pub(crate) threads: Option<usize>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BackfillRun {
    #[command(flatten)]
    pub(crate) rows: Rows,
    #[command(flatten)]
    pub(crate) pace: Pace,
    /// Make it live when it is done
    #[arg(long)]
    pub(crate) cutover: bool,
}

/// A share: 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a share: 0 to 1".to_owned())
}
