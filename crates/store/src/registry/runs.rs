use std::{fmt, str::FromStr};

use mesh_core::{ArtifactDir, Digest, ProjectName, StepKey, StepName};
use serde::Serialize;
use serde_json::Value;
use sqlx::{Row, sqlite::SqliteRow};

use super::{Registry, now};
use crate::StoreError;

/// The identifier of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunId(i64);

/// How a run ended, or that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RunStatus {
    /// It is at work, or its process was killed.
    Running,
    /// It left an artifact.
    Succeeded,
    /// The work failed.
    Failed,
    /// A gate refused the result.
    Refused,
    /// Somebody stopped it.
    Interrupted,
}

/// A run as the registry knows it.
#[derive(Debug, Clone)]
pub struct RunRecord {
    /// What decided whether it had to run.
    pub key: StepKey,
    /// How it ended.
    pub status: RunStatus,
    /// When it started, in milliseconds since 1970, UTC.
    pub started_at: i64,
    /// When it ended.
    pub finished_at: Option<i64>,
    /// The artifact that it left.
    pub output: Option<Digest>,
    /// Facts about the run: durations, speeds.
    pub report: Value,
    /// Why it left nothing.
    pub error: Option<String>,
}

/// What a run ended with.
#[derive(Debug, Clone)]
pub enum RunResult<'a> {
    /// An artifact, and facts about the run.
    Succeeded {
        /// The artifact.
        artifact: &'a ArtifactDir,
        /// Facts about the run.
        report: &'a Value,
    },
    /// Nothing, in one of three ways.
    Unsuccessful {
        /// In which way.
        status: RunStatus,
        /// Why.
        error: &'a str,
    },
}

impl Registry {
    /// Writes down that a run starts. `unit` tells apart runs of one step, such as the targets
    /// of a compile.
    ///
    /// The caller holds the lock on this piece of work; so older runs of it that still count as
    /// running were killed.
    ///
    /// # Errors
    /// When the registry cannot be written.
    pub async fn begin_run(
        &self,
        project: &ProjectName,
        unit: &str,
        key: &StepKey,
    ) -> Result<RunId, StoreError> {
        let fail = self.sql("begin a run");
        let document =
            serde_json::to_string(key).map_err(|error| fail(sqlx::Error::Encode(error.into())))?;
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(fail)?;
        sqlx::query(
            "UPDATE runs SET status = 'interrupted', error = 'the process ended', \
             finished_at = ?4 WHERE project = ?1 AND step = ?2 AND unit = ?3 AND status = 'running'",
        )
        .bind(project.as_str())
        .bind(key.step.as_str())
        .bind(unit)
        .bind(now())
        .execute(&mut *transaction)
        .await
        .map_err(fail)?;
        let run = sqlx::query(
            "INSERT INTO runs (project, step, unit, key, key_document, status, started_at) \
             VALUES (?, ?, ?, ?, ?, 'running', ?)",
        )
        .bind(project.as_str())
        .bind(key.step.as_str())
        .bind(unit)
        .bind(Digest::of(document.as_bytes()).to_string())
        .bind(&document)
        .bind(now())
        .execute(&mut *transaction)
        .await
        .map_err(fail)?;
        transaction.commit().await.map_err(fail)?;
        Ok(RunId(run.last_insert_rowid()))
    }

    /// Writes down how a run ended, and what it left and from what, in one transaction.
    ///
    /// # Errors
    /// When the registry cannot be written.
    pub async fn finish_run(&self, run: RunId, result: &RunResult<'_>) -> Result<(), StoreError> {
        let fail = self.sql("finish a run");
        let (status, output, report, error) = match result {
            RunResult::Succeeded { artifact, report } => {
                let output = artifact.digest().to_string();
                (RunStatus::Succeeded, Some(output), (*report).clone(), None)
            }
            RunResult::Unsuccessful { status, error } => (*status, None, Value::Null, Some(*error)),
        };
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(fail)?;
        if let RunResult::Succeeded { artifact, .. } = result {
            let manifest = artifact.manifest();
            let size: u64 = manifest.files.iter().map(|file| file.size).sum();
            sqlx::query(
                "INSERT INTO artifacts (digest, kind, project, size, created_at) \
                 VALUES (?, ?, (SELECT project FROM runs WHERE id = ?), ?, ?) \
                 ON CONFLICT DO NOTHING",
            )
            .bind(artifact.digest().to_string())
            .bind(manifest.kind.as_str())
            .bind(run.0)
            .bind(i64::try_from(size).unwrap_or(i64::MAX))
            .bind(now())
            .execute(&mut *transaction)
            .await
            .map_err(fail)?;
            for input in &manifest.inputs {
                sqlx::query(
                    "INSERT INTO lineage (artifact, role, input) VALUES (?, ?, ?) \
                     ON CONFLICT DO NOTHING",
                )
                .bind(artifact.digest().to_string())
                .bind(&input.role)
                .bind(input.digest.to_string())
                .execute(&mut *transaction)
                .await
                .map_err(fail)?;
            }
        }
        sqlx::query(
            "UPDATE runs SET status = ?, finished_at = ?, output = ?, report = ?, error = ? \
             WHERE id = ?",
        )
        .bind(status.as_str())
        .bind(now())
        .bind(output)
        .bind(report.to_string())
        .bind(error)
        .bind(run.0)
        .execute(&mut *transaction)
        .await
        .map_err(fail)?;
        transaction.commit().await.map_err(fail)
    }

