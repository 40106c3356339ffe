//! Embeddings as OpenAI's clients ask for them: `POST /v1/embeddings`.

use axum::{
    body::Body,
    http::{HeaderValue, Response, header},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use mesh_core::{FieldError, ProjectName};
use serde::{Deserialize, Serialize, de};
use serde_json::{Value, json, value::RawValue};

use crate::{Problem, service::Answer};

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// The project.
    pub(crate) model: String,
    input: Texts,
    #[serde(default)]
    encoding_format: Option<Encoding>,
    /// As many as the model has, or left out.
    #[serde(default)]
    dimensions: Option<usize>,
    /// Who asks: taken, and not used.
    #[serde(default, rename = "user")]
    _user: Option<de::IgnoredAny>,
}

/// One text or several.
#[derive(Debug, Clone)]
struct Texts(Vec<String>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    /// A list of numbers: what is usual.
    Float,
    /// Little-endian f32.
    Base64,
}

/// What the project gives for a list of texts.
#[derive(Deserialize)]
struct Prediction<'a> {
    #[serde(borrow)]
    embeddings: Vec<&'a RawValue>,
}

#[derive(Serialize)]
struct Item<'a> {
    object: &'static str,
    index: usize,
    embedding: &'a RawValue,
}

impl Asked {
    /// The attributes of a request to the project: always a list.
    pub(crate) fn attributes(&self) -> String {
        json!({ "content": self.input.0 }).to_string()
    }
}

/// Reads a request.
pub(crate) fn parse(body: &[u8]) -> Result<Asked, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        if !error.is_data() {
            return Problem::NotJson(error.to_string());
        }
        Problem::Schema(vec![FieldError::from_json(&[], &path, &error)])
    })
}

/// The body of an answer, from the prediction of the project.
pub(crate) fn answer(asked: &Asked, given: &Answer) -> Result<String, Problem> {
    let Prediction { embeddings } =
        serde_json::from_str(&given.body).map_err(|_| Problem::Internal)?;
    let mut encoded = Vec::new();
    for embedding in &embeddings {
        let values: Option<Vec<f32>> = match (asked.encoding_format, asked.dimensions) {
            (None | Some(Encoding::Float), None) => None,
            _ => Some(serde_json::from_str(embedding.get()).map_err(|_| Problem::Internal)?),
        };
        let dimension = values.as_ref().map(Vec::len);
        if let (Some(wanted), Some(dimension)) = (asked.dimensions, dimension)
            && wanted != dimension
        {
            let message = format!("this model has {dimension} dimensions");
            return Err(Problem::Schema(vec![FieldError::new(
                &["dimensions"],
                "invalid",
                message,
            )]));
        }
        encoded.push(match (asked.encoding_format, values) {
            (Some(Encoding::Base64), Some(values)) => {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                let text = format!("\"{}\"", BASE64_STANDARD.encode(bytes));
                RawValue::from_string(text).map_err(|_| Problem::Internal)?
            }
            _ => (*embedding).to_owned(),
        });
    }
    let items = encoded.iter().enumerate();
    let data: Vec<Item<'_>> =
        items.map(|(index, embedding)| Item { object: "embedding", index, embedding }).collect();
    let tokens = given.usage.tokens.unwrap_or_default();
    #[derive(Serialize)]
    struct Body<'a> {
        object: &'static str,
        data: Vec<Item<'a>>,
        model: &'a str,
        usage: Value,
    }
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    serde_json::to_string(&Body { object: "list", data, model: &asked.model, usage })
        .map_err(|_| Problem::Internal)
}

/// The list of models.
pub(crate) fn models<'a>(names: impl Iterator<Item = &'a ProjectName>) -> String {
    json!({ "object": "list", "data": names.map(described).collect::<Vec<_>>() }).to_string()
}

/// One model.
pub(crate) fn model(name: &ProjectName) -> String {
    described(name).to_string()
}

fn described(name: &ProjectName) -> Value {
    json!({ "id": name, "object": "model", "created": 0, "owned_by": "mesh" })
}

/// A problem in the form that OpenAI's clients read.
pub(crate) fn error(problem: &Problem) -> Response<Body> {
    let status = problem.status();
    let kind = if status.is_client_error() { "invalid_request_error" } else { "server_error" };
    let param = match problem {
        Problem::Schema(errors) => errors.first().map(FieldError::name),
        _ => None,
    };
    // What the project calls its content is the input here.
    let param = param.map(|name| if name == "content" { "input" } else { name });
    let message = problem.told().replace("data.attributes.content", "input");
    let message = message.replace("`content`", "`input`");
    let body = json!({
        "error": { "message": message, "type": kind, "param": param, "code": problem.slug() }
    });
    let mut reply = problem.response();
    *reply.body_mut() = Body::from(body.to_string());
    let media = HeaderValue::from_static("application/json");
    reply.headers_mut().insert(header::CONTENT_TYPE, media);
    reply.headers_mut().remove(header::CONTENT_LENGTH);
    reply
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Texts;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text or a list of texts (lists of tokens are not taken)")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![text.to_owned()]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(item) = list.next_element()? {
                    match item {
                        Value::String(text) => texts.push(text),
                        _ => {
                            return Err(de::Error::custom(
                                "only texts are taken, not tokens: they are of another model's \
                             vocabulary (langchain: `check_embedding_ctx_length=False`)",
                            ));
                        }
                    }
                }
                match texts.is_empty() {
                    true => Err(de::Error::invalid_length(0, &"at least one text")),
                    false => Ok(Texts(texts)),
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
