use std::path::PathBuf;

use globset::{GlobBuilder, GlobMatcher};
use mesh_core::{
    ArtifactKind, Inputs, Interrupted, NoProgress, Progress, Step, StepContext, StepError,
    StepName, StepOutcome, StepOutput, Unit,
    manifest::{Format, PrepareTable, ProjectManifest, SourceTable, TaskName},
};
use mesh_dataset::{SplitName, Statistics};
use serde_json::{Value, json};

use crate::{
    PrepareError, PrepareErrorKind,
    deal::Dealer,
    duplicates::{Search, Verdict},
    observations::Observations,
    read::{Opened, Selection, check_names, column_names},
    stage::Stager,
    write::write_splits,
};

/// The prepare step of a project.
#[derive(Debug, Clone)]
pub struct Prepare {
    source: SourceTable,
    table: PrepareTable,
    /// Whether labels are the tags of tokens.
    tagged: bool,
    /// Whether rows are observations of numbers, names and days, rather than documents.
    observed: bool,
}

/// Raised whenever the same source and options would give another dataset.
const VERSION: u32 = 5;

impl Prepare {
    /// The prepare step of a manifest, if it has one.
    #[must_use]
    pub fn new(manifest: &ProjectManifest) -> Option<Self> {
        let tagged = manifest.project.task == TaskName::TokenClassification;
        let observed = manifest.project.task == TaskName::Regression;
        let (source, table) = (manifest.source.clone()?, manifest.prepare.clone()?);
        Some(Self { source, table, tagged, observed })
    }

    fn prepare(
        &self,
        inputs: &Inputs,
        output: &StepOutput,
        context: &StepContext,
    ) -> Result<Statistics, PrepareError> {
        let patterns = self.patterns(inputs)?;
        let files: Vec<_> = inputs
            .files("source")
            .iter()
            .filter(|(name, _)| patterns.is_empty() || split_of(&patterns, name).is_some())
            .cloned()
            .collect();
        if self.observed {
            let (source, prepare) = (&self.source, &self.table);
            let statistics = Observations { source, prepare, context }.run(
                &files,
                &|name| split_of(&patterns, name),
                &output.dir,
            )?;
            self.check(&statistics)?;
            return Ok(statistics);
        }
        let places = (output.scratch.as_path(), output.dir.as_path());
        let stager = Stager::new(&self.source, &self.table, self.tagged, places, context)?;
        let (staged, candidates) = stager.run(&files, &|name| split_of(&patterns, name))?;
        let mut verdicts = vec![Verdict::Undecided; usize::try_from(staged.rows).unwrap_or(0)];
        let search = Search { options: &self.table.deduplicate, context };
        let (duplicates, clusters) = search.run(candidates, &mut verdicts)?;
        let dealer =
            Dealer { staged: &staged, prepare: &self.table, scratch: &output.scratch, context };
        let leakage = dealer.deal(&mut verdicts, &clusters)?;
        let statistics = Statistics {
            read: staged.read,
            rejected: staged.rejected.clone(),
            left_out: staged.left_out,
            duplicates,
            leakage,
            ..Statistics::default()
        };
        let place = (output.dir.as_path(), self.tagged, context);
        let statistics = write_splits(&staged, &verdicts, &clusters, place, statistics)?;
        self.check(&statistics)?;
        Ok(statistics)
    }

    /// Whether the first file of a source has the columns that the manifest names, where a file
    /// says which it has. Its rows are not read.
    ///
    /// # Errors
    /// When the file cannot be read in its format, or has no such column.
    pub fn check_columns(&self, files: &[(String, PathBuf)]) -> Result<(), PrepareError> {
        let tables = [Format::Csv, Format::Tsv, Format::Parquet];
        let Some((name, path)) = files.first().filter(|_| tables.contains(&self.source.format))
        else {
            return Ok(());
        };
        let features = self.observed.then(|| self.table.features.clone().unwrap_or_default());
        let selection = &Selection::new(&self.source, features.as_ref())?;
        let task = NoProgress.begin("look", None, Unit::Bytes);
        let (source, progress) = (&self.source, task.as_ref());
        let file = Opened { name, path, source, selection, progress };
        check_names(&file, &column_names(&file)?)
    }

