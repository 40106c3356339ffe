//! The card of a model that came pre-trained: there is no train step that would write one.

use std::{fmt::Write, fs, path::Path};

use mesh_core::{Inputs, manifest::ProjectManifest};
use mesh_engine::EncoderFolder;
use serde_json::json;

use crate::{CompileError, Fidelity, step::write_error};

/// Writes `card.json` and `card.md`.
pub(crate) fn write(
    manifest: &ProjectManifest,
    inputs: &Inputs,
    fidelity: &Fidelity,
    to: &Path,
) -> Result<(), CompileError> {
    let Some(model) = &manifest.model else { return Ok(()) };
    let folder = EncoderFolder::find(inputs.files("encoder"))?;
    let config = mesh_engine::EncoderConfig::read(folder.path())?;
    let options = folder.options(model)?;
    let digest = inputs.sources.get("encoder").map(|source| source.digest);
    let max_tokens = options.max_tokens(&config);
    let project = &manifest.project;
    let card = json!({
        "format": 1,
        "project": project.name,
        "task": project.task,
        "description": project.description,
        "owner": project.owner,
        "model": "pre-trained",
        "source": model.url,
        "digest": digest,
        "encoder": config,
        "pooling": options.pooling,
        "max_tokens": max_tokens,
        "fidelity": fidelity,
    });
    let text = serde_json::to_string_pretty(&card).unwrap_or_default();
    fs::write(to.join("card.json"), text).map_err(|error| write_error(&error))?;
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "# {}\n\n{}\n\n- task: {}\n- model: pre-trained, {}\n- encoder: {} layers of {} \
         columns, {} heads, {} tokens in the vocabulary, {} in a window\n- pooling: {:?}\n\n\
         ## Fidelity of {}\n\nOn {} texts: agreement {:.4}, cosine {:.6} at least and {:.6} in \
         the mean.\n",
        project.name,
        project.description,
        project.task,
        model.url,
        config.layers,
        config.hidden,
        config.heads,
        config.vocabulary,
        max_tokens,
        options.pooling,
        fidelity.target,
        fidelity.texts,
        fidelity.agreement,
        fidelity.cosine_min.unwrap_or_default(),
        fidelity.cosine_mean.unwrap_or_default(),
    );
    fs::write(to.join("card.md"), text).map_err(|error| write_error(&error))
}
