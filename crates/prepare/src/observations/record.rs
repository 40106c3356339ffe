use chrono::NaiveDate;
use mesh_core::{
    Digest,
    features::{Cell, parse_date},
    manifest::{FeaturesTable, PrepareTable, SplitMethod},
};
use mesh_dataset::{Observation, SplitName};

use crate::{
    read::{Reject, Row},
    stage::brief,
    time::time_key,
};

/// A row whose values have their types.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) origin: String,
    pub(super) group: Option<String>,
    /// What it is sorted by, if the split is by time.
    pub(super) time: u64,
    /// Its day, in a series.
    pub(super) day: Option<NaiveDate>,
    pub(super) cells: Vec<Cell>,
    pub(super) target: f64,
    pub(super) baseline: Option<f64>,
    /// The split that the source gives.
    pub(super) split: Option<SplitName>,
}

/// What stands for no value in tables.
const MISSING: [&str; 8] = ["", "na", "n/a", "nan", "null", "none", "?", "-"];

impl Record {
    /// Gives the values of a row their types.
    pub(super) fn new(
        row: Row,
        given: Option<SplitName>,
        table: &FeaturesTable,
        prepare: &PrepareTable,
    ) -> Result<Self, Reject> {
        let start = row.features.iter().flatten().cloned().collect::<Vec<_>>().join(" ");
        let at = |reject: Reject| reject.at(row.origin.clone(), start.as_bytes());
        let label = row.label.as_deref().unwrap_or_default();
        let target = match number(label) {
            Ok(Cell::Number(target)) => target,
            Ok(_) => return Err(at(Reject::new("no-label", "there is no number to be told"))),
            Err(reject) => return Err(at(reject)),
        };
        let mut cells = Vec::with_capacity(row.features.len());
        for ((kind, name), value) in table.columns().zip(&row.features) {
            let value = value.as_deref().unwrap_or_default().trim();
            let cell = match kind {
                "numbers" => number(value),
                "dates" => date(value),
                _ => Ok(text(value)),
            };
            cells.push(cell.map_err(|mut reject| {
                reject.detail = format!("`{name}`: {}", reject.detail);
                at(reject)
            })?);
        }
        let split = match row.split.as_deref() {
            Some(given) => Some(
                given.trim().parse().map_err(|error| at(Reject::new("unknown-split", error)))?,
            ),
            None => given,
        };
        let time = row.time.as_deref().unwrap_or_default();
        let day = match prepare.series.is_some() {
            false => None,
            true => Some(parse_date(time).ok_or_else(|| {
                at(Reject::new("not-a-date", format!("`{}` is no day of a series", brief(time))))
            })?),
        };
        let by_time = prepare.split.method == SplitMethod::ByTime;
        let time = match by_time {
            false => 0,
            true => time_key(time).ok_or_else(|| {
                let detail = format!("`{}` is no date, time or number", brief(time));
                at(Reject::new("not-a-time", detail))
            })?,
        };
        let group = row.group.map(|group| group.trim().to_owned());
        let group = group.filter(|group| !group.is_empty());
        Ok(Self { origin: row.origin, group, time, day, cells, target, baseline: None, split })
    }

    /// The same for rows that say the same, wherever they stand.
    pub(super) fn digest(&self) -> Digest {
        let Self { group, time, day, cells, target, split, .. } = self;
        Digest::of(format!("{group:?} {time} {day:?} {cells:?} {target} {split:?}").as_bytes())
    }

    pub(super) fn into_observation(self) -> Observation {
        let Self { origin, group, day, cells, target, baseline, .. } = self;
        let day = day.map(|day| day.to_string());
        Observation { origin, group, day, cells, target, baseline }
    }
}

/// Whether a value of a table stands for none.
pub(crate) fn is_missing(value: &str) -> bool {
    MISSING.contains(&value.to_ascii_lowercase().as_str())
}

fn number(value: &str) -> Result<Cell, Reject> {
    let value = value.trim();
    if is_missing(value) {
        return Ok(Cell::Missing);
    }
    match value.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Cell::Number(number)),
        Ok(_) => Err(Reject::new("not-finite", format!("`{}` is not finite", brief(value)))),
        Err(_) => Err(Reject::new("not-a-number", format!("`{}` is no number", brief(value)))),
    }
}

fn date(value: &str) -> Result<Cell, Reject> {
    if is_missing(value) {
        return Ok(Cell::Missing);
    }
    let detail = || format!("`{}` is no date such as 2016-12-31", brief(value));
    let date = parse_date(value).ok_or_else(|| Reject::new("not-a-date", detail()))?;
    Ok(Cell::Text(date.to_string()))
}

fn text(value: &str) -> Cell {
    if is_missing(value) { Cell::Missing } else { Cell::Text(value.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_types_or_reasons() {
        assert_eq!(number(" 1e3 ").unwrap(), Cell::Number(1000.0));
        for missing in ["", "NA", "NaN", "null", "?"] {
            assert_eq!(number(missing).unwrap(), Cell::Missing, "{missing}");
            assert_eq!(text(missing), Cell::Missing, "{missing}");
        }
        for (value, reason) in [
            ("inf", "not-finite"),
            ("-Infinity", "not-finite"),
            ("1e999", "not-finite"),
            ("1,5", "not-a-number"),
            ("0x10", "not-a-number"),
        ] {
            assert_eq!(number(value).unwrap_err().reason, reason, "{value}");
        }
        assert_eq!(date("2016-02-29T10:00:00Z").unwrap(), Cell::Text("2016-02-29".into()));
        assert_eq!(date("2015-02-29").unwrap_err().reason, "not-a-date");
    }
}
