use async_nats::jetstream::stream::{RetentionPolicy, Stream};

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

    async fn attempt(&mut self, after: u64, want: Want) -> Result<Vec<Message>, StreamError> {
        let reading = Reading { stream: &self.stream, filter: &self.filter, headers_only: false };
        // It is put back only if it did its work: one that failed is of no use.
        let mut reader = match self.reader.take().filter(|reader| reader.after() == after) {
            Some(reader) => reader,
            None => Reader::open(&self.nats, reading, after).await?,
        };
        let (found, left) = reader.next(&self.nats, want).await?;
        self.left = Some((reader.after(), left));
        self.reader = Some(reader);
        let message = |delivered: async_nats::jetstream::Message| {
            let sequence = delivered.info().map(|info| info.stream_sequence);
            let sequence = sequence.map_err(|error| self.nats.away("read the stream", error))?;
            let payload = delivered.message.payload;
            Ok(Message { partition: PARTITION, sequence, payload })
        };
        found.into_iter().map(message).collect()
    }
}

impl Source for NatsSource {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn fetch(&mut self, after: &Position, want: Want) -> Result<Vec<Message>, StreamError> {
        let after = after.of(PARTITION).unwrap_or_default();
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
        Ok(Ahead {
            messages: left.unwrap_or(all),
            gone: (first - 1).saturating_sub(after),
            beyond: after > state.last_sequence,
        })
    }
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
