//! `mesh backfill worker`: does the tasks of a cluster that an executor hands it.

use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use mesh_backfill::{Enricher, Wanted, Worker};
use mesh_core::{Digest, ModelFiles};
use mesh_store::ArtifactStore;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::{runtime::Handle, task::JoinHandle};

use crate::{args::BackfillWorker, context::Context, projects::Projects, report::CliError};

#[derive(Deserialize)]
struct Question {
    id: u64,
    task: Box<RawValue>,
}

#[derive(Serialize)]
struct Answer {
    id: u64,
    answer: Box<RawValue>,
}

/// Does a task per line of standard input, several at once, until there are no more.
///
/// Waits for them: to be called from a thread of its own.
pub(crate) fn work(context: &Context, options: BackfillWorker) -> Result<ExitCode, CliError> {
    let cache = options.cache.unwrap_or_else(cache);
    let threads = context.run_options(options.threads).threads;
    let (projects, runtime) = (Arc::clone(&context.projects), Handle::current());
    let waiting = runtime.clone();
    let load = move |wanted: Wanted<'_>| load(&projects, &cache, &waiting, wanted);
    let worker = Arc::new(Worker::new(runtime.clone(), threads, Box::new(load)));
    let mut under_way = Vec::new();
    let unreadable = |error| CliError::io("read tasks from", "standard input", error);
    for line in io::stdin().lines() {
        let line = line.map_err(unreadable)?;
        let Ok(Question { id, task }) = serde_json::from_str(&line) else {
            tracing::warn!("a line that is no task is passed over");
            continue;
        };
        let worker = Arc::clone(&worker);
        // The executor hands out no more than it has threads.
        under_way.retain(|task: &JoinHandle<()>| !task.is_finished());
        under_way.push(runtime.spawn_blocking(move || {
            let Ok(answer) = RawValue::from_string(worker.answer(task.get())) else { return };
            let mut line = serde_json::to_vec(&Answer { id, answer }).unwrap_or_default();
            line.push(b'\n');
            let mut out = io::stdout().lock();
            // Who is gone needs no answer: the part is written.
            let _ = out.write_all(&line).and_then(|()| out.flush());
        }));
    }
    // Who started it may be gone; what is under way is written all the same.
    for task in under_way {
        let _ = runtime.block_on(task);
    }
    Ok(ExitCode::SUCCESS)
}

/// Loads a model by its digest, from the store of the workspace that it is of.
fn load(
    projects: &Projects,
    cache: &Path,
    runtime: &Handle,
    wanted: Wanted<'_>,
) -> Result<Enricher, CliError> {
    let Wanted { root, store, manifest, version, digest, contracts } = wanted;
    let compiled = match digest.parse::<Digest>() {
        Ok(digest) => {
            let elsewhere = store.contains("://");
            if !elsewhere && !root.join(store).is_dir() {
                let action = format!("reach the store of models, {}", root.join(store).display());
                let help = "let `url` of [store] in mesh.toml be on S3, or a folder that all \
                            machines have under one path";
                return Err(CliError::usage(action, help));
            }
            let store = ArtifactStore::open(store, if elsewhere { cache } else { root })?;
            Some(runtime.block_on(store.get(digest))?.path().to_owned())
        }
        // A project that answers with its code alone.
        Err(_) => None,
    };
    let files = ModelFiles { manifest: Arc::clone(manifest), compiled, version };
    let predictor = projects.registration(manifest)?.load(&files)?;
    let (manifest, contracts) = (Arc::clone(manifest), Arc::clone(contracts));
    Ok(Enricher { manifest, version, digest: digest.to_owned(), predictor, contracts })
}

/// The folder of the user's cache.
fn cache() -> PathBuf {
    let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    user.unwrap_or_else(env::temp_dir).join("mesh")
}
