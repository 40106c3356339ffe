//! Reading a stream from a sequence number on, without a word about it left on the server.

use std::time::Duration;

use async_nats::jetstream::{
    Message as Delivered,
    consumer::{AckPolicy, Consumer, DeliverPolicy, pull},
    stream::Stream,
};
use futures::StreamExt;

use super::Nats;
use crate::{StreamError, Want};

/// A reader that stands somewhere in a stream.
#[derive(Debug)]
pub(super) struct Reader {
    consumer: Consumer<pull::Config>,
    /// The sequence number that it stands behind.
    after: u64,
    /// Messages that it has given.
    given: u64,
}

/// What a reader reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) stream: &'a Stream,
    /// The subjects; all of the stream if it is empty.
    pub(super) filter: &'a str,
    /// Whether headers are read and payloads are not.
    pub(super) headers_only: bool,
}

/// After how long the server forgets a reader that does not ask.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// How much longer than it was told to a server may wait: a reader that it forgot gets no answer.
const GRACE: Duration = Duration::from_secs(2);

impl Reader {
    /// Begins behind a sequence number.
    pub(super) async fn open(
        nats: &Nats,
        reading: Reading<'_>,
        after: u64,
    ) -> Result<Self, StreamError> {
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: after + 1 },
            ack_policy: AckPolicy::None,
            filter_subject: reading.filter.to_owned(),
            headers_only: reading.headers_only,
            inactive_threshold: FORGOTTEN,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = reading.stream.create_consumer(config).await;
        let consumer = consumer.map_err(|error| nats.away("read the stream", error))?;
        Ok(Self { consumer, after, given: 0 })
    }

    /// The sequence number that it stands behind.
    pub(super) const fn after(&self) -> u64 {
        self.after
    }

    /// The next messages, and how many are left behind them. None left out, none twice: else it is
    /// an error, after which the reader is of no use.
    pub(super) async fn next(
        &mut self,
        nats: &Nats,
        want: Want,
    ) -> Result<(Vec<Delivered>, u64), StreamError> {
        let wait = want.wait.max(Duration::from_millis(1));
        let batch = self.consumer.batch().max_messages(want.most).expires(wait).messages();
        let mut batch = batch.await.map_err(|error| nats.away("read the stream", error))?;
        let ends = tokio::time::Instant::now() + wait + GRACE;
        let (mut found, mut left) = (Vec::new(), 0);
        while found.len() < want.most {
            let next = tokio::time::timeout_at(ends, batch.next()).await;
            let silent = || nats.away("read the stream", "it does not say that there is no more");
            let Some(next) = next.map_err(|_| silent())? else { break };
            let message = next.map_err(|error| nats.away("read the stream", error))?;
            let info = message.info().map_err(|error| nats.away("read the stream", error))?;
            let (sequence, number, pending) =
                (info.stream_sequence, info.consumer_sequence, info.pending);
            // One that was lost on the way leaves a gap in what the server counts.
            if number != self.given + 1 || sequence <= self.after {
                return Err(nats.away("read the stream", "messages were lost on the way"));
            }
            (self.given, self.after, left) = (number, sequence, pending);
            found.push(message);
        }
        Ok((found, left))
    }
}
