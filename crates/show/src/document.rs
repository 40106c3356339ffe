//! The page as the server writes it: what it knows of an address is drawn before any script runs,
//! and what the page would ask first lies beside it.
//!
//! The page takes the place of what is drawn here, so that nothing jumps: both have the classes of
//! `web/src/shell.css` and the words of `web/src/lib/words.json`. What people wrote is escaped.

use std::{fmt::Write, sync::OnceLock, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
};
use mesh_core::{Digest, manifest::TaskName};
use mesh_serve::escape_html;
use serde_json::Value;

use crate::{
    bundle::{Bundle, Files, THEME},
    compressed::takes,
    error::{self, Fault},
    examples,
    form::{self, About, TYPED},
    mesh, sketch,
    state::{Shown, State},
};

/// Examples that the page asks for.
const EXAMPLES: usize = 12;
/// A page does not wait longer for them: a dataset is verified when it is first read. Without them
/// it has no form yet, which takes longer to come.
const SOON: Duration = Duration::from_millis(250);

/// The views of a project in the order of their tabs, and where each is written.
pub(crate) const VIEWS: [(&str, &str); 7] = [
    ("try", "src/pages/Try.svelte"),
    ("compare", "src/pages/Compare.svelte"),
    ("many", "src/pages/Many.svelte"),
    ("quality", "src/pages/Quality.svelte"),
    ("versions", "src/pages/Versions.svelte"),
    ("backfills", "src/pages/Backfills.svelte"),
    ("lineage", "src/pages/Lineage.svelte"),
];

/// A page, as an address names it.
pub(crate) enum Place<'a> {
    /// All projects.
    Mesh,
    /// All backfills, or one.
    Backfills { one: bool },
    /// A view of a project, of a version or of that in production.
    Project { shown: &'a Shown, view: &'a str, version: Option<&'a str> },
    /// What there is not.
    Nothing,
}

/// What there is to draw, and what the page needs.
#[derive(Default)]
struct Draft {
    title: String,
    main: String,
    crumb: String,
    /// Answers of the API by address, as JSON.
    told: Vec<(String, String)>,
    /// Addresses that the page asks at once.
    asked: Vec<String>,
    sources: Vec<&'static str>,
    /// What a form that stands in it needs, as JSON; the page loads no more at first.
    form: Option<Value>,
}

/// The words that the server says, which are those of the page.
pub(crate) fn words() -> &'static Value {
    static WORDS: OnceLock<Value> = OnceLock::new();
    const JSON: &str = include_str!("../../../web/src/lib/words.json");
    // It is part of the program: tests see whether it is JSON.
    WORDS.get_or_init(|| serde_json::from_str(JSON).unwrap_or_default())
}

/// A word of the page.
pub(crate) fn word(at: &str) -> &'static str {
    words().pointer(at).and_then(Value::as_str).unwrap_or_default()
}

