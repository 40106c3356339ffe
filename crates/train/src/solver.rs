use mesh_core::Interrupted;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::Matrix;

/// L2-regularised multinomial logistic regression on sparse rows.
///
/// Minimises `1/2 |W|^2 + C sum_i s_i logloss(W x_i, y_i)`, the objective of scikit-learn's
/// `LogisticRegression`, with the intercept as the weight of a feature that is 1 in every row.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// The rows.
    pub rows: &'a Matrix,
    /// The class of each row, below `classes`.
    pub labels: &'a [u32],
    /// The number of classes, 2 or more.
    pub classes: usize,
    /// The number of columns.
    pub columns: usize,
    /// The weight of each class's rows; 1 without it.
    pub weights: Option<&'a [f64]>,
}

/// How the problem is solved.
#[derive(Debug, Clone)]
pub struct SolverOptions {
    /// The inverse strength of the regularisation.
    pub c: f64,
    /// The most passes over the rows.
    pub max_passes: usize,
    /// The duality gap, as a share of the objective, at which it is solved.
    pub tolerance: f64,
    /// The seed of the order of the rows.
    pub seed: u64,
}

/// The weights.
#[derive(Debug, Clone)]
pub struct Solution {
    /// Weights, (columns + 1) x classes; the last row is the intercept.
    weights: Vec<f32>,
    classes: usize,
    /// Passes over the rows that it took.
    pub passes: usize,
    /// The relative duality gap at the end.
    pub gap: f64,
    /// Whether the gap is below the tolerance.
    pub converged: bool,
}

/// Dual coordinate ascent: solves a problem for one C after the other, each from where the one
/// before ended.
///
/// Every row has a distribution over the classes as its dual variable. One step picks a row and
/// solves for its distribution exactly, all others fixed; the weights follow. A pass costs as
/// much as two products with the matrix, and touches only weights of features that a row has.
/// Sources: Yu, Huang and Lin, "Dual coordinate descent methods for logistic regression and
/// maximum entropy models", Machine Learning 85 (2011); Shalev-Shwartz and Zhang, "Stochastic
/// dual coordinate ascent methods", JMLR 14 (2013). The one-row problem is solved by nested
/// Newton iterations that approach from one side, so they need no safeguard.
pub struct Solver<'a> {
    problem: Problem<'a>,
    weights: Vec<f32>,
    duals: Vec<f32>,
    squares: Vec<f64>,
    order: Vec<usize>,
    c: Option<f64>,
}

impl Default for SolverOptions {
    fn default() -> Self {
        Self { c: 1.0, max_passes: 200, tolerance: 1e-3, seed: 42 }
    }
}

/// Solves a problem once.
///
/// # Errors
/// What `check` says, which is asked after every pass.
pub fn solve(
    problem: &Problem<'_>,
    options: &SolverOptions,
    check: &dyn Fn() -> Result<(), Interrupted>,
) -> Result<Solution, Interrupted> {
    Solver::new(*problem).solve(options, check)
}

impl<'a> Solver<'a> {
    /// Starts with all weights 0.
    #[must_use]
    pub fn new(problem: Problem<'a>) -> Self {
        let rows = problem.rows.len();
        let square = |row: usize| {
            let (_, values) = problem.rows.row(row);
            // The intercept's feature is 1.
            1.0 + values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>()
        };
        // The duals that belong to weights of 0: all on the row's own class.
        let mut duals = vec![0.0; rows * problem.classes];
        for (dual, label) in duals.chunks_exact_mut(problem.classes).zip(problem.labels) {
            if let Some(own) = dual.get_mut(*label as usize) {
                *own = 1.0;
            }
        }
        Self {
            weights: vec![0.0; (problem.columns + 1) * problem.classes],
            duals,
            squares: (0..rows).map(square).collect(),
            order: (0..rows).collect(),
            c: None,
            problem,
        }
    }

