//! Tags the test split of a dataset with a compiled tagger, on one thread.
//!
//! Usage: `tag-words <compiled model folder> <dataset folder> [rounds]`. Prints a line of JSON: the
//! words of the split, and the words per second of every round, from words to tags with scores.

use std::{
    env,
    hint::black_box,
    io::{self, Write},
    path::Path,
    time::Instant,
};

use mesh_dataset::{Dataset, SplitName};
use mesh_engine::CompiledSequence;
use miette::{IntoDiagnostic, Result, miette};
use serde_json::json;

/// Sentences that are asked about at once.
const BATCH: usize = 32;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [compiled, dataset, rest @ ..] = arguments.as_slice() else {
        return Err(miette!("usage: tag-words <compiled model folder> <dataset folder> [rounds]"));
    };
    let rounds: usize = rest.first().map_or(Ok(9), |rounds| rounds.parse()).into_diagnostic()?;
    let model = CompiledSequence::open(Path::new(compiled))?;
    let documents = Dataset::open_folder(Path::new(dataset))?.read(SplitName::Test)?;
    let texts: Vec<String> = documents.map(|document| Ok(document?.text)).collect::<Result<_>>()?;
    let sentences: Vec<Vec<&str>> = texts.iter().map(|text| text.split(' ').collect()).collect();
    let words: usize = sentences.iter().map(Vec::len).sum();
    let round = || {
        let started = Instant::now();
        for some in sentences.chunks(BATCH) {
            black_box(model.tag(black_box(some), 1));
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of words")]
        let count = words as f64;
        count / started.elapsed().as_secs_f64()
    };
    round();
    let speeds: Vec<f64> = (0..rounds).map(|_| round()).collect();
    let told = json!({ "words": words, "words_per_second": speeds });
    writeln!(io::stdout(), "{told}").into_diagnostic()
}
