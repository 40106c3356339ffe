//! The `mesh` command with the projects of this workspace.

use std::process::ExitCode;

use mesh_core::Registration;
use mesh_project_keywords::Keywords;
use mesh_project_sentiment::Sentiment;

fn main() -> ExitCode {
    mlmesh::run(vec![
        Registration::of::<Keywords>("keywords"),
        Registration::of::<Sentiment>("sentiment"),
    ])
}
