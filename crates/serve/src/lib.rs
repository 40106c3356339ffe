//! A project as a REST service: routes, schemas, batches, health, metrics.
//!
//! A [`Service`] holds one project: its contract, its loaded model, and a bounded queue from
//! which worker threads take whatever waits, as one batch. A [`Server`] listens for any number
//! of services. A model can be replaced while requests are under way: each is answered by the
//! model that took it.
//!
//! ```no_run
//! # async fn example(manifest: std::sync::Arc<mesh_core::manifest::ProjectManifest>,
//! #     registration: mesh_core::Registration, model: mesh_serve::Model)
//! #     -> Result<(), Box<dyn std::error::Error>> {
//! use mesh_serve::{Metrics, Server, Service};
//!
//! let metrics = Metrics::new();
//! let service = Service::start(manifest, &registration, &metrics)?;
//! service.load(model);
//! let server = Server::bind("127.0.0.1:0", vec![service], metrics).await?;
//! println!("listening on http://{}", server.address());
//! server.run(std::future::pending()).await;
//! # Ok(())
//! # }
//! ```

mod docs;
mod envelope;
mod error;
mod metrics;
mod openai;
mod openapi;
mod problem;
mod queue;
mod routes;
mod server;
mod service;
mod traffic;

pub use docs::escape_html;
pub use error::{ServeError, ServeErrorKind};
pub use metrics::Metrics;
pub use problem::Problem;
pub use server::Server;
pub use service::{Model, Prediction, Service};
pub use traffic::Traffic;
