//! Backfills: how they stand, what they rejected, what they would change, and the two moves that
//! change what readers see.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use mesh_archive::Watch;
use mesh_backfill::{
    ArchiveFile, BackfillError, BackfillErrorKind, Differences, Ledger, OpenArchive, Plan, Standing,
};
use mesh_core::{Cancel, NoProgress, ProjectName};
use mesh_serve::Problem;
use mesh_store::{BackfillId, BackfillRecord, BackfillState};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::{error::Fault, state::State};

/// Rejected rows of a project that are told, at most.
const REJECTS: usize = 200;
/// Documents that changed most, that are told of a project.
const EXAMPLES: usize = 10;
/// Differences that are kept.
const KEPT: usize = 8;
/// How far back a rate looks.
const LOOKS_BACK: Duration = Duration::from_secs(20);

/// What is known of backfills between two questions.
pub(crate) struct Backfills {
    ledger: Ledger,
    /// A backfill that is done leaves the same difference for good.
    differences: Mutex<BTreeMap<BackfillId, Arc<Value>>>,
    paces: Mutex<BTreeMap<BackfillId, Pace>>,
}

/// How many documents were done when.
#[derive(Default)]
struct Pace(VecDeque<(Instant, u64)>);

impl Backfills {
    pub(crate) fn new(workspace: &mesh_pipeline::Workspace, runtime: Handle) -> Self {
        let ledger = Ledger {
            registry: workspace.registry().clone(),
            locks: workspace.store().locks(),
            scratch: workspace.root().join(".mesh/backfill"),
            runtime,
        };
        Self { ledger, differences: Mutex::default(), paces: Mutex::default() }
    }

    /// How backfills that are under way stand, for the ticker; nothing if none is.
    pub(crate) async fn running(self: &Arc<Self>) -> Result<Value, Fault> {
        let running = self.ledger.registry.running_backfills().await?;
        if running.is_empty() {
            locked(&self.paces).clear();
            return Ok(json!([]));
        }
        let this = Arc::clone(self);
        let told = tokio::task::spawn_blocking(move || {
            let mut told = Vec::new();
            for record in running {
                let Ok(plan) = serde_json::from_value::<Plan>(record.plan.clone()) else {
                    continue;
                };
                told.push(this.standing(&record, &plan)?);
            }
            Ok::<_, Fault>(told)
        });
        Ok(json!(told.await??))
    }

    fn find(&self, id: BackfillId) -> Result<(BackfillRecord, Plan), Fault> {
        Ok(self.ledger.find(id)?)
    }

    /// How a backfill stands, how fast it is, and how long it takes still.
    fn standing(&self, record: &BackfillRecord, plan: &Plan) -> Result<Value, Fault> {
        let standing = self.ledger.standing(record, plan, None)?;
        let pace = standing.working.then(|| self.pace(&standing)).flatten();
        let mut told = serde_json::to_value(&standing)?;
        if let Some(told) = told.as_object_mut() {
            told.insert("state".into(), json!(standing.state_for_people()));
            told.insert("updated_at".into(), json!(record.updated_at));
            told.insert("rate".into(), json!(pace));
            #[expect(clippy::cast_precision_loss, reason = "a count of documents")]
            let left = standing.rows.saturating_sub(standing.done) as f64;
            told.insert("seconds_left".into(), json!(pace.map(|rate| left / rate)));
        }
        Ok(told)
    }

    /// Documents per second, as far back as somebody looked.
    fn pace(&self, standing: &Standing) -> Option<f64> {
        let mut paces = locked(&self.paces);
        let Pace(seen) = paces.entry(standing.id).or_default();
        let now = Instant::now();
        seen.push_back((now, standing.done));
        while seen.len() > 2 && seen.front().is_some_and(|(at, _)| now - *at > LOOKS_BACK) {
            seen.pop_front();
        }
        let (first, then) = seen.front()?;
        let done = standing.done.checked_sub(*then).filter(|done| *done > 0)?;
        #[expect(clippy::cast_precision_loss, reason = "a count of documents")]
        Some(done as f64 / (now - *first).as_secs_f64().max(0.001))
    }
}

/// The archives of the workspace and all backfills, the newest first.
pub(crate) async fn list(state: &Arc<State>) -> Result<Value, Fault> {
    let admin = state.admin.is_some();
    blocking(state, move |state| {
        let mut archives = Vec::new();
        for found in ArchiveFile::all(state.workspace.root())? {
            archives.push(match found {
                Ok(file) => json!({ "archive": file.name(), "url": file.manifest().archive.url }),
                Err(error) => json!({ "archive": null, "error": error.to_string() }),
            });
        }
        let records = state.backfills.ledger.records()?;
        let told: Result<Vec<_>, _> =
            records.iter().map(|(record, plan)| state.backfills.standing(record, plan)).collect();
        Ok(json!({ "archives": archives, "backfills": told?, "admin": admin }))
    })
    .await
}

/// One backfill with its plan.
pub(crate) async fn one(state: &Arc<State>, id: BackfillId) -> Result<Value, Fault> {
    blocking(state, move |state| {
        let (record, plan) = state.backfills.find(id)?;
        let mut told = state.backfills.standing(&record, &plan)?;
        let projects: Vec<_> = plan
            .projects
            .iter()
            .map(|project| {
                json!({ "project": project.project, "task": project.task,
                    "version": project.version, "digest": project.digest, "input": project.input,
                    "columns": project.columns, "live": project.live })
            })
            .collect();
        if let Some(told) = told.as_object_mut() {
            let plan = json!({ "url": plan.url, "files": plan.files.len(), "only": plan.only,
                "filter": plan.filter, "key_column": plan.key_column,
                "chunk_rows": plan.chunk_rows, "projects": projects });
            told.insert("plan".into(), plan);
            told.insert("admin".into(), json!(state.admin.is_some()));
        }
        Ok(told)
    })
    .await
}

