//! Where artifacts live, and what the registry knows of runs, versions and aliases.
//!
//! An artifact is a folder named by the digest of its manifest. It is written to a temporary
//! place, synced, and appears in one move; so whoever reads it reads all of it or nothing. The
//! registry is one SQLite file that says which run made which artifact from what, and which
//! versions and aliases a project has. Any number of `mesh` processes may use both at once:
//! [`Locks`] keeps two of them from doing the same work.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use mesh_store::{ArtifactStore, Registry};
//!
//! let folder = tempfile::tempdir()?;
//! let store = ArtifactStore::open(".mesh/store", folder.path())?;
//! let registry = Registry::open(&folder.path().join("registry.db")).await?;
//! assert!(store.list().await?.is_empty());
//! assert!(registry.versions(&"news-topic".parse()?).await?.is_empty());
//! # Ok(())
//! # }
//! ```

mod error;
mod gc;
mod locks;
mod objects;
mod registry;
mod store;

pub use error::{StoreError, StoreErrorKind};
pub use gc::{Garbage, GcPlan, collect, plan_gc};
pub use locks::{Lock, Locks};
pub use objects::{ObjectLocation, open_objects};
pub use registry::{
    AliasMove, BackfillId, BackfillRecord, BackfillState, ChunkRecord, CompiledRecord, Registry,
    RunId, RunRecord, RunResult, RunStatus, VersionRecord, Wanted,
};
pub use store::{ArtifactStore, Stored, Workbench};
