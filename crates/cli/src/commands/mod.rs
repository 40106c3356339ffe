//! One module per command.

pub(crate) mod backfill;
mod check;
mod cluster;
mod dedup;
mod doctor;
mod gc;
mod model;
mod page;
mod predict;
mod run;
mod serve;
mod source;
mod status;
mod up;

use std::process::ExitCode;

use clap::CommandFactory;
use mesh_core::manifest::{ArchiveManifest, ProjectManifest, WorkspaceManifest};

use crate::{
    args::{Args, Command, Manifest, New},
    context::Context,
    output, reference,
    report::CliError,
    scaffold,
};

pub(crate) async fn dispatch(context: &Context, command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::Up(options) => up::up(context, &options).await,
        Command::Run(options) => run::run(context, &options).await,
        Command::Status => status::status(context).await,
        Command::Check => check::check(context).await,
        Command::Predict(options) => predict::predict(context, &options).await,
        Command::Dedup(options) => dedup::dedup(context, &options),
        Command::Backfill(command) => backfill::backfill(context, command).await,
        Command::Cluster { arguments } => cluster::cluster(&arguments),
        Command::Serve(options) => serve::serve(context, &options).await,
        Command::Show(command) => page::page(context, command).await,
        Command::Model(command) => model::model(context, command).await,
        Command::New(New::Project(options)) => scaffold::new_project(context, &options).await,
        Command::New(New::Archive(options)) => scaffold::new_archive(context, &options).await,
        Command::Init { folder } => scaffold::init(context, &folder),
        Command::Gc { yes } => gc::gc(context, yes).await,
        Command::Doctor => doctor::doctor(context).await,
        Command::Source(command) => source::source(context, command).await,
        Command::Schema { manifest } => {
            match manifest {
                Manifest::Project => output::json(&ProjectManifest::json_schema()),
                Manifest::Workspace => output::json(&WorkspaceManifest::json_schema()),
                Manifest::Archive => output::json(&ArchiveManifest::json_schema()),
                Manifest::Reference => output::line(reference::markdown().trim_end()),
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "mesh", &mut script);
            output::line(String::from_utf8_lossy(&script).trim_end());
            Ok(ExitCode::SUCCESS)
        }
    }
}
