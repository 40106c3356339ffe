//! Documents as they arrive: followed in a stream, enriched, and left in the archive, in another
//! stream, or in both.
//!
//! A *batch* of messages is one commit: the documents, what was told of them, what was refused, and
//! the position in the stream are written down in one move of one small file, [`head::Head`]. What
//! is written before that is not seen by anybody, and written again after a kill; what is left to
//! do after it (a name, messages to be published) is done again after a kill until it is done. The
//! server is told nothing of the position.

mod arrivals;
mod begin;
mod head;
mod job;
mod lately;
mod made;
mod outbox;
mod report;
mod room;
mod run;
mod seen;
mod tail;

pub use report::{FollowReport, Followed, FollowedProject};
pub use run::{Follow, FollowLimits, Keep, Newer};

pub use arrivals::Refused;
pub(crate) use head::FOLDER;
pub(crate) use tail::{Tail, TailPart};

/// What the files of documents begin with that were followed.
const PREFIX: &str = "stream-";
/// The folder beside the documents that they are in until they are committed: hidden, so that
/// nobody takes them for documents.
const ASIDE: &str = ".stream";

/// Whether a file of an archive holds documents that were followed.
pub(crate) fn is_arrival(file: &str) -> bool {
    file.starts_with(PREFIX)
}

/// The name of the documents of a batch.
fn documents(batch: u64, ending: &str) -> String {
    format!("{PREFIX}{batch:08}.{ending}")
}
