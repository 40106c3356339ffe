//! Which documents a generation rejected, and why.

use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    sync::Arc,
};

use arrow_array::{Array, ArrayRef, StringArray, StructArray};
use arrow_schema::{DataType, Field, Fields};
use mesh_archive::Span;

use crate::{
    BackfillError,
    answers::Reason,
    generation::Generation,
    inputs::text_in,
    keys::FileStamp,
    rejects::{Reasons, Rejects, reason},
};

/// The column of a document that was rejected, behind the name of the project.
pub(super) const REJECTED: &str = "rejected";

/// Why documents were rejected, as it is asked for span by span.
pub(super) struct Rejections<'a> {
    generation: &'a Generation,
    files: &'a [FileStamp],
    /// All that was rejected, for documents that lie elsewhere now.
    all: OnceCell<Rejects>,
    reasons: RefCell<Reasons<'a>>,
}

impl<'a> Rejections<'a> {
    pub(super) fn new(generation: &'a Generation, files: &'a [FileStamp]) -> Self {
        let reasons = RefCell::new(Reasons::of(Some(generation)));
        Self { generation, files, all: OnceCell::new(), reasons }
    }

    /// The files of the documents, as they are now.
    pub(super) const fn files(&self) -> &'a [FileStamp] {
        self.files
    }

    /// The columns of a rejection.
    pub(super) fn fields() -> Fields {
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        [text("reason"), text("detail")].into_iter().collect()
    }

    /// Why each document of a span was rejected, by its place in a file that is what it was, else
    /// by its key; null where it was not. `told` are those of which something is told.
    pub(super) fn find(
        &self,
        span: &Span,
        keys: &StringArray,
        told: &[Option<usize>],
    ) -> Result<ArrayRef, BackfillError> {
        let manifest = self.generation.manifest();
        let file = self.files.get(span.file);
        let known = file.and_then(|file| manifest.files.iter().position(|k| k.name == file.name));
        let is_same = known.and_then(|at| manifest.files.get(at)) == file;
        let end = span.first + span.rows;
        let near = manifest.parts.iter().enumerate().filter(|(_, part)| {
            let theirs = part.span.first..part.span.first + part.span.rows;
            Some(part.span.file) == known && theirs.start < end && span.first < theirs.end
        });
        let (mut by_place, mut by_key) = (HashMap::new(), HashMap::new());
        for (at, _) in near {
            let Some(rejects) = self.reasons.borrow_mut().part(at)? else { continue };
            for row in 0..rejects.num_rows() {
                let text = |name: &str| text_in(&rejects, name, row);
                let place = text("row").and_then(|row| row.parse::<u64>().ok());
                // What was followed was not in its file yet.
                match place.filter(|_| is_same && text("file") == file.map(|f| f.name.clone())) {
                    Some(place) => by_place.insert(place, reason(&rejects, row)).is_none(),
                    None => text(&manifest.key_column)
                        .is_some_and(|key| by_key.insert(key, reason(&rejects, row)).is_none()),
                };
            }
        }
        let anywhere = manifest.files != self.files;
        let mut found = Vec::with_capacity(keys.len());
        for (at, (key, told)) in keys.iter().zip(told).enumerate() {
            found.push(match (told, key) {
                (Some(_), _) => None,
                (None, key) => match by_place.remove(&(span.first + at as u64)) {
                    None if key.is_some_and(|key| by_key.contains_key(key)) => {
                        by_key.remove(key.unwrap_or_default())
                    }
                    None if anywhere => key.map(|key| self.elsewhere(key)).transpose()?.flatten(),
                    why => why,
                },
            });
        }
        let text = |of: fn(&Reason) -> &String| -> ArrayRef {
            Arc::new(found.iter().map(|why| why.as_ref().map(of)).collect::<StringArray>())
        };
        let columns = vec![text(|why| &why.kind), text(|why| &why.detail)];
        let nulls = columns.first().and_then(|reasons| reasons.nulls().cloned());
        Ok(Arc::new(StructArray::new(Self::fields(), columns, nulls)))
    }

    /// Why a document was rejected that lies elsewhere now.
    fn elsewhere(&self, key: &str) -> Result<Option<Reason>, BackfillError> {
        let all = match self.all.get() {
            Some(all) => all,
            None => {
                let all = Rejects::of(self.generation)?;
                self.all.get_or_init(|| all)
            }
        };
        all.find(key).map(|at| self.reasons.borrow_mut().read(at)).transpose()
    }
}
