//! The first pass: rows are read, mapped, normalised and staged on disk, with a small record
//! about each.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use mesh_core::{
    Digest, StepContext, Unit,
    manifest::{PrepareTable, SourceTable},
};
use mesh_dataset::{Dataset, Document, RejectedRow, SplitName, SplitWriter};
use mesh_minhash::{MinHasher, band_hashes, bands};
use mesh_text::{normalise, words};

use crate::{
    PrepareError, PrepareErrorKind,
    labels::{Mapped, map_label},
    read::{Reject, Row, read},
    sort::{Sorter, record},
};

/// What is known of a staged row: 37 bytes in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The first half of the digest of its text.
    pub(crate) content: u128,
    /// Its label, as an index into the labels found; `NO_LABEL` without one.
    pub(crate) label: u32,
    /// The split that the source gives.
    pub(crate) split: Option<SplitName>,
    /// A hash of its group.
    pub(crate) group: u64,
    /// Its time, in an order of the caller's own.
    pub(crate) time: u64,
}

pub(crate) const NO_LABEL: u32 = u32::MAX;
const FACTS: usize = 37;

/// Copies of one text: its content, how near its split is to the test, row, label.
pub(crate) type CopyRecord = [u8; 29];
/// Candidates for near-duplicates: a band's hash and the row.
pub(crate) type BandRecord = [u8; 16];

/// What the first pass leaves.
pub(crate) struct Staged {
    pub(crate) rows: u64,
    pub(crate) documents: PathBuf,
    pub(crate) labels: Vec<String>,
    pub(crate) read: u64,
    pub(crate) left_out: u64,
    pub(crate) rejected: BTreeMap<String, u64>,
    pub(crate) copies: Sorter<29>,
    pub(crate) bands: Sorter<16>,
    pub(crate) permutations: usize,
    facts: PathBuf,
    signatures: PathBuf,
}

pub(crate) struct Stager<'a> {
    source: &'a SourceTable,
    prepare: &'a PrepareTable,
    context: &'a StepContext,
    documents: SplitWriter,
    facts: BufWriter<File>,
    signatures: BufWriter<File>,
    rejects: BufWriter<File>,
    rejects_path: PathBuf,
    hasher: Option<(MinHasher, (usize, usize))>,
    label_index: HashMap<String, u32>,
    first_rejects: BTreeMap<String, Vec<String>>,
    staged: Staged,
}

/// Examples of each reason that an error names.
const EXAMPLES: usize = 3;
/// Rows between two looks at whether to stop.
const CHECK_ROWS: u64 = 256;