/// What a backfill rejected, by project, each row with its key and the reason.
pub(crate) async fn rejects(
    state: &Arc<State>,
    id: BackfillId,
    limit: usize,
) -> Result<Value, Fault> {
    blocking(state, move |state| {
        let (record, plan) = state.backfills.find(id)?;
        let archive = open(state, &record.archive)?;
        let found = state.backfills.ledger.rejects(id, &plan, &archive, limit.min(REJECTS))?;
        Ok(json!(found))
    })
    .await
}

/// What a backfill would change for readers, by project.
pub(crate) async fn differences(state: &Arc<State>, id: BackfillId) -> Result<Value, Fault> {
    let known = || locked(&state.backfills.differences).get(&id).cloned();
    if let Some(known) = known() {
        return Ok(Value::clone(&known));
    }
    // The semaphore is never closed. Reading an archive is work: one at a time.
    let _turn = state.examining.acquire().await.ok();
    if let Some(known) = known() {
        return Ok(Value::clone(&known));
    }
    let told = blocking(state, move |state| {
        let (record, plan) = state.backfills.find(id)?;
        let archive = open(state, &record.archive)?;
        Ok(json!(compare(state, &archive, &record, &plan, EXAMPLES)?.projects))
    })
    .await?;
    let mut kept = locked(&state.backfills.differences);
    if kept.len() >= KEPT {
        kept.pop_first();
    }
    kept.insert(id, Arc::new(told.clone()));
    Ok(told)
}

/// Makes a backfill live, if the gates of its projects allow it.
pub(crate) async fn cutover(state: &Arc<State>, id: BackfillId) -> Result<Value, Fault> {
    blocking(state, move |state| {
        let (record, plan) = state.backfills.find(id)?;
        let archive = open(state, &record.archive)?;
        let gated = plan.projects.iter().any(|project| !gate(state, &project.project).is_empty());
        let found = match gated {
            true => Some(compare(state, &archive, &record, &plan, 0)?),
            false => None,
        };
        let moved = state.backfills.ledger.cutover(id, &archive, found.as_ref())?;
        tracing::info!(id, "a backfill was made live from the page");
        Ok(json!({ "archive": record.archive, "moved": moved }))
    })
    .await
}

/// Makes the enrichments before the live ones live again, of the projects of a live backfill.
pub(crate) async fn rollback(state: &Arc<State>, id: BackfillId) -> Result<Value, Fault> {
    blocking(state, move |state| {
        let (record, plan) = state.backfills.find(id)?;
        if record.state != BackfillState::Live {
            let what = format!("backfill {id} is {}, not live", record.state);
            return Err(Problem::Conflict(what).into());
        }
        let projects: Vec<ProjectName> =
            plan.projects.iter().map(|project| project.project.clone()).collect();
        let archive = open(state, &record.archive)?;
        let moved = state.backfills.ledger.rollback(&archive, &projects)?;
        tracing::info!(id, "a backfill was rolled back from the page");
        Ok(json!({ "archive": record.archive, "moved": moved }))
    })
    .await
}

fn compare(
    state: &State,
    archive: &OpenArchive,
    record: &BackfillRecord,
    plan: &Plan,
    examples: usize,
) -> Result<Differences, Fault> {
    let names = plan.projects.iter().map(|project| &project.project);
    let gates = names.map(|name| (name.to_string(), gate(state, name))).collect();
    let watch = Watch { progress: &NoProgress, cancel: &Cancel::new() };
    Ok(Differences::of(archive, record, plan, &gates, examples, watch)?)
}

fn gate(state: &State, project: &ProjectName) -> BTreeMap<String, f64> {
    let shown = state.projects.get(project.as_str());
    let table = shown.and_then(|shown| shown.folder.manifest().backfill.clone());
    table.unwrap_or_default().gate
}

fn open(state: &State, archive: &str) -> Result<OpenArchive, Fault> {
    let file = ArchiveFile::find(state.workspace.root(), archive)?;
    Ok(file.open(&state.backfills.ledger.runtime, &Cancel::new())?)
}

/// Archives and ledgers are waited for in a thread of their own.
async fn blocking<T: Send + 'static>(
    state: &Arc<State>,
    work: impl FnOnce(&State) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let state = Arc::clone(state);
    tokio::task::spawn_blocking(move || work(&state)).await?
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What went wrong, for who asks: what they can do something about is told, and the rest is logged.
pub(crate) fn fault(error: BackfillError) -> Fault {
    use BackfillErrorKind as Kind;
    let BackfillError::Backfill { kind, help, .. } = &error else {
        return Fault::Backfill(error);
    };
    let told = match help {
        Some(help) => format!("{kind}; {help}"),
        None => kind.to_string(),
    };
    match kind {
        Kind::Unknown(_) => Fault::absent(told),
        Kind::Usage(_) | Kind::InTheWay(_) | Kind::Gate(_) => Problem::Conflict(told).into(),
        _ => Fault::Backfill(error),
    }
}
