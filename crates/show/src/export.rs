//! A project's page as one file, for who has no server: its card, and examples with their answers.
//!
//! The file holds what the API would tell, under the addresses at which it would tell it, and a
//! page that is drawn by the same parts. Its policy allows the one script and the one style in it,
//! by their digests, and nothing else.

use std::{
    collections::BTreeMap,
    fmt::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use mesh_core::{Alias, Digest, ModelVersion, ProjectName};
use mesh_pipeline::version_of;
use miette::Diagnostic;
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::{
    error::{self, Fault},
    examination, examples, lineage, mesh, models,
    state::{Shown, State},
    versions,
};

const SCRIPT: &str = include_str!(concat!(env!("OUT_DIR"), "/web/export/exported.js"));
const STYLE: &str = include_str!(concat!(env!("OUT_DIR"), "/web/export/exported.css"));

/// Examples that are answered.
const EXAMPLES: usize = 24;
/// Texts of a cell of the confusion matrix that are kept; of right answers fewer.
const WRONG: usize = 50;
const RIGHT: usize = 5;

/// A page that cannot be written.
#[derive(Debug, Error, Diagnostic)]
#[error("failed to export the page of {project}: {reason}")]
pub struct ExportError {
    project: String,
    reason: String,
    #[help]
    help: Option<String>,
}

/// A project's page as one file.
#[derive(Debug)]
pub struct Exported {
    /// The version that it tells of.
    pub version: ModelVersion,
    /// The file.
    pub html: String,
}

/// The page of a version of a project: of that in production if none is named.
pub(crate) async fn export(
    state: &State,
    project: &ProjectName,
    version: Option<ModelVersion>,
) -> Result<Exported, ExportError> {
    let fail = |fault: Fault| ExportError {
        project: project.to_string(),
        reason: error::told(&fault),
        help: Some(format!("`mesh model list {project}` lists the versions")),
    };
    let shown = state.project(project.as_str()).map_err(|problem| fail(problem.into()))?;
    let wanted = match version {
        Some(version) => Some(version),
        None => version_of(&state.workspace, &shown.folder, &Alias::production())
            .await
            .map_err(|error| fail(error.into()))?,
    };
    let Some(version) = wanted else {
        let reason = "it has no version in production yet".to_owned();
        let help = Some(format!("`mesh run {project}` makes one"));
        return Err(ExportError { project: project.to_string(), reason, help });
    };
    let record = record(state, shown, version).await.map_err(fail)?;
    Ok(Exported { version, html: html(project, version, &record) })
}

/// What the API tells of a version, by address, and examples with their answers.
async fn record(state: &State, shown: &Shown, version: ModelVersion) -> Result<Value, Fault> {
    let base = format!("/api/v1/projects/{}", shown.folder.name());
    let at = format!("{base}/versions/{version}");
    let mut told = Map::new();
    told.insert(at.clone(), versions::version(state, shown, version).await?);
    told.insert(base, mesh::project(state, shown).await?);
    let graph = lineage::lineage(state, shown, version).await?;
    told.insert(format!("{at}/lineage"), graph);
    match examination::of(state, shown, version).await {
        Ok(examination) => {
            let mut cells: BTreeMap<&str, BTreeMap<&str, Value>> = BTreeMap::new();
            for (truth, given) in examination.cells() {
                let most = if truth == given { RIGHT } else { WRONG };
                let texts = examination.texts(truth, given, most);
                cells.entry(truth).or_default().insert(given, texts);
            }
            told.insert(format!("{at}/examination"), examination.report());
            told.insert(format!("{at}/examination/texts"), json!(cells));
        }
        // Not every task is examined text by text.
        Err(Fault::Problem(_)) => {}
        Err(other) => return Err(other),
    }
    let examples = examples::examples(state, shown, EXAMPLES).await?;
    let answers = answers(state, shown, version, &examples).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    Ok(json!({ "project": shown.folder.name(), "version": version,
        "made_at": u64::try_from(now).unwrap_or_default(), "told": told, "examples": examples,
        "answers": answers }))
}

/// What the version answers to the examples: each asked alone, and what the page asks at once.
async fn answers(
    state: &State,
    shown: &Shown,
    version: ModelVersion,
    examples: &Value,
) -> Result<Vec<Value>, Fault> {
    let empty = Vec::new();
    let all = examples.get("examples").and_then(Value::as_array).unwrap_or(&empty);
    let mut questions = Vec::new();
    let texts: Vec<&Value> = all.iter().filter_map(|example| example.get("text")).collect();
    questions.extend(texts.iter().map(|text| json!({ "content": text })));
    if shown.folder.manifest().project.task == mesh_core::manifest::TaskName::Embedding {
        questions.push(json!({ "content": texts }));
    }
    for series in all.iter().filter_map(|example| example.get("rows")?.as_array()) {
        let rows: Vec<&Value> = series.iter().filter_map(|row| row.get("row")).collect();
        questions.extend(rows.iter().map(|row| json!({ "input": [row] })));
        questions.push(json!({ "input": rows }));
    }
    let mut answered = Vec::new();
    for attributes in questions {
        let body = json!({ "attributes": attributes }).to_string();
        // One that is refused has no answer in the file either.
        match models::answer(state, shown, version, None, body.into()).await {
            Ok(told) => answered.push(json!({ "attributes": attributes,
                "prediction": told.get("prediction"), "seconds": told.get("seconds") })),
            Err(Fault::Problem(_)) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(answered)
}

fn html(project: &ProjectName, version: ModelVersion, record: &Value) -> String {
    // What would end the elements is written so that it does not.
    let script = SCRIPT.replace("</script", "<\\/script").replace("<!--", "<\\!--");
    let style = STYLE.replace("</style", "<\\/style");
    let data = record.to_string().replace('<', "\\u003c");
    let hash = |text: &str| STANDARD.encode(Digest::of(text.as_bytes()).as_bytes());
    let mut html =
        String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    // Writing to a string does not fail.
    let _ = writeln!(
        html,
        "<meta http-equiv=\"content-security-policy\" content=\"default-src 'none'; script-src \
         'sha256-{}'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'\">",
        hash(&script),
        hash(&style)
    );
    let _ = writeln!(
        html,
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{project} version {version}</title>\n<style>{style}</style>\n</head>\n<body>\n\
         <div id=\"app\"></div>\n<script type=\"application/json\" id=\"record\">{data}</script>\n\
         <script>{script}</script>\n</body>\n</html>"
    );
    html
}
