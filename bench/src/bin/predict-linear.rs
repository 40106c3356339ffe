//! Answers the test split of a dataset with a compiled linear model, as often as it is told to.
//!
//! Usage: `predict-linear <compiled model folder> <dataset folder>`. For each line on standard
//! input it answers all texts once, on one thread, and prints a line of JSON: the seconds that
//! took, and the label of each text. `bench/linear.py` takes turns between this and scikit-learn.

use std::{
    env,
    hint::black_box,
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use mesh_dataset::{Dataset, SplitName};
use mesh_engine::{CompiledLinear, TextClassifier};
use miette::{IntoDiagnostic, Result, miette};
use serde_json::json;

fn main() -> Result<()> {
    let folders: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [compiled, dataset] = folders.as_slice() else {
        return Err(miette!("usage: predict-linear <compiled model folder> <dataset folder>"));
    };
    let model = CompiledLinear::open(&compiled.join(CompiledLinear::FILE))?;
    let texts = texts(dataset)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        line.into_diagnostic()?;
        let started = Instant::now();
        let scores = black_box(model.scores(black_box(&texts)));
        let seconds = started.elapsed().as_secs_f64();
        let labels: Vec<_> = scores.iter().map(|row| best(model.labels(), row)).collect();
        writeln!(output, "{}", json!({ "seconds": seconds, "labels": labels }))
            .into_diagnostic()?;
        output.flush().into_diagnostic()?;
    }
    Ok(())
}

fn texts(dataset: &Path) -> Result<Vec<String>> {
    let dataset = Dataset::open_folder(dataset)?;
    let documents = dataset.read(SplitName::Test)?;
    documents.map(|document| Ok(document?.text)).collect()
}

/// The label with the highest score, the first of equals.
fn best<'a>(labels: &'a [String], row: &[f32]) -> Option<&'a str> {
    let order = |a: &(&f32, &String), b: &(&f32, &String)| a.0.total_cmp(b.0);
    row.iter().zip(labels).rev().max_by(order).map(|(_, label)| label.as_str())
}
