use std::{
    panic::resume_unwind,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use mesh_core::{Digest, Interrupted};
use mesh_minhash::{Index, Options, Sketch, Sketcher};
use mesh_text::words;

use crate::{
    Archive, ArchiveError, ArchiveErrorKind, Columns, Duplicates, Pair, Unusable, Watch,
    find::Finder, read::Row,
};

/// Finds the duplicates and near-duplicates of an archive.
///
/// The words of a text are those of Unicode's rules, and their case does not matter. What is found
/// is the same with any number of threads.
#[derive(Debug, Clone)]
pub struct Dedup {
    /// How documents are compared.
    pub options: Options,
    /// Threads that make sketches, beside one that reads and one that compares: 0 counts as 1.
    pub threads: usize,
}

/// What is told of a row, to be compared.
pub(crate) struct Sketched {
    pub(crate) key: Option<String>,
    pub(crate) document: Result<Document, Unusable>,
}

/// A text, as it is compared.
pub(crate) struct Document {
    pub(crate) text: TextId,
    pub(crate) sketch: Sketch,
}

/// The first half of a text's SHA-256: copies of a text share it.
pub(crate) type TextId = [u8; 16];

/// Where rows go to be sketched: to each thread in turn, so that their order is known.
struct Feed {
    threads: Vec<SyncSender<Vec<Row>>>,
    turn: usize,
    batch: Vec<Row>,
    bytes: usize,
}

/// Rows that a thread is given at once, and bytes of their texts.
const BATCH_ROWS: usize = 1024;
const BATCH_BYTES: usize = 1 << 18;
/// Batches that wait before and after a thread.
const WAITING: usize = 2;

impl Dedup {
    /// Goes through an archive. Every pair is given to `take` when it is found: the rows in their
    /// order, for each the earlier ones that it is like, the most similar first.
    ///
    /// # Errors
    /// When documents cannot be compared that way, the archive cannot be read or does not have the
    /// columns, it was asked to stop, or `take` fails.
    pub fn run(
        &self,
        archive: &Archive,
        columns: &Columns,
        watch: Watch<'_>,
        take: impl FnMut(&Pair<'_>) -> Result<(), ArchiveError> + Send,
    ) -> Result<Duplicates, ArchiveError> {
        let index = Index::new(self.options)
            .map_err(|error| ArchiveError::new(ArchiveErrorKind::Options(error)))?;
        let sketcher = &index.sketcher().clone();
        let task = archive.begin("find duplicates", watch);
        thread::scope(|scope| {
            let (mut threads, mut sketched) = (Vec::new(), Vec::new());
            for _ in 0..self.threads.max(1) {
                let (sender, batches) = sync_channel::<Vec<Row>>(WAITING);
                let (done, receiver) = sync_channel(WAITING);
                scope.spawn(move || {
                    for batch in batches {
                        let batch: Vec<_> =
                            batch.into_iter().map(|row| sketch(sketcher, row)).collect();
                        if done.send(batch).is_err() {
                            break;
                        }
                    }
                });
                threads.push(sender);
                sketched.push(receiver);
            }
            let finder = Finder::new(index, watch.cancel, take);
            let finder = scope.spawn(move || find(finder, &sketched));
            let mut feed = Feed { threads, turn: 0, batch: Vec::new(), bytes: 0 };
            let read = archive
                .read(columns, task.as_ref(), &mut |row| {
                    watch.cancel.check()?;
                    feed.push(row)
                })
                .and_then(|()| feed.flush());
            drop(feed);
            // If the finder failed, that is why nobody took the rows.
            let found = finder.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            read.map(|()| found)
        })
    }
}

impl Default for Dedup {
    fn default() -> Self {
        Self { options: Options::default(), threads: 1 }
    }
}

impl Feed {
    fn push(&mut self, row: Row) -> Result<(), ArchiveError> {
        self.bytes += row.text.as_ref().map_or(0, String::len);
        self.batch.push(row);
        if self.bytes >= BATCH_BYTES || self.batch.len() >= BATCH_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ArchiveError> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        let thread = self.threads.get(self.turn);
        self.turn = (self.turn + 1) % self.threads.len().max(1);
        // Nobody takes it once the finder has failed.
        thread.and_then(|thread| thread.send(batch).ok()).ok_or_else(|| Interrupted.into())
    }
}

fn sketch(sketcher: &Sketcher, row: Row) -> Sketched {
    let document = row.text.and_then(|text| {
        let sketch = sketcher.sketch(words(&text));
        if sketch.is_empty() {
            return Err(Unusable::NoWords);
        }
        let digest = Digest::of(text.as_bytes());
        let id = digest.as_bytes().first_chunk().copied().unwrap_or_default();
        Ok(Document { text: id, sketch })
    });
    Sketched { key: row.key, document }
}

fn find<F: FnMut(&Pair<'_>) -> Result<(), ArchiveError>>(
    mut finder: Finder<'_, F>,
    threads: &[Receiver<Vec<Sketched>>],
) -> Result<Duplicates, ArchiveError> {
    for thread in threads.iter().cycle() {
        // The first that has no batch in its turn is behind the last batch.
        let Ok(batch) = thread.recv() else { break };
        for row in batch {
            finder.push(row)?;
        }
    }
    Ok(finder.finish())
}
