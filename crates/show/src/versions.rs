//! A version: its card, its data, its compiled targets.

use std::fs;

use mesh_core::{ArtifactDir, ArtifactKind, Digest, ModelVersion};
use mesh_dataset::Dataset;
use mesh_pipeline::code_version;
use mesh_store::VersionRecord;
use serde_json::{Value, json};

use crate::{
    error::Fault,
    state::{Shown, State},
};

/// Rejected rows that are shown, at most.
const SHOWN: usize = 50;

/// All that is known of a version.
pub(crate) async fn version(
    state: &State,
    shown: &Shown,
    version: ModelVersion,
) -> Result<Value, Fault> {
    if let Some(only) = code_version(&shown.folder) {
        if only != version {
            return Err(gone(version));
        }
        return Ok(json!({ "version": only, "card": null, "record": null, "data": null }));
    }
    let record = record(state, shown, version).await?;
    let artifacts = artifacts(state, &record).await;
    let card = artifacts
        .iter()
        .find_map(|artifact| serde_json::from_str::<Value>(&artifact.read("card.json").ok()?).ok());
    let mut data = Value::Null;
    if let Some(digest) = dataset(&artifacts)
        && state.workspace.store().contains(digest).await
    {
        data = statistics(&state.artifact(digest).await?)?;
    }
    Ok(json!({ "version": record.version, "card": card, "record": record, "data": data }))
}

/// What the registry knows of a version.
pub(crate) async fn record(
    state: &State,
    shown: &Shown,
    version: ModelVersion,
) -> Result<VersionRecord, Fault> {
    let versions = state.workspace.registry().versions(shown.folder.name()).await?;
    versions.into_iter().find(|known| known.version == version).ok_or_else(|| gone(version))
}

pub(crate) fn gone(version: ModelVersion) -> Fault {
    Fault::absent(format!("there is no version {version}; it may have been deleted"))
}

/// The model of a version and what was compiled from it: those that are in the store.
pub(crate) async fn artifacts(state: &State, record: &VersionRecord) -> Vec<ArtifactDir> {
    let compiled = record.compiled.iter().map(|compiled| compiled.digest);
    let mut found = Vec::new();
    for digest in [record.model].into_iter().chain(compiled) {
        if state.workspace.store().contains(digest).await
            && let Ok(artifact) = state.artifact(digest).await
        {
            found.push(artifact);
        }
    }
    found
}

/// The dataset that a version was made from, or measured on.
pub(crate) fn dataset(artifacts: &[ArtifactDir]) -> Option<Digest> {
    let mut inputs = artifacts.iter().flat_map(|artifact| &artifact.manifest().inputs);
    inputs.find(|input| input.role == ArtifactKind::Dataset.as_str()).map(|input| input.digest)
}

/// The statistics of a dataset, and the first of its rejected rows.
fn statistics(artifact: &ArtifactDir) -> Result<Value, Fault> {
    let dataset = Dataset::open(artifact)?;
    let rejected = fs::read_to_string(artifact.file(Dataset::REJECTED)?)?;
    let rejected: Vec<Value> =
        rejected.lines().take(SHOWN).filter_map(|line| serde_json::from_str(line).ok()).collect();
    Ok(json!({
        "digest": artifact.digest(),
        "schema": dataset.schema(),
        "statistics": dataset.statistics(),
        "rejected": rejected,
    }))
}
