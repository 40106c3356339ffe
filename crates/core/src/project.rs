use std::{any::Any, borrow::Cow, fmt, path::PathBuf, sync::Arc};

use miette::Diagnostic;
use schemars::JsonSchema;
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, value::MapDeserializer},
};
use thiserror::Error;

use crate::{AnyPrediction, ModelVersion, ProjectName, manifest::ProjectManifest};

mod fields;
mod panel;

pub use fields::FieldError;
pub use panel::{Panel, PanelBar, PanelContent, PanelEdge, PanelLine, PanelSpan};

/// What a project answers.
///
/// Everything around it (routes, documentation, batches, metrics) follows from this trait.
/// Attributes and parameters must refuse unknown keys (`#[serde(deny_unknown_fields)]`).
pub trait Project: Sized + Send + Sync + 'static {
    /// What is asked about: the text, the features.
    type Attributes: DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static;
    /// How it is asked; every field has a default.
    type Parameters: DeserializeOwned + Serialize + JsonSchema + Default + Send + Sync + 'static;
    /// The answer: exactly the keys of its schema.
    type Prediction: Serialize + JsonSchema + 'static;

    /// The names of the panels that it adds to its page; usually none.
    const PANELS: &'static [&'static str] = &[];

    /// Loads what it needs from a compiled model.
    ///
    /// # Errors
    /// When a file is missing, damaged, or of a format unknown here.
    fn load(model: &ModelFiles) -> Result<Self, LoadError>;

    /// A request that it must be able to answer: asked before readiness is told, and shown in
    /// the documentation.
    fn sample() -> Self::Attributes;

    /// What this model's requests are, where it tells more than the types do: for a model whose
    /// fields come from its data. Without it, the types and [`Project::sample`] say all.
    fn contract(&self) -> Option<Contract<Self::Attributes>> {
        None
    }

    /// What is wrong with attributes that their type allows and this model does not: all of it,
    /// each with the path to its field.
    fn check(&self, _attributes: &Self::Attributes) -> Vec<FieldError> {
        Vec::new()
    }

    /// Answers a batch: element i of the result answers element i of the batch, and is the
    /// same whatever else is in the batch.
    fn predict(
        &self,
        batch: &[Example<Self::Attributes, Self::Parameters>],
    ) -> Vec<Result<Answer<Self::Prediction>, Refusal>>;

    /// What its page shows beside an answer: the panels of [`Project::PANELS`] that have something
    /// to show, each as data of a known kind.
    fn panels(
        &self,
        _example: &Example<Self::Attributes, Self::Parameters>,
        _prediction: &Self::Prediction,
    ) -> Vec<Panel> {
        Vec::new()
    }
}

/// What the requests of one model are.
#[derive(Debug, Clone)]
pub struct Contract<A> {
    /// The JSON schema of the attributes.
    pub attributes: schemars::Schema,
    /// Attributes that the model must be able to answer.
    pub sample: A,
}

/// A prediction, and what it took. What needs no more than the prediction is made `into` one.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<P> {
    /// The prediction.
    pub prediction: P,
    /// What it took: told beside the prediction, never in it.
    pub usage: Usage,
}

/// What an answer took, for models that read tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the text, special ones counted once.
    pub tokens: Option<usize>,
    /// What was done with a text of more tokens than the model is given at once.
    pub long_text: Option<LongTextUse>,
}

/// What was done with a text of more tokens than the model is given at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LongTextUse {
    /// It was cut into so many windows.
    Windows(usize),
    /// Only so many of its tokens were looked at.
    Truncated(usize),
}

/// One element of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Example<A, P> {
    /// What is asked about.
    pub attributes: A,
    /// How it is asked.
    pub parameters: P,
}

/// A request that is well formed and that the project will not answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{detail}")]
pub struct Refusal {
    /// In which way.
    pub kind: RefusalKind,
    /// The reason, for the one who asked; it names what would be answered.
    pub detail: String,
}

/// The ways in which a project refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalKind {
    /// There is no text in the text.
    EmptyText,
    /// The text is longer than the project answers.
    TextTooLong,
    /// The project does not know the language.
    UnsupportedLanguage,
    /// A parameter has a value that cannot be followed with this text.
    InvalidParameter,
    /// The model has no answer.
    NoAnswer,
}

/// A compiled model on disk, as a project loads it.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    /// The project's manifest.
    pub manifest: Arc<ProjectManifest>,
    /// The folder of the compiled model, verified; `None` for a project without a model.
    pub compiled: Option<PathBuf>,
    /// The version that it was compiled from.
    pub version: ModelVersion,
}

/// A model that cannot be loaded.
#[derive(Debug, Error, Diagnostic)]
#[error("failed to load the model of {project}")]
#[diagnostic(help("`mesh run {project}:compile --force` makes it again"))]
pub struct LoadError {
    project: ProjectName,
    #[source]
    #[diagnostic_source]
    source: Box<dyn Diagnostic + Send + Sync>,
}

