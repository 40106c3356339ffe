//! The documentation page of a project: its OpenAPI document for people, with a form to try it.
//! Nothing is loaded from elsewhere, and the page works without scripts but for the form.

use mesh_core::manifest::ProjectManifest;
use serde_json::Value;

pub(crate) const STYLE: &str = include_str!("assets/docs.css");
pub(crate) const SCRIPT: &str = include_str!("assets/docs.js");

/// The policy that the page is served with.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page of one project.
pub(crate) fn page(manifest: &ProjectManifest, openapi: &Value) -> String {
    let project = &manifest.project;
    let base = format!("/{}/v{}", project.name, project.api);
    let sample = openapi
        .pointer("/components/schemas/PredictRequest/examples/0")
        .map(|sample| serde_json::to_string_pretty(sample).unwrap_or_default())
        .unwrap_or_default();
    let description = escape_html(&project.description);
    let mut routes = String::new();
    for (path, methods) in openapi.get("paths").and_then(Value::as_object).into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let text =
                |key: &str| escape_html(operation.get(key).and_then(Value::as_str).unwrap_or(""));
            routes.push_str(&format!(
                "<tr><td><code>{}</code></td><td><code>{}</code></td><td>{}</td></tr>",
                escape_html(&method.to_uppercase()),
                escape_html(path),
                text("summary"),
            ));
        }
    }
    let mut schemas = String::new();
    for (name, schema) in
        openapi.pointer("/components/schemas").and_then(Value::as_object).into_iter().flatten()
    {
        let text = serde_json::to_string_pretty(schema).unwrap_or_default();
        schemas.push_str(&format!(
            "<details><summary>{}</summary><pre>{}</pre></details>",
            escape_html(name),
            escape_html(&text)
        ));
    }
    let body = format!(
        "<header><h1>{name}</h1><p>{description}</p><p class=\"facts\">task {task} · API v{api} · \
         <a href=\"{base}/openapi.json\">openapi.json</a> · <a href=\"{base}/bio\">model card</a> · \
         <a href=\"/\">all projects</a></p></header>\
         <section><h2>Try it</h2><form id=\"try\" data-route=\"{base}/predict\">\
         <label for=\"body\">Request body</label>\
         <textarea id=\"body\" rows=\"12\" spellcheck=\"false\">{sample}</textarea>\
         <button type=\"submit\">Send</button> <span id=\"status\" role=\"status\"></span></form>\
         <pre id=\"answer\" tabindex=\"0\" aria-label=\"Response\"></pre>\
         <h3>On the command line</h3><pre>{curl}</pre></section>\
         <section><h2>Routes</h2><table><thead><tr><th>Method</th><th>Path</th><th>What it answers\
         </th></tr></thead><tbody>{routes}</tbody></table></section>\
         <section><h2>Schemas</h2>{schemas}</section>",
        name = project.name,
        task = project.task,
        api = project.api,
        sample = escape_html(&sample),
        curl = escape_html(&format!(
            "curl -s http://localhost:8080{base}/predict -H 'content-type: application/json' \\\n  \
             -d '{}'",
            openapi
                .pointer("/components/schemas/PredictRequest/examples/0")
                .map(ToString::to_string)
                .unwrap_or_default()
        )),
    );
    frame(project.name.as_str(), &body)
}

/// The page that lists all projects.
pub(crate) fn index<'a>(projects: impl Iterator<Item = &'a ProjectManifest>) -> String {
    let mut rows = String::new();
    for manifest in projects {
        let project = &manifest.project;
        rows.push_str(&format!(
            "<tr><td><a href=\"/{name}/v{api}/docs\">{name}</a></td><td>{}</td><td>{}</td></tr>",
            project.task,
            escape_html(&project.description),
            name = project.name,
            api = project.api,
        ));
    }
    let body = format!(
        "<header><h1>ML Mesh</h1><p class=\"facts\"><a href=\"/metrics\">metrics</a></p></header>\
         <section><h2>Projects</h2><table><thead><tr><th>Project</th><th>Task</th><th>What it does\
         </th></tr></thead><tbody>{rows}</tbody></table></section>"
    );
    frame("ML Mesh", &body)
}

fn frame(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{}</title><link rel=\"icon\" href=\"data:,\">\
         <link rel=\"stylesheet\" href=\"/assets/docs.css\">\
         <script src=\"/assets/docs.js\" defer></script></head><body><main>{body}</main></body></html>",
        escape_html(title)
    )
}

/// Text as it stands in HTML, between quotes too.
#[must_use]
pub fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_never_markup() {
        let text = "[project]\nname = \"a\"\ntask = \"text-classification\"\n\
                    description = \"<script>alert(1)</script>\"\n";
        let manifest = ProjectManifest::parse("project.toml", text).unwrap();
        let page = page(&manifest, &Value::Null);
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert!(!index([&manifest].into_iter()).contains("<script>alert"));
    }
}
