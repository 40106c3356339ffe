//! Linear models on n-gram features.

mod compiled;
mod featurizer;
mod model;
mod pack;
mod scoring;

pub use compiled::CompiledLinear;
pub use featurizer::{Featurizer, Scratch as FeatureScratch};
pub use model::{LINEAR_FORMAT, LinearDescription, LinearModel};
pub use pack::{PackReport, pack};
