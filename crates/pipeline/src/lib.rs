//! Runs the steps of a project that are stale, and says why they are.
//!
//! A step is a function of the digests of its inputs, its parameters and its code. [`assess`]
//! compares that key with what the registry knows and says fresh, stale (and what changed),
//! absent or failed; [`run`] makes what is not fresh, one step after the other, registers
//! models as versions, and leaves nothing half-done however it ends.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> miette::Result<()> {
//! use mesh_pipeline::{Workspace, assess};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # std::fs::write(folder.path().join("mesh.toml"), "").unwrap();
//! let workspace = Workspace::open(folder.path()).await?;
//! for project in workspace.projects() {
//!     for unit in assess(&workspace, project).await? {
//!         println!("{} {} {}", project.name(), unit.step, unit.freshness.word());
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod assess;
mod deploy;
mod error;
mod run;
mod units;
mod workspace;

pub use assess::{Freshness, UnitStatus, assess};
pub use deploy::{Deployed, code_version, deployed, served, version_of};
pub use error::{PipelineError, PipelineErrorKind};
pub use run::{RunEvent, RunOptions, UnitOutcome, run};
pub use workspace::{ProjectFolder, Workspace};
