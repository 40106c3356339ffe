//! Fitting a logistic regression: what all families of classifiers share once texts are rows.

use std::{collections::BTreeMap, time::Instant};

use mesh_core::{StepContext, Unit, manifest::ClassWeight};
use mesh_dataset::{Dataset, Document, SplitName};

use crate::{
    Calibration, Evaluation, Matrix, Problem, SearchRow, Solution, Solver, SolverOptions,
    TrainError, TrainErrorKind, calibrate,
    search::{Tried, choose},
};

/// How a logistic regression is fitted, whatever the features.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FitOptions<'a> {
    pub(crate) c: &'a [f64],
    pub(crate) class_weight: ClassWeight,
    pub(crate) calibrate: bool,
    pub(crate) refit: bool,
    pub(crate) max_iterations: usize,
    pub(crate) tolerance: f64,
    pub(crate) seed: u64,
}

/// Rows of a split, with their labels.
pub(crate) struct Rows {
    pub(crate) matrix: Matrix,
    pub(crate) labels: Vec<u32>,
}

/// The rows of all splits.
pub(crate) struct Splits {
    pub(crate) train: Rows,
    pub(crate) validation: Rows,
    pub(crate) test: Rows,
    /// Columns of the rows.
    pub(crate) columns: usize,
}

/// A fitted regression, and how it came about.
pub(crate) struct Fit {
    pub(crate) solution: Solution,
    pub(crate) search: Vec<SearchRow>,
    pub(crate) chosen_c: f64,
    pub(crate) calibration: Calibration,
    pub(crate) evaluation: Evaluation,
    pub(crate) notes: Vec<String>,
    /// Seconds per phase.
    pub(crate) seconds: BTreeMap<&'static str, f64>,
}

/// Why fitting stopped.
pub(crate) enum Stopped {
    Error(TrainError),
    Interrupted(mesh_core::Interrupted),
}

/// Rows between two looks at whether to stop.
const CHECK_ROWS: usize = 512;

impl<E: Into<TrainError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl Fit {
    /// The best macro-F1 that the chosen model reached on the validation split.
    pub(crate) fn validation_macro_f1(&self) -> Option<f64> {
        let chosen = self.search.iter().find(|row| row.c == self.chosen_c);
        chosen.and_then(|row| row.validation_macro_f1)
    }
}

/// The labels of the training split. The other splits may hold no others.
pub(crate) fn labels(dataset: &Dataset) -> Result<Vec<String>, Stopped> {
    let splits = &dataset.statistics().splits;
    let labels: Vec<String> = splits
        .get(SplitName::Train.as_str())
        .map(|split| split.labels.keys().cloned().collect())
        .unwrap_or_default();
    if dataset.rows(SplitName::Train) == 0 {
        return Err(TrainError::new(TrainErrorKind::EmptySplit("train")).into());
    }
    match labels.as_slice() {
        [] => Err(TrainError::new(TrainErrorKind::NoLabel("of the training split".into())).into()),
        [only] => Err(TrainError::new(TrainErrorKind::SingleLabel(only.clone())).into()),
        _ => Ok(labels),
    }
}

/// The place of a document's label among those of the training split.
pub(crate) fn class(
    document: &Document,
    labels: &[String],
    split: SplitName,
) -> Result<u32, TrainError> {
    let Some(label) = &document.label else {
        return Err(TrainError::new(TrainErrorKind::NoLabel(document.id.clone())));
    };
    let Ok(class) = labels.binary_search(label) else {
        let kind = TrainErrorKind::UnseenLabel { label: label.clone(), split: split.as_str() };
        return Err(TrainError::new(kind));
    };
    Ok(u32::try_from(class).unwrap_or(u32::MAX))
}

/// Stops where somebody asked for it, every few rows.
pub(crate) fn check(context: &StepContext, row: usize) -> Result<(), Stopped> {
    if row.is_multiple_of(CHECK_ROWS) {
        context.cancel.check().map_err(Stopped::Interrupted)?;
    }
    Ok(())
}

