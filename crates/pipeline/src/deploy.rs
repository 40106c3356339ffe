use mesh_core::{Alias, ArtifactDir, ModelFiles, ModelVersion};
use mesh_engine::{CompiledEncoder, Target};
use mesh_store::{CompiledRecord, VersionRecord};
use serde_json::{Value, json};

use crate::{PipelineError, ProjectFolder, Workspace};

/// What is to answer: a compiled model, verified, and what is known of it; or the code alone, for
/// a task without a model.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// What a project loads.
    pub files: ModelFiles,
    /// The version.
    pub version: ModelVersion,
    /// The compiled artifact; nothing for a task without a model.
    pub compiled: Option<ArtifactDir>,
    /// The model card with version, digests and targets.
    pub card: Value,
}

/// What of a version's compiled models answers on this machine; nothing if none can.
#[must_use]
pub fn served(version: &VersionRecord) -> Option<&CompiledRecord> {
    let targets: Vec<&str> = version.compiled.iter().map(|known| known.target.as_str()).collect();
    Target::best_of(&targets).and_then(|best| version.compiled.get(best))
}

/// The version of a project without a model: that of its API, as both change when its answers do,
/// and only then. Nothing for a project with a model: its versions are in the registry.
#[must_use]
pub fn code_version(project: &ProjectFolder) -> Option<ModelVersion> {
    let about = &project.manifest().project;
    ModelVersion::try_from(about.api.get()).ok().filter(|_| !about.task.has_model())
}

/// The version of a project that an alias points at. Every alias of a project without a model
/// points at the one version that it has.
///
/// # Errors
/// When the registry cannot be read.
pub async fn version_of(
    workspace: &Workspace,
    project: &ProjectFolder,
    alias: &Alias,
) -> Result<Option<ModelVersion>, PipelineError> {
    match code_version(project) {
        Some(version) => Ok(Some(version)),
        None => Ok(workspace.registry().alias(project.name(), alias).await?),
    }
}

/// The compiled model of a version of a project: of the one that `version` names, else of the
/// one that the alias points at.
///
/// # Errors
/// When there is none, or it is damaged.
pub async fn deployed(
    workspace: &Workspace,
    project: &ProjectFolder,
    alias: &Alias,
    version: Option<ModelVersion>,
) -> Result<Deployed, PipelineError> {
    let name = project.name();
    let none = |reason: String, help: String| PipelineError::NoModel {
        project: name.to_string(),
        reason,
        help,
    };
    if let Some(only) = code_version(project) {
        return match version {
            Some(version) if version != only => {
                let help = format!("a project without a model has the version of its API, {only}");
                Err(none(format!("there is no version {version}"), help))
            }
            _ => Ok(code(project, only)),
        };
    }
    let wanted = match version {
        Some(version) => Some(version),
        None => workspace.registry().alias(name, alias).await?,
    };
    let Some(wanted) = wanted else {
        let reason = format!("no version is `{alias}` yet");
        return Err(none(reason, format!("`mesh run {name}` makes one")));
    };
    let versions = workspace.registry().versions(name).await?;
    let Some(record) = versions.iter().find(|record| record.version == wanted) else {
        let help = format!("`mesh model list {name}` lists the versions");
        return Err(none(format!("there is no version {wanted}"), help));
    };
    if record.compiled.is_empty() {
        let reason = format!("version {wanted} has no compiled model");
        return Err(none(reason, format!("`mesh run {name}` compiles it")));
    }
    let targets: Vec<&str> = record.compiled.iter().map(|known| known.target.as_str()).collect();
    let Some(best) = served(record) else {
        let reason = format!(
            "version {wanted} is compiled for {}, none of which this machine has",
            targets.join(", ")
        );
        return Err(none(reason, format!("`mesh run {name}` compiles it for this machine")));
    };
    let store = workspace.store();
    let (compiled, trained) = tokio::join!(store.get(best.digest), store.get(record.model));
    let compiled = compiled?;
    if compiled.file(CompiledEncoder::FILE).is_ok() {
        Target::check_forced(&best.target, &targets).map_err(PipelineError::Target)?;
    }
    let card = card(record, &compiled, trained.as_ref().ok());
    let files = ModelFiles {
        manifest: project.manifest().clone(),
        compiled: Some(compiled.path().to_owned()),
        version: wanted,
    };
    Ok(Deployed { files, version: wanted, compiled: Some(compiled), card })
}

/// A project that answers with its code alone.
fn code(project: &ProjectFolder, version: ModelVersion) -> Deployed {
    let manifest = project.manifest().clone();
    let about = &manifest.project;
    let card = json!({
        "version": version,
        "digest": null,
        "targets": [],
        "metrics": {},
        "card": { "task": about.task, "description": about.description },
    });
    let files = ModelFiles { manifest, compiled: None, version };
    Deployed { files, version, compiled: None, card }
}

fn card(record: &VersionRecord, compiled: &ArtifactDir, model: Option<&ArtifactDir>) -> Value {
    // The card is told as the trainer wrote it; a model that is gone or damaged still serves
    // from its compiled form, with the headline metrics of the registry.
    // One that came pre-trained has its card there.
    let read = |from: &ArtifactDir| serde_json::from_str(&from.read("card.json").ok()?).ok();
    let trained: Option<Value> = read(model.unwrap_or(compiled));
    let targets: Vec<_> = record
        .compiled
        .iter()
        .map(|compiled| {
            json!({ "target": compiled.target, "digest": compiled.digest, "report": compiled.report })
        })
        .collect();
    json!({
        "version": record.version,
        "digest": record.model,
        "targets": targets,
        "metrics": record.summary,
        "card": trained.unwrap_or(Value::Null),
    })
}
