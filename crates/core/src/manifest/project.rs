use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    FeaturesTable, InputColumn, LanguageTable, ManifestError, ModelTable, SeriesTable, ShowTable,
    SourceTable, TrainTable, conflicts::conflicts, parse,
};
use crate::{ApiVersion, Digest, ProjectName};

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
    /// The model that tells which texts are in none of the project's languages.
    #[serde(default)]
    pub language: Option<LanguageTable>,
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
    /// How archives are enriched by it.
    #[serde(default)]
    pub backfill: Option<BackfillTable>,
    /// How it is shown.
    #[serde(default)]
    pub show: Option<ShowTable>,
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
    /// The languages that it answers: codes of ISO 639, such as `["en"]`. For tasks that ask for
    /// the language, and for projects with a `[language]` model.
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
    /// A number per row of numbers, names and days.
    Regression,
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
    /// The columns by which the task `regression` tells a number.
    pub features: Option<FeaturesTable>,
    /// What becomes of a number that is one per day.
    pub series: Option<SeriesTable>,
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
    /// Texts are HTML: tags, scripts, styles and comments are removed and entities decoded.
    pub html: bool,
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

/// The targets that a manifest may name; which of them a model is compiled for depends on its kind.
pub const TARGETS: [&str; 8] = [
    "native",
    "portable-f16",
    "portable-f32",
    "portable-f64",
    "avx2-f32",
    "avx512-f32",
    "avx512-bf16",
    "amx-bf16",
];

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
    /// `cosine` (the least of two embeddings of one text) and `speedup`. What it leaves out is
    /// demanded all the same: 0.995, 0.99 and 1; of boosted trees no `speedup`, as a few small ones
    /// cannot be made faster.
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

/// `[backfill]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BackfillTable {
    /// Which column of an archive each attribute of a request is: `{ content = "text" }`. A column
    /// `ner.entities` is the field `entities` of what the project `ner` told. An archive may name
    /// other columns.
    pub input: BTreeMap<String, InputColumn>,
    /// As `input`, of parameters; those that are left out have their defaults.
    pub parameters: BTreeMap<String, InputColumn>,
    /// Names of an enrichment's columns that are not those of the prediction:
    /// `{ label = "topic" }`.
    pub columns: BTreeMap<String, String>,
    /// The share of rows that may be rejected; above it a run or a follower stops.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_rejected: f64,
    /// What the difference to the enrichment before may be at most, for a cutover: `flips` (the
    /// share of rows whose label changes), `change` (the mean change), `lost` (the share of rows
    /// that had an enrichment and have none) and `rejected` (the share that is rejected).
    pub gate: BTreeMap<String, f64>,
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
        let findings = conflicts(&manifest, text);
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
            Self::Regression => "regression",
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
            features: None,
            series: None,
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
        Self {
            unicode: UnicodeForm::default(),
            whitespace: true,
            html: false,
            html_entities: false,
        }
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
        let targets = vec!["native".into()];
        Self { targets, precision: Precision::default(), gate: BTreeMap::new(), texts: None }
    }
}

impl Default for BackfillTable {
    fn default() -> Self {
        Self {
            input: BTreeMap::new(),
            parameters: BTreeMap::new(),
            columns: BTreeMap::new(),
            max_rejected: 0.1,
            gate: BTreeMap::new(),
        }
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
