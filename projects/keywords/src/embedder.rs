use mesh_core::{LoadError, ModelFiles};
use miette::Diagnostic;
use thiserror::Error;

/// Turns texts into vectors whose cosine tells how alike the texts are.
pub trait Embedder: Send + Sync {
    /// The embeddings of texts, in their order: all of one length and L2-normalised. The one of a
    /// text is the same whatever else is embedded with it.
    fn embed(&self, texts: &[&str]) -> Vec<Vec<f32>>;
}

#[derive(Debug, Error, Diagnostic)]
#[error("this build has no engine for text encoders")]
struct NoEncoder;

/// The embedder of a compiled model.
pub(crate) fn embedder(model: &ModelFiles) -> Result<Box<dyn Embedder>, LoadError> {
    Err(LoadError::new(&model.manifest.project.name, NoEncoder))
}
