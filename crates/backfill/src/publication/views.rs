//! The views that readers ask.

use std::collections::BTreeSet;

use mesh_postgres::quoted;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::{Publication, lost};
use crate::{BackfillError, columns::INPUT_DIGEST, pointer::Current};

/// Names and types of the columns of a table or view, in their order.
const COLUMNS: &str = "
SELECT a.attname::text || ' ' || format_type(a.atttypid, a.atttypmod)
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum";

/// Who may do what with a view, as statements that say so again.
const GRANTS: &str = "
SELECT format('GRANT %s ON %I.%I TO %s%s', a.privilege_type, n.nspname, c.relname,
  CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
  CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace,
  aclexplode(c.relacl) a
WHERE n.nspname = $1 AND c.relname = $2 AND a.grantee <> c.relowner";

impl Publication {
    /// Lets the views show what is live after a change.
    pub(super) async fn swap(
        &self,
        connection: &mut PgConnection,
        before: &Current,
        after: &Current,
    ) -> Result<Result<(), BackfillError>, sqlx::Error> {
        // In one order, always: two that swap wait for each other, and do not lock each other out.
        let projects: BTreeSet<&str> = before
            .projects
            .keys()
            .chain(after.projects.keys())
            .map(mesh_core::ProjectName::as_str)
            .collect();
        for project in projects {
            let (old, new) = (before.generation(project), after.generation(project));
            if old == new {
                continue;
            }
            let view = self.names.view(project);
            let Some(generation) = new else {
                self.execute(connection, format!("DROP VIEW IF EXISTS {}", self.names.sql(&view)))
                    .await?;
                continue;
            };
            if old.is_none() && self.exists(connection, &view).await? {
                return Ok(Err(self.taken(&view)));
            }
            let table = self.names.table(project, generation);
            if !self.is_loaded(connection, project, generation).await? {
                return Ok(Err(lost(&table)));
            }
            self.show(connection, &view, &table).await?;
            self.let_read(connection, &view, &table).await?;
        }
        Ok(Ok(()))
    }

    /// Makes a view show a table. Where the columns are the same, whoever built on the view and
    /// who may read it do not notice.
    async fn show(
        &self,
        connection: &mut PgConnection,
        view: &str,
        table: &str,
    ) -> Result<(), sqlx::Error> {
        let has = self.column_list(connection, view).await?;
        let mut wants = self.column_list(connection, table).await?;
        let noted = format!("{INPUT_DIGEST} text");
        // A table of an older `mesh` has no such column. A view can get one, and not lose it again.
        let also = match wants.contains(&noted) {
            true => String::new(),
            false => {
                wants.push(noted);
                format!(", NULL::text AS {INPUT_DIGEST}")
            }
        };
        let (shown, source) = (self.names.sql(view), self.names.sql(table));
        let select =
            |word: &str| format!("CREATE {word} VIEW {shown} AS SELECT *{also} FROM {source}");
        if wants.starts_with(&has) {
            return self.execute(connection, select("OR REPLACE")).await;
        }
        let grants = sqlx::query(GRANTS).bind(&self.documents.schema).bind(view);
        let grants = grants.fetch_all(&mut *connection).await?;
        self.execute(connection, format!("DROP VIEW {shown}")).await?;
        self.execute(connection, select("")).await?;
        for grant in grants {
            self.execute(connection, grant.try_get(0)?).await?;
        }
        Ok(())
    }

    async fn column_list(
        &self,
        connection: &mut PgConnection,
        name: &str,
    ) -> Result<Vec<String>, sqlx::Error> {
        let query = sqlx::query(COLUMNS).bind(&self.documents.schema).bind(name);
        query.fetch_all(connection).await?.iter().map(|row| row.try_get(0)).collect()
    }

    pub(super) async fn execute(
        &self,
        connection: &mut PgConnection,
        sql: String,
    ) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
    }

    /// The statement that removes a table, if it is there.
    pub(super) fn drop_table(&self, table: &str) -> String {
        format!("DROP TABLE IF EXISTS {}.{}", self.names.schema, quoted(table))
    }
}
