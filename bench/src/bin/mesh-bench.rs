//! Our encoder engine for `bench/encoder.py`. The line protocol is described in
//! `bench/encoder_worker.py`: a JSON command per line on standard input, a JSON answer per line on
//! standard output.
//!
//! ```text
//! mesh-bench encode --model FOLDER --target TARGET --threads N
//! mesh-bench peak     GFLOP/s of one core: {"f32": ..., "bf16": ...}
//! mesh-bench targets  the targets of this CPU, and the peak of each
//! ```

use std::{
    env,
    io::{BufRead, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use mesh_engine::{
    CompiledEncoder, EncoderOptions, Peak, ReferenceEncoder, Target, normalise, pack_encoder, peak,
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
        ["encode", "--model", model, "--target", target, "--threads", threads] => {
            let target: Target = target.parse()?;
            let path = packed(Path::new(model), target)?;
            serve(&path, target, threads.parse().into_diagnostic()?)
        }
        ["peak"] => {
            let peaks = peaks()?;
            let best = |suffix: &str| {
                let some = peaks.iter().filter(|peak| peak.target.as_str().ends_with(suffix));
                some.map(|peak| peak.gflops).reduce(f64::max)
            };
            print(&json!({ "f32": best("f32"), "bf16": best("bf16") }))
        }
        ["targets"] => {
            let peaks = peaks()?;
            let peaks = peaks.iter().map(|peak| (peak.target.to_string(), json!(peak.gflops)));
            print(&Value::Object(peaks.collect()))
        }
        _ => bail!(
            "usage: mesh-bench encode --model FOLDER --target TARGET --threads N | peak | targets"
        ),
    }
}

fn peaks() -> Result<Vec<Peak>> {
    Ok(Target::available().into_iter().map(peak).collect::<Result<_, _>>()?)
}

/// The packed encoder, beside the model's files; made by whoever asks first.
fn packed(model: &Path, target: Target) -> Result<PathBuf> {
    let path = model.join(format!("encoder-{target}.mesh"));
    if !path.exists() {
        let options = EncoderOptions { max_tokens: Some(256), ..EncoderOptions::default() };
        let bytes = pack_encoder(&ReferenceEncoder::read(model)?, target, &options);
        let part = path.with_extension("part");
        std::fs::write(&part, bytes).into_diagnostic()?;
        std::fs::rename(&part, &path).into_diagnostic()?;
    }
    Ok(path)
}

fn serve(path: &Path, target: Target, threads: usize) -> Result<()> {
    let mut encoder = None;
    for line in std::io::stdin().lock().lines() {
        let command: Command = serde_json::from_str(&line.into_diagnostic()?).into_diagnostic()?;
        let open = || encoder.as_ref().ok_or_else(|| miette!("`load` comes first"));
        let answer = match command {
            Command::Load => {
                let (started, cpu) = (Instant::now(), cpu_seconds());
                encoder = Some(CompiledEncoder::open(path)?);
                let (wall, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
                let precision = target.as_str().rsplit('-').next();
                let version = env!("CARGO_PKG_VERSION");
                json!({ "wall": wall, "cpu": cpu, "padding": false, "precision": precision, "version": version })
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

/// Every batch is a call on one thread, and calls overlap, as those of a service's workers do.
fn run(encoder: &CompiledEncoder, batches: &[Vec<Vec<u32>>], threads: usize) -> Value {
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
            std::hint::black_box(embed(encoder, batch, 1));
        }
    };
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
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
