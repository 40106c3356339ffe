use std::{
    future::Future,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{Metrics, Problem, ServeError, Service, routes};

/// Listens for some services.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    services: Vec<Arc<Service>>,
    metrics: Metrics,
    pages: Option<Router>,
}

/// How long a client may take to send the head of a request; idle connections end after it too.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests under way are waited for when the server ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// What a connection of HTTP/2 begins with.
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A pause until more of it may be there.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);
/// A pause when the system gives no more connections (out of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Waits for the first bytes of a connection, by which its protocol is told; says whether they came.
/// hyper waits for them without end.
async fn begins(stream: &TcpStream) -> bool {
    let mut bytes = [0; HTTP2_PREFACE.len()];
    loop {
        let Ok(read @ 1..) = stream.peek(&mut bytes).await else { return false };
        let whole = read == bytes.len();
        if whole || bytes.get(..read) != HTTP2_PREFACE.get(..read) {
            return true;
        }
        tokio::time::sleep(PREFACE_PAUSE).await;
    }
}

impl Server {
    /// Listens on an address such as `127.0.0.1:8080`; port 0 picks a free one.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(
        address: &str,
        services: Vec<Arc<Service>>,
        metrics: Metrics,
    ) -> Result<Self, ServeError> {
        let fail = |error| ServeError::address(address, error);
        let listener = TcpListener::bind(address).await.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        Ok(Self { listener, address, services, metrics, pages: None })
    }

    /// Answers `pages` too: routes beside those of the wire contract, and `GET /`.
    #[must_use]
    pub fn with_pages(mut self, pages: Router) -> Self {
        self.pages = Some(pages);
        self
    }

    /// The address that it listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown`; then takes no new connections, answers what is under way, and
    /// says whether all of it was answered in time.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> bool {
        let router = routes::router(&self.services, self.metrics.clone(), self.pages);
        let connections = GracefulShutdown::new();
        let mut shutdown = std::pin::pin!(shutdown);
        let (ending, closing) = watch::channel(());
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            // A client may say that it sends no more and still wait for the answer.
            .half_close(true)
            .http2()
            .timer(TokioTimer::new());
        loop {
            let stream = tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "no connection could be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
                () = &mut shutdown => break,
            };
            // Answers are small: waiting to fill packets would only delay them.
            let _ = stream.set_nodelay(true);
            let service = TowerToHyperService::new(router.clone());
            let (watcher, builder) = (connections.watcher(), builder.clone());
            let mut closing = closing.clone();
            tokio::spawn(async move {
                tokio::select! {
                    begun = tokio::time::timeout(HEADER_TIMEOUT, begins(&stream)) => {
                        if !matches!(begun, Ok(true)) {
                            return;
                        }
                    }
                    _ = closing.changed() => return,
                }
                let connection = builder.serve_connection(TokioIo::new(stream), service);
                if let Err(error) = watcher.watch(connection.into_owned()).await {
                    tracing::debug!(error, "connection ended early");
                }
            });
        }
        drop(self.listener);
        drop(ending);
        for service in &self.services {
            service.drain();
        }
        let started = Instant::now();
        let drained = tokio::time::timeout(DRAIN_TIMEOUT, connections.shutdown()).await.is_ok();
        tracing::info!(drained, after = ?started.elapsed(), "server ended");
        drained
    }

    /// Asks every service that has a model its sample request: the warm-up of caches and pages.
    pub async fn warm_up(&self) {
        for service in &self.services {
            match service.warm_up().await {
                Ok(_) | Err(Problem::NotReady(_)) => {}
                Err(problem) => {
                    tracing::warn!(project = %service.name(), problem = problem.slug(), "warm-up");
                }
            }
        }
    }
}
