use mesh_dataset::DatasetError;
use mesh_engine::EngineError;
use miette::Diagnostic;
use thiserror::Error;

/// A model that cannot be compiled, and why.
#[derive(Debug, Error, Diagnostic)]
#[error("failed to compile: {kind}")]
pub struct CompileError {
    /// In which way.
    pub kind: CompileErrorKind,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    #[help]
    help: Option<String>,
}

/// The ways in which compiling fails.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CompileErrorKind {
    /// The step was not given what it needs.
    #[error("there is no {0}")]
    NoInput(&'static str),
    /// A target is not known.
    #[error("the target `{0}` is not known for this model")]
    Target(String),
    /// There are no texts to compare on.
    #[error("the dataset has no texts to compare the models on")]
    NoTexts,
    /// The dataset cannot be read.
    #[error("the dataset cannot be read")]
    Dataset,
    /// A model cannot be read.
    #[error("the model cannot be read")]
    Model,
    /// The compiled model cannot be written.
    #[error("the compiled model cannot be written: {0}")]
    Write(String),
}

impl CompileError {
    pub(crate) fn new(kind: CompileErrorKind) -> Self {
        let help = match &kind {
            CompileErrorKind::Target(_) => {
                Some("a linear model compiles for: native, portable-f16, portable-f32")
            }
            CompileErrorKind::NoTexts => Some("give the test split a share in [prepare]"),
            CompileErrorKind::Write(_) => Some("check the disk, then run again"),
            _ => None,
        };
        Self { kind, source: None, help: help.map(str::to_owned) }
    }
}

impl From<DatasetError> for CompileError {
    fn from(error: DatasetError) -> Self {
        Self { source: Some(Box::new(error)), ..Self::new(CompileErrorKind::Dataset) }
    }
}

impl From<EngineError> for CompileError {
    fn from(error: EngineError) -> Self {
        Self { source: Some(Box::new(error)), ..Self::new(CompileErrorKind::Model) }
    }
}
