//! What a row of a table is made of, for models that tell a number from others.
//!
//! One description serves three: prepare writes it, the model is trained on the numbers that it
//! makes of a row, and a service checks requests by it. So a feature that was trained on and one
//! that is asked about cannot differ.

use std::collections::BTreeMap;

use chrono::{Datelike, Days, NaiveDate};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::FieldError;

/// The version of the format of [`FeatureSchema`].
pub const FEATURES_FORMAT: u32 = 1;

/// `features.json`: the fields of a row, their types and ranges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSchema {
    /// The version of this format: [`FEATURES_FORMAT`].
    pub format: u32,
    /// The name of the number that is told.
    pub target: String,
    /// The fields, in the order of their columns.
    pub fields: Vec<Field>,
    /// Fields that are the number on days before, in its unit.
    pub history: Vec<String>,
    /// The one of them that is what the seasonal-naive baseline tells, if there is one.
    pub baseline: Option<String>,
    /// A row that can be asked about.
    pub sample: BTreeMap<String, Value>,
}

/// A field of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it means, in a sentence.
    pub description: String,
    /// What it holds.
    pub kind: FieldKind,
    /// Whether it may be null: the dataset has rows without it.
    pub optional: bool,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum FieldKind {
    /// A number: one column.
    Number {
        /// The least and the greatest of the training split.
        seen: [f64; 2],
        /// The least and the greatest that is answered.
        accepted: [f64; 2],
    },
    /// One of some names: one column, with their places in the list.
    Category {
        /// The names of the training split, sorted.
        values: Vec<String>,
    },
    /// A day, as `2016-12-31`: a column for each of [`CALENDAR`].
    Date {
        /// The first and the last of the training split.
        seen: [NaiveDate; 2],
        /// The first and the last that is answered.
        accepted: [NaiveDate; 2],
    },
}

/// What a date is told by: the day of the week (0 is Monday), of the month and of the year, and
/// the month.
pub const CALENDAR: [&str; 4] = ["weekday", "day", "day_of_year", "month"];

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// There is none.
    Missing,
    /// A number.
    Number(f64),
    /// A name or a date.
    Text(String),
}

/// A column of numbers that a model is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureColumn {
    /// Its name: the field's, and for a date what of it.
    pub name: String,
    /// How many categories it has, if its numbers are their places.
    pub categories: Option<usize>,
}

/// Why a value cannot be asked about.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum WrongValue {
    /// There is none.
    #[error("it is required")]
    Missing,
    /// It is null, and never was when the model was trained.
    #[error("it is null, which it never was in the dataset")]
    Null,
    /// It is no number.
    #[error("expected a number")]
    NotANumber,
    /// It is infinite, or no number in the sense of IEEE 754.
    #[error("expected a finite number")]
    NotFinite,
    /// It is far from everything that the model was trained on.
    #[error(
        "{value} is not in {} to {}; the model was trained on {} to {}",
        accepted[0], accepted[1], seen[0], seen[1]
    )]
    OutOfRange {
        /// The value.
        value: f64,
        /// What is answered.
        accepted: [f64; 2],
        /// What the model was trained on.
        seen: [f64; 2],
    },
    /// It is no text.
    #[error("expected a text")]
    NotAText,
    /// It is none of the names.
    #[error("`{value}` is not known here; known are: {known}")]
    UnknownCategory {
        /// The value, shortened.
        value: String,
        /// Those that are known, the first of them if they are many.
        known: String,
    },
    /// It is no date.
    #[error("expected a date such as 2016-12-31")]
    NotADate,
    /// It is far from every day that the model was trained on.
    #[error(
        "{value} is not in {} to {}; the model was trained on {} to {}",
        accepted[0], accepted[1], seen[0], seen[1]
    )]
    DateOutOfRange {
        /// The value.
        value: NaiveDate,
        /// What is answered.
        accepted: [NaiveDate; 2],
        /// What the model was trained on.
        seen: [NaiveDate; 2],
    },
}

/// Characters of a name, and names of a list, that an error repeats.
const TOLD: usize = 40;

impl FeatureSchema {
    /// The file in a dataset, a model and a compiled model.
    pub const FILE: &str = "features.json";

    /// The columns that a model is given.
    #[must_use]
    pub fn columns(&self) -> Vec<FeatureColumn> {
        self.fields.iter().flat_map(Field::columns).collect()
    }

