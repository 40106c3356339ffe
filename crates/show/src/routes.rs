//! The page, and the JSON API that it draws.

use std::{error::Error, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Query, State as With, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, Method, Response, header},
    middleware,
    routing::{any, get, post},
};
use http_body_util::LengthLimitError;
use mesh_core::{Digest, ModelVersion};
use mesh_serve::Problem;
use mesh_store::BackfillId;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    artifacts, assets, backfills, batch,
    compressed::compressed,
    document::{self, Place, document},
    error::Fault,
    examination, examples, lineage, live, mesh, models,
    state::{Shown, State},
    versions,
};

type Shared = With<Arc<State>>;
type Reply = Result<Response<Body>, Fault>;

/// All routes of the page.
pub(crate) fn router(state: Arc<State>) -> Router {
    let version = "/api/v1/projects/{project}/versions/{version}";
    Router::new()
        .route("/", get(index))
        .route("/{project}", any(page))
        .route("/{project}/{view}", any(page))
        .route("/{project}/{view}/{version}", any(page))
        .route(
            "/assets/show/{file}",
            get(async |Path(file): Path<String>, asked: HeaderMap| assets::asset(&file, &asked)),
        )
        .route("/api/v1/mesh", get(glance))
        .route("/api/v1/live", get(lively))
        .route("/api/v1/projects/{project}", get(project))
        .route("/api/v1/projects/{project}/contract", get(contract))
        .route("/api/v1/projects/{project}/examples", get(some_examples))
        .route("/api/v1/projects/{project}/batch", post(batched))
        .route("/api/v1/projects/{project}/panels", post(own_panels))
        .route(version, get(card))
        .route(&format!("{version}/predict"), post(predicted))
        .route(&format!("{version}/lineage"), get(graph))
        .route(&format!("{version}/examination"), get(examined))
        .route(&format!("{version}/examination/texts"), get(cell))
        .route("/api/v1/backfills", get(all_backfills))
        .route("/api/v1/backfills/{id}", get(backfill))
        .route("/api/v1/backfills/{id}/rejects", get(rejects))
        .route("/api/v1/backfills/{id}/differences", get(differences))
        .route("/api/v1/backfills/{id}/cutover", post(cutover))
        .route("/api/v1/backfills/{id}/rollback", post(rollback))
        .route("/api/v1/artifacts/{digest}", get(artifact))
        .route("/api/v1/artifacts/{digest}/files/{*file}", get(artifact_file))
        .layer(middleware::from_fn(compressed))
        .with_state(state)
}

/// The page for browsers; for programs, what is here.
async fn index(With(state): Shared, asked: HeaderMap) -> Reply {
    if is_browser(&asked) {
        return document(&state, Place::Mesh, &asked).await;
    }
    let served = state.projects.values().filter(|shown| shown.service.is_some());
    let projects: Vec<_> = served
        .map(|shown| {
            let project = &shown.folder.manifest().project;
            let base = format!("/{}/v{}", project.name, project.api);
            json!({ "project": project.name, "task": project.task,
                "description": project.description, "predict": format!("{base}/predict"),
                "openapi": format!("{base}/openapi.json"), "docs": format!("{base}/docs") })
        })
        .collect();
    let mut reply = answer(&json!({ "projects": projects, "api": "/api/v1/mesh" }));
    let vary = HeaderValue::from_static("accept, accept-encoding");
    reply.headers_mut().insert(header::VARY, vary);
    Ok(reply)
}

