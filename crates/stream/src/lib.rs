//! Logs of messages: read from one, publish to one.
//!
//! The idea: whoever reads a log keeps its own [`Position`], together with what it made of the
//! messages; the server is asked for what comes after it, and is never told what is done. So there
//! is one truth about what is done. A message that is published has an id, by which what was
//! published before a kill is found again.
//!
//! [`Source`] and [`Sink`] say no more than that, so that a log of any kind can stand behind them:
//! a position is a number per partition, which JetStream (one partition) and the Kafka protocol
//! (offsets) both have. [`Nats`] connects to JetStream.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use mesh_stream::{LogUrl, Nats, Position, Source, Want};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = tokio::runtime::Runtime::new()?;
//! let url: LogUrl = "nats://localhost:4222/documents".parse()?;
//! let nats = Nats::connect(&url, runtime.handle())?;
//! let mut source = nats.source(url.path())?;
//! let mut position = Position::default();
//! let want = Want { most: 100, wait: Duration::from_millis(200) };
//! for message in source.fetch(&position, want)? {
//!     println!("{} bytes", message.payload.len());
//!     position.reach(&message);
//! }
//! # Ok(())
//! # }
//! ```

mod error;
mod log;
mod nats;
mod place;

pub use error::{StreamError, StreamErrorKind};
pub use log::{Ahead, Message, Outgoing, Position, Published, Sink, Source, Want};
pub use nats::{Nats, NatsSink, NatsSource};
pub use place::LogUrl;
