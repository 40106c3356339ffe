//! The compile step, through the contract of steps.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests"
)]

use std::{fs, path::Path, sync::Arc};

use mesh_compile::{Compile, Fidelity, MetricDrop};
use mesh_core::{
    ARTIFACT_FORMAT, ArtifactDir, ArtifactKind, ArtifactManifest, Cancel, Inputs, NoProgress,
    Producer, Step, StepContext, StepError, StepErrorKind, StepName, StepOutcome, StepOutput,
    manifest::{Features, ProjectManifest},
};
use mesh_dataset::{
    Dataset, DatasetSchema, Document, SplitName, SplitStatistics, SplitWriter, Statistics,
};
use mesh_engine::{CompiledLinear, LINEAR_FORMAT, LinearDescription, LinearModel, TextClassifier};

const LABELS: [&str; 3] = ["business", "politics", "sport"];

/// An artifact of what a folder holds.
fn artifact(folder: &Path, kind: ArtifactKind, step: StepName) -> ArtifactDir {
    let manifest = ArtifactManifest {
        format: ARTIFACT_FORMAT,
        kind,
        files: ArtifactManifest::scan(folder).unwrap(),
        producer: Producer { step, code: 1, parameters: serde_json::Value::Null },
        inputs: Vec::new(),
        summary: serde_json::Value::Null,
    };
    manifest.write(folder).unwrap();
    ArtifactDir::open(folder, manifest.digest().unwrap()).unwrap()
}

/// A dataset with so many documents in each split.
fn dataset(folder: &Path, rows: [usize; 3]) -> ArtifactDir {
    let mut statistics = Statistics::default();
    for (split, rows) in SplitName::ALL.into_iter().zip(rows) {
        let mut writer = SplitWriter::create(&folder.join(split.file_name())).unwrap();
        for at in 0..rows {
            let label = LABELS[at % 3].to_owned();
            let text = format!("{label} {split} {}", "some more words ".repeat(at % 9));
            let (id, origin) = (format!("{split}-{at}"), format!("a.csv:{at}"));
            writer.write(&Document { id, text, label: Some(label), origin }).unwrap();
        }
        let rows = writer.finish().unwrap();
        let split_statistics = SplitStatistics { rows, ..SplitStatistics::default() };
        statistics.splits.insert(split.to_string(), split_statistics);
    }
    let schema = serde_json::to_string(&DatasetSchema::documents(Vec::new())).unwrap();
    fs::write(folder.join(Dataset::SCHEMA), schema).unwrap();
    let json = serde_json::to_string(&statistics).unwrap();
    fs::write(folder.join(Dataset::STATISTICS), json).unwrap();
    artifact(folder, ArtifactKind::Dataset, StepName::Prepare)
}

/// A model that knows each label's own word, and is very sure of it or hardly.
fn model(folder: &Path, sureness: f32) -> ArtifactDir {
    let description = LinearDescription {
        format: LINEAR_FORMAT,
        labels: LABELS.map(String::from).to_vec(),
        features: Features::default(),
        temperature: 1.0,
    };
    let vocabulary = LABELS.iter().map(|label| format!("w\t{label}")).collect();
    let weight = (0..9).map(|at| if at % 4 == 0 { sureness } else { 0.1 * at as f32 }).collect();
    let model = LinearModel::new(description, vocabulary, vec![1.5; 3], (weight, vec![0.1; 3]));
    model.unwrap().write(folder).unwrap();
    artifact(folder, ArtifactKind::Model, StepName::Train)
}

fn steps(compile: &str) -> Vec<Compile> {
    let text = format!(
        "[project]\nname = \"news\"\ntask = \"text-classification\"\ndescription = \"News\"\n\
         [source]\nurl = \"file:a.csv\"\nformat = \"csv\"\n[prepare]\n\
         [train]\nmodel = \"linear\"\n[compile]\n{compile}\n"
    );
    Compile::new(&ProjectManifest::parse("project.toml", &text).unwrap())
}

fn context() -> StepContext {
    StepContext {
        project: "news".parse().unwrap(),
        threads: 1,
        progress: Arc::new(NoProgress),
        cancel: Cancel::new(),
        cache: None,
    }
}

fn run(
    step: &Compile,
    rows: [usize; 3],
    context: &StepContext,
) -> (tempfile::TempDir, Result<StepOutcome, StepError>) {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let [data, trained, output] = folders;
    let artifacts = [
        ("dataset".to_owned(), dataset(data.path(), rows)),
        ("model".to_owned(), model(trained.path(), 4.0)),
    ];
    let inputs = Inputs { artifacts: artifacts.into(), ..Inputs::default() };
    let dir = output.path().to_owned();
    let outcome = step.run(&inputs, &StepOutput { scratch: dir.clone(), dir }, context);
    (output, outcome)
}

