//! Models of any version and target, loaded when somebody asks them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use axum::body::Bytes;
use mesh_core::{FieldError, Input, ModelFiles, ModelVersion, Outcome, Predictor, ProjectName};
use mesh_engine::Target;
use mesh_pipeline::{code_version, served};
use mesh_serve::Problem;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::sync::Semaphore;

use crate::{
    error::Fault,
    state::{Shown, State},
    versions,
};

/// Models that are kept loaded.
const KEPT: usize = 4;
/// Questions that are answered at once: services come first.
const AT_ONCE: usize = 2;

type Key = (ProjectName, ModelVersion, Option<String>);

/// The models that were asked last.
pub(crate) struct Models {
    loaded: Mutex<VecDeque<(Key, Arc<dyn Predictor>)>>,
    turns: Semaphore,
}

/// A model, and what it was compiled for; nothing for a project without a model.
pub(crate) struct Model {
    pub(crate) predictor: Arc<dyn Predictor>,
    pub(crate) target: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question<'a> {
    #[serde(borrow)]
    attributes: &'a RawValue,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
}

impl Default for Models {
    fn default() -> Self {
        Self { loaded: Mutex::default(), turns: Semaphore::new(AT_ONCE) }
    }
}

impl Models {
    fn find(&self, key: &Key) -> Option<Arc<dyn Predictor>> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let found = loaded.iter().find(|(known, _)| known == key);
        found.map(|(_, predictor)| Arc::clone(predictor))
    }

    fn keep(&self, key: Key, predictor: &Arc<dyn Predictor>) {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|(known, _)| *known != key);
        if loaded.len() >= KEPT {
            loaded.pop_front();
        }
        loaded.push_back((key, Arc::clone(predictor)));
    }
}

/// The model of a version, compiled for a target; for the best one of this machine if none is named.
pub(crate) async fn model(
    state: &State,
    shown: &Shown,
    version: ModelVersion,
    target: Option<&str>,
) -> Result<Model, Fault> {
    let name = shown.folder.name();
    let (compiled, target) = match code_version(&shown.folder) {
        Some(only) if only == version && target.is_none() => (None, None),
        Some(_) => return Err(versions::gone(version)),
        None => {
            // The registry is asked every time: a version may be gone since.
            let record = versions::record(state, shown, version).await?;
            let of = |wanted: &str| record.compiled.iter().find(|known| known.target == wanted);
            let found = match target {
                Some(wanted) => of(wanted).filter(|_| Target::best_of(&[wanted]).is_some()),
                None => served(&record),
            };
            let found = found.ok_or_else(|| {
                let wanted = target.unwrap_or("this machine");
                Fault::absent(format!("version {version} cannot answer here for {wanted}"))
            })?;
            if !state.workspace.store().contains(found.digest).await {
                return Err(versions::gone(version));
            }
            (Some(state.artifact(found.digest).await?), Some(found.target.clone()))
        }
    };
    let key = (name.clone(), version, target.clone());
    if let Some(predictor) = state.models.find(&key) {
        return Ok(Model { predictor, target });
    }
    let registration = shown.registration.clone();
    let files = ModelFiles {
        manifest: Arc::clone(shown.folder.manifest()),
        compiled: compiled.map(|artifact| artifact.path().to_owned()),
        version,
    };
    let predictor = tokio::task::spawn_blocking(move || registration.load(&files)).await??;
    state.models.keep(key, &predictor);
    Ok(Model { predictor, target })
}

/// A version's answer to `{"attributes": ..., "parameters": ...}`.
pub(crate) async fn answer(
    state: &State,
    shown: &Shown,
    version: ModelVersion,
    target: Option<&str>,
    body: Bytes,
) -> Result<Value, Fault> {
    let Model { predictor, target } = model(state, shown, version, target).await?;
    let work = move || {
        let input = parse(predictor.as_ref(), &body)?;
        let started = Instant::now();
        let answered = predictor.predict(vec![input]).pop();
        let seconds = started.elapsed().as_secs_f64();
        let prediction: Value = serde_json::from_str(&told(answered)?)?;
        Ok::<_, Fault>(json!({ "version": version, "target": target, "seconds": seconds,
            "prediction": prediction }))
    };
    // The semaphore is never closed.
    let _turn = state.models.turns.acquire().await.ok();
    tokio::task::spawn_blocking(work).await?
}

/// What a project shows beside its answer to such a question.
pub(crate) async fn panels(state: &State, shown: &Shown, body: Bytes) -> Result<Value, Fault> {
    let service = shown.service.as_ref();
    let Some(version) = service.and_then(|service| service.version()) else {
        return Err(Problem::NotReady("this project is not served here".into()).into());
    };
    if shown.registration.panels().is_empty() {
        return Err(Fault::absent("this project has no panels of its own"));
    }
    let Model { predictor, .. } = model(state, shown, version, None).await?;
    let work = move || {
        let input = parse(predictor.as_ref(), &body)?;
        let panels = predictor.panels(input).map_err(Problem::Refused)?;
        Ok::<_, Fault>(json!({ "version": version, "panels": panels }))
    };
    let _turn = state.models.turns.acquire().await.ok();
    tokio::task::spawn_blocking(work).await?
}

fn parse(predictor: &dyn Predictor, body: &[u8]) -> Result<Input, Problem> {
    let question: Question<'_> =
        serde_json::from_slice(body).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => {
                Problem::Schema(vec![FieldError::new(&[], "invalid", error.to_string())])
            }
            _ => Problem::NotJson(error.to_string()),
        })?;
    let parameters = question.parameters.map(RawValue::get);
    predictor.parse(question.attributes.get(), parameters).map_err(Problem::Schema)
}

fn told(answered: Option<Outcome>) -> Result<String, Problem> {
    match answered {
        Some(Ok(answer)) => Ok(answer.prediction),
        Some(Err(refusal)) => Err(Problem::Refused(refusal)),
        None => Err(Problem::Internal),
    }
}
