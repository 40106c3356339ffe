use mesh_dataset::DatasetError;
use mesh_engine::EngineError;
use miette::Diagnostic;
use thiserror::Error;

/// A model that cannot be trained, and why.
#[derive(Debug, Error, Diagnostic)]
#[error("failed to train: {kind}")]
pub struct TrainError {
    /// In which way.
    pub kind: TrainErrorKind,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    #[help]
    help: Option<String>,
}

/// The ways in which training fails.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TrainErrorKind {
    /// The step was not given a dataset.
    #[error("there is no dataset")]
    NoDataset,
    /// A split has no documents.
    #[error("the {0} split is empty")]
    EmptySplit(&'static str),
    /// All documents have one label.
    #[error("the training split has one label only, `{0}`")]
    SingleLabel(String),
    /// A document has no label.
    #[error("the document `{0}` has no label")]
    NoLabel(String),
    /// A label of another split is not in the training split.
    #[error("the label `{label}` of the {split} split is not in the training split")]
    UnseenLabel {
        /// The label.
        label: String,
        /// The split that it is in.
        split: &'static str,
    },
    /// Tags of a sentence are not those of its tokens.
    #[error("the sentence `{0}` has other tags than tokens")]
    Tags(String),
    /// A number below zero has no place on a logarithmic scale.
    #[error("{0} is below zero, which has no place on a logarithmic scale")]
    Negative(String),
    /// The dataset does not say which field the trees start from.
    #[error("the dataset has no field that is the seasonal-naive baseline")]
    NoBaseline,
    /// Trees cannot be grown.
    #[error("the trees cannot be grown")]
    Trees,
    /// No text has a feature that is kept.
    #[error("no features are left")]
    NoFeatures,
    /// The dataset cannot be read.
    #[error("the dataset cannot be read")]
    Dataset,
    /// A file of a model cannot be read or written.
    #[error("a file of the model cannot be read or written")]
    Model,
    /// The encoder of the head cannot be used.
    #[error("the encoder cannot be used: {0}")]
    Encoder(&'static str),
}

impl TrainError {
    pub(crate) fn new(kind: TrainErrorKind) -> Self {
        let help = match &kind {
            TrainErrorKind::EmptySplit(_) => {
                "give the split a larger share in [prepare] `split`, or more data"
            }
            TrainErrorKind::SingleLabel(_) => {
                "a classifier needs two labels: check `columns.label` and `labels` in [source]"
            }
            TrainErrorKind::NoLabel(_) => "check `columns.label` in [source]",
            TrainErrorKind::UnseenLabel { .. } => {
                "give the training split documents of that label, or leave it out by `labels` in \
                 [source]"
            }
            TrainErrorKind::NoFeatures => "lower `min_documents` in [train.linear] `features`",
            TrainErrorKind::Negative(_) => {
                "take `scale = \"plain\"` in [train.boosted_trees], or reject such rows"
            }
            TrainErrorKind::NoBaseline => "add the baseline's days to `lags` in [prepare.series]",
            TrainErrorKind::Trees => "look for numbers that are far too large in the source",
            TrainErrorKind::Dataset => "run prepare again: `mesh run <project>:prepare --force`",
            _ => "check the disk, then run again",
        };
        Self { kind, source: None, help: Some(help.into()) }
    }
}

impl TrainError {
    pub(crate) fn because(
        mut self,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        self.source = Some(Box::new(source));
        self
    }
}

impl From<DatasetError> for TrainError {
    fn from(error: DatasetError) -> Self {
        Self { source: Some(Box::new(error)), ..Self::new(TrainErrorKind::Dataset) }
    }
}

impl From<EngineError> for TrainError {
    fn from(error: EngineError) -> Self {
        Self { source: Some(Box::new(error)), ..Self::new(TrainErrorKind::Model) }
    }
}
