//! The mesh at a glance: every project, how it stands, and what it reached.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use mesh_core::{
    Alias,
    manifest::{ManifestError, TaskName},
};
use mesh_pipeline::{assess, code_version};
use mesh_store::VersionRecord;
use miette::Diagnostic;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    error::Fault,
    state::{Shown, State},
};

/// How long a glance is as good as a new one: assessing reads the registry and digests local
/// sources, and a thousand pages ask.
const FRESH: Duration = Duration::from_secs(2);

/// The last glance.
#[derive(Default)]
pub(crate) struct Glances(Mutex<Option<(Instant, Bytes)>>);

/// All projects.
pub(crate) async fn glance(state: &State) -> Result<Bytes, Fault> {
    // Whoever comes meanwhile waits for this one.
    let mut last = state.glances.0.lock().await;
    if let Some((at, told)) = &*last
        && at.elapsed() < FRESH
    {
        return Ok(told.clone());
    }
    let mut projects = Vec::new();
    for shown in state.projects.values() {
        projects.push(project(state, shown).await?);
    }
    let broken: Vec<_> = state
        .workspace
        .broken()
        .iter()
        .map(|(path, error)| {
            let name = path.parent().and_then(|folder| folder.file_name());
            json!({ "project": name.map(|name| name.to_string_lossy()), "error": wrong(error) })
        })
        .collect();
    let told = json!({
        "workspace": state.workspace.manifest().workspace.name,
        "projects": projects,
        "broken": broken,
        "parts": { "gateway": false, "releases": false },
    });
    let told = Bytes::from(told.to_string());
    *last = Some((Instant::now(), told.clone()));
    Ok(told)
}

/// One project.
pub(crate) async fn project(state: &State, shown: &Shown) -> Result<Value, Fault> {
    let manifest = shown.folder.manifest();
    let about = &manifest.project;
    let steps = assess(&state.workspace, &shown.folder).await?;
    let versions = state.workspace.registry().versions(&about.name).await?;
    let production = match code_version(&shown.folder) {
        Some(version) => Some(version),
        None => {
            let alias = Alias::production();
            state.workspace.registry().alias(&about.name, &alias).await?
        }
    };
    let record = versions.iter().find(|record| Some(record.version) == production);
    let listed: Vec<_> = versions
        .iter()
        .map(|record| {
            let targets: Vec<_> = record.compiled.iter().map(|known| &known.target).collect();
            json!({ "version": record.version, "aliases": record.aliases, "targets": targets,
                "created_at": record.created_at, "headline": headline(record) })
        })
        .collect();
    Ok(json!({
        "project": about.name,
        "task": about.task,
        "api": about.api,
        "description": about.description,
        "owner": about.owner,
        "has_model": about.task.has_model(),
        "served": shown.service.is_some(),
        "ready": shown.service.as_ref().is_some_and(|service| service.is_ready()),
        "production": production,
        "headline": record.and_then(headline),
        "steps": steps,
        "versions": listed,
        "max_body_bytes": manifest.serve.clone().unwrap_or_default().max_body_bytes,
        "show": manifest.show.clone().unwrap_or_default(),
        "own_panels": shown.registration.panels(),
        "labelled": matches!(about.task, TaskName::TextClassification | TaskName::Language),
    }))
}

/// All that is wrong with a manifest, with its places and what to do.
fn wrong(error: &ManifestError) -> String {
    let told = error.problems.iter().map(|problem| match problem.help() {
        Some(help) => format!("{problem} ({help})"),
        None => problem.to_string(),
    });
    let told: Vec<_> = told.collect();
    if told.is_empty() { error.to_string() } else { told.join("; ") }
}

/// What a project is asked with: schemas of attributes and parameters, and a sample; nothing if it
/// is not served here.
pub(crate) fn contract(shown: &Shown) -> Option<Value> {
    let openapi: Value = serde_json::from_slice(&shown.service.as_ref()?.openapi()).ok()?;
    let schemas = openapi.pointer("/components/schemas")?;
    let sample = schemas.pointer("/PredictRequest/examples/0/data/attributes")?;
    Some(json!({ "attributes": schemas.get("Attributes")?,
        "parameters": schemas.get("Parameters")?, "sample": sample }))
}

/// The figure that a version is known by, with its interval and what the baseline reaches.
fn headline(record: &VersionRecord) -> Option<Value> {
    let compiled = record.compiled.first().map(|compiled| &compiled.report);
    let fidelity = compiled.and_then(|report| report.get("fidelity"));
    let metrics = record.summary.get("metrics").or_else(|| fidelity?.get("metrics"));
    for name in ["macro_f1", "f1", "r2", "accuracy"] {
        if let Some(metric) = metrics.and_then(|metrics| metrics.get(name)) {
            let part = |key| metric.get(key).and_then(Value::as_f64);
            let baseline = record.summary.get("baseline").and_then(|baseline| baseline.get(name));
            return Some(json!({ "name": name, "value": part("value")?, "low": part("low"),
                "high": part("high"), "baseline": baseline }));
        }
    }
    // A model that came pre-trained and has no test split: how near its compiled form is.
    let cosine = fidelity?.get("cosine_mean")?.as_f64()?;
    let least = fidelity?.get("cosine_min");
    Some(json!({ "name": "cosine", "value": cosine, "low": least, "high": null, "baseline": null }))
}
