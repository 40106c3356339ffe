//! The routes of the wire contract.

use std::{collections::BTreeMap, error::Error as StdError, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{FromRequestParts, Path, Request, State},
    http::{HeaderName, HeaderValue, Response, StatusCode, header, request::Parts},
    routing::{get, post},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use mesh_core::manifest::TaskName;

use crate::{Metrics, Problem, Service, docs, openai, service::Answer};

/// What every route needs.
#[derive(Clone)]
pub(crate) struct Shared {
    services: Arc<BTreeMap<String, Arc<Service>>>,
    metrics: Metrics,
}

const MODEL_VERSION: HeaderName = HeaderName::from_static("x-mesh-model-version");
/// How many tokens the model read.
const TOKENS: HeaderName = HeaderName::from_static("x-mesh-tokens");
/// What was done with a text that is longer than the model: `windows=3` or `truncated=256`.
const LONG_TEXT: HeaderName = HeaderName::from_static("x-mesh-long-text");
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Reply = Response<Body>;

/// The project and the version of its API that a path names. What is not UTF-8 names none.
struct Route {
    project: String,
    api: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Route {
    type Rejection = Reply;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Reply> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((project, api)) = path.map_err(|_| {
            Problem::NotFound("no project of that name is served here".into()).response()
        })?;
        Ok(Self { project, api })
    }
}

/// Bytes of a body that is too large that are read to its end all the same.
const MAX_DISCARDED: usize = 64 << 20;

/// All routes of some services.
///
/// `pages` are routes beside those of the wire contract; if there are any, `GET /` is theirs.
pub(crate) fn router(services: &[Arc<Service>], metrics: Metrics, pages: Option<Router>) -> Router {
    let services =
        services.iter().map(|service| (service.name().to_string(), Arc::clone(service))).collect();
    let own = match &pages {
        Some(_) => Router::new(),
        None => Router::new().route("/", get(index)),
    };
    let router = own
        .route("/metrics", get(metrics_text))
        .route("/assets/docs.css", get(async || page(docs::STYLE.into(), "text/css")))
        .route("/assets/docs.js", get(async || page(docs::SCRIPT.into(), "text/javascript")))
        .route("/v1/embeddings", post(embeddings))
        .route("/v1/models", get(models))
        .route("/v1/models/{model}", get(model))
        .route("/{project}/{api}/predict", post(predict))
        .route("/{project}/{api}/live", get(live))
        .route("/{project}/{api}/ready", get(ready))
        .route("/{project}/{api}/bio", get(bio))
        .route("/{project}/{api}/openapi.json", get(openapi))
        .route("/{project}/{api}/docs", get(documentation))
        .fallback(async || {
            Problem::NotFound("no such route; `/` lists the projects".into()).response()
        })
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed.response())
        .with_state(Shared { services: Arc::new(services), metrics });
    match pages {
        Some(pages) => router.merge(pages),
        None => router,
    }
}

async fn predict(
    State(shared): State<Shared>,
    Route { project, api }: Route,
    request: Request,
) -> Reply {
    let service = match shared.service(&project, &api) {
        Ok(service) => service,
        Err(problem) => return problem.response(),
    };
    let _under_way = service.begin();
    let answer = tokio::time::timeout(service.timeout(), async {
        let body = read_body(service, request).await?;
        service.predict(&body).await
    });
    let answer = answer.await.unwrap_or(Err(Problem::Deadline));
    match answer {
        Ok(answer) => json(answer),
        Err(problem) => {
            service.failed(&problem);
            tracing::debug!(project, problem = problem.slug(), "not answered");
            problem.response()
        }
    }
}

/// OpenAI's embeddings: the model is the name of a project whose task is `embedding`.
async fn embeddings(State(shared): State<Shared>, request: Request) -> Reply {
    let Some(widest) = shared.embedders().max_by_key(|service| service.max_body()) else {
        return openai::error(&Problem::NotFound("no project here makes embeddings".into()));
    };
    let asked = match read_body(widest, request).await {
        Ok(body) => openai::parse(&body),
        Err(problem) => Err(problem),
    };
    let asked = match asked {
        Ok(asked) => asked,
        Err(problem) => return openai::error(&problem),
    };
    let service = match shared.embedder(&asked.model) {
        Ok(service) => service,
        Err(problem) => return openai::error(&problem),
    };
    let _under_way = service.begin();
    let answer = tokio::time::timeout(service.timeout(), async {
        let answer = service.predict_attributes(&asked.attributes()).await?;
        let body = openai::answer(&asked, &answer)?;
        Ok(Answer { body, ..answer })
    });
    match answer.await.unwrap_or(Err(Problem::Deadline)) {
        Ok(answer) => json(answer),
        Err(problem) => {
            service.failed(&problem);
            openai::error(&problem)
        }
    }
}

/// OpenAI's list of models: the projects that make embeddings.
async fn models(State(shared): State<Shared>) -> Reply {
    page(openai::models(shared.embedders().map(|service| service.name())).into(), JSON)
}

