//! The registry: runs, artifacts, lineage, model versions and aliases, in one SQLite file.

mod backfills;
mod runs;
mod versions;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sqlx::{
    SqlitePool,
    migrate::MigrateError,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

pub use backfills::{BackfillId, BackfillRecord, BackfillState, ChunkRecord, Wanted};
pub use runs::{RunId, RunRecord, RunResult, RunStatus};
pub use versions::{AliasMove, CompiledRecord, VersionRecord};

use crate::{StoreError, StoreErrorKind};

/// What is known of runs, artifacts, lineage, model versions and aliases.
#[derive(Debug, Clone)]
pub struct Registry {
    pool: SqlitePool,
    path: PathBuf,
}

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(10);

impl Registry {
    /// Opens the registry, which is made or brought up to date first where needed.
    ///
    /// # Errors
    /// When the file cannot be opened, is locked for 10 seconds, is no registry, or was written
    /// by a newer program.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)
            .map_err(|error| StoreError::io("make the folder", folder, error))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY);
        let pool = SqlitePoolOptions::new()
            .max_connections(2)
            .connect_with(options)
            .await
            .map_err(|error| StoreError::sql("open a connection", path, error))?;
        let registry = Self { pool, path: path.to_owned() };
        registry.migrate().await?;
        Ok(registry)
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        sqlx::migrate!().run(&self.pool).await.map_err(|error| match error {
            MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => {
                let action = format!("open the registry {}", self.path.display());
                StoreError::new(StoreErrorKind::Newer, action)
                    .because(error)
                    .help("a newer `mesh` wrote it: update this one")
            }
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                self.sql("bring up the tables")(error)
            }
            error => {
                let action = format!("bring up the tables of {}", self.path.display());
                StoreError::new(StoreErrorKind::Registry, action).because(error)
            }
        })
    }

    fn sql(&self, action: &'static str) -> impl Fn(sqlx::Error) -> StoreError + Copy + '_ {
        move |error| StoreError::sql(action, &self.path, error)
    }

    /// A value that the registry wrote itself and that is not what it wrote.
    fn damaged(&self, what: &str) -> StoreError {
        let action = format!("read {what} in the registry {}", self.path.display());
        StoreError::new(StoreErrorKind::Registry, action)
            .help("the file is damaged: move it away, and `mesh run --all` makes it anew")
    }
}

/// Milliseconds since 1970, UTC.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
