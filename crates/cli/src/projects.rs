//! Which project type answers for a project.

use mesh_core::{
    Registration,
    manifest::{ManifestError, ProjectManifest},
};

/// The tasks of the library, and the projects of this binary.
pub(crate) struct Projects {
    own: Vec<Registration>,
    tasks: Vec<Registration>,
}

impl Projects {
    pub(crate) fn new(own: Vec<Registration>) -> Self {
        Self { own, tasks: mesh_tasks::registrations() }
    }

    /// The type for a project: by its name, else by its task.
    pub(crate) fn registration(
        &self,
        project: &ProjectManifest,
    ) -> Result<&Registration, ManifestError> {
        let (name, task) = (project.project.name.as_str(), project.project.task.as_str());
        let own = self.own.iter().find(|registration| registration.name() == name);
        // A project of this binary may stand for its task too.
        let mut all = self.tasks.iter().chain(&self.own);
        own.or_else(|| all.find(|registration| registration.name() == task)).ok_or_else(|| {
            let message = format!("the task `{task}` needs code that this `mesh` does not have");
            let help = "a project in Rust is registered in the binary: docs/projects.md".into();
            ManifestError::conflict("project.toml", "", "project.task", message, help)
        })
    }
}
