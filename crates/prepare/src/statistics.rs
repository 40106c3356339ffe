//! What is in a split, counted while it is written.

use std::collections::BTreeMap;

use mesh_core::tags::spans;
use mesh_dataset::{Document, LengthStatistics, SplitStatistics};
use mesh_text::word_count;

/// Counts lengths in buckets that grow by 5 per cent: percentiles in constant memory.
#[derive(Debug, Default)]
struct Lengths {
    buckets: BTreeMap<u32, u64>,
    count: u64,
    sum: u64,
    min: Option<u64>,
    max: u64,
}

/// Counts the documents of a split.
#[derive(Debug, Default)]
pub(crate) struct SplitCounter {
    /// Whether labels are the tags of tokens: entities are counted then.
    tagged: bool,
    rows: u64,
    labels: BTreeMap<String, u64>,
    characters: Lengths,
    words: Lengths,
}

const GROWTH: f64 = 1.05;

impl Lengths {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a length's bucket"
    )]
    fn add(&mut self, length: u64) {
        let bucket = (length.max(1) as f64).log(GROWTH).round() as u32;
        *self.buckets.entry(bucket).or_default() += 1;
        self.count += 1;
        self.sum += length;
        self.min = Some(self.min.map_or(length, |min| min.min(length)));
        self.max = self.max.max(length);
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "lengths and counts"
    )]
    fn finish(&self) -> LengthStatistics {
        let percentile = |share: f64| {
            let wanted = (share * self.count as f64).ceil() as u64;
            let mut seen = 0;
            for (bucket, count) in &self.buckets {
                seen += count;
                if seen >= wanted {
                    let length =
                        GROWTH.powi(i32::try_from(*bucket).unwrap_or(i32::MAX)).round() as u64;
                    return length.clamp(self.min.unwrap_or(0), self.max);
                }
            }
            self.max
        };
        LengthStatistics {
            min: self.min.unwrap_or(0),
            mean: self.sum as f64 / self.count.max(1) as f64,
            p50: percentile(0.5),
            p95: percentile(0.95),
            max: self.max,
        }
    }
}

impl SplitCounter {
    pub(crate) fn new(tagged: bool) -> Self {
        Self { tagged, ..Self::default() }
    }

    pub(crate) fn add(&mut self, document: &Document) {
        self.rows += 1;
        match &document.label {
            Some(tags) if self.tagged => {
                for span in spans(tags.split(' ')) {
                    *self.labels.entry(span.kind.to_owned()).or_default() += 1;
                }
            }
            Some(label) => *self.labels.entry(label.clone()).or_default() += 1,
            None => {}
        }
        self.characters.add(document.text.chars().count() as u64);
        self.words.add(word_count(&document.text) as u64);
    }

    pub(crate) fn finish(self) -> SplitStatistics {
        SplitStatistics {
            rows: self.rows,
            characters: self.characters.finish(),
            words: self.words.finish(),
            labels: self.labels,
        }
    }
}
