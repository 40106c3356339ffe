//! What is wrong with values of `project.toml` that are valid each by itself.

use super::{
    BackfillTable, CompileTable, Format, ManifestErrorKind, ModelTable, PrepareTable,
    ProjectManifest, ServeTable, ShowTable, SplitMethod, TARGETS, TaskName, TrainModel, TrainTable,
    TreesStart, error::Finding, parse,
};
use crate::did_you_mean;

/// Finds conflicts, each with its place in the text.
struct Conflicts<'a> {
    manifest: &'a ProjectManifest,
    text: &'a str,
    found: Vec<Finding>,
}

pub(super) fn conflicts(manifest: &ProjectManifest, text: &str) -> Vec<Finding> {
    let mut conflicts = Conflicts { manifest, text, found: Vec::new() };
    conflicts.source();
    if let Some(prepare) = &manifest.prepare {
        conflicts.prepare(prepare);
    }
    conflicts.train();
    conflicts.task();
    conflicts.language();
    if manifest.project.task == TaskName::Regression {
        conflicts.regression();
    }
    if let Some(compile) = &manifest.compile {
        conflicts.compile(compile);
    }
    if let Some(serve) = &manifest.serve {
        conflicts.serve(serve);
    }
    if let Some(backfill) = &manifest.backfill {
        conflicts.backfill(backfill);
    }
    if let Some(show) = &manifest.show {
        conflicts.show(show);
    }
    conflicts.found
}

