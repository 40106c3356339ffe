//! The form of a text as the server draws it: whoever comes can type before any script runs.
//!
//! `web/src/lib/form.ts` answers in it, with one small file, until somebody does another thing; then
//! the page draws the same with `web/src/pages/Try.svelte`. A test of the product compares the two.

use std::fmt::Write;

use mesh_serve::escape_html;
use serde_json::{Map, Value, json};

use crate::document::word;

/// What is run right behind the page, so that a text that the address holds does not follow another.
pub(crate) const TYPED: &str = "{const t=new URLSearchParams(location.hash.slice(1)).get('text');\
     if(t!==null)document.getElementById('text').value=t}";
/// Tasks whose answers that file draws.
const TASKS: [&str; 4] = ["text-classification", "token-classification", "keywords", "language"];
/// Panels that every project has.
const USUAL: [&str; 3] = ["answer", "examples", "code"];
/// Characters of an example that are shown, and of a label that stands beside it.
const EXCERPT: usize = 180;
const LABEL: usize = 40;

/// A form, and what the page needs to answer in it.
pub(crate) struct Form {
    pub(crate) html: String,
    pub(crate) needs: Value,
}

/// What the API tells of a project.
pub(crate) struct About<'a> {
    pub(crate) project: &'a Value,
    pub(crate) contract: &'a Value,
    pub(crate) examples: Option<&'a Value>,
}

/// The form of a project; nothing where it is not one text with an answer that is drawn at once, or
/// its examples are not known yet.
pub(crate) fn form(about: &About<'_>) -> Option<Form> {
    let About { project, contract, .. } = *about;
    let text = |key| project.get(key).and_then(Value::as_str).unwrap_or_default();
    let panels = panels(project)?;
    if !TASKS.contains(&text("task")) || !panels.contains(&"answer") {
        return None;
    }
    let production = project.get("production").filter(|version| !version.is_null());
    if project.get("has_model") == Some(&Value::Bool(true)) && production.is_none() {
        return None;
    }
    let attributes = contract.pointer("/attributes/properties")?.as_object()?;
    attributes.get("content")?;
    let beside: Vec<_> = attributes.iter().filter(|(name, _)| *name != "content").collect();
    // Rows of fields stand open.
    if let [(_, field)] = beside.as_slice()
        && field.pointer("/items/properties").is_some()
    {
        return None;
    }
    let sample = contract.get("sample")?.as_object()?;
    let content = sample.get("content")?;
    let content = content.as_str().or_else(|| content.get(0)?.as_str()).unwrap_or_default();
    let others: Map<_, _> = sample
        .iter()
        .filter(|(name, value)| *name != "content" && !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();

    let words = Words(project.pointer("/show/words"));
    let intro =
        words.own("intro").map(|intro| format!("<p class=\"intro\" dir=\"auto\">{intro}</p>"));
    let head = words.own("answer").map(|answer| format!("<h2>{answer}</h2>"));
    let mut html = format!(
        "{}<div class=\"try\"><section class=\"form\" aria-label=\"{label}\">\
         <label for=\"text\">{label}</label> <textarea id=\"text\" rows=\"7\" dir=\"auto\" \
         spellcheck=\"false\" autocomplete=\"off\">\n{}</textarea>",
        intro.unwrap_or_default(),
        escape_html(content),
        label = words.get("text"),
    );
    let names: Vec<_> = beside.iter().map(|(name, _)| escape_html(name)).collect();
    let parameters = contract.pointer("/parameters/properties").and_then(Value::as_object);
    let settings = parameters.filter(|fields| !fields.is_empty()).map(|_| words.get("settings"));
    let beside = (!names.is_empty()).then(|| names.join(", "));
    for title in beside.into_iter().chain(settings) {
        // Writing to a string does not fail.
        let _ = write!(html, " <details class=\"settings\"><summary>{title}</summary></details>");
    }
    let _ = write!(
        html,
        "</section> <section class=\"answer\" aria-label=\"{}\" aria-busy=\"true\">{}</section>",
        words.get("answer"),
        head.unwrap_or_default()
    );
    if panels.contains(&"examples") {
        examples(about.examples?, project, &words, &mut html);
    }
    html.push_str("</div>");
    let link = word("/try/link");
    let _ = write!(
        html,
        " <p class=\"link small\"><button class=\"plain\">{link}</button> \
         <span role=\"status\" class=\"muted\"></span></p>"
    );
    if panels.contains(&"code") {
        code(&mut html);
    }
    let targets: Map<_, _> =
        production.and_then(|version| target(project, version)).into_iter().collect();
    let needs = json!({ "project": project.get("project"), "api": project.get("api"),
        "max_body_bytes": project.get("max_body_bytes"), "others": others, "targets": targets });
    Some(Form { html, needs })
}

/// The usual panels that a project's page has; nothing if it has others too, beside the text.
fn panels(project: &Value) -> Option<Vec<&str>> {
    let list = |at: &str| project.pointer(at).and_then(Value::as_array);
    let own: Vec<_> = list("/own_panels")?.iter().filter_map(Value::as_str).collect();
    let named = list("/show/panels")?.iter().filter_map(Value::as_str);
    let named: Vec<_> = named.filter(|name| USUAL.contains(name) || own.contains(name)).collect();
    match named.as_slice() {
        [] => own.is_empty().then(|| USUAL.to_vec()),
        named if named.iter().any(|name| own.contains(name)) => None,
        _ => Some(named),
    }
}

/// Words of a project's own, else those of the page; escaped.
struct Words<'a>(Option<&'a Value>);

