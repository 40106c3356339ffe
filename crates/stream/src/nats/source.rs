use async_nats::jetstream::stream::{RawMessageErrorKind, RetentionPolicy, Stream};

use super::{
    Nats,
    read::{Reader, Reading},
};
use crate::{Ahead, Message, Position, Source, StreamError, StreamErrorKind, Want};

/// A stream of JetStream, or the subjects of one, as a [`Source`] of one partition.
///
/// It is read by a consumer that acknowledges nothing and is not kept: where to go on is what the
/// caller says. After an interruption another consumer begins there.
#[derive(Debug)]
pub struct NatsSource {
    nats: Nats,
    stream: Stream,
    filter: String,
    identity: String,
    reader: Option<Reader>,
    /// Where it was read to last, and how many messages were left there.
    left: Option<(u64, u64)>,
}

/// The partition that a stream is.
const PARTITION: u32 = 0;

impl NatsSource {
    pub(super) fn open(nats: Nats, name: &str) -> Result<Self, StreamError> {
        let runtime = nats.runtime.clone();
        let found = runtime.block_on(async {
            match nats.stream(name).await? {
                Some(stream) => Ok(Some((stream, String::new()))),
                None => Ok(nats.keeper(name).await?.map(|stream| (stream, name.to_owned()))),
            }
        })?;
        let Some((stream, filter)) = found else {
            let what = format!("{} has no stream `{name}`, nor one with that subject", nats.shown);
            return Err(StreamError::new("read the stream", StreamErrorKind::Unknown(what))
                .help("`nats stream ls` lists the streams"));
        };
        let about = stream.cached_info();
        if about.config.retention != RetentionPolicy::Limits {
            let what = format!("the stream {} forgets messages that were read", about.config.name);
            return Err(StreamError::new("read the stream", StreamErrorKind::Unfit(what)).help(
                "a position can be kept in streams with `--retention limits`; let one of those \
                 mirror it",
            ));
        }
        let identity = format!("nats:{}:{}:{filter}", about.config.name, about.created);
        Ok(Self { nats, stream, filter, identity, reader: None, left: None })
    }

    /// The name of the stream.
    #[must_use]
    pub fn stream_name(&self) -> &str {
        &self.stream.cached_info().config.name
    }

    /// Whether a message that is published to a subject would be read by this.
    #[must_use]
    pub fn reads(&self, subject: &str) -> bool {
        let own = &self.stream.cached_info().config.subjects;
        let kept = own.iter().any(|pattern| covers(pattern, subject));
        kept && (self.filter.is_empty() || covers(&self.filter, subject))
    }

    /// Whether the message that a position was made from is still the one with its number; one that
    /// the stream no longer keeps does not matter.
    async fn verify(&self, position: &Position) -> Result<(), StreamError> {
        let reached = position.of(PARTITION).zip(position.stamp(PARTITION));
        let Some((sequence, stamp)) = reached else { return Ok(()) };
        let info = self.stream.get_info().await;
        let state = info.map_err(|error| self.nats.away("ask for the stream", error))?.state;
        let same = match self.stream.get_raw_message(sequence).await {
            _ if sequence > state.last_sequence => false,
            _ if sequence < state.first_sequence => true,
            Ok(message) => nanos(message.time.unix_timestamp_nanos()) == stamp,
            Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => true,
            Err(error) => return Err(self.nats.away("ask for a message", error)),
        };
        if same {
            return Ok(());
        }
        let name = self.stream_name();
        let what = format!("the stream {name} does not hold what was read of it up to {sequence}");
        Err(StreamError::new("read the stream", StreamErrorKind::Rewritten(what)).help(
            "it lost its end, or was restored from a copy: begin anew with its first message \
             (`--anew`); documents whose keys are known are refused",
        ))
    }

    async fn attempt(
        &mut self,
        position: &Position,
        want: Want,
    ) -> Result<Vec<Message>, StreamError> {
        let reading = Reading { stream: &self.stream, filter: &self.filter, headers_only: false };
        let after = position.of(PARTITION).unwrap_or_default();
        // It is put back only if it did its work: one that failed is of no use.
        let mut reader = match self.reader.take().filter(|reader| reader.after() == after) {
            Some(reader) => reader,
            None => {
                self.verify(position).await?;
                Reader::open(&self.nats, reading, after).await?
            }
        };
        let (found, left) = reader.next(&self.nats, want).await?;
        self.left = Some((reader.after(), left));
        self.reader = Some(reader);
        let message = |delivered: async_nats::jetstream::Message| {
            let about = delivered.info().map(|info| (info.stream_sequence, info.published));
            let (sequence, at) = about.map_err(|error| self.nats.away("read the stream", error))?;
            let stamp = nanos(at.unix_timestamp_nanos());
            let payload = delivered.message.payload;
            Ok(Message { partition: PARTITION, sequence, stamp, payload })
        };
        found.into_iter().map(message).collect()
    }
}

impl Source for NatsSource {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn fetch(&mut self, after: &Position, want: Want) -> Result<Vec<Message>, StreamError> {
        let (nats, runtime) = (self.nats.clone(), self.nats.runtime.clone());
        let this = tokio::sync::Mutex::new(self);
        runtime.block_on(nats.patiently(|| async { this.lock().await.attempt(after, want).await }))
    }

    fn ahead(&mut self, after: &Position) -> Result<Ahead, StreamError> {
        let after = after.of(PARTITION).unwrap_or_default();
        let ask = || async {
            let found = self.stream.get_info().await;
            found.map_err(|error| self.nats.away("ask for the stream", error))
        };
        let state = self.nats.runtime.block_on(self.nats.patiently(ask))?.state;
        let first = state.first_sequence.max(1);
        // Of some subjects of a stream, only who reads them knows how many there are.
        let left = self.left.filter(|(at, _)| *at == after).map(|(_, left)| left);
        let all = state.last_sequence.saturating_sub(after.max(first - 1));
        Ok(Ahead { messages: left.unwrap_or(all), gone: (first - 1).saturating_sub(after) })
    }
}

/// Nanoseconds since 1970, which have their place until the year 2262.
fn nanos(since: i128) -> i64 {
    i64::try_from(since).unwrap_or(i64::MAX)
}

/// Whether a pattern of subjects covers a subject: `*` stands for one word of it, `>` for all that
/// follow.
fn covers(pattern: &str, subject: &str) -> bool {
    let mut words = subject.split('.');
    for word in pattern.split('.') {
        match (word, words.next()) {
            (">", Some(_)) => return true,
            (_, None) => return false,
            ("*", Some(_)) => {}
            (one, Some(other)) if one == other => {}
            _ => return false,
        }
    }
    words.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_subjects() {
        let cases = [
            ("a", "a", true),
            ("a", "a.b", false),
            ("a.b", "a", false),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("*.b", "a.b", true),
        ];
        for (pattern, subject, expected) in cases {
            assert_eq!(covers(pattern, subject), expected, "{pattern} {subject}");
        }
    }
}
