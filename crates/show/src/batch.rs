//! Many requests in one: lines of JSON in, lines of JSON out, in the same order, as they are done.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Response, header},
};
use futures::{StreamExt, stream};
use mesh_core::FieldError;
use mesh_serve::{Problem, Service};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{error::Fault, state::Shown};

/// The longest body.
pub(crate) const MAX_BODY: usize = 16 << 20;
/// Lines that are asked at once, at most. Others who ask the service find room in its queue.
const IN_FLIGHT: usize = 64;
/// A pause when the queue is full, and how often it is waited.
const PAUSE: Duration = Duration::from_millis(20);
const TRIES: usize = 250;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    attributes: &'a RawValue,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
}

/// Answers every line; a line that cannot be answered has its problem in its place.
pub(crate) fn answer(shown: &Shown, body: Bytes) -> Result<Response<Body>, Fault> {
    let Some(service) = shown.service.clone() else {
        return Err(Problem::NotReady("this project is not served here".into()).into());
    };
    let in_flight = IN_FLIGHT.min(service.max_queue() / 2).max(1);
    let lines = lines(&body);
    let answers = stream::iter(lines)
        .map(move |line| {
            let service = Arc::clone(&service);
            async move { Ok::<_, Infallible>(Bytes::from(one(&service, &line).await)) }
        })
        .buffered(in_flight);
    let mut reply = Response::new(Body::from_stream(answers));
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(reply)
}

/// The lines of a body, each a part of the same bytes; empty ones are none.
fn lines(body: &Bytes) -> Vec<Bytes> {
    let lines = body.split(|byte| *byte == b'\n');
    lines.filter(|line| !line.trim_ascii().is_empty()).map(|line| body.slice_ref(line)).collect()
}

async fn one(service: &Service, line: &[u8]) -> String {
    match ask(service, line).await {
        Ok(answer) => answer,
        Err(problem) => format!("{{\"problem\":{}}}\n", problem.json()),
    }
}

async fn ask(service: &Service, line: &[u8]) -> Result<String, Problem> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            Problem::Schema(vec![FieldError::new(&[], "invalid", error.to_string())])
        }
        _ => Problem::NotJson(error.to_string()),
    })?;
    let parameters = line.parameters.map(RawValue::get);
    for _ in 0..TRIES {
        match service.answer_json(line.attributes.get(), parameters).await {
            Err(Problem::QueueFull) => tokio::time::sleep(PAUSE).await,
            answer => {
                let answer = answer?;
                let (json, version) = (answer.json, answer.version);
                return Ok(format!("{{\"version\":{version},\"prediction\":{json}}}\n"));
            }
        }
    }
    Err(Problem::QueueFull)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_may_end_either_way_and_empty_ones_are_none() {
        let body = Bytes::from_static(b"{\"a\":1}\r\n\n  \n{}");
        assert_eq!(lines(&body), [Bytes::from_static(b"{\"a\":1}\r"), Bytes::from_static(b"{}")]);
    }
}
