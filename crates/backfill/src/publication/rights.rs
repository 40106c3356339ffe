//! What the user has to be allowed, found out before hours of work, and told as the statements
//! that allow it.

use mesh_core::ProjectName;
use mesh_postgres::{PostgresError, PostgresErrorKind, quoted};
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::Publication;

/// What the user may not do with the schema, and with the tables that tell what there is if they
/// are there: the name of the table, nothing for the schema, and the rights that are missing.
const MISSING: &str = "
SELECT NULL::text, 'USAGE, CREATE'
WHERE NOT has_schema_privilege($1, 'USAGE') OR NOT has_schema_privilege($1, 'CREATE')
UNION ALL
SELECT c.relname::text, string_agg(w.privilege, ', ' ORDER BY w.place)
FROM (VALUES (1, 'mesh_enrichments', 'SELECT'), (2, 'mesh_enrichments', 'INSERT'),
  (3, 'mesh_enrichments', 'UPDATE'), (1, 'mesh_generations', 'SELECT'),
  (2, 'mesh_generations', 'INSERT'), (3, 'mesh_generations', 'UPDATE'),
  (4, 'mesh_generations', 'DELETE')) w (place, name, privilege)
JOIN pg_catalog.pg_class c ON c.relname = w.name
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $1
WHERE NOT has_table_privilege(c.oid, w.privilege) GROUP BY c.relname ORDER BY 1";

/// The owner of a view who is not the user, nor a role that the user is a member of, and whether
/// that is a superuser.
const OWNER: &str = "
SELECT r.rolname::text, r.rolsuper
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
WHERE n.nspname = $1 AND c.relname = $2 AND NOT pg_has_role(c.relowner, 'USAGE')";

/// The tables behind a view that the user may not read.
const BEHIND: &str = "
SELECT DISTINCT t.relname::text
FROM pg_catalog.pg_class v JOIN pg_catalog.pg_namespace n ON n.oid = v.relnamespace
JOIN pg_catalog.pg_rewrite r ON r.ev_class = v.oid
JOIN pg_catalog.pg_depend d ON d.objid = r.oid AND d.classid = 'pg_catalog.pg_rewrite'::regclass
  AND d.refclassid = 'pg_catalog.pg_class'::regclass
JOIN pg_catalog.pg_class t ON t.oid = d.refobjid AND t.oid <> v.oid AND t.relnamespace = n.oid
WHERE n.nspname = $1 AND v.relname = $2 AND NOT has_table_privilege(t.oid, 'SELECT') ORDER BY 1";

/// The owner of a view who may not read a table.
const BLIND: &str = "
SELECT quote_ident(pg_get_userbyid(v.relowner))
FROM pg_catalog.pg_class v JOIN pg_catalog.pg_namespace n ON n.oid = v.relnamespace
JOIN pg_catalog.pg_class t ON t.relnamespace = n.oid AND t.relname = $3
WHERE n.nspname = $1 AND v.relname = $2 AND v.relkind = 'v'
  AND NOT has_table_privilege(v.relowner, t.oid, 'SELECT')";

/// A right that is missing.
struct Missing {
    /// What cannot be done without.
    what: String,
    /// The statement that gives it.
    statement: String,
}

