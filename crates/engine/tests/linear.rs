//! A trained linear model and its compiled form, through the crate's API.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs;

use mesh_core::manifest::{Features, Precision};
use mesh_engine::{
    CompiledLinear, EngineErrorKind, LINEAR_FORMAT, LinearDescription, LinearModel, TextClassifier,
    pack,
};
use proptest::prelude::*;

fn model(labels: usize, seed: u32) -> LinearModel {
    let outputs = if labels == 2 { 1 } else { labels };
    let words = ["bank", "rates", "goal", "match", "film", "bank rates", "the match"];
    let vocabulary: Vec<_> = words.iter().map(|word| format!("w\t{word}")).collect();
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state as f32 / u32::MAX as f32) * 4.0 - 2.0
    };
    let weight = (0..words.len() * outputs).map(|_| next()).collect();
    let bias = (0..outputs).map(|_| next() * 0.1).collect();
    let description = LinearDescription {
        format: LINEAR_FORMAT,
        labels: (0..labels).map(|label| format!("label-{label}")).collect(),
        features: Features::default(),
        temperature: 0.8,
    };
    let idf = (0..words.len()).map(|word| 1.0 + word as f32 * 0.3).collect();
    LinearModel::new(description, vocabulary, idf, (weight, bias)).unwrap()
}

fn compile(model: &LinearModel, precision: Precision) -> (tempfile::TempDir, CompiledLinear) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(CompiledLinear::FILE);
    fs::write(&path, pack(model, precision).0).unwrap();
    let compiled = CompiledLinear::open(&path).unwrap();
    (folder, compiled)
}

const TEXTS: [&str; 6] = [
    "Bank rates, bank RATES!",
    "the match and a goal",
    "film",
    "",
    "nothing known",
    "bank match bank",
];

#[test]
fn compiled_agrees_with_trained() {
    for labels in [2, 3, 9] {
        for (precision, tolerance) in [(Precision::F32, 1e-6), (Precision::F16, 2e-3)] {
            let trained = model(labels, 7);
            let (_folder, compiled) = compile(&trained, precision);
            assert_eq!(compiled.labels(), trained.labels());
            for (a, b) in trained.scores(&TEXTS).iter().zip(compiled.scores(&TEXTS)) {
                assert_eq!(a.len(), labels);
                for (a, b) in a.iter().zip(b) {
                    // Sums are taken in another order, and f16 has 11 bits.
                    assert!((a - b).abs() < tolerance, "{labels} labels, {precision:?}: {a} {b}");
                }
            }
        }
    }
}

#[test]
fn a_trained_model_survives_its_files() {
    let trained = model(3, 5);
    let folder = tempfile::tempdir().unwrap();
    trained.write(folder.path()).unwrap();
    let read = LinearModel::read(folder.path()).unwrap();
    assert_eq!(read.scores(&TEXTS), trained.scores(&TEXTS));
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let trained = model(3, 5);
    let folder = tempfile::tempdir().unwrap();
    trained.write(folder.path()).unwrap();
    fs::write(folder.path().join("vocabulary.txt"), "w\tone\n").unwrap();
    let error = LinearModel::read(folder.path()).unwrap_err();
    assert_eq!(error.kind, EngineErrorKind::Format);
    assert!(error.to_string().contains("weights.safetensors"), "{error}");
}

/// A model that knows the words `w0`, `w2`, `w4` and so on, each with weights of its own.
fn many_words(words: usize) -> LinearModel {
    let small = model(3, 1);
    let vocabulary: Vec<_> = (0..words).map(|word| format!("w\tw{}", word * 2)).collect();
    let weight = (0..words * 3).map(|at| ((at * 37 % 101) as f32 - 50.0) / 10.0).collect();
    let idf = (0..words).map(|word| 1.0 + (word % 7) as f32).collect();
    LinearModel::new(small.description, vocabulary, idf, (weight, small.bias)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_known_word_is_found_and_no_other(
        words in 1usize..3000,
        asked in prop::collection::vec(0usize..6000, 0..300),
    ) {
        let trained = many_words(words);
        let (_folder, compiled) = compile(&trained, Precision::F32);
        let text: Vec<_> = asked.iter().map(|word| format!("w{word}")).collect();
        let text = text.join(" ");
        let (a, b) = (trained.scores(&[&text]), compiled.scores(&[&text]));
        for (a, b) in a[0].iter().zip(&b[0]) {
            // Sums are taken in another order.
            prop_assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}

proptest! {
    #[test]
    fn an_answer_is_the_same_alone_and_in_a_batch(texts in prop::collection::vec("(bank|rates|goal|the|match| |,){0,12}", 1..8)) {
        let (_folder, compiled) = compile(&model(4, 3), Precision::F16);
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let together = compiled.scores(&texts);
        for (text, row) in texts.iter().zip(together) {
            prop_assert_eq!(&compiled.scores(&[text])[0], &row);
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_or_answers(cut in 0usize..2000, at in 0usize..2000, with: u8) {
        let (mut bytes, _) = pack(&model(3, 2), Precision::F32);
        let end = cut.min(bytes.len());
        if cut % 3 == 0 {
            bytes.truncate(end);
        }
        if let Some(byte) = bytes.get_mut(at) {
            *byte = with;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("linear.mesh");
        fs::write(&path, &bytes).unwrap();
        if let Ok(model) = CompiledLinear::open(&path) {
            prop_assert_eq!(model.scores(&TEXTS).len(), TEXTS.len());
        }
    }
}
