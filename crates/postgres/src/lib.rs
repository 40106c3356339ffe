//! PostgreSQL as archives need it: the address of a table, connections that are tried again, and
//! what a table is.
//!
//! The idea: whatever is asked of a server can be asked again. A [`Database`] keeps connections
//! and makes new ones; what a restarted server cut off is tried anew, with growing pauses, for as
//! long as there is [`Patience`]. What the server refuses for good is an error that says what
//! happened, where, and what to do. Passwords come from the environment or `~/.pgpass`, and are in
//! no text of ours.
//!
//! ```no_run
//! use mesh_core::Cancel;
//! use mesh_postgres::{Address, Database, Relation};
//!
//! let runtime = tokio::runtime::Runtime::new()?;
//! let address: Address = "postgres://reader@db.example.com/news?table=public.articles".parse()?;
//! let database = Database::connect(&address, runtime.handle().clone(), Cancel::new())?;
//! let table = Relation::find(&database, address.table(), "id")?;
//! println!("{} of {} has {} columns", table.told(), database.told(), table.columns.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod database;
mod error;
mod relation;

pub use address::{Address, TableName, is_address};
pub use database::{Database, Halt, Patience};
pub use error::{PostgresError, PostgresErrorKind};
pub use relation::{Relation, RelationColumn, literal, quoted};
