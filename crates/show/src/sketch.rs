//! What the server draws of a page: its head, and the projects of the mesh.

use std::fmt::Write;

use mesh_serve::escape_html;
use serde_json::Value;

use crate::document::{VIEWS, word, words};

/// The switch of the theme, as `web/src/parts/Theme.svelte` draws it.
const THEMES: [(&str, &str); 3] = [
    (
        "auto",
        "<circle cx=\"10\" cy=\"10\" r=\"7\"/><path class=\"half\" d=\"M10 3a7 7 0 0 1 0 14Z\"/>",
    ),
    (
        "light",
        "<circle cx=\"10\" cy=\"10\" r=\"4\"/><path d=\"M10 1v2.5M10 16.5V19M1 10h2.5M16.5 10H19M3.6 \
         3.6l1.8 1.8M14.6 14.6l1.8 1.8M3.6 16.4l1.8-1.8M14.6 5.4l1.8-1.8\"/>",
    ),
    ("dark", "<path d=\"M16.5 12.2A7 7 0 0 1 7.8 3.5a7 7 0 1 0 8.7 8.7Z\"/>"),
];

/// The header of every page; behind the name of the program that of the project.
pub(crate) fn header(crumb: &str) -> String {
    let crumb = match crumb {
        "" => String::new(),
        name => format!(
            "<span class=\"crumb\" aria-hidden=\"true\">/</span> \
             <span class=\"crumb here\">{name}</span>"
        ),
    };
    // All three are there, and the style shows that of the theme.
    let themes = THEMES.map(|(theme, drawn)| {
        let title = word(&format!("/theme/{theme}"));
        format!(
            "<svg class=\"{theme}\" viewBox=\"0 0 20 20\" width=\"18\" height=\"18\" role=\"img\">\
             <title>{title}</title>{drawn}</svg>"
        )
    });
    let themes = themes.concat();
    format!(
        "<a class=\"skip\" href=\"#main\">{}</a><header class=\"top\"><div class=\"bar\">\
         <a class=\"mark\" href=\"/\"><svg class=\"sign\" viewBox=\"0 0 32 32\" width=\"22\" \
         height=\"22\" aria-hidden=\"true\"><path d=\"M5 25V9l11 10L27 9v16\"/><circle cx=\"16\" \
         cy=\"19\" r=\"3.5\"/></svg> {name}</a>{crumb}<nav aria-label=\"{name}\">\
         <a href=\"/-/backfills\">{}</a> <button class=\"theme\">{themes}</button></nav></div></header>\
         <div role=\"status\" aria-live=\"polite\"></div>",
        word("/skip"),
        word("/backfills"),
        name = word("/name"),
    )
}

/// The head of a project's page, with the view that is open.
pub(crate) fn project(told: &Value, view: &str) -> String {
    let text = |key| escape_html(told.get(key).and_then(Value::as_str).unwrap_or_default());
    let name = text("project");
    let mut html = format!(
        "<h1>{name}</h1> <p class=\"lead\" dir=\"auto\">{}</p> \
         <p class=\"facts muted small\"><span>{}</span>",
        text("description"),
        task(told)
    );
    // Writing to a string does not fail.
    if told.get("owner").is_some_and(Value::is_string) {
        let _ = write!(html, " <span>{}{}</span>", word("/owner"), text("owner"));
    }
    if is(told, "served") {
        let api = told.get("api").unwrap_or(&Value::Null);
        let _ = write!(html, " <a href=\"/{name}/v{api}/docs\">{}</a>", word("/docs"));
    }
    let _ = write!(html, "</p> <nav class=\"tabs\" aria-label=\"{name}\">");
    for (key, _) in VIEWS {
        let current = if key == view { " aria-current=\"page\"" } else { "" };
        let label = word(&format!("/tabs/{key}"));
        let _ = write!(html, "<a href=\"/{name}/{key}\"{current}>{label}</a> ");
    }
    html.push_str("</nav>");
    html
}

