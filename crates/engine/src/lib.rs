//! Runs models: one trait, many families; linear models first.
//!
//! A text classifier turns texts into probabilities of labels. [`LinearModel`] is a trained
//! model as the trainer left it, run in the plainest way; [`CompiledLinear`] is the same model
//! packed into one file that is memory-mapped and run fast. Both see the same features:
//! [`Featurizer`] defines them.
//!
//! ```
//! use mesh_core::manifest::Features;
//! use mesh_engine::Featurizer;
//!
//! let features = Featurizer::new(&Features { word_ngrams: [1, 2], ..Features::default() });
//! let mut names = Vec::new();
//! features.named("Rates were cut", &mut |_, name| names.push(name.to_owned()));
//! assert_eq!(names, ["w\trates", "w\twere", "w\trates were", "w\tcut", "w\twere cut"]);
//! ```

mod encoder;
mod error;
mod kernel;
mod linear;
mod map;
mod sequence;
mod trees;

pub use encoder::{
    Architecture, CompiledEncoder, EncoderClassifier, EncoderConfig, EncoderFolder, EncoderOptions,
    HeadKind, HiddenActivation, LogisticHead, Pooling, ReferenceEncoder, TextEncoder,
    TextTokenizer, Windows, WordWindows, normalise, pack_encoder, pool,
};
pub use error::{EngineError, EngineErrorKind};
pub use kernel::{Peak, Target, TargetError, peak};
pub use linear::{
    CompiledLinear, FeatureKind, FeatureScratch, Featurizer, LINEAR_FORMAT, LinearDescription,
    LinearModel, PackReport, pack,
};
pub use map::MappedFile;
pub use sequence::{
    Chain, ChainRoom, CompiledSequence, SequenceModel, TOKEN_FEATURES, Tagging, TokenFeatures,
    pack_sequence,
};
pub use trees::{
    Branch, CompiledTrees, Regressor, TreeModel, TreeNode, from_scale, pack_trees, read_features,
    to_scale,
};

use mesh_core::{Answer, LoadError, ModelFiles, Refusal};

/// Gives every label a probability for a text.
pub trait TextClassifier: Send + Sync {
    /// The labels, in the order of the scores.
    fn labels(&self) -> &[String];

    /// Calibrated probabilities: one row per text, one value per label, each row adding up to 1.
    /// A row is the same bits whatever other texts are asked with it.
    fn scores(&self, texts: &[&str]) -> Vec<Vec<f32>>;

    /// As [`TextClassifier::scores`], with what each answer took; a text that cannot be answered
    /// is a refusal.
    fn answers(&self, texts: &[&str]) -> Vec<Result<Answer<Vec<f32>>, Refusal>> {
        self.scores(texts).into_iter().map(|scores| Ok(scores.into())).collect()
    }
}

/// Opens the text classifier of a project, of whichever family it is.
///
/// # Errors
/// When there is none, or it cannot be opened.
pub fn load_classifier(model: &ModelFiles) -> Result<Box<dyn TextClassifier>, LoadError> {
    let has = |file: &str| model.compiled.as_ref().is_some_and(|folder| folder.join(file).exists());
    if !has(CompiledEncoder::FILE) {
        return Ok(Box::new(CompiledLinear::load(model)?));
    }
    let folder = model.compiled.clone().unwrap_or_default();
    let classifier = EncoderClassifier::open(&folder, model.manifest.model.as_ref());
    let fail = |error| LoadError::new(&model.manifest.project.name, error);
    Ok(Box::new(classifier.map_err(fail)?))
}
