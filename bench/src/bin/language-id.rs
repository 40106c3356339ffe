//! Tells the languages of texts with a compiled model, as often as it is told to.
//!
//! Usage: `language-id <compiled model folder> <texts, one a line>`. For each line on standard
//! input it answers all texts once, on one thread, and prints a line of JSON: the seconds that
//! took, and the language of each text. `bench/language.py` takes turns between this and
//! fastText.

use std::{
    env, fs,
    hint::black_box,
    io::{self, BufRead, Write},
    path::PathBuf,
    time::Instant,
};

use mesh_engine::MappedFile;
use mesh_text::{LANGUAGE_FILE, LanguageIdentifier};
use miette::{IntoDiagnostic, Result, miette};
use serde_json::json;

fn main() -> Result<()> {
    let paths: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [compiled, texts] = paths.as_slice() else {
        return Err(miette!("usage: language-id <compiled model folder> <texts, one a line>"));
    };
    let model = LanguageIdentifier::open(MappedFile::open(&compiled.join(LANGUAGE_FILE))?)?;
    let texts = fs::read_to_string(texts).into_diagnostic()?;
    let texts: Vec<&str> = texts.lines().collect();
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        line.into_diagnostic()?;
        let started = Instant::now();
        let told = black_box(model.top_of_all(black_box(&texts), 1));
        let seconds = started.elapsed().as_secs_f64();
        let name = |top: Vec<(usize, f32)>| {
            top.first().and_then(|(at, _)| model.languages().get(*at)).cloned()
        };
        let languages: Vec<_> = told.into_iter().map(name).collect();
        writeln!(output, "{}", json!({ "seconds": seconds, "languages": languages }))
            .into_diagnostic()?;
        output.flush().into_diagnostic()?;
    }
    Ok(())
}
