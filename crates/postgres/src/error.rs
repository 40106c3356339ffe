use std::{error::Error as StdError, io};

use miette::Diagnostic;
use thiserror::Error;

use crate::Address;

/// What a PostgreSQL server does not do for us, and why.
#[derive(Debug, Error, Diagnostic)]
#[error("failed to use PostgreSQL: {kind}")]
pub struct PostgresError {
    /// In which way.
    pub kind: PostgresErrorKind,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
    #[help]
    help: Option<String>,
}

/// The ways in which a server or a table is of no use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PostgresErrorKind {
    /// A URL is not the address of a table.
    #[error("the URL is no address of a table: {0}")]
    Address(String),
    /// Nobody answers, or stopped answering and did not come back.
    #[error("no server answers at {0}")]
    Away(String),
    /// The server does not let the user in.
    #[error("the server at {server} does not let the user `{user}` in")]
    Refused {
        /// The server.
        server: String,
        /// The user.
        user: String,
    },
    /// Nobody whom we know vouches for the server.
    #[error("the certificate of the server at {0} is not trusted")]
    Untrusted(String),
    /// There is no such database.
    #[error("the server at {server} has no database `{database}`")]
    NoDatabase {
        /// The server.
        server: String,
        /// The database.
        database: String,
    },
    /// There is no such table, or the user may not see it.
    #[error("the database {database} has no table `{table}`")]
    NoTable {
        /// The database.
        database: String,
        /// The table.
        table: String,
    },
    /// A table has no such column.
    #[error("the table {table} has no column `{column}`")]
    NoColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// Nothing keeps a key from being there twice, and rows cannot be found by it.
    #[error("no unique index of {table} is on the column `{column}` alone")]
    NoKey {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The user has not the right.
    #[error("the user `{user}` may not {what}")]
    Forbidden {
        /// The user.
        user: String,
        /// What was tried.
        what: String,
    },
    /// Others hold what would be changed.
    #[error("others hold {0}")]
    Busy(String),
    /// Others are built on what would go.
    #[error("the server did not {what}: others are built on what would go")]
    Needed {
        /// What was tried.
        what: String,
        /// What is built on what, in the server's words.
        by: String,
    },
    /// A name is taken by something that is not ours.
    #[error("the name {0} is taken")]
    Taken(String),
    /// More rows than were counted came between two keys.
    #[error("so many rows came to {0} since they were counted that they do not fit into memory")]
    Grown(String),
    /// The server did not do something, for a reason of its own.
    #[error("the server did not {0}")]
    Statement(String),
    /// Somebody asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl PostgresError {
    /// A failure with what to do about it.
    #[must_use]
    pub fn new(kind: PostgresErrorKind) -> Self {
        use PostgresErrorKind as Kind;
        let help = match &kind {
            Kind::Address(_) => {
                "write postgres://user@host:5432/database?table=schema.table; a password comes \
                 from PGPASSWORD or ~/.pgpass"
            }
            Kind::Away(_) => {
                "start it, or correct host and port of the URL (PGHOST, PGPORT without them); \
                 what is done stays done, and the same command goes on"
            }
            Kind::Refused { .. } => {
                "set PGPASSWORD or write ~/.pgpass, and see that pg_hba.conf lets the user in from \
                 here; where it wants TLS, do not turn that off by `sslmode` or PGSSLMODE"
            }
            Kind::Untrusted(_) => {
                "name the file with the certificate of its authority: `&sslrootcert=FILE` in the \
                 URL, or PGSSLROOTCERT"
            }
            Kind::NoDatabase { .. } => "correct the database in the URL: postgres://host/database",
            Kind::NoTable { .. } => {
                "correct `?table=schema.table` of the URL, as the catalogue spells it, and see \
                 that the user may use the schema"
            }
            Kind::NoKey { .. } => {
                "name the column of the primary key by `key`, or make one: CREATE UNIQUE INDEX \
                 CONCURRENTLY ON the table (the column)"
            }
            Kind::Forbidden { .. } => {
                "let the owner grant it: SELECT on the table to read, USAGE and CREATE on its \
                 schema to keep enrichments"
            }
            Kind::Busy(_) => "nothing was changed: try again when their transactions are over",
            Kind::Taken(_) => "rename what has that name: mesh replaces nothing but its own",
            Kind::Grown(_) => "`mesh backfill cancel` the backfill, then begin anew",
            Kind::Needed { by, .. } => {
                let help = format!(
                    "{by}: drop what is built on it, or build it on something else, then try \
                     again; nothing was changed"
                );
                return Self { kind, source: None, help: Some(help) };
            }
            _ => return Self { kind, source: None, help: None },
        };
        Self { kind, source: None, help: Some(help.into()) }
    }

    /// The same, with what caused it.
    #[must_use]
    pub fn caused(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same, with what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// What a failed statement means; `what` completes "the server did not ...".
    #[must_use]
    pub fn of(address: &Address, what: &str, error: sqlx::Error) -> Self {
        use PostgresErrorKind as Kind;
        let server = address.server();
        let kind = match code(&error).as_deref() {
            Some("28P01" | "28000") => Kind::Refused { server, user: address.user().into() },
            Some("3D000") => Kind::NoDatabase { server, database: address.database().into() },
            Some("42501") => Kind::Forbidden { user: address.user().into(), what: what.into() },
            Some("2BP01") => Kind::Needed { what: what.into(), by: detail(&error) },
            Some("55P03" | "40P01") => Kind::Busy("what would be changed".into()),
            None if is_untrusted(&error) => Kind::Untrusted(server),
            None if is_lost(&error) => Kind::Away(server),
            Some(_) if is_lost(&error) => Kind::Away(server),
            _ => Kind::Statement(what.into()),
        };
        match error.as_database_error() {
            // Its own text ends with a line of the server's source.
            Some(said) => Self::new(kind).caused(Said(said.message().to_owned())),
            None => Self::new(kind).caused(error),
        }
    }

    /// What to do, and what caused it: for errors that tell it in their own words.
    #[must_use]
    pub fn into_parts(self) -> (Option<String>, Option<Box<dyn StdError + Send + Sync>>) {
        (self.help, self.source)
    }
}

/// What a server says.
#[derive(Debug, Error)]
#[error("the server says: {0}")]
struct Said(String);

/// What a server says about the objects that are in the way, in one line.
fn detail(error: &sqlx::Error) -> String {
    let said = error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>()?.detail());
    said.unwrap_or("others are built on it").lines().collect::<Vec<_>>().join(", ")
}

/// The code of a server's error.
pub(crate) fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Whether a server was reached and its certificate refused.
fn is_untrusted(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(error) => error.kind() == io::ErrorKind::InvalidData,
        _ => false,
    }
}

/// Whether the connection is gone, or could not be made, for a reason that may pass.
pub(crate) fn is_lost(error: &sqlx::Error) -> bool {
    use sqlx::Error;
    match error {
        _ if is_untrusted(error) => false,
        Error::Io(_) | Error::Protocol(_) | Error::WorkerCrashed => true,
        // The server shuts down, starts, or has no place for another connection.
        Error::Database(_) => code(error).is_some_and(|code| {
            code.starts_with("08") || code.starts_with("57P") || code == "53300"
        }),
        _ => false,
    }
}

/// Whether it is worth trying again.
pub(crate) fn is_passing(error: &sqlx::Error) -> bool {
    let others = || code(error).is_some_and(|code| ["40001", "40P01", "55P03"].contains(&&*code));
    is_lost(error) || others()
}
