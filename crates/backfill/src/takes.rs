//! What projects take of each other: a column `project.field` that no document has.

use std::collections::{BTreeMap, BTreeSet};

use arrow_schema::SchemaRef;
use mesh_core::{did_you_mean, manifest::InputColumn};

use crate::{
    BackfillError, Enricher, OpenArchive,
    columns::PredictionColumns,
    generation::Generation,
    job::{ProjectJob, open_live},
    plan::ProjectPlan,
    pointer::Current,
};

/// What fails where a project takes something that is not there.
const ACTION: &str = "find what projects take of each other";

impl ProjectJob {
    /// Leaves out the fields that it can do without, where they are of projects that tell nothing
    /// here. What is of no project of the workspace, or of no field of one, is a mistake all the
    /// same.
    pub(crate) fn do_without(
        &mut self,
        enricher: &Enricher,
        documents: &SchemaRef,
        silent: &dyn Fn(&str) -> bool,
    ) -> Result<(), BackfillError> {
        let ProjectPlan { input, parameters, .. } = &mut self.plan;
        let halves = [(input, &self.schema.attributes), (parameters, &self.schema.parameters)];
        for (mapping, schema) in halves {
            let required = schema.as_value().get("required").and_then(|all| all.as_array());
            let is_required = |field: &String| {
                required.is_some_and(|all| all.iter().any(|name| name == field.as_str()))
            };
            let mut left = BTreeMap::new();
            for (field, column) in std::mem::take(mapping) {
                let missing =
                    |name: &&str| taken(documents, name).is_some_and(|(other, _)| silent(other));
                let Some(name) = column.names().into_iter().find(missing).map(ToOwned::to_owned)
                else {
                    left.insert(field, column);
                    continue;
                };
                if let Some((other, told)) = taken(documents, &name) {
                    enricher.could_take(other, told)?;
                    if is_required(&field) {
                        return Err(tells_nothing(enricher, &name, other));
                    }
                }
                self.without.insert(field, name);
            }
            *mapping = left;
        }
        Ok(())
    }
}

impl Enricher {
    /// Whether a project of the workspace could tell a field, also if it has told nothing yet.
    fn could_take(&self, other: &str, field: &str) -> Result<(), BackfillError> {
        let Some(schema) = self.contracts.get(other) else {
            let what = format!(
                "{} takes `{other}.{field}`, and there is no such column, and no project `{other}`",
                self.name()
            );
            let hint = did_you_mean(other, self.contracts.keys().map(String::as_str));
            let help = format!("{hint}`input` in [backfill] of {} says what it takes", self.name());
            return Err(BackfillError::usage(ACTION, what, help));
        };
        // Under which names its columns are kept does not matter.
        let columns = PredictionColumns::of(other, schema, &BTreeMap::new(), "")?;
        let columns: Vec<(String, String)> =
            columns.fields().map(|(field, name)| (field.to_owned(), name.to_owned())).collect();
        tells(other, &columns, field)
    }
}

/// Refuses a field that a project does not tell.
pub(crate) fn tells(
    project: &str,
    columns: &[(String, String)],
    field: &str,
) -> Result<(), BackfillError> {
    if columns.iter().any(|(known, _)| known == field) {
        return Ok(());
    }
    let hint = did_you_mean(field, columns.iter().map(|(field, _)| field.as_str()));
    let fields: Vec<&str> = columns.iter().map(|(field, _)| field.as_str()).collect();
    let what = format!("{project} tells no `{field}`");
    let help = format!("{hint}It tells: {}", fields.join(", "));
    Err(BackfillError::usage(ACTION, what, help))
}

fn tells_nothing(enricher: &Enricher, column: &str, other: &str) -> BackfillError {
    let name = enricher.name();
    let what = format!("{name} takes `{column}`, and {other} has told nothing yet");
    let help = format!("name both: {other} {name}");
    BackfillError::usage(ACTION, what, help)
}

/// The columns that a project reads, each once.
pub(crate) fn columns_of(plan: &ProjectPlan) -> BTreeSet<String> {
    let all = plan.input.values().chain(plan.parameters.values());
    all.flat_map(InputColumn::names).map(ToOwned::to_owned).collect()
}

/// A column `project.field`, where the documents have no column of that name.
pub(crate) fn taken<'a>(schema: &SchemaRef, column: &'a str) -> Option<(&'a str, &'a str)> {
    if schema.field_with_name(column).is_ok() {
        return None;
    }
    column.split_once('.')
}

/// The projects, each after those whose answers it takes, else by name: in whatever order they are
/// named, it is the same backfill.
pub(crate) fn in_order(
    archive: &OpenArchive,
    mut left: Vec<Enricher>,
) -> Result<Vec<Enricher>, BackfillError> {
    let schema = archive.table.schema()?;
    left.sort_by(|one, other| one.name().cmp(other.name()));
    let mut ordered: Vec<Enricher> = Vec::new();
    while !left.is_empty() {
        let waits = |enricher: &Enricher| {
            let (input, parameters) = (enricher.input(archive), enricher.parameters(archive));
            let all = input.values().chain(parameters.values()).flat_map(InputColumn::names);
            let mut taken = all.filter_map(|column| taken(&schema, column));
            taken.any(|(project, _)| {
                left.iter().any(|other| {
                    other.name().as_str() == project && other.name() != enricher.name()
                })
            })
        };
        let Some(next) = left.iter().position(|enricher| !waits(enricher)) else {
            let names: Vec<&str> = left.iter().map(|e| e.name().as_str()).collect();
            let what = format!("{} wait for each other's answers", names.join(" and "));
            let help = "let one of them take a column of the documents instead";
            return Err(BackfillError::usage(ACTION, what, help));
        };
        ordered.push(left.remove(next));
    }
    Ok(ordered)
}

/// The answers of a project that are taken and not made anew.
pub(crate) fn read_live(
    archive: &OpenArchive,
    current: &Current,
    (other, field): (&str, &str),
    enricher: &Enricher,
) -> Result<Generation, BackfillError> {
    let Some(live) = current.generation(other) else {
        return Err(tells_nothing(enricher, &format!("{other}.{field}"), other));
    };
    let live = open_live(archive, other, live)?;
    tells(other, &live.manifest().columns, field)?;
    Ok(live)
}
