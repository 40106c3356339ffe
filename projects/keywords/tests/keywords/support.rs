//! An embedder without a model, and questions in short.

use std::sync::{Arc, Mutex};

use mesh_core::{Answer, Example, Project, Refusal};
use mesh_project_keywords::{Document, Embedder, Keywords, Parameters, Prediction};

const DIMENSIONS: u64 = 64;

/// Counts trigrams of characters by their hash: texts that share letters are alike.
#[derive(Clone, Default)]
pub(crate) struct Trigrams {
    calls: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Trigrams {
    /// The texts of every call so far.
    pub(crate) fn calls(&self) -> Vec<Vec<String>> {
        self.calls.lock().unwrap().clone()
    }
}

impl Embedder for Trigrams {
    fn embed(&self, texts: &[&str]) -> Vec<Result<Answer<Vec<f32>>, Refusal>> {
        self.calls.lock().unwrap().push(texts.iter().map(ToString::to_string).collect());
        texts.iter().map(|text| Ok(trigrams(text).into())).collect()
    }
}

/// The embedding of one text.
pub(crate) fn trigrams(text: &str) -> Vec<f32> {
    let letters: Vec<char> = format!(" {text} ").to_lowercase().chars().collect();
    let mut vector = vec![0.0_f32; DIMENSIONS as usize];
    for three in letters.windows(3) {
        // FNV-1a.
        let hash = three.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, c| {
            (hash ^ u64::from(*c)).wrapping_mul(0x0100_0000_01b3)
        });
        vector[(hash % DIMENSIONS) as usize] += 1.0;
    }
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter().map(|x| x / norm).collect()
}

pub(crate) fn example(content: &str, parameters: Parameters) -> Example<Document, Parameters> {
    Example { attributes: Document { content: content.into() }, parameters }
}

pub(crate) fn ask(content: &str, parameters: Parameters) -> Result<Prediction, Refusal> {
    let mut answers = Keywords::new(Trigrams::default()).predict(&[example(content, parameters)]);
    assert_eq!(answers.len(), 1);
    answers.remove(0).map(|answer| answer.prediction)
}

pub(crate) fn tokens(prediction: &Prediction) -> Vec<&str> {
    prediction.keywords.iter().map(|keyword| keyword.keyword_token.as_str()).collect()
}
