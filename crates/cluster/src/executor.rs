//! An executor: Ballista's, with a worker beside it.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use ballista_core::config::TaskSchedulingPolicy;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    signal::unix::{SignalKind, signal},
};

use crate::{
    ExecutorArgs, Scheduler, cores,
    error::ClusterError,
    function::{configs, registry},
    worker::Worker,
};

/// How often what is left of tasks is removed, and how old it is then, in seconds.
const SWEEP: u64 = 60;
/// What the folders of executors begin with, and the name of the file in them that is locked.
const PREFIX: &str = "mesh-cluster-";
const LOCK: &str = "lock";
/// How long is waited before a scheduler that is not there is looked for again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Serves until it is asked to end.
pub(crate) async fn serve(options: ExecutorArgs) -> Result<(), ClusterError> {
    let threads = options.threads.unwrap_or_else(cores);
    let mut arguments: Vec<OsString> = vec!["backfill".into(), "worker".into()];
    arguments.extend(["--threads".into(), threads.to_string().into()]);
    if let Some(cache) = options.cache {
        arguments.extend(["--cache".into(), cache.into_os_string()]);
    }
    let worker = Arc::new(Worker::new(options.mesh.unwrap_or_else(beside), arguments));
    worker.start()?;
    let folder = Folder::new().map_err(|error| ClusterError::start("the executor", error))?;
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
        work_dir: Some(folder.place.path().display().to_string()),
        job_data_ttl_seconds: SWEEP,
        job_data_clean_up_interval_seconds: SWEEP,
        // Tasks hold nothing here: what they need is in the worker.
        memory_pool_size: Some(0),
        override_function_registry: Some(Arc::new(registry(worker))),
        override_config_producer: Some(configs()),
        ..ExecutorProcessConfig::default()
    };
    tokio::select! {
        () = until_there(&options.scheduler) => {}
        () = asked_to_end() => return Ok(()),
    }
    let url = options.scheduler.url();
    tracing::info!("an executor of {threads} threads at {listen}, for the scheduler {url}");
    let served = start_executor_process(Arc::new(config)).await;
    served.map_err(|error| ClusterError::start("the executor", error.to_string()))
}

/// Waits until a scheduler listens at an address, and says once that it does.
async fn until_there(scheduler: &Scheduler) {
    let Scheduler { host, port } = scheduler;
    let mut pause = FIRST_PAUSE;
    while let Err(error) = TcpStream::connect((host.as_str(), *port)).await {
        if pause == FIRST_PAUSE {
            tracing::warn!(
                "no scheduler answers at df://{host}:{port} ({error}): it is waited for. Start it, \
                 `mesh cluster scheduler --listen {host}:{port}`, or name another by --scheduler"
            );
        }
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

/// A folder for what tasks leave, for as long as the executor lives.
struct Folder {
    place: TempDir,
    /// Locked: who finds it unlocked knows that nobody is left.
    _lock: File,
}

impl Folder {
    /// Makes one, and removes those of executors that were killed.
    fn new() -> io::Result<Self> {
        for entry in fs::read_dir(env::temp_dir())?.flatten() {
            let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
            // One without a lock is of somebody who is just starting, or not ours.
            let lock = ours.then(|| File::open(entry.path().join(LOCK)).ok()).flatten();
            if lock.is_some_and(|lock| lock.try_lock().is_ok()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let place = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        // It has its name once it is locked.
        let (unnamed, named) = (place.path().join("lock.new"), place.path().join(LOCK));
        let lock = File::create(&unnamed)?;
        lock.lock()?;
        fs::rename(unnamed, named)?;
        Ok(Self { place, _lock: lock })
    }
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
