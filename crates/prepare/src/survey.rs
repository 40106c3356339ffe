//! A look at a table before anybody wrote a manifest for it.

use std::{collections::BTreeSet, path::Path};

use mesh_core::{
    NoProgress, Progress, Unit,
    features::parse_date,
    manifest::{FeaturesTable, Format, SourceTable},
};

use crate::{
    PrepareError,
    read::{Opened, Selection, column_names},
};

/// A column of a table, by its first rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyedColumn {
    /// Its name.
    pub name: String,
    /// What its values are, as far as they go.
    pub kind: ColumnKind,
    /// How many different values it has.
    pub distinct: usize,
    /// The first value that is not of its kind or, of [`ColumnKind::Text`], that is no number.
    pub other: Option<String>,
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnKind {
    /// There are none.
    Empty,
    /// Numbers, but for a few that prepare rejects.
    Number,
    /// Days, but for a few that prepare rejects.
    Date,
    /// Anything else.
    Text,
}

/// Rows that are looked at.
const ROWS: usize = 10_000;

/// Tells the columns of a table, in their order, by its first rows. Without a delimiter its format
/// says how values are parted.
///
/// # Errors
/// When the file cannot be read in its format.
pub fn survey(
    path: &Path,
    format: Format,
    delimiter: Option<char>,
) -> Result<Vec<SurveyedColumn>, PrepareError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut source = SourceTable::of(format!("file:{name}"), format);
    source.delimiter = delimiter;
    let task = NoProgress.begin("look", None, Unit::Bytes);
    let progress = task.as_ref();
    let nothing = Selection::new(&source, None)?;
    let opened = Opened { name: &name, path, source: &source, selection: &nothing, progress };
    let names = column_names(&opened)?;
    let Some(first) = names.first().cloned() else { return Ok(Vec::new()) };
    source.columns.label = first;
    let all = FeaturesTable { categories: names.clone(), ..FeaturesTable::default() };
    let selection = Selection::new(&source, Some(&all))?;
    let opened = Opened { name: &name, path, source: &source, selection: &selection, progress };
    let mut seen: Vec<Seen> = names.iter().map(|_| Seen::default()).collect();
    let mut rows = 0;
    let read = opened.read(&mut |row| {
        if let Ok(row) = row {
            for (seen, value) in seen.iter_mut().zip(&row.features) {
                seen.add(value.as_deref().unwrap_or_default().trim());
            }
        }
        rows += 1;
        match rows < ROWS {
            true => Ok(()),
            // Enough is seen: it is no error.
            false => Err(mesh_core::Interrupted.into()),
        }
    });
    match read {
        Err(error) if rows < ROWS => Err(error),
        _ => Ok(names.into_iter().zip(seen).map(|(name, seen)| seen.tell(name)).collect()),
    }
}

#[derive(Default)]
struct Seen {
    values: usize,
    numbers: usize,
    dates: usize,
    distinct: BTreeSet<String>,
    no_number: Option<String>,
    no_date: Option<String>,
}

/// The share of values that make a column one of their kind: as many others as prepare takes.
const MOST: f64 = 0.95;

impl Seen {
    fn add(&mut self, value: &str) {
        if crate::observations::is_missing(value) {
            return;
        }
        self.values += 1;
        // An infinite one is a number that is wrong, not a name.
        let (number, date) = (value.parse::<f64>().is_ok(), parse_date(value).is_some());
        self.numbers += usize::from(number);
        self.dates += usize::from(date);
        if !number {
            self.no_number.get_or_insert_with(|| value.to_owned());
        }
        if !date {
            self.no_date.get_or_insert_with(|| value.to_owned());
        }
        self.distinct.insert(value.to_owned());
    }

    fn tell(self, name: String) -> SurveyedColumn {
        #[expect(clippy::cast_precision_loss, reason = "counts of rows")]
        let are_most = |count: usize| count as f64 >= MOST * self.values as f64;
        let (kind, other) = match self.values {
            0 => (ColumnKind::Empty, None),
            _ if are_most(self.numbers) => (ColumnKind::Number, self.no_number),
            _ if are_most(self.dates) => (ColumnKind::Date, self.no_date),
            _ => (ColumnKind::Text, self.no_number),
        };
        SurveyedColumn { name, kind, distinct: self.distinct.len(), other }
    }
}
