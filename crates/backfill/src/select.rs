//! What becomes of each document: answered anew, kept, left alone, or rejected.

use std::collections::BTreeMap;

use arrow_array::{Array, BooleanArray, StringArray};
use mesh_archive::Unusable;
use serde::Serialize;

use crate::{
    answers::Reason,
    columns::{INPUT_DIGEST, MODEL_DIGEST},
    generation::Found,
    plan::Only,
    rejects::{DOUBLE_KEY, RejectAt, Rejects},
};

/// What becomes of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The model answers it, for a reason.
    Enrich(Why),
    /// What was told of it before stays: that row.
    Keep(usize, Why),
    /// Nothing was told of it, and nothing is to be told.
    Skip(Why),
    /// It was rejected before, for a reason that stays: it is not to be done.
    StayRejected(RejectAt),
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
    /// This model answered it, and was asked something else then.
    Changed,
    /// This model answered it, and what a project tells of it anew is part of what it was asked.
    MayChange,
    /// This model answered it already.
    SameVersion,
    /// This model answered it already; what it was asked then was not noted.
    InputUnknown,
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
            Self::Changed => "changed",
            Self::MayChange => "takes what is told anew",
            Self::SameVersion => "answered by this model",
            Self::InputUnknown => "answered by this model, input not noted",
            Self::NotSelected => "not selected",
            Self::NotRejected => "not rejected before",
        }
    }
}

/// What is known of the documents of a chunk before anything is done.
pub(crate) struct Documents<'a> {
    /// Their keys.
    pub(crate) keys: &'a StringArray,
    /// Those that could not be read.
    pub(crate) broken: &'a BTreeMap<usize, Unusable>,
    /// Whether an earlier document has the key of one.
    pub(crate) double: &'a dyn Fn(usize) -> bool,
    /// Which ones the filter selects; all without one.
    pub(crate) selected: Option<&'a BooleanArray>,
    /// The digest of what one would be asked; nothing if that is not known yet.
    pub(crate) input: &'a dyn Fn(usize) -> Option<String>,
    /// Whether one without an answer may have been rejected before it had its key.
    pub(crate) nameless: &'a dyn Fn(usize) -> bool,
}

/// How a project chooses.
pub(crate) struct Chooser<'a> {
    /// The digest of what answers now.
    pub(crate) digest: &'a str,
    pub(crate) only: Only,
    /// What was rejected before.
    pub(crate) failed: &'a Rejects,
}

impl Chooser<'_> {
    /// What becomes of each document.
    pub(crate) fn choose(&self, documents: &Documents<'_>, before: &Found) -> Vec<Choice> {
        let texts = |name: &str| {
            let column = before.batch.column_by_name(name);
            column.and_then(|column| column.as_any().downcast_ref::<StringArray>())
        };
        let (digests, inputs) = (texts(MODEL_DIGEST), texts(INPUT_DIGEST));
        let digest = |row: usize| value(digests, row);
        let input = |row: usize, at: usize| match value(inputs, row) {
            None => Why::InputUnknown,
            Some(before) => match (documents.input)(at) {
                None => Why::MayChange,
                Some(now) if now == before => Why::SameVersion,
                Some(_) => Why::Changed,
            },
        };
        let choose = |at: usize| {
            if let Some(reason) = documents.broken.get(&at) {
                return Choice::Reject(unusable(*reason));
            }
            let Some(key) = value(Some(documents.keys), at) else {
                return Choice::Reject(Reason {
                    kind: "no-key".into(),
                    detail: "it has no key: nothing can be told of it".into(),
                });
            };
            if (documents.double)(at) {
                return Choice::Reject(Reason {
                    kind: DOUBLE_KEY.into(),
                    detail: format!("an earlier document has the key `{key}`"),
                });
            }
            let row = before.rows.get(at).copied().flatten();
            let failed = if row.is_none() { self.failed.find(key) } else { None };
            let again = || failed.is_some() || (row.is_none() && (documents.nameless)(at));
            let why = match row {
                _ if documents.selected.is_some_and(|all| !(all.is_valid(at) && all.value(at))) => {
                    Why::NotSelected
                }
                _ if self.only == Only::Rejected && !again() => Why::NotRejected,
                Some(row) if digest(row).is_none() => Why::Unstamped,
                Some(row) if digest(row) == Some(self.digest) => input(row, at),
                Some(_) => Why::OlderVersion,
                None if failed.is_some() => Why::Failed,
                None => Why::Unstamped,
            };
            let left = match why {
                Why::NotSelected | Why::NotRejected => true,
                Why::SameVersion | Why::InputUnknown => self.only != Only::All,
                _ => false,
            };
            match (left, row, failed) {
                (true, Some(row), _) => Choice::Keep(row, why),
                (true, None, Some(failed)) => Choice::StayRejected(failed),
                (true, None, None) => Choice::Skip(why),
                (false, ..) => Choice::Enrich(why),
            }
        };
        (0..documents.keys.len()).map(choose).collect()
    }
}

pub(crate) fn value(texts: Option<&StringArray>, row: usize) -> Option<&str> {
    let texts = texts.filter(|texts| row < texts.len() && texts.is_valid(row));
    texts.map(|texts| texts.value(row))
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
