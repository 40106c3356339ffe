use std::collections::BTreeMap;

use mesh_engine::PackReport;
use serde::{Deserialize, Serialize};

use crate::drop::{Given, Measured, MetricDrop};

/// `fidelity.json`: how like the compiled model is to the model that it was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fidelity {
    /// The version of this format.
    pub format: u32,
    /// The target.
    pub target: String,
    /// Texts that both were asked about.
    pub texts: usize,
    /// The share of texts to which both give the same label; for a model without labels, that
    /// have the same nearest neighbour among the texts by both; for one that tells numbers, the
    /// share of rows of which they tell the same.
    pub agreement: f64,
    /// The largest difference between two probabilities of one label for one text, or between two
    /// numbers that are told of one row.
    pub max_difference: Option<f64>,
    /// The accuracy of the uncompiled model on the texts, less that of the compiled one; nothing
    /// for texts without labels.
    pub accuracy_drop: Option<MetricDrop>,
    /// The macro-F1 of the uncompiled model on the texts, less that of the compiled one; nothing
    /// for texts without labels.
    pub macro_f1_drop: Option<MetricDrop>,
    /// The F1 of entities by the uncompiled model, less that by the compiled one, for models that
    /// tag tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub f1_drop: Option<MetricDrop>,
    /// The least cosine of the two models' embeddings of one text.
    pub cosine_min: Option<f64>,
    /// The mean of those cosines.
    pub cosine_mean: Option<f64>,
    /// What packing kept of a linear model.
    pub pack: Option<PackReport>,
    /// What the compiled model reaches on the texts, where no train step has measured it and the
    /// texts have labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<BTreeMap<String, Measured>>,
}

impl Fidelity {
    /// The version of the report's format.
    pub const FORMAT: u32 = 2;
    /// The report's file.
    pub const FILE: &str = "fidelity.json";

    /// Compares the probabilities that two models give to the same labelled texts.
    pub(crate) fn of_labels(target: &str, answers: &Answers<'_>) -> Self {
        let Answers { truth, trained, compiled } = *answers;
        let difference = trained.iter().zip(compiled).flat_map(|(a, b)| a.iter().zip(b));
        let difference = difference.fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        let before: Vec<usize> = trained.iter().map(|row| best(row)).collect();
        let after: Vec<usize> = compiled.iter().map(|row| best(row)).collect();
        let same = before.iter().zip(&after).filter(|(a, b)| a == b).count();
        // Where no label is known, there is nothing to be right about.
        let labelled = truth.iter().any(|label| *label != UNKNOWN);
        let given = labelled.then_some(Given { truth, before: &before, after: &after });
        let labels = trained.first().map_or(0, Vec::len);
        Self {
            agreement: share(same, trained.len()),
            max_difference: Some(f64::from(difference)),
            accuracy_drop: given.map(|given| given.drop(MetricDrop::accuracy)),
            macro_f1_drop: given.map(|given| given.drop(|given| given.macro_f1(labels))),
            ..Self::nothing(target, trained.len())
        }
    }

    /// What came of comparing the tags that two models give to the same tokens: how many are the
    /// same, of how many.
    pub(crate) fn of_tokens(
        target: &str,
        (same, tokens): (usize, usize),
        texts: usize,
        f1_drop: Option<MetricDrop>,
    ) -> Self {
        Self { agreement: share(same, tokens), f1_drop, ..Self::nothing(target, texts) }
    }

    /// Compares the numbers that two models tell of the same rows: they agree where they are the
    /// same to nine digits.
    pub(crate) fn of_numbers(target: &str, trained: &[f64], compiled: &[f64]) -> Self {
        let pairs = || trained.iter().zip(compiled);
        let near = |(a, b): &(&f64, &f64)| (*a - *b).abs() <= 1e-9 * a.abs().max(1.0);
        let same = pairs().filter(near).count();
        let difference = pairs().fold(0.0f64, |most, (a, b)| most.max((a - b).abs()));
        let agreement = share(same, trained.len());
        let max_difference = Some(difference);
        Self { agreement, max_difference, ..Self::nothing(target, trained.len()) }
    }