/// The page at a place.
pub(crate) async fn document(
    state: &State,
    place: Place<'_>,
    asked: &HeaderMap,
) -> Result<Response<Body>, Fault> {
    let status = match place {
        Place::Nothing => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    };
    let html = html(&draft(state, place).await?);
    let tag = format!("W/\"{}\"", Digest::of(html.as_bytes()).short());
    let mut reply = Response::new(Body::empty());
    if status == StatusCode::OK && takes(asked, header::IF_NONE_MATCH, &tag) {
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *reply.body_mut() = Body::from(html);
        *reply.status_mut() = status;
    }
    let headers = reply.headers_mut();
    let known = HeaderValue::from_static;
    headers.insert(header::CONTENT_TYPE, known("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, known("no-cache"));
    headers.insert(header::VARY, known("accept, accept-encoding"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, known("nosniff"));
    headers.insert(header::REFERRER_POLICY, known("no-referrer"));
    headers.insert(header::CONTENT_SECURITY_POLICY, Bundle::get().policy.clone());
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(reply)
}

async fn draft(state: &State, place: Place<'_>) -> Result<Draft, Fault> {
    let name = word("/name");
    let mut draft = Draft { title: name.into(), ..Draft::default() };
    match place {
        Place::Mesh => {
            match mesh::glance(state).await {
                Ok(glance) => {
                    let glance = String::from_utf8_lossy(&glance).into_owned();
                    draft.main = sketch::mesh(&serde_json::from_str(&glance)?);
                    draft.told.push(("/api/v1/mesh".into(), glance));
                }
                // Where something cannot be read, the page tells of it.
                Err(fault) => error::log(fault),
            }
            draft.sources = vec!["src/pages/Mesh.svelte"];
        }
        Place::Backfills { one } => {
            draft.title = format!("{} · {name}", word("/backfills"));
            draft.main = match one {
                true => String::new(),
                false => format!("<h1>{}</h1>", word("/backfills")),
            };
            draft.sources = vec![match one {
                true => "src/pages/Backfill.svelte",
                false => "src/pages/Backfills.svelte",
            }];
        }
        Place::Project { shown, view, version } => {
            if let Err(fault) = project(state, shown, (view, version), &mut draft).await {
                error::log(fault);
                draft.told.clear();
            }
        }
        Place::Nothing => draft.main = format!("<h1>{}</h1>", word("/nothing")),
    }
    Ok(draft)
}

async fn project(
    state: &State,
    shown: &Shown,
    (view, version): (&str, Option<&str>),
    draft: &mut Draft,
) -> Result<(), Fault> {
    let told = mesh::project(state, shown).await?;
    let project = shown.folder.name();
    let base = format!("/api/v1/projects/{project}");
    draft.title = format!("{project} · {}", word("/name"));
    draft.crumb = escape_html(project.as_str());
    draft.main = sketch::project(&told, view);
    let newest = || told.pointer("/versions/0/version").and_then(Value::as_u64);
    let usual = told.get("production").and_then(Value::as_u64).or_else(newest);
    let version = version.map(ToOwned::to_owned).or_else(|| usual.map(|usual| usual.to_string()));
    let contract = mesh::contract(shown).filter(|_| matches!(view, "try" | "compare" | "many"));
    match (view, version) {
        ("try", _) if shown.service.is_some() => {
            let examples = soon(state, shown).await;
            let form = contract.as_ref().and_then(|contract| {
                form::form(&About { project: &told, contract, examples: examples.as_ref() })
            });
            if let Some(form) = form {
                draft.main.push_str(&form.html);
                draft.form = Some(form.needs);
                return Ok(());
            }
            let address = format!("{base}/examples?limit={EXAMPLES}");
            match examples {
                Some(examples) => draft.told.push((address, examples.to_string())),
                None => draft.asked.push(address),
            }
        }
        ("quality", Some(version)) => draft.asked.push(format!("{base}/versions/{version}")),
        ("lineage", Some(version)) => {
            draft.asked.push(format!("{base}/versions/{version}/lineage"));
        }
        _ => {}
    }
    if let Some(contract) = contract {
        draft.told.push((format!("{base}/contract"), contract.to_string()));
    }
    draft.told.push((base, told.to_string()));
    let source = VIEWS.iter().find(|(known, _)| *known == view).map(|(_, source)| *source);
    draft.sources.extend(source);
    Ok(())
}

/// Examples, if they are at hand; series are long, and nothing below them waits for its place.
async fn soon(state: &State, shown: &Shown) -> Option<Value> {
    if shown.folder.manifest().project.task == TaskName::Regression {
        return None;
    }
    let told = tokio::time::timeout(SOON, examples::examples(state, shown, EXAMPLES)).await;
    told.ok()?.ok()
}

/// Whether a project has such a view.
pub(crate) fn is_view(view: &str) -> bool {
    VIEWS.iter().any(|(known, _)| *known == view)
}

fn html(draft: &Draft) -> String {
    let bundle = Bundle::get();
    let files = match draft.form {
        Some(_) => Files::default(),
        None => bundle.files(&draft.sources),
    };
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
         <script>{THEME}</script>\n<style>{}</style>\n\
         <script type=\"module\" crossorigin src=\"/{}\"></script>\n",
        escape_html(&draft.title),
        bundle.style,
        bundle.entry
    );
    // Writing to a string does not fail.
    for file in &files.scripts {
        let _ = writeln!(html, "<link rel=\"modulepreload\" crossorigin href=\"/{file}\">");
    }
    for address in &draft.asked {
        let address = escape_html(address);
        let _ =
            writeln!(html, "<link rel=\"preload\" as=\"fetch\" crossorigin href=\"{address}\">");
    }
    let _ = write!(
        html,
        "<link rel=\"icon\" href=\"/{}\" type=\"image/svg+xml\">\n</head>\n<body>\n\
         <div id=\"app\">{}<main id=\"main\" class=\"page\">{}</main></div>\n\
         <noscript>{}</noscript>\n",
        bundle.icon,
        sketch::header(&draft.crumb),
        draft.main,
        escape_html(word("/noScript"))
    );
    if draft.form.is_some() {
        let _ = writeln!(html, "<script>{TYPED}</script>");
    }
    // Styles of what comes later stand behind what is drawn, which does not wait for them.
    for file in &files.styles {
        let _ = writeln!(html, "<link rel=\"stylesheet\" crossorigin href=\"/{file}\">");
    }
    let told: Vec<_> = draft
        .told
        .iter()
        .map(|(address, answer)| format!("{}:{answer}", Value::from(address.as_str())))
        .collect();
    let (id, data) = match &draft.form {
        Some(needs) => ("form", needs.to_string()),
        None => ("told", format!("{{{}}}", told.join(","))),
    };
    // What would end the element is written so that it does not.
    let data = data.replace('<', "\\u003c");
    let _ = write!(
        html,
        "<script type=\"application/json\" id=\"{id}\">{data}</script>\n</body>\n</html>\n"
    );
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_text_wherever_it_stands() {
        let told = "</script><img src=x onerror='run()'>";
        let draft = Draft {
            title: told.into(),
            told: vec![("/a".into(), Value::from(told).to_string())],
            ..Draft::default()
        };
        let html = html(&draft);
        assert!(!html.contains("<img"), "{html}");
        let json = html.split("id=\"told\">").nth(1).unwrap().split("</script>").next().unwrap();
        assert_eq!(serde_json::from_str::<Value>(json).unwrap()["/a"], told);
    }

    #[test]
    fn every_view_names_its_files() {
        let bundle = Bundle::get();
        let entry = bundle.files(&[]);
        for view in [
            "Mesh",
            "Try",
            "Compare",
            "Many",
            "Quality",
            "Versions",
            "Backfills",
            "Backfill",
            "Lineage",
        ] {
            let source = format!("src/pages/{view}.svelte");
            let files = bundle.files(&[&source]);
            assert!(files.scripts.len() > entry.scripts.len(), "{view}: {files:?}");
        }
        assert!(bundle.style.contains(".tabs"), "{}", bundle.style);
        assert!(!bundle.style.contains("</"), "{}", bundle.style);
        assert!(is_view("try") && !is_view("v1"));
        for (view, _) in VIEWS {
            assert!(!word(&format!("/tabs/{view}")).is_empty(), "{view}");
        }
        assert_eq!(words()["tabs"].as_object().unwrap().len(), VIEWS.len());
    }
}
