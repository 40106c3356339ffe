use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ManifestError, parse::parse};

/// `mesh.toml`: a workspace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WorkspaceManifest {
    /// What the workspace is.
    pub workspace: WorkspaceTable,
    /// Where artifacts live.
    pub store: StoreTable,
    /// Where runs, versions and aliases are kept.
    pub registry: RegistryTable,
    /// How services are reached.
    pub http: HttpTable,
    /// The page.
    pub show: PageTable,
}

/// `[workspace]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WorkspaceTable {
    /// The name of the workspace, for people.
    pub name: String,
    /// The folder that holds one folder per project, beside `mesh.toml`.
    pub projects: PathBuf,
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreTable {
    /// A folder beside `mesh.toml`, or `s3://bucket/prefix`.
    pub url: String,
}

/// `[registry]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryTable {
    /// The file of the SQLite registry, beside `mesh.toml`.
    pub path: PathBuf,
}

/// `[http]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpTable {
    /// The address that services listen on.
    pub host: String,
    /// The port that services listen on; 0 picks a free one.
    pub port: u16,
}

/// `[show]` in `mesh.toml`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PageTable {
    /// The environment variable that holds the admin key: whoever has the key can make backfills
    /// live from the page, and roll them back. While it is not set, nobody can.
    pub admin_key_env: String,
}

impl WorkspaceManifest {
    /// The name of the manifest's file.
    pub const FILE: &str = "mesh.toml";

    /// Parses a manifest; `file` names it in errors.
    ///
    /// # Errors
    /// Every problem with line, key and suggestion.
    pub fn parse(file: &str, text: &str) -> Result<Self, ManifestError> {
        parse(file, text)
    }

    /// The JSON schema of `mesh.toml`, for editors.
    #[must_use]
    pub fn json_schema() -> schemars::Schema {
        schemars::schema_for!(Self)
    }

    /// The folder of the workspace that `from` is in: the nearest one upwards with `mesh.toml`.
    #[must_use]
    pub fn find_root(from: &Path) -> Option<&Path> {
        from.ancestors().find(|folder| folder.join(Self::FILE).is_file())
    }
}

impl Default for WorkspaceTable {
    fn default() -> Self {
        Self { name: "workspace".into(), projects: "projects".into() }
    }
}

impl Default for StoreTable {
    fn default() -> Self {
        Self { url: ".mesh/store".into() }
    }
}

impl Default for RegistryTable {
    fn default() -> Self {
        Self { path: ".mesh/registry.db".into() }
    }
}

impl Default for PageTable {
    fn default() -> Self {
        Self { admin_key_env: "MESH_ADMIN_KEY".into() }
    }
}

impl Default for HttpTable {
    fn default() -> Self {
        Self { host: "127.0.0.1".into(), port: 8080 }
    }
}
