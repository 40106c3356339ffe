use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{ManifestError, ManifestErrorKind, error::Finding, parse};
use crate::ProjectName;

/// `archives/<name>.toml`: documents that projects enrich.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArchiveManifest {
    /// What the archive is.
    pub archive: ArchiveTable,
    /// By project, where its archive columns have other names than the project's `[backfill]` says:
    /// `[input.news-topic]`, `content = "description"`.
    #[serde(default)]
    pub input: BTreeMap<String, BTreeMap<String, InputColumn>>,
    /// As `input`, of parameters.
    #[serde(default)]
    pub parameters: BTreeMap<String, BTreeMap<String, InputColumn>>,
    /// By project, the column that holds the true label, where there is one: what says whether a
    /// newer version is better.
    #[serde(default)]
    pub truth: BTreeMap<String, String>,
    /// Where documents arrive: `mesh backfill follow` takes them from there.
    #[serde(default)]
    pub stream: Option<StreamTable>,
}

/// `[archive]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArchiveTable {
    /// The archive's name, which is that of its file.
    pub name: ProjectName,
    /// Where the documents are: `file:` and a file or folder beside `mesh.toml`, or
    /// `s3://bucket/path`. They are never changed.
    pub url: String,
    /// How documents are written; what the names of the files tell, without it.
    #[serde(default)]
    pub format: Option<RowFormat>,
    /// The column that names a document; each value once.
    pub key: String,
    /// Columns that projects know by other names: `{ text = "description" }`.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    /// Where the enrichments are kept, by a URL as above; beside the documents without it, in a
    /// folder with their name and the ending `.enriched`.
    #[serde(default)]
    pub enrichments: Option<String>,
    /// What the archive is, in a sentence.
    #[serde(default)]
    pub description: Option<String>,
    /// Columns by whose values a difference is told apart, each with a name for people:
    /// `{ language = "lang" }`.
    #[serde(default)]
    pub slices: BTreeMap<String, String>,
}

/// `[stream]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamTable {
    /// The stream that documents are taken from, or one of its subjects:
    /// `nats://host:4222/documents`, or `tls://` as well. A document is an object of JSON with the
    /// archive's key.
    pub from: String,
    /// The subject that documents are published to, with what is told of them:
    /// `nats://host:4222/documents.told`.
    #[serde(default)]
    pub to: Option<String>,
    /// Whether they are published only, and left out of the archive.
    #[serde(default)]
    pub publish_only: bool,
    /// The projects that tell of them; without it those that have an enrichment in the archive.
    #[serde(default)]
    pub projects: Vec<ProjectName>,
}

/// Formats of an archive's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RowFormat {
    /// Apache Parquet.
    Parquet,
    /// An object of JSON per line.
    Jsonl,
    /// Values between commas, with a header.
    Csv,
    /// Values between tabs, with a header.
    Tsv,
}

/// Which column of an archive a field of a request is: a name; `project.field` for what another
/// project's enrichment holds; a table or a list for a field that has parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum InputColumn {
    /// The name of a column.
    Column(String),
    /// A list, each element from columns.
    List(Vec<InputColumn>),
    /// An object, each field from columns.
    Object(BTreeMap<String, InputColumn>),
}

impl ArchiveManifest {
    /// The folder that holds the archives' manifests, beside `mesh.toml`.
    pub const FOLDER: &str = "archives";

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

    /// The JSON schema of an archive's manifest, for editors.
    #[must_use]
    pub fn json_schema() -> schemars::Schema {
        schemars::schema_for!(Self)
    }

    fn conflicts(&self, text: &str) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut add = |key: &str, message: String, help: &str| {
            found.push(Finding {
                kind: ManifestErrorKind::Conflict,
                key: key.to_owned(),
                message,
                help: Some(help.to_owned()),
                span: parse::span_of(text, key).unwrap_or(0..0),
            });
        };
        let place = |url: &str| url.starts_with("file:") || url.starts_with("s3://");
        let urls = [("archive.url", Some(&self.archive.url))];
        let enrichments = [("archive.enrichments", self.archive.enrichments.as_ref())];
        for (key, url) in urls.into_iter().chain(enrichments) {
            if let Some(url) = url.filter(|url| !place(url)) {
                let message = format!("`{url}` is no place of an archive");
                add(key, message, "write file:folder/documents.parquet, or s3://bucket/path");
            }
        }
        if let Some(stream) = &self.stream {
            let nats = |url: &str| url.starts_with("nats://") || url.starts_with("tls://");
            let places = [("stream.from", Some(&stream.from)), ("stream.to", stream.to.as_ref())];
            for (key, url) in places {
                if let Some(url) = url.filter(|url| !nats(url)) {
                    let message = format!("`{url}` is no place of a stream");
                    add(key, message, "write nats://host:4222/<stream or subject>");
                }
            }
            if stream.publish_only && stream.to.is_none() {
                let message = "documents are neither kept nor published".into();
                add("stream.publish_only", message, "name a subject by `to`, or leave it out");
            }
        }
        if self.archive.key.is_empty() {
            add("archive.key", "`key` is empty".into(), "name the column that names a document");
        }
        found
    }
}

impl InputColumn {
    /// The same with other names of columns.
    #[must_use]
    pub fn renamed(&self, name: &impl Fn(&str) -> String) -> Self {
        match self {
            Self::Column(column) => Self::Column(name(column)),
            Self::List(parts) => Self::List(parts.iter().map(|part| part.renamed(name)).collect()),
            Self::Object(parts) => Self::Object(
                parts.iter().map(|(key, part)| (key.clone(), part.renamed(name))).collect(),
            ),
        }
    }

    /// The names of all columns in it, in their order.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Column(name) => vec![name],
            Self::List(parts) => parts.iter().flat_map(Self::names).collect(),
            Self::Object(parts) => parts.values().flat_map(Self::names).collect(),
        }
    }
}

impl<'de> Deserialize<'de> for InputColumn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = InputColumn;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a column, or a table or list of such names")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<InputColumn, E> {
                Ok(InputColumn::Column(name.to_owned()))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(
                self,
                mut list: A,
            ) -> Result<InputColumn, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = list.next_element()? {
                    parts.push(part);
                }
                Ok(InputColumn::List(parts))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<InputColumn, A::Error> {
                let mut parts = BTreeMap::new();
                while let Some((name, part)) = map.next_entry()? {
                    parts.insert(name, part);
                }
                Ok(InputColumn::Object(parts))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
