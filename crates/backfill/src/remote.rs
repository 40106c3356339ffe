//! Answers of a running service, asked with a limit on the load that it is put under.

use std::time::{Duration, Instant};

use mesh_core::{Cancel, ModelVersion};
use reqwest::{Client, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use tokio::{runtime::Handle, sync::Semaphore};

use crate::{
    BackfillError, BackfillErrorKind,
    answers::{Answered, Reason},
    asked::Asked,
};

/// A running service, and the load that a backfill may put it under.
#[derive(Debug, Clone)]
pub struct Service {
    /// Where it is: `http://host:port`.
    pub url: String,
    /// Requests under way at once.
    pub in_flight: usize,
    /// Requests in a second, at most; as many as it answers without it.
    pub max_rate: Option<f64>,
}

/// A project of a service.
#[derive(Debug)]
pub(crate) struct Remote {
    client: Client,
    address: String,
    project: String,
    version: ModelVersion,
    slots: Semaphore,
    rate: Option<tokio::sync::Mutex<Instant>>,
    gap: Duration,
    runtime: Handle,
}

#[derive(Serialize)]
struct Body<'a> {
    data: BodyData<'a>,
}

#[derive(Serialize)]
struct BodyData<'a> {
    namespace: &'a str,
    attributes: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: EnvelopeData<'a>,
}

#[derive(Deserialize)]
struct EnvelopeData<'a> {
    #[serde(borrow)]
    attributes: &'a RawValue,
}

#[derive(Deserialize)]
struct Problem {
    r#type: String,
    detail: String,
    #[serde(default)]
    errors: Vec<ProblemField>,
}

#[derive(Deserialize)]
struct ProblemField {
    loc: Vec<Value>,
    msg: String,
}

/// What became of one try.
enum Tried {
    Done(Answered),
    /// The service is busy or away; after so long it may not be.
    Later(Duration, String),
    Failed(String),
}

/// How long a service may be away before a run stops.
const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(120);
/// The header that tells which version answered.
const MODEL_VERSION: &str = "x-mesh-model-version";

