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
            Category::Data => Problem::Schema(vec![FieldError::from_json(&[], &path, &error)]),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = r#"{"data":{"identifier":"a","namespace":"p","attributes":{"content":"b"},"parameters":{}}}"#;

    proptest! {
        /// Whatever is sent is read or told: never a panic, and never a fault of ours.
        #[test]
        fn any_bytes_are_read_or_told(at in 0usize..90, cut in 0usize..90, with: [u8; 3]) {
            let mut body = GOOD.as_bytes().to_vec();
            body.truncate(cut.max(at));
            for (place, byte) in body.iter_mut().skip(at).zip(with) {
                *place = byte;
            }
            let project = "p".parse().unwrap();
            if let Err(problem) = parse(&body, &project) {
                prop_assert!(matches!(problem, Problem::NotJson(_) | Problem::Schema(_)));
                prop_assert!(problem.status().is_client_error());
            }
        }

        #[test]
        fn identifiers_are_echoed_as_they_are(identifier in "\\PC{0,40}") {
            let quoted = serde_json::to_string(&identifier).unwrap();
            let body = GOOD.replace("\"a\"", &quoted);
            let project = "p".parse().unwrap();
            let data = parse(body.as_bytes(), &project).unwrap();
            let answer = write(ApiVersion::FIRST, &project, data.identifier.as_deref(), "{}");
            let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
            prop_assert_eq!(answer["data"]["identifier"].as_str(), Some(identifier.as_str()));
        }
    }
}
