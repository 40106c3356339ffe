use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use mesh_core::{FieldError, Refusal};
use serde::Serialize;

/// Every way in which a request is not answered: status, problem type, title and documentation
/// together (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The body is not JSON, or not UTF-8.
    NotJson(String),
    /// The body ended early or could not be read.
    BodyUnreadable,
    /// The key that this needs is missing or wrong.
    Key(String),
    /// No such route, project or API version.
    NotFound(String),
    /// The route takes another method.
    MethodNotAllowed,
    /// It cannot be done as things stand.
    Conflict(String),
    /// The client took too long to send its request.
    RequestTimeout,
    /// The body is larger than the project takes.
    TooLarge(usize),
    /// The body is not `application/json`.
    MediaType,
    /// The request does not fit the schema.
    Schema(Vec<FieldError>),
    /// The project will not answer this request.
    Refused(Refusal),
    /// The queue is full.
    QueueFull,
    /// The answer took too long.
    Deadline,
    /// The model is not loaded.
    NotReady(String),
    /// The service is shutting down.
    Draining,
    /// A fault of ours.
    Internal,
}

#[derive(Serialize)]
struct Body9457<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a [FieldError]>,
}

/// How long a client is asked to wait when the queue is full or the model not loaded.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Problem {
    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::NotJson(_) | Self::BodyUnreadable => StatusCode::BAD_REQUEST,
            Self::Key(_) => StatusCode::UNAUTHORIZED,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Schema(_) | Self::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::QueueFull => StatusCode::TOO_MANY_REQUESTS,
            Self::Deadline => StatusCode::GATEWAY_TIMEOUT,
            Self::NotReady(_) | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The last part of the problem type, as it also stands in metrics and `docs/serve.md`.
    #[must_use]
    pub const fn slug(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "not-json",
            Self::BodyUnreadable => "body-unreadable",
            Self::Key(_) => "key",
            Self::Conflict(_) => "conflict",
            Self::NotFound(_) => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::RequestTimeout => "request-timeout",
            Self::TooLarge(_) => "too-large",
            Self::MediaType => "media-type",
            Self::Schema(_) => "schema",
            Self::Refused(refusal) => refusal.kind.as_str(),
            Self::QueueFull => "queue-full",
            Self::Deadline => "deadline",
            Self::NotReady(_) => "not-ready",
            Self::Draining => "draining",
            Self::Internal => "internal",
        }
    }

    const fn title(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "The body is not JSON",
            Self::BodyUnreadable => "The body could not be read",
            Self::Key(_) => "The admin key is needed",
            Self::Conflict(_) => "That cannot be done now",
            Self::NotFound(_) => "Nothing is here",
            Self::MethodNotAllowed => "The method is not allowed",
            Self::RequestTimeout => "The request came too slowly",
            Self::TooLarge(_) => "The body is too large",
            Self::MediaType => "The media type is not supported",
            Self::Schema(_) => "The request does not fit the schema",
            Self::Refused(_) => "The project does not answer this",
            Self::QueueFull => "Too many requests wait",
            Self::Deadline => "The answer took too long",
            Self::NotReady(_) => "The model is not loaded",
            Self::Draining => "The service is shutting down",
            Self::Internal => "The service made a mistake",
        }
    }

    /// The detail, and for a request that does not fit the schema what is wrong, in one text.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Self::Schema(errors) => {
                errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            }
            _ => self.detail(),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::NotJson(reason) => format!("the body must be JSON in UTF-8: {reason}"),
            Self::BodyUnreadable => "the body ended before its end, or is badly framed".into(),
            Self::Key(what) | Self::Conflict(what) | Self::NotFound(what) => what.clone(),
            Self::MethodNotAllowed => "the header `allow` names the method that this takes".into(),
            Self::RequestTimeout => "send the whole request at once".into(),
            Self::TooLarge(limit) => format!("send at most {limit} bytes"),
            Self::MediaType => "send `content-type: application/json`".into(),
            Self::Schema(errors) => errors.first().map_or_else(String::new, ToString::to_string),
            Self::Refused(refusal) => refusal.detail.clone(),
            Self::QueueFull => "more requests wait than the project takes; try again later".into(),
            Self::Deadline => "the project's time for one request is over".into(),
            Self::NotReady(reason) => reason.clone(),
            Self::Draining => "send the request again: another instance answers".into(),
            Self::Internal => "it was logged; the same request may work later".into(),
        }
    }

    /// The problem as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        let body = Body9457 {
            r#type: format!("urn:mesh:problem:{}", self.slug()),
            title: self.title(),
            status: self.status().as_u16(),
            detail: self.detail(),
            errors: if let Self::Schema(errors) = self { Some(errors) } else { None },
        };
        serde_json::to_string(&body).unwrap_or_default()
    }

    /// The response that tells of it.
    #[must_use]
    pub fn response(&self) -> Response<Body> {
        let status = self.status();
        let body = self.json();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let media = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, media);
        if matches!(self, Self::QueueFull | Self::NotReady(_) | Self::Draining) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER.as_secs()));
        }
        if matches!(self, Self::Key(_)) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(self, Self::TooLarge(_) | Self::RequestTimeout | Self::BodyUnreadable) {
            // The rest of the body is not read: the connection cannot carry another request.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
