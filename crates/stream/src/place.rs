use std::{fmt, str::FromStr};

use url::Url;

use crate::{StreamError, StreamErrorKind};

/// Where a log is: `nats://host:4222/name`, with `tls://` for TLS from the first byte of it.
///
/// Printed, it has no password.
#[derive(Clone, PartialEq, Eq)]
pub struct LogUrl {
    url: Url,
    path: String,
}

impl LogUrl {
    /// The name of the stream, or the subject.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether another log is on the same server, and asked by the same.
    #[must_use]
    pub fn same_server(&self, other: &Self) -> bool {
        self.url == other.url
    }

    /// The server, with who asks.
    pub(crate) const fn server(&self) -> &Url {
        &self.url
    }

    /// The server, for people.
    pub(crate) fn shown(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{host}{port}", self.url.scheme())
    }
}

impl FromStr for LogUrl {
    type Err = StreamError;

    fn from_str(text: &str) -> Result<Self, StreamError> {
        // What is no URL may hold a password all the same: it is not repeated.
        let wrong = |shown: String| {
            StreamError::new("find the stream", StreamErrorKind::Url(shown))
                .help("write nats://host:4222/<stream or subject>")
        };
        let mut url: Url = text.parse().map_err(|error: url::ParseError| {
            let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
            wrong(format!("{scheme}://...")).because(error)
        })?;
        // `>` ends the subject of all subjects below one, and is written otherwise in URLs.
        let path = url.path().trim_matches('/').replace("%3E", ">").replace("%3e", ">");
        url.set_path("");
        url.set_query(None);
        url.set_fragment(None);
        let place = Self { url, path };
        let known = ["nats", "tls"].contains(&place.url.scheme());
        let named = !place.path.is_empty() && !place.path.contains(['/', '%']);
        if known && named && place.url.host_str().is_some_and(|host| !host.is_empty()) {
            return Ok(place);
        }
        Err(wrong(place.to_string()))
    }
}

impl fmt::Display for LogUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.shown(), self.path)
    }
}

impl fmt::Debug for LogUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_understood_and_hold_their_passwords_back() {
        let cases = [
            ("nats://localhost:4222/docs", Some(("nats://localhost:4222/docs", "docs"))),
            ("nats://ann:secret@host/docs.>", Some(("nats://host/docs.>", "docs.>"))),
            ("tls://token@host:1/docs.*.en", Some(("tls://host:1/docs.*.en", "docs.*.en"))),
            ("nats://localhost:4222", None),
            ("nats://localhost:4222/a/b", None),
            ("nats://localhost:4222/a%20b", None),
            ("kafka://localhost/docs", None),
            ("localhost:4222/docs", None),
            ("docs", None),
            ("nats://ann:secret@:x/docs", None),
        ];
        for (text, expected) in cases {
            let found = text.parse::<LogUrl>();
            if let Err(error) = &found {
                assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
            }
            let found = found.ok();
            let told = found.as_ref().map(|place| (place.to_string(), place.path().to_owned()));
            let expected = expected.map(|(shown, path)| (shown.to_owned(), path.to_owned()));
            assert_eq!(told, expected, "{text}");
        }
    }
}
