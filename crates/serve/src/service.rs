use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use axum::body::Bytes;
use mesh_core::{
    ApiVersion, ModelVersion, Predictor, ProjectName, ProjectSchema, Registration, Usage,
    manifest::ProjectManifest,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{
    Metrics, Problem, ServeError, docs, envelope,
    metrics::{InProgress, ModelMetrics, ProjectMetrics},
    openapi,
    queue::{Job, Limits, Queue},
    traffic::{Counters, Traffic},
};

/// One project that answers requests.
pub struct Service {
    manifest: Arc<ProjectManifest>,
    state: RwLock<State>,
    draining: AtomicBool,
    queue: Queue,
    metrics: ProjectMetrics,
    counters: Counters,
    documents: RwLock<Documents>,
}

/// What is told of the requests that are answered.
#[derive(Clone)]
struct Documents {
    openapi: Bytes,
    docs: Bytes,
    /// Attributes that are answered.
    sample: Value,
}

/// A loaded model that has answered its sample request.
#[derive(Clone)]
pub struct Model {
    /// What answers.
    pub predictor: Arc<dyn Predictor>,
    /// The version that it is.
    pub version: ModelVersion,
    /// Facts about it, as `GET .../bio` tells them.
    pub card: Value,
}

/// A model at work in a service.
pub(crate) struct Loaded {
    pub(crate) predictor: Arc<dyn Predictor>,
    pub(crate) version: ModelVersion,
    card: Value,
    metrics: ModelMetrics,
}

enum State {
    Ready(Arc<Loaded>),
    /// Why it is not.
    NotReady(String),
}

/// An answered request: its body, the model that answered, and what the answer took.
pub(crate) struct Answer {
    pub(crate) body: String,
    pub(crate) version: ModelVersion,
    pub(crate) usage: Usage,
}

/// A prediction as JSON, and the version that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// The prediction.
    pub json: String,
    /// The version of the model.
    pub version: ModelVersion,
}

impl Service {
    /// Starts the workers of a project. It is not ready until a model is loaded.
    ///
    /// # Errors
    /// When the operating system gives no threads.
    pub fn start(
        manifest: Arc<ProjectManifest>,
        registration: &Registration,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, ServeError> {
        let project = &manifest.project;
        let metrics = metrics.project(&project.name, project.api);
        metrics.ready(false);
        let options = manifest.serve.clone().unwrap_or_default();
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let workers = if options.workers == 0 { cores } else { options.workers };
        let limits = Limits { queue: options.max_queue, batch: options.max_batch.max(1), workers };
        let queue = Queue::start(project.name.as_str(), limits, metrics.clone())
            .map_err(ServeError::threads)?;
        let documents = Documents::new(&manifest, registration.schema());
        Ok(Arc::new(Self {
            state: RwLock::new(State::NotReady("no model is loaded yet".into())),
            draining: AtomicBool::new(false),
            queue,
            metrics,
            counters: Counters::default(),
            documents: RwLock::new(documents),
            manifest,
        }))
    }

    /// Answers with this model from now on. Requests under way keep the model that they have.
    pub fn load(&self, model: Model) {
        let metrics = self.metrics.model(model.version.get());
        let Model { predictor, version, card } = model;
        // What a model is asked may be its own.
        let documents = Documents::new(&self.manifest, predictor.schema());
        *self.documents.write().unwrap_or_else(PoisonError::into_inner) = documents;
        let loaded = Arc::new(Loaded { predictor, version, card, metrics });
        self.set(State::Ready(loaded));
        self.metrics.ready(true);
        tracing::info!(project = %self.name(), %version, "model loaded");
    }

    /// Stops to answer, and says why.
    pub fn unload(&self, reason: impl Into<String>) {
        self.set(State::NotReady(reason.into()));
        self.metrics.ready(false);
    }

    /// Tells that it is not ready any more, and answers all the same: requests on connections
    /// that are open still get their answer.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.metrics.ready(false);
    }

    /// The project's name.
    #[must_use]
    pub fn name(&self) -> &ProjectName {
        &self.manifest.project.name
    }

    /// The version of the model that answers; nothing while none does.
    #[must_use]
    pub fn version(&self) -> Option<ModelVersion> {
        self.loaded().ok().map(|loaded| loaded.version)
    }

