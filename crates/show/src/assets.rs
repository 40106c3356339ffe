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

const PAGE: &str = "index.html";
/// Nothing from elsewhere, and nothing inline: what a text or a description holds is never run.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";
/// Their names hold a digest of what is in them.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// The page.
pub(crate) fn page(asked: &HeaderMap) -> Response<Body> {
    let mut reply = file(PAGE, asked, "no-cache");
    let policy = HeaderValue::from_static(CONTENT_SECURITY_POLICY);
    reply.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    reply
}

/// A file that the page loads.
pub(crate) fn asset(name: &str, asked: &HeaderMap) -> Response<Body> {
    file(&format!("assets/show/{name}"), asked, IMMUTABLE)
}

fn file(name: &str, asked: &HeaderMap, caching: &'static str) -> Response<Body> {
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
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    reply
}

fn media(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
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
    fn the_first_page_is_small_and_its_files_are_there() {
        let (_, html, _) = FILES.iter().find(|(name, ..)| *name == PAGE).unwrap();
        let html = std::str::from_utf8(html).unwrap();
        assert!(!html.contains("http"), "something is loaded from elsewhere: {html}");
        let mut size = 0;
        for (name, plain, compressed) in FILES {
            assert!(compressed.len() <= plain.len() + 16, "{name}");
            if *name == PAGE || html.contains(name) {
                size += compressed.len();
            }
        }
        assert!(html.matches("/assets/show/").count() >= 2, "{html}");
        assert!(size < 60_000, "the first page needs {size} bytes");
    }

    #[test]
    fn a_page_that_is_known_is_not_sent_again() {
        let first = page(&HeaderMap::new());
        assert_eq!(first.headers()[header::CACHE_CONTROL], "no-cache");
        assert!(first.headers().get(header::CONTENT_ENCODING).is_none());
        let mut asked = HeaderMap::new();
        asked.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, br;q=0.9"));
        assert_eq!(page(&asked).headers()[header::CONTENT_ENCODING], "br");
        asked.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(page(&asked).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(asset("nothing.js", &asked).status(), StatusCode::NOT_FOUND);
    }
}