    /// Adds the numbers of a row, as many as there are columns, to `row`. `cells` are in the order
    /// of the fields; what is missing or unknown is NaN.
    pub fn encode(&self, cells: &[Cell], row: &mut Vec<f64>) {
        for (at, field) in self.fields.iter().enumerate() {
            field.encode(cells.get(at).unwrap_or(&Cell::Missing), row);
        }
    }

    /// The cells of a row that somebody asks about, in the order of the fields.
    ///
    /// # Errors
    /// All that is wrong with it: unknown and missing fields, wrong types, values out of range.
    /// `path` is where the row stands in the request.
    pub fn read(
        &self,
        row: &Map<String, Value>,
        path: &[&str],
    ) -> Result<Vec<Cell>, Vec<FieldError>> {
        let mut errors = Vec::new();
        let at = |name: &str| path.iter().copied().chain([name]).map(str::to_owned).collect();
        for name in row.keys().filter(|name| self.fields.iter().all(|field| field.name != **name)) {
            let known: Vec<_> =
                self.fields.iter().map(|field| format!("`{}`", field.name)).collect();
            let msg =
                format!("`{}` is not known here; known are: {}", brief(name), known.join(", "));
            errors.push(FieldError { loc: at(name), msg, kind: "unknown" });
        }
        let mut cells = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            let given = row.get(&field.name);
            match given.ok_or(WrongValue::Missing).and_then(|given| field.read(given)) {
                Ok(cell) => cells.push(cell),
                Err(wrong) => {
                    let kind = if wrong == WrongValue::Missing { "missing" } else { "invalid" };
                    let msg = format!("`{}`: {wrong}", field.name);
                    errors.push(FieldError { loc: at(&field.name), msg, kind });
                }
            }
        }
        if errors.is_empty() { Ok(cells) } else { Err(errors) }
    }

    /// The JSON schema of a row.
    #[must_use]
    pub fn json_schema(&self) -> Value {
        let properties: Map<String, Value> =
            self.fields.iter().map(|field| (field.name.clone(), field.json_schema())).collect();
        let required: Vec<&String> = self.fields.iter().map(|field| &field.name).collect();
        json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }
}

impl Field {
    fn columns(&self) -> Vec<FeatureColumn> {
        let column = |name: String, categories| FeatureColumn { name, categories };
        match &self.kind {
            FieldKind::Number { .. } => vec![column(self.name.clone(), None)],
            FieldKind::Category { values } => vec![column(self.name.clone(), Some(values.len()))],
            FieldKind::Date { .. } => {
                CALENDAR.iter().map(|part| column(format!("{}.{part}", self.name), None)).collect()
            }
        }
    }

    fn encode(&self, cell: &Cell, row: &mut Vec<f64>) {
        match (&self.kind, cell) {
            (FieldKind::Number { .. }, Cell::Number(number)) => row.push(*number),
            (FieldKind::Category { values }, Cell::Text(name)) => {
                let place = values.binary_search(name).ok().and_then(|at| u32::try_from(at).ok());
                row.push(place.map_or(f64::NAN, f64::from));
            }
            (FieldKind::Date { .. }, Cell::Text(text)) => {
                row.extend(parse_date(text).map_or([f64::NAN; CALENDAR.len()], calendar));
            }
            (FieldKind::Date { .. }, _) => row.extend([f64::NAN; CALENDAR.len()]),
            _ => row.push(f64::NAN),
        }
    }

