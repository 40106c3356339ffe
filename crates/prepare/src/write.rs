//! The last pass: staged rows go to their splits.

use std::{fs, path::Path};

use mesh_core::{StepContext, Unit};
use mesh_dataset::{
    Dataset, DatasetSchema, LeakageExample, SplitName, SplitWriter, Statistics, read_split,
};
use mesh_text::language;
use serde::Serialize;

use crate::{
    PrepareError,
    duplicates::{Clusters, Verdict},
    stage::Staged,
    statistics::SplitCounter,
};

/// Documents whose language is guessed.
const LANGUAGE_SAMPLE: u64 = 2000;
/// Characters of a document by which its language is guessed.
const LANGUAGE_CHARACTERS: usize = 1000;

/// Writes the splits, and completes the statistics.
pub(crate) fn write_splits(
    staged: &Staged,
    verdicts: &[Verdict],
    clusters: &Clusters,
    (output, tagged, context): (&Path, bool, &StepContext),
    mut statistics: Statistics,
) -> Result<Statistics, PrepareError> {
    let path = |split: SplitName| output.join(split.file_name());
    let mut writers = Vec::new();
    for split in SplitName::ALL {
        writers.push((SplitWriter::create(&path(split))?, SplitCounter::new(tagged)));
    }
    let task = context.progress.begin("write the splits", Some(staged.rows), Unit::Items);
    let every = (staged.rows / LANGUAGE_SAMPLE).max(1);
    let mut origins = clusters
        .examples
        .iter()
        .map(|(first, second, similarity)| {
            let empty = String::new;
            ([*first, *second], [empty(), empty()], *similarity)
        })
        .collect::<Vec<_>>();
    for (row, document) in (0u64..).zip(read_split(&staged.documents)?) {
        let document = document?;
        if row.is_multiple_of(512) {
            context.cancel.check()?;
        }
        task.advance(1);
        for (rows, names, _) in &mut origins {
            for (wanted, name) in rows.iter().zip(names) {
                if *wanted == row {
                    document.origin.clone_into(name);
                }
            }
        }
        let split = verdicts.get(row as usize).and_then(|verdict| verdict.split());
        let Some((writer, counter)) = split.and_then(|split| writers.get_mut(split as usize))
        else {
            continue;
        };
        if row.is_multiple_of(every) {
            let head = document.text.char_indices().nth(LANGUAGE_CHARACTERS);
            let head = head.and_then(|(end, _)| document.text.get(..end));
            let code = language(head.unwrap_or(&document.text)).unwrap_or("und");
            *statistics.languages.entry(code.to_owned()).or_default() += 1;
        }
        counter.add(&document);
        writer.write(&document)?;
    }
    for (split, (writer, counter)) in SplitName::ALL.into_iter().zip(writers) {
        writer.finish()?;
        statistics.splits.insert(split.to_string(), counter.finish());
    }
    statistics.leakage.examples = origins
        .into_iter()
        .map(|(_, [first, second], similarity)| LeakageExample { first, second, similarity })
        .collect();
    let mut labels: Vec<String> =
        statistics.splits.values().flat_map(|split| split.labels.keys().cloned()).collect();
    labels.sort_unstable();
    labels.dedup();
    write_json(&output.join(Dataset::SCHEMA), &DatasetSchema::documents(labels))?;
    write_json(&output.join(Dataset::STATISTICS), &statistics)?;
    Ok(statistics)
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), PrepareError> {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    fs::write(path, text).map_err(|error| PrepareError::io(path, error))
}
