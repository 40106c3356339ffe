//! The one function that queries ask: it does a task.

use std::sync::Arc;

use ballista_core::{
    ConfigProducer, extension::SessionConfigExt, registry::BallistaFunctionRegistry,
    utils::default_session_builder,
};
use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray, StringArray},
        datatypes::DataType,
    },
    common::{DataFusionError, Result},
    execution::SessionState,
    logical_expr::{
        ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
    prelude::SessionConfig,
};

use crate::worker::Worker;

/// Its name in queries.
pub(crate) const NAME: &str = "mesh_task";

/// Does a task per row: text in, text out. Schedulers and those who ask know its name and type;
/// only executors have what does it.
#[derive(Debug, Clone)]
struct Task {
    signature: Signature,
    worker: Option<Arc<Worker>>,
}

pub(crate) fn function(worker: Option<Arc<Worker>>) -> ScalarUDF {
    // Volatile: nobody may answer it while planning, or once for all.
    let signature = Signature::uniform(1, vec![DataType::Utf8], Volatility::Volatile);
    ScalarUDF::new_from_impl(Task { signature, worker })
}

/// What builds the sessions of a scheduler, and of those who ask one.
pub(crate) fn session(config: SessionConfig) -> Result<SessionState> {
    use datafusion::execution::FunctionRegistry;
    let mut state = default_session_builder(config)?;
    state.register_udf(Arc::new(function(None)))?;
    Ok(state)
}

/// The settings of sessions.
pub(crate) fn configs() -> ConfigProducer {
    Arc::new(|| SessionConfig::new_with_ballista().with_target_partitions(1))
}

/// What an executor finds functions in.
pub(crate) fn registry(worker: Arc<Worker>) -> BallistaFunctionRegistry {
    let mut registry = BallistaFunctionRegistry::default();
    registry.scalar_functions.insert(NAME.into(), Arc::new(function(Some(worker))));
    registry
}

impl ScalarUDFImpl for Task {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(worker) = &self.worker else {
            return Err(DataFusionError::Internal(format!("{NAME} is done by executors only")));
        };
        let tasks = ColumnarValue::values_to_arrays(&args.args)?;
        let tasks = tasks.first().and_then(|tasks| tasks.as_string_opt::<i32>());
        let tasks = tasks.ok_or_else(|| DataFusionError::Internal(format!("{NAME} takes text")))?;
        let answer = |task: Option<&str>| task.map(|task| worker.ask(task)).transpose();
        let answers: Result<StringArray, _> = tasks.iter().map(answer).collect();
        let answers = answers.map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(ColumnarValue::Array(Arc::new(answers) as ArrayRef))
    }
}

impl PartialEq for Task {
    fn eq(&self, other: &Self) -> bool {
        self.signature == other.signature
    }
}

impl Eq for Task {}

impl std::hash::Hash for Task {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.signature.hash(state);
    }
}
