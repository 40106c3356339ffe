//! The trainer of linear models.

use std::{collections::BTreeMap, time::Instant};

use mesh_core::{
    StepContext, Unit,
    manifest::{Features, LinearOptions},
};
use mesh_dataset::{Dataset, SplitName};
use mesh_engine::{LINEAR_FORMAT, LinearDescription, LinearModel};

use crate::{
    Calibration, Matrix, Solution, TopFeatures, TrainError, TrainErrorKind, Vectorizer,
    fit::{Fit, FitOptions, Rows, Splits, Stopped, check, class},
    vectorizer::Counter,
};

/// Features that the card names per label.
const TOP_FEATURES: usize = 12;
/// Texts with no more words than this, in the mean, are short.
const SHORT_TEXTS: f64 = 50.0;

/// A fitted linear model.
pub(crate) struct LinearFit {
    pub(crate) model: LinearModel,
    pub(crate) top_features: BTreeMap<String, Vec<TopFeatures>>,
}

pub(crate) struct LinearTrainer<'a> {
    pub(crate) dataset: &'a Dataset,
    pub(crate) options: &'a LinearOptions,
    pub(crate) seed: u64,
    pub(crate) context: &'a StepContext,
}

impl LinearTrainer<'_> {
    pub(crate) fn fit(&self, labels: &[String]) -> Result<(LinearFit, Fit), Stopped> {
        let started = Instant::now();
        let chosen = self.features();
        let vectorizer = self.vectorizer(&chosen)?;
        let splits = Splits {
            train: self.rows(SplitName::Train, &vectorizer, labels)?,
            validation: self.rows(SplitName::Validation, &vectorizer, labels)?,
            test: self.rows(SplitName::Test, &vectorizer, labels)?,
            columns: vectorizer.vocabulary().len(),
        };
        let features = started.elapsed().as_secs_f64();
        let LinearOptions { c, class_weight, calibrate, refit, max_iterations, tolerance, .. } =
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
        fit.seconds.insert("features", features);
        let top_features = top_features(labels, vectorizer.vocabulary(), &fit.solution);
        let model = self.model(labels, (chosen, &vectorizer), &fit.solution, &fit.calibration)?;
        Ok((LinearFit { model, top_features }, fit))
    }

    /// The features of the manifest, with what it leaves open. Short texts have few words, of
    /// which many are rare: the characters inside tell of those too.
    fn features(&self) -> Features {
        let train = self.dataset.statistics().splits.get(SplitName::Train.as_str());
        let short = train.is_some_and(|train| train.words.mean <= SHORT_TEXTS);
        let chars = if short { [3, 5] } else { [0, 0] };
        let features = &self.options.features;
        Features { char_ngrams: features.char_ngrams.or(Some(chars)), ..features.clone() }
    }

    fn vectorizer(&self, features: &Features) -> Result<Vectorizer, Stopped> {
        let rows = self.dataset.rows(SplitName::Train);
        let mut counter = Counter::new(features);
        let task = self.context.progress.begin("count features", Some(rows * 2), Unit::Items);
        for (index, document) in self.dataset.read(SplitName::Train)?.enumerate() {
            counter.add(&document?.text);
            task.advance(1);
            check(self.context, index)?;
        }
        let mut namer = counter.prune();
        if namer.kept() == 0 {
            return Err(TrainError::new(TrainErrorKind::NoFeatures).into());
        }
        for (index, document) in self.dataset.read(SplitName::Train)?.enumerate() {
            namer.add(&document?.text);
            task.advance(1);
            check(self.context, index)?;
        }
        Ok(namer.finish())
    }

    fn rows(
        &self,
        split: SplitName,
        vectorizer: &Vectorizer,
        labels: &[String],
    ) -> Result<Rows, Stopped> {
        let label = format!("features of {split}");
        let task = self.context.progress.begin(&label, Some(self.dataset.rows(split)), Unit::Items);
        let mut rows = Rows { matrix: Matrix::default(), labels: Vec::new() };
        for (index, document) in self.dataset.read(split)?.enumerate() {
            let document = document?;
            rows.labels.push(class(&document, labels, split)?);
            vectorizer.transform(std::iter::once(document.text.as_str()), &mut rows.matrix);
            task.advance(1);
            check(self.context, index)?;
        }
        Ok(rows)
    }

    fn model(
        &self,
        labels: &[String],
        (features, vectorizer): (Features, &Vectorizer),
        solution: &Solution,
        calibration: &Calibration,
    ) -> Result<LinearModel, Stopped> {
        let description = LinearDescription {
            format: LINEAR_FORMAT,
            labels: labels.to_vec(),
            features,
            temperature: calibration.temperature,
        };
        // Two columns of a binary model are each other's negative: one says it all.
        let collapse = |row: &[f32]| match row {
            [first, second] => vec![second - first],
            _ => row.to_vec(),
        };
        let columns = vectorizer.vocabulary().len();
        let weight = (0..columns).flat_map(|column| collapse(solution.column(column))).collect();
        let bias = collapse(solution.column(columns));
        let (vocabulary, idf) = (vectorizer.vocabulary().to_vec(), vectorizer.idf().to_vec());
        Ok(LinearModel::new(description, vocabulary, idf, (weight, bias))?)
    }
}

fn top_features(
    labels: &[String],
    vocabulary: &[String],
    solution: &Solution,
) -> BTreeMap<String, Vec<TopFeatures>> {
    let top = |class: usize| {
        let weight =
            |column: usize| solution.column(column).get(class).copied().unwrap_or_default();
        let mut columns: Vec<usize> = (0..vocabulary.len()).collect();
        let order = |a: &usize, b: &usize| weight(*b).total_cmp(&weight(*a)).then(a.cmp(b));
        if columns.len() > TOP_FEATURES {
            columns.select_nth_unstable_by(TOP_FEATURES, order);
            columns.truncate(TOP_FEATURES);
        }
        columns.sort_by(order);
        let named = |column: usize| {
            let name = vocabulary.get(column).map(String::as_str).unwrap_or_default();
            let feature = name.split_once('\t').map_or(name, |(_, text)| text).to_owned();
            TopFeatures { feature, weight: weight(column) }
        };
        columns.into_iter().map(named).collect::<Vec<_>>()
    };
    labels.iter().enumerate().map(|(class, label)| (label.clone(), top(class))).collect()
}
