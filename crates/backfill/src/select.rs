//! What becomes of each document: answered anew, kept, left alone, or rejected.

use std::collections::{BTreeMap, HashSet};

use arrow_array::{Array, BooleanArray, StringArray};
use mesh_archive::Unusable;
use serde::Serialize;

use crate::{answers::Reason, columns::MODEL_DIGEST, generation::Found, keys::KeyHash, plan::Only};

/// What becomes of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The model answers it, for a reason.
    Enrich(Why),
    /// What was told of it before stays: that row.
    Keep(usize, Why),
    /// Nothing was told of it, and nothing is to be told.
    Skip(Why),
    /// It cannot be answered.
    Reject(Reason),
}

/// Why a document is to be done, or is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Another version answered it.
    OlderVersion,
    /// It was rejected before.
    Failed,
    /// Nothing was told of it, or nobody knows by whom.
    Unstamped,
    /// This model answered it already.
    SameVersion,
    /// The filter does not select it.
    NotSelected,
    /// Only what was rejected is to be done, and it was not.
    NotRejected,
}

impl Why {
    /// The reason, for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OlderVersion => "of another version",
            Self::Failed => "rejected before",
            Self::Unstamped => "without an answer",
            Self::SameVersion => "answered by this model",
            Self::NotSelected => "not selected",
            Self::NotRejected => "not rejected before",
        }
    }
}

/// What is known of the documents of a chunk before anything is done.
pub(crate) struct Documents<'a> {
    /// Their keys.
    pub(crate) keys: &'a [Option<String>],
    /// Those that could not be read.
    pub(crate) broken: &'a BTreeMap<usize, Unusable>,
    /// Whether an earlier document has the key of one.
    pub(crate) double: &'a dyn Fn(usize) -> bool,
    /// Which ones the filter selects; all without one.
    pub(crate) selected: Option<&'a BooleanArray>,
}

/// How a project chooses.
pub(crate) struct Chooser<'a> {
    /// The digest of what answers now.
    pub(crate) digest: &'a str,
    pub(crate) only: Only,
    /// Keys of what was rejected before.
    pub(crate) failed: &'a HashSet<KeyHash>,
}

impl Chooser<'_> {
    /// What becomes of each document.
    pub(crate) fn choose(&self, documents: &Documents<'_>, before: &Found) -> Vec<Choice> {
        let digests = before.batch.column_by_name(MODEL_DIGEST);
        let digests = digests.and_then(|column| column.as_any().downcast_ref::<StringArray>());
        let digest = |row: usize| {
            let digests = digests.filter(|digests| row < digests.len() && digests.is_valid(row));
            digests.map(|digests| digests.value(row))
        };
        let choose = |at: usize| {
            if let Some(reason) = documents.broken.get(&at) {
                return Choice::Reject(unusable(*reason));
            }
            let Some(key) = documents.keys.get(at).and_then(Option::as_ref) else {
                return Choice::Reject(Reason {
                    kind: "no-key".into(),
                    detail: "it has no key: nothing can be told of it".into(),
                });
            };
            if (documents.double)(at) {
                return Choice::Reject(Reason {
                    kind: "double-key".into(),
                    detail: format!("an earlier document has the key `{key}`"),
                });
            }
            let row = before.rows.get(at).copied().flatten();
            let failed = row.is_none() && self.failed.contains(&KeyHash::of(key));
            let why = match row {
                _ if documents.selected.is_some_and(|all| !(all.is_valid(at) && all.value(at))) => {
                    Why::NotSelected
                }
                _ if self.only == Only::Rejected && !failed => Why::NotRejected,
                Some(row) if self.only == Only::Stale && digest(row) == Some(self.digest) => {
                    Why::SameVersion
                }
                Some(row) if digest(row).is_none() => Why::Unstamped,
                Some(row) if digest(row) == Some(self.digest) => Why::SameVersion,
                Some(_) => Why::OlderVersion,
                None if failed => Why::Failed,
                None => Why::Unstamped,
            };
            let left = match why {
                Why::NotSelected | Why::NotRejected => true,
                Why::SameVersion => self.only != Only::All,
                _ => false,
            };
            match (left, row) {
                (true, Some(row)) => Choice::Keep(row, why),
                (true, None) => Choice::Skip(why),
                (false, _) => Choice::Enrich(why),
            }
        };
        (0..documents.keys.len()).map(choose).collect()
    }
}

fn unusable(reason: Unusable) -> Reason {
    let detail = match reason {
        Unusable::NotJson => "it is no object of JSON",
        Unusable::Ragged => "it has more or fewer values than there are columns",
        Unusable::Quotes => "a quote is opened and not closed",
        Unusable::Encoding => "it is not UTF-8",
        _ => "it cannot be read",
    };
    Reason { kind: reason.as_str().into(), detail: detail.into() }
}
