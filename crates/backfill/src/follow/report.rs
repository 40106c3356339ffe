use std::collections::{BTreeMap, BTreeSet};

use mesh_core::{ModelVersion, ProjectName};
use mesh_stream::Position;
use serde::Serialize;

use crate::{
    BackfillError, Counts, OpenArchive, Refused, Rejected,
    follow::head::{FOLDER, Head, refused_name},
    generation::{Part, read_part},
    inputs::text_in,
};

/// What a follower did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FollowReport {
    /// The archive.
    pub archive: String,
    /// Messages that were read.
    pub messages: u64,
    /// Those that are documents.
    pub documents: u64,
    /// Those that are none.
    pub refused: u64,
    /// Messages that were published.
    pub published: u64,
    /// Batches.
    pub batches: u64,
    /// By project, what became of the documents.
    pub projects: BTreeMap<ProjectName, FollowedProject>,
    /// Messages that the stream did not keep until they were read, at most.
    pub missed: u64,
    /// Projects whose enrichment was rolled back to none: what they tell is kept, and not seen.
    pub unseen: BTreeSet<ProjectName>,
    /// Messages that were left, about.
    pub behind: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// What a project told of documents that arrived.
#[derive(Debug, Clone, Serialize)]
pub struct FollowedProject {
    /// The model version that answered last.
    pub version: ModelVersion,
    /// What became of the documents.
    pub counts: Counts,
}

/// What was followed into an archive, by all followers.
#[derive(Debug, Clone, Serialize)]
pub struct Followed {
    /// The stream.
    pub source: String,
    /// Where it is published.
    pub target: Option<String>,
    /// How far it is done with.
    pub position: Position,
    /// Messages.
    pub messages: u64,
    /// Those that are documents.
    pub documents: u64,
    /// Those that are none.
    pub refused: u64,
    /// Messages that the stream dropped before they were read, at most: they are none of those.
    pub missed: u64,
    /// Messages that are no documents, the last ones first.
    pub refusals: Vec<Refused>,
    /// By project, documents that have no answer, the last ones first.
    pub rejects: BTreeMap<ProjectName, Vec<Rejected>>,
}

impl Followed {
    /// The stream, for people: its name.
    #[must_use]
    pub fn stream(&self) -> String {
        // What identifies it is `nats:<name>:<when it was made>:<subject>`.
        let name = self.source.strip_prefix("nats:").and_then(|rest| rest.split(':').next());
        name.map_or_else(|| self.source.clone(), |name| format!("the stream {name}"))
    }
}

impl OpenArchive {
    /// What was followed into the archive, with at most so many of what was refused and rejected;
    /// nothing if nothing was.
    pub(crate) fn followed(&self, most: usize) -> Result<Option<Followed>, BackfillError> {
        let Some(head) = Head::read(&self.place)? else { return Ok(None) };
        let mut followed = Followed {
            source: head.source.clone(),
            target: head.target.as_ref().map(|target| target.name.clone()),
            position: head.position.clone(),
            messages: head.totals.messages,
            documents: head.totals.documents,
            refused: head.totals.refused,
            missed: head.totals.missed,
            refusals: Vec::new(),
            rejects: BTreeMap::new(),
        };
        let place = self.place.below(FOLDER);
        for batch in head.batches(&self.place)?.iter().rev() {
            if batch.refused > 0 && followed.refusals.len() < most {
                let bytes = place.get(&refused_name(batch.number))?.unwrap_or_default();
                let text = String::from_utf8_lossy(&bytes);
                let refused = text.lines().filter_map(|line| serde_json::from_str(line).ok());
                let mut refused: Vec<Refused> = refused.collect();
                refused.reverse();
                followed.refusals.extend(refused);
                followed.refusals.truncate(most);
            }
            for (project, _, counts) in batch.counts().filter(|(.., counts)| counts.rejected > 0) {
                let all = followed.rejects.entry(project.clone()).or_default();
                if all.len() >= most || counts.rejected == 0 {
                    continue;
                }
                let number = usize::try_from(batch.number).unwrap_or(usize::MAX);
                let part = read_part(&place.below(project.as_str()), &Part::rejects(number))?;
                let key = &self.manifest.archive.key;
                all.extend((0..part.num_rows()).rev().map(|row| rejected(&part, key, row)));
                all.truncate(most);
            }
        }
        Ok(Some(followed))
    }
}

fn rejected(batch: &arrow_array::RecordBatch, key: &str, row: usize) -> Rejected {
    let text = |name: &str| text_in(batch, name, row).unwrap_or_default();
    Rejected {
        key: text_in(batch, key, row),
        file: text("file"),
        row: text("row").parse().unwrap_or_default(),
        reason: text("reason"),
        detail: text("detail"),
    }
}
