//! The words of ML Mesh as types, and the contracts between its rooms.
//!
//! A *project* is cut into *steps* that talk to each other through *artifacts* only. A step is
//! a pure function of the digests of its inputs, its parameters and the code that runs it, so
//! its [`StepKey`] tells whether it has to run at all. What a project answers is one trait,
//! [`Project`]; routes, schemas, batches, metrics and backfills follow from it.
//!
//! This crate knows no other crate of ours, does no network and starts no thread.
//!
//! ```
//! use mesh_core::{ProjectName, manifest::ProjectManifest};
//!
//! let manifest = ProjectManifest::parse(
//!     "project.toml",
//!     r#"
//!     [project]
//!     name = "news-topic"
//!     task = "text-classification"
//!     description = "Which section of a newspaper a text belongs to"
//!     "#,
//! )?;
//! assert_eq!(manifest.project.name, "news-topic".parse::<ProjectName>()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod artifact;
mod digest;
pub mod features;
pub mod manifest;
mod name;
mod plain;
mod prediction;
mod progress;
mod project;
mod remedy;
mod step;
mod suggest;
pub mod tags;

pub use artifact::{
    ARTIFACT_FORMAT, ArtifactDir, ArtifactError, ArtifactErrorKind, ArtifactKind, ArtifactManifest,
    FileEntry, InputEntry, Producer,
};
pub use digest::{Digest, DigestError, DigestWriter, canonical_json, digest_file};
pub use name::{Alias, ApiVersion, ModelVersion, NameError, ProjectName};
pub use prediction::AnyPrediction;
pub use progress::{Cancel, Interrupted, NoProgress, Progress, ProgressTask, Unit};
pub use project::{
    Answer, Contract, Example, FieldError, Input, LoadError, LongTextUse, ModelFiles, Outcome,
    Panel, PanelBar, PanelContent, PanelEdge, PanelLine, PanelSpan, Predictor, Project,
    ProjectSchema, Refusal, RefusalKind, Registration, Usage,
};
pub use remedy::bucket_remedy;
pub use step::{
    GateFailure, Inputs, SourceFiles, Step, StepContext, StepError, StepErrorKind, StepKey,
    StepName, StepOutcome, StepOutput,
};
pub use suggest::{did_you_mean, nearest, printable, shell_word};
