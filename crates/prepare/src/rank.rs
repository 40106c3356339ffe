//! Exact shares: units of rows are put in order, and the order is cut.

use std::{collections::HashMap, path::Path};

use mesh_core::Cancel;
use mesh_dataset::SplitName;

use crate::{
    PrepareError,
    sort::{Sorter, number, record},
};

/// The ends of the shares of training and validation, where all are 1.
pub(crate) struct Shares {
    train: f64,
    validation: f64,
}

/// Puts units in order.
///
/// Each unit stands in its stratum at the share of the stratum that is before its middle. All
/// strata together are put in the order of that, and cut: so the splits have exactly their shares
/// of all rows (but for units of several rows at the cut), and those of each stratum to within a
/// row, even if it has only a few.
pub(crate) struct Ranking<'a> {
    scratch: &'a Path,
    /// Unit, row, stratum, order.
    rows: Sorter<28>,
    strata: HashMap<u32, u64>,
    count: u64,
}

impl Shares {
    /// Shares of any sum.
    pub(crate) fn new(train: f64, validation: f64, test: f64) -> Self {
        let sum = (train + validation + test).max(f64::MIN_POSITIVE);
        // Exactly 1 if there is nothing else, whatever the sum is rounded to.
        let share = |part: f64, rest: f64| if rest > 0.0 { part / sum } else { 1.0 };
        Self { train: share(train, validation + test), validation: share(train + validation, test) }
    }

    pub(crate) fn are_all_train(&self) -> bool {
        self.train >= 1.0
    }

    /// The split of the row at this place among so many.
    pub(crate) fn cut(&self, place: u128, count: u128) -> SplitName {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts of rows, and shares of them"
        )]
        let end = |share: f64| (share * count as f64).round() as u128;
        match place {
            place if place < end(self.train) => SplitName::Train,
            place if place < end(self.validation) => SplitName::Validation,
            _ => SplitName::Test,
        }
    }
}

impl<'a> Ranking<'a> {
    pub(crate) fn new(scratch: &'a Path) -> Self {
        let rows = Sorter::new(scratch, "units");
        Self { scratch, rows, strata: HashMap::new(), count: 0 }
    }

    /// Takes a row of a unit. The first row of a unit gives it its stratum and its order.
    pub(crate) fn push(
        &mut self,
        unit: u64,
        row: u64,
        stratum: u32,
        order: u64,
    ) -> Result<(), PrepareError> {
        self.count += 1;
        self.rows.push(record(&[
            &unit.to_be_bytes(),
            &row.to_be_bytes(),
            &stratum.to_be_bytes(),
            &order.to_be_bytes(),
        ]))
    }

    /// Tells the split of each unit.
    pub(crate) fn deal(
        mut self,
        shares: &Shares,
        cancel: &Cancel,
        mut tell: impl FnMut(u64, SplitName),
    ) -> Result<(), PrepareError> {
        let by_stratum = self.weigh(cancel)?;
        let mut places: Sorter<32> = Sorter::new(self.scratch, "places");
        let (mut stratum, mut before) = (None, 0);
        for unit in by_stratum.finish()? {
            let unit = unit?;
            let label = stratum_of(&unit, 0);
            before = if stratum == Some(label) { before } else { 0 };
            stratum = Some(label);
            let weight = number(&unit, 20);
            let total = self.strata.get(&label).copied().unwrap_or(1);
            let twice_middle = u128::from(before) * 2 + u128::from(weight);
            let share = (twice_middle << 62) / (u128::from(total) * 2);
            let share = u64::try_from(share).unwrap_or(u64::MAX).to_be_bytes();
            places.push(record(&[&share, unit.get(4..).unwrap_or_default()]))?;
            before += weight;
        }
        let mut before = 0;
        for (index, unit) in places.finish()?.enumerate() {
            let unit = unit?;
            if index.is_multiple_of(4096) {
                cancel.check()?;
            }
            let (name, weight) = (number(&unit, 16), number(&unit, 24));
            let middle = before + (weight - 1) / 2;
            tell(name, shares.cut(u128::from(middle), u128::from(self.count)));
            before += weight;
        }
        Ok(())
    }

