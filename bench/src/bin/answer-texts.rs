//! Answers texts with a project, in memory and on several threads: what its engine can do with
//! nothing around it.
//!
//! Usage: `answer-texts <project.toml> <compiled model folder> <texts, JSONL> <threads>`. For each
//! line on standard input it answers all texts once, and prints a line of JSON: the seconds that
//! took, and how many were answered. `bench/backfill.py` compares a backfill with it.

use std::{
    env, fs,
    io::{self, BufRead, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use mesh_core::{ModelFiles, ModelVersion, Predictor, Registration, manifest::ProjectManifest};
use mesh_project_sentiment::Sentiment;
use mesh_tasks::InLanguages;
use miette::{IntoDiagnostic, Result, miette};
use serde_json::json;

/// Requests answered in one call of the model, as in a backfill.
const BATCH: usize = 64;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [manifest, compiled, texts, threads] = arguments.as_slice() else {
        return Err(miette!(
            "usage: answer-texts <project.toml> <compiled> <texts.jsonl> <threads>"
        ));
    };
    let threads: usize = threads.parse().into_diagnostic()?;
    let manifest =
        ProjectManifest::parse(manifest, &fs::read_to_string(manifest).into_diagnostic()?)?;
    let predictor = load(manifest, PathBuf::from(compiled))?;
    let texts = fs::read_to_string(texts).into_diagnostic()?;
    let texts: Vec<&str> = texts.lines().collect();
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        line.into_diagnostic()?;
        let started = Instant::now();
        let answered = answer(predictor.as_ref(), &texts, threads);
        let seconds = started.elapsed().as_secs_f64();
        writeln!(output, "{}", json!({ "seconds": seconds, "answered": answered }))
            .into_diagnostic()?;
        output.flush().into_diagnostic()?;
    }
    Ok(())
}

fn load(manifest: ProjectManifest, compiled: PathBuf) -> Result<Arc<dyn Predictor>> {
    let mut known = vec![Registration::of::<InLanguages<Sentiment>>("sentiment")];
    known.extend(mesh_tasks::registrations());
    let (name, task) = (manifest.project.name.to_string(), manifest.project.task.as_str());
    let found = known.iter().find(|r| r.name() == name);
    let found = found.or_else(|| known.iter().find(|r| r.name() == task));
    let found = found.ok_or_else(|| miette!("no code for the task {task}"))?;
    let files = ModelFiles {
        manifest: Arc::new(manifest),
        compiled: Some(compiled),
        version: ModelVersion::FIRST,
    };
    Ok(found.load(&files)?)
}

/// How many of the texts have an answer.
fn answer(predictor: &dyn Predictor, texts: &[&str], threads: usize) -> usize {
    let (next, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(BATCH, Ordering::Relaxed);
                    let Some(some) = texts.get(at..texts.len().min(at + BATCH)) else { return };
                    if some.is_empty() {
                        return;
                    }
                    let inputs =
                        some.iter().filter_map(|text| predictor.parse(text, None).ok()).collect();
                    let good = predictor.predict(inputs).iter().filter(|a| a.is_ok()).count();
                    answered.fetch_add(good, Ordering::Relaxed);
                }
            });
        }
    });
    answered.into_inner()
}
