use mesh_core::{Alias, Digest, ModelVersion, ProjectName};
use serde::Serialize;
use serde_json::Value;
use sqlx::{Row, Sqlite, Transaction, sqlite::SqliteRow};

use super::{Registry, now};
use crate::{StoreError, StoreErrorKind};

/// A model version of a project.
#[derive(Debug, Clone, Serialize)]
pub struct VersionRecord {
    /// Its number.
    pub version: ModelVersion,
    /// The model artifact.
    pub model: Digest,
    /// Headline metrics.
    pub summary: Value,
    /// When it was registered, in milliseconds since 1970, UTC.
    pub created_at: i64,
    /// What was compiled from it, by target.
    pub compiled: Vec<CompiledRecord>,
    /// The aliases that point at it.
    pub aliases: Vec<Alias>,
}

/// A compiled model of a version.
#[derive(Debug, Clone, Serialize)]
pub struct CompiledRecord {
    /// The target that it is for.
    pub target: String,
    /// The artifact.
    pub digest: Digest,
    /// The fidelity report: `fidelity`, and `speed` as it was measured when it was compiled (null
    /// if that run was cut off).
    pub report: Value,
}

/// An alias that was moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AliasMove {
    /// Where it pointed; nothing if it is new.
    pub from: Option<ModelVersion>,
    /// Where it points now.
    pub to: ModelVersion,
}

impl Registry {
    /// Registers a model as the next version of its project, or finds the version that it
    /// already is. Says whether it is new. A new one becomes `candidate`, but for a project's
    /// first one, which becomes `production` once it is compiled.
    ///
    /// # Errors
    /// When the registry cannot be written.
    pub async fn register_version(
        &self,
        project: &ProjectName,
        model: Digest,
        summary: &Value,
    ) -> Result<(ModelVersion, bool), StoreError> {
        let fail = self.sql("register a version");
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(fail)?;
        let known = sqlx::query("SELECT version FROM versions WHERE project = ? AND model = ?")
            .bind(project.as_str())
            .bind(model.to_string())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(fail)?;
        if let Some(row) = known {
            return Ok((self.version_in(&row)?, false));
        }
        let row = sqlx::query(
            "INSERT INTO versions (project, version, model, summary, created_at) \
             SELECT ?1, coalesce(max(version), 0) + 1, ?2, ?3, ?4 FROM versions \
             WHERE project = ?1 RETURNING version",
        )
        .bind(project.as_str())
        .bind(model.to_string())
        .bind(summary.to_string())
        .bind(now())
        .fetch_one(&mut *transaction)
        .await
        .map_err(fail)?;
        let version = self.version_in(&row)?;
        if version != ModelVersion::FIRST {
            self.point(&mut transaction, project, &Alias::candidate(), version).await?;
        }
        transaction.commit().await.map_err(fail)?;
        Ok((version, true))
    }

    /// Registers what was compiled from a version for a target; the newest replaces the older. The
    /// version becomes `production` if nothing that can be served is: no version, or one that was
    /// never compiled.
    ///
    /// # Errors
    /// When the registry cannot be written.
    pub async fn register_compiled(
        &self,
        project: &ProjectName,
        version: ModelVersion,
        compiled: &CompiledRecord,
    ) -> Result<(), StoreError> {
        let fail = self.sql("register a compiled model");
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(fail)?;
        sqlx::query(
            "INSERT INTO compiled (project, version, target, digest, report, created_at) \
             VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (project, version, target) DO UPDATE \
             SET digest = excluded.digest, report = excluded.report, \
             created_at = excluded.created_at",
        )
        .bind(project.as_str())
        .bind(version.get())
        .bind(&compiled.target)
        .bind(compiled.digest.to_string())
        .bind(compiled.report.to_string())
        .bind(now())
        .execute(&mut *transaction)
        .await
        .map_err(fail)?;
        let production = Alias::production();
        let moves = self.moves(&mut transaction, project, &production).await?;
        let served = match moves.first() {
            None => None,
            Some((_, version)) => {
                sqlx::query("SELECT 1 FROM compiled WHERE project = ? AND version = ? LIMIT 1")
                    .bind(project.as_str())
                    .bind(version.get())
                    .fetch_optional(&mut *transaction)
                    .await
                    .map_err(fail)?
            }
        };
        if served.is_none() {
            self.point(&mut transaction, project, &production, version).await?;
        }
        transaction.commit().await.map_err(fail)
    }

