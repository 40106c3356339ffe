use std::{fmt, str::FromStr};

use mesh_core::Digest;
use serde::Serialize;
use serde_json::Value;
use sqlx::{QueryBuilder, Row, Sqlite, sqlite::SqliteRow};

use super::{Registry, now};
use crate::StoreError;

/// Chunks that one statement writes down: a database allows for so many values in one.
const CHUNKS_A_STATEMENT: usize = 256;

/// The number of a backfill.
pub type BackfillId = i64;

/// A pass over an archive, as the registry knows it.
#[derive(Debug, Clone, Serialize)]
pub struct BackfillRecord {
    /// Its number.
    pub id: BackfillId,
    /// The archive.
    pub archive: String,
    /// The digest of what decides what it leaves.
    pub key: Digest,
    /// What is to be done.
    pub plan: Value,
    /// How it stands.
    pub state: BackfillState,
    /// What somebody asked the running process to do.
    pub wanted: Option<Wanted>,
    /// Why it stopped.
    pub error: Option<String>,
    /// When it was begun, in milliseconds since 1970, UTC.
    pub created_at: i64,
    /// When it last changed.
    pub updated_at: i64,
}

/// How a backfill stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BackfillState {
    /// Begun and not done: by a process that works on it, or was killed.
    Running,
    /// Somebody paused it.
    Paused,
    /// It stopped by itself.
    Failed,
    /// Somebody gave it up.
    Cancelled,
    /// All chunks are done, and nobody sees them yet.
    Done,
    /// What it left is the archive's enrichment.
    Live,
    /// It was live, and another one is now.
    Superseded,
}

/// What a running backfill is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// To stop, and be resumed later.
    Pause,
    /// To stop for good.
    Cancel,
}

/// A chunk that is done.
#[derive(Debug, Clone, Serialize)]
pub struct ChunkRecord {
    /// Its place among the chunks.
    pub chunk: usize,
    /// What became of its rows.
    pub counts: Value,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl BackfillState {
    /// The state as it is stored and told.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Done => "done",
            Self::Live => "live",
            Self::Superseded => "superseded",
        }
    }

    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Running,
        Self::Paused,
        Self::Failed,
        Self::Cancelled,
        Self::Done,
        Self::Live,
        Self::Superseded,
    ];

    /// The states of what is not yet seen by anybody.
    pub const OPEN: [Self; 4] = [Self::Running, Self::Paused, Self::Failed, Self::Done];

    /// Whether there is work left.
    #[must_use]
    pub const fn is_unfinished(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Failed)
    }
}

impl fmt::Display for BackfillState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for BackfillState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

impl Wanted {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Cancel => "cancel",
        }
    }
}

impl Registry {
    /// Begins a backfill.
    ///
    /// # Errors
    /// When the registry cannot be written.
    pub async fn begin_backfill(
        &self,
        archive: &str,
        key: Digest,
        plan: &Value,
    ) -> Result<BackfillId, StoreError> {
        let row = sqlx::query(
            "INSERT INTO backfills (archive, key, plan, state, created_at, updated_at) \
             VALUES (?1, ?2, ?3, 'running', ?4, ?4) RETURNING id",
        )
        .bind(archive)
        .bind(key.to_string())
        .bind(plan.to_string())
        .bind(now())
        .fetch_one(&self.pool)
        .await
        .map_err(self.sql("begin a backfill"))?;
        row.try_get("id").map_err(self.sql("read the number of a backfill"))
    }

