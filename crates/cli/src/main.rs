//! The `mesh` command with the projects of this workspace.

use std::process::ExitCode;

use mesh_core::Registration;
use mesh_project_sentiment::Sentiment;

fn main() -> ExitCode {
    mlmesh::run(vec![Registration::of::<Sentiment>("sentiment")])
}
