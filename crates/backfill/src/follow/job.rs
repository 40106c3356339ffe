//! What answers for documents as they arrive.

use std::collections::{BTreeMap, BTreeSet};

use arrow_schema::Field;
use mesh_core::ProjectName;

use crate::{
    BackfillError, Enricher, OpenArchive, Selection,
    job::{Job, ProjectJob},
    plan::{Only, PLAN_FORMAT, Plan},
    pointer::Current,
    survey::Survey,
    takes::{columns_of, in_order, taken, tells},
};

impl Job {
    /// What answers for documents as they arrive: nothing was told of any of them.
    pub(crate) fn of_arrivals(
        archive: OpenArchive,
        enrichers: Vec<Enricher>,
        key: &Field,
    ) -> Result<Self, BackfillError> {
        let enrichers = in_order(&archive, enrichers)?;
        let schema = archive.table.schema()?;
        let doing = |name: &str| enrichers.iter().any(|e| e.name().as_str() == name);
        let (mut projects, mut inputs) = (Vec::<ProjectJob>::new(), BTreeSet::new());
        for enricher in &enrichers {
            let (none, all) = (Current::default(), Selection::default());
            let mut project = ProjectJob::new(&archive, enricher, &none, &all, key)?;
            let silent = |other: &str| !doing(other) && is_another(other, enricher.name());
            project.do_without(enricher, &schema, &silent)?;
            for column in columns_of(&project.plan) {
                match taken(&schema, &column) {
                    Some((other, field)) if doing(other) => {
                        let told = projects.iter().find(|p| p.plan.project.as_str() == other);
                        told.map_or(Ok(()), |told| tells(other, &told.plan.columns, field))?;
                    }
                    _ => drop(inputs.insert(column)),
                }
            }
            projects.push(project);
        }
        let inputs: Vec<String> = inputs.into_iter().collect();
        let key_column = key.name().clone();
        let mut columns = vec![key_column.clone()];
        columns.extend(inputs.iter().filter(|name| **name != key_column).cloned());
        let plan = Plan {
            format: PLAN_FORMAT,
            archive: archive.manifest.archive.name.clone(),
            url: archive.manifest.archive.url.clone(),
            files: Vec::new(),
            key_column,
            projects: projects.iter().map(|project| project.plan.clone()).collect(),
            reads: BTreeMap::new(),
            only: Only::Stale,
            filter: None,
            rows: 0,
            chunk_rows: 0,
            spans: Vec::new(),
        };
        let (spans, survey) = (Vec::new(), Survey::default());
        let (files, filter, reads) = (Vec::new(), None, BTreeMap::new());
        let key = plan.key();
        Ok(Self {
            archive,
            plan,
            key,
            files,
            spans,
            survey,
            filter,
            columns,
            inputs,
            projects,
            reads,
        })
    }
}

/// Whether what stands before the dot of a column names another project.
fn is_another(name: &str, own: &ProjectName) -> bool {
    name.parse::<ProjectName>().is_ok_and(|name| name != *own)
}