/// The JSON schemas of a project's contract.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProjectSchema {
    /// Of `attributes` in a request.
    pub attributes: schemars::Schema,
    /// Of `parameters` in a request.
    pub parameters: schemars::Schema,
    /// Of `attributes` in a response.
    pub prediction: schemars::Schema,
    /// The attributes of the sample request.
    pub sample: serde_json::Value,
}

/// One parsed element of a batch, its types known only to the project.
pub struct Input(Box<dyn Any + Send>);

/// The answer to one [`Input`]: a prediction as JSON text, or a refusal.
pub type Outcome = Result<Answer<String>, Refusal>;

/// A loaded [`Project`] whose types are erased, as services and backfills use it.
pub trait Predictor: Send + Sync {
    /// Parses the attributes and parameters of one request; all that is wrong with them at once.
    ///
    /// # Errors
    /// What is missing, unknown or of a wrong type, field by field.
    fn parse(&self, attributes: &str, parameters: Option<&str>) -> Result<Input, Vec<FieldError>>;

    /// Parses the attributes of one request without parameters, all of them texts, as
    /// [`Predictor::parse`] would their JSON; nothing if that would have an error to tell.
    fn parse_texts(&self, attributes: &[(&str, &str)]) -> Option<Input>;

    /// Answers a batch of parsed requests, each with JSON or a refusal.
    fn predict(&self, batch: Vec<Input>) -> Vec<Outcome>;

    /// As [`Predictor::predict`], for those who do not want JSON.
    fn predict_any(
        &self,
        batch: Vec<Input>,
    ) -> Vec<Result<Answer<Box<dyn AnyPrediction>>, Refusal>>;

    /// Answers one parsed request, and says what its page shows beside the answer.
    ///
    /// # Errors
    /// When the project refuses the request.
    fn panels(&self, input: Input) -> Result<Vec<Panel>, Refusal>;

    /// The schemas of its contract, with what the model tells of them.
    fn schema(&self) -> ProjectSchema;
}

/// A project type that the program knows: how to describe it and how to load it.
///
/// A workspace's binary is given a list of these; a project's manifest picks one by the
/// project's name, else by its task.
#[derive(Clone)]
pub struct Registration {
    name: Cow<'static, str>,
    schema: fn() -> ProjectSchema,
    load: fn(&ModelFiles) -> Result<Arc<dyn Predictor>, LoadError>,
    panels: &'static [&'static str],
}

struct Loaded<P>(P);

impl Registration {
    /// Registers `P` for the task or the project of that name.
    #[must_use]
    pub fn of<P: Project>(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            schema: ProjectSchema::of::<P>,
            load: |model| Ok(Arc::new(Loaded(P::load(model)?))),
            panels: P::PANELS,
        }
    }

    /// The task or project that it answers for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The panels that it adds to its page.
    #[must_use]
    pub const fn panels(&self) -> &'static [&'static str] {
        self.panels
    }

    /// The schemas of its contract.
    #[must_use]
    pub fn schema(&self) -> ProjectSchema {
        (self.schema)()
    }

    /// Loads a model and answers the sample request with it.
    ///
    /// # Errors
    /// When the model cannot be loaded, or does not answer the sample request.
    pub fn load(&self, model: &ModelFiles) -> Result<Arc<dyn Predictor>, LoadError> {
        let predictor = (self.load)(model)?;
        let failed =
            |detail: String| LoadError::new(&model.manifest.project.name, SampleFailed { detail });
        let sample = predictor.schema().sample.to_string();
        let input = predictor
            .parse(&sample, None)
            .map_err(|errors| failed(errors.iter().map(ToString::to_string).collect()))?;
        match predictor.predict(vec![input]).pop() {
            Some(Ok(_)) => Ok(predictor),
            // A manifest may allow for shorter texts only, or for other languages: it was read,
            // and that is the answer.
            Some(Err(Refusal {
                kind: RefusalKind::TextTooLong | RefusalKind::UnsupportedLanguage,
                ..
            })) => Ok(predictor),
            Some(Err(refusal)) => Err(failed(refusal.detail)),
            None => Err(failed("no answer".into())),
        }
    }
}

#[derive(Debug, Error, Diagnostic)]
#[error("it did not answer its sample request: {detail}")]
struct SampleFailed {
    detail: String,
}

impl ProjectSchema {
    fn of<P: Project>() -> Self {
        Self {
            attributes: schemars::schema_for!(P::Attributes),
            parameters: schemars::schema_for!(P::Parameters),
            prediction: schemars::schema_for!(P::Prediction),
            sample: serde_json::to_value(P::sample()).unwrap_or_default(),
        }
    }
}

impl<P: Project> Loaded<P> {
    fn answers<T>(
        &self,
        batch: Vec<Input>,
        form: impl Fn(P::Prediction) -> T,
    ) -> Vec<Result<Answer<T>, Refusal>> {
        let batch: Vec<Example<P::Attributes, P::Parameters>> = batch
            .into_iter()
            .filter_map(|input| input.0.downcast().ok())
            .map(|example| *example)
            .collect();
        let answers = self.0.predict(&batch).into_iter();
        answers.map(|answer| answer.map(|answer| answer.map(&form))).collect()
    }
}