    fn read(&self, given: &Value) -> Result<Cell, WrongValue> {
        if given.is_null() {
            return if self.optional { Ok(Cell::Missing) } else { Err(WrongValue::Null) };
        }
        match &self.kind {
            FieldKind::Number { seen, accepted } => {
                let value = given.as_f64().ok_or(WrongValue::NotANumber)?;
                if !value.is_finite() {
                    return Err(WrongValue::NotFinite);
                }
                if !(accepted[0]..=accepted[1]).contains(&value) {
                    let (accepted, seen) = (*accepted, *seen);
                    return Err(WrongValue::OutOfRange { value, accepted, seen });
                }
                Ok(Cell::Number(value))
            }
            FieldKind::Category { values } => {
                let name = given.as_str().ok_or(WrongValue::NotAText)?;
                if values.binary_search_by(|known| known.as_str().cmp(name)).is_err() {
                    let mut known =
                        values.iter().take(TOLD).cloned().collect::<Vec<_>>().join(", ");
                    if values.len() > TOLD {
                        known.push_str(&format!(" and {} more", values.len() - TOLD));
                    }
                    return Err(WrongValue::UnknownCategory { value: brief(name), known });
                }
                Ok(Cell::Text(name.to_owned()))
            }
            FieldKind::Date { seen, accepted } => {
                let text = given.as_str().ok_or(WrongValue::NotADate)?;
                let value = parse_date(text).ok_or(WrongValue::NotADate)?;
                if !(accepted[0]..=accepted[1]).contains(&value) {
                    let (accepted, seen) = (*accepted, *seen);
                    return Err(WrongValue::DateOutOfRange { value, accepted, seen });
                }
                Ok(Cell::Text(text.to_owned()))
            }
        }
    }

    fn json_schema(&self) -> Value {
        let types = |name: &str| if self.optional { json!([name, "null"]) } else { json!(name) };
        let mut schema = match &self.kind {
            FieldKind::Number { accepted, .. } => {
                json!({ "type": types("number"), "minimum": accepted[0], "maximum": accepted[1] })
            }
            FieldKind::Category { values } => {
                let mut values: Vec<Value> = values.iter().map(|value| json!(value)).collect();
                if self.optional {
                    values.push(Value::Null);
                }
                json!({ "enum": values })
            }
            FieldKind::Date { .. } => json!({ "type": types("string"), "format": "date" }),
        };
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("description".into(), json!(self.told()));
        }
        schema
    }

    /// What it means, and what the model has seen of it.
    fn told(&self) -> String {
        match &self.kind {
            FieldKind::Number { seen: [least, most], .. } => {
                format!("{}; trained on {least} to {most}", self.description)
            }
            FieldKind::Date { seen: [first, last], accepted: [from, to] } => {
                format!(
                    "{}; trained on {first} to {last}, answered from {from} to {to}",
                    self.description
                )
            }
            FieldKind::Category { .. } => self.description.clone(),
        }
    }
}

impl FieldKind {
    /// A number of which the training split and the whole dataset have these, and which is
    /// answered so many of the dataset's ranges beyond them. What is never negative there is not
    /// answered below zero.
    #[must_use]
    pub fn number(seen: [f64; 2], [least, most]: [f64; 2], margin: f64) -> Self {
        let beyond = (most - least).max(f64::MIN_POSITIVE) * margin;
        let low = if least >= 0.0 { (least - beyond).max(0.0) } else { least - beyond };
        Self::Number { seen, accepted: [low, most + beyond] }
    }

    /// A date of which the training split and the whole dataset have these, and which is answered
    /// so many of the dataset's ranges beyond them.
    #[must_use]
    pub fn date(seen: [NaiveDate; 2], [first, last]: [NaiveDate; 2], margin: f64) -> Self {
        let days = u64::try_from((last - first).num_days()).unwrap_or(0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "days of the calendar"
        )]
        let beyond = Days::new((days as f64 * margin) as u64);
        let from = first.checked_sub_days(beyond).unwrap_or(first);
        let to = last.checked_add_days(beyond).unwrap_or(last);
        Self::Date { seen, accepted: [from, to] }
    }
}

impl Cell {
    /// The cell as it stands in JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Missing => Value::Null,
            Self::Number(number) => json!(number),
            Self::Text(text) => json!(text),
        }
    }
}

/// A date of ISO 8601; of a date with a time, the date.
#[must_use]
pub fn parse_date(text: &str) -> Option<NaiveDate> {
    let text = text.trim();
    let date = text.split_once(['T', ' ']).map_or(text, |(date, _)| date);
    // chrono takes `2016-1-1` and `+2016-01-01` too, which do not sort as they should.
    (date.len() == 10).then(|| NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()).flatten()
}

fn calendar(date: NaiveDate) -> [f64; CALENDAR.len()] {
    let weekday = date.weekday().num_days_from_monday();
    [weekday, date.day(), date.ordinal(), date.month()].map(f64::from)
}

