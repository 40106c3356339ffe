//! Enrichments of a table in a database, where its readers look for them: in the database.
//!
//! Each generation is a table beside the documents, loaded in one transaction: it is there as a
//! whole, or not. Readers ask a view per project. Which generations are live is a row of
//! `mesh_enrichments`: it is the only truth, and is changed in the same transaction as the views.

mod load;
mod names;
mod rights;
mod views;

use mesh_core::ProjectName;
use mesh_postgres::{Database, PostgresError, PostgresErrorKind, Relation};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::{BackfillError, BackfillErrorKind, pointer::Current};
use names::Names;

/// The enrichments of a table in a database.
#[derive(Debug, Clone)]
pub(crate) struct Publication {
    database: Database,
    documents: Relation,
    names: Names,
}

/// The tables that tell what there is, beside the documents.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS {schema}.mesh_enrichments (
  documents text PRIMARY KEY,
  current jsonb NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS {schema}.mesh_generations (
  documents text NOT NULL,
  project text NOT NULL,
  generation text NOT NULL,
  relation text NOT NULL,
  rows bigint NOT NULL,
  loaded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (documents, project, generation))";

impl Publication {
    /// Where the enrichments of the table of a database are, whose rows a column names.
    pub(crate) fn new(database: Database, key: &str) -> Result<Self, BackfillError> {
        let documents = Relation::find(&database, database.address().table(), key)?;
        let names = Names::new(&documents);
        Ok(Self { database, documents, names })
    }

    /// Makes what tells of enrichments, and so finds out whether we may, before hours of work.
    ///
    /// # Errors
    /// When we may not, or the name of a view that will be needed is taken.
    pub(crate) fn prepare<'p>(
        &self,
        projects: impl Iterator<Item = &'p ProjectName> + Clone,
    ) -> Result<(), BackfillError> {
        self.may(projects.clone())?;
        let tables = TABLES.replace("{schema}", &self.names.schema);
        let what = format!("create tables and views in the schema {}", self.documents.schema);
        self.database
            .run(&what, async |connection| {
                // That tables are there proves nothing: a view is made, and removed.
                let sql = format!("{tables}; {}", self.names.probe());
                let mut transaction = connection.begin().await?;
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
                transaction.commit().await
            })
            .map_err(|error| self.rights(error))?;
        let current = self.current()?;
        for project in projects {
            let view = self.names.view(project.as_str());
            if current.generation(project.as_str()).is_none() && self.is_taken(&view)? {
                return Err(self.taken(&view));
            }
        }
        Ok(())
    }

    /// Which generations readers see.
    pub(crate) fn current(&self) -> Result<Current, BackfillError> {
        let text = self.database.run("tell which enrichments are live", async |connection| {
            match self.exists(connection, "mesh_enrichments").await? {
                true => self.row(connection, "").await,
                false => Ok(None),
            }
        });
        self.parsed(text.map_err(|error| self.reading(error))?.as_deref())
    }

    /// Changes which generations readers see, in one transaction, all or nothing.
    pub(crate) fn change(
        &self,
        change: &dyn Fn(&mut Current) -> Result<(), BackfillError>,
    ) -> Result<Current, BackfillError> {
        // What the last try meant to leave: a server may do what it was asked, and be gone before
        // it says so.
        let mut meant: Option<Current> = None;
        self.database
            .run("change which enrichments are live", async |connection| {
                let mut transaction = connection.begin().await?;
                match self.changed(&mut transaction, change, &mut meant).await? {
                    Ok(current) => {
                        transaction.commit().await?;
                        Ok(Ok(current))
                    }
                    Err(refused) => {
                        transaction.rollback().await?;
                        Ok(Err(refused))
                    }
                }
            })
            .map_err(|error| self.rights(error))?
    }

    async fn changed(
        &self,
        connection: &mut PgConnection,
        change: &dyn Fn(&mut Current) -> Result<(), BackfillError>,
        meant: &mut Option<Current>,
    ) -> Result<Result<Current, BackfillError>, sqlx::Error> {
        // Shorter than it takes the server to look for deadlocks: it is us who give way to readers.
        sqlx::raw_sql("SET LOCAL lock_timeout = '400ms'").execute(&mut *connection).await?;
        let begin = format!(
            "INSERT INTO {}.mesh_enrichments (documents, current) VALUES ($1, $2::jsonb) \
             ON CONFLICT DO NOTHING",
            self.names.schema
        );
        sqlx::query(AssertSqlSafe(begin))
            .bind(self.documents.told())
            .bind(json(&Current::none()))
            .execute(&mut *connection)
            .await?;
        let text = self.row(connection, "FOR UPDATE").await?;
        let before = match self.parsed(text.as_deref()) {
            Ok(before) => before,
            Err(error) => return Ok(Err(error)),
        };
        if meant.as_ref() == Some(&before) {
            return Ok(Ok(before));
        }
        let mut after = before.clone();
        if let Err(refused) = change(&mut after) {
            return Ok(Err(refused));
        }
        if let Err(refused) = self.swap(connection, &before, &after).await? {
            return Ok(Err(refused));
        }
        let update = format!(
            "UPDATE {}.mesh_enrichments SET current = $2::jsonb, changed_at = now() \
             WHERE documents = $1",
            self.names.schema
        );
        sqlx::query(AssertSqlSafe(update))
            .bind(self.documents.told())
            .bind(json(&after))
            .execute(&mut *connection)
            .await?;
        *meant = Some(after.clone());
        Ok(Ok(after))
    }

    /// The row that tells what is live.
    async fn row(
        &self,
        connection: &mut PgConnection,
        lock: &str,
    ) -> Result<Option<String>, sqlx::Error> {
        let sql = format!(
            "SELECT current::text FROM {}.mesh_enrichments WHERE documents = $1 {lock}",
            self.names.schema
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(self.documents.told());
        let row = query.fetch_optional(connection).await?;
        row.map(|row| row.try_get(0)).transpose()
    }

    fn parsed(&self, text: Option<&str>) -> Result<Current, BackfillError> {
        let Some(text) = text else { return Ok(Current::none()) };
        let shown = format!("{}.mesh_enrichments of {}", self.names.schema, self.database.told());
        Current::parse(text.as_bytes(), &shown)
    }

    /// Whether a table or view of that name is in the schema of the documents.
    async fn exists(&self, connection: &mut PgConnection, name: &str) -> Result<bool, sqlx::Error> {
        let row = sqlx::query(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n \
             ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2)",
        )
        .bind(&self.documents.schema)
        .bind(name)
        .fetch_one(connection)
        .await?;
        row.try_get(0)
    }

    fn is_taken(&self, view: &str) -> Result<bool, BackfillError> {
        let found = self.database.run("look for a view", async |c| self.exists(c, view).await)?;
        Ok(found)
    }

    fn taken(&self, view: &str) -> BackfillError {
        let name = format!("{}.{view}", self.documents.schema);
        PostgresError::new(PostgresErrorKind::Taken(name)).into()
    }
}

fn json(current: &Current) -> String {
    serde_json::to_string(current).unwrap_or_default()
}

/// A table that a generation should be in is not there.
fn lost(table: &str) -> BackfillError {
    let kind = BackfillErrorKind::Damaged(format!("the table {table}"));
    BackfillError::new("make an enrichment live", kind)
        .help("try again: what is missing is loaded anew from the parts of the enrichment")
}
