//! Texts in, vectors or labels out: an encoder with its tokenizer, and what is done with texts
//! that are longer than the model.

use std::path::Path;

use mesh_core::{
    Answer, LoadError, LongTextUse, ModelFiles, Refusal, RefusalKind, Usage,
    manifest::{LongText, ModelTable},
};

use super::{CompiledEncoder, HeadKind, LogisticHead, TextTokenizer, Windows, normalise};
use crate::{EngineError, TextClassifier};

/// A compiled encoder that reads texts.
#[derive(Debug)]
pub struct TextEncoder {
    encoder: CompiledEncoder,
    tokenizer: TextTokenizer,
    long_text: LongText,
    max_windows: usize,
    threads: usize,
}

/// A compiled encoder that gives texts labels: by the head that it was saved with, or by a
/// logistic one that was trained on its embeddings.
#[derive(Debug)]
pub struct EncoderClassifier {
    encoder: TextEncoder,
    /// The logistic head; without one the encoder has its own.
    head: Option<LogisticHead>,
}

impl TextEncoder {
    /// Opens the encoder and the tokenizer of a folder.
    ///
    /// # Errors
    /// When a file is missing or damaged, or they do not fit each other.
    pub fn open(folder: &Path, options: Option<&ModelTable>) -> Result<Self, EngineError> {
        let encoder = CompiledEncoder::open(&folder.join(CompiledEncoder::FILE))?;
        let vocabulary = encoder.config().vocabulary;
        let tokenizer = TextTokenizer::read(&folder.join(TextTokenizer::FILE), vocabulary)?;
        let long_text = options.map(|options| options.long_text).unwrap_or_default();
        let max_windows = options.map_or(usize::MAX, |options| options.max_windows);
        Ok(Self { encoder, tokenizer, long_text, max_windows, threads: 1 })
    }

    /// Opens the encoder of a project.
    ///
    /// # Errors
    /// When there is none, or it cannot be opened.
    pub fn load(model: &ModelFiles) -> Result<Self, LoadError> {
        let fail = |error| LoadError::new(&model.manifest.project.name, error);
        let folder = model.compiled.as_deref().ok_or_else(|| {
            let path = Path::new(CompiledEncoder::FILE);
            fail(EngineError::format(path, "the project has no compiled model"))
        })?;
        Self::open(folder, model.manifest.model.as_ref()).map_err(fail)
    }

    /// Uses so many threads for what is asked at once.
    #[must_use]
    pub const fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// The encoder.
    #[must_use]
    pub const fn encoder(&self) -> &CompiledEncoder {
        &self.encoder
    }

    /// Values of an embedding.
    #[must_use]
    pub const fn dimension(&self) -> usize {
        self.encoder.config().hidden
    }

    /// The embedding of every text, not normalised. A text in several windows has the mean of
    /// theirs, each weighing as much as it has tokens.
    #[must_use]
    pub fn embed(&self, texts: &[&str]) -> Vec<Result<Answer<Vec<f32>>, Refusal>> {
        self.by_windows(texts, |windows| self.encoder.embed(windows, self.threads))
    }

    /// The probabilities of the labels of the encoder's own head.
    fn classify(&self, texts: &[&str]) -> Vec<Result<Answer<Vec<f32>>, Refusal>> {
        self.by_windows(texts, |windows| {
            let rows = self.encoder.classify(windows, self.threads).into_iter();
            rows.map(|mut rows| rows.pop().unwrap_or_default()).collect()
        })
    }

    /// Runs the windows of all texts at once, and puts together what belongs together.
    fn by_windows(
        &self,
        texts: &[&str],
        run: impl FnOnce(&[&[u32]]) -> Vec<Vec<f32>>,
    ) -> Vec<Result<Answer<Vec<f32>>, Refusal>> {
        let cut: Vec<Result<(Windows, Usage), Refusal>> =
            texts.iter().map(|text| self.windows(text)).collect();
        let windows = cut.iter().flatten().flat_map(|(windows, _)| &windows.windows);
        let windows: Vec<&[u32]> = windows.map(Vec::as_slice).collect();
        let mut vectors = run(&windows).into_iter();
        cut.into_iter()
            .map(|cut| {
                let (windows, usage) = cut?;
                let weights = windows.windows.iter().map(Vec::len);
                let prediction = weighted_mean(vectors.by_ref().zip(weights), &windows);
                match prediction.iter().all(|value| value.is_finite()) {
                    true => Ok(Answer { prediction, usage }),
                    false => Err(Refusal::no_number()),
                }
            })
            .collect()
    }