    /// Whether it answers.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.readiness().is_ok()
    }

    /// How much it was asked since it started.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.counters.read()
    }

    /// Answers attributes and parameters without an envelope, all as JSON text: what a request
    /// gets, with the same queue, limits and counters, for callers in this process.
    ///
    /// # Errors
    /// The problem that a request would get.
    pub async fn answer_json(
        &self,
        attributes: &str,
        parameters: Option<&str>,
    ) -> Result<Prediction, Problem> {
        let _under_way = self.begin();
        let asked = async {
            let started = Instant::now();
            let model = self.loaded()?;
            let answer = self.ask(&model, attributes, parameters).await?;
            self.answered(&model, started);
            Ok(Prediction { json: answer.prediction, version: model.version })
        };
        let answer = tokio::time::timeout(self.timeout(), asked).await;
        answer.unwrap_or(Err(Problem::Deadline)).inspect_err(|problem| self.failed(problem))
    }

    /// How many requests may wait.
    #[must_use]
    pub fn max_queue(&self) -> usize {
        self.manifest.serve.as_ref().map_or_else(
            || mesh_core::manifest::ServeTable::default().max_queue,
            |serve| serve.max_queue,
        )
    }

    pub(crate) fn api(&self) -> ApiVersion {
        self.manifest.project.api
    }

    pub(crate) fn manifest(&self) -> &ProjectManifest {
        &self.manifest
    }

    /// Its OpenAPI document, of the model that is loaded.
    #[must_use]
    pub fn openapi(&self) -> Bytes {
        self.documents().openapi
    }

    pub(crate) fn docs(&self) -> Bytes {
        self.documents().docs
    }

    fn documents(&self) -> Documents {
        self.documents.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn max_body(&self) -> usize {
        self.manifest.serve.as_ref().map_or_else(
            || mesh_core::manifest::ServeTable::default().max_body_bytes,
            |serve| serve.max_body_bytes,
        )
    }

    pub(crate) fn timeout(&self) -> Duration {
        let default = mesh_core::manifest::ServeTable::default().timeout_ms;
        Duration::from_millis(self.manifest.serve.as_ref().map_or(default, |s| s.timeout_ms))
    }

    /// Whether it answers; else why not.
    pub(crate) fn readiness(&self) -> Result<(), Problem> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(Problem::Draining);
        }
        self.loaded().map(|_| ())
    }

    pub(crate) fn begin(&self) -> InProgress {
        self.metrics.begin()
    }

    /// Counts a request that was not answered.
    pub(crate) fn failed(&self, problem: &Problem) {
        let version = self.version().map_or(0, ModelVersion::get);
        self.metrics.failed(version, problem.status().as_u16(), problem.slug());
        self.counters.failed();
    }

    fn answered(&self, model: &Loaded, started: Instant) {
        let time = started.elapsed();
        model.metrics.answered(time);
        self.counters.answered(time);
    }

    /// Answers one request, from its body to the body of the response.
    pub(crate) async fn predict(&self, body: &[u8]) -> Result<Answer, Problem> {
        let started = Instant::now();
        let model = self.loaded()?;
        let answer = self.answer(&model, body).await?;
        self.answered(&model, started);
        Ok(answer)
    }

    /// Asks the model the project's sample: the warm-up of caches and pages, which is no request
    /// of anybody.
    pub(crate) async fn warm_up(&self) -> Result<Answer, Problem> {
        let model = self.loaded()?;
        self.answer(&model, self.sample_body().as_bytes()).await
    }

    async fn answer(&self, model: &Arc<Loaded>, body: &[u8]) -> Result<Answer, Problem> {
        let data = envelope::parse(body, self.name())?;
        let parameters = data.parameters.map(serde_json::value::RawValue::get);
        let answer = self.ask(model, data.attributes.get(), parameters).await?;
        let identifier = data.identifier.as_deref();
        let body = envelope::write(self.api(), self.name(), identifier, &answer.prediction);
        Ok(Answer { body, version: model.version, usage: answer.usage })
    }

    /// Answers one request without its envelope: from attributes to prediction, both as JSON.
    pub(crate) async fn predict_attributes(&self, attributes: &str) -> Result<Answer, Problem> {
        let started = Instant::now();
        let model = self.loaded()?;
        let answer = self.ask(&model, attributes, None).await?;
        self.answered(&model, started);
        Ok(Answer { body: answer.prediction, version: model.version, usage: answer.usage })
    }

    async fn ask(
        &self,
        model: &Arc<Loaded>,
        attributes: &str,
        parameters: Option<&str>,
    ) -> Result<mesh_core::Answer<String>, Problem> {
        let input = model.predictor.parse(attributes, parameters).map_err(Problem::Schema)?;
        let (reply, answer) = oneshot::channel();
        let job = Job { input, model: Arc::clone(model), reply, enqueued: Instant::now() };
        self.queue.push(job).map_err(|_| Problem::QueueFull)?;
        answer.await.map_err(|_| Problem::Internal)?.map_err(Problem::Refused)
    }

    /// What the model is.
    pub(crate) fn bio(&self) -> Result<Answer, Problem> {
        let model = self.loaded()?;
        let attributes = json!({ "model_name": self.name(), "model_card": model.card });
        let body = envelope::write(self.api(), self.name(), None, &attributes.to_string());
        Ok(Answer { body, version: model.version, usage: Usage::default() })
    }

    /// The body of a request that the project answers.
    fn sample_body(&self) -> String {
        let data = json!({
            "identifier": "sample",
            "namespace": self.name(),
            "attributes": self.documents().sample,
        });
        json!({ "data": data }).to_string()
    }

    fn loaded(&self) -> Result<Arc<Loaded>, Problem> {
        match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Ready(loaded) => Ok(Arc::clone(loaded)),
            State::NotReady(reason) => Err(Problem::NotReady(reason.clone())),
        }
    }

    fn set(&self, state: State) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

impl Documents {
    fn new(manifest: &ProjectManifest, schema: ProjectSchema) -> Self {
        let openapi = openapi::document(manifest, &schema);
        let docs = docs::page(manifest, &openapi);
        Self { openapi: openapi.to_string().into(), docs: docs.into(), sample: schema.sample }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("project", self.name()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("version", &self.version).finish_non_exhaustive()
    }
}
