//! The trainer of linear models.

use std::{collections::BTreeMap, time::Instant};

use mesh_core::{
    StepContext, Unit,
    manifest::{ClassWeight, LinearOptions},
};
use mesh_dataset::{Dataset, SplitName};
use mesh_engine::{LINEAR_FORMAT, LinearDescription, LinearModel};

use crate::{
    Calibration, Evaluation, Matrix, Problem, SearchRow, Solution, Solver, SolverOptions,
    TopFeatures, TrainError, TrainErrorKind, Vectorizer, calibrate,
    search::{Tried, choose},
    vectorizer::Counter,
};

/// A fitted model, and how it came about.
pub(crate) struct Fitted {
    pub(crate) model: LinearModel,
    pub(crate) search: Vec<SearchRow>,
    pub(crate) chosen_c: f64,
    pub(crate) calibration: Calibration,
    pub(crate) evaluation: Evaluation,
    pub(crate) top_features: BTreeMap<String, Vec<TopFeatures>>,
    pub(crate) notes: Vec<String>,
    /// Seconds per phase.
    pub(crate) seconds: BTreeMap<&'static str, f64>,
}

/// Rows of a split, with their labels.
struct Rows {
    matrix: Matrix,
    labels: Vec<u32>,
}

/// Why fitting stopped.
pub(crate) enum Stopped {
    Error(TrainError),
    Interrupted(mesh_core::Interrupted),
}

impl<E: Into<TrainError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// Features that the card names per label.
const TOP_FEATURES: usize = 12;
/// Rows between two looks at whether to stop.
const CHECK_ROWS: usize = 512;

pub(crate) struct LinearTrainer<'a> {
    pub(crate) dataset: &'a Dataset,
    pub(crate) options: &'a LinearOptions,
    pub(crate) seed: u64,
    pub(crate) context: &'a StepContext,
}