    /// Solves for one C.
    ///
    /// # Errors
    /// What `check` says, which is asked after every pass.
    pub fn solve(
        &mut self,
        options: &SolverOptions,
        check: &dyn Fn() -> Result<(), Interrupted>,
    ) -> Result<Solution, Interrupted> {
        // The weights are C times a sum over the duals: they scale with it.
        if let Some(before) = self.c {
            let factor = narrow(options.c / before);
            self.weights.iter_mut().for_each(|weight| *weight *= factor);
        }
        self.c = Some(options.c);
        let mut generator = ChaCha8Rng::seed_from_u64(options.seed);
        let (mut passes, mut gap) = (0, f64::INFINITY);
        while passes < options.max_passes {
            check()?;
            self.order.shuffle(&mut generator);
            let (on_the_way, entropies) = self.pass(options.c);
            passes += 1;
            // Losses taken on the way are those of older weights: they tell when it is worth to
            // look closely, not that it is solved.
            gap = self.gap(options.c, on_the_way, entropies);
            if gap.abs() < options.tolerance * LOOK_CLOSELY {
                gap = self.gap(options.c, self.losses(), entropies);
                if gap < options.tolerance {
                    break;
                }
            }
        }
        let converged = gap < options.tolerance;
        let weights = self.weights.clone();
        Ok(Solution { weights, classes: self.problem.classes, passes, gap, converged })
    }

    /// How far the objective is above its bound, as a share of it.
    fn gap(&self, c: f64, losses: f64, entropies: f64) -> f64 {
        let square: f64 = self.weights.iter().map(|weight| f64::from(*weight).powi(2)).sum();
        let objective = 0.5 * square + c * losses;
        (square + c * (losses - entropies)) / objective.max(f64::MIN_POSITIVE)
    }

    /// The weighted sum of losses with the weights as they are.
    fn losses(&self) -> f64 {
        let Problem { rows, labels, classes, .. } = self.problem;
        let mut decision = vec![0.0f32; classes];
        let mut losses = 0.0;
        for (row, label) in labels.iter().enumerate() {
            decide(&self.weights, rows.row(row), &mut decision);
            losses += self.problem.importance(*label) * log_loss(&decision, *label as usize);
        }
        losses
    }

    /// One step for every row; gives the weighted sums of losses and of the duals' entropies.
    fn pass(&mut self, c: f64) -> (f64, f64) {
        let Problem { rows, labels, classes, columns, .. } = self.problem;
        let mut room = Room::new(classes);
        let mut decision = vec![0.0f32; classes];
        let mut change = vec![0.0f32; classes];
        let (mut losses, mut entropies) = (0.0, 0.0);
        for &row in &self.order {
            let (indices, values) = rows.row(row);
            let label = labels.get(row).copied().unwrap_or_default();
            let importance = self.problem.importance(label);
            let intercept = columns * classes;
            decide(&self.weights, (indices, values), &mut decision);
            let square = self.squares.get(row).copied().unwrap_or(1.0);
            let Some(dual) = self.duals.get_mut(row * classes..(row + 1) * classes) else {
                continue;
            };
            losses += importance * log_loss(&decision, label as usize);
            let strength = c * importance * square;
            entropies += importance * room.step(strength, &decision, dual, &mut change);
            let factor = narrow(c * importance);
            let mut largest = 0.0f32;
            for change in &mut change {
                *change *= factor;
                largest = largest.max(change.abs());
            }
            if largest < 1e-9 {
                continue;
            }
            for (index, value) in indices.iter().zip(values) {
                let start = *index as usize * classes;
                let weights = self.weights.get_mut(start..start + classes).unwrap_or_default();
                add_scaled(weights, &change, *value);
            }
            let weights = self.weights.get_mut(intercept..intercept + classes).unwrap_or_default();
            add_scaled(weights, &change, 1.0);
        }
        (losses, entropies)
    }
}

impl Problem<'_> {
    fn importance(&self, label: u32) -> f64 {
        self.weights.and_then(|weights| weights.get(label as usize)).copied().unwrap_or(1.0)
    }
}

impl Solution {
    /// The weights of a column, one per class; of the intercept at the column after the last.
    #[must_use]
    pub fn column(&self, column: usize) -> &[f32] {
        let start = column * self.classes;
        self.weights.get(start..start + self.classes).unwrap_or_default()
    }

    /// The number of columns, the intercept left out.
    #[must_use]
    pub const fn columns(&self) -> usize {
        self.weights.len() / self.classes - 1
    }

