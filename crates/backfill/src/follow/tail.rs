//! What was told of documents that arrived, beside the generations of backfills.
//!
//! A reader takes what a generation tells of the files that the generation was made of, and what
//! is here of the others. So a backfill of what came before, and the move that makes it live, lose
//! nothing of what arrives meanwhile; and a rollback neither.

use crate::{
    BackfillError, OpenArchive,
    follow::head::{FOLDER, Head, Told},
    place::Place,
};

/// What a project told of documents that arrived.
pub(crate) struct Tail {
    /// Where its parts are.
    pub(crate) place: Place,
    pub(crate) parts: Vec<TailPart>,
}

/// What a project told of the documents of a file.
pub(crate) struct TailPart {
    /// The file.
    pub(crate) file: String,
    pub(crate) told: Told,
}

impl Tail {
    /// What a project told; nothing if nothing was followed into the archive.
    pub(crate) fn read(
        archive: &OpenArchive,
        project: &str,
    ) -> Result<Option<Self>, BackfillError> {
        let Some(head) = Head::read(&archive.place)? else { return Ok(None) };
        let part = |batch: crate::follow::head::Batch| {
            let mut told = batch.told;
            let name = told.keys().find(|name| name.as_str() == project)?.clone();
            Some(TailPart { file: batch.file?, told: told.remove(&name)? })
        };
        let parts = head.batches(&archive.place)?.into_iter().filter_map(part).collect();
        Ok(Some(Self { place: archive.place.below(FOLDER).below(project), parts }))
    }
}
