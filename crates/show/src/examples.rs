//! Texts and rows to try a project with: those of its manifest, else of its own test split, else of
//! another project's.

use std::collections::BTreeMap;

use mesh_core::{ModelVersion, manifest::TaskName};
use mesh_dataset::{Dataset, Document, Observation, SplitName};
use mesh_pipeline::assess;
use serde_json::{Map, Value, json};

use crate::{
    error::Fault,
    state::{Shown, State},
    versions,
};

/// Documents that are looked at to choose from.
const LOOKED_AT: usize = 4_000;
/// Characters of a text, at most: an example is to be read.
const MAX_CHARACTERS: usize = 6_000;
/// Series that are shown, and days of each.
const SERIES: usize = 6;
const DAYS: usize = 90;

/// Examples of a project, and where they are from.
pub(crate) async fn examples(state: &State, shown: &Shown, limit: usize) -> Result<Value, Fault> {
    let own = shown.folder.manifest().show.as_ref().map(|show| show.examples.as_slice());
    if let Some(own @ [_, ..]) = own {
        let own: Vec<_> = own.iter().map(|text| json!({ "text": text, "label": null })).collect();
        return Ok(json!({ "from": shown.folder.name(), "split": null, "examples": own }));
    }
    if let Some(dataset) = dataset(state, shown).await?
        && let Some(told) = chosen(shown, dataset, limit).await?
    {
        return Ok(told);
    }
    let mut candidates = Vec::new();
    if shown.folder.manifest().project.task != TaskName::Regression {
        // Labelled documents of others, those whose texts say most first.
        for other in state.projects.values() {
            let manifest = other.folder.manifest();
            if other.folder.name() == shown.folder.name()
                || manifest.project.task != TaskName::TextClassification
            {
                continue;
            }
            candidates.extend(dataset(state, other).await?.map(|dataset| (other, dataset)));
        }
        candidates.sort_by(|(_, a), (_, b)| words(b).total_cmp(&words(a)));
    }
    for (other, dataset) in candidates {
        if let Some(told) = chosen(other, dataset, limit).await? {
            return Ok(told);
        }
    }
    Ok(json!({ "from": null, "split": null, "examples": [] }))
}

/// Some of a project's dataset; nothing if nothing in it can be shown.
async fn chosen(shown: &Shown, dataset: Dataset, limit: usize) -> Result<Option<Value>, Fault> {
    let regression = shown.folder.manifest().project.task == TaskName::Regression;
    let found = tokio::task::spawn_blocking(move || match regression {
        true => series(&dataset),
        false => documents(&dataset, limit),
    });
    let (split, examples) = found.await??;
    let from = shown.folder.name();
    let some = examples.as_array().is_some_and(|examples| !examples.is_empty());
    Ok(some.then(|| json!({ "from": from, "split": split, "examples": examples })))
}

/// How many words a text of a dataset has.
fn words(dataset: &Dataset) -> f64 {
    let split = dataset.statistics().splits.get(split(dataset).as_str());
    split.map_or(0.0, |split| split.words.mean)
}

/// The dataset that a project's prepare step left, if it is there.
pub(crate) async fn dataset(state: &State, shown: &Shown) -> Result<Option<Dataset>, Fault> {
    let steps = assess(&state.workspace, &shown.folder).await?;
    let prepared = steps.iter().find(|status| status.step == mesh_core::StepName::Prepare);
    match prepared.and_then(|status| status.freshness.output()) {
        Some(digest) => Ok(Some(Dataset::open(&state.artifact(digest).await?)?)),
        None => Ok(None),
    }
}

/// The dataset that a version was trained and tested on, if it is there; of a version that was not
/// trained here, what the project has today.
pub(crate) async fn dataset_of(
    state: &State,
    shown: &Shown,
    version: ModelVersion,
) -> Result<Option<Dataset>, Fault> {
    let record = versions::record(state, shown, version).await?;
    let store = state.workspace.store();
    if !store.contains(record.model).await {
        return dataset(state, shown).await;
    }
    let model = state.artifact(record.model).await?;
    match model.manifest().inputs.iter().find(|input| input.role == "dataset") {
        Some(used) if store.contains(used.digest).await => {
            Ok(Some(Dataset::open(&state.artifact(used.digest).await?)?))
        }
        Some(_) => Ok(None),
        None => dataset(state, shown).await,
    }
}

fn split(dataset: &Dataset) -> SplitName {
    let order = [SplitName::Test, SplitName::Validation, SplitName::Train];
    order.into_iter().find(|split| dataset.rows(*split) > 0).unwrap_or(SplitName::Test)
}

/// Documents of the test split, as many of each label as there are.
fn documents(dataset: &Dataset, limit: usize) -> Result<(SplitName, Value), Fault> {
    let split = split(dataset);
    let mut by_label: BTreeMap<Option<String>, Vec<Document>> = BTreeMap::new();
    for document in dataset.read(split)?.take(LOOKED_AT) {
        let document = document?;
        let told = document.text.split_whitespace().count() >= 4;
        if !told || document.text.chars().count() > MAX_CHARACTERS {
            continue;
        }
        // Tags are no label to choose by: each sentence has its own.
        let key = dataset.schema().labels.iter().find(|l| document.label.as_ref() == Some(*l));
        by_label.entry(key.cloned()).or_default().push(document);
    }
    let mut chosen = Vec::new();
    let mut left: Vec<_> = by_label.into_values().map(Vec::into_iter).collect();
    while chosen.len() < limit && !left.is_empty() {
        left.retain_mut(|documents| match documents.next() {
            Some(document) if chosen.len() < limit => {
                chosen.push(document);
                true
            }
            _ => false,
        });
    }
    let labels = &dataset.schema().labels;
    let examples = chosen.into_iter().map(|document| {
        let label = document.label.filter(|label| labels.contains(label));
        json!({ "text": document.text, "label": label })
    });
    Ok((split, examples.collect()))
}

/// Rows of the test split, as series in the order of their days.
fn series(dataset: &Dataset) -> Result<(SplitName, Value), Fault> {
    let split = split(dataset);
    let features = dataset.features()?;
    let mut groups: BTreeMap<Option<String>, Vec<Observation>> = BTreeMap::new();
    for observation in dataset.observations(split, &features)? {
        groups.entry(observation.group.clone()).or_default().push(observation);
    }
    let series = groups.into_iter().take(SERIES).map(|(group, mut rows)| {
        rows.sort_by(|a, b| a.day.cmp(&b.day));
        let rows: Vec<_> = rows
            .iter()
            .take(DAYS)
            .map(|row| {
                let fields = features.fields.iter().zip(&row.cells);
                let cells: Map<_, _> =
                    fields.map(|(field, cell)| (field.name.clone(), cell.to_json())).collect();
                json!({ "row": cells, "day": row.day, "target": row.target,
                    "baseline": row.baseline })
            })
            .collect();
        json!({ "group": group, "rows": rows })
    });
    Ok((split, series.collect()))
}
