//! What was followed, and how far: the file whose change is the commit of a batch.

use std::collections::BTreeMap;

use bytes::Bytes;
use mesh_core::{ModelVersion, ProjectName};
use mesh_stream::Position;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{BackfillError, BackfillErrorKind, Counts, Part, generation::is_none, place::Place};

/// The folder of an archive's enrichments that holds what was followed. No project has that name.
pub(crate) const FOLDER: &str = "_stream";
const HEAD: &str = "head.json";
const FORMAT: u32 = 1;
/// Batches that stand in the head itself; older ones are put away in pages, so that a commit
/// writes little however many there are.
const RECENT: usize = 64;

/// How far a stream is followed, and what its last batches left: `_stream/head.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// The version of this format.
    pub(super) format: u32,
    /// What the position belongs to.
    pub(super) source: String,
    /// How far it is done with.
    pub(super) position: Position,
    /// The number of the last batch; 0 before the first.
    pub(super) batch: u64,
    /// Where it is published; null if nowhere.
    pub(super) target: Option<Target>,
    /// What became of all messages.
    pub(super) totals: Totals,
    /// How many pages of older batches there are.
    pub(super) pages: u64,
    /// The batches after those.
    pub(super) recent: Vec<Batch>,
}

/// Where documents are published with what was told of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Target {
    /// The place.
    pub(super) name: String,
    /// The mark behind all that was published there before the last batch.
    pub(super) mark: u64,
}

/// What became of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Totals {
    /// Messages.
    pub(super) messages: u64,
    /// Those that are documents.
    pub(super) documents: u64,
    /// Those that are none.
    pub(super) refused: u64,
    /// Messages that the stream dropped before they were read, at most. They are none of those.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(super) missed: u64,
}

/// What a batch left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    /// Its number, from 1.
    pub(super) number: u64,
    /// The file of its documents; null if it has none, or they are not kept.
    pub(super) file: Option<String>,
    /// Whether its keys are kept in a file of their own, as its documents are not.
    pub(super) keys: bool,
    /// How many messages were refused.
    pub(super) refused: u64,
    /// What became of its documents, by project; with a part of the enrichment, if they are kept.
    pub(super) told: BTreeMap<ProjectName, Told>,
}

/// What a project told of the documents of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Told {
    /// The model version that answered.
    pub(crate) version: ModelVersion,
    /// The digest of what answered.
    pub(crate) digest: String,
    /// The column that names documents.
    pub(crate) key_column: String,
    /// The fields of a prediction, each with its column.
    pub(crate) columns: Vec<(String, String)>,
    /// Its part, in the folder of the project in this one.
    pub(crate) part: Part,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    format: u32,
    batches: Vec<Batch>,
}

impl Head {
    /// What was followed in the place of an archive's enrichments; nothing if nothing was.
    pub(super) fn read(enrichments: &Place) -> Result<Option<Self>, BackfillError> {
        let place = enrichments.below(FOLDER);
        let head: Option<Self> = read(&place, HEAD)?;
        match head {
            Some(head) if head.format != FORMAT => Err(damaged(&place, HEAD)),
            head => Ok(head),
        }
    }

    /// A head before any batch.
    pub(super) fn new(source: &str) -> Self {
        Self { format: FORMAT, source: source.to_owned(), ..Self::default() }
    }

    /// All batches, the oldest first.
    pub(super) fn batches(&self, enrichments: &Place) -> Result<Vec<Batch>, BackfillError> {
        let place = enrichments.below(FOLDER);
        let mut all = Vec::new();
        for page in 0..self.pages {
            let name = page_name(page);
            let page: Option<Page> = read(&place, &name)?;
            let page = page.filter(|page| page.format == FORMAT);
            all.extend(page.ok_or_else(|| damaged(&place, &name))?.batches);
        }
        all.extend(self.recent.iter().cloned());
        Ok(all)
    }

    /// Takes a batch in; [`Head::commit`] makes it so.
    pub(super) fn push(&mut self, enrichments: &Place, batch: Batch) -> Result<(), BackfillError> {
        if self.recent.len() >= RECENT {
            // A page that a killed process wrote is written again with the same batches.
            let batches = std::mem::take(&mut self.recent);
            let page = Page { format: FORMAT, batches };
            let bytes = serde_json::to_vec(&page).unwrap_or_default();
            enrichments.below(FOLDER).replace(&page_name(self.pages), bytes.into())?;
            self.pages += 1;
        }
        self.batch = batch.number;
        self.recent.push(batch);
        Ok(())
    }

