//! Compiling linear models.

use std::fs;

use mesh_core::{Inputs, StepContext, StepOutput, Unit, manifest::Precision};
use mesh_dataset::Dataset;
use mesh_engine::{CompiledLinear, LinearModel, TextClassifier, pack};

use crate::{
    CompileError, CompileErrorKind, Fidelity, Speed,
    fidelity::Answers,
    step::{Stopped, input, write_error},
    texts::Texts,
};

/// Texts that the two models are compared on, at most.
const MAX_TEXTS: usize = 5_000;
/// Texts between two looks at whether to stop.
const CHECK_TEXTS: usize = 64;

/// The target that `native` is.
pub(crate) const fn native(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "portable-f32",
        _ => "portable-f16",
    }
}

/// Packs the trained model, and compares the two.
pub(crate) fn compile(
    target: &str,
    inputs: &Inputs,
    output: &StepOutput,
    context: &StepContext,
) -> Result<(Fidelity, Speed), Stopped> {
    let precision = match target {
        "portable-f16" => Precision::F16,
        "portable-f32" => Precision::F32,
        other => return Err(CompileError::new(CompileErrorKind::Target(other.to_owned())).into()),
    };
    let dataset = Dataset::open(input(inputs, "dataset")?).map_err(CompileError::from)?;
    let trained = LinearModel::read(input(inputs, "model")?.path()).map_err(CompileError::from)?;
    let (bytes, report) = pack(&trained, precision);
    let path = output.dir.join(CompiledLinear::FILE);
    fs::write(&path, bytes).map_err(|error| write_error(&error))?;
    let compiled = CompiledLinear::open(&path).map_err(CompileError::from)?;
    let given = Texts::of_dataset(&dataset, MAX_TEXTS)?;
    let texts: Vec<&str> = given.texts.iter().map(String::as_str).collect();
    let task =
        context.progress.begin("compare with the model", Some(texts.len() as u64), Unit::Items);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for some in texts.chunks(CHECK_TEXTS) {
        context.cancel.check().map_err(Stopped::Interrupted)?;
        before.extend(trained.scores(some));
        after.extend(compiled.scores(some));
        task.advance(some.len() as u64);
    }
    let truth = given.truth(trained.labels());
    let answers = Answers { truth: &truth, trained: &before, compiled: &after };
    let mut fidelity = Fidelity::of_labels(target, &answers);
    fidelity.pack = Some(report);
    let run = |model: &dyn TextClassifier, texts: &[&str]| {
        drop(std::hint::black_box(model.scores(texts)));
    };
    let speed =
        Speed::measure(&|texts| run(&trained, texts), &|texts| run(&compiled, texts), &texts);
    Ok((fidelity, speed))
}
