//! Conditional random fields: every token of a sentence gets a tag.
//!
//! A linear chain (Lafferty, McCallum and Pereira 2001) of features of the words around a token,
//! and of the vectors that a frozen encoder gives its words, fitted by L-BFGS on the regularised
//! likelihood.

mod card;
mod data;
mod lbfgs;
mod metrics;
mod objective;

use std::{collections::BTreeMap, time::Instant};

use mesh_core::{
    Inputs, StepContext, StepOutput, Unit,
    manifest::{CrfOptions, ModelTable, TrainModel, TrainTable},
    tags::may_follow,
};
use mesh_dataset::{Dataset, SplitName};
use mesh_engine::{ChainRoom, CompiledEncoder, SequenceModel, TextTokenizer, WordWindows};

pub use card::{TaggerCard, TaggerRow};
pub use metrics::{TaggerBaseline, TaggerMetrics};

use crate::{TrainError, TrainErrorKind, fit::Stopped, head::pack_native};
use data::{FeatureIndex, Split};
use lbfgs::{Limits, minimise};
use metrics::Tagged;
use objective::{Loss, Sentences, Shape};

/// A family that comes later in the manifest is taken if its F1 on the validation split is better by
/// more than this: what cannot be told apart goes to the first, which is the cheaper one to serve
/// where somebody lists them so.
const MARGIN: f64 = 0.002;
/// Sentences whose words are given to the encoder at once.
const BATCH: usize = 256;

/// Trains the families of a manifest that tag tokens.
pub(crate) struct CrfTrainer<'a> {
    pub(crate) dataset: &'a Dataset,
    pub(crate) table: &'a TrainTable,
    pub(crate) encoder: Option<&'a ModelTable>,
    pub(crate) context: &'a StepContext,
}

/// The model that was chosen, and how it came about.
pub(crate) struct Trained {
    pub(crate) family: TrainModel,
    pub(crate) model: SequenceModel,
    pub(crate) l2: f64,
    pub(crate) metrics: TaggerMetrics,
    pub(crate) rows: Vec<TaggerRow>,
    /// Seconds per family.
    pub(crate) seconds: BTreeMap<&'static str, f64>,
}

/// The three splits with their words.
struct Splits {
    train: Split,
    validation: Split,
    test: Split,
}

/// A family, fitted with the best of its regularisations.
struct Candidate {
    family: TrainModel,
    l2: f64,
    validation_f1: Option<f64>,
    index: FeatureIndex,
    fitted: Fitted,
    scaling: Scaling,
    train: Sentences,
    validation: Sentences,
    test: Sentences,
}

/// Weights, and where they lie.
struct Fitted {
    shape: Shape,
    point: Vec<f32>,
    iterations: usize,
    converged: bool,
}

