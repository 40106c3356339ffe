use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ManifestError, ModelTable, SourceTable, TrainTable, error::Finding, parse};
use crate::{ApiVersion, Digest, ProjectName, manifest::ManifestErrorKind};

/// `project.toml`: a project. The tables that are there say which steps it has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectManifest {
    /// What the project is.
    pub project: ProjectTable,
    /// Where its data comes from.
    #[serde(default)]
    pub source: Option<SourceTable>,
    /// The pre-trained model that it starts from: an encoder, or for the task `language` a model
    /// of fastText.
    #[serde(default)]
    pub model: Option<ModelTable>,
    /// How the data becomes a dataset.
    #[serde(default)]
    pub prepare: Option<PrepareTable>,
    /// How the dataset becomes a model.
    #[serde(default)]
    pub train: Option<TrainTable>,
    /// How the model becomes a compiled model.
    #[serde(default)]
    pub compile: Option<CompileTable>,
    /// How it is served.
    #[serde(default)]
    pub serve: Option<ServeTable>,
}

/// `[project]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectTable {
    /// The project's name: its folder, its route, its namespace.
    pub name: ProjectName,
    /// What kind of prediction it is.
    pub task: TaskName,
    /// The version of the contract of requests and responses.
    #[serde(default)]
    pub api: ApiVersion,
    /// What it does, in a sentence.
    pub description: String,
    /// Who answers for it.
    #[serde(default)]
    pub owner: Option<String>,
    /// The languages that it answers, of a task that asks for one: codes of ISO 639, such as
    /// `["en"]`.
    #[serde(default = "default_languages")]
    pub languages: Vec<String>,
}

fn default_languages() -> Vec<String> {
    vec!["en".into()]
}

/// The tasks: each fixes schema, metrics and the way it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TaskName {
    /// One label per text, with a score for every label.
    TextClassification,
    /// The entities in a text: every token of a sentence has a tag.
    TokenClassification,
    /// A vector per text: similar texts have similar vectors.
    Embedding,
    /// The words and phrases that say best what a text is about.
    Keywords,
    /// The languages that a text may be in, each with its probability.
    Language,
    /// A signature per text, by which near-duplicates are found. It has no model.
    NearDuplicates,
}

/// `[prepare]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PrepareTable {
    /// How documents are dealt to the splits.
    pub split: Split,
    /// What is done to each text.
    pub normalise: Normalise,
    /// What counts as the same document.
    pub deduplicate: Deduplicate,
    /// The share of rows that may be rejected; above it the step fails.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_rejected: f64,
    /// Texts with fewer characters are rejected.
    pub min_characters: usize,
    /// Texts with more characters are rejected.
    pub max_characters: usize,
}

/// `split = { ... }` in `[prepare]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Split {
    /// The share of the training split.
    pub train: f64,
    /// The share of the validation split.
    pub validation: f64,
    /// The share of the test split.
    pub test: f64,
    /// The seed of the shuffle.
    pub seed: u64,
    /// How documents are chosen.
    pub method: SplitMethod,
}

/// How documents are dealt to the splits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SplitMethod {
    /// At random, each label in the same shares.
    #[default]
    Stratified,
    /// At random, documents of one group (`source.columns.group`) in one split.
    Grouped,
    /// By `source.columns.time`: the oldest train, the newest test.
    ByTime,
}

/// `normalise = { ... }` in `[prepare]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Normalise {
    /// The Unicode normalisation form.
    pub unicode: UnicodeForm,
    /// Runs of white space become one space, ends are trimmed.
    pub whitespace: bool,
    /// HTML entities are decoded (`&amp;` becomes `&`).
    pub html_entities: bool,
}

/// Unicode normalisation forms (UAX #15).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnicodeForm {
    /// As it comes.
    None,
    /// Canonical composition.
    #[default]
    Nfc,
    /// Compatibility composition.
    Nfkc,
}

/// `deduplicate = { ... }` in `[prepare]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Deduplicate {
    /// Whether documents with the same normalised text are kept once.
    pub exact: bool,
    /// How near-duplicates across splits are found and kept on one side.
    pub near: NearDuplicates,
}

/// `near = { ... }` in `[prepare.deduplicate]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NearDuplicates {
    /// Whether they are looked for.
    pub enabled: bool,
    /// The Jaccard similarity of two documents' shingles from which on they are near-duplicates.
    pub threshold: f64,
    /// Words in a shingle.
    pub shingle: usize,
    /// Permutations of the MinHash signature.
    pub permutations: usize,
}

/// `[compile]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CompileTable {
    /// The targets to compile for; `native` is the best one for this machine.
    pub targets: Vec<String>,
    /// The precision of the weights.
    pub precision: Precision,
    /// What a compiled model must reach, measured against the uncompiled one: `agreement` (the
    /// share of texts with the same label or, without labels, the same nearest neighbour),
    /// `cosine` (the least of two embeddings of one text) and `speedup`.
    pub gate: BTreeMap<String, f64>,
    /// Texts to compare on, for a project without a dataset of its own.
    pub texts: Option<CompileTexts>,
}

