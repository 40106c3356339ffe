use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `statistics.json` of a dataset: what was read, what became of it, what is in the splits.
///
/// Every row that was read is in exactly one place: `read` = rows of all splits + `rejected` +
/// `left_out` + exact duplicates dropped + near-duplicates dropped.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Statistics {
    /// Rows read from the source.
    pub read: u64,
    /// Rows that could not be used, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Rows left out on purpose: in a bin without a label.
    pub left_out: u64,
    /// Documents that occur more than once.
    pub duplicates: DuplicateStatistics,
    /// Near-duplicates across splits.
    pub leakage: LeakageStatistics,
    /// What is in each split.
    pub splits: BTreeMap<String, SplitStatistics>,
    /// Languages of a sample of documents, by ISO 639 code; `und` where none is clear.
    pub languages: BTreeMap<String, u64>,
}

/// Documents with the same normalised text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DuplicateStatistics {
    /// Texts that occurred more than once.
    pub texts: u64,
    /// Rows dropped because their text was there already.
    pub dropped: u64,
    /// Rows dropped whose label was another than that of the row that was kept.
    pub conflicting_labels: u64,
}

/// Near-duplicates, and what was done so that none is on two sides.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeakageStatistics {
    /// The Jaccard similarity from which on two documents count as near-duplicates.
    pub threshold: f64,
    /// Groups of near-duplicates.
    pub clusters: u64,
    /// Documents in them.
    pub documents: u64,
    /// Documents in the largest.
    pub largest: u64,
    /// Groups that a split without regard to them would have cut apart: the leakage before.
    pub across_splits: u64,
    /// Groups that are in several splits nevertheless: the leakage after.
    pub remaining: u64,
    /// Documents that went to another split, to be with their group.
    pub moved: u64,
    /// Documents that were dropped, as their group is in a split nearer to the test.
    pub dropped: u64,
    /// A few pairs, for people.
    pub examples: Vec<LeakageExample>,
}

/// Two near-duplicates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakageExample {
    /// Where the one comes from.
    pub first: String,
    /// Where the other comes from.
    pub second: String,
    /// How similar they are, 0 to 1.
    pub similarity: f64,
}

/// What is in one split.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SplitStatistics {
    /// Documents.
    pub rows: u64,
    /// Documents by label.
    pub labels: BTreeMap<String, u64>,
    /// Lengths of the texts in characters.
    pub characters: LengthStatistics,
    /// Lengths of the texts in words.
    pub words: LengthStatistics,
}

/// Lengths of texts. The percentiles are exact to 5 per cent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LengthStatistics {
    /// The shortest.
    pub min: u64,
    /// The mean.
    pub mean: f64,
    /// Half of the texts are not longer.
    pub p50: u64,
    /// 95 in 100 texts are not longer.
    pub p95: u64,
    /// The longest.
    pub max: u64,
}

/// A row that could not be used: a line of `rejected.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectedRow {
    /// The file and line that it comes from.
    pub origin: String,
    /// The kind of reason, as it is counted.
    pub reason: String,
    /// What exactly was wrong.
    pub detail: String,
    /// How the row starts.
    pub start: String,
}
