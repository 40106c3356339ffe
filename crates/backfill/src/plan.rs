//! What a backfill is to do: everything that decides what it leaves, and nothing else.

use std::collections::BTreeMap;

use mesh_archive::Span;
use mesh_core::{
    Digest, ModelVersion, ProjectName,
    manifest::{InputColumn, TaskName},
    shell_word,
};
use serde::{Deserialize, Serialize};

use crate::{BackfillError, OpenArchive, follow::is_arrival, keys::FileStamp};

/// What is to be done, as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The version of this format.
    pub format: u32,
    /// The archive.
    pub archive: ProjectName,
    /// Where its documents are.
    pub url: String,
    /// Its files, as they were when it was planned.
    pub files: Vec<FileStamp>,
    /// The column that names documents.
    pub key_column: String,
    /// The projects, each after those whose answers it takes.
    pub projects: Vec<ProjectPlan>,
    /// By project, the generation whose answers are taken and not made anew.
    pub reads: BTreeMap<String, String>,
    /// Which rows are to be done.
    pub only: Only,
    /// What selects rows among them, in SQL.
    pub filter: Option<String>,
    /// Documents.
    pub rows: u64,
    /// Documents of a chunk.
    pub chunk_rows: u64,
    /// The chunks of a table in a database, which may be written meanwhile: it is gone on with
    /// these, whatever came since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<Span>,
}

/// What a project is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectPlan {
    /// The project.
    pub project: ProjectName,
    /// Its task.
    pub task: TaskName,
    /// The model version that answers.
    pub version: ModelVersion,
    /// The digest of what answers.
    pub digest: String,
    /// The columns of its attributes.
    pub input: BTreeMap<String, InputColumn>,
    /// The columns of its parameters.
    pub parameters: BTreeMap<String, InputColumn>,
    /// The fields of its predictions, each with its column.
    pub columns: Vec<(String, String)>,
    /// The generation that readers see while it runs; nothing for a first one.
    pub live: Option<String>,
    /// The generation whose rows stay where nothing is to be done: the live one, or what an
    /// unfinished backfill left.
    pub base: Option<String>,
}

/// Which rows are to be done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Only {
    /// Those without an answer of this model: by another version, failed, or never done.
    #[default]
    Stale,
    /// All, also those that this model answered.
    All,
    /// Those that were rejected.
    Rejected,
}

pub(crate) const PLAN_FORMAT: u32 = 1;

impl Plan {
    /// The digest that a backfill goes on by: one of the same may go on with what another began.
    #[must_use]
    pub fn key(&self) -> Digest {
        // A plan is plain data, which is always JSON.
        Digest::of_json(self).unwrap_or_else(|_| Digest::of(b""))
    }

    /// The name of the generations that it leaves.
    #[must_use]
    pub fn generation(&self) -> String {
        format!("g-{}", self.key().short())
    }

    /// The generation of another backfill whose rows stay where nothing is to be done; nothing if
    /// it is what readers see.
    #[must_use]
    pub fn onto(&self) -> Option<String> {
        let first = self.projects.first().filter(|first| first.base != first.live);
        first.and_then(|first| first.base.clone())
    }

    /// Whether it is of the same table in a database as another plan, and differs in nothing but
    /// what was in it.
    #[must_use]
    pub(crate) fn goes_on_with(&self, begun: &Self) -> bool {
        let lasting = |plan: &Self| {
            let mut plan = plan.clone();
            plan.files.iter_mut().for_each(FileStamp::forget_moment);
            (plan.rows, plan.chunk_rows) = (0, 0);
            plan.spans.clear();
            plan
        };
        !begun.spans.is_empty() && lasting(self) == lasting(begun)
    }

    /// What is not as it was when it was planned, so that what was begun by it cannot be gone on
    /// with, in words; nothing if it can.
    ///
    /// # Errors
    /// When it cannot be told what is live.
    pub fn outdated(&self, archive: &OpenArchive) -> Result<Vec<String>, BackfillError> {
        let lasting = |file: &FileStamp| {
            let mut file = file.clone();
            file.forget_moment();
            file
        };
        let begun: Vec<FileStamp> = self.files.iter().map(lasting).collect();
        // What was followed since is of no backfill that was begun before.
        let known = |name: &str| begun.iter().any(|file| file.name == name);
        let stamps = archive.stamps();
        let now = stamps.iter().filter(|file| !is_arrival(&file.name) || known(&file.name));
        let about = &archive.manifest.archive;
        let mut told: Vec<String> = Vec::new();
        if about.url != self.url || !now.map(lasting).eq(begun.iter().cloned()) {
            told.push("the files of the archive".into());
        }
        if about.key != self.key_column {
            told.push("the key".into());
        }
        let current = archive.current()?;
        for project in &self.projects {
            if current.generation(project.project.as_str()) != project.live.as_deref() {
                told.push(format!("what is live of {}", project.project));
            }
        }
        Ok(told)
    }

    /// The command that does the same anew, with the same versions.
    #[must_use]
    pub fn command(&self) -> String {
        let mut words = vec!["mesh backfill run".to_owned(), shell_word(self.archive.as_str())];
        let named = |project: &ProjectPlan| format!("{}@{}", project.project, project.version);
        words.extend(self.projects.iter().map(|project| shell_word(&named(project))));
        if self.only == Only::All {
            words.push("--all-rows".into());
        }
        if let Some(filter) = &self.filter {
            words.push(format!("--where {}", shell_word(filter)));
        }
        words.join(" ")
    }

    /// What differs from another plan of the archive, in words.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut told = Vec::new();
        let names = |plan: &Self| -> Vec<String> {
            let name = |p: &ProjectPlan| format!("{} version {}", p.project, p.version);
            plan.projects.iter().map(name).collect()
        };
        let mut differs = |what: &str, one: String, two: String| {
            if one != two {
                told.push(format!("{what}: {one}, not {two}"));
            }
        };
        differs("projects", names(self).join(", "), names(other).join(", "));
        let sql = |plan: &Self| plan.filter.clone().unwrap_or_else(|| "none".into());
        differs("--where", sql(self), sql(other));
        let only = |plan: &Self| {
            serde_json::to_string(&plan.only).unwrap_or_default().trim_matches('"').to_owned()
        };
        differs("rows", only(self), only(other));
        if self.files != other.files || self.url != other.url {
            told.push("the files of the archive".into());
        }
        let takes = |plan: &Self| -> Vec<_> {
            plan.projects.iter().map(|p| (p.input.clone(), p.parameters.clone())).collect()
        };
        let models = |plan: &Self| -> Vec<_> {
            plan.projects.iter().map(|p| (p.task, p.digest.clone(), p.columns.clone())).collect()
        };
        let live = |plan: &Self| -> Vec<_> {
            plan.projects.iter().map(|p| (p.live.clone(), p.base.clone())).collect()
        };
        if told.is_empty() && self != other {
            let parts = [
                ("what a project takes", takes(self) != takes(other)),
                ("the model or its columns", models(self) != models(other)),
                ("what is live", live(self) != live(other)),
                ("the key", self.key_column != other.key_column),
                ("what other projects told", self.reads != other.reads),
            ];
            told.extend(
                parts.iter().filter(|(_, differs)| *differs).map(|(what, _)| (*what).into()),
            );
        }
        if told.is_empty() && self != other {
            told.push("the size of chunks".into());
        }
        told
    }
}