/// The mesh at a glance: its projects, without what moves.
pub(crate) fn mesh(glance: &Value) -> String {
    let none = Vec::new();
    let projects = glance.get("projects").and_then(Value::as_array).unwrap_or(&none);
    let ready = projects.iter().filter(|project| is(project, "served") && is(project, "ready"));
    let ready = match ready.count() {
        all if all == projects.len() => word("/all").to_owned(),
        some => some.to_string(),
    };
    let noun = if projects.len() == 1 { word("/project") } else { word("/projects") };
    let summary = word("/summary")
        .replace("{projects}", &format!("{} {noun}", projects.len()))
        .replace("{ready}", &ready);
    let mut html = format!(
        "<h1>{}</h1> <p class=\"lead muted\">{summary} <span class=\"total\">{}</span></p>",
        word("/mesh"),
        word("/rate").replace("{rps}", "0")
    );
    if projects.is_empty() {
        return html;
    }
    // Writing to a string does not fail.
    html.push_str(" <div class=\"projects\"><div class=\"row head\">");
    for key in ["project", "version", "metric", "steps", "rps", "p99"] {
        let _ = write!(html, "<span class=\"{key}\">{}</span>", word(&format!("/columns/{key}")));
    }
    html.push_str("</div>");
    for project in projects {
        row(project, &mut html);
    }
    html.push_str("</div>");
    html
}

fn row(project: &Value, html: &mut String) {
    let text = |key| escape_html(project.get(key).and_then(Value::as_str).unwrap_or_default());
    let served = is(project, "served");
    let ready = if is(project, "ready") { " ready" } else { "" };
    let version = match (served, is(project, "ready")) {
        (false, _) => word("/notServed").to_owned(),
        (true, false) => word("/notReady").to_owned(),
        (true, true) => project.get("production").map(ToString::to_string).unwrap_or_default(),
    };
    let name = text("project");
    let _ = write!(
        html,
        "<div class=\"row\"><div class=\"project\"><a href=\"/{name}/try\">{name}</a> \
         <span class=\"task\">{}</span><p class=\"muted small\" dir=\"auto\">{}</p></div>\
         <div class=\"version\"><span class=\"dot{ready}\"></span><span>{version}</span></div>\
         <div class=\"metric\">{}</div><div class=\"steps\"></div>",
        task(project),
        text("description"),
        headline(project).unwrap_or_else(|| unmeasured(project))
    );
    for key in ["rps", "p99"] {
        let _ = write!(html, "<div class=\"{key}\">");
        if served {
            let name = word(&format!("/columns/{key}"));
            let _ = write!(
                html,
                "<span class=\"name muted\">{name}</span><svg width=\"96\" height=\"24\"></svg>\
                 <span class=\"now\"></span>"
            );
        }
        html.push_str("</div>");
    }
    html.push_str("</div>");
}

/// The figure that a project is known by, with room for its interval.
fn headline(project: &Value) -> Option<String> {
    let headline = project.get("headline")?;
    let name = headline.get("name")?.as_str()?;
    let value = headline.get("value")?.as_f64()?;
    let value = match name {
        "cosine" => format!("{value:.5}"),
        _ => format!("{value:.3}"),
    };
    let name = escape_html(words().get("metrics")?.get(name)?.as_str()?);
    Some(format!(
        "<span class=\"value\">{value}</span> <span class=\"muted small\">{name}</span>\
         <svg width=\"112\" height=\"16\" class=\"interval\"></svg>"
    ))
}

/// Why a project has no such figure.
fn unmeasured(project: &Value) -> String {
    let why = match project.get("production") {
        _ if !is(project, "has_model") => word("/noModel"),
        Some(Value::Number(_)) => word("/noMetric"),
        _ => word("/noVersion"),
    };
    format!("<span class=\"muted small\">{why}</span>")
}

fn is(project: &Value, key: &str) -> bool {
    project.get(key) == Some(&Value::Bool(true))
}

fn task(project: &Value) -> String {
    let task = project.get("task").and_then(Value::as_str).unwrap_or_default();
    let known = words().get("tasks").and_then(|tasks| tasks.get(task)).and_then(Value::as_str);
    escape_html(known.unwrap_or(task))
}