    /// The patterns of files that the source gives to splits.
    fn patterns(&self, inputs: &Inputs) -> Result<Vec<(SplitName, GlobMatcher)>, PrepareError> {
        let Some(splits) = &self.source.splits else { return Ok(Vec::new()) };
        let given = [
            (SplitName::Train, Some(&splits.train)),
            (SplitName::Validation, splits.validation.as_ref()),
            (SplitName::Test, splits.test.as_ref()),
        ];
        let mut patterns = Vec::new();
        for (split, pattern) in given {
            let Some(pattern) = pattern else { continue };
            let glob = GlobBuilder::new(pattern).literal_separator(true).build();
            let matcher = glob
                .map_err(|error| {
                    PrepareError::new(PrepareErrorKind::NoFiles(pattern.clone())).because(error)
                })?
                .compile_matcher();
            if !inputs.files("source").iter().any(|(name, _)| matcher.is_match(name)) {
                return Err(PrepareError::new(PrepareErrorKind::NoFiles(pattern.clone())));
            }
            patterns.push((split, matcher));
        }
        Ok(patterns)
    }

    /// Whether what was asked for is there: a split with a share has documents, and if there
    /// are labels there are two to learn.
    fn check(&self, statistics: &Statistics) -> Result<(), PrepareError> {
        let rows = |split: SplitName| statistics.splits.get(split.as_str()).map_or(0, |s| s.rows);
        let split = &self.table.split;
        let shares = [
            (SplitName::Train, split.train),
            (SplitName::Validation, split.validation),
            (SplitName::Test, split.test),
        ];
        for (name, share) in shares {
            if share > 0.0 && rows(name) == 0 {
                return Err(PrepareError::new(PrepareErrorKind::EmptySplit(name.to_string())));
            }
        }
        let train = statistics.splits.get(SplitName::Train.as_str());
        let mut labels = train.iter().flat_map(|train| train.labels.keys());
        if self.tagged && labels.next().is_none() {
            return Err(PrepareError::new(PrepareErrorKind::NoEntities));
        }
        if let (Some(only), None, false) = (labels.next(), labels.next(), self.tagged) {
            return Err(PrepareError::new(PrepareErrorKind::SingleLabel(only.clone())));
        }
        Ok(())
    }
}

fn split_of(patterns: &[(SplitName, GlobMatcher)], name: &str) -> Option<SplitName> {
    patterns.iter().find(|(_, pattern)| pattern.is_match(name)).map(|(split, _)| *split)
}

impl Step for Prepare {
    fn name(&self) -> StepName {
        StepName::Prepare
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn produces(&self) -> ArtifactKind {
        ArtifactKind::Dataset
    }

    fn parameters(&self) -> Value {
        // Where the source comes from does not matter, only what is in it: its digest is an
        // input.
        let mut source = json!(self.source);
        if let Some(source) = source.as_object_mut() {
            source.remove("url");
            source.remove("sha256");
        }
        let (tagged, observed) = (self.tagged, self.observed);
        json!({ "source": source, "prepare": self.table, "tagged": tagged, "observed": observed })
    }

    fn run(
        &self,
        inputs: &Inputs,
        output: &StepOutput,
        context: &StepContext,
    ) -> Result<StepOutcome, StepError> {
        let statistics =
            self.prepare(inputs, output, context).map_err(|error| match error.kind {
                PrepareErrorKind::Interrupted => {
                    StepError::interrupted(context, StepName::Prepare, Interrupted)
                }
                _ => StepError::failed(context, StepName::Prepare, error),
            })?;
        let rows: serde_json::Map<String, Value> = statistics
            .splits
            .iter()
            .map(|(split, found)| (split.clone(), found.rows.into()))
            .collect();
        let labels: std::collections::BTreeSet<&String> =
            statistics.splits.values().flat_map(|split| split.labels.keys()).collect();
        let summary = json!({
            "rows": rows,
            "read": statistics.read,
            "rejected": statistics.rejected,
            "left_out": statistics.left_out,
            "labels": labels,
            "duplicates": statistics.duplicates.dropped,
            "near_duplicates": { "clusters": statistics.leakage.clusters,
                "moved": statistics.leakage.moved, "dropped": statistics.leakage.dropped },
        });
        Ok(StepOutcome { summary, report: Value::Null })
    }
}