impl Words<'_> {
    fn own(&self, key: &str) -> Option<String> {
        let own = self.0?.get(key)?.as_str()?;
        (!own.is_empty()).then(|| escape_html(own))
    }

    fn get(&self, key: &str) -> String {
        self.own(key).unwrap_or_else(|| word(&format!("/try/{key}")).to_owned())
    }
}

/// The version and its target, if it was compiled for one: of several, only the service knows.
fn target(project: &Value, version: &Value) -> Option<(String, Value)> {
    let rows = project.get("versions")?.as_array()?;
    let row = rows.iter().find(|row| row.get("version") == Some(version))?;
    match row.get("targets")?.as_array()?.as_slice() {
        [only] => Some((version.to_string(), only.clone())),
        _ => None,
    }
}

fn examples(told: &Value, project: &Value, words: &Words<'_>, html: &mut String) {
    let none = Vec::new();
    let all = told.get("examples").and_then(Value::as_array).unwrap_or(&none);
    if all.is_empty() {
        return;
    }
    let text = |key| told.get(key).and_then(Value::as_str);
    let from = match (text("split"), text("from")) {
        (None, _) => String::new(),
        (Some(split), Some(from))
            if project.get("project").and_then(Value::as_str) != Some(from) =>
        {
            word("/try/fromOther").replace("{split}", split).replace("{from}", from)
        }
        (Some(split), _) => word("/try/from").replace("{split}", split),
    };
    let _ = write!(
        html,
        " <section class=\"examples\" aria-labelledby=\"examples\"><h2 id=\"examples\">{} \
         <span class=\"muted\">{}</span></h2><ul>",
        words.get("examples"),
        escape_html(&from)
    );
    for example in all {
        let text = example.get("text").and_then(Value::as_str).unwrap_or_default();
        let label = example
            .get("label")
            .and_then(Value::as_str)
            .filter(|label| !label.is_empty() && label.encode_utf16().count() < LABEL);
        let label = label
            .map(|label| format!(" <span class=\"muted label\">{}</span>", escape_html(label)));
        let _ = write!(
            html,
            "<li><button><span dir=\"auto\" class=\"excerpt\">{}</span>{}</button></li>",
            escape_html(excerpt(text)),
            label.unwrap_or_default()
        );
    }
    html.push_str("</ul></section>");
}