impl<'a> Stager<'a> {
    pub(crate) fn new(
        source: &'a SourceTable,
        prepare: &'a PrepareTable,
        (scratch, output): (&Path, &Path),
        context: &'a StepContext,
    ) -> Result<Self, PrepareError> {
        let create = |path: &Path| {
            File::create(path).map(BufWriter::new).map_err(|error| PrepareError::io(path, error))
        };
        let near = &prepare.deduplicate.near;
        let hasher = near.enabled.then(|| {
            let cut = bands(near.threshold, near.permutations);
            (MinHasher::new(near.permutations, near.shingle), cut)
        });
        let staged = Staged {
            rows: 0,
            documents: scratch.join("staged.parquet"),
            labels: Vec::new(),
            read: 0,
            left_out: 0,
            rejected: BTreeMap::new(),
            copies: Sorter::new(scratch, "copies"),
            bands: Sorter::new(scratch, "bands"),
            permutations: near.permutations,
            facts: scratch.join("facts.bin"),
            signatures: scratch.join("signatures.bin"),
        };
        let rejects_path = output.join(Dataset::REJECTED);
        Ok(Self {
            documents: SplitWriter::create(&staged.documents)?,
            facts: create(&staged.facts)?,
            signatures: create(&staged.signatures)?,
            rejects: create(&rejects_path)?,
            rejects_path,
            hasher,
            label_index: HashMap::new(),
            first_rejects: BTreeMap::new(),
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
    ) -> Result<Staged, PrepareError> {
        let size = |path: &PathBuf| path.metadata().map_or(0, |found| found.len());
        let total = files.iter().map(|(_, path)| size(path)).sum();
        let task = self.context.progress.begin("read and normalise", Some(total), Unit::Bytes);
        for (name, path) in files {
            task.note(&format!("read {}", name.rsplit('/').next().unwrap_or(name)));
            let split = split_of(name);
            let source = self.source;
            read(name, path, source, &mut |row| self.take(row, split))?;
            task.advance(size(path));
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
            Ok(Some((document, facts))) => self.stage(&document, facts),
            Ok(None) => {
                self.staged.left_out += 1;
                Ok(())
            }
            Err(reject) => self.reject(reject),
        }
    }

    /// A row as a document; nothing if it is left out on purpose.
    fn usable(
        &mut self,
        row: Row,
        split: Option<SplitName>,
    ) -> Result<Option<(Document, Facts)>, Reject> {
        let origin = row.origin.clone();
        let at = |reject: Reject| reject.at(origin.clone(), row.text.as_bytes());
        let label = match row.label.as_deref() {
            Some(given) => match map_label(given, &self.source.labels).map_err(at)? {
                Mapped::Label(label) => Some(label),
                Mapped::LeftOut => return Ok(None),
            },
            None => None,
        };
        let text = normalise(&row.text, &self.prepare.normalise);
        let characters = text.chars().count();
        let PrepareTable { min_characters, max_characters, .. } = *self.prepare;
        if text.trim().is_empty() {
            return Err(at(Reject::new("empty-text", "the text is empty")));
        }
        if characters < min_characters {
            return Err(at(Reject::new("too-short", format!("{characters} characters"))));
        }
        if characters > max_characters {
            return Err(at(Reject::new("too-long", format!("{characters} characters"))));
        }
        let given = match row.split.as_deref() {
            Some(given) => Some(
                given.parse().map_err(|error: String| at(Reject::new("unknown-split", error)))?,
            ),
            None => split,
        };
        let time = match &row.time {
            Some(time) => time_key(time).ok_or_else(|| {
                at(Reject::new("not-a-time", format!("`{time}` is no date, time or number")))
            })?,
            None if self.source.columns.time.is_some() => {
                return Err(at(Reject::new("not-a-time", "there is no time")));
            }
            None => 0,
        };
        let half = |digest: Digest| {
            let bytes = digest.as_bytes().first_chunk::<16>().copied().unwrap_or_default();
            u128::from_be_bytes(bytes)
        };
        #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
        let group = row.group.as_ref().map_or(0, |group| half(Digest::of(group.as_bytes())) as u64);
        let content = half(Digest::of(text.as_bytes()));
        let label_index = label.as_ref().map_or(NO_LABEL, |label| self.label(label));
        let facts = Facts { content, label: label_index, split: given, group, time };
        let id = row.id.unwrap_or_else(|| row.origin.clone());
        Ok(Some((Document { id, text, label, origin: row.origin }, facts)))
    }

    fn label(&mut self, label: &str) -> u32 {
        if let Some(index) = self.label_index.get(label) {
            return *index;
        }
        let index = u32::try_from(self.staged.labels.len()).unwrap_or(NO_LABEL);
        self.staged.labels.push(label.to_owned());
        self.label_index.insert(label.to_owned(), index);
        index
    }

    fn stage(&mut self, document: &Document, facts: Facts) -> Result<(), PrepareError> {
        let row = self.staged.rows.to_be_bytes();
        self.documents.write(document)?;
        let bytes = facts.to_bytes();
        let path = &self.staged.facts;
        self.facts.write_all(&bytes).map_err(|error| PrepareError::io(path, error))?;
        let nearness = [nearness(facts.split)];
        let label = facts.label.to_be_bytes();
        let copy = record(&[&facts.content.to_be_bytes(), &nearness, &row, &label]);
        self.staged.copies.push(copy)?;
        if let Some((hasher, cut)) = &self.hasher {
            let signature = hasher.signature_of(words(&document.text));
            for hash in signature.iter().flat_map(|signature| band_hashes(signature, *cut)) {
                self.staged.bands.push(record(&[&hash.to_be_bytes(), &row]))?;
            }
            // A text without words has no candidates; its place in the file is kept.
            let signature = signature.unwrap_or_else(|| vec![0; self.staged.permutations]);
            let bytes: Vec<u8> = signature.iter().flat_map(|value| value.to_le_bytes()).collect();
            let path = &self.staged.signatures;
            self.signatures.write_all(&bytes).map_err(|error| PrepareError::io(path, error))?;
        }
        self.staged.rows += 1;
        Ok(())
    }

    fn reject(&mut self, reject: Reject) -> Result<(), PrepareError> {
        *self.staged.rejected.entry(reject.reason.to_owned()).or_default() += 1;
        let examples = self.first_rejects.entry(reject.reason.to_owned()).or_default();
        if examples.len() < EXAMPLES {
            examples.push(format!("{}: {}", reject.origin, reject.detail));
        }
        let row = RejectedRow {
            origin: reject.origin,
            reason: reject.reason.to_owned(),
            detail: reject.detail,
            start: reject.start,
        };
        let line = serde_json::to_string(&row).unwrap_or_default();
        let path = &self.rejects_path;
        writeln!(self.rejects, "{line}").map_err(|error| PrepareError::io(path, error))
    }

    fn finish(mut self) -> Result<Staged, PrepareError> {
        self.documents.finish()?;
        for (writer, path) in [
            (&mut self.facts, &self.staged.facts),
            (&mut self.signatures, &self.staged.signatures),
            (&mut self.rejects, &self.rejects_path),
        ] {
            writer.flush().map_err(|error| PrepareError::io(path, error))?;
        }
        let rejected: u64 = self.staged.rejected.values().sum();
        let read = self.staged.read;
        if read == 0 {
            return Err(PrepareError::new(PrepareErrorKind::NoRows));
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of rows")]
        if rejected as f64 > self.prepare.max_rejected * read as f64 {
            let reason = |(reason, count): (&String, &u64)| {
                let examples = self.first_rejects.get(reason).map(|e| e.join("\n    "));
                format!("  {count} {reason}, such as\n    {}", examples.unwrap_or_default())
            };
            let reasons: Vec<_> = self.staged.rejected.iter().map(reason).collect();
            let reasons = reasons.join("\n");
            let kind = PrepareErrorKind::TooManyRejected { rejected, read, reasons };
            return Err(PrepareError::new(kind));
        }
        Ok(self.staged)
    }
}

impl Staged {
    /// The facts of all rows, in their order.
    pub(crate) fn facts(&self) -> Result<FactsReader, PrepareError> {
        let file = File::open(&self.facts).map_err(|error| PrepareError::io(&self.facts, error))?;
        Ok(FactsReader { path: self.facts.clone(), reader: BufReader::new(file) })
    }

    /// The signatures, to be looked up by row.
    pub(crate) fn signatures(&self) -> Result<File, PrepareError> {
        File::open(&self.signatures).map_err(|error| PrepareError::io(&self.signatures, error))
    }

    pub(crate) fn signatures_error(&self, error: std::io::Error) -> PrepareError {
        PrepareError::io(&self.signatures, error)
    }
}

pub(crate) struct FactsReader {
    path: PathBuf,
    reader: BufReader<File>,
}

impl Iterator for FactsReader {
    type Item = Result<Facts, PrepareError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = [0; FACTS];
        match self.reader.read_exact(&mut bytes) {
            Ok(()) => Some(Ok(Facts::from_bytes(&bytes))),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => None,
            Err(error) => Some(Err(PrepareError::io(&self.path, error))),
        }
    }
}

impl Facts {
    fn to_bytes(self) -> [u8; FACTS] {
        let split = [self.split.map_or(u8::MAX, |split| split as u8)];
        record(&[
            &self.content.to_be_bytes(),
            &self.label.to_be_bytes(),
            &split,
            &self.group.to_be_bytes(),
            &self.time.to_be_bytes(),
        ])
    }

    fn from_bytes(bytes: &[u8; FACTS]) -> Self {
        let number = |at| crate::sort::number(bytes, at);
        let label = bytes.get(16..).and_then(|rest| rest.first_chunk::<4>());
        let split = bytes.get(20).and_then(|split| SplitName::ALL.get(usize::from(*split)));
        Self {
            content: (u128::from(number(0)) << 64) | u128::from(number(8)),
            label: label.map_or(NO_LABEL, |label| u32::from_be_bytes(*label)),
            split: split.copied(),
            group: number(21),
            time: number(29),
        }
    }
}

/// Of copies of a text, the one nearest to the test is kept: so a test split stays as it is
/// given.
pub(crate) const fn nearness(split: Option<SplitName>) -> u8 {
    match split {
        Some(SplitName::Test) => 0,
        Some(SplitName::Validation) => 1,
        Some(SplitName::Train) | None => 2,
    }
}

/// A time as a number that sorts like it: a number, or a date or time of ISO 8601 (its offset
/// from UTC is followed).
fn time_key(text: &str) -> Option<u64> {
    let text = text.trim();
    let value = match text.parse::<f64>() {
        Ok(value) if value.is_finite() => value,
        _ => seconds(text)?,
    };
    let bits = value.to_bits();
    // The usual trick: IEEE numbers sort like integers once negative ones are turned around.
    Some(if bits >> 63 == 0 { bits | (1 << 63) } else { !bits })
}

fn seconds(text: &str) -> Option<f64> {
    let (date, time) = match text.split_once(['T', ' ', 't']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year: i64 = parts.next().filter(|year| year.len() == 4)?.parse().ok()?;
    let month: i64 = parts.next()?.parse().ok().filter(|month| (1..=12).contains(month))?;
    let day: i64 = parts.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    // Days since 1970 (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let year = if month <= 2 { year - 1 } else { year };
    let era_year = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = era_year * 365 + era_year / 4 - era_year / 100 + day_of_year;
    let days = year.div_euclid(400) * 146_097 + day_of_era - 719_468;
    #[expect(clippy::cast_precision_loss, reason = "days of the calendar")]
    let mut seconds = days as f64 * 86_400.0;
    let Some(time) = time else { return Some(seconds) };
    let (clock, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => (time.get(..at)?, time.get(at..)?),
        None => (time, "Z"),
    };
    for (part, unit) in clock.split(':').zip([3600.0, 60.0, 1.0]) {
        seconds += part.parse::<f64>().ok().filter(|part| (0.0..61.0).contains(part))? * unit;
    }
    if let Some(sign) = offset.chars().next().filter(|sign| matches!(sign, '+' | '-')) {
        let digits: String = offset.chars().filter(char::is_ascii_digit).collect();
        let hours: f64 = digits.get(..2)?.parse().ok()?;
        let minutes: f64 = digits.get(2..4).map_or(Some(0.0), |minutes| minutes.parse().ok())?;
        let away = hours * 3600.0 + minutes * 60.0;
        seconds -= if sign == '+' { away } else { -away };
    }
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sort() {
        let ascending = [
            "-3",
            "0",
            "2.5",
            "1969-12-31",
            "1970-01-02",
            "2023-12-31T23:59:59Z",
            "2024-01-01T01:00:00+00:30",
            "2024-01-01 00:45",
            "2024-02-29",
            "2024-03-01T00:00:00Z",
        ];
        // Numbers and dates are not meant to be mixed; both kinds sort among themselves.
        for pair in ascending[..3].windows(2).chain(ascending[3..].windows(2)) {
            assert!(time_key(pair[0]) < time_key(pair[1]), "{pair:?}");
        }
        assert_eq!(seconds("1970-01-02"), Some(86_400.0));
        for bad in ["", "yesterday", "2024-13-01", "2024-01-32", "2024-01-01Tnoon", "NaN"] {
            assert_eq!(time_key(bad), None, "{bad}");
        }
    }
}