    /// Decision values of rows: one per class.
    #[must_use]
    pub fn decide(&self, rows: &Matrix) -> Vec<Vec<f32>> {
        let decide = |row| {
            let mut decision = vec![0.0; self.classes];
            decide(&self.weights, rows.row(row), &mut decision);
            decision
        };
        (0..rows.len()).map(decide).collect()
    }
}

/// Room for solving one row's problem.
struct Room {
    targets: Vec<f64>,
    logs: Vec<f64>,
}

/// Iterations that no problem has needed; the bound keeps a pass finite whatever is in a row.
const MAX_OUTER: usize = 30;
const MAX_INNER: usize = 60;
/// Distributions add up to 1 within this.
const PRECISION: f64 = 1e-7;
/// The rough gap, in tolerances, below which the exact one is worth a pass.
const LOOK_CLOSELY: f64 = 3.0;
/// A dual is never quite 0: its logarithm is needed.
const LEAST: f64 = 1e-30;

impl Room {
    fn new(classes: usize) -> Self {
        Self { targets: vec![0.0; classes], logs: vec![0.0; classes] }
    }

    /// Replaces a row's distribution by the best one; gives its entropy, and in `change` how
    /// much less each class has now.
    ///
    /// The best distribution p has `ln p_k + a p_k = z_k + a p_k(old) - v` for each class, with
    /// v such that it adds up to 1. For v at its lower bound the sum is too large; it is convex
    /// and falls with v, so Newton's method comes to the root from the left.
    fn step(&mut self, a: f64, decision: &[f32], dual: &mut [f32], change: &mut [f32]) -> f64 {
        let mut highest = f64::NEG_INFINITY;
        for ((target, log), (value, old)) in
            self.targets.iter_mut().zip(&mut self.logs).zip(decision.iter().zip(&*dual))
        {
            *target = f64::from(*value) + a * f64::from(*old);
            *log = f64::from(*old).max(LEAST).ln();
            highest = highest.max(*target);
        }
        let mut shift = highest - a;
        for _ in 0..MAX_OUTER {
            let (mut sum, mut slope) = (0.0, 0.0);
            for (target, log) in self.targets.iter().zip(&mut self.logs) {
                let share = solve_share(a, target - shift, log);
                sum += share;
                slope += share / (1.0 + a * share);
            }
            let excess = sum - 1.0;
            if excess.abs() < PRECISION || slope <= 0.0 {
                break;
            }
            shift += excess / slope;
        }
        let sum: f64 = self.logs.iter().map(|log| log.exp()).sum();
        let mut entropy = 0.0;
        for ((log, dual), change) in self.logs.iter().zip(dual).zip(change) {
            let share = log.exp() / sum;
            if share > LEAST {
                entropy -= share * share.ln();
            }
            let share = narrow(share);
            *change = *dual - share;
            *dual = share;
        }
        entropy
    }
}

/// Solves `u + a e^u = t` for u, from a first guess; gives e^u. The function is convex and
/// rises, so after at most one step Newton's method comes from the right.
fn solve_share(a: f64, t: f64, u: &mut f64) -> f64 {
    let mut share = u.exp();
    for _ in 0..MAX_INNER {
        let excess = *u + a * share - t;
        if excess.abs() < 1e-10 * (1.0 + t.abs()) {
            break;
        }
        // No share is above 1 here, so no logarithm is above 0.
        *u = (*u - excess / (1.0 + a * share)).min(0.0);
        share = u.exp();
    }
    share
}

/// Reads the ends of the weights of a row's columns, so that the processor fetches many of them at
/// once. Training waits for memory more than it computes: without this it takes twice as long.
fn fetch(weights: &[f32], indices: &[u32], classes: usize) {
    let mut seen = 0;
    for index in indices {
        let start = *index as usize * classes;
        if let Some([first, .., last]) = weights.get(start..start + classes) {
            seen ^= first.to_bits() ^ last.to_bits();
        }
    }
    std::hint::black_box(seen);
}

