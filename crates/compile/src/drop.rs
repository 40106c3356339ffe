use mesh_core::tags::EntityCounts;
use serde::{Deserialize, Serialize};

/// How much a metric fell from one model to another, on the same texts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricDrop {
    /// The metric of the first less that of the second.
    pub value: f64,
    /// The lower end of its 95% interval: a bootstrap over texts.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// A metric of one model, with its 95% interval: a bootstrap over texts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The figure.
    pub value: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The labels that texts have, and those that two models gave them.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) truth: &'a [usize],
    pub(crate) before: &'a [usize],
    pub(crate) after: &'a [usize],
}

/// Drawings of the bootstrap.
const DRAWINGS: usize = 500;

impl MetricDrop {
    /// The drop of accuracy.
    pub(crate) fn accuracy(given: &Given<'_>) -> f64 {
        let right = |labels: &[usize]| {
            u32::try_from(labels.iter().zip(given.truth).filter(|(a, b)| a == b).count())
        };
        let [before, after] =
            [given.before, given.after].map(|labels| f64::from(right(labels).unwrap_or(u32::MAX)));
        #[expect(clippy::cast_precision_loss, reason = "a count of texts")]
        let texts = given.truth.len().max(1) as f64;
        (before - after) / texts
    }
}

impl MetricDrop {
    /// The drop of the F1 of entities, from each sentence's counts by the two models.
    pub(crate) fn entity_f1(counts: &[[EntityCounts; 2]]) -> Self {
        let drop = |rows: &mut dyn Iterator<Item = &[EntityCounts; 2]>| {
            let sum = [EntityCounts::default(); 2];
            let [before, after] = rows.fold(sum, |[a, b], [c, d]| [a + *c, b + *d]);
            before.f1() - after.f1()
        };
        let value = drop(&mut counts.iter());
        let mut draw = drawing(counts.len());
        let mut drops: Vec<f64> = (0..DRAWINGS)
            .map(|_| drop(&mut (0..counts.len()).filter_map(|_| counts.get(draw()))))
            .collect();
        Self::between(value, &mut drops)
    }

    /// A figure, with the interval that those of the drawings give.
    fn between(value: f64, drops: &mut [f64]) -> Self {
        drops.sort_by(f64::total_cmp);
        let at = |place: usize| drops.get(place).copied().unwrap_or(value);
        Self { value, low: at(DRAWINGS / 40), high: at(DRAWINGS - 1 - DRAWINGS / 40) }
    }
}

/// Draws places below a count. A linear congruential generator (Knuth, MMIX): the same drawings
/// for the same texts.
fn drawing(count: usize) -> impl FnMut() -> usize {
    let mut state = 1_u64;
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((u128::from(state) * count as u128) >> 64).unwrap_or(0)
    }
}

impl Measured {
    /// The accuracy of the labels that a model gave, and their macro-F1 over so many labels.
    pub(crate) fn of_labels(truth: &[usize], after: &[usize], labels: usize) -> [Self; 2] {
        // What is lost from always being right.
        let given = Given { truth, before: truth, after };
        let drops = [given.drop(MetricDrop::accuracy), given.drop(|given| given.macro_f1(labels))];
        drops.map(|MetricDrop { value, low, high }| Self {
            value: 1.0 - value,
            low: 1.0 - high,
            high: 1.0 - low,
        })
    }
}

impl Given<'_> {
    /// The drop of a metric, with its interval.
    pub(crate) fn drop(&self, metric: impl Fn(&Given<'_>) -> f64) -> MetricDrop {
        let value = metric(self);
        if self.before == self.after {
            return MetricDrop { value, low: value, high: value };
        }
        let texts = self.truth.len();
        let mut draw = drawing(texts);
        let mut drops: Vec<f64> = (0..DRAWINGS)
            .map(|_| {
                let rows: Vec<usize> = (0..texts).map(|_| draw()).collect();
                let pick = |of: &[usize]| -> Vec<usize> {
                    rows.iter().filter_map(|row| of.get(*row).copied()).collect()
                };
                let (truth, before, after) =
                    (pick(self.truth), pick(self.before), pick(self.after));
                metric(&Given { truth: &truth, before: &before, after: &after })
            })
            .collect();
        MetricDrop::between(value, &mut drops)
    }

    /// The drop of macro-F1, with so many labels.
    pub(crate) fn macro_f1(&self, labels: usize) -> f64 {
        macro_f1(self.truth, self.before, labels) - macro_f1(self.truth, self.after, labels)
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

    #[test]
    fn a_drop_has_an_interval_around_it() {
        let truth: Vec<usize> = (0..200).map(|text| text % 2).collect();
        let after: Vec<usize> = (0..200).map(|text| if text < 20 { 0 } else { text % 2 }).collect();
        let given = Given { truth: &truth, before: &truth, after: &after };
        let MetricDrop { value, low, high } = given.drop(MetricDrop::accuracy);
        assert!((value - 0.05).abs() < 1e-12);
        assert!(low > 0.01 && low < value && value < high && high < 0.1, "{low} {high}");
        let same =
            Given { truth: &truth, before: &after, after: &after }.drop(MetricDrop::accuracy);
        assert_eq!((same.value, same.low, same.high), (0.0, 0.0, 0.0));
        let [accuracy, macro_f1] = Measured::of_labels(&truth, &after, 2);
        assert!((accuracy.value - 0.95).abs() < 1e-12 && macro_f1.value < 0.951);
        assert!(accuracy.low < accuracy.value && accuracy.value < accuracy.high);
    }
}
