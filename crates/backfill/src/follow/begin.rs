//! Where a follower begins, and what the stream lost before.

use std::collections::{BTreeMap, BTreeSet};

use mesh_core::ProjectName;
use mesh_stream::{Message, Position, Source};

use crate::{
    BackfillError, OpenArchive,
    follow::{
        Follow,
        head::{Batch, Head},
    },
};

/// What was followed before, or a beginning; and how many messages are gone since, at most.
pub(super) fn begin(
    archive: &OpenArchive,
    follow: &mut Follow<'_>,
) -> Result<(Head, u64), BackfillError> {
    archive.claim()?;
    let source = follow.source.identity().to_owned();
    let Some(mut head) = Head::read(&archive.place)? else { return Ok((Head::new(&source), 0)) };
    if follow.limits.anew {
        head.source = source;
        head.position = Position::default();
        return Ok((head, 0));
    }
    if head.source == source {
        let gone = follow.source.ahead(&head.position)?.gone;
        if gone > 0 {
            tracing::warn!(messages = gone, "the stream no longer keeps what comes next");
        }
        return Ok((head, gone));
    }
    let what = format!("it followed {} until now, and this is {source}", head.source);
    let help = "name the stream that it followed; or let it begin with this one from its first \
                message, `--anew`: documents whose keys are known are refused";
    Err(BackfillError::usage("follow the stream", what, help))
}

/// The projects that told of documents that were kept.
pub(super) fn tellers(batches: &[Batch]) -> BTreeSet<ProjectName> {
    let kept = batches.iter().filter(|batch| batch.file.is_some());
    kept.flat_map(|batch| batch.told.keys().cloned()).collect()
}

/// How many messages between a position and the last of some that came after it are gone, at most:
/// the stream dropped them before they were read. Of some subjects of a stream, only the stream
/// knows whether a number is gone or another subject's.
pub(super) fn missed(
    source: &mut dyn Source,
    position: &Position,
    messages: &[Message],
) -> Result<u64, BackfillError> {
    let mut last: BTreeMap<u32, u64> = BTreeMap::new();
    for message in messages {
        last.insert(message.partition, message.sequence);
    }
    let read = |partition: u32, to: u64| {
        let within = |m: &&Message| m.partition == partition && m.sequence <= to;
        messages.iter().filter(within).count() as u64
    };
    // Who begins has missed nothing.
    let known = last.iter().filter_map(|(at, last)| Some((*at, position.of(*at)?, *last)));
    let unread = known.clone().map(|(at, from, to)| (to - from).saturating_sub(read(at, to)));
    let unread: u64 = unread.sum();
    if unread == 0 {
        return Ok(0);
    }
    let gone = source.ahead(position)?.gone;
    let since: u64 = known.map(|(at, from, to)| read(at, to.min(from + gone))).sum();
    Ok(unread.min(gone.saturating_sub(since)))
}
