//! Rows that cannot be used: written down, counted by reason, and too many of them an error.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use mesh_dataset::RejectedRow;

use crate::{PrepareError, PrepareErrorKind, read::Reject};

pub(crate) struct Rejects {
    path: PathBuf,
    writer: BufWriter<File>,
    counts: BTreeMap<String, u64>,
    examples: BTreeMap<String, Vec<String>>,
}

/// Examples of each reason that an error names.
const EXAMPLES: usize = 3;

impl Rejects {
    pub(crate) fn create(path: &Path) -> Result<Self, PrepareError> {
        let file = File::create(path).map_err(|error| PrepareError::io(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            writer: BufWriter::new(file),
            counts: BTreeMap::new(),
            examples: BTreeMap::new(),
        })
    }

    pub(crate) fn push(&mut self, reject: Reject) -> Result<(), PrepareError> {
        *self.counts.entry(reject.reason.to_owned()).or_default() += 1;
        let examples = self.examples.entry(reject.reason.to_owned()).or_default();
        if examples.len() < EXAMPLES {
            examples.push(format!("{}: {}", reject.origin, reject.detail));
        }
        let row = RejectedRow {
            origin: reject.origin,
            reason: reject.reason.to_owned(),
            detail: reject.detail,
            start: reject.start,
        };
        let fail = |error| PrepareError::io(&self.path, error);
        serde_json::to_writer(&mut self.writer, &row).map_err(|error| fail(error.into()))?;
        self.writer.write_all(b"\n").map_err(fail)
    }

    /// The counts by reason, unless they are more than a share of the rows that were read.
    pub(crate) fn finish(
        mut self,
        read: u64,
        max_rejected: f64,
    ) -> Result<BTreeMap<String, u64>, PrepareError> {
        self.writer.flush().map_err(|error| PrepareError::io(&self.path, error))?;
        let rejected: u64 = self.counts.values().sum();
        #[expect(clippy::cast_precision_loss, reason = "counts of rows")]
        let too_many = rejected as f64 > max_rejected * read as f64;
        if !too_many {
            return Ok(self.counts);
        }
        let mut by_count: Vec<_> = self.counts.iter().collect();
        by_count.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let reason = |(reason, count): (&String, &u64)| {
            let examples = self.examples.get(reason).map(|examples| examples.join("\n    "));
            format!("  {count} {reason}, such as\n    {}", examples.unwrap_or_default())
        };
        let reasons = by_count.into_iter().map(reason).collect::<Vec<_>>().join("\n");
        Err(PrepareError::new(PrepareErrorKind::TooManyRejected { rejected, read, reasons }))
    }
}