/// The start of a text, as long as the page cuts it: in units of UTF-16.
fn excerpt(text: &str) -> &str {
    let mut units = 0;
    let end = text.char_indices().find(|(_, character)| {
        units += character.len_utf16();
        units > EXCERPT
    });
    end.map_or(text, |(at, _)| text.get(..at).unwrap_or(text))
}

fn code(html: &mut String) {
    let _ = write!(
        html,
        " <div class=\"code\"><div class=\"head\"><div role=\"group\" aria-label=\"{}\">",
        word("/try/raw")
    );
    for (key, pressed) in [("curl", true), ("python", false), ("raw", false)] {
        let label = word(&format!("/try/{key}"));
        let _ = write!(html, "<button aria-pressed=\"{pressed}\">{label}</button>");
    }
    let _ = write!(
        html,
        "</div> <button class=\"plain\">{}</button></div> <pre tabindex=\"0\" role=\"region\" \
         aria-label=\"{}\"></pre></div>",
        word("/try/copy"),
        word("/try/curl")
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKUP: &str = "</textarea><img src=x onerror='run()'>";

    fn project() -> Value {
        json!({ "project": "reviews", "task": "text-classification", "api": 1, "has_model": true,
            "production": 2, "max_body_bytes": 1000, "own_panels": [],
            "show": { "panels": [], "words": { "text": MARKUP, "intro": MARKUP } },
            "versions": [{ "version": 2, "targets": ["portable-f32"] }] })
    }

    fn contract() -> Value {
        json!({ "attributes": { "properties": { "content": {}, MARKUP: {} } }, "parameters": {},
            "sample": { "content": MARKUP, "other": null, "given": 1 } })
    }

    fn drawn(project: &Value, contract: &Value) -> Option<Form> {
        let examples = json!({ "from": "reviews", "split": "test",
            "examples": [{ "text": MARKUP, "label": MARKUP }, { "text": "short", "label": "5" }] });
        form(&About { project, contract, examples: Some(&examples) })
    }

    #[test]
    fn a_form_has_what_people_wrote_as_text() {
        let Form { html, needs } = drawn(&project(), &contract()).unwrap();
        assert!(!html.contains("<img"), "{html}");
        // The one that ends it, and none of what is in it.
        assert_eq!(html.matches("</textarea>").count(), 1, "{html}");
        assert_eq!(html.matches("<li>").count(), 2, "{html}");
        assert_eq!(needs["others"], json!({ "given": 1 }));
        assert_eq!(needs["targets"], json!({ "2": "portable-f32" }));
        assert!(html.contains("<div class=\"code\">"), "{html}");
    }

    #[test]
    fn what_the_first_file_cannot_draw_is_left_to_the_whole_page() {
        struct Case(&'static str, &'static str, Value);
        let cases = [
            Case("a task of its own drawing", "/task", json!("near-duplicates")),
            Case("no version yet", "/production", Value::Null),
            Case("panels of its own", "/own_panels", json!(["likeness"])),
            Case("no answer", "/show/panels", json!(["examples"])),
        ];
        for Case(what, at, value) in cases {
            let mut project = project();
            *project.pointer_mut(at).unwrap() = value;
            assert!(drawn(&project, &contract()).is_none(), "{what}");
        }
        let contract = json!({ "attributes": { "properties": { "input": {} } }, "sample": {} });
        assert!(drawn(&project(), &contract).is_none(), "no text");
        let project = project();
        let none = About { project: &project, contract: &self::contract(), examples: None };
        assert!(form(&none).is_none(), "examples that are not known yet");
    }

    #[test]
    fn a_manifest_leaves_out_examples_and_code() {
        let mut project = project();
        project["show"]["panels"] = json!(["answer", "metrics"]);
        let html = drawn(&project, &contract()).unwrap().html;
        assert!(!html.contains("class=\"code\"") && !html.contains("class=\"examples\""), "{html}");
    }

    #[test]
    fn an_excerpt_is_cut_between_characters() {
        let text = "😀".repeat(100);
        assert_eq!(excerpt(&text).chars().count(), EXCERPT / 2);
        assert_eq!(excerpt("short"), "short");
    }
}
