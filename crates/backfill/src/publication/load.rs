//! Generations as tables.

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema};
use mesh_archive::{json_of, text_of};
use mesh_postgres::{Halt, Patience, PostgresError, quoted};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tokio::runtime::Handle;

use super::Publication;
use crate::{
    BackfillError, BackfillErrorKind,
    columns::{ENRICHED_AT, INPUT_DIGEST, MODEL_DIGEST, MODEL_VERSION, WHOLE},
    generation::Generation,
};

/// What a value of a column is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As text that the server parses.
    Plain,
    /// As JSON.
    Json,
    /// A list of numbers or truth values, as an array.
    List,
}

/// A column of a table.
struct Column {
    name: String,
    kind: String,
    form: Form,
}

/// Bytes that are sent at once, about.
const BLOCK: usize = 1 << 20;

impl Publication {
    /// Puts a generation into a table of its own, if it is not there yet: in one transaction, so
    /// that a table that is there is whole.
    pub(crate) fn load(
        &self,
        project: &str,
        name: &str,
        generation: &Generation,
    ) -> Result<(), BackfillError> {
        let mut patience = Patience::default();
        loop {
            let loaded = self.database.once(|connection, runtime| {
                self.load_once(connection, runtime, (project, name), generation)
            });
            match loaded {
                Ok(()) => return Ok(()),
                Err(Halt::Taker(error)) => return Err(error),
                Err(Halt::Server(error)) => {
                    let waited = self.database.wait(&mut patience, "load the enrichment", error);
                    waited.map_err(|error| self.rights(error))?;
                }
            }
        }
    }

    fn load_once(
        &self,
        connection: &mut PgConnection,
        runtime: &Handle,
        (project, name): (&str, &str),
        generation: &Generation,
    ) -> Result<(), Halt<BackfillError>> {
        if runtime.block_on(self.is_loaded(connection, project, name))? {
            return Ok(());
        }
        let table = self.names.table(project, name);
        let manifest = generation.manifest();
        let schema = match manifest.parts.is_empty() {
            true => None,
            false => Some(generation.part(0).map_err(Halt::Taker)?.schema()),
        };
        let columns = self.columns(&manifest.key_column, &manifest.columns, schema.as_deref());
        let mut transaction = runtime.block_on(connection.begin())?;
        let parts = (0..manifest.parts.len()).map(|part| generation.part(part));
        let rows = self.fill(&mut transaction, runtime, &table, &columns, parts)?;
        let view = self.names.view(project);
        runtime.block_on(self.let_read(&mut transaction, &view, &table))?;
        runtime.block_on(self.record(&mut transaction, (project, name, &table), rows))?;
        runtime.block_on(transaction.commit())?;
        // The planner of the server guesses badly without, and that is all.
        if let Err(error) = runtime.block_on(self.execute(connection, self.analyze(&table))) {
            tracing::debug!(%error, "the server did not look at the new table");
        }
        Ok(())
    }

    fn analyze(&self, table: &str) -> String {
        format!("ANALYZE {}", self.names.sql(table))
    }

    /// Makes a table and puts rows into it; says how many. The first column is the key.
    fn fill(
        &self,
        transaction: &mut PgConnection,
        runtime: &Handle,
        table: &str,
        columns: &[Column],
        parts: impl Iterator<Item = Result<RecordBatch, BackfillError>>,
    ) -> Result<u64, Halt<BackfillError>> {
        let described: Vec<String> = columns
            .iter()
            .map(|column| format!("{} {}", quoted(&column.name), column.kind))
            .collect();
        // One that is there is not told of: somebody removed the row, or made the table.
        let begin = format!(
            "{}; CREATE TABLE {} ({})",
            self.drop_table(table),
            self.names.sql(table),
            described.join(", ")
        );
        runtime.block_on(self.execute(transaction, begin))?;
        let copy = format!("COPY {} FROM STDIN", self.names.sql(table));
        let mut copy = runtime.block_on(transaction.copy_in_raw(&copy))?;
        let mut rows = 0;
        for batch in parts {
            let batch = batch.map_err(Halt::Taker)?;
            rows += batch.num_rows() as u64;
            for block in blocks(&batch, columns) {
                runtime.block_on(copy.send(block))?;
            }
        }
        let copied = runtime.block_on(copy.finish())?;
        if copied != rows {
            let kind = BackfillErrorKind::Damaged(format!("the table {table}"));
            let error = BackfillError::new("load the enrichment", kind);
            return Err(Halt::Taker(error.because(format!("it has {copied} rows, not {rows}"))));
        }
        let Some(key) = columns.first() else { return Ok(rows) };
        let end = format!(
            "ALTER TABLE {} ADD PRIMARY KEY ({})",
            self.names.sql(table),
            quoted(&key.name)
        );
        runtime.block_on(self.execute(transaction, end))?;
        Ok(rows)
    }

