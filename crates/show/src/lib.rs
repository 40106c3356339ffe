//! The page of every project: its server side, and the page itself.
//!
//! The page is one program of TypeScript (`web/`), embedded here with its files compressed. It
//! knows no project: it draws what the JSON API below `/api/v1` tells of the workspace, and asks
//! the services by the same routes that everybody asks. So there is nothing that the page can do
//! and another program cannot.
//!
//! ```no_run
//! # async fn example(workspace: std::sync::Arc<mesh_pipeline::Workspace>,
//! #     projects: Vec<mesh_show::Shown>, server: mesh_serve::Server) {
//! use mesh_show::Show;
//!
//! let show = Show::new(workspace, projects, None);
//! let server = server.with_pages(show.router());
//! tokio::select! {
//!     _ = server.run(std::future::pending()) => {}
//!     () = show.tick() => {}
//! }
//! # }
//! ```

mod admin;
mod artifacts;
mod assets;
mod backfills;
mod batch;
mod bundle;
mod compressed;
mod document;
mod error;
mod examination;
mod examples;
mod export;
mod form;
mod judgement;
mod lineage;
mod live;
mod mesh;
mod models;
mod routes;
mod sketch;
mod state;
mod versions;

pub use admin::{AdminKey, AdminKeyError};
pub use export::{ExportError, Exported};
pub use state::{Show, Shown};
