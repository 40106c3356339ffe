//! Compiling language models.

use std::{fs, path::PathBuf};

use mesh_core::{Inputs, StepContext, StepOutput, Unit};
use mesh_dataset::Dataset;
use mesh_engine::MappedFile;
use mesh_text::{FastText, LANGUAGE_FILE, LanguageIdentifier, language_code, pack_identifier};

use crate::{
    CompileError, CompileErrorKind, Fidelity, Speed,
    fidelity::Answers,
    step::{Stopped, write_error},
    texts::Texts,
};

/// What a language model is to the step.
pub const LANGUAGE_ROLE: &str = "language-model";
/// The only target: the packed form is the same for every CPU.
pub(crate) const TARGET: &str = "portable-f32";
/// The largest file that is read as a model.
const MAX_FILE: u64 = 4 << 30;
/// Texts that the two models are compared on, at most.
const MAX_TEXTS: usize = 5_000;
/// Texts between two looks at whether to stop.
const CHECK_TEXTS: usize = 64;

/// Packs the model, and compares the two.
pub(crate) fn compile(
    target: &str,
    inputs: &Inputs,
    output: &StepOutput,
    context: &StepContext,
) -> Result<(Fidelity, Speed), Stopped> {
    if target != TARGET {
        return Err(CompileError::new(CompileErrorKind::LanguageTarget(target.to_owned())).into());
    }
    let model = read(inputs)?;
    let path = pack(&model, output)?;
    let map = MappedFile::open(&path).map_err(CompileError::from)?;
    let compiled = LanguageIdentifier::open(map).map_err(CompileError::from)?;
    let given = match inputs.artifact("dataset") {
        Some(dataset) => {
            let dataset = Dataset::open(dataset).map_err(CompileError::from)?;
            Texts::of_dataset(&dataset, MAX_TEXTS)?
        }
        None => Texts::of_files(inputs.files("texts"), MAX_TEXTS)?,
    };
    let texts: Vec<&str> = given.texts.iter().map(String::as_str).collect();
    let labels: Vec<String> =
        compiled.languages().iter().map(|language| language_code(language).to_owned()).collect();
    let count = labels.len();
    let row = |top: Vec<(usize, f32)>| {
        let mut row = vec![0.0; count];
        for (label, score) in top {
            if let Some(to) = row.get_mut(label) {
                *to = score;
            }
        }
        row
    };
    let task =
        context.progress.begin("compare with the model", Some(texts.len() as u64), Unit::Items);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for some in texts.chunks(CHECK_TEXTS) {
        context.cancel.check().map_err(Stopped::Interrupted)?;
        before.extend(some.iter().map(|text| row(model.top(text, count))));
        after.extend(compiled.top_of_all(some, count).into_iter().map(row));
        task.advance(some.len() as u64);
    }
    let truth = given.truth(&labels);
    let answers = Answers { truth: &truth, trained: &before, compiled: &after };
    let mut fidelity = Fidelity::of_labels(target, &answers);
    if given.labels.iter().any(Option::is_some) {
        fidelity.metrics = Some(answers.metrics());
    }
    let slow = |texts: &[&str]| texts.iter().for_each(|text| drop(model.top(text, 1)));
    let fast = |texts: &[&str]| drop(compiled.top_of_all(texts, 1));
    Ok((fidelity, Speed::measure(&slow, &fast, &texts)))
}

/// Packs the language model that stands beside a project's own.
pub(crate) fn add(inputs: &Inputs, output: &StepOutput) -> Result<(), CompileError> {
    pack(&read(inputs)?, output).map(drop)
}

fn pack(model: &FastText, output: &StepOutput) -> Result<PathBuf, CompileError> {
    let path = output.dir.join(LANGUAGE_FILE);
    fs::write(&path, pack_identifier(model)?).map_err(|error| write_error(&error))?;
    Ok(path)
}

/// The one file of fastText in what was fetched.
pub(crate) fn read(inputs: &Inputs) -> Result<FastText, CompileError> {
    let is_model = |name: &str| name.ends_with(".ftz") || name.ends_with(".bin");
    let files = inputs.files(LANGUAGE_ROLE);
    let found = match files {
        [only] => Some(only),
        several => {
            let mut models = several.iter().filter(|(name, _)| is_model(name));
            models.next().filter(|_| models.next().is_none())
        }
    };
    let Some((name, path)) = found else {
        return Err(CompileError::new(CompileErrorKind::LanguageFiles(files.len())));
    };
    let unreadable = |error: std::io::Error| {
        CompileError::new(CompileErrorKind::Texts(name.clone())).because(error)
    };
    if fs::metadata(path).map_err(unreadable)?.len() > MAX_FILE {
        return Err(CompileError::new(CompileErrorKind::Texts(name.clone())));
    }
    Ok(FastText::read(&fs::read(path).map_err(unreadable)?)?)
}
