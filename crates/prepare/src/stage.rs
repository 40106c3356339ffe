//! The first pass: rows are read, mapped, normalised and staged on disk, with a small record
//! about each.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use mesh_core::{
    Digest, StepContext, Unit,
    manifest::{PrepareTable, SourceTable},
};
use mesh_dataset::{Dataset, Document, SplitName, SplitWriter};
use mesh_text::normalise;

use crate::{
    PrepareError, PrepareErrorKind,
    facts::{Facts, FactsReader, FactsWriter, NO_LABEL},
    labels::{Mapped, map_label, map_tags},
    read::{Opened, Reject, Row, Selection},
    rejects::Rejects,
    sketches::{Shingles, SketchWriter},
    sort::{Sorted, Sorter, record},
    time::time_key,
};

/// Copies of one text: its content, how near its split is to the test, row, label.
pub(crate) type CopyRecord = [u8; 29];

/// What the first pass leaves on disk.
pub(crate) struct Staged {
    pub(crate) rows: u64,
    pub(crate) documents: PathBuf,
    pub(crate) read: u64,
    pub(crate) left_out: u64,
    pub(crate) rejected: BTreeMap<String, u64>,
    facts: PathBuf,
}

/// What is to be searched for duplicates.
pub(crate) struct Candidates {
    pub(crate) copies: Sorted<29>,
    pub(crate) near: Option<(Shingles, Sorted<16>)>,
}

pub(crate) struct Stager<'a> {
    source: &'a SourceTable,
    prepare: &'a PrepareTable,
    context: &'a StepContext,
    documents: SplitWriter,
    facts: FactsWriter,
    rejects: Rejects,
    copies: Sorter<29>,
    sketches: Option<SketchWriter>,
    labels: HashMap<String, u32>,
    /// Whether labels are the tags of tokens.
    tagged: bool,
    staged: Staged,
}

/// Rows between two looks at whether to stop.
const CHECK_ROWS: u64 = 256;

impl<'a> Stager<'a> {
    pub(crate) fn new(
        source: &'a SourceTable,
        prepare: &'a PrepareTable,
        tagged: bool,
        (scratch, output): (&Path, &Path),
        context: &'a StepContext,
    ) -> Result<Self, PrepareError> {
        let near = &prepare.deduplicate.near;
        let sketches = match near.enabled {
            true => Some(SketchWriter::create(scratch, near, context.threads)?),
            false => None,
        };
        let staged = Staged {
            rows: 0,
            documents: scratch.join("staged.parquet"),
            read: 0,
            left_out: 0,
            rejected: BTreeMap::new(),
            facts: scratch.join("facts.bin"),
        };
        Ok(Self {
            documents: SplitWriter::create(&staged.documents)?,
            facts: FactsWriter::create(&staged.facts)?,
            rejects: Rejects::create(&output.join(Dataset::REJECTED))?,
            copies: Sorter::new(scratch, "copies"),
            sketches,
            labels: HashMap::new(),
            tagged,
            source,
            prepare,
            context,
            staged,
        })
    }

    /// Reads all files. `split_of` says which split the source gives to a file.
    pub(crate) fn run(
        mut self,
        files: &[(String, PathBuf)],
        split_of: &dyn Fn(&str) -> Option<SplitName>,
    ) -> Result<(Staged, Candidates), PrepareError> {
        let size = |path: &PathBuf| path.metadata().map_or(0, |found| found.len());
        let total = files.iter().map(|(_, path)| size(path)).sum();
        let selection = Selection::new(self.source, None)?;
        let task = self.context.progress.begin("read and normalise", Some(total), Unit::Bytes);
        for (name, path) in files {
            task.note(&format!("read {}", name.rsplit('/').next().unwrap_or(name)));
            let split = split_of(name);
            let (source, progress) = (self.source, task.as_ref());
            let selection = &selection;
            let file = Opened { name, path, source, selection, progress };
            file.read(&mut |row| self.take(row, split))?;
        }
        self.finish()
    }

    fn take(
        &mut self,
        row: Result<Row, Reject>,
        split: Option<SplitName>,
    ) -> Result<(), PrepareError> {
        if self.staged.read.is_multiple_of(CHECK_ROWS) {
            self.context.cancel.check()?;
        }
        self.staged.read += 1;
        match row.and_then(|row| self.usable(row, split)) {
            Ok(Some((document, facts))) => self.stage(document, facts),
            Ok(None) => {
                self.staged.left_out += 1;
                Ok(())
            }
            Err(reject) => self.rejects.push(reject),
        }
    }

