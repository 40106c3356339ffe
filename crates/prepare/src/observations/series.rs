//! What a number was on days before.

use std::collections::{BTreeMap, HashMap};

use chrono::{Days, NaiveDate};
use mesh_core::{features::Cell, manifest::SeriesTable};

use super::record::Record;
use crate::{PrepareError, read::Reject, rejects::Rejects};

type History = BTreeMap<NaiveDate, f64>;

/// Rejects rows of a day that is there already.
pub(super) fn one_per_day(
    records: Vec<Record>,
    rejects: &mut Rejects,
) -> Result<Vec<Record>, PrepareError> {
    let mut first: HashMap<(Option<String>, Option<NaiveDate>), String> = HashMap::new();
    let mut kept = Vec::with_capacity(records.len());
    for record in records {
        if let Some(origin) = first.get(&(record.group.clone(), record.day)) {
            let day = record.day.map_or_else(String::new, |day| day.to_string());
            let hint = match record.group {
                Some(_) => "",
                None => "; where there are several series, `columns.group` tells them apart",
            };
            let detail = format!("{day} of this series is in {origin} already{hint}");
            let start = record.group.unwrap_or_default();
            rejects.push(Reject::new("double-day", detail).at(record.origin, start.as_bytes()))?;
            continue;
        }
        first.insert((record.group.clone(), record.day), record.origin.clone());
        kept.push(record);
    }
    Ok(kept)
}

/// Adds what the number was on days before, to rows for which the baseline is known: those of the
/// first days of a series, and those after a gap, are left out.
pub(super) fn with_history(records: Vec<Record>, series: &SeriesTable) -> Vec<Record> {
    let mut histories: HashMap<Option<String>, History> = HashMap::new();
    for record in &records {
        if let Some(day) = record.day {
            histories.entry(record.group.clone()).or_default().insert(day, record.target);
        }
    }
    let mut kept = Vec::with_capacity(records.len());
    for mut record in records {
        let (Some(day), Some(history)) = (record.day, histories.get(&record.group)) else {
            continue;
        };
        let ago = |days: u32| {
            let then = day.checked_sub_days(Days::new(days.into()))?;
            history.get(&then).copied()
        };
        record.baseline = ago(series.baseline_lag());
        if record.baseline.is_none() {
            continue;
        }
        let cell = |value: Option<f64>| value.map_or(Cell::Missing, Cell::Number);
        record.cells.extend(series.lags.iter().map(|lag| cell(ago(*lag))));
        let mean = |window: &u32| {
            let days = (0..*window).filter_map(|back| ago(series.horizon + back));
            let (sum, count) = days.fold((0.0, 0u32), |(sum, count), v| (sum + v, count + 1));
            // Of fewer than half of the days it would be the mean of something else.
            cell((count * 2 >= *window).then(|| sum / f64::from(count)))
        };
        record.cells.extend(series.windows.iter().map(mean));
        kept.push(record);
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records(values: &[(u64, f64)]) -> Vec<Record> {
        let start = NaiveDate::from_ymd_opt(2016, 1, 1).unwrap();
        let record = |(day, target): &(u64, f64)| Record {
            origin: format!("a.csv:{day}"),
            group: None,
            time: *day,
            day: Some(start + Days::new(*day)),
            cells: Vec::new(),
            target: *target,
            baseline: None,
            split: None,
        };
        values.iter().map(record).collect()
    }

    fn table() -> SeriesTable {
        SeriesTable { horizon: 3, season: 2, lags: vec![3, 5], windows: vec![2, 4] }
    }

    #[test]
    fn lags_count_days_and_not_rows() {
        // Day 4 is not there.
        let days: Vec<(u64, f64)> =
            (0..10).filter(|day| *day != 4).map(|day| (day, day as f64)).collect();
        let found = with_history(records(&days), &table());
        assert_eq!(table().baseline_lag(), 4);
        let days: Vec<u64> = found.iter().map(|record| record.time).collect();
        // The baseline is four days ago: unknown for the first four days, and for day 8.
        assert_eq!(days, [5, 6, 7, 9]);
        let seven = &found[2];
        assert_eq!(seven.baseline, Some(3.0));
        let number = Cell::Number;
        // Three days ago is day 4; two days up to it are days 3 and 4, four are 1 to 4.
        assert_eq!(seven.cells, [Cell::Missing, number(2.0), number(3.0), number(2.0)]);
    }

    proptest! {
        /// Whatever happens from `horizon` days before on changes nothing of what is known.
        #[test]
        fn nothing_is_known_of_the_future(
            values in prop::collection::vec(0.0f64..100.0, 30..60),
            changed in 0usize..60,
            horizon in 1u32..10,
        ) {
            let series = SeriesTable {
                horizon, season: 7, lags: vec![horizon, 14], windows: vec![1, 7],
            };
            let rows = |values: &[f64]| -> Vec<(u64, f64)> {
                values.iter().enumerate().map(|(day, value)| (day as u64, *value)).collect()
            };
            let before = with_history(records(&rows(&values)), &series);
            let mut other = values.clone();
            let changed = changed % values.len();
            other[changed] += 1000.0;
            let after = with_history(records(&rows(&other)), &series);
            for (one, two) in before.iter().zip(&after) {
                let known = one.time < changed as u64 + u64::from(horizon);
                prop_assert!(!known || (&one.cells, one.baseline) == (&two.cells, two.baseline));
            }
        }
    }
}
