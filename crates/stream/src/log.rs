use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::StreamError;

/// How far a log is done with: by partition, the sequence number of the last message. A partition
/// that is not in it is to be read from its beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(BTreeMap<u32, Reached>);

/// The last message of a partition that is done with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reached {
    sequence: u64,
    stamp: i64,
}

/// A message of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its partition; 0 in logs that have but one.
    pub partition: u32,
    /// Its number in the partition: those of later messages are larger, not always by one.
    pub sequence: u64,
    /// What tells it from another that has its number, in a log that lost its end or was restored
    /// from a copy: when the log took it, in nanoseconds.
    pub stamp: i64,
    /// What it says.
    pub payload: Bytes,
}

/// How much is fetched at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// Messages, at most.
    pub most: usize,
    /// How long to wait for so many.
    pub wait: Duration,
}

/// A message that is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// What tells it from all others; a log that keeps such ids takes it once.
    pub id: String,
    /// What it says.
    pub payload: Bytes,
}

/// What is in a log behind a mark.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// The ids of the messages that have one.
    pub ids: HashSet<String>,
    /// The mark behind the last of them.
    pub mark: u64,
}

/// A log that messages are read from.
///
/// Its methods wait for the network: they are called from threads of one's own, never from an
/// asynchronous task. They come over interruptions by themselves; an error means that the log is
/// gone for long, or that trying again does not help.
pub trait Source: Send {
    /// What the sequence numbers belong to: a log that was made anew has another identity, even
    /// under the old name.
    fn identity(&self) -> &str;

    /// The messages after a position, if the log still holds what the position was made from: in the order of each partition, none left out and none
    /// twice; nothing if none came in the time that is wanted.
    ///
    /// # Errors
    /// When the log does not answer for long, or is not there any more, or does not hold what was
    /// read of it ([`StreamErrorKind::Rewritten`](crate::StreamErrorKind::Rewritten)).
    fn fetch(&mut self, after: &Position, want: Want) -> Result<Vec<Message>, StreamError>;

    /// How many messages there are after a position, about, and how many after it are gone, since
    /// the log keeps no more.
    ///
    /// # Errors
    /// As [`Source::fetch`].
    fn ahead(&mut self, after: &Position) -> Result<Ahead, StreamError>;
}

/// What lies after a position.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ahead {
    /// Messages, about.
    pub messages: u64,
    /// Sequence numbers after the position that the log keeps no message for any more.
    pub gone: u64,
}

/// A log that messages are published to. As with [`Source`], its methods wait.
pub trait Sink: Send {
    /// Where it is, for people and to tell it from others: without passwords.
    fn name(&self) -> &str;

    /// Bytes of a message, at most.
    fn limit(&self) -> usize;

    /// The mark behind all that is there.
    ///
    /// # Errors
    /// When the log does not answer for long, or is not there any more.
    fn end(&mut self) -> Result<u64, StreamError>;

    /// The ids of what lies behind a mark; 0 is the mark before all.
    ///
    /// # Errors
    /// When the log does not answer for long, or is not there any more.
    fn published(&mut self, mark: u64) -> Result<Published, StreamError>;

    /// Publishes messages in their order, and waits until the log has all of them; gives the mark
    /// behind them. After an interruption, what lies behind the mark that is given is looked
    /// through: what is not there is published again, and then may come after later ones.
    ///
    /// # Errors
    /// When the log does not take them for long. Some may be in it.
    fn publish(&mut self, messages: &[Outgoing], mark: u64) -> Result<u64, StreamError>;
}

impl Position {
    /// The last message of a partition that is done with; nothing if none is.
    #[must_use]
    pub fn of(&self, partition: u32) -> Option<u64> {
        self.0.get(&partition).map(|reached| reached.sequence)
    }

    /// The stamp of that message.
    #[must_use]
    pub fn stamp(&self, partition: u32) -> Option<i64> {
        self.0.get(&partition).map(|reached| reached.stamp)
    }

    /// Says that a partition is done with up to a message. It never goes back.
    pub fn reach(&mut self, message: &Message) {
        let Message { partition, sequence, stamp, .. } = *message;
        let at = self.0.entry(partition).or_default();
        if at.sequence < sequence {
            *at = Reached { sequence, stamp };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_never_goes_back() {
        let mut position = Position::default();
        assert_eq!(position.of(0), None);
        let message = |partition, sequence, stamp| Message {
            partition,
            sequence,
            stamp,
            payload: Bytes::new(),
        };
        for (sequence, stamp, expected) in [(5, 50, (5, 50)), (3, 30, (5, 50)), (9, 90, (9, 90))] {
            position.reach(&message(0, sequence, stamp));
            assert_eq!(position.of(0).zip(position.stamp(0)), Some(expected));
        }
        position.reach(&message(7, 1, 2));
        let text = serde_json::to_string(&position).unwrap();
        assert_eq!(text, r#"{"0":{"sequence":9,"stamp":90},"7":{"sequence":1,"stamp":2}}"#);
        assert_eq!(serde_json::from_str::<Position>(&text).unwrap(), position);
    }
}
