//! The files of the page, embedded as they are and compressed.

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
};
use mesh_core::Digest;
use mesh_serve::Problem;

use crate::compressed::takes;

/// Name, content, and content compressed by Brotli.
type File = (&'static str, &'static [u8], &'static [u8]);

const FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Their names hold a digest of what is in them.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// A file as it was built.
pub(crate) fn plain(name: &str) -> Option<&'static [u8]> {
    FILES.iter().find(|(known, ..)| *known == name).map(|(_, plain, _)| *plain)
}

/// A file that the page loads.
pub(crate) fn asset(name: &str, asked: &HeaderMap) -> Response<Body> {
    let name = &*format!("assets/show/{name}");
    let Some((_, plain, compressed)) = FILES.iter().find(|(known, ..)| *known == name) else {
        return Problem::NotFound("the page has no such file; load it anew".into()).response();
    };
    let tag = format!("\"{}\"", Digest::of(plain).short());
    let mut reply = Response::new(Body::empty());
    if takes(asked, header::IF_NONE_MATCH, &tag) {
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
    } else if takes(asked, header::ACCEPT_ENCODING, "br") {
        *reply.body_mut() = Body::from(Bytes::from_static(compressed));
        reply.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
    } else {
        *reply.body_mut() = Body::from(Bytes::from_static(plain));
    }
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media(name)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    reply
}

fn media(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_loads_is_small_and_is_known_again() {
        let bundle = crate::bundle::Bundle::get();
        let files = bundle.files(&["src/pages/Mesh.svelte"]);
        let entry = bundle.entry.as_str();
        let all = files.scripts.iter().chain(&files.styles).chain([&entry]);
        let size: usize =
            all.map(|file| FILES.iter().find(|(name, ..)| name == file).unwrap().2.len()).sum();
        assert!(files.scripts.len() > 1 && size < 45_000, "the first page loads {size} bytes");
        // A form needs no more than the entry.
        let first = FILES.iter().find(|(name, ..)| *name == entry).unwrap().2.len();
        assert!(first > 1_000 && first < 8_000, "a form loads {first} bytes");
        for (name, plain, compressed) in FILES {
            assert!(compressed.len() <= plain.len() + 16, "{name}");
        }
        let name = bundle.entry.strip_prefix("assets/show/").unwrap();
        let first = asset(name, &HeaderMap::new());
        assert!(first.headers().get(header::CONTENT_ENCODING).is_none());
        let mut asked = HeaderMap::new();
        asked.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, br;q=0.9"));
        assert_eq!(asset(name, &asked).headers()[header::CONTENT_ENCODING], "br");
        asked.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(asset(name, &asked).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(asset("nothing.js", &asked).status(), StatusCode::NOT_FOUND);
    }
}
