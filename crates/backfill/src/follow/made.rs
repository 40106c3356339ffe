//! What is made of the documents of a batch, on several threads.

use std::{collections::BTreeMap, thread};

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use mesh_archive::Span;
use mesh_core::Cancel;

use crate::{
    BackfillError, BackfillErrorKind,
    answers::AnswerLog,
    chunk::{Chunk, Made, Work, beside},
    follow::arrivals::Arrivals,
    job::Job,
};

/// Documents that are worth a thread of their own.
const LEAST: usize = 32;

/// What the projects tell of documents, in the order of the projects.
pub(super) fn make(
    job: &Job,
    answers: &AnswerLog,
    arrivals: &Arrivals,
    threads: usize,
) -> Result<Vec<Made>, BackfillError> {
    let rows = arrivals.rows();
    let step = rows.div_ceil(threads.max(1)).max(LEAST);
    let starts: Vec<usize> = (0..rows).step_by(step).collect();
    let work = |start: usize| of_some(job, answers, arrivals, (start, step.min(rows - start)));
    let slices = thread::scope(|scope| {
        let running: Vec<_> = starts.iter().map(|start| scope.spawn(|| work(*start))).collect();
        let panicked = || Err(BackfillError::new("enrich", BackfillErrorKind::Panic));
        let ended = running.into_iter().map(|one| one.join().unwrap_or_else(|_| panicked()));
        ended.collect::<Result<Vec<_>, _>>()
    })?;
    let mut slices = slices.into_iter();
    let mut all = slices.next().unwrap_or_default();
    for slice in slices {
        for (one, more) in all.iter_mut().zip(slice) {
            join(one, more)?;
        }
    }
    Ok(all)
}

fn of_some(
    job: &Job,
    answers: &AnswerLog,
    arrivals: &Arrivals,
    (start, rows): (usize, usize),
) -> Result<Vec<Made>, BackfillError> {
    let keys = arrivals.keys.iter().skip(start).take(rows).cloned().map(Some).collect();
    let span = Span { file: 0, first: start as u64, rows: rows as u64, offset: 0, keys: None };
    let batch = arrivals.batch.slice(start, rows);
    let chunk = Chunk { span, batch, keys, broken: BTreeMap::new() };
    // A batch is finished whoever asks to stop: it is small.
    let cancel = Cancel::new();
    let work = Work { job, answers, progress: &mesh_core::NoProgress, cancel: &cancel };
    let mut enriched = BTreeMap::new();
    let mut all = Vec::new();
    for project in &job.projects {
        let made = work.make(project, &chunk, &enriched)?;
        let told = beside(&made.batch, &project.plan.columns, &job.plan.key_column, &chunk);
        enriched.insert(project.plan.project.to_string(), told);
        all.push(made);
    }
    Ok(all)
}

fn join(one: &mut Made, more: Made) -> Result<(), BackfillError> {
    let both = |one: &RecordBatch, more: &RecordBatch| {
        concat_batches(&one.schema(), [one, more]).map_err(|error| {
            let kind = BackfillErrorKind::Damaged("a batch".into());
            BackfillError::new("put enrichments together", kind).because(error)
        })
    };
    one.batch = both(&one.batch, &more.batch)?;
    one.rejects = match (one.rejects.take(), more.rejects) {
        (Some(one), Some(more)) => Some(both(&one, &more)?),
        (one, more) => one.or(more),
    };
    one.counts += more.counts;
    one.asked += more.asked;
    Ok(())
}
