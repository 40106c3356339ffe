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
    /// Where the documents are: `file:` and a file or folder beside `mesh.toml`,
    /// `s3://bucket/path`, or a table of PostgreSQL,
    /// `postgres://user@host:5432/database?table=schema.table`, whose password comes from
    /// `PGPASSWORD` or `~/.pgpass`. They are never changed.
    pub url: String,
    /// How documents are written; what the names of the files tell, without it. A table has none.
    #[serde(default)]
    pub format: Option<RowFormat>,
    /// The column that names a document; each value once. In a table of PostgreSQL a unique index
    /// is on it alone, as on a primary key.
    pub key: String,
    /// Columns that projects know by other names: `{ text = "description" }`.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    /// Where the enrichments are kept, by a URL of files as above; beside the documents without it,
    /// in a folder with their name and the ending `.enriched`. Those of a table of PostgreSQL are
    /// beside `mesh.toml`, in one with the archive's name, and in tables beside that one.
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
            // The lines at fault are shown.
            Err(ManifestError::new(file, &manifest.redacted(text), findings))
        }
    }

    /// The JSON schema of an archive's manifest, for editors.
    #[must_use]
    pub fn json_schema() -> schemars::Schema {
        schemars::schema_for!(Self)
    }

    /// The text of the manifest without the password that should not be in it.
    fn redacted(&self, text: &str) -> String {
        match password_of(&self.archive.url).filter(|password| !password.is_empty()) {
            // Places in it stay the same.
            Some(password) => text.replace(password, &"*".repeat(password.len())),
            None => text.to_owned(),
        }
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
        let files = |url: &str| url.starts_with("file:") || url.starts_with("s3://");
        let urls = [("archive.url", Some(&self.archive.url))];
        let enrichments = [("archive.enrichments", self.archive.enrichments.as_ref())];
        for (key, url) in urls.into_iter().chain(enrichments) {
            let table = |url: &str| key == "archive.url" && is_postgres(url);
            if let Some(url) = url.filter(|url| !files(url) && !table(url)) {
                let message = format!("`{}` is no place of an archive", without_password(url));
                let help = "write file:folder/documents.parquet, s3://bucket/path, or for \
                            documents postgres://user@host/database?table=schema.table";
                add(key, message, help);
            }
        }
        if is_postgres(&self.archive.url) {
            let url = &self.archive.url;
            if password_of(url).is_some() {
                let help = "leave it out: it comes from PGPASSWORD or ~/.pgpass";
                add("archive.url", "`url` holds a password".into(), help);
            }
            if !url.contains("?table=") && !url.contains("&table=") {
                let help = "write postgres://user@host:5432/database?table=schema.table";
                add("archive.url", "`url` names no table".into(), help);
            }
            if self.archive.format.is_some() {
                add("archive.format", "a table has no `format`".into(), "leave it out");
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

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// The password that a URL holds.
fn password_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let in_front = || authority.rsplit_once('@')?.0.split_once(':').map(|(_, password)| password);
    let pairs = url.split(['?', '&']).skip(1);
    let behind = || pairs.into_iter().find_map(|pair| pair.strip_prefix("password="));
    in_front().or_else(behind)
}

fn without_password(url: &str) -> String {
    match password_of(url).filter(|password| !password.is_empty()) {
        Some(password) => url.replace(password, "***"),
        None => url.to_owned(),
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

#[cfg(test)]
mod tests {
    use miette::Diagnostic;

    use super::*;

    #[test]
    fn a_table_is_a_place_of_documents_and_its_password_is_never_told() {
        let parse = |url: &str, more: &str| {
            let text = format!("[archive]\nname = \"news\"\nurl = \"{url}\"\nkey = \"id\"\n{more}");
            ArchiveManifest::parse("archives/news.toml", &text)
        };
        assert!(parse("postgres://me@db:5432/news?table=public.news", "").is_ok());
        assert!(parse("postgresql:///news?sslmode=require&table=news", "").is_ok());
        for (url, more, expected) in [
            ("postgres://me:hunter2@db/news?table=a", "", "holds a password"),
            ("postgres://me@db/news?table=a&password=hunter2", "", "holds a password"),
            ("mysql://me:hunter2@db/news?table=a", "", "mysql://me:***@db/news"),
            ("postgres://me@db/news", "", "names no table"),
            ("postgres://me@db/news?table=a", "format = \"csv\"", "a table has no `format`"),
            ("file:a", "enrichments = \"postgres://me@db/news?table=a\"", "is no place"),
        ] {
            let error = parse(url, more).unwrap_err();
            let mut told = String::new();
            for problem in &error.problems {
                let source = problem.source_code().unwrap();
                let shown = source.read_span(&(0, 1).into(), 0, 9).unwrap();
                told.push_str(&format!("{problem} {}", String::from_utf8_lossy(shown.data())));
            }
            assert!(told.contains("key = \"id\""), "{told}");
            assert!(told.contains(expected) && !told.contains("hunter2"), "{url}: {told}");
        }
    }
}
