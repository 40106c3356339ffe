//! JSON and pages, compressed for who takes them so.

use std::io::Write;

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, Response, header},
    middleware::Next,
};
use flate2::{Compression, write::GzEncoder};

/// What is shorter is sent as it is.
const WORTH_IT: usize = 1000;

/// Whether a list of encodings or tags has a member.
pub(crate) fn takes(asked: &HeaderMap, name: header::HeaderName, wanted: &str) -> bool {
    let value = asked.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    value.split(',').any(|part| part.split(';').next().is_some_and(|part| part.trim() == wanted))
}

/// Compresses what a route answers, if it is JSON or a page: streams go on as they come.
pub(crate) async fn compressed(request: Request, next: Next) -> Response<Body> {
    let wanted = takes(request.headers(), header::ACCEPT_ENCODING, "gzip");
    let reply = next.run(request).await;
    let media = reply.headers().get(header::CONTENT_TYPE);
    let packs = |media: &HeaderValue| {
        media == "application/json" || media.as_bytes().starts_with(b"text/html")
    };
    if !wanted || !media.is_some_and(packs) {
        return reply;
    }
    let (mut head, body) = reply.into_parts();
    // It is in memory already, whole.
    let Ok(plain) = to_bytes(body, usize::MAX).await else { return Response::default() };
    if plain.len() < WORTH_IT {
        return Response::from_parts(head, Body::from(plain));
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let Ok(packed) = encoder.write_all(&plain).and_then(|()| encoder.finish()) else {
        return Response::from_parts(head, Body::from(plain));
    };
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    if !head.headers.contains_key(header::VARY) {
        head.headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    Response::from_parts(head, Body::from(packed))
}
