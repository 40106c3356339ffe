use std::ops::Range;

use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;
use serde_json::Value;
use toml::{Spanned, de::DeTable, de::DeValue};

use super::error::{Finding, ManifestError, ManifestErrorKind};
use crate::{nearest, plain::plain};

/// Parses a manifest: unknown keys by the schema, all at once, then types and values by serde.
pub(super) fn parse<T>(file: &str, text: &str) -> Result<T, ManifestError>
where
    T: DeserializeOwned + JsonSchema,
{
    let fail = |findings| ManifestError::new(file, text, findings);
    let document = DeTable::parse(text)
        .map_err(|error| fail(vec![from_toml(text, &error, ManifestErrorKind::Syntax)]))?;
    let schema = schema_for!(T).to_value();
    let mut findings = Vec::new();
    check_table(document.get_ref(), &schema, &schema, "", &mut findings);
    if !findings.is_empty() {
        return Err(fail(findings));
    }
    toml::from_str(text)
        .map_err(|error| fail(vec![from_toml(text, &error, ManifestErrorKind::InvalidValue)]))
}

/// Where the value of a dotted key stands in the text.
pub(super) fn span_of(text: &str, key: &str) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut found = None;
    for part in key.split('.') {
        let (name, value) = table.iter().find(|(name, _)| name.get_ref() == part)?;
        found = Some(name.span().start..value.span().end.max(name.span().end));
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    found
}

fn check_table(
    table: &DeTable<'_>,
    schema: &Value,
    root: &Value,
    path: &str,
    findings: &mut Vec<Finding>,
) {
    let Some(object) = object_schema(schema, root) else { return };
    let Some(known) = object.get("properties").and_then(Value::as_object) else { return };
    // A map with free keys, such as a gate's metrics, is left to serde.
    let open = object.get("additionalProperties") != Some(&Value::Bool(false));
    for (name, value) in table.iter() {
        let key = join(path, name.get_ref());
        match known.get(name.get_ref().as_ref()) {
            Some(inner) => check_value(value, inner, root, &key, findings),
            None if open => {}
            None => findings.push(unknown(name, path, &key, known.keys())),
        }
    }
}

fn check_value(
    value: &Spanned<DeValue<'_>>,
    schema: &Value,
    root: &Value,
    path: &str,
    findings: &mut Vec<Finding>,
) {
    if let DeValue::Table(inner) = value.get_ref() {
        check_table(inner, schema, root, path, findings);
    }
}

/// The part of a schema that describes an object, through references and optional values.
fn object_schema<'a>(schema: &'a Value, root: &'a Value) -> Option<&'a Value> {
    if schema.get("properties").is_some() {
        return Some(schema);
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(reference.strip_prefix('#')?)?;
        return object_schema(target, root);
    }
    let options = ["anyOf", "allOf"].iter().find_map(|key| schema.get(*key)?.as_array())?;
    options.iter().find_map(|option| object_schema(option, root))
}

fn unknown<'a>(
    name: &Spanned<std::borrow::Cow<'_, str>>,
    table: &str,
    key: &str,
    known: impl Iterator<Item = &'a String>,
) -> Finding {
    let given = name.get_ref();
    let place = if table.is_empty() { "a manifest".to_owned() } else { format!("[{table}]") };
    let known: Vec<&str> = known.map(String::as_str).collect();
    let list = known.join(", ");
    let help = match nearest(given, known.iter().copied()) {
        Some(nearest) => format!("did you mean `{nearest}`? Known in {place}: {list}"),
        None => format!("known in {place}: {list}"),
    };
    Finding {
        kind: ManifestErrorKind::UnknownKey,
        key: key.to_owned(),
        message: format!("unknown key `{given}` in {place}"),
        help: Some(help),
        span: name.span(),
    }
}

fn from_toml(text: &str, error: &toml::de::Error, kind: ManifestErrorKind) -> Finding {
    let span = error.span().unwrap_or(0..0);
    let message = plain(error.message().trim());
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let key = key_at(text, span.start).unwrap_or_default();
    if let Some(field) = missing {
        let place = if key.is_empty() { "the manifest".to_owned() } else { format!("[{key}]") };
        return Finding {
            kind: ManifestErrorKind::MissingKey,
            key: join(&key, field),
            message: format!("`{field}` is missing in {place}"),
            help: Some(format!("add `{field}`; docs/manifest.md describes it")),
            span,
        };
    }
    let help = suggest_variant(&message);
    Finding { kind, key, message, help, span }
}

/// For "unknown variant `x`, expected one of `a`, `b`": the one that was probably meant.
fn suggest_variant(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown variant `")?;
    let (given, expected) = rest.split_once('`')?;
    nearest(given, expected.split('`').skip(1).step_by(2))
        .map(|known| format!("did you mean `{known}`?"))
}

/// The dotted key whose value, or whose table's header, covers a byte of the text.
fn key_at(text: &str, at: usize) -> Option<String> {
    let document = DeTable::parse(text).ok()?;
    deepest_key(document.get_ref(), "", at)
}

fn deepest_key(table: &DeTable<'_>, path: &str, at: usize) -> Option<String> {
    table.iter().find_map(|(name, value)| {
        let key = join(path, name.get_ref());
        // The span of a table is that of its header: what is below it has to be looked through.
        let inner = match value.get_ref() {
            DeValue::Table(inner) => deepest_key(inner, &key, at),
            _ => None,
        };
        let whole = name.span().start..value.span().end.max(name.span().end);
        inner.or_else(|| (whole.contains(&at) || value.span().contains(&at)).then_some(key))
    })
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
