//! Choosing among models by what they give on the validation split.

use crate::{calibrate, metrics};

/// What a tried model gave on the validation split.
pub(crate) struct Tried {
    given: Vec<u32>,
    pub(crate) macro_f1: f64,
    /// The mean log loss after the best temperature.
    pub(crate) log_loss: f64,
}

/// Models whose macro-F1 differ by less than this many standard errors count as equals.
const EQUALS: f64 = 0.5;

impl Tried {
    pub(crate) fn measure(truth: &[u32], decision: &[Vec<f32>], labels: usize) -> Self {
        let inverse = 1.0 / f64::from(calibrate::temperature(decision, truth));
        #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
        let rows = truth.len().max(1) as f64;
        Self {
            given: decision.iter().map(|row| metrics::best(row)).collect(),
            macro_f1: metrics::macro_f1(truth, decision, labels),
            log_loss: calibrate::log_loss(decision, truth, inverse) / rows,
        }
    }

    /// The standard error of the difference to another model on the same rows: only rows to
    /// which the two give different labels tell them apart.
    fn error_of_difference(&self, other: &Self) -> f64 {
        let different = self.given.iter().zip(&other.given).filter(|(a, b)| a != b).count();
        #[expect(clippy::cast_precision_loss, reason = "counts of rows")]
        let (different, rows) = (different as f64, self.given.len().max(1) as f64);
        different.sqrt() / rows
    }
}

/// The model to take: of those whose macro-F1 is the best, or not to be told from it, the one
/// with the least log loss, which is a steadier measure on few rows; the first of equals.
///
/// Without it a single document of the validation split decides between two values of C.
pub(crate) fn choose(tried: &[Tried]) -> usize {
    let order = |a: &&Tried, b: &&Tried| a.macro_f1.total_cmp(&b.macro_f1);
    let Some(best) = tried.iter().rev().max_by(order) else { return 0 };
    let equal =
        |one: &Tried| one.macro_f1 >= best.macro_f1 - EQUALS * one.error_of_difference(best);
    let equals = tried.iter().zip(0..).filter(|(one, _)| equal(one));
    equals.min_by(|(a, _), (b, _)| a.log_loss.total_cmp(&b.log_loss)).map_or(0, |(_, at)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(macro_f1: f64, log_loss: f64, wrong: usize) -> Tried {
        let given = (0..100).map(|row| u32::from(row < wrong)).collect();
        Tried { given, macro_f1, log_loss }
    }

    #[test]
    fn what_cannot_be_told_apart_is_decided_by_log_loss() {
        struct Case {
            name: &'static str,
            tried: Vec<Tried>,
            chosen: usize,
        }
        let cases = [
            Case { name: "nothing", tried: vec![], chosen: 0 },
            Case { name: "one", tried: vec![tried(0.5, 1.0, 0)], chosen: 0 },
            Case {
                name: "clearly better",
                tried: vec![tried(0.5, 0.1, 0), tried(0.9, 0.3, 16)],
                chosen: 1,
            },
            Case {
                // Sixteen differ: a standard error of 0.04.
                name: "within half a standard error",
                tried: vec![tried(0.885, 0.2, 0), tried(0.9, 0.3, 16)],
                chosen: 0,
            },
            Case {
                name: "beyond half a standard error",
                tried: vec![tried(0.875, 0.2, 0), tried(0.9, 0.3, 16)],
                chosen: 1,
            },
            Case {
                name: "the same answers",
                tried: vec![tried(0.9, 0.3, 5), tried(0.9, 0.3, 5)],
                chosen: 0,
            },
        ];
        for Case { name, tried, chosen } in cases {
            assert_eq!(choose(&tried), chosen, "{name}");
        }
    }
}
