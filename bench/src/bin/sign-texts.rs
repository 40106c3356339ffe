//! Makes signatures of texts as `datasketch` does, as often as it is told to, on one thread.
//!
//! Usage: `sign-texts <texts, one a line> <shingle> <permutations> <file for the signatures>`. The
//! words of a text are parted by single spaces. It writes the signatures as little-endian numbers
//! of 32 bits, one text after another. Then, for each line on standard input, it makes all of them
//! anew, and prints a line of JSON: the seconds from texts to signatures, and from words that are
//! already told apart. `bench/lsh.py` takes turns between this and other libraries.

use std::{
    env, fs,
    hint::black_box,
    io::{self, BufRead, Write},
    time::Instant,
};

use mesh_minhash::{Datasketch, Options, Words};
use miette::{IntoDiagnostic, Result, miette};
use serde_json::json;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [texts, shingle, permutations, output] = arguments.as_slice() else {
        return Err(miette!("usage: sign-texts <texts> <shingle> <permutations> <signatures>"));
    };
    let texts = fs::read_to_string(texts).into_diagnostic()?;
    let texts: Vec<&str> = texts.lines().collect();
    let options = Options {
        shingle: shingle.parse().into_diagnostic()?,
        permutations: permutations.parse().into_diagnostic()?,
        ..Options::default()
    };
    let hasher = Datasketch::new(options).into_diagnostic()?;
    let words = |text: &&str| Words::spaced((*text).to_owned());
    let prepared: Vec<Words> = texts.iter().map(words).collect();
    let signatures = prepared.iter().filter_map(|words| hasher.signature(words));
    let bytes: Vec<u8> = signatures.flatten().flat_map(u32::to_le_bytes).collect();
    fs::write(output, bytes).into_diagnostic()?;
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        line.into_diagnostic()?;
        let started = Instant::now();
        for text in black_box(&texts) {
            black_box(hasher.signature(&words(text)));
        }
        let seconds = started.elapsed().as_secs_f64();
        let started = Instant::now();
        for words in black_box(&prepared) {
            black_box(hasher.signature(words));
        }
        let from_words = started.elapsed().as_secs_f64();
        writeln!(output, "{}", json!({ "seconds": seconds, "from_words": from_words }))
            .into_diagnostic()?;
        output.flush().into_diagnostic()?;
    }
    Ok(())
}
