//! The reference of the manifests, written from their JSON schemas.

use std::fmt::Write;

use mesh_core::manifest::{ArchiveManifest, ProjectManifest, WorkspaceManifest};
use serde_json::Value;

/// `docs/manifest.md`.
pub(crate) fn markdown() -> String {
    let mut out = String::from(
        "# Manifests\n\nWritten from the program's own schemas by `make schemas`. Unknown keys are \
         refused, with the key that was probably meant.\n",
    );
    let manifests = [
        ("project.toml", ProjectManifest::json_schema()),
        ("mesh.toml", WorkspaceManifest::json_schema()),
        ("archives/<name>.toml", ArchiveManifest::json_schema()),
    ];
    for (file, schema) in manifests {
        let root = schema.to_value();
        // Writing to a string does not fail.
        let _ = writeln!(out, "\n## {file}\n\n{}", description(&root));
        for (name, table) in properties(&root) {
            let _ = write_table(&mut out, &root, name, table);
        }
    }
    out
}

/// Writes a table, then the tables in it.
fn write_table(out: &mut String, root: &Value, path: &str, schema: &Value) -> std::fmt::Result {
    let object = resolve(root, schema);
    writeln!(out, "\n### [{path}]\n\n{}\n", description(schema_or(schema, object)))?;
    writeln!(out, "| key | value | default | what it is |\n|---|---|---|---|")?;
    let required: Vec<&str> = object
        .get("required")
        .and_then(Value::as_array)
        .map(|keys| keys.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let mut inner = Vec::new();
    for (key, value) in properties(object) {
        let target = resolve(root, value);
        let table = target.get("properties").is_some();
        if table {
            inner.push((format!("{path}.{key}"), value));
        }
        let default = match value.get("default") {
            _ if required.contains(&key.as_str()) => "required".to_owned(),
            Some(Value::Null) | None => "-".to_owned(),
            Some(_) if table => "see below".to_owned(),
            Some(default) => format!("`{default}`"),
        };
        let text = description(schema_or(value, target)).replace('\n', " ").replace('|', "\\|");
        writeln!(
            out,
            "| `{key}` | {} | {default} | {text} |",
            kind(root, value, &format!("{path}.{key}"))
        )?;
    }
    inner.iter().try_for_each(|(path, value)| write_table(out, root, path, value))
}

/// The kind of a value, in a few words.
fn kind(root: &Value, schema: &Value, path: &str) -> String {
    let target = resolve(root, schema);
    if target.get("properties").is_some() {
        return format!("table `[{path}]`");
    }
    let options: Vec<String> = target
        .get("oneOf")
        .or_else(|| target.get("enum"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .flat_map(|option| match (option.get("const"), option.get("enum")) {
            (Some(one), _) => vec![one.to_string()],
            (_, Some(Value::Array(several))) => several.iter().map(ToString::to_string).collect(),
            _ => vec![option.to_string()],
        })
        .map(|option| format!("`{option}`"))
        .collect();
    if !options.is_empty() {
        return options.join(", ");
    }
    let names: Vec<&str> = match target.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let names: Vec<_> = names.into_iter().filter(|name| *name != "null").map(word).collect();
    names.join(" or ")
}

fn word(name: &str) -> &str {
    match name {
        "string" => "text",
        "integer" => "whole number",
        "boolean" => "true or false",
        "array" => "list",
        "object" => "table",
        other => other,
    }
}

/// What a schema stands for, through references and optional values.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return target.map_or(schema, |target| resolve(root, target));
    }
    let options = schema.get("anyOf").or_else(|| schema.get("allOf")).and_then(Value::as_array);
    let value = options.and_then(|options| {
        options.iter().find(|option| option.get("type") != Some(&Value::String("null".into())))
    });
    value.map_or(schema, |value| resolve(root, value))
}

/// The schema that has a description: a key's own, else that of its type.
fn schema_or<'a>(schema: &'a Value, target: &'a Value) -> &'a Value {
    if schema.get("description").is_some() { schema } else { target }
}

fn description(schema: &Value) -> &str {
    schema.get("description").and_then(Value::as_str).unwrap_or_default()
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}
