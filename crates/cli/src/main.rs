//! The `mesh` command with the projects of this workspace.

use std::process::ExitCode;

use mesh_core::Registration;
use mesh_project_keywords::Keywords;
use mesh_project_sentiment::Sentiment;
use mesh_tasks::InLanguages;

fn main() -> ExitCode {
    mlmesh::run(vec![
        Registration::of::<InLanguages<Keywords>>("keywords"),
        Registration::of::<InLanguages<Sentiment>>("sentiment"),
    ])
}
