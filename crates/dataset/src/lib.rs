//! The dataset artifact: what prepare writes, and train and compile read.
//!
//! A dataset is three Parquet files, one per split, with a schema, statistics and the rows that
//! could not be used. Documents are streamed, never held all at once by this crate; observations, the
//! rows of a table of features, are small and come all at once.
//!
//! ```
//! use mesh_dataset::{Document, SplitWriter, read_split};
//!
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("train.parquet");
//! let mut writer = SplitWriter::create(&path)?;
//! let (id, text) = ("1".to_owned(), "Rates were cut".to_owned());
//! writer.write(&Document { id, text, label: Some("business".into()), origin: "a.csv:2".into() })?;
//! assert_eq!(writer.finish()?, 1);
//! assert_eq!(read_split(&path)?.count(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod dataset;
mod error;
mod observations;
mod schema;
mod statistics;
mod table;

pub use dataset::Dataset;
pub use error::{DatasetError, DatasetErrorKind};
pub use observations::{Observation, read_observations, write_observations};
pub use schema::{Column, DATASET_FORMAT, DatasetSchema, SplitName};
pub use statistics::{
    DuplicateStatistics, LeakageExample, LeakageStatistics, LengthStatistics, RejectedRow,
    SplitStatistics, Statistics,
};
pub use table::{Document, Documents, SplitWriter, guarded, read_split};
