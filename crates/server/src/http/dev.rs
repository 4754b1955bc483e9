//! The page of `realtime dev`: shows events as they come, and how to publish one.

use std::net::IpAddr;

use http::header::{CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode};

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
    pub(super) fn answer<T>(&self, request: &Request<T>) -> Result<Response<Body>, Problem> {
        let (method, path) = (request.method(), request.uri().path());
        if !is_asked_by_name_of_this_machine(request) {
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "Not this host",
                "The page of `realtime dev` is served under `localhost` or an IP address only: under another name, \
                 a page on the web could read the demo's credentials.",
            ));
        }
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

/// Whether the request names `localhost` or an address. Somebody's web page can make a name of its own mean this machine
/// (DNS rebinding), and would then share an origin with the page; it cannot do that with these.
pub(super) fn is_asked_by_name_of_this_machine<T>(request: &Request<T>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Some(authority) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else {
        return false;
    };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_not_shown_under_a_name_that_others_may_own() {
        let dev = Dev { facts: "{}".to_owned() };
        let status = |host: &str| {
            let request = Request::builder().uri("/dev.json").header(HOST, host).body(()).unwrap();
            dev.answer(&request).map_or(StatusCode::MISDIRECTED_REQUEST, |response| response.status())
        };
        for host in
            ["localhost:8080", "LOCALHOST", "app.localhost", "127.0.0.1:8080", "[::1]:8080", "192.168.0.7"]
        {
            assert_eq!(status(host), StatusCode::OK, "{host}");
        }
        for host in [
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
            "a b",
            "x@localhost.evil",
        ] {
            assert_eq!(status(host), StatusCode::MISDIRECTED_REQUEST, "{host}");
        }
    }
}
