//! Whose enrichments a place keeps: two archives that share one would answer for each other.

use bytes::Bytes;
use mesh_core::{ProjectName, manifest::ArchiveManifest};
use mesh_postgres::is_address;
use serde::{Deserialize, Serialize};

use crate::{BackfillError, BackfillErrorKind, place::Place};

/// What a place says of its archive: `archive.json`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Owner {
    format: u32,
    archive: ProjectName,
    /// The last part of their address: folders may be moved with all that is in them.
    documents: String,
}

const OWNER: &str = "archive.json";
const FORMAT: u32 = 1;

impl Owner {
    pub(crate) fn of(manifest: &ArchiveManifest) -> Self {
        let about = &manifest.archive;
        let documents = match is_address(&about.url) {
            // Nothing of an address is written down that may hold a password.
            true => "postgres",
            false => about.url.trim_end_matches('/').rsplit('/').next().unwrap_or_default(),
        };
        let documents = documents.trim_start_matches("file:").to_owned();
        Self { format: FORMAT, archive: about.name.clone(), documents }
    }

    /// Fails if the enrichments in a place are another archive's; says whether they are told to be
    /// this one's.
    pub(crate) fn check(&self, place: &Place) -> Result<bool, BackfillError> {
        let Some(found) = place.get(OWNER)? else { return Ok(false) };
        let action = || format!("open the archive {}", self.archive);
        let found: Self = serde_json::from_slice(&found).map_err(|error| {
            BackfillError::new(action(), BackfillErrorKind::Damaged(place.shown(OWNER)))
                .because(error)
                .help("it says whose enrichments are beside it: remove it, if they are this archive's")
        })?;
        if found == *self {
            return Ok(true);
        }
        let Self { archive, documents, .. } = found;
        let what = format!("{} keeps what is told of {archive} ({documents})", place.shown(""));
        let help = format!(
            "name a folder of its own by `enrichments` in [archive]; or, if {archive} is what this \
             archive was called before, remove {}",
            place.shown(OWNER)
        );
        Err(BackfillError::usage(action(), what, help))
    }

    /// Says in a place whose it is; fails if it is another's.
    pub(crate) fn claim(&self, place: &Place) -> Result<(), BackfillError> {
        if self.check(place)? {
            return Ok(());
        }
        let told = serde_json::to_vec_pretty(self).unwrap_or_default();
        match place.create(OWNER, Bytes::from(told))? {
            true => Ok(()),
            // Another process was quicker.
            false => self.check(place).map(drop),
        }
    }
}