/// The decision values of a row: the intercept, and the weights of its columns.
fn decide(weights: &[f32], (indices, values): (&[u32], &[f32]), decision: &mut [f32]) {
    let classes = decision.len();
    fetch(weights, indices, classes);
    let intercept = weights.get(weights.len() - classes..).unwrap_or_default();
    for (sum, weight) in decision.iter_mut().zip(intercept) {
        *sum = *weight;
    }
    for (index, value) in indices.iter().zip(values) {
        let start = *index as usize * classes;
        add_scaled(decision, weights.get(start..start + classes).unwrap_or_default(), *value);
    }
}

/// Adds a multiple of one vector to another, in fours that the compiler sees as one.
#[inline]
fn add_scaled(sums: &mut [f32], values: &[f32], factor: f32) {
    let (sums, last_sums) = sums.as_chunks_mut::<4>();
    let (values, last_values) = values.as_chunks::<4>();
    for (sums, values) in sums.iter_mut().zip(values) {
        let ([a, b, c, d], [e, f, g, h]) = (*sums, *values);
        *sums = [a + e * factor, b + f * factor, c + g * factor, d + h * factor];
    }
    for (sum, value) in last_sums.iter_mut().zip(last_values) {
        *sum += value * factor;
    }
}

fn log_loss(decision: &[f32], label: usize) -> f64 {
    let highest = decision.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = decision.iter().map(|value| f64::from(value - highest).exp()).sum();
    let own = decision.get(label).copied().unwrap_or(highest);
    sum.ln() - f64::from(own - highest)
}

#[expect(clippy::cast_possible_truncation, reason = "weights are kept in 32 bits")]
const fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The objective and its gradient in the weights, in the plainest way.
    fn gradient(problem: &Problem<'_>, solution: &Solution, c: f64) -> f64 {
        let mut gradient: Vec<f64> =
            solution.weights.iter().map(|weight| f64::from(*weight)).collect();
        for row in 0..problem.rows.len() {
            let (indices, values) = problem.rows.row(row);
            let one =
                Matrix::from_rows(&[indices.iter().copied().zip(values.iter().copied()).collect()]);
            let decision = &solution.decide(&one)[0];
            let sum: f64 = decision.iter().map(|value| f64::from(*value).exp()).sum();
            for class in 0..problem.classes {
                let share = f64::from(decision[class]).exp() / sum;
                let own = f64::from(u8::from(problem.labels[row] as usize == class));
                for (index, value) in indices.iter().zip(values) {
                    gradient[*index as usize * problem.classes + class] +=
                        c * (share - own) * f64::from(*value);
                }
                gradient[problem.columns * problem.classes + class] += c * (share - own);
            }
        }
        gradient.into_iter().fold(0.0, |most, value| most.max(value.abs()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn the_gradient_is_zero_at_the_solution(
            rows in prop::collection::vec(
                (prop::collection::btree_map(0u32..12, -1.0f32..1.0, 1..6), 0u32..3), 3..30),
            c in prop::sample::select(vec![0.1, 1.0, 30.0]),
        ) {
            let matrix = Matrix::from_rows(
                &rows.iter().map(|(row, _)| row.clone().into_iter().collect()).collect::<Vec<_>>());
            let labels: Vec<u32> = rows.iter().map(|(_, label)| *label).collect();
            let problem =
                Problem { rows: &matrix, labels: &labels, classes: 3, columns: 12, weights: None };
            let options = SolverOptions { c, max_passes: 3000, tolerance: 1e-7, seed: 1 };
            let solution = solve(&problem, &options, &|| Ok(())).unwrap();
            // 32-bit weights, and a gap that is a bound on the objective and not the gradient.
            let steepest = gradient(&problem, &solution, c);
            prop_assert!(steepest < 0.02 * (1.0 + c), "{steepest} after {} passes, gap {}", solution.passes, solution.gap);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bits() {
        let matrix = Matrix::from_rows(&[vec![(0, 1.0)], vec![(1, 1.0)], vec![(0, 0.5), (1, 0.5)]]);
        let problem =
            Problem { rows: &matrix, labels: &[0, 1, 1], classes: 2, columns: 2, weights: None };
        let solve = || solve(&problem, &SolverOptions::default(), &|| Ok(())).unwrap().weights;
        assert_eq!(solve(), solve());
    }
}
