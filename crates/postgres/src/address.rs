use std::{fmt, str::FromStr};

use percent_encoding::percent_decode_str;
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use url::Url;

use crate::{PostgresError, PostgresErrorKind};

/// Where a table is: a server, a database, and a name in it.
#[derive(Clone)]
pub struct Address {
    pub(crate) options: PgConnectOptions,
    table: TableName,
}

/// The name of a table, with or without its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// The schema; the first one of the user's search path that has the table, without it.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
}

/// Whether a URL is of a PostgreSQL server.
#[must_use]
pub fn is_address(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

impl Address {
    /// The name of the table.
    #[must_use]
    pub const fn table(&self) -> &TableName {
        &self.table
    }

    /// The user's name.
    #[must_use]
    pub fn user(&self) -> &str {
        self.options.get_username()
    }

    /// The database's name: the user's own, without another.
    #[must_use]
    pub fn database(&self) -> &str {
        self.options.get_database().unwrap_or_else(|| self.user())
    }

    /// The server, for people.
    #[must_use]
    pub fn server(&self) -> String {
        match self.options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", self.options.get_host(), self.options.get_port()),
        }
    }
}

impl FromStr for Address {
    type Err = PostgresError;

    /// Parses `postgres://user@host:5432/database?table=schema.table`. What is left out comes from
    /// the environment, as for PostgreSQL's own tools: `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |what: &str| PostgresError::new(PostgresErrorKind::Address(what.to_owned()));
        if !is_address(text) {
            return Err(wrong("it does not begin with postgres://"));
        }
        let mut url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        if url.password().is_some() || pairs.iter().any(|(key, _)| key == "password") {
            return Err(wrong("it holds a password"));
        }
        let named = pairs.iter().find(|(key, _)| key == "table").map(|(_, table)| table.as_str());
        let table = named.and_then(TableName::parse).ok_or_else(|| wrong("it names no table"))?;
        // It is of no meaning to the server.
        url.set_query(None);
        for (key, value) in pairs.iter().filter(|(key, _)| key != "table") {
            url.query_pairs_mut().append_pair(key, value);
        }
        let options = PgConnectOptions::from_url(&url)
            .map_err(|error| wrong("its settings cannot be followed").caused(error))?;
        // Statements hold keys of documents: they are nobody's business in a log.
        let options = options.application_name("mesh").disable_statement_logging();
        Ok(Self { options, table })
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The options may hold a password from the environment.
        f.debug_struct("Address")
            .field("server", &self.server())
            .field("database", &self.database())
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

impl TableName {
    /// Parses `table` or `schema.table`; a dot inside a name is written `%2E`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let name = |part: &str| {
            let name = percent_decode_str(part).decode_utf8().ok()?.into_owned();
            (!name.is_empty() && !name.contains('\0')).then_some(name)
        };
        match text.split_once('.') {
            Some((schema, table)) => {
                Some(Self { schema: Some(name(schema)?), table: name(table)? })
            }
            None => Some(Self { schema: None, table: name(text)? }),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.table),
            None => f.write_str(&self.table),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_a_server_a_database_and_a_table() {
        let address: Address =
            "postgres://me@db.example.com:5433/news?table=public.articles&sslmode=require"
                .parse()
                .unwrap();
        assert_eq!(address.server(), "db.example.com:5433");
        assert_eq!((address.user(), address.database()), ("me", "news"));
        assert_eq!(address.table().to_string(), "public.articles");
        let address: Address = "postgresql://me@db/news?table=Articles".parse().unwrap();
        let expected = TableName { schema: None, table: "Articles".into() };
        assert_eq!(*address.table(), expected);
        assert_eq!(TableName::parse("a%2Eb.c"), TableName::parse("a%2eb.c"));
        assert_eq!(TableName::parse("a%2Eb").unwrap().table, "a.b");
    }

    #[test]
    fn what_is_no_address_is_refused_and_no_password_is_told() {
        for (text, expected) in [
            ("postgres://me:hunter2@db/news?table=a", "it holds a password"),
            ("postgres://me@db/news?table=a&password=hunter2", "it holds a password"),
            ("postgres://me@db/news", "it names no table"),
            ("postgres://me@db/news?table=", "it names no table"),
            ("postgres://me@db/news?table=.a", "it names no table"),
            ("postgres://me@db:x/news?table=a", "invalid port"),
            ("postgres://me@db/news?table=a&sslmode=perhaps", "its settings"),
            ("mysql://me@db/news?table=a", "postgres://"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{text}: {error}");
        }
    }
}
