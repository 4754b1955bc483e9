//! Errors of the HTTP API as problem documents (RFC 9457).

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{ALLOW, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use super::{plain, whole};
use crate::transport::Body;

/// Why a request was not carried out, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: Cow<'static, str>,
    allow: Option<&'static str>,
    retry_after: Option<u32>,
}

impl Problem {
    /// A problem: the title names its sort, the detail this case and the way out.
    pub fn new(status: StatusCode, title: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, title, detail: detail.into(), allow: None, retry_after: None }
    }

    /// Nothing is there.
    pub fn not_found(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", format!("There is nothing at {path}."))
    }

    /// Something is there, but not for this method.
    pub fn method_not_allowed(allowed: &'static str) -> Self {
        let detail = format!("Use {allowed}.");
        Self {
            allow: Some(allowed),
            ..Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", detail)
        }
    }

    /// The same, with the advice to try again after this many seconds.
    pub fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The status that it is answered with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The document.
    pub fn into_response(self) -> Response<Body> {
        self.into_plain_response().map(whole)
    }

    /// The same with its body as bytes.
    pub(crate) fn into_plain_response(self) -> Response<Bytes> {
        let body = json!({
            "type": "about:blank",
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let mut response = plain(self.status, "application/problem+json", body.to_string());
        if let Some(allow) = self.allow {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
