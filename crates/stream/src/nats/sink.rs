use std::{collections::HashSet, error::Error as _, time::Duration};

use async_nats::{
    HeaderMap,
    header::NATS_MESSAGE_ID,
    jetstream::{
        self, ErrorCode,
        context::{PublishError, PublishErrorKind},
        stream::Stream,
    },
};
use futures::future::join_all;
use tokio::sync::Mutex;

use super::{
    Nats,
    read::{Reader, Reading},
};
use crate::{Outgoing, Published, Sink, StreamError, StreamErrorKind, Want};

/// A subject of JetStream, as a [`Sink`]: each message carries its id as `Nats-Msg-Id`, by which the
/// server takes it once for as long as it remembers (its duplicate window), and by which it is
/// found again at any time later.
#[derive(Debug)]
pub struct NatsSink {
    nats: Nats,
    stream: Stream,
    subject: String,
    name: String,
}

/// Messages on their way.
struct Sending<'m> {
    left: Vec<&'m Outgoing>,
    mark: u64,
    /// Whether they were sent before.
    again: bool,
}

/// The status of a server that cannot now.
const UNAVAILABLE: usize = 503;
/// Messages that are under way at once.
const UNDER_WAY: usize = 256;
/// Messages that are looked through at once, and how long for them is waited.
const LOOK: Want = Want { most: 1024, wait: Duration::from_secs(1) };

impl NatsSink {
    pub(super) fn open(nats: Nats, subject: &str) -> Result<Self, StreamError> {
        if subject.contains(['*', '>']) {
            let what = format!("`{subject}` stands for many subjects");
            return Err(StreamError::new("publish", StreamErrorKind::Unfit(what))
                .help("name the one that messages are published to"));
        }
        let stream = nats.runtime.block_on(nats.keeper(subject))?.ok_or_else(|| {
            let what = format!("no stream of {} keeps the subject `{subject}`", nats.shown);
            StreamError::new("publish", StreamErrorKind::Unknown(what)).help(format!(
                "what is published there would be lost; make one: `nats stream add --subjects \
                 {subject}`"
            ))
        })?;
        let name = format!("{}/{subject}", nats.shown);
        Ok(Self { nats, stream, subject: subject.to_owned(), name })
    }

    /// The number of the last message of the stream.
    async fn last(&self) -> Result<u64, StreamError> {
        let info = self.stream.get_info().await;
        let info = info.map_err(|error| self.nats.away("look for what was published", error))?;
        Ok(info.state.last_sequence)
    }

    /// The ids behind a mark, up to the end of the stream.
    async fn look(&self, mark: u64) -> Result<Published, StreamError> {
        let end = self.last().await?;
        // One that lost its end is looked through from its beginning.
        let mark = if end < mark { 0 } else { mark };
        let mut published = Published { ids: HashSet::new(), mark: mark.max(end) };
        if end <= mark {
            return Ok(published);
        }
        let reading = Reading { stream: &self.stream, filter: &self.subject, headers_only: true };
        let mut reader = Reader::open(&self.nats, reading, mark).await?;
        loop {
            let (found, left) = reader.next(&self.nats, LOOK).await?;
            for message in &found {
                let id = message.headers.as_ref().and_then(|all| all.get(NATS_MESSAGE_ID));
                published.ids.extend(id.map(|id| id.as_str().to_owned()));
            }
            if found.is_empty() || left == 0 {
                published.mark = published.mark.max(reader.after());
                return Ok(published);
            }
        }
    }

    /// Publishes messages that are left; takes out those that the stream has.
    async fn send(&self, sending: &mut Sending<'_>) -> Result<(), StreamError> {
        let mut failed = None;
        let (mut under_way, mut left) = (Vec::new(), Vec::new());
        for message in std::mem::take(&mut sending.left) {
            let mut headers = HeaderMap::new();
            headers.insert(NATS_MESSAGE_ID, message.id.as_str());
            let (subject, payload) = (self.subject.clone(), message.payload.clone());
            match self.nats.jetstream.publish_with_headers(subject, headers, payload).await {
                Ok(ack) => under_way.push((message, ack)),
                Err(error) => {
                    left.push(message);
                    failed = Some(error);
                }
            }
        }
        let acked = under_way.into_iter().map(|(message, ack)| async move { (message, ack.await) });
        for (message, ack) in join_all(acked).await {
            match ack {
                Ok(ack) => sending.mark = sending.mark.max(ack.sequence),
                Err(error) => {
                    left.push(message);
                    failed = Some(error);
                }
            }
        }
        sending.left = left;
        failed.map_or(Ok(()), |error| Err(self.refused(error)))
    }

    async fn send_all(&self, messages: &[Outgoing], mark: u64) -> Result<u64, StreamError> {
        let mut reached = mark;
        for some in messages.chunks(UNDER_WAY) {
            let sending = Sending { left: some.iter().collect(), mark: reached, again: false };
            let sending = Mutex::new(sending);
            let attempt = || async {
                let mut sending = sending.lock().await;
                if std::mem::replace(&mut sending.again, true) {
                    // Whether those without an answer are there, only the stream knows: it may
                    // have been away for longer than it remembers ids.
                    let ids = self.look(mark).await?.ids;
                    sending.left.retain(|message| !ids.contains(&message.id));
                }
                self.send(&mut sending).await
            };
            self.nats.patiently(attempt).await?;
            reached = sending.into_inner().mark;
        }
        Ok(reached)
    }

    /// Why messages were not taken: what passes, and what does not.
    fn refused(&self, error: PublishError) -> StreamError {
        match error.kind() {
            PublishErrorKind::Other if is_busy(&error) => self.nats.away("publish", error),
            PublishErrorKind::Other | PublishErrorKind::MaxPayloadExceeded => {
                let what = format!("{} does not take the messages", self.name);
                StreamError::new("publish", StreamErrorKind::Refused(what)).because(error).help(
                    "see to the limits of the stream (`nats stream info`), then start again: what \
                     is done stays done",
                )
            }
            _ => self.nats.away("publish", error),
        }
    }
}

/// Whether the server says that it cannot now: it does while it starts. That a stream is full, it
/// says with the same status.
fn is_busy(error: &PublishError) -> bool {
    let told = error.source().and_then(|told| told.downcast_ref::<jetstream::Error>());
    told.is_some_and(|told| {
        told.code() == UNAVAILABLE && told.error_code() != ErrorCode::STREAM_STORE_FAILED
    })
}

impl Sink for NatsSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn limit(&self) -> usize {
        // Headers count too.
        let most = usize::try_from(self.stream.cached_info().config.max_message_size);
        let most = most.ok().filter(|most| *most > 0).unwrap_or(usize::MAX);
        most.min(self.nats.client.max_payload()).saturating_sub(1024)
    }

    fn end(&mut self) -> Result<u64, StreamError> {
        self.nats.runtime.block_on(self.nats.patiently(|| self.last()))
    }

    fn published(&mut self, mark: u64) -> Result<Published, StreamError> {
        let look = self.nats.patiently(|| self.look(mark));
        self.nats.runtime.block_on(look)
    }

    fn publish(&mut self, messages: &[Outgoing], mark: u64) -> Result<u64, StreamError> {
        let limit = self.nats.client.max_payload();
        if let Some(long) = messages.iter().find(|message| message.payload.len() > limit) {
            let kind = StreamErrorKind::TooLong { bytes: long.payload.len(), limit };
            return Err(StreamError::new("publish", kind).help("raise max_payload of the server"));
        }
        self.nats.runtime.block_on(self.send_all(messages, mark))
    }
}