impl Remote {
    /// A project of a service, if the version that is wanted answers there.
    pub(crate) fn connect(
        service: &Service,
        project: &str,
        api: &str,
        version: ModelVersion,
        digest: &str,
        runtime: &Handle,
    ) -> Result<Self, BackfillError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(TIMEOUT)
            .user_agent(concat!("mesh/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| absent(&service.url, &chain(&error)))?;
        let address = format!("{}/{project}/{api}", service.url.trim_end_matches('/'));
        let asked = async {
            let response = client.get(format!("{address}/bio")).send().await?;
            let status = response.status();
            Ok::<_, reqwest::Error>((status, response.text().await?))
        };
        let (status, text) =
            runtime.block_on(asked).map_err(|error| absent(&address, &chain(&error)))?;
        if !status.is_success() {
            return Err(absent(&address, &format!("it answered {status}")));
        }
        let bio: Value = serde_json::from_str(&text).unwrap_or_default();
        let card = bio.pointer("/data/attributes/model_card").unwrap_or(&Value::Null);
        let theirs = card.get("version").and_then(Value::as_u64);
        let targets = card.get("targets").and_then(Value::as_array);
        let has = |target: &Value| target.get("digest").and_then(Value::as_str) == Some(digest);
        let same = targets.is_none_or(|all| all.is_empty() || all.iter().any(has));
        if theirs != Some(u64::from(version.get())) || !same {
            let told = theirs.map_or_else(|| "none".to_owned(), |version| version.to_string());
            let what = format!(
                "the service answers with version {told} of {project}, not with the version \
                 {version} that is asked for"
            );
            let help = "name the version that it serves (`project@version`), or let it serve the \
                        one that is wanted: `mesh model promote`";
            return Err(BackfillError::usage(format!("ask {address}"), what, help));
        }
        let gap = service.max_rate.map(|rate| Duration::from_secs_f64(1.0 / rate.max(1e-3)));
        Ok(Self {
            client,
            address: format!("{address}/predict"),
            project: project.to_owned(),
            version,
            slots: Semaphore::new(service.in_flight.max(1)),
            rate: gap.map(|_| tokio::sync::Mutex::new(Instant::now())),
            gap: gap.unwrap_or_default(),
            runtime: runtime.clone(),
        })
    }

    /// Asks for answers, several at once as far as the limits allow; they come in the order of the
    /// requests.
    pub(crate) fn answer(
        &self,
        requests: &[Asked<'_>],
        cancel: &Cancel,
    ) -> Result<Vec<Answered>, BackfillError> {
        let all = requests.iter().map(|request| self.one(request, cancel));
        self.runtime.block_on(futures::future::try_join_all(all))
    }

    async fn one(&self, request: &Asked<'_>, cancel: &Cancel) -> Result<Answered, BackfillError> {
        let raw = |text: &str| RawValue::from_string(text.to_owned());
        let wrong = |error: serde_json::Error| failed(&self.address, &error.to_string());
        let attributes = raw(request.attributes).map_err(wrong)?;
        let parameters = request.parameters.map(raw).transpose().map_err(wrong)?;
        let data = BodyData {
            namespace: &self.project,
            attributes: &attributes,
            parameters: parameters.as_deref(),
        };
        let body = serde_json::to_vec(&Body { data }).map_err(wrong)?;
        let _slot = self.slots.acquire().await.ok();
        let (started, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            cancel.check()?;
            self.wait_for_turn().await;
            match self.attempt(body.clone()).await {
                Tried::Done(answered) => return Ok(answered),
                Tried::Failed(why) => return Err(failed(&self.address, &why)),
                Tried::Later(_, why) if started.elapsed() > PATIENCE => {
                    return Err(away(&self.address, &why));
                }
                Tried::Later(least, _) => {
                    tokio::time::sleep(pause.max(least).min(LONGEST_PAUSE)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Waits until the rate allows another request.
    async fn wait_for_turn(&self) {
        let Some(next) = &self.rate else { return };
        let turn = {
            let mut next = next.lock().await;
            let turn = (*next).max(Instant::now());
            *next = turn + self.gap;
            turn
        };
        tokio::time::sleep_until(turn.into()).await;
    }

    async fn attempt(&self, body: Vec<u8>) -> Tried {
        let request = self
            .client
            .post(&self.address)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Tried::Later(Duration::ZERO, chain(&error)),
        };
        let status = response.status();
        let head = response.headers().clone();
        let number = |name: &str| head.get(name)?.to_str().ok()?.parse::<u64>().ok();
        let text = match response.text().await {
            Ok(text) => text,
            Err(error) => return Tried::Later(Duration::ZERO, chain(&error)),
        };
        match status {
            StatusCode::OK => {
                let told = number(MODEL_VERSION);
                if told != Some(u64::from(self.version.get())) {
                    let version = told.map_or_else(|| "none".to_owned(), |v| v.to_string());
                    return Tried::Failed(format!(
                        "it answers with version {version} now, not with {}: answers of two \
                         versions are not mixed",
                        self.version
                    ));
                }
                match serde_json::from_str::<Envelope<'_>>(&text) {
                    Ok(envelope) => Tried::Done(Ok(envelope.data.attributes.get().into())),
                    Err(error) => Tried::Failed(format!("its answer is none: {error}")),
                }
            }
            StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE => {
                Tried::Done(Err(reason(&text, status)))
            }
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                let least = number(header::RETRY_AFTER.as_str()).unwrap_or_default();
                Tried::Later(Duration::from_secs(least), format!("it answered {status}"))
            }
            _ => Tried::Failed(format!("it answered {status}")),
        }
    }
}

/// Why a service did not answer a request.
fn reason(text: &str, status: StatusCode) -> Reason {
    let Ok(problem) = serde_json::from_str::<Problem>(text) else {
        return Reason {
            kind: "no-answer".into(),
            detail: format!("the service answered {status}"),
        };
    };
    let kind = problem.r#type.rsplit(['/', ':', '#']).next().unwrap_or_default().to_owned();
    let field = |field: &ProblemField| {
        let path: Vec<String> = field
            .loc
            .iter()
            .map(|part| part.as_str().map_or_else(|| part.to_string(), ToOwned::to_owned))
            .collect();
        format!("{}: {}", path.join("."), field.msg)
    };
    let fields: Vec<String> = problem.errors.iter().map(field).collect();
    let detail = if fields.is_empty() { problem.detail } else { fields.join("; ") };
    Reason { kind, detail }
}

/// It did not answer before anything was begun: there may be nothing to resume.
fn absent(address: &str, why: &str) -> BackfillError {
    away(address, why).help(
        "see that it runs and is ready (`/ready` tells), then give the same command again: what is \
         done stays done",
    )
}

fn away(address: &str, why: &str) -> BackfillError {
    let kind = BackfillErrorKind::Service(why.to_owned());
    BackfillError::new(format!("ask {address}"), kind).help(
        "see that it runs and is ready (`/ready` tells), then resume: what is done stays done",
    )
}

fn failed(address: &str, why: &str) -> BackfillError {
    let kind = BackfillErrorKind::Service(why.to_owned());
    BackfillError::new(format!("ask {address}"), kind).help(
        "see that it serves the project and the version, then resume: what is done stays done",
    )
}

/// An error of the network with what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