    /// A row as a document; nothing if it is left out on purpose.
    fn usable(
        &mut self,
        row: Row,
        split: Option<SplitName>,
    ) -> Result<Option<(Document, Facts)>, Reject> {
        if row.left_out {
            return Ok(None);
        }
        let at = |reject: Reject| reject.at(row.origin.clone(), row.text.as_bytes());
        let text = self.text(&row.text).map_err(at)?;
        let labels = &self.source.labels;
        let label = match row.label.as_deref() {
            Some(given) if self.tagged => Some(map_tags(&text, given, labels).map_err(at)?),
            None if self.tagged => return Err(at(Reject::new("no-label", "it has no tags"))),
            Some(given) => match map_label(given, labels).map_err(at)? {
                Mapped::Label(label) => Some(label),
                Mapped::LeftOut => return Ok(None),
            },
            None => None,
        };
        let given = match row.split.as_deref() {
            Some(given) => Some(
                given.trim().parse().map_err(|error| at(Reject::new("unknown-split", error)))?,
            ),
            None => split,
        };
        let time = match &row.time {
            Some(time) => time_key(time).ok_or_else(|| {
                let detail = format!("`{}` is no date, time or number", brief(time));
                at(Reject::new("not-a-time", detail))
            })?,
            None => 0,
        };
        #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
        let group = match row.group.as_deref().map(str::trim) {
            None | Some("") => 0,
            Some(group) => hash(group) as u64,
        };
        let content = hash(&text);
        // Sentences are not dealt by their tags.
        let label_index = match &label {
            Some(label) if !self.tagged => self.label(label),
            _ => NO_LABEL,
        };
        let facts = Facts { content, label: label_index, split: given, group, time };
        let id = row.id.unwrap_or_else(|| row.origin.clone());
        Ok(Some((Document { id, text, label, origin: row.origin }, facts)))
    }

    /// The normalised text, if it may be used.
    fn text(&self, given: &str) -> Result<String, Reject> {
        let text = normalise(given, &self.prepare.normalise);
        let characters = text.chars().count();
        let PrepareTable { min_characters: min, max_characters: max, .. } = *self.prepare;
        if text.trim().is_empty() {
            return Err(Reject::new("empty-text", "the text is empty"));
        }
        if characters < min {
            return Err(Reject::new("too-short", format!("{characters} characters of {min}")));
        }
        if characters > max {
            let detail = format!("{characters} characters, {max} are allowed");
            return Err(Reject::new("too-long", detail));
        }
        Ok(text)
    }

    fn label(&mut self, label: &str) -> u32 {
        if let Some(index) = self.labels.get(label) {
            return *index;
        }
        let index = u32::try_from(self.labels.len()).unwrap_or(NO_LABEL);
        self.labels.insert(label.to_owned(), index);
        index
    }

    fn stage(&mut self, document: Document, facts: Facts) -> Result<(), PrepareError> {
        self.documents.write(&document)?;
        self.facts.push(facts)?;
        self.copies.push(record(&[
            &facts.content.to_be_bytes(),
            &[nearness(facts.split)],
            &self.staged.rows.to_be_bytes(),
            &facts.label.to_be_bytes(),
        ]))?;
        if let Some(sketches) = &mut self.sketches {
            sketches.push(document.text)?;
        }
        self.staged.rows += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<(Staged, Candidates), PrepareError> {
        self.documents.finish()?;
        self.facts.finish()?;
        let read = self.staged.read;
        self.staged.rejected = self.rejects.finish(read, self.prepare.max_rejected)?;
        if read == 0 {
            return Err(PrepareError::new(PrepareErrorKind::NoRows));
        }
        let near = self.sketches.map(SketchWriter::finish).transpose()?;
        Ok((self.staged, Candidates { copies: self.copies.finish()?, near }))
    }
}

impl Staged {
    /// The facts of all rows, in their order.
    pub(crate) fn facts(&self) -> Result<FactsReader, PrepareError> {
        FactsReader::open(&self.facts)
    }
}

/// Of copies of a text, the one nearest to the test is kept: so a test split stays as it is
/// given.
const fn nearness(split: Option<SplitName>) -> u8 {
    match split {
        Some(SplitName::Test) => 0,
        Some(SplitName::Validation) => 1,
        Some(SplitName::Train) | None => 2,
    }
}

/// Half of a digest.
fn hash(text: &str) -> u128 {
    let digest = Digest::of(text.as_bytes());
    u128::from_be_bytes(digest.as_bytes().first_chunk::<16>().copied().unwrap_or_default())
}

pub(crate) fn brief(text: &str) -> String {
    text.chars().take(60).collect()
}
