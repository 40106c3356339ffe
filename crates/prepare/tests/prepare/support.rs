use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use mesh_core::{
    Cancel, Digest, Inputs, NoProgress, SourceFiles, Step, StepContext, StepError, StepOutcome,
    StepOutput, manifest::ProjectManifest,
};
use mesh_dataset::{Dataset, Document, RejectedRow, SplitName, Statistics};
use mesh_prepare::Prepare;
use tempfile::TempDir;

/// A source on disk, and the places of a step.
pub(crate) struct Bench {
    folder: TempDir,
    files: Vec<(String, PathBuf)>,
    pub(crate) threads: usize,
    pub(crate) cancel: Cancel,
}

/// What a step left.
#[derive(Debug, PartialEq)]
pub(crate) struct Made {
    pub(crate) splits: BTreeMap<SplitName, Vec<Document>>,
    pub(crate) labels: Vec<String>,
    pub(crate) statistics: Statistics,
    pub(crate) rejected: Vec<RejectedRow>,
    pub(crate) summary: serde_json::Value,
}

impl Bench {
    pub(crate) fn new<T: AsRef<[u8]>>(files: &[(&str, T)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut bench = Self { folder, files: Vec::new(), threads: 2, cancel: Cancel::new() };
        for (name, content) in files {
            let path = bench.path("source").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            bench.files.push(((*name).to_owned(), path));
        }
        bench.files.sort();
        bench
    }

    pub(crate) fn over(files: Vec<(String, PathBuf)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, files, threads: 2, cancel: Cancel::new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the step with these lines of a manifest, `[source]` being open.
    pub(crate) fn run(&self, manifest: &str) -> Result<Made, StepError> {
        let (dir, scratch) = (self.path("output"), self.path("scratch"));
        for folder in [&dir, &scratch] {
            fs::create_dir_all(folder).unwrap();
        }
        let outcome =
            self.run_in(manifest, &StepOutput { dir: dir.clone(), scratch: scratch.clone() })?;
        let made = Made::read(&dir, outcome);
        for folder in [&dir, &scratch] {
            fs::remove_dir_all(folder).unwrap();
        }
        Ok(made)
    }

    pub(crate) fn run_in(
        &self,
        manifest: &str,
        output: &StepOutput,
    ) -> Result<StepOutcome, StepError> {
        let context = StepContext {
            project: "test".parse().unwrap(),
            threads: self.threads,
            progress: Arc::new(NoProgress),
            cancel: self.cancel.clone(),
            cache: None,
        };
        let files = SourceFiles { digest: Digest::of(b""), files: self.files.clone() };
        let sources = [("source".to_owned(), files)].into();
        let inputs = Inputs { sources, ..Inputs::default() };
        step(manifest).run(&inputs, output, &context)
    }

    /// What a failing run tells: the message of every cause, and the help.
    pub(crate) fn failure(&self, manifest: &str) -> String {
        tell(&self.run(manifest).unwrap_err())
    }
}

impl Made {
    fn read(dir: &Path, outcome: StepOutcome) -> Self {
        let dataset = Dataset::open_folder(dir).unwrap();
        let documents = |split| {
            let all: Vec<Document> = dataset.read(split).unwrap().map(Result::unwrap).collect();
            assert_eq!(dataset.rows(split), all.len() as u64);
            (split, all)
        };
        let rejected = fs::read_to_string(dir.join(Dataset::REJECTED)).unwrap();
        Self {
            splits: SplitName::ALL.into_iter().map(documents).collect(),
            labels: dataset.schema().labels.clone(),
            statistics: dataset.statistics().clone(),
            rejected: rejected.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
            summary: outcome.summary,
        }
    }

    pub(crate) fn rows(&self, split: SplitName) -> usize {
        self.splits[&split].len()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (SplitName, &Document)> {
        self.splits
            .iter()
            .flat_map(|(split, all)| all.iter().map(move |document| (*split, document)))
    }

    pub(crate) fn find(&self, id: &str) -> Option<(SplitName, &Document)> {
        self.all().find(|(_, document)| document.id == id)
    }

    /// Every row that was read is in exactly one place.
    pub(crate) fn check(&self) {
        let Statistics { read, rejected, left_out, duplicates, leakage, splits, .. } =
            &self.statistics;
        let used: u64 = splits.values().map(|split| split.rows).sum();
        let rejected: u64 = rejected.values().sum();
        assert_eq!(used + rejected + left_out + duplicates.dropped + leakage.dropped, *read);
        assert_eq!(rejected, self.rejected.len() as u64);
        assert_eq!(leakage.remaining, 0);
        let ids: std::collections::BTreeSet<_> = self.all().map(|(_, d)| &d.id).collect();
        assert_eq!(ids.len() as u64, used, "an identifier is there twice");
    }
}

pub(crate) fn step(manifest: &str) -> Prepare {
    let text = format!(
        "[project]\nname = \"test\"\ntask = \"text-classification\"\ndescription = \"A test\"\n\
         [source]\nurl = \"file:source\"\n{manifest}"
    );
    let text = if text.contains("[prepare") { text } else { format!("{text}\n[prepare]\n") };
    Prepare::new(&ProjectManifest::parse("project.toml", &text).unwrap()).unwrap()
}

pub(crate) fn tell(error: &StepError) -> String {
    let mut told = String::new();
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        told.push_str(&format!("{error}\n"));
        next = error.source();
    }
    let diagnostic: &dyn miette::Diagnostic = error;
    let mut next = Some(diagnostic);
    while let Some(error) = next {
        told.extend(error.help().map(|help| format!("{help}\n")));
        next = error.diagnostic_source();
    }
    told
}

/// Documents that have nothing in common, with the labels `a` and `b`.
pub(crate) fn rows(count: usize) -> Vec<(String, String, &'static str)> {
    (0..count)
        .map(|n| {
            let text =
                (0..8).map(|k| format!("word{}x{k}", n * 7919 % 100_003)).collect::<Vec<_>>();
            (format!("id{n}"), text.join(" "), if n % 3 == 0 { "a" } else { "b" })
        })
        .collect()
}

/// The same as CSV with a header.
pub(crate) fn csv(count: usize) -> String {
    let line = |(id, text, label): &(String, String, &str)| format!("{id},{text},{label}\n");
    format!("id,text,label\n{}", rows(count).iter().map(line).collect::<String>())
}

pub(crate) const CSV: &str = "format = \"csv\"\ncolumns = { id = \"id\" }\n";
