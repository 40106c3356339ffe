//! How two versions' predictions of the same documents differ.
//!
//! A [`Comparison`] says it of two predictions, by what a task tells: labels flip, scores drift,
//! entities and keywords come and go, vectors turn. A [`Diff`] sums it up over an archive, in
//! memory that does not grow with it.
//!
//! ```
//! use mesh_compare::{Diff, DiffOptions, RowFacts};
//! use mesh_core::manifest::TaskName;
//! use serde_json::json;
//!
//! let mut diff = Diff::new(TaskName::TextClassification, DiffOptions::default());
//! let facts = RowFacts { key: "doc-1", text: Some("Rates were cut"), slices: &[], truth: None };
//! let before = json!({ "labels": [{ "label": "tech", "score": 0.6 }, { "label": "business", "score": 0.4 }] });
//! let after = json!({ "labels": [{ "label": "business", "score": 0.9 }, { "label": "tech", "score": 0.1 }] });
//! diff.both(&facts, &before, &after);
//! let report = diff.report();
//! assert_eq!(report.flips.as_ref().map(|flips| flips.rows), Some(1));
//! assert!((report.change.value - 0.5).abs() < 1e-9);
//! ```

mod compare;
mod diff;
mod html;
mod report;
mod sums;
mod terminal;
mod truth;

pub use compare::{Change, Comparison};
pub use diff::{Diff, DiffOptions, RowFacts};
pub use report::{Cell, DiffReport, ExampleChange, Interval, Quantiles, Share, Slice};
pub use truth::{Truth, Verdict};