fn is_browser(asked: &HeaderMap) -> bool {
    let accepted = asked.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

#[derive(Deserialize)]
struct Address {
    project: String,
    view: Option<String>,
    version: Option<String>,
}

/// A page of a project, or of none: what a program asks for, or what is asked in another way than
/// a page, is not here.
async fn page(
    With(state): Shared,
    method: Method,
    asked: HeaderMap,
    address: Result<Path<Address>, PathRejection>,
) -> Reply {
    let none = || Problem::NotFound("no such route; `/` lists the projects".into());
    let Ok(Path(Address { project, view, version })) = address else { return Err(none().into()) };
    if !is_browser(&asked) || !matches!(method, Method::GET | Method::HEAD) {
        return Err(none().into());
    }
    let view = view.as_deref();
    let number = version.as_deref().filter(|version| parse(version).is_ok());
    let place = match (project.as_str(), view) {
        ("-", Some("backfills")) => Place::Backfills { one: number.is_some() },
        (name, view) => match state.projects.get(name) {
            Some(shown) if document::is_view(view.unwrap_or("try")) => {
                Place::Project { shown, view: view.unwrap_or("try"), version: number }
            }
            _ => Place::Nothing,
        },
    };
    document(&state, place, &asked).await
}

async fn glance(With(state): Shared) -> Reply {
    Ok(text(mesh::glance(&state).await?))
}

#[derive(Deserialize)]
struct Past {
    #[serde(default = "Past::usual")]
    history: usize,
}

impl Past {
    const fn usual() -> usize {
        live::REMEMBERED
    }
}

async fn lively(With(state): Shared, Query(Past { history }): Query<Past>) -> Response<Body> {
    live::stream(&state.live, history)
}

async fn project(With(state): Shared, Path(name): Path<String>) -> Reply {
    Ok(answer(&mesh::project(&state, state.project(&name)?).await?))
}

#[derive(Deserialize)]
struct Limit {
    #[serde(default = "Limit::usual")]
    limit: usize,
}

impl Limit {
    const fn usual() -> usize {
        24
    }
}

async fn contract(With(state): Shared, Path(name): Path<String>) -> Reply {
    let none = || Problem::NotReady("this project is not served here".into());
    Ok(answer(&mesh::contract(state.project(&name)?).ok_or_else(none)?))
}

async fn some_examples(
    With(state): Shared,
    Path(name): Path<String>,
    Query(Limit { limit }): Query<Limit>,
) -> Reply {
    Ok(answer(&examples::examples(&state, state.project(&name)?, limit.min(200)).await?))
}

async fn batched(With(state): Shared, Path(name): Path<String>, body: Body) -> Reply {
    let shown = state.project(&name)?;
    batch::answer(shown, read(body, batch::MAX_BODY).await?)
}

async fn own_panels(With(state): Shared, Path(name): Path<String>, body: Body) -> Reply {
    let shown = state.project(&name)?;
    Ok(answer(&models::panels(&state, shown, read(body, longest(shown)).await?).await?))
}

#[derive(Deserialize)]
struct Target {
    target: Option<String>,
}

async fn predicted(
    With(state): Shared,
    Path((name, version)): Path<(String, String)>,
    Query(Target { target }): Query<Target>,
    body: Body,
) -> Reply {
    let shown = state.project(&name)?;
    let version = parse(&version)?;
    let body = read(body, longest(shown)).await?;
    Ok(answer(&models::answer(&state, shown, version, target.as_deref(), body).await?))
}

async fn card(With(state): Shared, Path((name, version)): Path<(String, String)>) -> Reply {
    let shown = state.project(&name)?;
    Ok(answer(&versions::version(&state, shown, parse(&version)?).await?))
}

async fn graph(With(state): Shared, Path((name, version)): Path<(String, String)>) -> Reply {
    let shown = state.project(&name)?;
    Ok(answer(&lineage::lineage(&state, shown, parse(&version)?).await?))
}

async fn examined(With(state): Shared, Path((name, version)): Path<(String, String)>) -> Reply {
    let shown = state.project(&name)?;
    let examination = examination::of(&state, shown, parse(&version)?).await?;
    Ok(answer(&examination.report()))
}

#[derive(Deserialize)]
struct Cell {
    truth: String,
    given: String,
}

async fn cell(
    With(state): Shared,
    Path((name, version)): Path<(String, String)>,
    Query(Cell { truth, given }): Query<Cell>,
) -> Reply {
    let shown = state.project(&name)?;
    let examination = examination::of(&state, shown, parse(&version)?).await?;
    Ok(answer(&examination.texts(&truth, &given, examination::SHOWN)))
}

async fn all_backfills(With(state): Shared) -> Reply {
    Ok(answer(&backfills::list(&state).await?))
}

async fn backfill(With(state): Shared, Path(id): Path<String>) -> Reply {
    Ok(answer(&backfills::one(&state, parse_backfill(&id)?).await?))
}

async fn rejects(
    With(state): Shared,
    Path(id): Path<String>,
    Query(Limit { limit }): Query<Limit>,
) -> Reply {
    Ok(answer(&backfills::rejects(&state, parse_backfill(&id)?, limit).await?))
}

async fn differences(With(state): Shared, Path(id): Path<String>) -> Reply {
    Ok(answer(&backfills::differences(&state, parse_backfill(&id)?).await?))
}

async fn cutover(With(state): Shared, Path(id): Path<String>, asked: HeaderMap) -> Reply {
    state.doormat.pass(state.admin.as_ref(), &asked).await?;
    Ok(answer(&backfills::cutover(&state, parse_backfill(&id)?).await?))
}

async fn rollback(With(state): Shared, Path(id): Path<String>, asked: HeaderMap) -> Reply {
    state.doormat.pass(state.admin.as_ref(), &asked).await?;
    Ok(answer(&backfills::rollback(&state, parse_backfill(&id)?).await?))
}

async fn artifact(With(state): Shared, Path(digest): Path<String>) -> Reply {
    Ok(answer(&artifacts::manifest(&state, parse_digest(&digest)?).await?))
}

async fn artifact_file(With(state): Shared, Path((digest, file)): Path<(String, String)>) -> Reply {
    let content = artifacts::file(&state, parse_digest(&digest)?, &file).await?;
    Ok(with_media(content.into(), "text/plain; charset=utf-8"))
}

/// The body of a request, up to so many bytes.
async fn read(body: Body, most: usize) -> Result<Bytes, Problem> {
    match axum::body::to_bytes(body, most).await {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.source().is_some_and(|cause| cause.is::<LengthLimitError>()) => {
            Err(Problem::TooLarge(most))
        }
        Err(_) => Err(Problem::BodyUnreadable),
    }
}

/// The longest question that a project takes.
fn longest(shown: &Shown) -> usize {
    shown.folder.manifest().serve.clone().unwrap_or_default().max_body_bytes
}

fn parse(version: &str) -> Result<ModelVersion, Fault> {
    let number = version.parse().ok().and_then(|number: u32| ModelVersion::try_from(number).ok());
    number.ok_or_else(|| Fault::absent("a version is a number from 1 on"))
}

fn parse_backfill(id: &str) -> Result<BackfillId, Fault> {
    id.parse().map_err(|_| Fault::absent("a backfill is named by its number"))
}

fn parse_digest(digest: &str) -> Result<Digest, Fault> {
    digest.parse().map_err(|_| Fault::absent("an artifact is named by its whole digest"))
}

fn answer(value: &Value) -> Response<Body> {
    text(value.to_string().into())
}

fn text(json: Bytes) -> Response<Body> {
    with_media(json, "application/json")
}

fn with_media(content: Bytes, media: &'static str) -> Response<Body> {
    let mut reply = Response::new(Body::from(content));
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}
