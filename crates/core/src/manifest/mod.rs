//! What people write: `mesh.toml` of a workspace and `project.toml` of a project.
//!
//! Every table is a struct with defaults; the same definition gives the parser, the JSON schema
//! for editors and the reference in `docs/manifest.md`. Unknown keys are refused, all of them at
//! once, each with its line and the key that was probably meant.

mod archive;
mod conflicts;
mod error;
mod model;
mod parse;
mod project;
mod show;
mod source;
mod table;
mod train;
mod workspace;

pub use archive::{ArchiveManifest, ArchiveTable, InputColumn, RowFormat, StreamTable};
pub use error::{ManifestError, ManifestErrorKind, ManifestProblem};
pub use model::{LanguageTable, LongText, ModelTable, Pooling, TrainModels};
pub use project::{
    BackfillTable, CompileTable, CompileTexts, Deduplicate, Gate, NearDuplicates, Normalise,
    Precision, PrepareTable, ProjectManifest, ProjectTable, ServeTable, Split, SplitMethod,
    TARGETS, TaskName, UnicodeForm,
};
pub use show::ShowTable;
pub use source::{Columns, Format, Labels, SourceTable, SplitFiles, TextEncoding};
pub use table::{FeaturesTable, SeriesTable};
pub use train::{
    BoostedTreesOptions, ClassWeight, CrfOptions, EncoderHeadOptions, Features, LinearOptions,
    Metric, Scale, TrainModel, TrainTable, TreesStart,
};
pub use workspace::{
    HttpTable, PageTable, RegistryTable, StoreTable, WorkspaceManifest, WorkspaceTable,
};
