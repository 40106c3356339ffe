//! What the fields of a table are: their types and categories by the training split, what is
//! answered by all splits, so that no row of the dataset is out of range.

use std::collections::{BTreeMap, BTreeSet};

use mesh_core::{
    features::{Cell, FEATURES_FORMAT, FeatureSchema, Field, FieldKind, parse_date},
    manifest::{FeaturesTable, SeriesTable},
};
use serde_json::Value;

use super::record::Record;
use crate::{PrepareError, PrepareErrorKind};

/// A field of which only the name is known.
struct Named {
    kind: &'static str,
    name: String,
    description: String,
}

/// The schema of records, the training split's first.
pub(super) fn schema(
    splits: &[Vec<Record>; 3],
    target: &str,
    table: &FeaturesTable,
    series: Option<&SeriesTable>,
) -> Result<FeatureSchema, PrepareError> {
    let [train, ..] = splits;
    let mut taken = BTreeSet::new();
    let mut fields = Vec::new();
    for (at, named) in names(target, table, series).into_iter().enumerate() {
        // The dataset has columns of its own, whose names begin so.
        if named.name.starts_with('_') || !taken.insert(named.name.clone()) {
            return Err(PrepareError::new(PrepareErrorKind::TakenName(named.name)));
        }
        let cells = || train.iter().filter_map(|record| record.cells.get(at));
        let all = || splits.iter().flatten().filter_map(|record| record.cells.get(at));
        let kind = kind(&named, cells(), all(), table)?;
        let optional = all().any(|cell| *cell == Cell::Missing);
        let Named { name, description, .. } = named;
        fields.push(Field { name, description, kind, optional });
    }
    // The last one of the training split: it can be asked about, as its values made the schema.
    let cells = train.last().map(|record| record.cells.as_slice()).unwrap_or_default();
    let value = |(field, cell): (&Field, &Cell)| (field.name.clone(), cell.to_json());
    let sample: BTreeMap<String, Value> = fields.iter().zip(cells).map(value).collect();
    let baseline = series.map(|series| lag(target, series.baseline_lag()));
    let baseline = baseline.filter(|name| fields.iter().any(|field| field.name == *name));
    let source = table.columns().count();
    let history = fields.iter().skip(source).map(|field| field.name.clone()).collect();
    let (format, target) = (FEATURES_FORMAT, target.to_owned());
    Ok(FeatureSchema { format, target, fields, history, baseline, sample })
}

/// The name of what the target was so many days before.
fn lag(target: &str, days: u32) -> String {
    format!("{target}_lag_{days}")
}

fn names(target: &str, table: &FeaturesTable, series: Option<&SeriesTable>) -> Vec<Named> {
    let of_source = table.columns().map(|(kind, name)| Named {
        kind,
        name: name.clone(),
        description: format!("`{name}` of the source"),
    });
    let mut named: Vec<Named> = of_source.collect();
    let Some(series) = series else { return named };
    let made = |name: String, description: String| Named { kind: "numbers", name, description };
    named.extend(series.lags.iter().map(|days| {
        let description = format!("`{target}` {days} days before the day that is told");
        made(lag(target, *days), description)
    }));
    named.extend(series.windows.iter().map(|window| {
        let last = series.horizon;
        let description =
            format!("mean of `{target}` over {window} days, the last of them {last} days before");
        made(format!("{target}_mean_{window}"), description)
    }));
    named
}

fn kind<'a>(
    named: &Named,
    train: impl Iterator<Item = &'a Cell>,
    all: impl Iterator<Item = &'a Cell>,
    table: &FeaturesTable,
) -> Result<FieldKind, PrepareError> {
    let none = || PrepareError::new(PrepareErrorKind::NoValues(named.name.clone()));
    let texts = |cell: &'a Cell| match cell {
        Cell::Text(text) => Some(text),
        _ => None,
    };
    match named.kind {
        "categories" => {
            let values: BTreeSet<&String> = train.filter_map(texts).collect();
            let (column, found) = (named.name.clone(), values.len());
            if found > table.max_categories {
                let kind = PrepareErrorKind::TooManyCategories { column, found };
                return Err(PrepareError::new(kind));
            }
            if values.is_empty() {
                return Err(none());
            }
            Ok(FieldKind::Category { values: values.into_iter().cloned().collect() })
        }
        "dates" => {
            let day = |cell| texts(cell).and_then(|text| parse_date(text));
            let seen = ends(train.filter_map(day)).ok_or_else(none)?;
            let all = ends(all.filter_map(day)).unwrap_or(seen);
            Ok(FieldKind::date(seen, all, table.margin))
        }
        _ => {
            let number = |cell: &Cell| match cell {
                Cell::Number(number) => Some(*number),
                _ => None,
            };
            let seen = ends(train.filter_map(number)).ok_or_else(none)?;
            let all = ends(all.filter_map(number)).unwrap_or(seen);
            Ok(FieldKind::number(seen, all, table.margin))
        }
    }
}

/// The least and the greatest.
fn ends<T: PartialOrd + Copy>(mut values: impl Iterator<Item = T>) -> Option<[T; 2]> {
    let first = values.next()?;
    Some(values.fold([first, first], |[least, most], value| {
        [if value < least { value } else { least }, if value > most { value } else { most }]
    }))
}
