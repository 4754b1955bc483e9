//! The page of `realtime dev`: shows events as they come, and how to publish one.

use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use http::{HeaderValue, Method, Response, StatusCode};

use super::full;
use super::problem::Problem;
use crate::transport::Body;

/// Everything comes from the page's own origin.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page and what it is told.
#[derive(Debug, Clone)]
pub struct Dev {
    /// Endpoint, project and the demo's credentials, as JSON. Only ever a demo's: anybody who can reach the port can
    /// read them.
    pub facts: String,
}

impl Dev {
    pub(super) fn answer(&self, method: &Method, path: &str) -> Result<Response<Body>, Problem> {
        let (kind, text) = match path {
            "/" => ("text/html; charset=utf-8", include_str!("../../assets/dev/index.html").to_owned()),
            "/dev.js" => {
                ("text/javascript; charset=utf-8", include_str!("../../assets/dev/dev.js").to_owned())
            }
            "/dev.css" => ("text/css; charset=utf-8", include_str!("../../assets/dev/dev.css").to_owned()),
            "/dev.json" => ("application/json", self.facts.clone()),
            path => return Err(Problem::not_found(path)),
        };
        if method != Method::GET {
            return Err(Problem::method_not_allowed("GET"));
        }
        let mut response = full(StatusCode::OK, kind, text);
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        Ok(response)
    }
}