impl CrfTrainer<'_> {
    pub(crate) fn train(&self, inputs: &Inputs, output: &StepOutput) -> Result<Trained, Stopped> {
        let tags = data::tags(self.dataset)?;
        let read = |split| Split::read(self.dataset, split, &tags);
        let splits = Splits {
            train: read(SplitName::Train)?,
            validation: read(SplitName::Validation)?,
            test: read(SplitName::Test)?,
        };
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut seconds = BTreeMap::new();
        for family in self.table.model.families() {
            let started = Instant::now();
            let vectors = match (family.takes_encoder(), self.encoder) {
                (true, Some(encoder)) => Some(self.vectors(encoder, inputs, output, &splits)?),
                _ => None,
            };
            candidates.push(self.search(*family, &tags, &splits, vectors)?);
            seconds.insert(family.as_str(), started.elapsed().as_secs_f64());
        }
        let rows: Vec<TaggerRow> =
            candidates.iter().map(|candidate| candidate.row(&tags, &splits)).collect();
        let started = Instant::now();
        let score = |candidate: &Candidate| candidate.validation_f1.unwrap_or_default();
        let best = candidates.iter().map(score).fold(0.0, f64::max);
        let chosen = candidates.into_iter().find(|candidate| score(candidate) >= best - MARGIN);
        let Some(chosen) = chosen else {
            return Err(TrainError::new(TrainErrorKind::NoFeatures).into());
        };
        let chosen = self.refit(chosen, &tags, &splits)?;
        seconds.insert("refit", started.elapsed().as_secs_f64());
        let given = chosen.fitted.tag(&chosen.test, &tags);
        let baseline = metrics::names_seen(&splits.train, &splits.test, &tags);
        let tagged = Tagged { split: &splits.test, tags: &tags, given: &given };
        let metrics = tagged.measure(&baseline, self.table.seed);
        let model = chosen.fitted.model(&tags, chosen.index.hashes(), &chosen.scaling);
        Ok(Trained { family: chosen.family, model, l2: chosen.l2, metrics, rows, seconds })
    }

    /// The vectors of the words of every split.
    fn vectors(
        &self,
        encoder: &ModelTable,
        inputs: &Inputs,
        output: &StepOutput,
        splits: &Splits,
    ) -> Result<Vectors, Stopped> {
        pack_native(encoder, inputs, output)?;
        let compiled = CompiledEncoder::open(&output.scratch.join(CompiledEncoder::FILE))
            .map_err(TrainError::from)?;
        let file = output.scratch.join(TextTokenizer::FILE);
        let tokenizer =
            TextTokenizer::read(&file, compiled.config().vocabulary).map_err(TrainError::from)?;
        let all = [&splits.train, &splits.validation, &splits.test];
        let count = all.iter().map(|split| split.sentences.len() as u64).sum();
        let task = self.context.progress.begin("encode the words", Some(count), Unit::Items);
        let of = |split: &Split| -> Result<Vec<f32>, Stopped> {
            let mut vectors = Vec::new();
            for some in split.sentences.chunks(BATCH) {
                self.context.cancel.check().map_err(Stopped::Interrupted)?;
                let words: Vec<Vec<&str>> = some.iter().map(data::Sentence::words).collect();
                let threads = self.context.threads;
                let found = WordWindows::vectors_of(&compiled, &tokenizer, &words, threads);
                vectors.extend(found.into_iter().flatten());
                task.advance(some.len() as u64);
            }
            Ok(vectors)
        };
        Ok(Vectors {
            dimension: compiled.config().hidden,
            train: of(&splits.train)?,
            validation: of(&splits.validation)?,
            test: of(&splits.test)?,
        })
    }

    /// Fits one family with every regularisation; gives the best by the validation split.
    fn search(
        &self,
        family: TrainModel,
        tags: &[String],
        splits: &Splits,
        vectors: Option<Vectors>,
    ) -> Result<Candidate, Stopped> {
        let options = &self.table.crf;
        let mut vectors = vectors.unwrap_or_default();
        let scaling = vectors.standardise();
        let index = FeatureIndex::of(&[&splits.train], options.min_count);
        let Vectors { dimension, train, validation, test } = vectors;
        let train = splits.train.numbers(&index, train, dimension);
        let validation = splits.validation.numbers(&index, validation, dimension);
        let test = splits.test.numbers(&index, test, dimension);
        let mut best: Option<(f64, Option<f64>, Fitted)> = None;
        for l2 in &options.l2 {
            let label = format!("fit {family}, l2 = {l2}");
            let fitted = self.fit(&label, &train, tags, index.len(), *l2)?;
            let f1 = (!splits.validation.sentences.is_empty()).then(|| {
                let given = fitted.tag(&validation, tags);
                Tagged { split: &splits.validation, tags, given: &given }.f1()
            });
            if best.as_ref().is_none_or(|(_, before, _)| f1 > *before) {
                best = Some((*l2, f1, fitted));
            }
        }
        let Some((l2, validation_f1, fitted)) = best else {
            return Err(TrainError::new(TrainErrorKind::NoFeatures).into());
        };
        Ok(Candidate { family, l2, validation_f1, index, fitted, scaling, train, validation, test })
    }

    /// Fits what was chosen once more, on the training and the validation split, if asked to.
    fn refit(
        &self,
        chosen: Candidate,
        tags: &[String],
        splits: &Splits,
    ) -> Result<Candidate, Stopped> {
        if !self.table.crf.refit || splits.validation.sentences.is_empty() {
            return Ok(chosen);
        }
        let Candidate { family, l2, train, validation, test, .. } = chosen;
        let dense = train.dense;
        let both = [&splits.train, &splits.validation];
        let index = FeatureIndex::of(&both, self.table.crf.min_count);
        let values = [train.values, validation.values].concat();
        let train = Split::of(&both).numbers(&index, values, dense);
        let test = splits.test.numbers(&index, test.values, dense);
        let label = format!("fit {family} on training and validation data");
        let fitted = self.fit(&label, &train, tags, index.len(), l2)?;
        let validation = Sentences::default();
        Ok(Candidate { index, fitted, train, validation, test, ..chosen })
    }

    fn fit(
        &self,
        label: &str,
        sentences: &Sentences,
        tags: &[String],
        features: usize,
        l2: f64,
    ) -> Result<Fitted, Stopped> {
        let CrfOptions { max_iterations, tolerance, .. } = self.table.crf;
        let shape = Shape { tags: tags.len(), features, dense: sentences.dense };
        let allowed = allowed(tags);
        let mut loss = Loss {
            sentences,
            shape,
            allowed: &allowed,
            l2,
            threads: self.context.threads,
            cancel: &self.context.cancel,
            gradients: Vec::new(),
        };
        let limits = Limits { iterations: max_iterations, tolerance };
        let count = Some(max_iterations as u64);
        let task = self.context.progress.begin(label, count, Unit::Items);
        let mut point = vec![0.0f32; shape.total()];
        let minimum = minimise(&mut loss, &mut point, limits, |_, _| task.advance(1))
            .map_err(Stopped::Interrupted)?;
        tracing::debug!(label, value = minimum.value, iterations = minimum.iterations, "fitted");
        let (iterations, converged) = (minimum.iterations, minimum.converged);
        Ok(Fitted { shape, point, iterations, converged })
    }
}