    /// Units by stratum and order, with the number of their rows.
    fn weigh(&mut self, cancel: &Cancel) -> Result<Sorter<28>, PrepareError> {
        // Stratum, order, unit, weight.
        let mut units: Sorter<28> = Sorter::new(self.scratch, "strata");
        let rows = std::mem::replace(&mut self.rows, Sorter::new(self.scratch, "none"));
        let mut end = |(first, weight): ([u8; 28], u64)| {
            *self.strata.entry(stratum_of(&first, 16)).or_default() += weight;
            let (head, rest) = (first.get(..8).unwrap_or_default(), first.get(16..));
            units.push(record(&[rest.unwrap_or_default(), head, &weight.to_be_bytes()]))
        };
        let mut unit: Option<([u8; 28], u64)> = None;
        for (index, row) in rows.finish()?.enumerate() {
            let row = row?;
            if index.is_multiple_of(4096) {
                cancel.check()?;
            }
            match &mut unit {
                Some((first, weight)) if first.get(..8) == row.get(..8) => *weight += 1,
                _ => {
                    if let Some(ended) = unit.replace((row, 1)) {
                        end(ended)?;
                    }
                }
            }
        }
        if let Some(ended) = unit {
            end(ended)?;
        }
        Ok(units)
    }
}

fn stratum_of(record: &[u8], at: usize) -> u32 {
    let bytes = record.get(at..).and_then(|rest| rest.first_chunk::<4>());
    bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn deal(rows: &[(u64, u32)], shares: &Shares) -> BTreeMap<u64, SplitName> {
        let folder = tempfile::tempdir().unwrap();
        let mut ranking = Ranking::new(folder.path());
        for (row, (unit, stratum)) in (0u64..).zip(rows) {
            ranking.push(*unit, row, *stratum, unit.wrapping_mul(0x9e37_79b9_7f4a_7c15)).unwrap();
        }
        let mut dealt = BTreeMap::new();
        ranking
            .deal(shares, &Cancel::new(), |unit, split| {
                assert!(dealt.insert(unit, split).is_none());
            })
            .unwrap();
        dealt
    }

    #[test]
    fn shares_of_what_is_open() {
        assert!(Shares::new(0.8, 0.0, 0.0).are_all_train());
        assert!(!Shares::new(0.8, 0.1, 0.0).are_all_train());
        let shares = Shares::new(0.8, 0.1, 0.0);
        let splits: Vec<_> = (0..9).map(|place| shares.cut(place, 9)).collect();
        assert_eq!(splits.iter().filter(|split| **split == SplitName::Train).count(), 8);
        assert_eq!(splits[8], SplitName::Validation);
    }

    proptest! {
        #[test]
        fn shares_are_exact_overall_and_within_a_row_per_stratum(
            strata in prop::collection::vec(0u32..12, 1..400),
        ) {
            let rows: Vec<(u64, u32)> = (0u64..).zip(strata).collect();
            let dealt = deal(&rows, &Shares::new(0.7, 0.2, 0.1));
            prop_assert_eq!(dealt.len(), rows.len());
            let count = |split, label: Option<u32>| {
                let of = |(row, stratum): &&(u64, u32)| {
                    label.is_none_or(|label| label == *stratum) && dealt[row] == split
                };
                rows.iter().filter(of).count() as f64
            };
            let all = rows.len() as f64;
            prop_assert!((count(SplitName::Train, None) - 0.7 * all).abs() < 0.5 + 1e-9);
            prop_assert!((count(SplitName::Test, None) - 0.1 * all).abs() < 0.5 + 1e-9);
            for label in 0..12 {
                let of_label = rows.iter().filter(|(_, stratum)| *stratum == label).count() as f64;
                let found = count(SplitName::Train, Some(label));
                prop_assert!((found - 0.7 * of_label).abs() <= 1.5, "{found} of {of_label}");
            }
        }

        #[test]
        fn units_stay_together_and_their_rows_are_counted(
            sizes in prop::collection::vec(1u64..6, 20..100),
        ) {
            let rows: Vec<(u64, u32)> = (0u64..).zip(&sizes)
                .flat_map(|(unit, size)| (0..*size).map(move |_| (unit, 0))).collect();
            let dealt = deal(&rows, &Shares::new(0.5, 0.25, 0.25));
            prop_assert_eq!(dealt.len(), sizes.len());
            let train: u64 = (0u64..).zip(&sizes)
                .filter(|(unit, _)| dealt[unit] == SplitName::Train).map(|(_, size)| size).sum();
            // Off by at most half of the unit at the cut.
            prop_assert!((train as f64 - 0.5 * rows.len() as f64).abs() <= 3.5);
        }
    }
}
