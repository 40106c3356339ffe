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
        for ((a, b), truth) in trained.iter().zip(compiled).zip(truth) {
            same += usize::from(best(a) == best(b));
            right += i64::from(best(a) == *truth) - i64::from(best(b) == *truth);
            difference = a.iter().zip(b).fold(difference, |most, (a, b)| most.max((a - b).abs()));
        }
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
            pack,
        }
    }
}

fn best(row: &[f32]) -> usize {
    let highest = row.iter().zip(0..).max_by(|a, b| a.0.total_cmp(b.0).then(b.1.cmp(&a.1)));
    highest.map_or(0, |(_, label)| label)
}