impl Publication {
    /// Refuses if the user may not keep and change the enrichments of these projects.
    pub(super) fn may<'p>(
        &self,
        projects: impl Iterator<Item = &'p ProjectName>,
    ) -> Result<(), PostgresError> {
        let views: Vec<String> = projects.map(|name| self.names.view(name.as_str())).collect();
        let missing = self.database.run("tell what the user may do", async |connection| {
            let mut missing = self.missing(connection).await?;
            for view in &views {
                missing.extend(self.owned(connection, view).await?);
            }
            Ok(missing)
        })?;
        let Some(first) = missing.first() else { return Ok(()) };
        let (user, what) = (self.user(), first.what.clone());
        let error = PostgresError::new(PostgresErrorKind::Forbidden { user, what });
        Err(error.help(format!("let the owner do this: {}", statements(&missing))))
    }

    /// An error that tells of a missing right, with the statements that give what is missing.
    pub(super) fn rights(&self, error: PostgresError) -> PostgresError {
        if !matches!(error.kind, PostgresErrorKind::Forbidden { .. }) {
            return error;
        }
        let missing = self
            .database
            .run("tell what the user may do", async |connection| self.missing(connection).await);
        match missing {
            Ok(missing) if !missing.is_empty() => {
                error.help(format!("let the owner do this: {}", statements(&missing)))
            }
            _ => error.help(format!(
                "do it as the owner of what the server names, or let the owner do this: GRANT \
                 <the owner> TO {}",
                quoted(&self.user())
            )),
        }
    }

    /// As [`Publication::rights`] for those who only want to read.
    pub(super) fn reading(&self, error: PostgresError) -> PostgresError {
        if !matches!(error.kind, PostgresErrorKind::Forbidden { .. }) {
            return error;
        }
        let (schema, user) = (&self.names.schema, quoted(&self.user()));
        error.help(format!(
            "let the owner do this: GRANT SELECT ON {schema}.mesh_enrichments TO {user}; and for \
             who makes enrichments: GRANT USAGE, CREATE ON SCHEMA {schema} TO {user}; GRANT SELECT, \
             INSERT, UPDATE, DELETE ON {schema}.mesh_enrichments, {schema}.mesh_generations TO {user}"
        ))
    }

    /// Lets the owner of a view read a table that it is to show: readers of a view see what its
    /// owner may.
    pub(super) async fn let_read(
        &self,
        connection: &mut PgConnection,
        view: &str,
        table: &str,
    ) -> Result<(), sqlx::Error> {
        let blind = sqlx::query(BLIND).bind(&self.documents.schema).bind(view).bind(table);
        let Some(owner) = blind.fetch_optional(&mut *connection).await? else { return Ok(()) };
        let owner: String = owner.try_get(0)?;
        self.execute(connection, format!("GRANT SELECT ON {} TO {owner}", self.names.sql(table)))
            .await
    }

    async fn missing(&self, connection: &mut PgConnection) -> Result<Vec<Missing>, sqlx::Error> {
        let rows = sqlx::query(AssertSqlSafe(MISSING)).bind(&self.documents.schema);
        let rows = rows.fetch_all(connection).await?;
        let (schema, user) = (&self.names.schema, quoted(&self.user()));
        let missing = |row: &sqlx::postgres::PgRow| {
            let (table, rights): (Option<String>, String) = (row.try_get(0)?, row.try_get(1)?);
            Ok(match table {
                None => Missing {
                    what: format!(
                        "create tables and views in the schema {}",
                        self.documents.schema
                    ),
                    statement: format!("GRANT {rights} ON SCHEMA {schema} TO {user}"),
                },
                Some(table) => Missing {
                    what: format!("read and write {}.{table}", self.documents.schema),
                    statement: format!("GRANT {rights} ON {schema}.{table} TO {user}"),
                },
            })
        };
        rows.iter().map(missing).collect()
    }

    /// What is missing to make a view show something else: only its owner may.
    async fn owned(
        &self,
        connection: &mut PgConnection,
        view: &str,
    ) -> Result<Option<Missing>, sqlx::Error> {
        let row = sqlx::query(OWNER).bind(&self.documents.schema).bind(view);
        let Some(row) = row.fetch_optional(&mut *connection).await? else { return Ok(None) };
        let (owner, is_super): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
        let user = quoted(&self.user());
        let statement = match is_super {
            // Nobody should become one to change a view. Whoever owns it has to read what it shows
            // now, or its readers do not any more.
            true => {
                let behind = sqlx::query(BEHIND).bind(&self.documents.schema).bind(view);
                let mut statement = String::new();
                for table in behind.fetch_all(connection).await? {
                    let table = self.names.sql(table.try_get(0)?);
                    statement.push_str(&format!("GRANT SELECT ON {table} TO {user}; "));
                }
                statement + &format!("ALTER VIEW {} OWNER TO {user}", self.names.sql(view))
            }
            false => format!("GRANT {} TO {user}", quoted(&owner)),
        };
        let what = format!("change the view {}.{view}, which {owner} owns", self.documents.schema);
        Ok(Some(Missing { what, statement }))
    }

    fn user(&self) -> String {
        self.database.address().user().to_owned()
    }
}

fn statements(missing: &[Missing]) -> String {
    let all: Vec<&str> = missing.iter().map(|missing| missing.statement.as_str()).collect();
    all.join("; ")
}
