//! `mesh backfill follow` and `mesh backfill followed`

use std::{process::ExitCode, time::Duration};

use mesh_backfill::{ArchiveFile, BackfillError, Enricher, Follow, FollowLimits, Keep};
use mesh_core::{Alias, ModelVersion, manifest::StreamTable};
use mesh_pipeline::{ProjectFolder, version_of};
use mesh_stream::{LogUrl, Nats, Sink, Source};
use serde_json::json;
use tokio::task::block_in_place;

use super::{Desk, show};
use crate::{args::BackfillFollow, output, report::CliError};

/// What a stream is followed from and to, by the command and the archive's manifest.
struct Ends {
    from: LogUrl,
    to: Option<LogUrl>,
    keep: Keep,
}

/// Models in production, as they were looked at last.
struct Roster<'d, 'c> {
    desk: &'d Desk<'c>,
    named: Vec<String>,
    versions: Vec<Option<ModelVersion>>,
}

impl Desk<'_> {
    pub(super) async fn follow(&self, options: &BackfillFollow) -> Result<ExitCode, CliError> {
        let archive = ArchiveFile::find(self.workspace.root(), &options.archive)?;
        let ends = Ends::of(options, archive.manifest().stream.as_ref())?;
        let named = self.followers(options, &archive)?;
        let mut roster = Roster { desk: self, versions: Vec::new(), named };
        // In this order: a version that is promoted in between is taken at the first batch.
        roster.versions = roster.look().await?;
        let enrichers = self.enrichers(&roster.named).await?;
        let report = block_in_place(|| {
            let (source, sink) = self.connect(&ends)?;
            let limits = FollowLimits {
                batch: options.batch,
                linger: options.linger,
                until_idle: options.until_idle,
                count: options.count,
                threads: self.context.run_options(options.threads).threads,
                max_rejected: options.max_rejected,
                anew: options.anew,
            };
            self.ledger.follow(Follow {
                archive: &archive,
                source,
                sink,
                keep: ends.keep,
                enrichers,
                newer: &mut || roster.newer(),
                limits,
                watch: self.watch(),
            })
        })?;
        match self.context.global.json {
            true => output::json(&report),
            false => show::followed(&report),
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn followed(&self, archive: &str, limit: usize) -> Result<ExitCode, CliError> {
        let file = ArchiveFile::find(self.workspace.root(), archive)?;
        let followed =
            block_in_place(|| file.followed(&self.ledger.runtime, &self.context.cancel, limit))?;
        match (self.context.global.json, &followed) {
            (true, Some(followed)) => output::json(followed),
            (true, None) => output::json(&json!({
                "source": null, "target": null, "position": null, "messages": 0, "documents": 0,
                "refused": 0, "missed": 0, "refusals": [], "rejects": {},
            })),
            (false, Some(followed)) => show::arrivals(archive, followed),
            (false, None) => output::line(format!("nothing was followed into {archive}")),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The projects that tell of documents.
    fn followers(
        &self,
        options: &BackfillFollow,
        archive: &ArchiveFile,
    ) -> Result<Vec<String>, CliError> {
        if !options.projects.is_empty() {
            return Ok(options.projects.iter().map(ToString::to_string).collect());
        }
        let stream = archive.manifest().stream.as_ref();
        let named = stream.map(|stream| stream.projects.as_slice()).unwrap_or_default();
        if !named.is_empty() {
            return Ok(named.iter().map(ToString::to_string).collect());
        }
        let live = block_in_place(|| archive.live(&self.ledger.runtime, &self.context.cancel))?;
        if live.is_empty() {
            let action = format!("follow into {}: no project is named", options.archive);
            let help = "name one with --project, or in `projects` of [stream]";
            return Err(CliError::usage(action, help));
        }
        Ok(live.iter().map(ToString::to_string).collect())
    }

    fn connect(&self, ends: &Ends) -> Result<Connected, BackfillError> {
        let nats = Nats::connect(&ends.from, &self.ledger.runtime)?;
        let source = nats.source(ends.from.path())?;
        let Some(to) = &ends.to else { return Ok((Box::new(source), None)) };
        let other = match to.same_server(&ends.from) {
            true => nats,
            false => Nats::connect(to, &self.ledger.runtime)?,
        };
        let sink = other.sink(to.path())?;
        if to.same_server(&ends.from) && source.reads(to.path()) {
            return Err(mesh_stream::StreamError::loops(to).into());
        }
        Ok((Box::new(source), Some(Box::new(sink))))
    }
}

type Connected = (Box<dyn Source>, Option<Box<dyn Sink>>);

impl Ends {
    fn of(options: &BackfillFollow, stream: Option<&StreamTable>) -> Result<Self, CliError> {
        let from = options.from.as_ref().or(stream.map(|stream| &stream.from));
        let to = options.to.as_ref().or(stream.and_then(|stream| stream.to.as_ref()));
        let Some(from) = from else {
            let action = format!("follow into {}: no stream is named", options.archive);
            let help = "name one: --from nats://host:4222/<stream or subject>, or `from` in \
                        [stream] of the archive's manifest";
            return Err(CliError::usage(action, help));
        };
        let only = options.publish_only || stream.is_some_and(|stream| stream.publish_only);
        if only && to.is_none() {
            let action = "follow: documents would be neither kept nor published";
            return Err(CliError::usage(action, "name a subject with --to"));
        }
        let parse = |url: &String| url.parse::<LogUrl>().map_err(BackfillError::from);
        let keep = if only { Keep::Keys } else { Keep::Documents };
        Ok(Self { from: parse(from)?, to: to.map(parse).transpose()?, keep })
    }
}

impl Roster<'_, '_> {
    fn projects(&self) -> Result<Vec<&ProjectFolder>, CliError> {
        let find = |name: &String| super::super::run::find(&self.desk.workspace, name);
        self.named.iter().map(find).collect()
    }

    /// Which versions are in production.
    async fn look(&self) -> Result<Vec<Option<ModelVersion>>, CliError> {
        let mut versions = Vec::new();
        for project in self.projects()? {
            versions.push(version_of(&self.desk.workspace, project, &Alias::production()).await?);
        }
        Ok(versions)
    }

    /// The models in production, if they are others than before. Where they cannot be loaded, those
    /// before go on to answer, as in serving.
    fn newer(&mut self) -> Option<Vec<Enricher>> {
        let runtime = self.desk.ledger.runtime.clone();
        let versions = runtime.block_on(self.look()).ok()?;
        if versions == self.versions {
            return None;
        }
        match runtime.block_on(self.desk.enrichers(&self.named)) {
            Ok(enrichers) => {
                self.versions = versions;
                Some(enrichers)
            }
            Err(error) => {
                tracing::warn!(%error, "the version in production cannot be loaded");
                None
            }
        }
    }
}

/// A duration: `250ms`, `2s`, `5m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let scale = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("expected a duration with its unit: 250ms, 2s, 5m".into()),
    };
    let seconds = number.parse::<f64>().map_err(|_| "expected a number before the unit")?;
    Duration::try_from_secs_f64(seconds * scale).map_err(|error| error.to_string())
}
