//! The scheduler: Ballista's, with the function of tasks.

use std::{net::SocketAddr, sync::Arc};

use ballista_core::config::TaskSchedulingPolicy;
use ballista_scheduler::{
    cluster::BallistaCluster,
    config::SchedulerConfig,
    scheduler_process::{create_scheduler, start_grpc_service_with_listener},
};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tokio::net::TcpListener;

use crate::{
    error::ClusterError,
    function::{configs, session},
};

/// Seconds after which an executor that says nothing is lost. A busy one says something every five.
const EXECUTOR_TIMEOUT: u64 = 15;
/// How often lost executors are looked for, in seconds.
const LOOK: u64 = 2;
/// Seconds that what is known of finished tasks is kept.
const KEEP: u64 = 60;

/// Serves until it is asked to end.
pub(crate) async fn serve(listen: SocketAddr) -> Result<(), ClusterError> {
    let listener = TcpListener::bind(listen).await;
    let listener =
        listener.map_err(|error| ClusterError::listen("the scheduler", listen, error))?;
    let fail = |error: String| ClusterError::start("the scheduler", error);
    let address = listener.local_addr().map_err(|error| fail(error.to_string()))?;
    let config = SchedulerConfig {
        bind_host: address.ip().to_string(),
        bind_port: address.port(),
        external_host: address.ip().to_string(),
        // Executors that ask for work find a scheduler again that was restarted.
        scheduling_policy: TaskSchedulingPolicy::PullStaged,
        executor_timeout_seconds: EXECUTOR_TIMEOUT,
        no_executors_grace_period_seconds: EXECUTOR_TIMEOUT,
        expire_dead_executor_interval_seconds: LOOK,
        finished_job_data_clean_up_interval_seconds: KEEP,
        finished_job_state_clean_up_interval_seconds: KEEP,
        override_session_builder: Some(Arc::new(session)),
        override_config_producer: Some(configs()),
        ..SchedulerConfig::default()
    };
    let cluster = BallistaCluster::new_from_config(&config).await;
    let cluster = cluster.map_err(|error| fail(error.to_string()))?;
    let scheduler =
        create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster, Arc::new(config)).await;
    let scheduler = scheduler.map_err(|error| fail(error.to_string()))?;
    tracing::info!("the scheduler listens on df://{address}");
    tokio::select! {
        served = start_grpc_service_with_listener(listener, scheduler) => {
            served.map_err(|error| fail(error.to_string()))
        }
        () = crate::executor::asked_to_end() => Ok(()),
    }
}
