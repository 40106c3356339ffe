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
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnKind {
    /// There are none.
    Empty,
    /// All are numbers.
    Number,
    /// All are days.
    Date,
    /// Anything else.
    Text,
}

/// Rows that are looked at.
const ROWS: usize = 10_000;

/// Tells the columns of a table, in their order, by its first rows.
///
/// # Errors
/// When the file cannot be read in its format.
pub fn survey(path: &Path, format: Format) -> Result<Vec<SurveyedColumn>, PrepareError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut source = SourceTable::of(format!("file:{name}"), format);
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
}

impl Seen {
    fn add(&mut self, value: &str) {
        if crate::observations::is_missing(value) {
            return;
        }
        self.values += 1;
        self.numbers += usize::from(value.parse::<f64>().is_ok_and(f64::is_finite));
        self.dates += usize::from(parse_date(value).is_some());
        self.distinct.insert(value.to_owned());
    }

    fn tell(self, name: String) -> SurveyedColumn {
        let kind = match self.values {
            0 => ColumnKind::Empty,
            all if all == self.numbers => ColumnKind::Number,
            all if all == self.dates => ColumnKind::Date,
            _ => ColumnKind::Text,
        };
        SurveyedColumn { name, kind, distinct: self.distinct.len() }
    }
}