fn why(error: &StepError) -> String {
    std::error::Error::source(error).unwrap().to_string()
}

/// A gate that no busy machine fails.
const LENIENT: &str = "gate = { agreement = 0.9, speedup = 0.0 }";

#[test]
fn one_step_per_target() {
    let targets = |compile: &str| {
        steps(compile).iter().map(|step| step.target().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(targets(""), ["portable-f16"]);
    assert_eq!(targets("precision = \"f32\""), ["portable-f32"]);
    let both = "targets = [\"native\", \"portable-f32\", \"portable-f16\"]";
    assert_eq!(targets(both), ["portable-f16", "portable-f32"]);
}

#[test]
fn a_compiled_model_answers_like_the_trained_one() {
    for precision in ["f16", "f32"] {
        let step = steps(&format!("precision = \"{precision}\"\n{LENIENT}")).remove(0);
        let (folder, outcome) = run(&step, [9, 9, 90], &context());
        let outcome = outcome.unwrap();
        let compiled = CompiledLinear::open(&folder.path().join(CompiledLinear::FILE)).unwrap();
        assert_eq!(compiled.labels(), LABELS);
        let scores = compiled.scores(&["sport"]).remove(0);
        assert!(scores[2] > 0.9, "{scores:?}");
        let text = fs::read_to_string(folder.path().join(Fidelity::FILE)).unwrap();
        let fidelity: Fidelity = serde_json::from_str(&text).unwrap();
        assert_eq!((fidelity.texts, fidelity.agreement), (90, 1.0));
        let none = MetricDrop { value: 0.0, low: 0.0, high: 0.0 };
        assert_eq!((fidelity.accuracy_drop, fidelity.macro_f1_drop), (Some(none), Some(none)));
        assert!(fidelity.max_difference.unwrap() < 1e-3, "{fidelity:?}");
        assert_eq!(outcome.summary, serde_json::to_value(&fidelity).unwrap());
        assert!(outcome.report["speedup"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let step = steps(LENIENT).remove(0);
    let files = || {
        let (folder, outcome) = run(&step, [9, 9, 30], &context());
        outcome.unwrap();
        ArtifactManifest::scan(folder.path()).unwrap()
    };
    assert_eq!(files(), files());
}

#[test]
fn texts_come_from_the_best_split_that_has_some() {
    for (rows, texts) in [([9, 6, 3], 3), ([9, 6, 0], 6), ([9, 0, 0], 9)] {
        let (_folder, outcome) = run(&steps(LENIENT).remove(0), rows, &context());
        assert_eq!(outcome.unwrap().summary["texts"], texts, "{rows:?}");
    }
    let (_folder, outcome) = run(&steps(LENIENT).remove(0), [0, 0, 0], &context());
    let error = outcome.unwrap_err();
    assert_eq!(error.kind, StepErrorKind::Failed);
    assert!(why(&error).contains("no texts to compare"), "{}", why(&error));
}

#[test]
fn an_unknown_target_is_named_with_the_known_ones() {
    let step = steps("targets = [\"amx-bf16\"]").remove(0);
    let error = run(&step, [9, 9, 9], &context()).1.unwrap_err();
    assert_eq!(error.kind, StepErrorKind::Failed);
    assert!(why(&error).contains("`amx-bf16`"), "{}", why(&error));
    let help = miette::Diagnostic::diagnostic_source(&error).unwrap().help().unwrap().to_string();
    assert!(help.contains("portable-f16") && help.contains("portable-f32"), "{help}");
}

#[test]
fn a_gate_names_what_was_not_reached() {
    let step = steps("gate = { speedup = 1000000.0 }").remove(0);
    let error = run(&step, [9, 9, 90], &context()).1.unwrap_err();
    assert_eq!(error.kind, StepErrorKind::Gate);
    let why = why(&error);
    assert!(why.starts_with("speedup of portable-f16 is") && !why.contains("agreement"), "{why}");
}

#[test]
fn it_stops_when_asked() {
    let context = context();
    context.cancel.cancel();
    let error = run(&steps(LENIENT).remove(0), [9, 9, 9], &context).1.unwrap_err();
    assert_eq!(error.kind, StepErrorKind::Interrupted);
}