impl LinearTrainer<'_> {
    pub(crate) fn fit(&self) -> Result<Fitted, Stopped> {
        let mut seconds = BTreeMap::new();
        let started = Instant::now();
        let labels = self.labels()?;
        let vectorizer = self.vectorizer()?;
        let train = self.rows(SplitName::Train, &vectorizer, &labels)?;
        let validation = self.rows(SplitName::Validation, &vectorizer, &labels)?;
        let test = self.rows(SplitName::Test, &vectorizer, &labels)?;
        if test.labels.is_empty() {
            return Err(TrainError::new(TrainErrorKind::EmptySplit("test")).into());
        }
        seconds.insert("features", started.elapsed().as_secs_f64());
        let started = Instant::now();
        let (solution, search, chosen_c) =
            self.search(&train, &validation, &labels, &vectorizer)?;
        seconds.insert("fit", started.elapsed().as_secs_f64());
        let started = Instant::now();
        let mut notes = self.notes(&search, validation.labels.len());
        let decided = solution.decide(&validation.matrix);
        let enough = validation.labels.len() >= calibrate::MIN_CALIBRATION_ROWS;
        let temperature = match self.options.calibrate && enough {
            true => calibrate::temperature(&decided, &validation.labels),
            false => 1.0,
        };
        if self.options.calibrate && !enough {
            notes.push(format!(
                "probabilities are not calibrated: the validation split has fewer than {} documents",
                calibrate::MIN_CALIBRATION_ROWS
            ));
        }
        let calibrated = self.options.calibrate && enough;
        let rows = if calibrated { validation.labels.len() } else { 0 };
        let calibration = Calibration { temperature, rows };
        let mut decision = solution.decide(&test.matrix);
        decision.iter_mut().flatten().for_each(|value| *value /= temperature);
        let evaluation = Evaluation::measure(&labels, &test.labels, &decision, self.seed);
        seconds.insert("evaluate", started.elapsed().as_secs_f64());
        let top_features = top_features(&labels, vectorizer.vocabulary(), &solution);
        let model = self.model(&labels, &vectorizer, &solution, temperature)?;
        Ok(Fitted {
            model,
            search,
            chosen_c,
            calibration,
            evaluation,
            top_features,
            notes,
            seconds,
        })
    }

    /// The labels of the training split. The other splits may hold no others.
    fn labels(&self) -> Result<Vec<String>, Stopped> {
        let splits = &self.dataset.statistics().splits;
        let labels: Vec<String> = splits
            .get(SplitName::Train.as_str())
            .map(|split| split.labels.keys().cloned().collect())
            .unwrap_or_default();
        if self.dataset.rows(SplitName::Train) == 0 {
            return Err(TrainError::new(TrainErrorKind::EmptySplit("train")).into());
        }
        match labels.as_slice() {
            [] => {
                Err(TrainError::new(TrainErrorKind::NoLabel("of the training split".into())).into())
            }
            [only] => Err(TrainError::new(TrainErrorKind::SingleLabel(only.clone())).into()),
            _ => Ok(labels),
        }
    }

    fn vectorizer(&self) -> Result<Vectorizer, Stopped> {
        let rows = self.dataset.rows(SplitName::Train);
        let mut counter = Counter::new(&self.options.features);
        let task = self.context.progress.begin("count features", Some(rows * 2), Unit::Items);
        for (index, document) in self.dataset.read(SplitName::Train)?.enumerate() {
            counter.add(&document?.text);
            task.advance(1);
            self.check(index)?;
        }
        let mut namer = counter.prune();
        if namer.kept() == 0 {
            return Err(TrainError::new(TrainErrorKind::NoFeatures).into());
        }
        for (index, document) in self.dataset.read(SplitName::Train)?.enumerate() {
            namer.add(&document?.text);
            task.advance(1);
            self.check(index)?;
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
            let Some(label) = document.label else {
                return Err(TrainError::new(TrainErrorKind::NoLabel(document.id)).into());
            };
            let Ok(class) = labels.binary_search(&label) else {
                let kind = TrainErrorKind::UnseenLabel { label, split: split.as_str() };
                return Err(TrainError::new(kind).into());
            };
            rows.labels.push(u32::try_from(class).unwrap_or(u32::MAX));
            vectorizer.transform(std::iter::once(document.text.as_str()), &mut rows.matrix);
            task.advance(1);
            self.check(index)?;
        }
        Ok(rows)
    }

    /// Tries every C from the strongest regularisation on, each from where the one before ended.
    fn search(
        &self,
        train: &Rows,
        validation: &Rows,
        labels: &[String],
        vectorizer: &Vectorizer,
    ) -> Result<(Solution, Vec<SearchRow>, f64), Stopped> {
        let weights = self.class_weights(&train.labels, labels.len());
        let problem = Problem {
            rows: &train.matrix,
            labels: &train.labels,
            classes: labels.len(),
            columns: vectorizer.vocabulary().len(),
            weights: weights.as_deref(),
        };
        let mut values = self.options.c.clone();
        values.sort_by(f64::total_cmp);
        values.dedup();
        if validation.labels.is_empty() && values.len() > 1 {
            // Nothing to choose on: the middle one.
            values = values.get(values.len() / 2).copied().into_iter().collect();
        }
        let task = self.context.progress.begin("fit", None, Unit::Items);
        let mut solver = Solver::new(problem);
        let (mut solutions, mut tried, mut search) = (Vec::new(), Vec::new(), Vec::new());
        for c in &values {
            task.note(&format!("fit, C = {c}"));
            let options = SolverOptions {
                // Two classes have two columns of weights here and one in the usual objective,
                // which halves the penalty.
                c: if labels.len() == 2 { c / 2.0 } else { *c },
                max_passes: self.options.max_iterations,
                tolerance: self.options.tolerance,
                seed: self.seed,
            };
            let check = || {
                task.advance(1);
                self.context.cancel.check()
            };
            let solution = solver.solve(&options, &check).map_err(Stopped::Interrupted)?;
            let measured = (!validation.labels.is_empty()).then(|| {
                let decision = solution.decide(&validation.matrix);
                Tried::measure(&validation.labels, &decision, labels.len())
            });
            search.push(SearchRow {
                c: *c,
                validation_macro_f1: measured.as_ref().map(|tried| tried.macro_f1),
                validation_log_loss: measured.as_ref().map(|tried| tried.log_loss),
                passes: solution.passes,
                gap: solution.gap,
                converged: solution.converged,
            });
            solutions.push((solution, *c));
            tried.extend(measured);
        }
        // Without a validation split there is one solution only, and nothing was measured.
        let (solution, c) = solutions
            .into_iter()
            .nth(choose(&tried))
            .ok_or_else(|| TrainError::new(TrainErrorKind::NoFeatures))?;
        Ok((solution, search, c))
    }

    fn class_weights(&self, rows: &[u32], labels: usize) -> Option<Vec<f64>> {
        if self.options.class_weight == ClassWeight::None {
            return None;
        }
        let mut counts = vec![0u32; labels];
        for label in rows {
            if let Some(count) = counts.get_mut(*label as usize) {
                *count += 1;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of rows")]
        let share = rows.len() as f64 / labels as f64;
        Some(counts.into_iter().map(|count| share / f64::from(count.max(1))).collect())
    }

    fn notes(&self, search: &[SearchRow], validation: usize) -> Vec<String> {
        let mut notes = vec![
            "the model was fitted on the training split only; the validation split chose C (by \
             macro-F1, and by log loss where that cannot tell) and the temperature; the test \
             split was used once, for the figures above"
                .to_owned(),
        ];
        if validation == 0 && self.options.c.len() > 1 {
            notes.push("there is no validation split: the middle value of `c` was taken".into());
        }
        if search.iter().any(|row| !row.converged) {
            notes.push(
                "the solver did not converge for every C: raise `max_iterations` if it matters"
                    .into(),
            );
        }
        notes
    }

    fn model(
        &self,
        labels: &[String],
        vectorizer: &Vectorizer,
        solution: &Solution,
        temperature: f32,
    ) -> Result<LinearModel, Stopped> {
        let description = LinearDescription {
            format: LINEAR_FORMAT,
            labels: labels.to_vec(),
            features: self.options.features.clone(),
            temperature,
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

    fn check(&self, row: usize) -> Result<(), Stopped> {
        if row.is_multiple_of(CHECK_ROWS) {
            self.context.cancel.check().map_err(Stopped::Interrupted)?;
        }
        Ok(())
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