fn brief(text: &str) -> String {
    text.chars().take(TOLD).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        parse_date(text).unwrap()
    }

    fn schema() -> FeatureSchema {
        let field = |name: &str, kind, optional| Field {
            name: name.into(),
            description: format!("The {name}"),
            kind,
            optional,
        };
        let dates = [day("2015-01-01"), day("2016-01-01")];
        FeatureSchema {
            format: FEATURES_FORMAT,
            target: "visits".into(),
            fields: vec![
                field("price", FieldKind::number([1.0, 3.0], [1.0, 3.0], 1.0), false),
                field("shop", FieldKind::Category { values: vec!["a".into(), "b".into()] }, false),
                field("day", FieldKind::date(dates, dates, 1.0), false),
                field("visits_lag_7", FieldKind::number([-5.0, 5.0], [-5.0, 5.0], 0.5), true),
            ],
            history: vec!["visits_lag_7".into()],
            baseline: Some("visits_lag_7".into()),
            sample: BTreeMap::new(),
        }
    }

    fn read(row: Value) -> Result<Vec<Cell>, Vec<String>> {
        let path = ["data", "attributes", "input[0]"];
        let told = |errors: Vec<FieldError>| errors.iter().map(ToString::to_string).collect();
        schema().read(row.as_object().unwrap(), &path).map_err(told)
    }

    #[test]
    fn a_row_becomes_numbers() {
        let cells =
            read(json!({"price": 2, "shop": "b", "day": "2016-02-29", "visits_lag_7": null}))
                .unwrap();
        let mut row = Vec::new();
        schema().encode(&cells, &mut row);
        // 2016-02-29 was a Monday.
        assert_eq!(row[..6], [2.0, 1.0, 0.0, 29.0, 60.0, 2.0]);
        assert!(row[6].is_nan());
        assert_eq!(schema().columns().len(), row.len());
        let names: Vec<String> = schema().columns().into_iter().map(|c| c.name).collect();
        assert_eq!(names[2..6], ["day.weekday", "day.day", "day.day_of_year", "day.month"]);
    }

    #[test]
    fn everything_wrong_is_told_by_its_field() {
        struct Case(&'static str, Value, &'static str);
        let cases = [
            Case("price", json!(null), "is null, which it never was"),
            Case("price", json!("2"), "expected a number"),
            Case("price", json!(5.1), "5.1 is not in 0 to 5; the model was trained on 1 to 3"),
            Case("price", json!(-0.1), "is not in 0 to 5"),
            Case("shop", json!("c"), "`c` is not known here; known are: a, b"),
            Case("shop", json!(1), "expected a text"),
            Case("day", json!("2016-13-01"), "expected a date such as"),
            Case("day", json!("2016-1-1"), "expected a date such as"),
            Case("day", json!(20160101), "expected a date such as"),
            Case("day", json!("2017-01-02"), "is not in 2014-01-01 to 2016-12-31"),
            Case("visits_lag_7", json!(11), "is not in -10 to 10"),
            Case("prize", json!(1), "`prize` is not known here; known are: `price`"),
        ];
        for Case(field, value, expected) in cases {
            let mut row = json!({"price": 2, "shop": "b", "day": "2016-02-29", "visits_lag_7": 1});
            row[field] = value;
            let errors = read(row).unwrap_err();
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].starts_with(&format!("data.attributes.input[0].{field}: ")));
            assert!(errors[0].contains(expected), "{errors:?}");
        }
        let errors = read(json!({"pric": 1})).unwrap_err();
        assert_eq!(errors.len(), 5, "{errors:?}");
        assert!(errors[4].ends_with("`visits_lag_7`: it is required"), "{errors:?}");
    }

    #[test]
    fn the_schema_of_a_row_says_what_is_checked() {
        let schema = schema().json_schema();
        assert_eq!(schema["required"], json!(["price", "shop", "day", "visits_lag_7"]));
        assert_eq!(schema["properties"]["price"]["maximum"], json!(5.0));
        assert_eq!(schema["properties"]["visits_lag_7"]["type"], json!(["number", "null"]));
        assert_eq!(schema["properties"]["shop"]["enum"], json!(["a", "b"]));
    }

    #[test]
    fn what_is_unknown_or_missing_is_nan() {
        let mut row = Vec::new();
        let cells = [Cell::Text("2".into()), Cell::Text("c".into()), Cell::Text("x".into())];
        schema().encode(&cells, &mut row);
        assert_eq!(row.len(), 7);
        assert!(row.iter().all(|value| value.is_nan()));
    }
}
