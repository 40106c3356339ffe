//! The train step, through the contract of steps.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests"
)]

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use mesh_core::{
    ARTIFACT_FORMAT, ArtifactDir, ArtifactKind, ArtifactManifest, Cancel, Inputs, NoProgress,
    Producer, Step, StepContext, StepError, StepErrorKind, StepName, StepOutcome, StepOutput,
    manifest::ProjectManifest,
};
use mesh_dataset::{
    Dataset, DatasetSchema, Document, SplitName, SplitStatistics, SplitWriter, Statistics,
};
use mesh_engine::{LinearModel, TextClassifier};
use mesh_train::{Card, Train};

type Rows = Vec<(String, Option<&'static str>)>;

/// Texts that are told apart by one word of two; every seventh is mislabelled.
fn rows(count: usize, labels: &[&'static str]) -> Rows {
    let row = |at: usize| {
        let spoken = labels[at % labels.len()];
        let given = if at % 7 == 6 { labels[(at + 1) % labels.len()] } else { spoken };
        (format!("the {spoken} word {} and number {}", at % 5, at % 11), Some(given))
    };
    (0..count).map(row).collect()
}

fn dataset(folder: &Path, splits: [&Rows; 3]) -> ArtifactDir {
    let mut statistics = Statistics::default();
    for (split, rows) in SplitName::ALL.into_iter().zip(splits) {
        let mut writer = SplitWriter::create(&folder.join(split.file_name())).unwrap();
        let mut labels: BTreeMap<String, u64> = BTreeMap::new();
        for (at, (text, label)) in rows.iter().enumerate() {
            let label = label.map(str::to_owned);
            labels.extend(label.iter().map(|label| (label.clone(), 1)));
            let (id, origin) = (format!("{split}-{at}"), format!("a.csv:{at}"));
            writer.write(&Document { id, text: text.clone(), label, origin }).unwrap();
        }
        let rows = writer.finish().unwrap();
        let split_statistics = SplitStatistics { rows, labels, ..SplitStatistics::default() };
        statistics.splits.insert(split.to_string(), split_statistics);
    }
    let schema = serde_json::to_string(&DatasetSchema::documents(Vec::new())).unwrap();
    fs::write(folder.join(Dataset::SCHEMA), schema).unwrap();
    let json = serde_json::to_string(&statistics).unwrap();
    fs::write(folder.join(Dataset::STATISTICS), json).unwrap();
    let manifest = ArtifactManifest {
        format: ARTIFACT_FORMAT,
        kind: ArtifactKind::Dataset,
        files: ArtifactManifest::scan(folder).unwrap(),
        producer: Producer {
            step: StepName::Prepare,
            code: 1,
            parameters: serde_json::Value::Null,
        },
        inputs: Vec::new(),
        summary: serde_json::Value::Null,
    };
    manifest.write(folder).unwrap();
    ArtifactDir::open(folder, manifest.digest().unwrap()).unwrap()
}

fn step(train: &str) -> Train {
    let text = format!(
        "[project]\nname = \"news\"\ntask = \"text-classification\"\ndescription = \"News\"\n\
         [source]\nurl = \"file:a.csv\"\nformat = \"csv\"\n[prepare]\n\
         [train]\nmodel = \"linear\"\n{train}\n"
    );
    Train::new(&ProjectManifest::parse("project.toml", &text).unwrap()).unwrap()
}

fn context(threads: usize) -> StepContext {
    StepContext {
        project: "news".parse().unwrap(),
        threads,
        progress: Arc::new(NoProgress),
        cancel: Cancel::new(),
        cache: None,
    }
}

/// Runs a step; gives what it left and what it said.
fn run(
    step: &Train,
    splits: [&Rows; 3],
    context: &StepContext,
) -> (tempfile::TempDir, Result<StepOutcome, StepError>) {
    let (input, output) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let artifact = dataset(input.path(), splits);
    let artifacts = [("dataset".to_owned(), artifact)].into();
    let inputs = Inputs { artifacts, ..Inputs::default() };
    let dir = output.path().to_owned();
    let outcome = step.run(&inputs, &StepOutput { scratch: dir.clone(), dir }, context);
    (output, outcome)
}

fn card(folder: &Path) -> Card {
    serde_json::from_slice(&fs::read(folder.join(Card::JSON)).unwrap()).unwrap()
}

const LABELS: [&str; 3] = ["business", "politics", "sport"];

#[test]
fn a_model_is_left_with_its_card() {
    let (train, rest) = (rows(210, &LABELS), rows(63, &LABELS));
    let words = "[train.linear]\nfeatures = { char_ngrams = [0, 0] }";
    let (folder, outcome) = run(&step(words), [&train, &rest, &rest], &context(1));
    let summary = outcome.unwrap().summary;
    let model = LinearModel::read(folder.path()).unwrap();
    assert_eq!(model.labels(), LABELS);
    let scores = model.scores(&["the sport word"]).remove(0);
    assert!(scores[2] > scores[0] && scores[2] > scores[1], "{scores:?}");
    let card = card(folder.path());
    // One in seven is mislabelled, which calibrated probabilities know.
    assert!((card.metrics.accuracy.value - 6.0 / 7.0).abs() < 1e-9, "{:?}", card.metrics.accuracy);
    assert!(card.metrics.expected_calibration_error < 0.05, "{:?}", card.metrics);
    assert_eq!(card.calibration.rows, 63);
    assert_eq!(card.search.len(), 3);
    assert_eq!(summary["metrics"]["accuracy"]["value"], card.metrics.accuracy.value);
    assert_eq!(summary["features"], card.features);
    let text = fs::read_to_string(folder.path().join(Card::MARKDOWN)).unwrap();
    for part in ["# news", "| accuracy | 0.857", "| sport |", "- **sport**: `sport`"] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn the_same_bytes_whatever_the_threads() {
    let (train, rest) = (rows(90, &LABELS), rows(60, &LABELS));
    let bytes = |threads| {
        let (folder, outcome) = run(&step(""), [&train, &rest, &rest], &context(threads));
        outcome.unwrap();
        let entries = ArtifactManifest::scan(folder.path()).unwrap();
        assert_eq!(entries.len(), 5, "{entries:?}");
        entries
    };
    assert_eq!(bytes(1), bytes(1));
    assert_eq!(bytes(1), bytes(2));
}

#[test]
fn hashed_features_need_no_names() {
    let (train, rest) = (rows(90, &LABELS), rows(60, &LABELS));
    let options = "[train.linear]\nfeatures = { hash_buckets = 1024, char_ngrams = [2, 3] }";
    let (folder, outcome) = run(&step(options), [&train, &rest, &rest], &context(1));
    outcome.unwrap();
    assert!(card(folder.path()).metrics.accuracy.value > 0.8);
    let model = LinearModel::read(folder.path()).unwrap();
    assert!(model.vocabulary.iter().all(|name| name.starts_with("h\t")));
}

#[test]
fn a_small_validation_split_is_told() {
    let (train, few, none) = (rows(90, &LABELS), rows(12, &LABELS), rows(0, &LABELS));
    let (folder, outcome) = run(&step(""), [&train, &few, &few], &context(1));
    outcome.unwrap();
    let notes = card(folder.path()).notes.join("\n");
    assert!(notes.contains("not calibrated"), "{notes}");
    let (folder, outcome) = run(&step(""), [&train, &none, &few], &context(1));
    outcome.unwrap();
    let card = card(folder.path());
    assert!(card.notes.join("\n").contains("no validation split"), "{:?}", card.notes);
    assert_eq!((card.chosen_c, card.search.len()), (10.0, 1));
}

#[test]
fn what_cannot_be_trained_says_why() {
    struct Case {
        name: &'static str,
        train: Rows,
        validation: Rows,
        test: Rows,
        options: &'static str,
        says: &'static str,
    }
    let good = || rows(30, &LABELS);
    let more = ["business", "politics", "sport", "weather"];
    let unlabelled = || vec![("the word".to_owned(), None)];
    let case = |name, train, says| Case {
        name,
        train,
        validation: good(),
        test: good(),
        options: "",
        says,
    };
    let cases = [
        case("nothing to learn from", Vec::new(), "the train split is empty"),
        case("one label", rows(30, &LABELS[..1]), "has one label only, `business`"),
        case("no labels", unlabelled(), "has no label"),
        Case { test: Vec::new(), ..case("no test", good(), "the test split is empty") },
        Case {
            test: rows(30, &more),
            ..case("new label", good(), "the label `weather` of the test split is not in")
        },
        Case {
            validation: unlabelled(),
            ..case("unlabelled", good(), "the document `validation-0` has no label")
        },
        Case {
            options: "[train.linear]\nfeatures = { min_documents = 1000 }",
            ..case("no features", good(), "no features are left")
        },
    ];
    for Case { name, train, validation, test, options, says } in cases {
        let (folder, outcome) = run(&step(options), [&train, &validation, &test], &context(1));
        let error = outcome.unwrap_err();
        assert_eq!(error.kind, StepErrorKind::Failed, "{name}");
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(why.contains(says), "{name}: {why}");
        assert!(miette::Diagnostic::diagnostic_source(&error).unwrap().help().is_some(), "{name}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{name}");
    }
}

#[test]
fn a_gate_refuses_and_leaves_nothing() {
    let (train, rest) = (rows(90, &LABELS), rows(60, &LABELS));
    let gated = step("gate = { accuracy = 0.5, macro_f1 = 0.99 }");
    let (folder, outcome) = run(&gated, [&train, &rest, &rest], &context(1));
    let error = outcome.unwrap_err();
    assert_eq!(error.kind, StepErrorKind::Gate);
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.starts_with("macro_f1 is 0.8") && !why.contains("accuracy"), "{why}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn it_stops_when_asked() {
    let (train, rest) = (rows(90, &LABELS), rows(60, &LABELS));
    let context = context(1);
    context.cancel.cancel();
    let (_folder, outcome) = run(&step(""), [&train, &rest, &rest], &context);
    assert_eq!(outcome.unwrap_err().kind, StepErrorKind::Interrupted);
}

#[test]
fn too_few_passes_are_a_note_and_no_error() {
    let (train, rest) = (rows(90, &LABELS), rows(60, &LABELS));
    let hasty = step("[train.linear]\nmax_iterations = 1\ntolerance = 1e-9");
    let (folder, outcome) = run(&hasty, [&train, &rest, &rest], &context(1));
    outcome.unwrap();
    let card = card(folder.path());
    assert!(card.search.iter().all(|row| !row.converged));
    assert!(card.notes.iter().any(|note| note.contains("did not converge")), "{:?}", card.notes);
}
