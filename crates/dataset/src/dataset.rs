use std::{
    fs,
    path::{Path, PathBuf},
};

use mesh_core::{
    ArtifactDir,
    features::{FEATURES_FORMAT, FeatureSchema},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    DATASET_FORMAT, DatasetError, DatasetErrorKind, DatasetSchema, Documents, Observation,
    SplitName, Statistics, read_observations, read_split,
};

/// A dataset artifact.
#[derive(Debug, Clone)]
pub struct Dataset {
    folder: PathBuf,
    schema: DatasetSchema,
    statistics: Statistics,
}

impl Dataset {
    /// The file of the schema.
    pub const SCHEMA: &str = "schema.json";
    /// The file of the statistics.
    pub const STATISTICS: &str = "statistics.json";
    /// The file of the rows that could not be used.
    pub const REJECTED: &str = "rejected.jsonl";

    /// Opens a dataset.
    ///
    /// # Errors
    /// When its schema or statistics cannot be read, or are of a newer format.
    pub fn open(artifact: &ArtifactDir) -> Result<Self, DatasetError> {
        Self::open_folder(artifact.path())
    }

    /// Opens a dataset in a folder that is not (yet) an artifact.
    ///
    /// # Errors
    /// When its schema or statistics cannot be read, or are of a newer format.
    pub fn open_folder(folder: &Path) -> Result<Self, DatasetError> {
        let path = folder.join(Self::SCHEMA);
        // First the version by itself: a newer schema may hold what this program does not know.
        let Versioned { format } = read_json(&path)?;
        if format > DATASET_FORMAT {
            let reason = format!("it has format {format}, this program reads {DATASET_FORMAT}");
            return Err(DatasetError::new("read", &path, DatasetErrorKind::Newer, reason));
        }
        let schema = read_json(&path)?;
        let statistics = read_json(&folder.join(Self::STATISTICS))?;
        Ok(Self { folder: folder.to_owned(), schema, statistics })
    }

    /// The columns and labels.
    #[must_use]
    pub const fn schema(&self) -> &DatasetSchema {
        &self.schema
    }

    /// What was read and what became of it.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// How many documents a split has.
    #[must_use]
    pub fn rows(&self, split: SplitName) -> u64 {
        self.statistics.splits.get(split.as_str()).map_or(0, |split| split.rows)
    }

    /// The documents of a split, in order.
    ///
    /// # Errors
    /// When the split cannot be opened. Each document may fail too.
    pub fn read(&self, split: SplitName) -> Result<Documents, DatasetError> {
        read_split(&self.folder.join(split.file_name()))
    }

    /// The fields of the observations.
    ///
    /// # Errors
    /// When the dataset holds documents, or the file is damaged or of a newer format.
    pub fn features(&self) -> Result<FeatureSchema, DatasetError> {
        let path = self.folder.join(FeatureSchema::FILE);
        let schema: FeatureSchema = read_json(&path)?;
        if schema.format > FEATURES_FORMAT {
            let reason =
                format!("it has format {}, this program reads {FEATURES_FORMAT}", schema.format);
            return Err(DatasetError::new("read", &path, DatasetErrorKind::Newer, reason));
        }
        Ok(schema)
    }

    /// The observations of a split, in order.
    ///
    /// # Errors
    /// When the split is damaged, or has other columns than the schema.
    pub fn observations(
        &self,
        split: SplitName,
        features: &FeatureSchema,
    ) -> Result<Vec<Observation>, DatasetError> {
        read_observations(&self.folder.join(split.file_name()), features)
    }
}

#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, DatasetError> {
    let text = fs::read_to_string(path).map_err(|error| DatasetError::io("read", path, error))?;
    serde_json::from_str(&text)
        .map_err(|error| DatasetError::new("read", path, DatasetErrorKind::Format, error))
}
