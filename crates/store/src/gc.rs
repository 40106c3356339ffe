use std::{collections::BTreeSet, fs, path::PathBuf};

use mesh_core::{ArtifactManifest, Digest, ProjectName};
use serde::Serialize;

use crate::{ArtifactStore, Lock, Registry, StoreError};

/// What garbage collection would remove.
#[derive(Debug, Clone, Default, Serialize)]
pub struct GcPlan {
    /// Artifacts that no version, alias or fresh run needs.
    pub artifacts: Vec<Garbage>,
    /// What killed processes left in the temporary folder.
    pub leftovers: Vec<PathBuf>,
    /// How many artifacts stay.
    pub kept: usize,
    /// How many bytes would be free again.
    pub bytes: u64,
}

/// One artifact that nobody needs.
#[derive(Debug, Clone, Serialize)]
pub struct Garbage {
    /// Its name.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// Finds what nobody needs. Needed are the outputs of the `fresh` runs, the models of all
/// versions with what was compiled from them, and what the models under an alias were made
/// from.
///
/// # Errors
/// When the store or the registry cannot be read.
pub async fn plan_gc(
    store: &ArtifactStore,
    registry: &Registry,
    projects: &[ProjectName],
    fresh: &BTreeSet<Digest>,
) -> Result<GcPlan, StoreError> {
    let mut needed = fresh.clone();
    for project in projects {
        for version in registry.versions(project).await? {
            needed.insert(version.model);
            needed.extend(version.compiled.iter().map(|compiled| compiled.digest));
            if !version.aliases.is_empty() {
                let inputs = registry.inputs_of(version.model).await?;
                needed.extend(inputs.into_iter().map(|(_, digest)| digest));
            }
        }
    }
    let mut plan = GcPlan { leftovers: store.leftovers()?, ..GcPlan::default() };
    // What is gone meanwhile has no size.
    let sizes = plan.leftovers.iter().map(|folder| ArtifactManifest::scan_sizes(folder));
    plan.bytes = sizes.flatten().sum();
    for stored in store.list().await? {
        if needed.contains(&stored.digest) {
            plan.kept += 1;
        } else {
            plan.bytes += stored.size;
            plan.artifacts.push(Garbage { digest: stored.digest, size: stored.size });
        }
    }
    Ok(plan)
}

/// Removes what a plan names. The lock, from [`crate::Locks::collect`], says that nobody uses
/// the store meanwhile.
///
/// # Errors
/// When something cannot be removed; what was removed before stays so.
pub async fn collect(
    store: &ArtifactStore,
    registry: &Registry,
    plan: &GcPlan,
    _alone: &Lock,
) -> Result<(), StoreError> {
    let digests: Vec<_> = plan.artifacts.iter().map(|garbage| garbage.digest).collect();
    // The registry first: an artifact that it forgot and that is still there is found by the
    // next collection; the other way round a fresh run would miss its output.
    registry.forget_artifacts(&digests).await?;
    for digest in digests {
        store.remove(digest).await?;
    }
    for leftover in &plan.leftovers {
        let removed = if leftover.is_dir() {
            fs::remove_dir_all(leftover)
        } else {
            fs::remove_file(leftover)
        };
        removed.map_err(|error| StoreError::io("remove", leftover, error))?;
    }
    Ok(())
}
