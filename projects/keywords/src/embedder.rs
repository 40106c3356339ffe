use mesh_core::{Answer, LoadError, ModelFiles, Refusal};
use mesh_engine::{TextEncoder, normalise};

/// Turns texts into vectors whose cosine tells how alike the texts are.
pub trait Embedder: Send + Sync {
    /// The embeddings of texts, in their order: all of one length and L2-normalised, or why there
    /// is none. The one of a text is the same whatever else is embedded with it.
    fn embed(&self, texts: &[&str]) -> Vec<Result<Answer<Vec<f32>>, Refusal>>;
}

impl Embedder for TextEncoder {
    fn embed(&self, texts: &[&str]) -> Vec<Result<Answer<Vec<f32>>, Refusal>> {
        let mut answers = Self::embed(self, texts);
        answers.iter_mut().flatten().for_each(|answer| normalise(&mut answer.prediction));
        answers
    }
}

/// The embedder of a compiled model.
pub(crate) fn embedder(model: &ModelFiles) -> Result<Box<dyn Embedder>, LoadError> {
    Ok(Box::new(TextEncoder::load(model)?))
}