impl Conflicts<'_> {
    fn add(&mut self, key: &str, message: impl Into<String>, help: &str) {
        self.found.push(Finding {
            kind: ManifestErrorKind::Conflict,
            key: key.to_owned(),
            message: message.into(),
            help: Some(help.to_owned()),
            span: parse::span_of(self.text, key).unwrap_or(0..0),
        });
    }

    fn source(&mut self) {
        let Some(source) = &self.manifest.source else { return };
        if source.sha256.is_none() && !source.url.starts_with("file:") {
            let message = "`sha256` is missing: a source that is fetched must be pinned";
            let help = "`mesh source pin <url>` fetches it once and prints its digest";
            self.add("source", message, help);
        }
        if let Some((key, message)) = source.labels.conflict() {
            self.add(key, message, "write one name more than limits, limits ascending");
        }
        let rows = [Format::Csv, Format::Tsv, Format::Jsonl, Format::Parquet];
        if !source.leave_out.is_empty() && !rows.contains(&source.format) {
            let message = "`leave_out` needs a format with columns";
            self.add(
                "source.leave_out",
                message,
                "leave it out: it is for CSV, TSV, JSONL and Parquet",
            );
        }
    }

    fn prepare(&mut self, prepare: &PrepareTable) {
        let split = &prepare.split;
        let shares = [split.train, split.validation, split.test];
        let sum: f64 = shares.iter().sum();
        let help = "such as train = 0.8, validation = 0.1, test = 0.1";
        if let Some(share) = shares.iter().find(|share| !(0.0..=1.0).contains(*share)) {
            let message = format!("a share of `split` lies in 0 to 1, this one is {share}");
            self.add("prepare.split", message, help);
        } else if (sum - 1.0).abs() > 1e-6 {
            let message = format!("the shares of `split` must add up to 1, they are {sum}");
            self.add("prepare.split", message, help);
        }
        if !(0.0..=1.0).contains(&prepare.max_rejected) {
            let message = format!("`max_rejected` lies in 0 to 1, it is {}", prepare.max_rejected);
            self.add("prepare.max_rejected", message, "it is a share: 0.05 is 5 per cent");
        }
        if prepare.min_characters > prepare.max_characters {
            let message = "`min_characters` is above `max_characters`";
            self.add("prepare.min_characters", message, "no text has such a length");
        }
        let columns = self.manifest.source.as_ref().map(|source| &source.columns);
        let needed = match split.method {
            SplitMethod::Grouped if columns.is_some_and(|c| c.group.is_none()) => Some("group"),
            SplitMethod::ByTime if columns.is_some_and(|c| c.time.is_none()) => Some("time"),
            _ => None,
        };
        if let Some(column) = needed {
            let message = format!("`method` needs a column: set `{column}` in [source.columns]");
            self.add("prepare.split.method", message, "docs/prepare.md tells how splits are made");
        }
        let near = &prepare.deduplicate.near;
        if !(near.threshold > 0.0 && near.threshold < 1.0) {
            let message = "`threshold` must lie between 0 and 1, both excluded";
            self.add("prepare.deduplicate.near.threshold", message, "0.8 is a good start");
        }
        if !(1..=100).contains(&near.shingle) || !(2..=1024).contains(&near.permutations) {
            let message = "`shingle` lies in 1 to 100, `permutations` in 2 to 1024";
            self.add("prepare.deduplicate.near", message, "5 and 128 are good starts");
        }
        if self.manifest.source.is_none() {
            self.add("prepare", "[prepare] needs a [source]", "add a [source] table");
        }
        let tables = [
            (prepare.features.is_some(), "prepare.features"),
            (prepare.series.is_some(), "prepare.series"),
        ];
        for (_, key) in tables.into_iter().filter(|(there, _)| *there) {
            if self.manifest.project.task != TaskName::Regression {
                let message = format!("[{key}] is for the task `regression`");
                self.add(key, message, "leave it out, or change `task` in [project]");
            }
        }
        let found = prepare.features.as_ref().and_then(|features| features.conflict());
        let found = found.or_else(|| prepare.series.as_ref().and_then(|series| series.conflict()));
        if let Some((key, message)) = found {
            self.add(key, message, "docs/prepare.md tells how features are made");
        }
    }

    fn train(&mut self) {
        let train = self.manifest.train.as_ref();
        if train.is_some() && self.manifest.prepare.is_none() {
            self.add("train", "[train] needs a [prepare]", "add a [prepare] table");
        }
        if let Some((key, message)) = train.and_then(TrainTable::conflict) {
            self.add(key, message, "docs/train.md describes every option");
        }
        if let Some((key, message)) = self.manifest.model.as_ref().and_then(ModelTable::conflict) {
            let help = match key {
                "model" => "`mesh source pin <url>` fetches it once and prints its digest",
                _ => "leave it out for what the model itself says",
            };
            self.add(key, message, help);
        }
        let task = self.manifest.project.task;
        for family in train.map(|train| train.model.families()).unwrap_or_default() {
            if family.takes_encoder() && self.manifest.model.is_none() {
                let help = "add a [model] table with the `url` of an encoder";
                self.add("train.model", format!("`{family}` needs a [model]"), help);
            }
            if !family.does(task) {
                let message = format!("`{family}` does not do the task `{task}`");
                let help = "`crf` and `crf-encoder` are for `token-classification`, \
                            `boosted-trees` for `regression`, the others for the rest";
                self.add("train.model", message, help);
            }
        }
    }

    /// What a task asks for and forbids.
    fn task(&mut self) {
        let manifest = self.manifest;
        let task = manifest.project.task;
        if task == TaskName::Language {
            if manifest.train.is_some() {
                let help = "leave out [train]: [model] brings what fastText trained";
                self.add("train", "a project of the task `language` is not trained", help);
            }
            if let Some(key) = manifest.model.as_ref().and_then(ModelTable::encoder_key) {
                let message = format!("`{key}` is for encoders, not for a model of fastText");
                self.add(&format!("model.{key}"), message, "leave it out");
            }
        }
        let family = match task {
            TaskName::TokenClassification => Some(TrainModel::Crf),
            TaskName::Regression => Some(TrainModel::BoostedTrees),
            _ => None,
        };
        if let (Some(family), None) = (family, &manifest.train) {
            let help = format!("add a [train] table with `model = \"{family}\"`");
            self.add("project.task", format!("`{task}` needs a [train]"), &help);
        }
        if task.has_model() {
            return;
        }
        let tables = [
            ("source", manifest.source.is_some()),
            ("model", manifest.model.is_some()),
            ("prepare", manifest.prepare.is_some()),
            ("train", manifest.train.is_some()),
            ("compile", manifest.compile.is_some()),
        ];
        for (table, _) in tables.into_iter().filter(|(_, there)| *there) {
            let message = format!("a project of the task `{task}` has no model: no [{table}]");
            self.add(table, message, "leave it out: [project] and [serve] are all it needs");
        }
    }

    fn language(&mut self) {
        let manifest = self.manifest;
        let Some(language) = &manifest.language else { return };
        let task = manifest.project.task;
        if matches!(task, TaskName::Language | TaskName::NearDuplicates | TaskName::Regression) {
            let message = format!("a project of the task `{task}` answers in no language");
            self.add("language", message, "leave it out: it is for projects that read texts");
        } else if manifest.compile.is_none() {
            let message = "[language] needs a [compile], which packs the model";
            self.add("language", message, "add a [compile] table");
        }
        if let Some((key, message)) = language.conflict() {
            let help = match key {
                "language" => "`mesh source pin <url>` fetches it once and prints its digest",
                _ => "0.8 refuses what is in another language by a probability of 0.8 or more",
            };
            self.add(key, message, help);
        }
    }

    fn backfill(&mut self, backfill: &BackfillTable) {
        if backfill.input.is_empty() {
            let help = "such as input = { content = \"text\" }: the attribute, then the column";
            self.add("backfill", "[backfill] needs an `input`", help);
        }
        if !(0.0..=1.0).contains(&backfill.max_rejected) {
            let message = format!("`max_rejected` lies in 0 to 1, it is {}", backfill.max_rejected);
            self.add("backfill.max_rejected", message, "it is a share: 0.05 is 5 per cent");
        }
        for (limit, value) in &backfill.gate {
            let key = format!("backfill.gate.{limit}");
            if !["flips", "change", "lost", "rejected"].contains(&limit.as_str()) {
                let message = format!("`{limit}` is not a gate of a backfill");
                self.add(&key, message, "known are `flips`, `change`, `lost` and `rejected`");
            } else if !(*value >= 0.0 && value.is_finite()) {
                self.add(&key, format!("`{limit}` cannot be {value}"), "it is 0 or more");
            }
        }
    }

    fn show(&mut self, show: &ShowTable) {
        for (at, panel) in show.panels.iter().enumerate() {
            if show.panels.iter().take(at).any(|before| before == panel) {
                let message = format!("the panel `{panel}` is named twice");
                self.add("show.panels", message, "a panel stands in one place");
            }
        }
        if !show.examples.is_empty() && self.manifest.project.task == TaskName::Regression {
            let message = "`examples` are texts, and a regression is asked rows";
            self.add("show.examples", message, "leave it out: rows of the test split are shown");
        }
        for word in show.words.keys() {
            if !ShowTable::WORDS.contains(&word.as_str()) {
                let message = format!("the page has no words `{word}`");
                let hint = did_you_mean(word, ShowTable::WORDS);
                let help = format!("{hint}Known are: {}", ShowTable::WORDS.join(", "));
                self.add(&format!("show.words.{word}"), message, &help);
            }
        }
    }

    fn regression(&mut self) {
        let manifest = self.manifest;
        if let Some(source) = &manifest.source {
            if !matches!(source.format, Format::Csv | Format::Tsv | Format::Jsonl | Format::Parquet)
            {
                let message = "a regression needs a source with columns";
                self.add("source.format", message, "known are csv, tsv, jsonl and parquet");
            }
            if source.labels != super::Labels::default() {
                let message = "[source.labels] is for labels, a regression tells a number";
                self.add("source.labels", message, "leave it out");
            }
        }
        let Some(prepare) = &manifest.prepare else { return };
        let series = prepare.series.as_ref();
        let columns = prepare.features.as_ref().map_or(0, |features| features.columns().count());
        let made = series.map_or(0, |series| series.lags.len() + series.windows.len());
        if columns + made == 0 {
            let message = "there is no feature to tell the number by";
            let help = "name columns in [prepare.features], or add a [prepare.series]";
            self.add("prepare", message, help);
        }
        let source = manifest.source.as_ref().map(|source| &source.columns);
        if series.is_some() && source.is_some_and(|columns| columns.time.is_none()) {
            let message = "a series needs the column of its days: set `time` in [source.columns]";
            self.add(
                "prepare.series",
                message,
                "add `time`, and `group` if there are several series",
            );
        }
        if let (Some(features), Some(source)) = (&prepare.features, source)
            && features.columns().any(|(_, name)| *name == source.label)
        {
            let message = format!("`{}` is what is told, so it cannot be a feature", source.label);
            self.add("prepare.features", message, "leave it out");
        }
        let Some(train) = &manifest.train else { return };
        if train.boosted_trees.start == TreesStart::Baseline {
            let key = "train.boosted_trees.start";
            match series.map(|series| (series.baseline_lag(), &series.lags)) {
                None => {
                    let message = "`start = \"baseline\"` needs a [prepare.series]";
                    self.add(key, message, "add one, or take `constant`");
                }
                Some((lag, lags)) if !lags.contains(&lag) => {
                    let message = format!("the baseline is {lag} days ago, which is no lag");
                    let help = format!("add {lag} to `lags` in [prepare.series]");
                    self.add(key, message, &help);
                }
                Some(_) => {}
            }
        }
    }

    fn serve(&mut self, serve: &ServeTable) {
        let ServeTable { max_queue, max_batch, max_body_bytes, timeout_ms, workers } = *serve;
        let ranges = [
            ("max_queue", max_queue as u64, 1..=1_000_000),
            ("max_batch", max_batch as u64, 1..=100_000),
            ("max_body_bytes", max_body_bytes as u64, 1..=1 << 32),
            ("timeout_ms", timeout_ms, 1..=86_400_000),
            ("workers", workers as u64, 0..=1024),
        ];
        for (key, value, range) in ranges {
            if !range.contains(&value) {
                let (least, most) = (range.start(), range.end());
                let message = format!("`{key}` lies in {least} to {most}, it is {value}");
                self.add(&format!("serve.{key}"), message, "leave it out for the usual value");
            }
        }
    }

    fn compile(&mut self, compile: &CompileTable) {
        if self.manifest.train.is_none() && self.manifest.model.is_none() {
            let help = "add a [train] table, or a [model] table with a pre-trained encoder";
            self.add("compile", "[compile] needs a [train] or a [model]", help);
        }
        for target in &compile.targets {
            if !TARGETS.contains(&target.as_str()) {
                let message = format!("there is no target `{target}`");
                let hint = did_you_mean(target, TARGETS);
                let help = format!("{hint}Known are: {}", TARGETS.join(", "));
                self.add("compile.targets", message, &help);
            }
        }
        if compile.targets.is_empty() {
            let help = "`targets = [\"native\"]` compiles for the machine that it runs on";
            self.add("compile.targets", "there is no target to compile for", help);
        }
        let texts = compile.texts.as_ref();
        if texts.is_some_and(|t| t.sha256.is_none() && !t.url.starts_with("file:")) {
            let message = "`sha256` is missing: texts that are fetched must be pinned";
            let help = "`mesh source pin <url>` fetches it once and prints its digest";
            self.add("compile.texts", message, help);
        }
        for (metric, value) in &compile.gate {
            let range = match metric.as_str() {
                "agreement" | "cosine" => 0.0..=1.0,
                "speedup" => 0.0..=f64::MAX,
                _ => {
                    let message = format!("`{metric}` is not a gate of compile");
                    let help = "known are `agreement`, `cosine` and `speedup`";
                    self.add(&format!("compile.gate.{metric}"), message, help);
                    continue;
                }
            };
            if !range.contains(value) {
                let message = format!("`{metric}` cannot be {value}");
                let help = "`agreement` and `cosine` are 0 to 1, `speedup` is 0 or more";
                self.add(&format!("compile.gate.{metric}"), message, help);
            }
        }
    }
}
