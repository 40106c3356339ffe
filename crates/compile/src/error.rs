use mesh_core::manifest::TaskName;
use mesh_dataset::DatasetError;
use mesh_engine::{EngineError, TargetError};
use mesh_text::LanguageModelError;
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
    /// A target is not known for encoders.
    #[error("the target `{0}` is not known for encoders")]
    EncoderTarget(String),
    /// A target is not known for models of languages.
    #[error("the target `{0}` is not known for models of languages")]
    LanguageTarget(String),
    /// A target is not known for trees.
    #[error("the target `{0}` is not known for trees")]
    TreesTarget(String),
    /// What was fetched is not one model.
    #[error("the source holds {0} files, of which one must be the model")]
    LanguageFiles(usize),
    /// There are no texts to compare on.
    #[error("there are no texts to compare the models on")]
    NoTexts,
    /// All texts to compare on are the same.
    #[error("the texts to compare the models on are one text: none has a neighbour")]
    OneText,
    /// There are no rows to compare on.
    #[error("the test split has no rows to compare the models on")]
    NoRows,
    /// A file of texts cannot be read.
    #[error("the texts in `{0}` cannot be read")]
    Texts(String),
    /// The dataset cannot be read.
    #[error("the dataset cannot be read")]
    Dataset,
    /// The encoder's head is not what the project's task needs.
    #[error("the task `{task}` cannot be done by an encoder with {found}")]
    Head {
        /// The task.
        task: TaskName,
        /// What stands on the encoder.
        found: &'static str,
    },
    /// A model's answers are not finite, or nothing but zeros.
    #[error("{whose} answers {wrong} of {of} texts with what is not finite, or with zeros alone")]
    NoNumbers {
        /// The model, or what was compiled of it.
        whose: &'static str,
        /// Texts that are answered so.
        wrong: usize,
        /// Texts that were asked about.
        of: usize,
    },
    /// The target that is forced cannot be used here.
    #[error("there is no target for this machine")]
    NoTarget,
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
            CompileErrorKind::EncoderTarget(_) => Some(
                "an encoder compiles for: native, portable-f32, avx2-f32, avx512-f32, \
                 avx512-bf16, amx-bf16; `mesh doctor` tells which of them this machine has",
            ),
            CompileErrorKind::LanguageTarget(_) => {
                Some("a model of languages compiles for: native, portable-f32")
            }
            CompileErrorKind::TreesTarget(_) => Some("trees compile for: native, portable-f64"),
            CompileErrorKind::LanguageFiles(_) => {
                Some("let `url` in [model] end in the one file .ftz or .bin")
            }
            CompileErrorKind::NoRows => Some("give the test split a share in [prepare]"),
            CompileErrorKind::NoTexts => {
                Some("give the test split a share in [prepare], or name some in [compile.texts]")
            }
            CompileErrorKind::OneText => Some("name different ones in [compile.texts]"),
            CompileErrorKind::Head { .. } => Some(
                "`architectures` in config.json tells the head. Give a model that ends in \
                 ForSequenceClassification; or train a head on the encoder with \
                 `model = \"encoder-head\"` in [train]; or let the task be `embedding`",
            ),
            CompileErrorKind::NoNumbers { whose: "the model", .. } => Some(
                "its weights are damaged, or too large for f32: was it trained or saved wrongly?",
            ),
            CompileErrorKind::NoNumbers { .. } => Some(
                "the model's numbers are too large for this target; `precision = \"f32\"` in \
                 [compile] may help",
            ),
            CompileErrorKind::Write(_) => Some("check the disk, then run again"),
            _ => None,
        };
        Self { kind, source: None, help: help.map(str::to_owned) }
    }
}

impl CompileError {
    pub(crate) fn because(
        mut self,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        self.source = Some(Box::new(source));
        self
    }
}

impl From<DatasetError> for CompileError {
    fn from(error: DatasetError) -> Self {
        Self { source: Some(Box::new(error)), ..Self::new(CompileErrorKind::Dataset) }
    }
}

impl From<LanguageModelError> for CompileError {
    fn from(error: LanguageModelError) -> Self {
        let help = error.help().map(|help| help.to_string());
        Self { source: Some(Box::new(error)), help, ..Self::new(CompileErrorKind::Model) }
    }
}

impl From<TargetError> for CompileError {
    fn from(error: TargetError) -> Self {
        let help = error.help().map(|help| help.to_string());
        Self { source: Some(Box::new(error)), help, ..Self::new(CompileErrorKind::NoTarget) }
    }
}

impl From<EngineError> for CompileError {
    fn from(error: EngineError) -> Self {
        Self { source: Some(Box::new(error)), ..Self::new(CompileErrorKind::Model) }
    }
}
