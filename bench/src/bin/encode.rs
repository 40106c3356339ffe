//! Our encoder engine for `bench/encoder.py`, by its line protocol: a JSON command per line on
//! standard input, a JSON answer per line on standard output.
//!
//! ```text
//! encode pack MODEL TARGET          packs a model folder: MODEL/encoder-TARGET.mesh
//! encode serve MODEL TARGET THREADS answers load, run, embed, memory and quit
//! encode peak                       the most that this CPU computes, per target
//! encode targets                    the targets of this CPU
//! ```

use std::{
    env,
    io::{BufRead, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use mesh_engine::{
    CompiledEncoder, EncoderOptions, ReferenceEncoder, Target, normalise, pack_encoder, peak,
};
use miette::{IntoDiagnostic, Result, bail, miette};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Command {
    Load,
    Run { batches: Vec<Vec<Vec<u32>>> },
    Embed { texts: Vec<Vec<u32>> },
    Memory,
    Quit,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["pack", model, target] => pack(Path::new(model), target.parse()?),
        ["serve", model, target, threads] => {
            let path = packed(Path::new(model), target.parse()?);
            serve(&path, threads.parse().into_diagnostic()?)
        }
        ["peak"] => {
            let peaks = Target::available().into_iter().map(peak);
            let peaks: Vec<_> = peaks.collect::<Result<_, _>>()?;
            let peaks = peaks.iter().map(|p| (p.target.to_string(), json!(p.gflops)));
            print(&Value::Object(peaks.collect()))
        }
        ["targets"] => {
            print(&json!(Target::available().iter().map(|t| t.as_str()).collect::<Vec<_>>()))
        }
        _ => bail!("usage: encode pack MODEL TARGET | serve MODEL TARGET THREADS | peak | targets"),
    }
}

fn packed(model: &Path, target: Target) -> PathBuf {
    model.join(format!("encoder-{target}.mesh"))
}

fn pack(model: &Path, target: Target) -> Result<()> {
    let options = EncoderOptions { max_tokens: Some(256), ..EncoderOptions::default() };
    let bytes = pack_encoder(&ReferenceEncoder::read(model)?, target, &options);
    std::fs::write(packed(model, target), bytes).into_diagnostic()
}

fn serve(path: &Path, threads: usize) -> Result<()> {
    let mut encoder = None;
    for line in std::io::stdin().lock().lines() {
        let command: Command = serde_json::from_str(&line.into_diagnostic()?).into_diagnostic()?;
        let open = || encoder.as_ref().ok_or_else(|| miette!("`load` comes first"));
        let answer = match command {
            Command::Load => {
                encoder = Some(CompiledEncoder::open(path)?);
                json!({ "ok": true })
            }
            Command::Run { batches } => run(open()?, &batches, threads),
            Command::Embed { texts } => json!({ "embeddings": embed(open()?, &texts, threads) }),
            Command::Memory => json!({ "rss_bytes": resident()? }),
            Command::Quit => return Ok(()),
        };
        print(&answer)?;
    }
    Ok(())
}

fn run(encoder: &CompiledEncoder, batches: &[Vec<Vec<u32>>], threads: usize) -> Value {
    let (started, cpu) = (Instant::now(), cpu_seconds());
    for batch in batches {
        std::hint::black_box(embed(encoder, batch, threads));
    }
    json!({ "wall": started.elapsed().as_secs_f64(), "cpu": cpu_seconds() - cpu })
}

fn embed(encoder: &CompiledEncoder, texts: &[Vec<u32>], threads: usize) -> Vec<Vec<f32>> {
    let mut embeddings = encoder.embed(texts, threads);
    embeddings.iter_mut().for_each(|embedding| normalise(embedding));
    embeddings
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a benchmark")]
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Bytes of this process that are in memory.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").into_diagnostic()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes: u64 = kilobytes
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| miette!("failed to read VmRSS from /proc/self/status"))?;
    Ok(kilobytes * 1024)
}

fn print(value: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}").and_then(|()| out.flush()).into_diagnostic()
}