/// `texts = { ... }` in `[compile]`: every line of every file that holds a few words is a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompileTexts {
    /// Where the files are, as in `[source]`.
    pub url: String,
    /// The digest of what is fetched. Required for everything but `file:`.
    #[serde(default)]
    pub sha256: Option<Digest>,
}

/// Precisions of compiled weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// 16-bit floating point.
    #[default]
    F16,
    /// 32-bit floating point.
    F32,
}

/// `[serve]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServeTable {
    /// Requests that may wait for a worker; above it a request gets 429.
    pub max_queue: usize,
    /// The most requests answered in one call of the model.
    pub max_batch: usize,
    /// The largest request body, in bytes; above it a request gets 413.
    pub max_body_bytes: usize,
    /// How long a request may take, in milliseconds; after it a request gets 504.
    pub timeout_ms: u64,
    /// Worker threads; 0 is one per core.
    pub workers: usize,
}

/// Metrics and the values they must reach.
pub type Gate<M> = BTreeMap<M, f64>;

impl ProjectManifest {
    /// The name of the manifest's file.
    pub const FILE: &str = "project.toml";

    /// Parses a manifest; `file` names it in errors.
    ///
    /// # Errors
    /// Every problem with line, key and suggestion.
    pub fn parse(file: &str, text: &str) -> Result<Self, ManifestError> {
        let manifest: Self = parse::parse(file, text)?;
        let findings = manifest.conflicts(text);
        if findings.is_empty() {
            Ok(manifest)
        } else {
            Err(ManifestError::new(file, text, findings))
        }
    }

    /// The JSON schema of `project.toml`, for editors.
    #[must_use]
    pub fn json_schema() -> schemars::Schema {
        schemars::schema_for!(Self)
    }

    /// What is wrong with values that are valid each by itself.
    fn conflicts(&self, text: &str) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut conflict = |key: &str, message: String, help: &str| {
            found.push(Finding {
                kind: ManifestErrorKind::Conflict,
                key: key.to_owned(),
                message,
                help: Some(help.to_owned()),
                span: parse::span_of(text, key).unwrap_or(0..0),
            });
        };
        if let Some(source) = &self.source {
            if source.sha256.is_none() && !source.url.starts_with("file:") {
                let message = "`sha256` is missing: a source that is fetched must be pinned";
                let help = "`mesh source pin <url>` fetches it once and prints its digest";
                conflict("source", message.into(), help);
            }
            if let Some((key, message)) = source.labels.conflict() {
                conflict(key, message, "write one name more than limits, limits ascending");
            }
        }
        if let Some(prepare) = &self.prepare {
            let split = &prepare.split;
            let shares = [split.train, split.validation, split.test];
            let sum: f64 = shares.iter().sum();
            if shares.iter().any(|share| !(0.0..=1.0).contains(share)) || (sum - 1.0).abs() > 1e-6 {
                let message = format!("the shares of `split` must add up to 1, they are {sum}");
                conflict(
                    "prepare.split",
                    message,
                    "such as train = 0.8, validation = 0.1, test = 0.1",
                );
            }
            let columns = self.source.as_ref().map(|source| &source.columns);
            let needs = |column: &str| {
                format!("`method` needs a column: set `{column}` in [source.columns]")
            };
            let help = "docs/prepare.md tells how splits are made";
            match split.method {
                SplitMethod::Grouped if columns.is_some_and(|c| c.group.is_none()) => {
                    conflict("prepare.split.method", needs("group"), help);
                }
                SplitMethod::ByTime if columns.is_some_and(|c| c.time.is_none()) => {
                    conflict("prepare.split.method", needs("time"), help);
                }
                _ => {}
            }
            let near = &prepare.deduplicate.near;
            if !(near.threshold > 0.0 && near.threshold < 1.0) {
                let message = "`threshold` must lie between 0 and 1, both excluded".to_owned();
                conflict("prepare.deduplicate.near.threshold", message, "0.8 is a good start");
            }
            if near.shingle == 0 || !(2..=1024).contains(&near.permutations) {
                let message = "`shingle` starts at 1, `permutations` lies in 2 to 1024".to_owned();
                conflict("prepare.deduplicate.near", message, "5 and 128 are good starts");
            }
            if self.source.is_none() {
                conflict("prepare", "[prepare] needs a [source]".into(), "add a [source] table");
            }
        }
        if self.train.is_some() && self.prepare.is_none() {
            conflict("train", "[train] needs a [prepare]".into(), "add a [prepare] table");
        }
        if let Some((key, message)) = self.train.as_ref().and_then(TrainTable::conflict) {
            conflict(key, message, "docs/train.md describes every option");
        }
        if let Some((key, message)) = self.model.as_ref().and_then(ModelTable::conflict) {
            conflict(key, message, "`mesh source pin <url>` fetches it once and prints its digest");
        }
        if self.project.task == TaskName::Language {
            if self.train.is_some() {
                let help = "leave out [train]: [model] brings what fastText trained";
                conflict("train", "a project of the task `language` is not trained".into(), help);
            }
            let encoders = self.model.as_ref().and_then(ModelTable::encoder_key);
            if let Some(key) = encoders {
                let message = format!("`{key}` is for encoders, not for a model of fastText");
                conflict(&format!("model.{key}"), message, "leave it out");
            }
        }
        let families = self.train.as_ref().map(|train| train.model.families());
        for family in families.unwrap_or_default() {
            if family.takes_encoder() && self.model.is_none() {
                let help = "add a [model] table with the `url` of an encoder";
                conflict("train.model", format!("`{family}` needs a [model]"), help);
            }
            if family.tags() != (self.project.task == TaskName::TokenClassification) {
                let message = format!("`{family}` does not do the task `{}`", self.project.task);
                let help = "`crf` and `crf-encoder` are for `token-classification`, the others \
                            for the rest";
                conflict("train.model", message, help);
            }
        }
        if self.project.task == TaskName::TokenClassification && self.train.is_none() {
            let help = "add a [train] table with `model = \"crf\"`";
            conflict("project.task", "`token-classification` needs a [train]".into(), help);
        }
        if !self.project.task.has_model() {
            let tables = [
                ("source", self.source.is_some()),
                ("model", self.model.is_some()),
                ("prepare", self.prepare.is_some()),
                ("train", self.train.is_some()),
                ("compile", self.compile.is_some()),
            ];
            for (table, _) in tables.into_iter().filter(|(_, there)| *there) {
                let task = self.project.task;
                let message = format!("a project of the task `{task}` has no model: no [{table}]");
                conflict(table, message, "leave it out: [project] and [serve] are all it needs");
            }
        }
        if let Some(compile) = &self.compile {
            if self.train.is_none() && self.model.is_none() {
                let help = "add a [train] table, or a [model] table with a pre-trained encoder";
                conflict("compile", "[compile] needs a [train] or a [model]".into(), help);
            }
            if compile.targets.is_empty() {
                let help = "`targets = [\"native\"]` compiles for the machine that it runs on";
                conflict("compile.targets", "there is no target to compile for".into(), help);
            }
            let texts = compile.texts.as_ref();
            if texts.is_some_and(|t| t.sha256.is_none() && !t.url.starts_with("file:")) {
                let message = "`sha256` is missing: texts that are fetched must be pinned";
                let help = "`mesh source pin <url>` fetches it once and prints its digest";
                conflict("compile.texts", message.into(), help);
            }
            for (metric, value) in &compile.gate {
                let range = match metric.as_str() {
                    "agreement" | "cosine" => 0.0..=1.0,
                    "speedup" => 0.0..=f64::MAX,
                    _ => {
                        let message = format!("`{metric}` is not a gate of compile");
                        let help = "known are `agreement`, `cosine` and `speedup`";
                        conflict(&format!("compile.gate.{metric}"), message, help);
                        continue;
                    }
                };
                if !range.contains(value) {
                    let message = format!("`{metric}` cannot be {value}");
                    let help = "`agreement` and `cosine` are 0 to 1, `speedup` is 0 or more";
                    conflict(&format!("compile.gate.{metric}"), message, help);
                }
            }
        }
        found
    }
}