    /// Forgets what was compiled from a model for a target.
    ///
    /// # Errors
    /// When the registry cannot be written.
    pub async fn withdraw_compiled(
        &self,
        project: &ProjectName,
        model: Digest,
        target: &str,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM compiled WHERE project = ?1 AND target = ?3 AND version IN \
             (SELECT version FROM versions WHERE project = ?1 AND model = ?2)",
        )
        .bind(project.as_str())
        .bind(model.to_string())
        .bind(target)
        .execute(&self.pool)
        .await
        .map(|_| ())
        .map_err(self.sql("withdraw a compiled model"))
    }

    /// All versions of a project, newest first.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn versions(&self, project: &ProjectName) -> Result<Vec<VersionRecord>, StoreError> {
        let fail = self.sql("list versions");
        let aliases = self.aliases(project).await?;
        let rows = sqlx::query("SELECT * FROM versions WHERE project = ? ORDER BY version DESC")
            .bind(project.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(fail)?;
        let mut versions = Vec::with_capacity(rows.len());
        for row in &rows {
            let version = self.version_in(row)?;
            let compiled = sqlx::query(
                "SELECT target, digest, report FROM compiled \
                 WHERE project = ? AND version = ? ORDER BY target",
            )
            .bind(project.as_str())
            .bind(version.get())
            .fetch_all(&self.pool)
            .await
            .map_err(fail)?;
            let compiled = compiled.iter().map(|row| {
                Ok(CompiledRecord {
                    target: self.text(row, "target")?,
                    digest: self.field(row, "digest")?,
                    report: self.json(row, "report")?,
                })
            });
            let pointing = aliases.iter().filter(|(_, target)| *target == version);
            versions.push(VersionRecord {
                version,
                model: self.field(row, "model")?,
                summary: self.json(row, "summary")?,
                created_at: row.try_get("created_at").map_err(fail)?,
                compiled: compiled.collect::<Result<_, StoreError>>()?,
                aliases: pointing.map(|(alias, _)| alias.clone()).collect(),
            });
        }
        Ok(versions)
    }

    /// The version that an alias points at, if it points anywhere.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn alias(
        &self,
        project: &ProjectName,
        alias: &Alias,
    ) -> Result<Option<ModelVersion>, StoreError> {
        let aliases = self.aliases(project).await?;
        Ok(aliases.into_iter().find(|(name, _)| name == alias).map(|(_, version)| version))
    }

    /// Points an alias at a version.
    ///
    /// # Errors
    /// When the project has no such version, or the registry cannot be written.
    pub async fn set_alias(
        &self,
        project: &ProjectName,
        alias: &Alias,
        version: ModelVersion,
    ) -> Result<AliasMove, StoreError> {
        let fail = self.sql("move an alias");
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(fail)?;
        let known = sqlx::query("SELECT 1 FROM versions WHERE project = ? AND version = ?")
            .bind(project.as_str())
            .bind(version.get())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(fail)?;
        if known.is_none() {
            let action = format!("find version {version} of {project}");
            return Err(StoreError::new(StoreErrorKind::NotFound, action)
                .help(format!("`mesh model list {project}` lists the versions")));
        }
        let from = self.moves(&mut transaction, project, alias).await?.first().copied();
        if from.map(|(_, version)| version) != Some(version) {
            self.point(&mut transaction, project, alias, version).await?;
        }
        transaction.commit().await.map_err(fail)?;
        Ok(AliasMove { from: from.map(|(_, version)| version), to: version })
    }

    /// Points an alias back at where it pointed before.
    ///
    /// # Errors
    /// When it never pointed elsewhere, or the registry cannot be written.
    pub async fn roll_back_alias(
        &self,
        project: &ProjectName,
        alias: &Alias,
    ) -> Result<AliasMove, StoreError> {
        let fail = self.sql("roll back an alias");
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(fail)?;
        let moves = self.moves(&mut transaction, project, alias).await?;
        let [(newest, from), (_, to), ..] = moves.as_slice() else {
            let action = format!("roll back `{alias}` of {project}");
            return Err(StoreError::new(StoreErrorKind::NotFound, action).help(
                "there is nothing to go back to: `mesh model promote` points it at any version",
            ));
        };
        sqlx::query("UPDATE alias_moves SET undone = 1 WHERE id = ?")
            .bind(newest)
            .execute(&mut *transaction)
            .await
            .map_err(fail)?;
        transaction.commit().await.map_err(fail)?;
        Ok(AliasMove { from: Some(*from), to: *to })
    }

    async fn aliases(
        &self,
        project: &ProjectName,
    ) -> Result<Vec<(Alias, ModelVersion)>, StoreError> {
        let rows = sqlx::query(
            "SELECT alias, version FROM alias_moves WHERE id IN (SELECT max(id) FROM alias_moves \
             WHERE project = ? AND undone = 0 GROUP BY alias) ORDER BY alias",
        )
        .bind(project.as_str())
        .fetch_all(&self.pool)
        .await
        .map_err(self.sql("list aliases"))?;
        rows.iter().map(|row| Ok((self.field(row, "alias")?, self.version_in(row)?))).collect()
    }

    /// The moves of an alias that were not undone, newest first: their row and version.
    async fn moves(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
        project: &ProjectName,
        alias: &Alias,
    ) -> Result<Vec<(i64, ModelVersion)>, StoreError> {
        let fail = self.sql("look up an alias");
        let rows = sqlx::query(
            "SELECT id, version FROM alias_moves \
             WHERE project = ? AND alias = ? AND undone = 0 ORDER BY id DESC",
        )
        .bind(project.as_str())
        .bind(alias.as_str())
        .fetch_all(&mut **transaction)
        .await
        .map_err(fail)?;
        rows.iter()
            .map(|row| Ok((row.try_get("id").map_err(fail)?, self.version_in(row)?)))
            .collect()
    }

    async fn point(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
        project: &ProjectName,
        alias: &Alias,
        version: ModelVersion,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO alias_moves (project, alias, version, moved_at) VALUES (?, ?, ?, ?)",
        )
        .bind(project.as_str())
        .bind(alias.as_str())
        .bind(version.get())
        .bind(now())
        .execute(&mut **transaction)
        .await
        .map(|_| ())
        .map_err(self.sql("move an alias"))
    }

    fn version_in(&self, row: &SqliteRow) -> Result<ModelVersion, StoreError> {
        let version: u32 = row.try_get("version").map_err(self.sql("read a version"))?;
        ModelVersion::try_from(version).map_err(|error| self.damaged("a version").because(error))
    }

    fn json(&self, row: &SqliteRow, column: &str) -> Result<Value, StoreError> {
        serde_json::from_str(&self.text(row, column)?)
            .map_err(|error| self.damaged(column).because(error))
    }
}
