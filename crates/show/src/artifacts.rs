//! Artifacts, opened: what they are, and the texts in them.

use mesh_core::Digest;
use serde_json::{Value, json};

use crate::{error::Fault, state::State};

/// Files that are shown, at most so long.
const MAX_SHOWN: u64 = 1 << 20;
/// Files that are text.
const TEXTS: [&str; 5] = [".json", ".jsonl", ".md", ".txt", ".toml"];

/// What an artifact is, what is in it, and where it came from.
pub(crate) async fn manifest(state: &State, digest: Digest) -> Result<Value, Fault> {
    there(state, digest).await?;
    let artifact = state.artifact(digest).await?;
    let mut told = serde_json::to_value(artifact.manifest())?;
    if let Some(told) = told.as_object_mut() {
        told.insert("digest".into(), json!(digest));
        let readable = artifact.manifest().files.iter().filter(|file| {
            file.size <= MAX_SHOWN && TEXTS.iter().any(|ending| file.path.ends_with(ending))
        });
        let readable: Vec<_> = readable.map(|file| &file.path).collect();
        told.insert("readable".into(), json!(readable));
    }
    Ok(told)
}

/// A file of an artifact that people can read.
pub(crate) async fn file(state: &State, digest: Digest, name: &str) -> Result<String, Fault> {
    there(state, digest).await?;
    let artifact = state.artifact(digest).await?;
    let entry = artifact.manifest().files.iter().find(|file| file.path == name);
    let text = TEXTS.iter().any(|ending| name.ends_with(ending));
    if !entry.is_some_and(|entry| text && entry.size <= MAX_SHOWN) {
        let reason = format!("it has no such file that is text of at most {MAX_SHOWN} bytes");
        return Err(Fault::absent(reason));
    }
    Ok(artifact.read(name)?)
}

async fn there(state: &State, digest: Digest) -> Result<(), Fault> {
    match state.workspace.store().contains(digest).await {
        true => Ok(()),
        false => {
            Err(Fault::absent("that artifact is not in the store; `mesh gc` removes old ones"))
        }
    }
}
