//! Compiling boosted trees.

use std::fs;

use mesh_core::{Inputs, StepContext, StepOutput, Unit, features::FeatureSchema};
use mesh_dataset::{Dataset, SplitName};
use mesh_engine::{CompiledTrees, Regressor, TreeModel, pack_trees};

use crate::{
    CompileError, CompileErrorKind, Fidelity, Speed,
    step::{Stopped, input, write_error},
};

/// The only target: the packed form is the same for every CPU.
pub(crate) const TARGET: &str = "portable-f64";
/// Rows that the two models are compared on, at most.
const MAX_ROWS: usize = 20_000;
/// Rows between two looks at whether to stop.
const CHECK_ROWS: usize = 256;

/// Packs the trained model, and compares the two.
pub(crate) fn compile(
    target: &str,
    inputs: &Inputs,
    output: &StepOutput,
    context: &StepContext,
) -> Result<(Fidelity, Speed), Stopped> {
    if target != TARGET {
        return Err(CompileError::new(CompileErrorKind::TreesTarget(target.to_owned())).into());
    }
    let folder = input(inputs, "model")?;
    let model = TreeModel::read(folder.path()).map_err(CompileError::from)?;
    let path = output.dir.join(CompiledTrees::FILE);
    let bytes = pack_trees(&model).map_err(CompileError::from)?;
    fs::write(&path, bytes).map_err(|error| write_error(&error))?;
    let compiled = CompiledTrees::open(&path).map_err(CompileError::from)?;
    let dataset = Dataset::open(input(inputs, "dataset")?).map_err(CompileError::from)?;
    let schema = dataset.features().map_err(CompileError::from)?;
    let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    fs::write(output.dir.join(FeatureSchema::FILE), text).map_err(|error| write_error(&error))?;
    let observations =
        dataset.observations(SplitName::Test, &schema).map_err(CompileError::from)?;
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for observation in observations.iter().take(MAX_ROWS) {
        let mut row = Vec::with_capacity(model.columns);
        schema.encode(&observation.cells, &mut row);
        rows.push(row);
    }
    if rows.is_empty() {
        return Err(CompileError::new(CompileErrorKind::NoRows).into());
    }
    let task =
        context.progress.begin("compare with the model", Some(rows.len() as u64), Unit::Items);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for some in rows.chunks(CHECK_ROWS) {
        context.cancel.check().map_err(Stopped::Interrupted)?;
        before.extend(model.tell(&some.concat()));
        after.extend(compiled.tell(&some.concat()));
        task.advance(some.len() as u64);
    }
    let fidelity = Fidelity::of_numbers(target, &before, &after);
    // As services ask: one row at a time.
    let run = |model: &dyn Regressor, rows: &[Vec<f64>]| {
        rows.iter().for_each(|row| drop(std::hint::black_box(model.tell(row))));
    };
    let speed = Speed::measure(&|rows| run(&model, rows), &|rows| run(&compiled, rows), &rows);
    Ok((fidelity, speed))
}
