//! Minimising a smooth function of many variables.

use std::collections::VecDeque;

/// How long to go on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limits {
    /// Steps, at most.
    pub(crate) iterations: usize,
    /// It is done when ten steps together lower the objective by less than this share.
    pub(crate) tolerance: f64,
}

/// A function and its gradient.
pub(crate) trait Objective {
    /// Why it stopped before it was done.
    type Stop;

    /// The value at a point; its gradient is written to `gradient`.
    fn evaluate(&mut self, at: &[f32], gradient: &mut [f32]) -> Result<f64, Self::Stop>;
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Minimum {
    pub(crate) value: f64,
    pub(crate) iterations: usize,
    pub(crate) converged: bool,
}

/// Steps that are remembered.
const MEMORY: usize = 6;
/// Steps over which progress is judged.
const WINDOW: usize = 10;
/// Halvings of a step before it is given up.
const HALVINGS: usize = 20;

/// Minimises a function from a point on, by L-BFGS (Nocedal, 1980; Liu and Nocedal, 1989) with
/// steps halved until they fulfil Armijo's condition.
pub(crate) fn minimise<O: Objective>(
    objective: &mut O,
    point: &mut Vec<f32>,
    limits: Limits,
    mut tell: impl FnMut(usize, f64),
) -> Result<Minimum, O::Stop> {
    let mut gradient = vec![0.0; point.len()];
    let mut value = objective.evaluate(point, &mut gradient)?;
    let mut memory: VecDeque<Pair> = VecDeque::with_capacity(MEMORY);
    let mut values = VecDeque::from([value]);
    for iteration in 1..=limits.iterations {
        let mut direction: Vec<f32> = gradient.iter().map(|g| -g).collect();
        turn(&memory, &mut direction);
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            // What is remembered misleads: begin anew.
            memory.clear();
            direction.iter_mut().zip(&gradient).for_each(|(d, g)| *d = -g);
            slope = -dot(&gradient, &gradient);
        }
        let length = dot(&direction, &direction).sqrt();
        if length == 0.0 {
            return Ok(Minimum { value, iterations: iteration, converged: true });
        }
        let mut step = if memory.is_empty() { 1.0 / length } else { 1.0 };
        let (mut next, mut next_gradient) = (point.clone(), vec![0.0; point.len()]);
        let mut lower = None;
        for _ in 0..HALVINGS {
            #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
            let scale = step as f32;
            for ((next, from), direction) in next.iter_mut().zip(&*point).zip(&direction) {
                *next = from + scale * direction;
            }
            let found = objective.evaluate(&next, &mut next_gradient)?;
            if found.is_finite() && found <= value + 1e-4 * step * slope {
                lower = Some(found);
                break;
            }
            step *= 0.5;
        }
        let Some(found) = lower else {
            return Ok(Minimum { value, iterations: iteration, converged: true });
        };
        let moved: Vec<f32> = next.iter().zip(&*point).map(|(a, b)| a - b).collect();
        let turned: Vec<f32> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&moved, &turned);
        if curvature > 1e-10 * dot(&turned, &turned) {
            if memory.len() == MEMORY {
                memory.pop_front();
            }
            let size = dot(&turned, &turned);
            memory.push_back(Pair { moved, turned, curvature, size });
        }
        (*point, gradient, value) = (next, next_gradient, found);
        tell(iteration, value);
        values.push_back(value);
        if values.len() > WINDOW {
            let before = values.pop_front().unwrap_or(value);
            if before - value < limits.tolerance * value.abs() {
                return Ok(Minimum { value, iterations: iteration, converged: true });
            }
        }
    }
    Ok(Minimum { value, iterations: limits.iterations, converged: false })
}

/// A step, and how it turned the gradient.
struct Pair {
    moved: Vec<f32>,
    turned: Vec<f32>,
    curvature: f64,
    size: f64,
}

/// Turns the steepest descent into the direction that the remembered steps suggest.
fn turn(memory: &VecDeque<Pair>, direction: &mut [f32]) {
    let mut shares = Vec::with_capacity(memory.len());
    for pair in memory.iter().rev() {
        let share = dot(&pair.moved, direction) / pair.curvature;
        add(direction, -share, &pair.turned);
        shares.push(share);
    }
    if let Some(last) = memory.back() {
        #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
        let scale = (last.curvature / last.size) as f32;
        direction.iter_mut().for_each(|value| *value *= scale);
    }
    for (pair, share) in memory.iter().zip(shares.into_iter().rev()) {
        let back = dot(&pair.turned, direction) / pair.curvature;
        add(direction, share - back, &pair.moved);
    }
}

fn add(to: &mut [f32], scale: f64, from: &[f32]) {
    #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
    let scale = scale as f32;
    to.iter_mut().zip(from).for_each(|(to, from)| *to += scale * from);
}

/// The product, in parts of so many values that are added wider: exact enough, and fast.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    const PART: usize = 1 << 10;
    const LANES: usize = 16;
    let parts = a.chunks(PART).zip(b.chunks(PART)).map(|(a, b)| {
        let mut sums = [0.0f32; LANES];
        let (a, a_rest) = a.as_chunks::<LANES>();
        let (b, b_rest) = b.as_chunks::<LANES>();
        for (a, b) in a.iter().zip(b) {
            for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                *sum += a * b;
            }
        }
        let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
        f64::from(sums.iter().sum::<f32>() + rest)
    });
    parts.sum()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    struct Bowl;

    impl Objective for Bowl {
        type Stop = Infallible;

        fn evaluate(&mut self, at: &[f32], gradient: &mut [f32]) -> Result<f64, Infallible> {
            // A narrow valley (Rosenbrock, 1960).
            let (x, y) = (f64::from(at[0]), f64::from(at[1]));
            gradient[0] = (-2.0 * (1.0 - x) - 400.0 * x * (y - x * x)) as f32;
            gradient[1] = (200.0 * (y - x * x)) as f32;
            Ok((1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2))
        }
    }

    #[test]
    fn a_narrow_valley_is_followed_to_its_end() {
        let mut point = vec![-1.2, 1.0];
        let limits = Limits { iterations: 200, tolerance: 1e-9 };
        let found = minimise(&mut Bowl, &mut point, limits, |_, _| {}).unwrap();
        assert!(found.value < 1e-5, "{found:?}");
        assert!((point[0] - 1.0).abs() < 1e-2 && (point[1] - 1.0).abs() < 1e-2, "{point:?}");
    }
}
