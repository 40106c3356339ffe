//! From datasets to models: trainers, metrics, gates, model cards.
//!
//! [`Train`] is the step: it reads a dataset, fits a model on the training split, makes its
//! choices on the validation split, and measures once on the test split. What it leaves is the
//! same bytes for the same dataset, options and seed, with any number of threads.
//!
//! The parts can be used by themselves:
//!
//! ```
//! use mesh_train::{Evaluation, Matrix, Problem, SolverOptions, solve};
//!
//! let rows = Matrix::from_rows(&[vec![(0, 1.0)], vec![(1, 1.0)]]);
//! let problem = Problem { rows: &rows, labels: &[0, 1], classes: 2, columns: 2, weights: None };
//! let solution = solve(&problem, &SolverOptions::default(), &|| Ok(()))?;
//! let decision = solution.decide(&rows);
//! let evaluation = Evaluation::measure(&["a".into(), "b".into()], &[0, 1], &decision, 42);
//! assert_eq!(evaluation.accuracy.value, 1.0);
//! # Ok::<(), mesh_core::Interrupted>(())
//! ```

mod boosted;
mod cache;
mod calibrate;
mod card;
mod crf;
mod error;
mod fit;
mod head;
mod linear;
mod matrix;
mod metrics;
mod search;
mod solver;
mod step;
mod vectorizer;

pub use boosted::{FeatureRow, RegressionBaseline, RegressionCard, RegressionMetrics, TreesRow};
pub use calibrate::{MIN_CALIBRATION_ROWS, temperature};
pub use card::{Calibration, Card, DataFacts, FamilyRow, SearchRow, TopFeatures};
pub use crf::{TaggerBaseline, TaggerCard, TaggerMetrics, TaggerRow};
pub use error::{TrainError, TrainErrorKind};
pub use matrix::Matrix;
pub use metrics::{Baseline, ClassMetrics, Estimate, Evaluation};
pub use solver::{Problem, Solution, Solver, SolverOptions, solve};
pub use step::Train;
pub use vectorizer::Vectorizer;