/// One of them.
async fn model(State(shared): State<Shared>, Path(name): Path<String>) -> Reply {
    match shared.embedder(&name) {
        Ok(service) => page(openai::model(service.name()).into(), JSON),
        Err(problem) => openai::error(&problem),
    }
}

async fn read_body(service: &Service, request: Request) -> Result<Bytes, Problem> {
    let media = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media.and_then(|media| media.split(';').next()).map(str::trim);
    if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case(JSON)) {
        return Err(Problem::MediaType);
    }
    let limit = service.max_body();
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        let body = request.into_body();
        return Err(discard(service, body, Problem::TooLarge(limit)).await);
    }
    let mut body = request.into_body();
    let collected = Limited::new(&mut body, limit).collect();
    // Half of the project's time is for the answer.
    let collected = tokio::time::timeout(service.timeout() / 2, collected).await;
    match collected {
        Err(_) => Err(Problem::RequestTimeout),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if is_over_limit(error.as_ref()) => {
            Err(discard(service, body, Problem::TooLarge(limit)).await)
        }
        Ok(Err(_)) => Err(Problem::BodyUnreadable),
    }
}

/// Reads the rest of a body that will not be used, within limits, and gives the problem back: most
/// clients read no answer before they have sent all, and take a closed connection for a fault.
async fn discard(service: &Service, mut body: Body, problem: Problem) -> Problem {
    let mut left = MAX_DISCARDED;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(service.timeout() / 4, reading).await;
    problem
}

fn is_over_limit(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<LengthLimitError>() {
            return true;
        }
        next = error.source();
    }
    false
}

async fn live(State(shared): State<Shared>, Route { project, api }: Route) -> Reply {
    match shared.service(&project, &api) {
        Ok(_) => page(r#"{"live":true}"#.into(), JSON),
        Err(problem) => problem.response(),
    }
}

async fn ready(State(shared): State<Shared>, Route { project, api }: Route) -> Reply {
    match shared.service(&project, &api).and_then(|service| service.readiness()) {
        Ok(()) => page(r#"{"ready":true}"#.into(), JSON),
        Err(problem) => problem.response(),
    }
}

async fn bio(State(shared): State<Shared>, Route { project, api }: Route) -> Reply {
    match shared.service(&project, &api).and_then(|service| service.bio()) {
        Ok(answer) => json(answer),
        Err(problem) => problem.response(),
    }
}

async fn openapi(State(shared): State<Shared>, Route { project, api }: Route) -> Reply {
    match shared.service(&project, &api) {
        Ok(service) => page(service.openapi(), JSON),
        Err(problem) => problem.response(),
    }
}

async fn documentation(State(shared): State<Shared>, Route { project, api }: Route) -> Reply {
    match shared.service(&project, &api) {
        Ok(service) => page(service.docs(), HTML),
        Err(problem) => problem.response(),
    }
}

async fn index(State(shared): State<Shared>) -> Reply {
    let projects = shared.services.values().map(|service| service.manifest());
    page(docs::index(projects).into(), HTML)
}

async fn metrics_text(State(shared): State<Shared>) -> Reply {
    page(shared.metrics.encode().into(), OPEN_METRICS)
}

impl Shared {
    /// The services that make embeddings.
    fn embedders(&self) -> impl Iterator<Item = &Service> {
        let services = self.services.values().map(AsRef::as_ref);
        services.filter(|service: &&Service| service.manifest().project.task == TaskName::Embedding)
    }

    /// The service that makes embeddings, by OpenAI's name of its model.
    fn embedder(&self, model: &str) -> Result<&Service, Problem> {
        let known = || {
            let names: Vec<_> = self.embedders().map(|service| service.name().as_str()).collect();
            Problem::NotFound(match names.is_empty() {
                true => "no project here makes embeddings".into(),
                false => format!("no such model; the models here are {}", names.join(", ")),
            })
        };
        self.embedders().find(|service| service.name().as_str() == model).ok_or_else(known)
    }

    fn service(&self, project: &str, api: &str) -> Result<&Service, Problem> {
        let Some(service) = self.services.get(project) else {
            // The name is not repeated: it is whatever somebody typed.
            return Err(Problem::NotFound("no project of that name is served here".into()));
        };
        if api.strip_prefix('v') != Some(service.api().to_string().as_str()) {
            let known = format!("{project} has the API version v{}", service.api());
            return Err(Problem::NotFound(known));
        }
        Ok(service)
    }
}

fn json(answer: Answer) -> Reply {
    let mut reply = page(answer.body.into(), JSON);
    let headers = reply.headers_mut();
    headers.insert(MODEL_VERSION, HeaderValue::from(answer.version.get()));
    if let Some(tokens) = answer.usage.tokens {
        headers.insert(TOKENS, HeaderValue::from(tokens));
    }
    let long_text = answer.usage.long_text.map(|long_text| long_text.to_string());
    if let Some(value) = long_text.and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert(LONG_TEXT, value);
    }
    reply
}

fn page(content: Bytes, media: &'static str) -> Reply {
    let mut reply = Response::new(Body::from(content));
    *reply.status_mut() = StatusCode::OK;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if media == HTML {
        let policy = HeaderValue::from_static(docs::CONTENT_SECURITY_POLICY);
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    reply
}