    /// The newest run that succeeded with exactly this key.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn succeeded_run(&self, key: &StepKey) -> Result<Option<RunRecord>, StoreError> {
        let fail = self.sql("look up a run");
        let document =
            serde_json::to_string(key).map_err(|error| fail(sqlx::Error::Encode(error.into())))?;
        let row = sqlx::query(
            "SELECT * FROM runs WHERE key = ? AND status = 'succeeded' ORDER BY id DESC LIMIT 1",
        )
        .bind(Digest::of(document.as_bytes()).to_string())
        .fetch_optional(&self.pool)
        .await
        .map_err(fail)?;
        row.map(|row| self.run(&row)).transpose()
    }

    /// The newest run of a project's step, however it ended.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn last_run(
        &self,
        project: &ProjectName,
        step: StepName,
        unit: &str,
    ) -> Result<Option<RunRecord>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM runs WHERE project = ? AND step = ? AND unit = ? \
             ORDER BY id DESC LIMIT 1",
        )
        .bind(project.as_str())
        .bind(step.as_str())
        .bind(unit)
        .fetch_optional(&self.pool)
        .await
        .map_err(self.sql("look up a run"))?;
        row.map(|row| self.run(&row)).transpose()
    }

    /// Every project that the registry knows, whether or not its folder is still there.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn projects(&self) -> Result<Vec<ProjectName>, StoreError> {
        let rows = sqlx::query("SELECT DISTINCT project FROM runs ORDER BY project")
            .fetch_all(&self.pool)
            .await
            .map_err(self.sql("list projects"))?;
        rows.iter().map(|row| self.field(row, "project")).collect()
    }

    /// What an artifact was made from, by role.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn inputs_of(&self, artifact: Digest) -> Result<Vec<(String, Digest)>, StoreError> {
        let rows = sqlx::query("SELECT role, input FROM lineage WHERE artifact = ? ORDER BY role")
            .bind(artifact.to_string())
            .fetch_all(&self.pool)
            .await
            .map_err(self.sql("look up lineage"))?;
        rows.iter().map(|row| Ok((self.text(row, "role")?, self.field(row, "input")?))).collect()
    }

    /// Forgets artifacts that are no longer in the store. Runs that left them count as stale.
    ///
    /// # Errors
    /// When the registry cannot be written.
    pub async fn forget_artifacts(&self, digests: &[Digest]) -> Result<(), StoreError> {
        let fail = self.sql("forget artifacts");
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(fail)?;
        for digest in digests {
            for sql in
                ["DELETE FROM artifacts WHERE digest = ?", "DELETE FROM lineage WHERE artifact = ?"]
            {
                let query = sqlx::query(sql).bind(digest.to_string());
                query.execute(&mut *transaction).await.map_err(fail)?;
            }
        }
        transaction.commit().await.map_err(fail)
    }

    fn run(&self, row: &SqliteRow) -> Result<RunRecord, StoreError> {
        let document = self.text(row, "key_document")?;
        let report = self.text(row, "report")?;
        Ok(RunRecord {
            key: serde_json::from_str(&document)
                .map_err(|error| self.damaged("a run's key").because(error))?,
            status: self.field(row, "status")?,
            started_at: row.try_get("started_at").map_err(self.sql("read a run"))?,
            finished_at: row.try_get("finished_at").map_err(self.sql("read a run"))?,
            output: self.optional(row, "output")?,
            report: serde_json::from_str(&report)
                .map_err(|error| self.damaged("a run's report").because(error))?,
            error: row.try_get("error").map_err(self.sql("read a run"))?,
        })
    }

    pub(super) fn text(&self, row: &SqliteRow, column: &str) -> Result<String, StoreError> {
        row.try_get(column).map_err(self.sql("read a row"))
    }

    pub(super) fn field<T: FromStr>(&self, row: &SqliteRow, column: &str) -> Result<T, StoreError> {
        self.text(row, column)?.parse().map_err(|_| self.damaged(column))
    }

    fn optional<T: FromStr>(&self, row: &SqliteRow, column: &str) -> Result<Option<T>, StoreError> {
        let text: Option<String> = row.try_get(column).map_err(self.sql("read a row"))?;
        text.map(|text| text.parse().map_err(|_| self.damaged(column))).transpose()
    }
}

impl RunStatus {
    /// The status as it stands in the registry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for RunStatus {
    type Err = ();

    fn from_str(given: &str) -> Result<Self, ()> {
        [Self::Running, Self::Succeeded, Self::Failed, Self::Refused, Self::Interrupted]
            .into_iter()
            .find(|status| status.as_str() == given)
            .ok_or(())
    }
}