impl TaskName {
    /// The task as it is written in manifests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TextClassification => "text-classification",
            Self::TokenClassification => "token-classification",
            Self::Embedding => "embedding",
            Self::Keywords => "keywords",
            Self::Language => "language",
            Self::NearDuplicates => "near-duplicates",
        }
    }

    /// Whether a project of this task answers with a model; else its code is all that it needs.
    #[must_use]
    pub const fn has_model(self) -> bool {
        !matches!(self, Self::NearDuplicates)
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Default for PrepareTable {
    fn default() -> Self {
        Self {
            split: Split::default(),
            normalise: Normalise::default(),
            deduplicate: Deduplicate::default(),
            max_rejected: 0.05,
            min_characters: 1,
            max_characters: 1_000_000,
        }
    }
}

impl Default for Split {
    fn default() -> Self {
        let method = SplitMethod::default();
        Self { train: 0.8, validation: 0.1, test: 0.1, seed: 42, method }
    }
}

impl Default for Normalise {
    fn default() -> Self {
        Self { unicode: UnicodeForm::default(), whitespace: true, html_entities: false }
    }
}

impl Default for Deduplicate {
    fn default() -> Self {
        Self { exact: true, near: NearDuplicates::default() }
    }
}

impl Default for NearDuplicates {
    fn default() -> Self {
        Self { enabled: true, threshold: 0.8, shingle: 5, permutations: 128 }
    }
}

impl Default for CompileTable {
    fn default() -> Self {
        let gate = [("agreement", 0.995), ("cosine", 0.99), ("speedup", 1.0)];
        let gate = gate.map(|(metric, least)| (metric.to_owned(), least)).into();
        let targets = vec!["native".into()];
        Self { targets, precision: Precision::default(), gate, texts: None }
    }
}

impl Default for ServeTable {
    fn default() -> Self {
        Self {
            max_queue: 512,
            max_batch: 32,
            max_body_bytes: 1 << 20,
            timeout_ms: 10_000,
            workers: 0,
        }
    }
}