    fn windows(&self, text: &str) -> Result<(Windows, Usage), Refusal> {
        let most = self.encoder.max_tokens();
        let mut windows = self.tokenizer.windows(text, most);
        let (count, tokens) = (windows.windows.len(), windows.tokens);
        let refuse = |windows: usize| {
            let detail = format!(
                "the text has {tokens} tokens, the most that is answered is {}",
                windows * (most - self.tokenizer.special()) + self.tokenizer.special()
            );
            Err(Refusal::new(RefusalKind::TextTooLong, detail))
        };
        let long_text = match (self.long_text, count) {
            (_, 0) => return Err(Refusal::empty_text()),
            (_, 1) => None,
            (LongText::Truncate, _) => {
                windows.windows.truncate(1);
                Some(LongTextUse::Truncated(most))
            }
            (LongText::Refuse, _) => return refuse(1),
            (_, count) if count > self.max_windows => return refuse(self.max_windows),
            (_, count) => Some(LongTextUse::Windows(count)),
        };
        let usage = Usage { tokens: Some(windows.tokens), long_text };
        Ok((windows, usage))
    }
}

/// The mean of the vectors of one text's windows. A single one is taken as it is, to the bit.
fn weighted_mean(vectors: impl Iterator<Item = (Vec<f32>, usize)>, windows: &Windows) -> Vec<f32> {
    let mut vectors = vectors.take(windows.windows.len());
    let Some((mut sum, first)) = vectors.next() else { return Vec::new() };
    if windows.windows.len() == 1 {
        return sum;
    }
    #[expect(clippy::cast_precision_loss, reason = "a few hundred tokens")]
    let weight = |tokens: usize| tokens as f32;
    let mut total = weight(first);
    sum.iter_mut().for_each(|value| *value *= total);
    for (vector, tokens) in vectors {
        total += weight(tokens);
        sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value * weight(tokens));
    }
    sum.iter_mut().for_each(|value| *value /= total);
    sum
}

impl EncoderClassifier {
    /// Opens the encoder of a folder, with its head.
    ///
    /// # Errors
    /// When a file is missing or damaged, or there is no head to label texts with.
    pub fn open(folder: &Path, options: Option<&ModelTable>) -> Result<Self, EngineError> {
        let encoder = TextEncoder::open(folder, options)?;
        Self::with_head(encoder, folder)
    }

    fn with_head(encoder: TextEncoder, folder: &Path) -> Result<Self, EngineError> {
        let path = folder.join(LogisticHead::FILE);
        let head = path.exists().then(|| LogisticHead::read(folder)).transpose()?;
        let wrong = |reason: &str| Err(EngineError::foreign(&path, reason));
        match (&head, encoder.encoder.config().head) {
            (Some(head), _) if head.dimension() != encoder.dimension() => {
                wrong("the head was trained for another encoder")
            }
            (None, HeadKind::None) => wrong("the encoder has no head that labels texts"),
            (None, HeadKind::TokenClassification) => {
                wrong("the encoder's head labels tokens, not texts")
            }
            _ => Ok(Self { encoder, head }),
        }
    }

    /// The encoder.
    #[must_use]
    pub const fn encoder(&self) -> &TextEncoder {
        &self.encoder
    }
}

impl TextClassifier for EncoderClassifier {
    fn labels(&self) -> &[String] {
        match &self.head {
            Some(head) => &head.labels,
            None => &self.encoder.encoder.config().labels,
        }
    }

    fn scores(&self, texts: &[&str]) -> Vec<Vec<f32>> {
        #[expect(clippy::cast_precision_loss, reason = "a few labels")]
        let even = 1.0 / self.labels().len() as f32;
        let unknown = || vec![even; self.labels().len()];
        let answers = self.answers(texts).into_iter();
        answers
            .map(|answer| answer.map_or_else(|_| unknown(), |answer| answer.prediction))
            .collect()
    }

    fn answers(&self, texts: &[&str]) -> Vec<Result<Answer<Vec<f32>>, Refusal>> {
        let Some(head) = &self.head else { return self.encoder.classify(texts) };
        let probabilities = |mut embedding: Vec<f32>| {
            normalise(&mut embedding);
            head.probabilities(&embedding)
        };
        let answers = self.encoder.embed(texts).into_iter();
        answers.map(|answer| Ok(answer?.map(probabilities))).collect()
    }
}
