use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::Router;
use mesh_core::{ArtifactDir, Digest, ModelVersion, ProjectName, Registration};
use mesh_pipeline::{ProjectFolder, Workspace};
use mesh_serve::{Problem, Service};
use tokio::{runtime::Handle, sync::Semaphore};

use crate::{
    admin::{AdminKey, Doormat},
    backfills::Backfills,
    error::Fault,
    examination::Examination,
    examples::Chosen,
    export::{self, ExportError, Exported},
    live::Live,
    mesh::Glances,
    models::Models,
    routes,
};

/// The pages of a workspace.
#[derive(Clone)]
pub struct Show {
    state: Arc<State>,
}

/// A project of the workspace as it is shown.
pub struct Shown {
    /// Its folder and manifest.
    pub folder: ProjectFolder,
    /// What answers for it, for looks into versions that are not served.
    pub registration: Registration,
    /// Its service; nothing if it is not served by this process.
    pub service: Option<Arc<Service>>,
}

/// What every route needs.
pub(crate) struct State {
    pub(crate) workspace: Arc<Workspace>,
    pub(crate) projects: BTreeMap<String, Shown>,
    pub(crate) live: Live,
    pub(crate) glances: Glances,
    pub(crate) backfills: Arc<Backfills>,
    /// Whoever has it may change what readers see; without it nobody may.
    pub(crate) admin: Option<AdminKey>,
    pub(crate) doormat: Doormat,
    /// Artifacts never change: each is verified once.
    artifacts: Mutex<BTreeMap<Digest, ArtifactDir>>,
    pub(crate) models: Models,
    pub(crate) chosen: Chosen,
    pub(crate) examinations: Mutex<BTreeMap<(ProjectName, ModelVersion), Arc<Examination>>>,
    /// One examination at a time: services come first.
    pub(crate) examining: Semaphore,
}

impl Show {
    /// The pages of these projects. Nothing is live until [`Show::tick`] runs. Whoever has the
    /// admin key may change what readers of archives see.
    ///
    /// # Panics
    /// Outside of a runtime of tokio.
    #[must_use]
    pub fn new(workspace: Arc<Workspace>, projects: Vec<Shown>, admin: Option<AdminKey>) -> Self {
        let named = |shown: Shown| (shown.folder.name().to_string(), shown);
        let backfills = Arc::new(Backfills::new(&workspace, Handle::current()));
        let state = State {
            workspace,
            projects: projects.into_iter().map(named).collect(),
            live: Live::new(),
            glances: Glances::default(),
            backfills,
            admin,
            doormat: Doormat::default(),
            artifacts: Mutex::default(),
            models: Models::default(),
            chosen: Chosen::default(),
            examinations: Mutex::default(),
            examining: Semaphore::new(1),
        };
        Self { state: Arc::new(state) }
    }

    /// The page at `/`, its files, and the JSON API below `/api/v1`.
    pub fn router(&self) -> Router {
        routes::router(Arc::clone(&self.state))
    }

    /// Tells all open pages once a second what the services do. It does not end.
    pub async fn tick(&self) {
        self.state.live.tick(&self.state).await;
    }

    /// A project's page as one file that opens without a server: of a version, or of that in
    /// production if none is named.
    ///
    /// # Errors
    /// When there is no such version, or something of it cannot be read.
    pub async fn export(
        &self,
        project: &ProjectName,
        version: Option<ModelVersion>,
    ) -> Result<Exported, ExportError> {
        export::export(&self.state, project, version).await
    }

    /// Ends the streams of all open pages, which would keep a server from draining.
    pub fn close(&self) {
        self.state.live.close();
    }
}

impl State {
    /// The project of that name.
    pub(crate) fn project(&self, name: &str) -> Result<&Shown, Problem> {
        let none = || Problem::NotFound("no project of that name is in this workspace".into());
        self.projects.get(name).ok_or_else(none)
    }

    /// An artifact, verified.
    pub(crate) async fn artifact(&self, digest: Digest) -> Result<ArtifactDir, Fault> {
        if let Some(artifact) = self.kept().get(&digest) {
            return Ok(artifact.clone());
        }
        let artifact = self.workspace.store().get(digest).await?;
        self.kept().insert(digest, artifact.clone());
        Ok(artifact)
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<Digest, ArtifactDir>> {
        self.artifacts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Show {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Show").field("projects", &self.state.projects.len()).finish()
    }
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shown").field("project", self.folder.name()).finish_non_exhaustive()
    }
}
