//! From models to compiled models: packing, fidelity and speed gates.
//!
//! A compiled model is only taken if it answers like the model that it was made from **and** is
//! faster than it on this machine. [`Compile`] is the step; there is one per target, and each
//! leaves one artifact: the packed model and `fidelity.json`, which says how like it is. How fast
//! it was is told in the run's report, as it would differ from run to run.
//!
//! ```
//! use mesh_core::{Step, manifest::ProjectManifest};
//! use mesh_compile::Compile;
//!
//! let manifest = ProjectManifest::parse("project.toml", r#"
//!     [project]
//!     name = "a"
//!     task = "text-classification"
//!     description = "An example"
//!     [source]
//!     url = "file:a.csv"
//!     format = "csv"
//!     [prepare]
//!     [train]
//!     model = "linear"
//!     [compile]
//!     targets = ["native"]
//! "#)?;
//! let steps = Compile::new(&manifest);
//! assert_eq!(steps[0].target(), "portable-f16");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod card;
mod drop;
mod encoder;
mod error;
mod fidelity;
mod language;
mod linear;
mod speed;
mod step;
mod tagger;
mod texts;
mod trees;

pub use drop::{Measured, MetricDrop};
pub use error::{CompileError, CompileErrorKind};
pub use fidelity::Fidelity;
pub use language::LANGUAGE_ROLE;
pub use speed::Speed;
pub use step::Compile;
