//! The card of a model that came pre-trained: there is no train step that would write one.

use std::{fmt::Write, fs, path::Path};

use mesh_core::{Inputs, manifest::ProjectManifest};
use mesh_engine::EncoderFolder;
use mesh_text::language_code;
use serde_json::json;

use crate::{CompileError, Fidelity, Measured, language, step::write_error};

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
    let options = folder.options(model, &config)?;
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

/// Writes `card.json` and `card.md` of a model that tells languages.
pub(crate) fn write_language(
    manifest: &ProjectManifest,
    inputs: &Inputs,
    fidelity: &Fidelity,
    to: &Path,
) -> Result<(), CompileError> {
    let Some(model) = &manifest.model else { return Ok(()) };
    let read = language::read(inputs)?;
    let languages: Vec<&str> = read.labels().into_iter().map(language_code).collect();
    let digest = inputs.sources.get("language-model").map(|source| source.digest);
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
        "languages": languages,
        "metrics": fidelity.metrics,
        "fidelity": fidelity,
    });
    let json = serde_json::to_string_pretty(&card).unwrap_or_default();
    let mut text = format!(
        "# {}\n\n{}\n\n- task: {}\n- model: pre-trained, {}\n- languages: {}\n\n",
        project.name,
        project.description,
        project.task,
        model.url,
        languages.len(),
    );
    if let Some(metrics) = &fidelity.metrics {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "## How good it is\n\nMeasured on {} texts whose language is known, with 95% \
             intervals. A guess is right once in {}.\n\n| metric | value | interval |\n|---|---|---|\n",
            fidelity.texts,
            languages.len(),
        );
        for (name, Measured { value, low, high }) in metrics {
            let _ = writeln!(text, "| {name} | {value:.4} | {low:.4} to {high:.4} |");
        }
        text.push('\n');
    }
    let _ = write!(
        text,
        "## Fidelity of {}\n\nOn {} texts: the same language in {:.4} of them, probabilities at \
         most {:.6} apart.\n",
        fidelity.target,
        fidelity.texts,
        fidelity.agreement,
        fidelity.max_difference.unwrap_or_default(),
    );
    fs::write(to.join("card.json"), json).map_err(|error| write_error(&error))?;
    fs::write(to.join("card.md"), text).map_err(|error| write_error(&error))
}
