//! Tasks from standard input to a scheduler, and their answers to standard output.

use std::{
    io::{self, Write},
    sync::Arc,
};

use ballista_core::extension::SessionStateExt;
use datafusion::{
    arrow::array::AsArray,
    common::DataFusionError,
    logical_expr::LogicalPlanBuilder,
    prelude::{SessionContext, col, lit},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{
    Scheduler,
    error::ClusterError,
    function::{configs, function, session},
};

#[derive(Deserialize)]
struct Question {
    id: u64,
    task: Box<RawValue>,
}

/// An answer, or why there is none: then the task may be asked again.
#[derive(Serialize)]
#[serde(untagged)]
enum Reply {
    Answer { id: u64, answer: Box<RawValue> },
    Lost { id: u64, lost: String },
}

/// Has tasks done until there are no more lines.
pub(crate) async fn submit(scheduler: &Scheduler) -> Result<(), ClusterError> {
    let fail = |error: DataFusionError| ClusterError::start("the query", error);
    let state = session(configs()()).and_then(|state| state.upgrade_for_ballista(scheduler.url()));
    let context = SessionContext::new_with_state(state.map_err(fail)?);
    // What is made of the state has lost the functions that were registered with it.
    context.register_udf(function(None));
    let context = Arc::new(context);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let unreadable = |error: io::Error| ClusterError::start("reading tasks", error);
    while let Some(line) = lines.next_line().await.map_err(unreadable)? {
        let Ok(Question { id, task }) = serde_json::from_str(&line) else { continue };
        let context = Arc::clone(&context);
        tokio::spawn(async move {
            // A task of its own, so that a panic of the client is a lost task too.
            let asked = tokio::spawn(async move { ask(&context, task.get()).await }).await;
            let reply = match asked {
                Ok(Ok(answer)) => Reply::Answer { id, answer },
                Ok(Err(error)) => Reply::Lost { id, lost: error.to_string() },
                Err(error) => Reply::Lost { id, lost: error.to_string() },
            };
            let mut line = serde_json::to_vec(&reply).unwrap_or_default();
            line.push(b'\n');
            let mut out = io::stdout().lock();
            let _ = out.write_all(&line).and_then(|()| out.flush());
        });
    }
    Ok(())
}

/// Has one task done: a query of one row.
async fn ask(context: &SessionContext, task: &str) -> Result<Box<RawValue>, DataFusionError> {
    let plan = LogicalPlanBuilder::values(vec![vec![lit(task)]])?
        .project(vec![function(None).call(vec![col("column1")]).alias("answer")])?
        .build()?;
    let batches = context.execute_logical_plan(plan).await?.collect().await?;
    let answer = batches.iter().find(|batch| batch.num_rows() > 0).and_then(|batch| {
        let column = batch.columns().first()?;
        let text = column.as_string_opt::<i32>()?;
        RawValue::from_string(text.value(0).to_owned()).ok()
    });
    answer.ok_or_else(|| DataFusionError::Execution("the executor has no answer".into()))
}