impl<P: Project> Predictor for Loaded<P> {
    fn parse(&self, attributes: &str, parameters: Option<&str>) -> Result<Input, Vec<FieldError>> {
        let attributes = fields::parse::<P::Attributes>("attributes", attributes);
        let parameters = match parameters {
            None | Some("null") => Ok(P::Parameters::default()),
            Some(text) => fields::parse::<P::Parameters>("parameters", text),
        };
        match (attributes, parameters) {
            (Ok(attributes), Ok(parameters)) => {
                let errors = self.0.check(&attributes);
                if !errors.is_empty() {
                    return Err(errors);
                }
                Ok(Input(Box::new(Example { attributes, parameters })))
            }
            (attributes, parameters) => {
                Err(attributes.err().into_iter().chain(parameters.err()).flatten().collect())
            }
        }
    }

    fn parse_texts(&self, attributes: &[(&str, &str)]) -> Option<Input> {
        let texts = attributes.iter().copied();
        let texts = MapDeserializer::<_, serde::de::value::Error>::new(texts);
        let attributes = P::Attributes::deserialize(texts).ok()?;
        let parameters = P::Parameters::default();
        let right = self.0.check(&attributes).is_empty();
        right.then(|| Input(Box::new(Example { attributes, parameters })))
    }

    fn predict(&self, batch: Vec<Input>) -> Vec<Outcome> {
        self.answers(batch, |prediction| prediction.json())
    }

    fn predict_any(
        &self,
        batch: Vec<Input>,
    ) -> Vec<Result<Answer<Box<dyn AnyPrediction>>, Refusal>> {
        self.answers(batch, |prediction| -> Box<dyn AnyPrediction> { Box::new(prediction) })
    }

    fn panels(&self, input: Input) -> Result<Vec<Panel>, Refusal> {
        let Ok(example) = input.0.downcast::<Example<P::Attributes, P::Parameters>>() else {
            return Ok(Vec::new());
        };
        match self.0.predict(std::slice::from_ref(&example)).pop() {
            Some(answer) => Ok(self.0.panels(&example, &answer?.prediction)),
            None => Ok(Vec::new()),
        }
    }

    fn schema(&self) -> ProjectSchema {
        let schema = ProjectSchema::of::<P>();
        match self.0.contract() {
            None => schema,
            Some(Contract { attributes, sample }) => {
                let sample = serde_json::to_value(sample).unwrap_or_default();
                ProjectSchema { attributes, sample, ..schema }
            }
        }
    }
}

impl<P> Answer<P> {
    /// The same answer with another form of its prediction.
    pub fn map<Q>(self, change: impl FnOnce(P) -> Q) -> Answer<Q> {
        Answer { prediction: change(self.prediction), usage: self.usage }
    }
}

impl<P> From<P> for Answer<P> {
    fn from(prediction: P) -> Self {
        Self { prediction, usage: Usage::default() }
    }
}

impl Usage {
    /// What several texts of one answer took together: all tokens, and the most that was done
    /// with any of them.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let tokens = match (self.tokens, other.tokens) {
            (Some(one), Some(another)) => Some(one + another),
            (one, another) => one.or(another),
        };
        let long_text = match (self.long_text, other.long_text) {
            (Some(LongTextUse::Windows(one)), Some(LongTextUse::Windows(another))) => {
                Some(LongTextUse::Windows(one.max(another)))
            }
            (one, another) => one.or(another),
        };
        Self { tokens, long_text }
    }
}

impl fmt::Display for LongTextUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Windows(count) => write!(f, "windows={count}"),
            Self::Truncated(tokens) => write!(f, "truncated={tokens}"),
        }
    }
}

impl Refusal {
    /// A refusal of one kind, with its reason.
    pub fn new(kind: RefusalKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// The refusal of a text that has no text in it.
    #[must_use]
    pub fn empty_text() -> Self {
        let detail = "`content` holds no text: no letter, digit or symbol";
        Self::new(RefusalKind::EmptyText, detail)
    }

    /// The refusal of an example for which the model's answer is no number.
    #[must_use]
    pub fn no_number() -> Self {
        let detail = "the model's answer is not a finite number; its weights may be damaged";
        Self::new(RefusalKind::NoAnswer, detail)
    }

    /// Refuses a text that has nothing in it but white space and control characters.
    ///
    /// # Errors
    /// [`Refusal::empty_text`].
    pub fn unless_readable(text: &str) -> Result<(), Self> {
        let readable = text.chars().any(|c| !c.is_whitespace() && !c.is_control());
        readable.then_some(()).ok_or_else(Self::empty_text)
    }
}

impl RefusalKind {
    /// The kind as it stands in problem types and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EmptyText => "empty-text",
            Self::TextTooLong => "text-too-long",
            Self::UnsupportedLanguage => "unsupported-language",
            Self::InvalidParameter => "invalid-parameter",
            Self::NoAnswer => "no-answer",
        }
    }
}

impl LoadError {
    /// The model of a project cannot be loaded.
    pub fn new(project: &ProjectName, source: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { project: project.clone(), source: Box::new(source) }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registration").field(&self.name).finish()
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Input")
    }
}

#[cfg(test)]
mod tests;
