use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[show]`: the project's own view of its page. Without it the page follows from schema and task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShowTable {
    /// The panels, in the order in which they stand: `answer`, `examples` and `code` where it is
    /// tried; `metrics`, `labels`, `examination`, `targets`, `families`, `features`, `importance`,
    /// `data` and `notes` where it is told how good it is; and those that a project in Rust adds,
    /// by their names. A page of which none is named has all of its own.
    pub panels: Vec<String>,
    /// Texts to try it with, in the place of those of the test split.
    pub examples: Vec<String>,
    /// What the page says in the place of its own words: `intro`, a sentence above the form, and
    /// the headings `text`, `second`, `answer`, `examples` and `settings`.
    pub words: BTreeMap<String, String>,
}

impl ShowTable {
    /// The panels that every project has.
    pub const PANELS: [&str; 12] = [
        "answer",
        "examples",
        "code",
        "metrics",
        "labels",
        "examination",
        "targets",
        "families",
        "features",
        "importance",
        "data",
        "notes",
    ];
    /// The words that may be others.
    pub const WORDS: [&str; 6] = ["intro", "text", "second", "answer", "examples", "settings"];
}
