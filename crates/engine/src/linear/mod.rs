//! Linear models on n-gram features.

mod compiled;
mod featurizer;
mod layout;
mod model;
mod pack;
mod scoring;
mod table;
mod words;

pub use compiled::CompiledLinear;
pub use featurizer::{FeatureKind, Featurizer, Scratch as FeatureScratch};
pub use model::{LINEAR_FORMAT, LinearDescription, LinearModel};
pub use pack::{PackReport, pack};