    /// The backfills, the newest first.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn backfills(&self) -> Result<Vec<BackfillRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM backfills ORDER BY id DESC")
            .fetch_all(&self.pool)
            .await
            .map_err(self.sql("list the backfills"))?;
        rows.iter().map(|row| self.backfill_in(row)).collect()
    }

    /// The backfills of an archive that stand in one of some ways, the newest first.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn backfills_of(
        &self,
        archive: &str,
        states: &[BackfillState],
    ) -> Result<Vec<BackfillRecord>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM backfills WHERE archive = ");
        query.push_bind(archive).push(" AND state IN (");
        let mut all = query.separated(", ");
        for state in states {
            all.push_bind(state.as_str());
        }
        query.push(") ORDER BY id DESC");
        let rows = query.build().fetch_all(&self.pool).await;
        let rows = rows.map_err(self.sql("list the backfills of an archive"))?;
        rows.iter().map(|row| self.backfill_in(row)).collect()
    }

    /// The backfills that were begun and are not done, also those whose process was killed.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn running_backfills(&self) -> Result<Vec<BackfillRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM backfills WHERE state = 'running' ORDER BY id DESC")
            .fetch_all(&self.pool)
            .await
            .map_err(self.sql("list the backfills that run"))?;
        rows.iter().map(|row| self.backfill_in(row)).collect()
    }

    /// A backfill; nothing if there is none of that number.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn backfill(&self, id: BackfillId) -> Result<Option<BackfillRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM backfills WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(self.sql("read a backfill"))?;
        row.map(|row| self.backfill_in(&row)).transpose()
    }

    /// Says how a backfill stands; nobody wants anything of it any more.
    ///
    /// # Errors
    /// When the registry cannot be written.
    pub async fn set_backfill(
        &self,
        id: BackfillId,
        state: BackfillState,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE backfills SET state = ?, error = ?, wanted = NULL, updated_at = ? WHERE id = ?",
        )
        .bind(state.as_str())
        .bind(error)
        .bind(now())
        .bind(id)
        .execute(&self.pool)
        .await
        .map_err(self.sql("write how a backfill stands"))?;
        Ok(())
    }

    /// Asks the process that works on a backfill to stop.
    ///
    /// # Errors
    /// When the registry cannot be written.
    pub async fn ask_backfill(&self, id: BackfillId, wanted: Wanted) -> Result<(), StoreError> {
        sqlx::query("UPDATE backfills SET wanted = ? WHERE id = ? AND state = 'running'")
            .bind(wanted.as_str())
            .bind(id)
            .execute(&self.pool)
            .await
            .map_err(self.sql("ask a backfill to stop"))?;
        Ok(())
    }

    /// Writes down that chunks are done. A chunk that is done already stays as it is.
    ///
    /// # Errors
    /// When the registry cannot be written.
    pub async fn finish_chunks(
        &self,
        id: BackfillId,
        chunks: &[ChunkRecord],
    ) -> Result<(), StoreError> {
        let fail = self.sql("write down a chunk");
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(fail)?;
        for some in chunks.chunks(CHUNKS_A_STATEMENT) {
            let mut insert = QueryBuilder::<Sqlite>::new(
                "INSERT INTO backfill_chunks (backfill, chunk, counts, seconds, finished_at) ",
            );
            insert.push_values(some, |mut row, chunk| {
                row.push_bind(id)
                    .push_bind(i64::try_from(chunk.chunk).unwrap_or(i64::MAX))
                    .push_bind(chunk.counts.to_string())
                    .push_bind(chunk.seconds)
                    .push_bind(now());
            });
            insert.push(" ON CONFLICT (backfill, chunk) DO NOTHING");
            insert.build().execute(&mut *transaction).await.map_err(fail)?;
        }
        transaction.commit().await.map_err(fail)
    }

    /// Forgets that chunks are done: what they left is gone or damaged.
    ///
    /// # Errors
    /// When the registry cannot be written.
    pub async fn forget_chunks(&self, id: BackfillId, chunks: &[usize]) -> Result<(), StoreError> {
        for chunk in chunks {
            sqlx::query("DELETE FROM backfill_chunks WHERE backfill = ? AND chunk = ?")
                .bind(id)
                .bind(i64::try_from(*chunk).unwrap_or(i64::MAX))
                .execute(&self.pool)
                .await
                .map_err(self.sql("forget a chunk"))?;
        }
        Ok(())
    }

    /// The chunks of a backfill that are done, in their order.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn chunks(&self, id: BackfillId) -> Result<Vec<ChunkRecord>, StoreError> {
        let fail = self.sql("list the chunks of a backfill");
        let rows = sqlx::query(
            "SELECT chunk, counts, seconds FROM backfill_chunks WHERE backfill = ? ORDER BY chunk",
        )
        .bind(id)
        .fetch_all(&self.pool)
        .await
        .map_err(fail)?;
        let record = |row: &SqliteRow| {
            let chunk: i64 = row.try_get("chunk").map_err(fail)?;
            let counts: String = row.try_get("counts").map_err(fail)?;
            Ok(ChunkRecord {
                chunk: usize::try_from(chunk).map_err(|_| self.damaged("a chunk"))?,
                counts: serde_json::from_str(&counts).map_err(|_| self.damaged("a chunk"))?,
                seconds: row.try_get("seconds").map_err(fail)?,
            })
        };
        rows.iter().map(record).collect()
    }

    fn backfill_in(&self, row: &SqliteRow) -> Result<BackfillRecord, StoreError> {
        let fail = self.sql("read a backfill");
        let damaged = || self.damaged("a backfill");
        let text = |column: &str| row.try_get::<String, _>(column).map_err(fail);
        let wanted: Option<String> = row.try_get("wanted").map_err(fail)?;
        Ok(BackfillRecord {
            id: row.try_get("id").map_err(fail)?,
            archive: text("archive")?,
            key: text("key")?.parse().map_err(|_| damaged())?,
            plan: serde_json::from_str(&text("plan")?).map_err(|_| damaged())?,
            state: text("state")?.parse().map_err(|()| damaged())?,
            wanted: wanted.map(|wanted| match wanted.as_str() {
                "pause" => Wanted::Pause,
                _ => Wanted::Cancel,
            }),
            error: row.try_get("error").map_err(fail)?,
            created_at: row.try_get("created_at").map_err(fail)?,
            updated_at: row.try_get("updated_at").map_err(fail)?,
        })
    }
}
