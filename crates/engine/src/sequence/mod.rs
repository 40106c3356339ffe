//! Sequences: every token of a sentence gets a tag.
//!
//! A linear-chain conditional random field scores every tag of every token by features of the words
//! around it, and every tag by the one before. [`SequenceModel`] is what the trainer leaves;
//! [`CompiledSequence`] is the same packed into one file that is memory-mapped and run fast.

mod chain;
mod compiled;
mod features;
mod model;
mod pack;

pub use chain::{Chain, ChainRoom};
pub use compiled::{CompiledSequence, Tagging};
pub use features::{TOKEN_FEATURES, TokenFeatures};
pub use model::SequenceModel;
pub use pack::pack_sequence;