impl FitOptions<'_> {
    /// Fits on the training rows, chooses and calibrates on the validation rows, measures on the
    /// test rows.
    pub(crate) fn fit(
        &self,
        splits: &Splits,
        labels: &[String],
        context: &StepContext,
    ) -> Result<Fit, Stopped> {
        if splits.test.labels.is_empty() {
            return Err(TrainError::new(TrainErrorKind::EmptySplit("test")).into());
        }
        let mut seconds = BTreeMap::new();
        let started = Instant::now();
        let (solution, search, chosen_c) = self.search(splits, labels, context)?;
        seconds.insert("fit", started.elapsed().as_secs_f64());
        let started = Instant::now();
        let validation = &splits.validation;
        let mut notes = self.notes(&search, validation.labels.len());
        if self.refit && !validation.labels.is_empty() {
            notes.push(
                "with what was chosen, the model was fitted once more on the training and the \
                 validation split together"
                    .to_owned(),
            );
        }
        let decided = solution.decide(&validation.matrix);
        let enough = validation.labels.len() >= calibrate::MIN_CALIBRATION_ROWS;
        let temperature = match self.calibrate && enough {
            true => calibrate::temperature(&decided, &validation.labels),
            false => 1.0,
        };
        if self.calibrate && !enough {
            notes.push(format!(
                "probabilities are not calibrated: the validation split has fewer than {} documents",
                calibrate::MIN_CALIBRATION_ROWS
            ));
        }
        let rows = if self.calibrate && enough { validation.labels.len() } else { 0 };
        let calibration = Calibration { temperature, rows };
        let refit = self.refit && !validation.labels.is_empty();
        let solution = match refit {
            true => self.again(splits, labels, chosen_c, context)?,
            false => solution,
        };
        let mut decision = solution.decide(&splits.test.matrix);
        decision.iter_mut().flatten().for_each(|value| *value /= temperature);
        let evaluation = Evaluation::measure(labels, &splits.test.labels, &decision, self.seed);
        seconds.insert("evaluate", started.elapsed().as_secs_f64());
        Ok(Fit { solution, search, chosen_c, calibration, evaluation, notes, seconds })
    }

    /// Fits once more, on the training and the validation rows together.
    fn again(
        &self,
        splits: &Splits,
        labels: &[String],
        c: f64,
        context: &StepContext,
    ) -> Result<Solution, Stopped> {
        let mut rows = splits.train.matrix.clone();
        let mut classes = splits.train.labels.clone();
        let validation = &splits.validation;
        for (row, label) in validation.labels.iter().enumerate() {
            let (columns, values) = validation.matrix.row(row);
            rows.push(columns.iter().copied().zip(values.iter().copied()));
            classes.push(*label);
        }
        let weights = self.class_weights(&classes, labels.len());
        let problem = Problem {
            rows: &rows,
            labels: &classes,
            classes: labels.len(),
            columns: splits.columns,
            weights: weights.as_deref(),
        };
        let task = context.progress.begin("fit again", None, Unit::Items);
        let check = || {
            task.advance(1);
            context.cancel.check()
        };
        let mut solver = Solver::new(problem);
        solver.solve(&self.solver_options(c, labels.len()), &check).map_err(Stopped::Interrupted)
    }

    fn solver_options(&self, c: f64, labels: usize) -> SolverOptions {
        SolverOptions {
            // Two classes have two columns of weights here and one in the usual objective, which
            // halves the penalty.
            c: if labels == 2 { c / 2.0 } else { c },
            max_passes: self.max_iterations,
            tolerance: self.tolerance,
            seed: self.seed,
        }
    }

    /// Tries every C from the strongest regularisation on, each from where the one before ended.
    fn search(
        &self,
        splits: &Splits,
        labels: &[String],
        context: &StepContext,
    ) -> Result<(Solution, Vec<SearchRow>, f64), Stopped> {
        let Splits { train, validation, columns, .. } = splits;
        let weights = self.class_weights(&train.labels, labels.len());
        let problem = Problem {
            rows: &train.matrix,
            labels: &train.labels,
            classes: labels.len(),
            columns: *columns,
            weights: weights.as_deref(),
        };
        let mut values = self.c.to_vec();
        values.sort_by(f64::total_cmp);
        values.dedup();
        if validation.labels.is_empty() && values.len() > 1 {
            // Nothing to choose on: the middle one.
            values = values.get(values.len() / 2).copied().into_iter().collect();
        }
        let task = context.progress.begin("fit", None, Unit::Items);
        let mut solver = Solver::new(problem);
        let (mut solutions, mut tried, mut search) = (Vec::new(), Vec::new(), Vec::new());
        for c in &values {
            task.note(&format!("fit, C = {c}"));
            let options = self.solver_options(*c, labels.len());
            let check = || {
                task.advance(1);
                context.cancel.check()
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
        if self.class_weight == ClassWeight::None {
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
            "the validation split chose C (by macro-F1, and by log loss where that cannot tell), for \
             a model fitted on the training split only; the test split was used once, for the \
             figures above"
                .to_owned(),
        ];
        if validation == 0 && self.c.len() > 1 {
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
}
