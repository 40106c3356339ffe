//! The envelope of requests and responses.

use std::borrow::Cow;

use mesh_core::{ApiVersion, FieldError, ProjectName};
use serde::Deserialize;
use serde_json::{error::Category, value::RawValue};

use crate::Problem;

/// `{"data": {...}}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: RequestData<'a>,
}

/// What is asked: the parts of the envelope that the project's types parse are left as text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestData<'a> {
    #[serde(borrow, default)]
    pub(crate) identifier: Option<Cow<'a, str>>,
    #[serde(borrow)]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) attributes: &'a RawValue,
    #[serde(borrow, default)]
    pub(crate) parameters: Option<&'a RawValue>,
}

/// Reads the envelope of a request to `project`.
pub(crate) fn parse<'a>(body: &'a [u8], project: &ProjectName) -> Result<RequestData<'a>, Problem> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Problem::NotJson(format!("it is not UTF-8 from byte {} on", error.valid_up_to()))
    })?;
    // What is no JSON is told as that, wherever it stops to be; what is JSON and no object would
    // be taken field by field.
    if !text.trim_start().starts_with('{') {
        return Err(match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => Problem::Schema(vec![FieldError::new(&[], "invalid", "expected an object")]),
            Err(error) => Problem::NotJson(error.to_string()),
        });
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = serde_path_to_error::deserialize::<_, Envelope<'_>>(&mut deserializer);
    let envelope = parsed.map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        match error.classify() {
            Category::Data => Problem::Schema(vec![field_error(&path, &error)]),
            _ => Problem::NotJson(error.to_string()),
        }
    })?;
    deserializer.end().map_err(|error| Problem::NotJson(error.to_string()))?;
    let data = envelope.data;
    if data.namespace != project.as_str() {
        let message = format!("the namespace of this project is `{project}`");
        let error = FieldError::new(&["data", "namespace"], "invalid", message);
        return Err(Problem::Schema(vec![error]));
    }
    Ok(data)
}

fn field_error(path: &str, error: &serde_json::Error) -> FieldError {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let named = |prefix: &str| {
        message.strip_prefix(prefix).and_then(|rest| rest.split('`').next()).map(str::to_owned)
    };
    let mut loc: Vec<String> =
        path.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let (kind, field) = if let Some(field) = named("missing field `") {
        ("missing", Some(field))
    } else if let Some(field) = named("unknown field `") {
        ("unknown", Some(field))
    } else {
        ("invalid", None)
    };
    if let Some(field) = field.filter(|field| loc.last() != Some(field)) {
        loc.push(field);
    }
    FieldError { loc, msg: message.to_owned(), kind }
}

/// Writes the envelope of a response around `attributes`, which is JSON already.
pub(crate) fn write(
    version: ApiVersion,
    project: &ProjectName,
    identifier: Option<&str>,
    attributes: &str,
) -> String {
    // A string is always JSON: the fallback is never taken.
    let quoted = |text: &str| serde_json::to_string(text).unwrap_or_else(|_| "null".into());
    let identifier = identifier.map_or_else(|| "null".into(), quoted);
    format!(
        r#"{{"version":{version},"data":{{"identifier":{identifier},"namespace":"{project}","attributes":{attributes}}}}}"#
    )
}
