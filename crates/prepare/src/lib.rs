//! From sources to datasets: readers, splits, statistics, leakage.
//!
//! [`Prepare`] is the step. Rows are streamed: read, mapped, normalised and staged on disk; then
//! small fixed-size records about them are sorted outside of memory to find duplicates,
//! near-duplicates and splits; then the staged rows are streamed into their splits. In memory
//! stays one byte per row, and what near-duplicates are grouped by. Tables of numbers, names and
//! days go another way: their rows, small as they are, are held until they are written.
//!
//! ```
//! use mesh_core::{Step, StepName, manifest::ProjectManifest};
//! use mesh_prepare::Prepare;
//!
//! let manifest = ProjectManifest::parse("project.toml", r#"
//!     [project]
//!     name = "reviews"
//!     task = "text-classification"
//!     description = "Which stars a review has"
//!     [source]
//!     url = "file:reviews.csv"
//!     format = "csv"
//!     [prepare]
//! "#)?;
//! assert_eq!(Prepare::new(&manifest).map(|step| step.name()), Some(StepName::Prepare));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod deal;
mod duplicates;
mod error;
mod facts;
mod labels;
mod observations;
mod rank;
mod read;
mod rejects;
mod sketches;
mod sort;
mod stage;
mod statistics;
mod step;
mod survey;
mod time;
mod units;
mod write;

pub use error::{PrepareError, PrepareErrorKind};
pub use step::Prepare;
pub use survey::{ColumnKind, SurveyedColumn, survey};
