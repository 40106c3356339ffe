//! Texts and rows to try a project with: those of its manifest, else of its own test split, else of
//! another project's.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use mesh_core::{Digest, ModelVersion, ProjectName, manifest::TaskName};
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
/// Texts that are kept, at most, for whoever asks again.
const KEPT: usize = 24;
/// Series that are shown, and days of each.
const SERIES: usize = 6;
const DAYS: usize = 90;

/// The texts that were chosen last of each project's dataset, by how many: every page asks for as
/// many, and to read them takes longer, and more memory, than all else of a page.
#[derive(Default)]
pub(crate) struct Chosen(Mutex<BTreeMap<(ProjectName, usize), (Digest, Value)>>);

impl Chosen {
    fn get(&self, project: &ProjectName, dataset: Digest, limit: usize) -> Option<Value> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = all.get(&(project.clone(), limit));
        kept.filter(|(known, _)| *known == dataset).map(|(_, told)| told.clone())
    }

    fn keep(&self, project: &ProjectName, dataset: Digest, limit: usize, told: &Value) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert((project.clone(), limit), (dataset, told.clone()));
    }
}

/// Examples of a project, and where they are from.
pub(crate) async fn examples(state: &State, shown: &Shown, limit: usize) -> Result<Value, Fault> {
    let own = shown.folder.manifest().show.as_ref().map(|show| show.examples.as_slice());
    if let Some(own @ [_, ..]) = own {
        let own: Vec<_> = own.iter().map(|text| json!({ "text": text, "label": null })).collect();
        return Ok(json!({ "from": shown.folder.name(), "split": null, "examples": own }));
    }
    if let Some(digest) = prepared(state, shown).await?
        && let Some(told) = chosen(state, shown, digest, limit).await?
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
            if let Some(digest) = prepared(state, other).await? {
                let words = words(&Dataset::open(&state.artifact(digest).await?)?);
                candidates.push((words, other, digest));
            }
        }
        candidates.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
    }
    for (_, other, digest) in candidates {
        if let Some(told) = chosen(state, other, digest, limit).await? {
            return Ok(told);
        }
    }
    Ok(json!({ "from": null, "split": null, "examples": [] }))
}

/// Some of a project's dataset; nothing if nothing in it can be shown.
async fn chosen(
    state: &State,
    shown: &Shown,
    digest: Digest,
    limit: usize,
) -> Result<Option<Value>, Fault> {
    let from = shown.folder.name();
    if let Some(told) = state.chosen.get(from, digest, limit) {
        return Ok(Some(told));
    }
    let dataset = Dataset::open(&state.artifact(digest).await?)?;
    let regression = shown.folder.manifest().project.task == TaskName::Regression;
    let found = tokio::task::spawn_blocking(move || match regression {
        true => series(&dataset),
        false => documents(&dataset, limit),
    });
    let (split, examples) = found.await??;
    if examples.as_array().is_none_or(Vec::is_empty) {
        return Ok(None);
    }
    let told = json!({ "from": from, "split": split, "examples": examples });
    // Series are long, and who asks for many texts is no page.
    if !regression && limit <= KEPT {
        state.chosen.keep(from, digest, limit, &told);
    }
    Ok(Some(told))
}

/// How many words a text of a dataset has.
fn words(dataset: &Dataset) -> f64 {
    let split = dataset.statistics().splits.get(split(dataset).as_str());
    split.map_or(0.0, |split| split.words.mean)
}

/// What a project's prepare step left.
async fn prepared(state: &State, shown: &Shown) -> Result<Option<Digest>, Fault> {
    let steps = assess(&state.workspace, &shown.folder).await?;
    let prepared = steps.iter().find(|status| status.step == mesh_core::StepName::Prepare);
    Ok(prepared.and_then(|status| status.freshness.output()))
}

/// The dataset that a project's prepare step left, if it is there.
pub(crate) async fn dataset(state: &State, shown: &Shown) -> Result<Option<Dataset>, Fault> {
    match prepared(state, shown).await? {
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
    let labels = &dataset.schema().labels;
    let mut by_label: BTreeMap<Option<String>, Vec<Document>> = BTreeMap::new();
    for document in dataset.read(split)?.take(LOOKED_AT) {
        let document = document?;
        let told = document.text.split_whitespace().count() >= 4;
        if !told || document.text.chars().count() > MAX_CHARACTERS {
            continue;
        }
        // Tags are no label to choose by: each sentence has its own.
        let key = labels.iter().find(|l| document.label.as_ref() == Some(*l));
        let alike = by_label.entry(key.cloned()).or_default();
        // More of them cannot be chosen.
        if alike.len() < limit {
            alike.push(document);
        }
        let full =
            |label: &String| by_label.get(&Some(label.clone())).is_some_and(|of| of.len() >= limit);
        if !labels.is_empty() && labels.iter().all(full) {
            break;
        }
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
