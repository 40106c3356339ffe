use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use mesh_core::{ApiVersion, ProjectName};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// The metrics of a server, in the OpenMetrics text format.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    families: Families,
}

/// The metrics of one project.
#[derive(Clone)]
pub(crate) struct ProjectMetrics {
    labels: ProjectLabels,
    families: Families,
    depth: Gauge,
    progress: Gauge,
    batch: Histogram,
    queue: Histogram,
    compute: Histogram,
}

/// A request under way; dropping it counts it as done, however it ends.
pub(crate) struct InProgress(Gauge);

#[derive(Clone)]
struct Families {
    requests: Family<RequestLabels, Counter>,
    errors: Family<ErrorLabels, Counter>,
    total: Family<ModelLabels, Histogram, fn() -> Histogram>,
    queue: Family<ProjectLabels, Histogram, fn() -> Histogram>,
    compute: Family<ProjectLabels, Histogram, fn() -> Histogram>,
    batch: Family<ProjectLabels, Histogram, fn() -> Histogram>,
    depth: Family<ProjectLabels, Gauge>,
    progress: Family<ProjectLabels, Gauge>,
    ready: Family<ProjectLabels, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProjectLabels {
    project: String,
    api_version: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    project: String,
    api_version: u32,
    model_version: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    project: String,
    api_version: u32,
    model_version: u32,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    project: String,
    api_version: u32,
    r#type: &'static str,
}

/// The counters of one model version, looked up once.
#[derive(Clone)]
pub(crate) struct ModelMetrics {
    answered: Counter<u64, AtomicU64>,
    total: Histogram,
}

/// 20 us to 10 s, each bucket 1.7 times the one before.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(20e-6, 1.7, 25))
}

/// 1 to 512, each bucket twice the one before.
fn sizes() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 10))
}

impl Metrics {
    /// Metrics that nobody has counted yet.
    #[must_use]
    pub fn new() -> Self {
        let families = Families {
            requests: Family::default(),
            errors: Family::default(),
            total: Family::new_with_constructor(seconds),
            queue: Family::new_with_constructor(seconds),
            compute: Family::new_with_constructor(seconds),
            batch: Family::new_with_constructor(sizes),
            depth: Family::default(),
            progress: Family::default(),
            ready: Family::default(),
        };
        let mut registry = Registry::with_prefix("mesh");
        let all = families.clone();
        registry.register("requests", "Requests to predict by status", all.requests);
        registry.register("errors", "Requests not answered, by problem type", all.errors);
        registry.register("requests_in_progress", "Requests under way", all.progress);
        registry.register("queue_depth", "Requests that wait for a worker", all.depth);
        registry.register("batch_size", "Requests answered in one call", all.batch);
        registry.register("ready", "1 while the project answers", all.ready);
        let unit = || Unit::Seconds;
        registry.register_with_unit("queue", "Time that requests waited", unit(), all.queue);
        registry.register_with_unit("compute", "Time of the model per batch", unit(), all.compute);
        registry.register_with_unit("total", "Time from body to answer", unit(), all.total);
        Self { registry: Arc::new(registry), families }
    }

    pub(crate) fn project(&self, project: &ProjectName, api: ApiVersion) -> ProjectMetrics {
        let families = self.families.clone();
        let labels = ProjectLabels { project: project.to_string(), api_version: api.get() };
        ProjectMetrics {
            depth: families.depth.get_or_create_owned(&labels),
            progress: families.progress.get_or_create_owned(&labels),
            batch: families.batch.get_or_create_owned(&labels),
            queue: families.queue.get_or_create_owned(&labels),
            compute: families.compute.get_or_create_owned(&labels),
            labels,
            families,
        }
    }

    /// The text that `GET /metrics` answers.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl ProjectMetrics {
    pub(crate) fn begin(&self) -> InProgress {
        self.progress.inc();
        InProgress(self.progress.clone())
    }

    pub(crate) fn queue_depth(&self, waiting: usize) {
        self.depth.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    pub(crate) fn queued(&self, time: Duration) {
        self.queue.observe(time.as_secs_f64());
    }

    pub(crate) fn computed(&self, batch: usize, time: Duration) {
        self.compute.observe(time.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a batch has few elements")]
        self.batch.observe(batch as f64);
    }

    pub(crate) fn ready(&self, ready: bool) {
        self.families.ready.get_or_create(&self.labels).set(i64::from(ready));
    }

    pub(crate) fn failed(&self, model_version: u32, status: u16, kind: &'static str) {
        let ProjectLabels { project, api_version } = self.labels.clone();
        let errors = ErrorLabels { project: project.clone(), api_version, r#type: kind };
        self.families.errors.get_or_create(&errors).inc();
        let requests = RequestLabels { project, api_version, model_version, status };
        self.families.requests.get_or_create(&requests).inc();
    }

    pub(crate) fn model(&self, model_version: u32) -> ModelMetrics {
        let ProjectLabels { project, api_version } = self.labels.clone();
        let model = ModelLabels { project: project.clone(), api_version, model_version };
        let requests = RequestLabels { project, api_version, model_version, status: 200 };
        ModelMetrics {
            answered: self.families.requests.get_or_create_owned(&requests),
            total: self.families.total.get_or_create_owned(&model),
        }
    }
}

impl ModelMetrics {
    pub(crate) fn answered(&self, time: Duration) {
        self.answered.inc();
        self.total.observe(time.as_secs_f64());
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}