/// Per tag whether it may start a sentence, and per pair whether the second may follow the first.
fn allowed(tags: &[String]) -> Vec<bool> {
    let start = tags.iter().map(|tag| may_follow(None, tag));
    let follow =
        tags.iter().flat_map(|before| tags.iter().map(|tag| may_follow(Some(before), tag)));
    start.chain(follow).collect()
}

impl Candidate {
    fn row(&self, tags: &[String], splits: &Splits) -> TaggerRow {
        let given = self.fitted.tag(&self.test, tags);
        TaggerRow {
            model: self.family.as_str().into(),
            l2: self.l2,
            validation_f1: self.validation_f1,
            test_f1: Tagged { split: &splits.test, tags, given: &given }.f1(),
            features: self.index.len(),
            iterations: self.fitted.iterations,
            converged: self.fitted.converged,
        }
    }
}

impl Fitted {
    /// The best tags of every token.
    fn tag(&self, sentences: &Sentences, tags: &[String]) -> Vec<u16> {
        let Some(chain) = self.shape.chain(&self.point, &allowed(tags)) else { return Vec::new() };
        let (mut scores, mut room) = (Vec::new(), ChainRoom::default());
        let mut given = Vec::with_capacity(sentences.tags.len());
        for range in sentences.token_ranges() {
            self.shape.scores(&self.point, sentences.tokens(&range), &mut scores);
            let best = chain.best(&scores, &mut room).into_iter();
            given.extend(best.map(|tag| u16::try_from(tag).unwrap_or_default()));
        }
        given
    }

    /// The model, with the scaling of the words' vectors folded into its weights.
    fn model(&self, tags: &[String], hashes: Vec<u64>, scaling: &Scaling) -> SequenceModel {
        let Shape { tags: count, dense, .. } = self.shape;
        let part = |from: usize, to: usize| self.point.get(from..to).unwrap_or_default().to_vec();
        let mut weights = part(0, self.shape.dense_at());
        let mut dense_weights = part(self.shape.dense_at(), self.shape.start_at());
        // What every token has takes what the means add up to.
        let constant = hashes.iter().position(|hash| *hash == data::constant()).unwrap_or(0);
        let moments = scaling.mean.iter().zip(&scaling.scale);
        for (row, (mean, scale)) in dense_weights.chunks_exact_mut(count).zip(moments) {
            let bias = weights.get_mut(constant * count..).unwrap_or_default();
            for (weight, bias) in row.iter_mut().zip(bias) {
                *weight *= scale;
                *bias -= *weight * mean;
            }
        }
        let chain = self.shape.chain(&self.point, &allowed(tags));
        let (start, follow) = chain
            .map(|chain| (chain.start().to_vec(), chain.follow().to_vec()))
            .unwrap_or_default();
        let tags = tags.to_vec();
        SequenceModel {
            tags,
            hashes,
            weights,
            dimension: dense,
            dense: dense_weights,
            start,
            follow,
        }
    }
}

/// The vectors of all words, per split one after the other.
#[derive(Default)]
struct Vectors {
    dimension: usize,
    train: Vec<f32>,
    validation: Vec<f32>,
    test: Vec<f32>,
}

/// How values were shifted and scaled.
struct Scaling {
    mean: Vec<f32>,
    scale: Vec<f32>,
}

impl Vectors {
    /// Shifts and scales every value to mean 0 and a common size over the training words: the
    /// regularisation then weighs all alike.
    fn standardise(&mut self) -> Scaling {
        let dimension = self.dimension.max(1);
        let mut sums = vec![(0.0f64, 0.0f64); self.dimension];
        for row in self.train.chunks_exact(dimension) {
            for ((sum, squares), value) in sums.iter_mut().zip(row) {
                let value = f64::from(*value);
                *sum += value;
                *squares += value * value;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of words")]
        let count = (self.train.len() / dimension).max(1) as f64;
        #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
        let moments = sums.iter().map(|(sum, squares)| {
            let mean = sum / count;
            let deviation = (squares / count - mean * mean).max(1e-12).sqrt();
            (mean as f32, (SIZE / deviation) as f32)
        });
        let (mean, scale): (Vec<f32>, Vec<f32>) = moments.unzip();
        for values in [&mut self.train, &mut self.validation, &mut self.test] {
            for row in values.chunks_exact_mut(dimension) {
                for (value, (mean, scale)) in row.iter_mut().zip(mean.iter().zip(&scale)) {
                    *value = (*value - mean) * scale;
                }
            }
        }
        Scaling { mean, scale }
    }
}

/// The standard deviation of a value of a word's vector: a dense value weighs in every token, a
/// feature in few.
const SIZE: f64 = 0.3;
