use std::fmt;

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::plain::plain;

/// One thing that is wrong with a request: where, what, and its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The path to the field, from the body on: `["data", "attributes", "content"]`.
    pub loc: Vec<String>,
    /// What is wrong, for people.
    pub msg: String,
    /// What is wrong, for programs: `missing`, `unknown` or `invalid`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

impl FieldError {
    /// Something wrong at a path inside the body.
    pub fn new(path: &[&str], kind: &'static str, msg: impl Into<String>) -> Self {
        let loc = path.iter().map(|&part| part.to_owned()).collect();
        Self { loc, msg: msg.into(), kind }
    }

    /// What serde found wrong at a path inside `part` of the body.
    #[must_use]
    pub fn from_json(part: &[&str], path: &str, error: &serde_json::Error) -> Self {
        let message = error.to_string();
        // The position is one inside this part of the body: of no use to the one who asked.
        let message = message.split(" at line ").next().unwrap_or_default();
        let named = |prefix: &str| {
            message.strip_prefix(prefix).and_then(|rest| rest.split('`').next()).map(str::to_owned)
        };
        let (kind, field) = if let Some(field) = named("missing field `") {
            ("missing", Some(field))
        } else if let Some(field) = named("unknown field `") {
            ("unknown", Some(field))
        } else {
            ("invalid", None)
        };
        let mut found = Self::new(part, kind, plain(message));
        let path = path.split('.').filter(|part| !part.is_empty());
        found.loc.extend(path.map(str::to_owned));
        if let Some(field) = field.filter(|field| found.loc.last() != Some(field)) {
            found.loc.push(field);
        }
        found
    }

    /// The field itself: the last part of its path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.loc.last().map_or("", String::as_str)
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.loc.is_empty() { "the body".into() } else { self.loc.join(".") };
        write!(f, "{place}: {}", self.msg)
    }
}

/// Parses one part of a request; what is wrong is told field by field.
pub(super) fn parse<T>(part: &'static str, text: &str) -> Result<T, Vec<FieldError>>
where
    T: DeserializeOwned + JsonSchema,
{
    // Derived structs also take their fields as a JSON array, which our schemas do not allow.
    if !text.trim_start().starts_with('{') {
        return Err(vec![FieldError::new(&["data", part], "invalid", "expected an object")]);
    }
    serde_json::from_str(text).map_err(|_| explain::<T>(part, text))
}

/// The slow way, taken once a request is known to be wrong: missing and unknown keys by the
/// schema, all at once; what is left by the path at which parsing stops.
fn explain<T>(part: &'static str, text: &str) -> Vec<FieldError>
where
    T: DeserializeOwned + JsonSchema,
{
    let schema = schemars::schema_for!(T).to_value();
    let mut errors = Vec::new();
    // A type without fields has no `properties` at all.
    let none = serde_json::Map::new();
    let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    if let Ok(Value::Object(given)) = serde_json::from_str(text) {
        let required = schema.get("required").and_then(Value::as_array);
        for key in required.into_iter().flatten().filter_map(Value::as_str) {
            if !given.contains_key(key) {
                let message = format!("`{key}` is required");
                errors.push(FieldError::new(&["data", part, key], "missing", message));
            }
        }
        for key in given.keys().filter(|key| !known.contains_key(*key)) {
            let names: Vec<_> = known.keys().map(|name| format!("`{name}`")).collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let message = format!("`{key}` is not known here; known are: {known}");
            errors.push(FieldError::new(&["data", part, key], "unknown", message));
        }
    }
    if errors.is_empty() {
        errors.push(first_error::<T>(part, text));
    }
    errors
}

fn first_error<T: DeserializeOwned>(part: &'static str, text: &str) -> FieldError {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(&mut deserializer) else {
        return FieldError::new(&["data", part], "invalid", "it cannot be read");
    };
    let path = error.path().to_string();
    FieldError::from_json(&["data", part], &path, &error.into_inner())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Attributes {
        content: String,
        scores: Option<Vec<f32>>,
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let errors = parse::<Attributes>("attributes", r#"{"contnt": "a", "x": 1}"#).unwrap_err();
        let told: Vec<_> = errors.iter().map(|error| (error.kind, error.loc.join("."))).collect();
        let content = "data.attributes.content".to_owned();
        let unknown = |key: &str| ("unknown", format!("data.attributes.{key}"));
        assert_eq!(told, [("missing", content), unknown("contnt"), unknown("x")]);
    }

    #[test]
    fn a_wrong_type_is_told_by_its_path() {
        let text = r#"{"content": "a", "scores": [1, "b"]}"#;
        let errors = parse::<Attributes>("attributes", text).unwrap_err();
        assert_eq!(errors[0].loc.join("."), "data.attributes.scores[1]");
        assert_eq!(errors[0].kind, "invalid");
        assert!(errors[0].msg.contains("expected a number"), "{}", errors[0].msg);
    }
}
