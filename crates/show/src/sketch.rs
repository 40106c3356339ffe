//! What the server draws of a page: its head, and the projects of the mesh.

use std::fmt::Write;

use serde_json::Value;

use crate::document::{escaped, word, words};

/// The header of every page; behind the name of the program that of the project.
pub(crate) fn header(crumb: &str) -> String {
    let crumb = match crumb {
        "" => String::new(),
        name => format!(
            "<span class=\"crumb\" aria-hidden=\"true\">/</span> \
             <span class=\"crumb here\">{name}</span>"
        ),
    };
    format!(
        "<a class=\"skip\" href=\"#main\">{}</a><header class=\"top\"><div class=\"bar\">\
         <a class=\"mark\" href=\"/\"><svg class=\"sign\" viewBox=\"0 0 32 32\" width=\"22\" \
         height=\"22\" aria-hidden=\"true\"><path d=\"M5 25V9l11 10L27 9v16\"/><circle cx=\"16\" \
         cy=\"19\" r=\"3.5\"/></svg> {name}</a>{crumb}<nav aria-label=\"{name}\">\
         <a href=\"/-/backfills\">{}</a> <button class=\"theme\" aria-label=\"{}\"><svg \
         viewBox=\"0 0 20 20\" width=\"18\" height=\"18\" aria-hidden=\"true\"><circle cx=\"10\" \
         cy=\"10\" r=\"7\"/></svg></button></nav></div></header>",
        word("/skip"),
        word("/backfills"),
        word("/theme"),
        name = word("/name"),
    )
}

/// The head of a project's page, with the view that is open.
pub(crate) fn project(told: &Value, view: &str) -> String {
    let text = |key| escaped(told.get(key).and_then(Value::as_str).unwrap_or_default());
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
    if told.get("served") == Some(&Value::Bool(true)) {
        let api = told.get("api").unwrap_or(&Value::Null);
        let _ = write!(html, " <a href=\"/{name}/v{api}/docs\">{}</a>", word("/docs"));
    }
    let _ = write!(html, "</p> <nav class=\"tabs\" aria-label=\"{name}\">");
    for (key, label) in words().get("tabs").and_then(Value::as_object).into_iter().flatten() {
        let current = if key == view { " aria-current=\"page\"" } else { "" };
        let label = label.as_str().unwrap_or_default();
        let _ = write!(html, "<a href=\"/{name}/{key}\"{current}>{label}</a> ");
    }
    html.push_str("</nav>");
    html
}

/// The mesh at a glance: its projects, without what moves.
pub(crate) fn mesh(glance: &Value) -> String {
    let projects = glance.get("projects").and_then(Value::as_array);
    let mut html =
        format!("<h1>{}</h1> <p class=\"lead muted\">{}</p>", word("/mesh"), word("/loading"));
    let Some(projects) = projects.filter(|projects| !projects.is_empty()) else { return html };
    // Writing to a string does not fail.
    html.push_str(" <div class=\"projects\"><div class=\"row head\">");
    for (key, name) in words().get("columns").and_then(Value::as_object).into_iter().flatten() {
        let _ = write!(html, "<span class=\"{key}\">{}</span>", name.as_str().unwrap_or_default());
    }
    html.push_str("</div>");
    for project in projects {
        row(project, &mut html);
    }
    html.push_str("</div>");
    html
}

fn row(project: &Value, html: &mut String) {
    let text = |key| escaped(project.get(key).and_then(Value::as_str).unwrap_or_default());
    let is = |key| project.get(key) == Some(&Value::Bool(true));
    let ready = if is("ready") { " ready" } else { "" };
    let version = project.get("production").filter(|version| is("ready") && version.is_number());
    let name = text("project");
    let _ = write!(
        html,
        "<div class=\"row\"><div class=\"project\"><a href=\"/{name}/try\">{name}</a> \
         <span class=\"task\">{}</span><p class=\"muted small\" dir=\"auto\">{}</p></div>\
         <div class=\"version\"><span class=\"dot{ready}\"></span><span>{}</span></div>\
         <div class=\"metric\">{}</div><div class=\"steps\"></div>",
        task(project),
        text("description"),
        version.map(ToString::to_string).unwrap_or_default(),
        headline(project).unwrap_or_default()
    );
    for key in ["rps", "p99"] {
        let _ = write!(html, "<div class=\"{key}\">");
        if is("served") {
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
    let name = escaped(words().get("metrics")?.get(name)?.as_str()?);
    Some(format!(
        "<span class=\"value\">{value}</span> <span class=\"muted small\">{name}</span>\
         <svg width=\"112\" height=\"16\" class=\"interval\"></svg>"
    ))
}

fn task(project: &Value) -> String {
    let task = project.get("task").and_then(Value::as_str).unwrap_or_default();
    let known = words().get("tasks").and_then(|tasks| tasks.get(task)).and_then(Value::as_str);
    escaped(known.unwrap_or(task))
}
