//! Backfill: what an older version of a model told of an archive's documents is told anew by a
//! newer one.
//!
//! The idea: documents are never changed. What a project tells of them is a *generation*: a folder
//! of Parquet parts beside the documents, a row per document with the prediction and a stamp of who
//! made it and when. A backfill makes a new generation, chunk by chunk, under names that follow
//! from its plan; a ledger keeps what is done, so that whatever is killed goes on where it stopped.
//! One small file, [`Current`], says which generation readers see: changing it is the cutover, and
//! the rollback. Where the documents are a table in a database, that is a row of it, and changed
//! in one transaction with the views that readers ask.
//!
//! ```text
//! documents ──plan──▶ Job ──run──▶ generation ──diff──▶ Differences ──cutover──▶ Current
//!                      ▲                                                │
//!                      └──── what the live generation has already ◀─────┘
//! ```

mod answers;
mod archives;
mod asked;
mod chunk;
mod cluster;
mod columns;
mod cutover;
mod difference;
mod enricher;
mod error;
mod estimate;
mod export;
mod follow;
mod generation;
mod inputs;
mod job;
mod keys;
mod max_rejected;
mod owner;
mod place;
mod plan;
mod pointer;
mod publication;
mod rejects;
mod remote;
mod run;
mod select;
mod shared;
mod sorter;
mod standing;
mod survey;
mod takes;

pub use archives::{ArchiveFile, OpenArchive};
pub use cluster::Cluster;
pub use columns::{ENRICHED_AT, INPUT_DIGEST, MODEL_DIGEST, MODEL_VERSION};
pub use cutover::{Collected, Moved, Removal};
pub use difference::{Differences, GateFinding, Gates, ProjectDifference};
pub use enricher::Enricher;
pub use error::{BackfillError, BackfillErrorKind, Ending};
pub use estimate::{Estimate, ProjectEstimate, Range};
pub use export::{Exported, Rejected};
pub use follow::{
    Follow, FollowLimits, FollowReport, Followed, FollowedProject, Keep, Newer, Refused,
};
pub use generation::{Counts, GenerationManifest, Part};
pub use job::{Job, Selection};
pub use keys::FileStamp;
pub use plan::{Only, Plan, ProjectPlan};
pub use pointer::{Current, LiveGeneration};
pub use remote::Service;
pub use run::{Ledger, RunLimits, RunReport};
pub use select::Why;
pub use shared::{Loader, Sharing, Wanted, Worker};
pub use standing::Standing;
