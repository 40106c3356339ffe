//! Tables of numbers, names and days: rows become observations.
//!
//! They are held in memory, some hundred bytes each, as training holds them too. Rows that say the
//! same are as many observations: unlike texts, they are no copies of each other.

mod deal;
mod describe;
mod record;
mod series;

use std::{
    fs,
    path::{Path, PathBuf},
};

use mesh_core::{
    StepContext, Unit,
    features::FeatureSchema,
    manifest::{FeaturesTable, PrepareTable, SourceTable},
};
use mesh_dataset::{
    Dataset, DatasetSchema, Observation, SplitName, SplitStatistics, Statistics, write_observations,
};
use serde::Serialize;

use self::record::Record;
pub(crate) use self::record::is_missing;
use crate::{
    PrepareError, PrepareErrorKind,
    read::{Opened, Reject, Row, Selection},
    rejects::Rejects,
};

/// Makes observations of the rows of a source.
pub(crate) struct Observations<'a> {
    pub(crate) source: &'a SourceTable,
    pub(crate) prepare: &'a PrepareTable,
    pub(crate) context: &'a StepContext,
}

/// The files of a source, and which split the source gives to each.
type Files<'a> = (&'a [(String, PathBuf)], &'a dyn Fn(&str) -> Option<SplitName>);

/// Rows between two looks at whether to stop.
const CHECK_ROWS: u64 = 1024;

impl Observations<'_> {
    /// Reads all files and writes the dataset. `split_of` says which split the source gives to a
    /// file.
    pub(crate) fn run(
        &self,
        files: &[(String, PathBuf)],
        split_of: &dyn Fn(&str) -> Option<SplitName>,
        output: &Path,
    ) -> Result<Statistics, PrepareError> {
        let table = self.prepare.features.clone().unwrap_or_default();
        let mut statistics = Statistics::default();
        let mut rejects = Rejects::create(&output.join(Dataset::REJECTED))?;
        let records = self.read((files, split_of), &table, &mut rejects, &mut statistics)?;
        let (records, series) = match &self.prepare.series {
            None => (records, None),
            Some(series) => {
                let records = series::one_per_day(records, &mut rejects)?;
                let read = records.len();
                let records = series::with_history(records, series);
                statistics.left_out += (read - records.len()) as u64;
                (records, Some(series))
            }
        };
        statistics.rejected = rejects.finish(statistics.read, self.prepare.max_rejected)?;
        if statistics.read == 0 {
            return Err(PrepareError::new(PrepareErrorKind::NoRows));
        }
        let dealt = deal::deal(&records, &self.prepare.split);
        let mut splits: [Vec<Record>; 3] = Default::default();
        for (record, split) in records.into_iter().zip(dealt) {
            if let Some(records) = splits.get_mut(split as usize) {
                records.push(record);
            }
        }
        let target = &self.source.columns.label;
        let schema = describe::schema(&splits, target, &table, series)?;
        self.write(splits, &schema, output, statistics)
    }

    fn read(
        &self,
        (files, split_of): Files<'_>,
        table: &FeaturesTable,
        rejects: &mut Rejects,
        statistics: &mut Statistics,
    ) -> Result<Vec<Record>, PrepareError> {
        let selection = Selection::new(self.source, Some(table))?;
        let size = |path: &PathBuf| path.metadata().map_or(0, |found| found.len());
        let total = files.iter().map(|(_, path)| size(path)).sum();
        let task = self.context.progress.begin("read", Some(total), Unit::Bytes);
        let mut records = Vec::new();
        for (name, path) in files {
            task.note(&format!("read {}", name.rsplit('/').next().unwrap_or(name)));
            let given = split_of(name);
            let mut take = |row: Result<Row, Reject>| {
                if statistics.read.is_multiple_of(CHECK_ROWS) {
                    self.context.cancel.check()?;
                }
                statistics.read += 1;
                match row {
                    Ok(row) if row.left_out => statistics.left_out += 1,
                    Ok(row) => match Record::new(row, given, table, self.prepare) {
                        Ok(record) => records.push(record),
                        Err(reject) => rejects.push(reject)?,
                    },
                    Err(reject) => rejects.push(reject)?,
                }
                Ok(())
            };
            let (source, selection, progress) = (self.source, &selection, task.as_ref());
            Opened { name, path, source, selection, progress }.read(&mut take)?;
        }
        Ok(records)
    }

    fn write(
        &self,
        splits: [Vec<Record>; 3],
        schema: &FeatureSchema,
        output: &Path,
        mut statistics: Statistics,
    ) -> Result<Statistics, PrepareError> {
        let rows: usize = splits.iter().map(Vec::len).sum();
        let task = self.context.progress.begin("write the splits", Some(rows as u64), Unit::Items);
        for (split, records) in SplitName::ALL.into_iter().zip(splits) {
            self.context.cancel.check()?;
            let observations: Vec<Observation> =
                records.into_iter().map(Record::into_observation).collect();
            write_observations(&output.join(split.file_name()), schema, &observations)?;
            let rows = observations.len() as u64;
            let counted = SplitStatistics { rows, ..SplitStatistics::default() };
            statistics.splits.insert(split.to_string(), counted);
            task.advance(rows);
        }
        write_json(&output.join(FeatureSchema::FILE), schema)?;
        write_json(&output.join(Dataset::SCHEMA), &DatasetSchema::observations(schema))?;
        write_json(&output.join(Dataset::STATISTICS), &statistics)?;
        Ok(statistics)
    }
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), PrepareError> {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    fs::write(path, text).map_err(|error| PrepareError::io(path, error))
}