    /// How long it takes to put rows into a table, which is taken back; nothing if we may not, or the
    /// database does not answer. `told` are fields of predictions, each with its column.
    pub(crate) fn try_load(
        &self,
        rows: &RecordBatch,
        key: &str,
        told: &[(String, String)],
    ) -> Option<Duration> {
        let columns = self.columns(key, told, Some(rows.schema_ref()));
        let table = self.names.table("mesh", &format!("trial-{}", std::process::id()));
        let took = self.database.once(|connection, runtime| {
            let mut transaction = runtime.block_on(connection.begin())?;
            let started = Instant::now();
            let parts = std::iter::once(Ok(rows.clone()));
            self.fill(&mut transaction, runtime, &table, &columns, parts)?;
            runtime.block_on(self.execute(&mut transaction, self.analyze(&table)))?;
            let took = started.elapsed();
            runtime.block_on(transaction.rollback())?;
            Ok(took)
        });
        let told = |halt: &Halt<BackfillError>| match halt {
            Halt::Taker(error) => error.to_string(),
            Halt::Server(error) => error.to_string(),
        };
        took.inspect_err(|halt| tracing::debug!(error = told(halt), "loading is not measured")).ok()
    }

    async fn record(
        &self,
        connection: &mut PgConnection,
        (project, generation, table): (&str, &str, &str),
        rows: u64,
    ) -> Result<(), sqlx::Error> {
        let sql = format!(
            "INSERT INTO {}.mesh_generations (documents, project, generation, relation, rows) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (documents, project, generation) \
             DO UPDATE SET relation = $4, rows = $5, loaded_at = now()",
            self.names.schema
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(self.documents.told())
            .bind(project)
            .bind(generation)
            .bind(table)
            .bind(i64::try_from(rows).unwrap_or(i64::MAX));
        query.execute(connection).await.map(drop)
    }

    /// Whether the table of a generation is there, and is told of.
    pub(super) async fn is_loaded(
        &self,
        connection: &mut PgConnection,
        project: &str,
        generation: &str,
    ) -> Result<bool, sqlx::Error> {
        if !self.exists(connection, &self.names.table(project, generation)).await? {
            return Ok(false);
        }
        let sql = format!(
            "SELECT EXISTS (SELECT FROM {}.mesh_generations WHERE documents = $1 \
             AND project = $2 AND generation = $3)",
            self.names.schema
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(self.documents.told());
        query.bind(project).bind(generation).fetch_one(connection).await?.try_get(0)
    }

    /// Whether a generation is in a table.
    pub(crate) fn has(&self, project: &str, generation: &str) -> Result<bool, BackfillError> {
        let found = self.database.run("look for an enrichment", async |connection| {
            self.is_loaded(connection, project, generation).await
        });
        Ok(found.map_err(|error| self.reading(error))?)
    }

    /// The generations that are in tables: project, generation, and how large it is in bytes.
    pub(crate) fn generations(&self) -> Result<Vec<(String, String, u64)>, BackfillError> {
        let sql = format!(
            "SELECT g.project, g.generation, coalesce(pg_total_relation_size(c.oid), 0) \
             FROM {}.mesh_generations g LEFT JOIN (pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $2) \
             ON c.relname = g.relation WHERE g.documents = $1 ORDER BY 1, 2",
            self.names.schema
        );
        let found = self.database.run("list the enrichments", async |connection| {
            if !self.exists(connection, "mesh_generations").await? {
                return Ok(Vec::new());
            }
            let query = sqlx::query(AssertSqlSafe(sql.as_str())).bind(self.documents.told());
            let rows = query.bind(&self.documents.schema).fetch_all(connection).await?;
            let row = |row: &sqlx::postgres::PgRow| {
                let size: i64 = row.try_get(2)?;
                Ok((row.try_get(0)?, row.try_get(1)?, u64::try_from(size).unwrap_or_default()))
            };
            rows.iter().map(row).collect()
        })?;
        Ok(found)
    }

    /// Removes the table of a generation.
    pub(crate) fn remove(&self, project: &str, generation: &str) -> Result<(), BackfillError> {
        let table = self.names.table(project, generation);
        let forget = format!(
            "DELETE FROM {}.mesh_generations WHERE documents = $1 AND project = $2 \
             AND generation = $3",
            self.names.schema
        );
        let removed = self.database.run("remove the table of an enrichment", async |connection| {
            if !self.exists(connection, "mesh_generations").await? {
                return Ok(());
            }
            let mut transaction = connection.begin().await?;
            self.execute(&mut transaction, self.drop_table(&table)).await?;
            let query = sqlx::query(AssertSqlSafe(forget.as_str())).bind(self.documents.told());
            query.bind(project).bind(generation).execute(&mut *transaction).await?;
            transaction.commit().await
        });
        removed.map_err(|error: PostgresError| self.rights(error).into())
    }

    /// The columns of a generation's table, by the schema of its parts.
    fn columns(
        &self,
        key: &str,
        told: &[(String, String)],
        schema: Option<&Schema>,
    ) -> Vec<Column> {
        let key = Column {
            name: key.to_owned(),
            kind: self.documents.key.kind.clone(),
            form: Form::Plain,
        };
        let json =
            |name: &String| Column { name: name.clone(), kind: "jsonb".into(), form: Form::Json };
        let column = |(field, name): &(String, String)| {
            // Where nothing says what types they have, they are JSON.
            let found = schema.and_then(|schema| schema.field_with_name(name).ok());
            found.filter(|_| field != WHOLE).map_or_else(|| json(name), Column::of)
        };
        let told: Vec<Column> = told.iter().map(column).collect();
        let stamp = [
            (MODEL_VERSION, "bigint NOT NULL"),
            (MODEL_DIGEST, "text NOT NULL"),
            (ENRICHED_AT, "timestamptz NOT NULL"),
            (INPUT_DIGEST, "text"),
        ];
        let stamp = stamp.map(|(name, kind)| Column {
            name: name.into(),
            kind: kind.into(),
            form: Form::Plain,
        });
        [key].into_iter().chain(told).chain(stamp).collect()
    }
}

impl Column {
    fn of(field: &Field) -> Self {
        let plain = |of: &DataType| match of {
            DataType::Boolean => Some("boolean"),
            DataType::Int64 => Some("bigint"),
            DataType::Float32 => Some("real"),
            DataType::Float64 => Some("double precision"),
            _ => None,
        };
        let (kind, form) = match field.data_type() {
            DataType::Utf8 => ("text".into(), Form::Plain),
            DataType::List(item) => match plain(item.data_type()) {
                Some(kind) => (format!("{kind}[]"), Form::List),
                None => ("jsonb".into(), Form::Json),
            },
            of => match plain(of) {
                Some(kind) => (kind.into(), Form::Plain),
                None => ("jsonb".into(), Form::Json),
            },
        };
        Self { name: field.name().clone(), kind, form }
    }
}

/// The rows of a batch, as the server's COPY takes them, in blocks.
fn blocks(batch: &RecordBatch, columns: &[Column]) -> Vec<Vec<u8>> {
    let (mut blocks, mut text) = (Vec::new(), String::new());
    for row in 0..batch.num_rows() {
        for (at, column) in columns.iter().enumerate() {
            if at > 0 {
                text.push('\t');
            }
            match value(batch, column, row) {
                Some(value) => escape(&value, &mut text),
                None => text.push_str("\\N"),
            }
        }
        text.push('\n');
        if text.len() >= BLOCK {
            blocks.push(std::mem::take(&mut text).into_bytes());
        }
    }
    blocks.push(text.into_bytes());
    blocks
}

fn value<'b>(batch: &'b RecordBatch, column: &Column, row: usize) -> Option<Cow<'b, str>> {
    let (at, field) = batch.schema_ref().column_with_name(&column.name)?;
    let values = batch.columns().get(at)?.as_ref();
    match column.form {
        Form::Plain => {
            let field = batch.schema_ref().fields().get(at)?;
            text_of(values, field, row).map(|text| text.into_owned().into())
        }
        // What is one text in a column is JSON already.
        Form::Json if *field.data_type() == DataType::Utf8 => {
            text_of(values, field, row).map(|text| text.into_owned().into())
        }
        Form::Json => json_of(values, field, row).map(Cow::Owned),
        Form::List => {
            let json = json_of(values, field, row)?;
            let inner = json.strip_prefix('[')?.strip_suffix(']')?;
            Some(format!("{{{inner}}}").into())
        }
    }
}

fn escape(value: &str, text: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            // No text of the server holds it.
            '\0' => text.push('\u{fffd}'),
            other => text.push(other),
        }
    }
}
