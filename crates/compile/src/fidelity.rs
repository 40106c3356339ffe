use mesh_engine::PackReport;
use serde::{Deserialize, Serialize};

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
    /// The share of texts to which both give the same label.
    pub agreement: f64,
    /// The largest difference between two probabilities of one label for one text.
    pub max_difference: f64,
    /// The accuracy of the uncompiled model on the texts, less that of the compiled one.
    pub accuracy_drop: f64,
    /// The macro-F1 of the uncompiled model on the texts, less that of the compiled one.
    pub macro_f1_drop: f64,
    /// What packing kept.
    pub pack: PackReport,
}

impl Fidelity {
    /// The version of the report's format.
    pub const FORMAT: u32 = 1;
    /// The report's file.
    pub const FILE: &str = "fidelity.json";

    /// Compares the probabilities that two models give to the same labelled texts. `truth` holds
    /// each text's label.
    pub(crate) fn measure(
        target: &str,
        pack: PackReport,
        truth: &[usize],
        trained: &[Vec<f32>],
        compiled: &[Vec<f32>],
    ) -> Self {
        let (mut same, mut difference, mut right) = (0usize, 0.0f32, 0i64);
        let mut given = (Vec::new(), Vec::new());
        for ((a, b), truth) in trained.iter().zip(compiled).zip(truth) {
            let (one, other) = (best(a), best(b));
            same += usize::from(one == other);
            right += i64::from(one == *truth) - i64::from(other == *truth);
            difference = a.iter().zip(b).fold(difference, |most, (a, b)| most.max((a - b).abs()));
            given.0.push(one);
            given.1.push(other);
        }
        let labels = trained.first().map_or(0, Vec::len);
        let macro_f1 = |given: &[usize]| macro_f1(truth, given, labels);
        #[expect(clippy::cast_precision_loss, reason = "counts of texts")]
        let share = |count: f64| count / trained.len().max(1) as f64;
        #[expect(clippy::cast_precision_loss, reason = "counts of texts")]
        let (agreement, accuracy_drop) = (share(same as f64), share(right as f64));
        Self {
            format: Self::FORMAT,
            target: target.to_owned(),
            texts: trained.len(),
            agreement,
            max_difference: f64::from(difference),
            accuracy_drop,
            macro_f1_drop: macro_f1(&given.0) - macro_f1(&given.1),
            pack,
        }
    }
}

/// The mean F1 over the labels that texts have or were given.
fn macro_f1(truth: &[usize], given: &[usize], labels: usize) -> f64 {
    // Per label: texts with it that were given it, texts with it, texts given it.
    let mut counts = vec![(0u32, 0u32, 0u32); labels];
    for (truth, given) in truth.iter().zip(given) {
        if let Some((right, has, _)) = counts.get_mut(*truth) {
            *has += 1;
            *right += u32::from(truth == given);
        }
        if let Some((.., gets)) = counts.get_mut(*given) {
            *gets += 1;
        }
    }
    let present = counts.iter().filter(|(_, has, gets)| has + gets > 0);
    let (sum, count) = present.fold((0.0, 0.0), |(sum, count), (right, has, gets)| {
        (sum + 2.0 * f64::from(*right) / f64::from(has + gets), count + 1.0)
    });
    if count > 0.0 { sum / count } else { 0.0 }
}

fn best(row: &[f32]) -> usize {
    let highest = row.iter().zip(0..).max_by(|a, b| a.0.total_cmp(b.0).then(b.1.cmp(&a.1)));
    highest.map_or(0, |(_, label)| label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macro_f1_is_that_of_the_trainer() {
        // The table of the trainer's own test, checked with scikit-learn.
        let measured = macro_f1(&[0, 0, 0, 1, 1, 2], &[0, 0, 1, 1, 2, 2], 3);
        assert!((measured - (0.8 + 0.5 + 2.0 / 3.0) / 3.0).abs() < 1e-12, "{measured}");
        assert_eq!(macro_f1(&[], &[], 3), 0.0);
        assert_eq!(macro_f1(&[usize::MAX, 1], &[1, 1], 3), 2.0 / 3.0);
    }
}
