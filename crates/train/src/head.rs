//! The trainer of logistic heads on the embeddings of an encoder that stays as it is.

use std::{fs, time::Instant};

use mesh_core::{
    Digest, Inputs, StepContext, StepOutput, Unit,
    manifest::{EncoderHeadOptions, ModelTable},
};
use mesh_dataset::{Dataset, SplitName};
use mesh_engine::{
    CompiledEncoder, EncoderFolder, EncoderOptions, LogisticHead, Target, TextEncoder,
    TextTokenizer, normalise, pack_encoder,
};

use crate::{
    Matrix, TrainError, TrainErrorKind,
    cache::EmbeddingCache,
    fit::{Fit, FitOptions, Rows, Splits, Stopped, class},
};

/// Texts that are embedded between two looks at whether to stop.
const BATCH: usize = 128;

pub(crate) struct HeadTrainer<'a> {
    pub(crate) dataset: &'a Dataset,
    pub(crate) options: &'a EncoderHeadOptions,
    pub(crate) encoder: &'a ModelTable,
    pub(crate) seed: u64,
    pub(crate) context: &'a StepContext,
}

impl HeadTrainer<'_> {
    pub(crate) fn fit(
        &self,
        labels: &[String],
        inputs: &Inputs,
        output: &StepOutput,
    ) -> Result<(LogisticHead, Fit), Stopped> {
        let started = Instant::now();
        let (encoder, key) = self.encoder(inputs, output)?;
        let dimension = encoder.dimension();
        let mut cache = EmbeddingCache::open(self.context.cache.as_deref(), key, dimension);
        let mut rows = |split| self.rows(split, labels, &encoder, &mut cache);
        let train = rows(SplitName::Train)?;
        let validation = rows(SplitName::Validation)?;
        let test = rows(SplitName::Test)?;
        cache.save();
        let splits = Splits { train, validation, test, columns: dimension };
        let seconds = started.elapsed().as_secs_f64();
        let EncoderHeadOptions { c, class_weight, calibrate, refit, max_iterations, tolerance } =
            self.options;
        let options = FitOptions {
            c,
            class_weight: *class_weight,
            calibrate: *calibrate,
            refit: *refit,
            max_iterations: *max_iterations,
            tolerance: *tolerance,
            seed: self.seed,
        };
        let mut fit = options.fit(&splits, labels, self.context)?;
        fit.seconds.insert("embed", seconds);
        let solution = &fit.solution;
        let classes = 0..labels.len();
        let weight = |class: usize, column: usize| {
            solution.column(column).get(class).copied().unwrap_or_default()
        };
        let head = LogisticHead {
            labels: labels.to_vec(),
            temperature: fit.calibration.temperature,
            weight: classes
                .clone()
                .flat_map(|class| (0..dimension).map(move |column| weight(class, column)))
                .collect(),
            bias: classes.map(|class| weight(class, dimension)).collect(),
        };
        Ok((head, fit))
    }

    /// The encoder, packed for this machine, and what its embeddings depend on.
    fn encoder(
        &self,
        inputs: &Inputs,
        output: &StepOutput,
    ) -> Result<(TextEncoder, Digest), TrainError> {
        let (target, options) = pack_native(self.encoder, inputs, output)?;
        let encoder = TextEncoder::open(&output.scratch, Some(self.encoder))?;
        let source = inputs.sources.get("encoder").map(|source| source.digest);
        let table = self.encoder;
        let key = (source, target.as_str(), options.pooling, options.max_tokens, table.long_text);
        let key = Digest::of_json(&key).map_err(|error| {
            TrainError::new(TrainErrorKind::Encoder("it has no name")).because(error)
        })?;
        Ok((encoder.with_threads(self.context.threads), key))
    }

    fn rows(
        &self,
        split: SplitName,
        labels: &[String],
        encoder: &TextEncoder,
        cache: &mut EmbeddingCache,
    ) -> Result<Rows, Stopped> {
        let label = format!("embed {split}");
        let task = self.context.progress.begin(&label, Some(self.dataset.rows(split)), Unit::Items);
        let mut rows = Rows { matrix: Matrix::default(), labels: Vec::new() };
        let mut documents = self.dataset.read(split)?;
        loop {
            self.context.cancel.check().map_err(Stopped::Interrupted)?;
            let some = documents.by_ref().take(BATCH).collect::<Result<Vec<_>, _>>()?;
            if some.is_empty() {
                return Ok(rows);
            }
            let texts: Vec<&str> = some.iter().map(|document| document.text.as_str()).collect();
            embed(&texts, encoder, cache);
            for document in &some {
                rows.labels.push(class(document, labels, split)?);
                // A text without tokens, or beyond the windows, has no features.
                let embedding = cache.get(&document.text).unwrap_or_default();
                rows.matrix.push((0..).zip(embedding.iter().copied()));
            }
            task.advance(some.len() as u64);
        }
    }
}

/// Packs the encoder for this machine into the scratch folder, its tokenizer beside it.
pub(crate) fn pack_native(
    table: &ModelTable,
    inputs: &Inputs,
    output: &StepOutput,
) -> Result<(Target, EncoderOptions), TrainError> {
    let unwritten = |error: std::io::Error| {
        TrainError::new(TrainErrorKind::Encoder("it cannot be packed")).because(error)
    };
    let target = Target::native().map_err(|error| {
        TrainError::new(TrainErrorKind::Encoder("there is no target for it")).because(error)
    })?;
    let folder = EncoderFolder::find(inputs.files("encoder"))?;
    let encoder = folder.read()?;
    let options = folder.options(table, encoder.config())?;
    let bytes = pack_encoder(&encoder, target, &options);
    fs::write(output.scratch.join(CompiledEncoder::FILE), bytes).map_err(unwritten)?;
    let tokenizer = output.scratch.join(TextTokenizer::FILE);
    fs::copy(folder.tokenizer(), tokenizer).map_err(unwritten)?;
    Ok((target, options))
}

/// Puts the embeddings of texts into the cache, scaled to length 1.
fn embed(texts: &[&str], encoder: &TextEncoder, cache: &mut EmbeddingCache) {
    let missing: Vec<&str> =
        texts.iter().copied().filter(|text| cache.get(text).is_none()).collect();
    for (text, answer) in missing.iter().zip(encoder.embed(&missing)) {
        if let Ok(answer) = answer {
            let mut embedding = answer.prediction;
            normalise(&mut embedding);
            cache.put(text, embedding);
        }
    }
}
