//! An executor: Ballista's, with a worker beside it.

use std::{
    env,
    ffi::OsString,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
};

use ballista_core::config::TaskSchedulingPolicy;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    ExecutorArgs, cores,
    error::ClusterError,
    function::{configs, registry},
    worker::Worker,
};

/// How often what is left of tasks is removed, and how old it is then, in seconds.
const SWEEP: u64 = 60;

/// Serves until it is asked to end.
pub(crate) async fn serve(options: ExecutorArgs) -> Result<(), ClusterError> {
    let threads = options.threads.filter(|threads| *threads > 0).unwrap_or_else(cores);
    let mut arguments: Vec<OsString> = vec!["backfill".into(), "worker".into()];
    arguments.extend(["--threads".into(), threads.to_string().into()]);
    if let Some(cache) = options.cache {
        arguments.extend(["--cache".into(), cache.into_os_string()]);
    }
    let worker = Arc::new(Worker::new(options.mesh.unwrap_or_else(beside), arguments));
    worker.start()?;
    let folder = tempfile::Builder::new().prefix("mesh-cluster-").tempdir();
    let folder = folder.map_err(|error| ClusterError::start("the executor", error))?;
    let listen = free_port(options.listen)?;
    let grpc = free_port(SocketAddr::new(listen.ip(), 0))?;
    let config = ExecutorProcessConfig {
        bind_host: listen.ip().to_string(),
        external_host: (!listen.ip().is_unspecified()).then(|| listen.ip().to_string()),
        port: listen.port(),
        grpc_port: grpc.port(),
        scheduler_host: options.scheduler.host.clone(),
        scheduler_port: options.scheduler.port,
        // It waits for a scheduler that is not there yet.
        scheduler_connect_timeout_seconds: u16::MAX,
        vcores: threads.into(),
        task_scheduling_policy: TaskSchedulingPolicy::PullStaged,
        work_dir: Some(folder.path().display().to_string()),
        job_data_ttl_seconds: SWEEP,
        job_data_clean_up_interval_seconds: SWEEP,
        // Tasks hold nothing here: what they need is in the worker.
        memory_pool_size: Some(0),
        override_function_registry: Some(Arc::new(registry(worker))),
        override_config_producer: Some(configs()),
        ..ExecutorProcessConfig::default()
    };
    let url = options.scheduler.url();
    tracing::info!("an executor of {threads} threads at {listen}, for the scheduler {url}");
    let served = start_executor_process(Arc::new(config)).await;
    served.map_err(|error| ClusterError::start("the executor", error.to_string()))
}

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn asked_to_end() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// The `mesh` beside this program, else the one on the path.
fn beside() -> PathBuf {
    let own = env::current_exe().ok().map(|own| own.with_file_name("mesh"));
    own.filter(|mesh| mesh.is_file()).unwrap_or_else(|| "mesh".into())
}

/// The address, with a port that is free now if it names none.
fn free_port(address: SocketAddr) -> Result<SocketAddr, ClusterError> {
    let fail = |error| ClusterError::listen("the executor", address, error);
    TcpListener::bind(address).and_then(|listener| listener.local_addr()).map_err(fail)
}