    /// A report in which nothing is compared yet.
    fn nothing(target: &str, texts: usize) -> Self {
        Self {
            format: Self::FORMAT,
            target: target.to_owned(),
            texts,
            agreement: 0.0,
            max_difference: None,
            accuracy_drop: None,
            macro_f1_drop: None,
            f1_drop: None,
            cosine_min: None,
            cosine_mean: None,
            pack: None,
            metrics: None,
        }
    }

    /// Compares the embeddings that two models give to the same texts, none of them zero.
    pub(crate) fn of_embeddings(target: &str, trained: &[Vec<f32>], compiled: &[Vec<f32>]) -> Self {
        let neighbours = |embeddings: &[Vec<f32>]| -> Vec<usize> {
            (0..embeddings.len()).map(|at| nearest(embeddings, at)).collect()
        };
        let (before, after) = (neighbours(trained), neighbours(compiled));
        let same = before.iter().zip(&after).filter(|(a, b)| a == b).count();
        Self { agreement: share(same, trained.len()), ..Self::nothing(target, trained.len()) }
            .with_cosines(trained, compiled)
    }

    /// Adds how near the two models' embeddings of each text are.
    #[must_use]
    pub(crate) fn with_cosines(mut self, trained: &[Vec<f32>], compiled: &[Vec<f32>]) -> Self {
        let cosines: Vec<f64> = trained.iter().zip(compiled).map(|(a, b)| cosine(a, b)).collect();
        #[expect(clippy::cast_precision_loss, reason = "a count of texts")]
        let count = cosines.len().max(1) as f64;
        self.cosine_min = cosines.iter().copied().reduce(f64::min);
        self.cosine_mean = Some(cosines.iter().sum::<f64>() / count);
        self
    }
}

/// The place of a label that the models do not have, or that a text does not tell.
pub(crate) const UNKNOWN: usize = usize::MAX;

/// What two models gave to the same texts.
#[derive(Clone, Copy)]
pub(crate) struct Answers<'a> {
    /// Each text's label, or [`UNKNOWN`].
    pub(crate) truth: &'a [usize],
    /// Probabilities by the uncompiled model.
    pub(crate) trained: &'a [Vec<f32>],
    /// Probabilities by the compiled model.
    pub(crate) compiled: &'a [Vec<f32>],
}

impl Answers<'_> {
    /// What the compiled model reaches.
    pub(crate) fn metrics(&self) -> BTreeMap<String, Measured> {
        let given: Vec<usize> = self.compiled.iter().map(|row| best(row)).collect();
        let labels = self.compiled.first().map_or(0, Vec::len);
        let [accuracy, macro_f1] = Measured::of_labels(self.truth, &given, labels);
        [("accuracy".to_owned(), accuracy), ("macro_f1".to_owned(), macro_f1)].into()
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of texts")]
fn share(count: usize, of: usize) -> f64 {
    count as f64 / of.max(1) as f64
}

fn best(row: &[f32]) -> usize {
    let highest = row.iter().zip(0..).max_by(|a, b| a.0.total_cmp(b.0).then(b.1.cmp(&a.1)));
    highest.map_or(0, |(_, label)| label)
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let product = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let lengths = (product(a, a) * product(b, b)).sqrt();
    if lengths > 0.0 { product(a, b) / lengths } else { 0.0 }
}

/// The text whose embedding is nearest to that of the text at `at`.
fn nearest(embeddings: &[Vec<f32>], at: usize) -> usize {
    let Some(own) = embeddings.get(at) else { return at };
    let others = embeddings.iter().enumerate().filter(|(other, _)| *other != at);
    let near = others.map(|(other, embedding)| (other, cosine(own, embedding)));
    near.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(at, |(other, _)| other)
}