    /// Makes it what was followed, in one move, if what is there is still what it came from:
    /// `before` is the number of the last batch of that.
    pub(super) fn commit(&self, enrichments: &Place, before: u64) -> Result<(), BackfillError> {
        let place = enrichments.below(FOLDER);
        let found = place.get_versioned(HEAD)?;
        let there = match &found {
            None => 0,
            Some(found) => {
                let head: Self = serde_json::from_slice(&found.bytes)
                    .map_err(|error| damaged(&place, HEAD).because(error))?;
                head.batch
            }
        };
        let bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        if there == before && place.swap(HEAD, Bytes::from(bytes), found.as_ref())? {
            return Ok(());
        }
        let what = "another process follows the stream into the same archive".to_owned();
        Err(BackfillError::new("follow the stream", BackfillErrorKind::InTheWay(what))
            .help("end the other one, or this one: nothing was lost or done twice"))
    }
}

impl Batch {
    /// By project, what became of its documents.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&ProjectName, &Told, Counts)> {
        self.told.iter().map(|(project, told)| (project, told, told.part.counts))
    }
}

/// The file of messages of a batch that were refused.
pub(super) fn refused_name(batch: u64) -> String {
    format!("refused-{batch:08}.jsonl")
}

/// The file of the keys of a batch whose documents are not kept.
pub(super) fn keys_name(batch: u64) -> String {
    format!("keys-{batch:08}")
}

fn page_name(page: u64) -> String {
    format!("page-{page:06}.json")
}

fn read<T: DeserializeOwned>(place: &Place, name: &str) -> Result<Option<T>, BackfillError> {
    let Some(bytes) = place.get(name)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| damaged(place, name).because(error))
}

fn damaged(place: &Place, name: &str) -> BackfillError {
    let kind = BackfillErrorKind::Damaged(place.shown(name));
    BackfillError::new("read what was followed", kind)
        .help("a newer `mesh` may have written it: update this one")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the first version wrote it.
    const FIRST: &str = include_str!("../../fixtures/stream-head-1.json");

    fn place(folder: &std::path::Path) -> (tokio::runtime::Runtime, Place) {
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        let place = Place::folder(folder, runtime.handle().clone()).unwrap();
        (runtime, place)
    }

    fn message(sequence: u64) -> mesh_stream::Message {
        mesh_stream::Message { partition: 0, sequence, stamp: 0, payload: Bytes::new() }
    }

    #[test]
    fn todays_reader_reads_the_first_format() {
        let folder = tempfile::tempdir().unwrap();
        let (_runtime, place) = place(folder.path());
        place.below(FOLDER).replace(HEAD, FIRST.into()).unwrap();
        let head = Head::read(&place).unwrap().unwrap();
        assert_eq!((head.batch, head.position.of(0)), (1, Some(3)));
        assert_eq!(head.recent[0].told.len(), 1);
        let again: Head = serde_json::from_slice(&serde_json::to_vec(&head).unwrap()).unwrap();
        assert_eq!(again, head);
        let other = FIRST.replace("\"format\": 1", "\"format\": 2");
        place.below(FOLDER).replace(HEAD, other.into()).unwrap();
        assert!(Head::read(&place).is_err());
    }

    #[test]
    fn batches_are_put_away_in_pages_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let (_runtime, place) = place(folder.path());
        let mut head = Head::new("a");
        for number in 1..=200 {
            let batch =
                Batch { number, file: None, keys: false, refused: 0, told: BTreeMap::new() };
            head.push(&place, batch).unwrap();
            head.position.reach(&message(number));
            head.commit(&place, number - 1).unwrap();
        }
        let found = Head::read(&place).unwrap().unwrap();
        assert_eq!((found.pages, found.recent.len()), (3, 8));
        let numbers: Vec<u64> =
            found.batches(&place).unwrap().iter().map(|batch| batch.number).collect();
        assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
        // Whoever comes from an older state does not take the place of what others did.
        assert!(head.commit(&place, 199).is_err());
    }
}
