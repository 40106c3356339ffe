use mesh_core::{did_you_mean, printable};
use sqlx::Row;

use crate::{Database, PostgresError, PostgresErrorKind, TableName};

/// A table whose rows are found by a key that each has once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// What the server knows it by: another one for a table that is made anew.
    pub id: i64,
    /// Its schema.
    pub schema: String,
    /// Its name in the schema.
    pub name: String,
    /// Its columns, in their order.
    pub columns: Vec<RelationColumn>,
    /// Which of the columns is the key.
    pub key: RelationColumn,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationColumn {
    /// Its name.
    pub name: String,
    /// Its type, in SQL.
    pub kind: String,
    /// Whether each row has a value.
    pub required: bool,
    /// Whether a unique index is on it alone.
    pub unique: bool,
}

/// The table of that name that the user may see, and the user's own schemas first.
const FIND: &str = "
SELECT c.oid::bigint, n.nspname::text, c.relname::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = $2 AND c.relkind IN ('r', 'p', 'm', 'v', 'f')
  AND (n.nspname = $1 OR $1 IS NULL AND n.nspname = ANY (current_schemas(false)))
ORDER BY array_position(current_schemas(false), n.nspname) LIMIT 1";

/// An index that is not whole, holds some rows only, or an expression, is no proof.
const COLUMNS: &str = "
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,
  EXISTS (SELECT FROM pg_catalog.pg_index i
    WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
      AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum)
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = $1::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum";

impl Relation {
    /// Looks a table up, and checks that its key is one.
    ///
    /// # Errors
    /// When there is no such table or column, or no unique index on the column.
    pub fn find(database: &Database, name: &TableName, key: &str) -> Result<Self, PostgresError> {
        let found = database.run("look for the table", async |connection| {
            let row = sqlx::query(FIND)
                .bind(name.schema.as_deref())
                .bind(name.table.as_str())
                .fetch_optional(&mut *connection)
                .await?;
            let Some(row) = row else { return Ok(None) };
            let id: i64 = row.try_get(0)?;
            let columns = sqlx::query(COLUMNS).bind(id).fetch_all(connection).await?;
            let columns = columns.iter().map(|row| {
                Ok(RelationColumn {
                    name: row.try_get(0)?,
                    kind: row.try_get(1)?,
                    required: row.try_get(2)?,
                    unique: row.try_get(3)?,
                })
            });
            let columns = columns.collect::<Result<Vec<_>, sqlx::Error>>()?;
            Ok(Some((id, row.try_get(1)?, row.try_get(2)?, columns)))
        })?;
        let (id, schema, name, columns): (i64, String, String, Vec<RelationColumn>) = found
            .ok_or_else(|| {
                let (database, table) = (database.told(), name.to_string());
                PostgresError::new(PostgresErrorKind::NoTable { database, table })
            })?;
        let table = format!("{schema}.{name}");
        let Some(found) = columns.iter().find(|column| column.name == key) else {
            let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            let hint = did_you_mean(key, names.iter().copied());
            let help = printable(&format!("{hint}It has: {}", names.join(", ")));
            let kind = PostgresErrorKind::NoColumn { table, column: key.into() };
            return Err(PostgresError::new(kind).help(help));
        };
        if !found.unique {
            let kind = PostgresErrorKind::NoKey { table, column: key.into() };
            return Err(PostgresError::new(kind));
        }
        Ok(Self { id, schema, name, key: found.clone(), columns })
    }

    /// Its name, for people.
    #[must_use]
    pub fn told(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Its name, in SQL.
    #[must_use]
    pub fn sql(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }
}

/// A name as SQL takes it, whatever is in it.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a value in SQL, for statements that take no parameters.
#[must_use]
pub fn literal(text: &str) -> String {
    // With an E, a backslash means the same whatever the server is set to.
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_and_no_text_ends_its_quotes() {
        assert_eq!(quoted("a\"; DROP TABLE b; --"), "\"a\"\"; DROP TABLE b; --\"");
        assert_eq!(literal("it's \\'"), "E'it''s \\\\'''");
    }
}
