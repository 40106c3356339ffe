//! What answers for a project in a backfill.

use std::{collections::BTreeMap, fmt, sync::Arc};

use mesh_core::{
    ModelVersion, Predictor, ProjectName, ProjectSchema,
    manifest::{InputColumn, ProjectManifest},
};

use crate::OpenArchive;

/// What answers for a project.
#[derive(Clone)]
pub struct Enricher {
    /// The project's manifest.
    pub manifest: Arc<ProjectManifest>,
    /// The model version.
    pub version: ModelVersion,
    /// The digest of the compiled model, or what stands for it in a project without one.
    pub digest: String,
    /// The model.
    pub predictor: Arc<dyn Predictor>,
    /// The contracts of all projects of the workspace, by name: what they could tell.
    pub contracts: Arc<BTreeMap<String, ProjectSchema>>,
}

impl Enricher {
    pub(crate) fn name(&self) -> &ProjectName {
        &self.manifest.project.name
    }

    /// What it takes, by its manifest and the archive's.
    pub(crate) fn input(&self, archive: &OpenArchive) -> BTreeMap<String, InputColumn> {
        let own = self.manifest.backfill.as_ref().map(|table| &table.input);
        self.merged(archive, own, &archive.manifest.input)
    }

    pub(crate) fn parameters(&self, archive: &OpenArchive) -> BTreeMap<String, InputColumn> {
        let own = self.manifest.backfill.as_ref().map(|table| &table.parameters);
        self.merged(archive, own, &archive.manifest.parameters)
    }

    fn merged(
        &self,
        archive: &OpenArchive,
        own: Option<&BTreeMap<String, InputColumn>>,
        given: &BTreeMap<String, BTreeMap<String, InputColumn>>,
    ) -> BTreeMap<String, InputColumn> {
        let columns = &archive.manifest.archive.columns;
        let named = |name: &str| columns.get(name).map_or(name, String::as_str).to_owned();
        let own = own.into_iter().flatten();
        let own = own.map(|(field, column)| (field.clone(), column.renamed(&named)));
        let given = given.get(self.name().as_str()).into_iter().flatten();
        own.chain(given.map(|(field, column)| (field.clone(), column.clone()))).collect()
    }
}

impl fmt::Debug for Enricher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enricher").field("project", self.name()).finish_non_exhaustive()
    }
}
