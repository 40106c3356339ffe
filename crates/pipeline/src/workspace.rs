use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use mesh_core::{
    ProjectName, did_you_mean,
    manifest::{ManifestError, ProjectManifest, WorkspaceManifest},
};
use mesh_source::Fetcher;
use mesh_store::{ArtifactStore, Registry};

use crate::PipelineError;

/// A folder with `mesh.toml`: its projects, its store, its registry.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    manifest: WorkspaceManifest,
    projects: Vec<ProjectFolder>,
    broken: Vec<(PathBuf, ManifestError)>,
    store: ArtifactStore,
    registry: Registry,
}

/// A project in its folder.
#[derive(Debug, Clone)]
pub struct ProjectFolder {
    folder: PathBuf,
    manifest: Arc<ProjectManifest>,
}

impl Workspace {
    /// Opens the workspace at a folder, with the projects whose manifests can be used; the
    /// others are told by [`Workspace::broken`].
    ///
    /// # Errors
    /// When there is no usable `mesh.toml`, or the store or registry cannot be opened.
    pub async fn open(root: &Path) -> Result<Self, PipelineError> {
        let path = root.join(WorkspaceManifest::FILE);
        let text = fs::read_to_string(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => PipelineError::NoWorkspace(root.to_owned()),
            _ => PipelineError::Read { path: path.clone(), source },
        })?;
        let manifest = WorkspaceManifest::parse(WorkspaceManifest::FILE, &text)?;
        let (projects, broken) = read_projects(root, &manifest.workspace.projects)?;
        let store = ArtifactStore::open(&manifest.store.url, root)?;
        let registry = Registry::open(&root.join(&manifest.registry.path)).await?;
        Ok(Self { root: root.to_owned(), manifest, projects, broken, store, registry })
    }

    /// The folder that holds `mesh.toml`.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What `mesh.toml` says.
    #[must_use]
    pub const fn manifest(&self) -> &WorkspaceManifest {
        &self.manifest
    }

    /// Its projects, sorted by name.
    #[must_use]
    pub fn projects(&self) -> &[ProjectFolder] {
        &self.projects
    }

    /// Projects whose manifests cannot be used, and why.
    #[must_use]
    pub fn broken(&self) -> &[(PathBuf, ManifestError)] {
        &self.broken
    }

    /// Where artifacts live.
    #[must_use]
    pub const fn store(&self) -> &ArtifactStore {
        &self.store
    }

    /// What is known of runs, versions and aliases.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The project of that name.
    ///
    /// # Errors
    /// When there is none, or its manifest cannot be used.
    pub fn project(&self, name: &str) -> Result<&ProjectFolder, PipelineError> {
        if let Some(project) = self.projects.iter().find(|p| p.name().as_str() == name) {
            return Ok(project);
        }
        let known: Vec<_> = self.projects.iter().map(|project| project.name().as_str()).collect();
        let nearest = did_you_mean(name, known.iter().copied());
        let help = match known.is_empty() {
            true => "this workspace has no projects: `mesh new project --help` makes one".into(),
            false => format!("{nearest}This workspace has: {}", known.join(", ")),
        };
        Err(PipelineError::NoProject { name: name.to_owned(), help })
    }

    /// What fetches the sources of a project.
    #[must_use]
    pub fn fetcher(&self, project: &ProjectFolder) -> Fetcher {
        Fetcher::new(&self.root.join(".mesh/sources"), project.folder())
    }
}

impl ProjectFolder {
    /// The folder that holds `project.toml`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What `project.toml` says.
    #[must_use]
    pub const fn manifest(&self) -> &Arc<ProjectManifest> {
        &self.manifest
    }

    /// The project's name.
    #[must_use]
    pub fn name(&self) -> &ProjectName {
        &self.manifest.project.name
    }
}

type Projects = (Vec<ProjectFolder>, Vec<(PathBuf, ManifestError)>);

fn read_projects(root: &Path, folder: &Path) -> Result<Projects, PipelineError> {
    let folder = root.join(folder);
    let mut projects = Vec::new();
    let mut broken = Vec::new();
    if !folder.exists() {
        return Ok((projects, broken));
    }
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| PipelineError::Read { path, source }
    };
    for entry in fs::read_dir(&folder).map_err(read(&folder))? {
        let folder = entry.map_err(read(&folder))?.path();
        let path = folder.join(ProjectManifest::FILE);
        if !path.is_file() {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(read(&path))?;
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        match ProjectManifest::parse(&shown, &text)
            .and_then(|manifest| named(manifest, &folder, &shown, &text))
        {
            Ok(manifest) => projects.push(ProjectFolder { folder, manifest: Arc::new(manifest) }),
            Err(error) => broken.push((path, error)),
        }
    }
    projects.sort_by(|a, b| a.name().cmp(b.name()));
    broken.sort_by(|a, b| a.0.cmp(&b.0));
    Ok((projects, broken))
}

/// A project's folder is named like the project: so no two have the same name, and each is
/// found where one looks for it.
fn named(
    manifest: ProjectManifest,
    folder: &Path,
    file: &str,
    text: &str,
) -> Result<ProjectManifest, ManifestError> {
    let expected = folder.file_name().unwrap_or_default().to_string_lossy();
    if manifest.project.name.as_str() == expected {
        return Ok(manifest);
    }
    let message = format!("`name` is not the name of the folder, `{expected}`");
    let help = "rename the one or the other".to_owned();
    Err(ManifestError::conflict(file, text, "project.name", message, help))
}
