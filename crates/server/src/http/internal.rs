//! The internal port: the console and its API, metrics and probes. For operators and nobody else.
//!
//! Whoever reaches the API can publish and read everything, so a request must show the admin key. Without a key the port
//! is open to this machine alone, and then to what a person there does on purpose: no web page can use it, neither by a
//! name of its own (the `Host` must be this machine's) nor from another origin (the API wants a header that a page may
//! send to its own origin only), and no proxy can by accident.

mod connection;
mod explanation;
pub mod metric;
mod overview;
mod page;
mod project;
mod tail;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, FORWARDED, LOCATION, VIA, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use realtime_core::id::ProjectId;
use realtime_core::secret::Secret;
use realtime_protocol::appwrite::query_string::QueryString;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, info, warn};

use self::overview::DirectoryProbe;
use super::dev::is_asked_by_name_of_this_machine;
use super::health::Health;
use super::problem::Problem;
use super::{Site, ingest, plain};
use crate::directory::Directory;
use crate::directory::sqlite::Sqlite;
use crate::inspector::Inspector;
use crate::lookout::Lookout;

/// The console's page; the API is below it.
const CONSOLE: &str = "/console";
/// What Prometheus reads.
const METRICS: &str = "/metrics";
/// Every request to the API has this header, whatever its value: a page of another origin cannot send it unasked.
const ON_PURPOSE: HeaderName = HeaderName::from_static("x-realtime-console");
/// What proxies add about the client.
const FORWARDED_FOR: [&str; 3] = ["x-forwarded-for", "x-forwarded-host", "x-real-ip"];
/// A request's body in bytes: an event and what goes with it.
const MAX_BODY: usize = 1024 * 1024;
/// How long somebody may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait when the process has no file descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// The body of an answer, which may move between threads.
type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What has been decided about the internal port.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// What operators show. Without one, only this machine may be listened on.
    pub key: Option<Secret>,
    /// The embedded database, if projects are there.
    pub database: Option<Sqlite>,
}

/// All that an operator may ask.
#[derive(Debug)]
pub(crate) struct Internal {
    pub(crate) site: Arc<Site>,
    pub(crate) inspector: Arc<Inspector>,
    pub(crate) lookout: Lookout,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) database: Option<Sqlite>,
    pub(crate) key: Option<Secret>,
    pub(crate) started: Instant,
    /// Memory of the process in bytes beyond which the slowest clients are closed.
    pub(crate) ceiling: Option<u64>,
    pub(crate) probe: DirectoryProbe,
}

/// Serves operators for as long as the node lives.
pub(crate) async fn run(listener: TcpListener, internal: Arc<Internal>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve(stream, Arc::clone(&internal)));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                warn!(%error, "the internal port cannot accept; raise the limit of open files if this goes on");
                tokio::time::sleep(EXHAUSTED).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, internal: Arc<Internal>) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let service = service_fn(|request| {
        let internal = Arc::clone(&internal);
        async move { Ok::<_, Infallible>(internal.answer(request).await) }
    });
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        debug!(%error, "an operator's connection ended early");
    }
}

impl Internal {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        match self.route(request).await {
            Ok(response) => response,
            Err(problem) => {
                let is_unauthorized = problem.status() == StatusCode::UNAUTHORIZED;
                let mut response = problem.into_plain_response().map(whole);
                if is_unauthorized {
                    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                }
                response
            }
        }
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Response<Body>, Problem> {
        let path = request.uri().path().to_owned();
        if Health::answers(&path) {
            return Ok(self.site.health.plain_answer(&path).map(whole));
        }
        self.check_reach(&request)?;
        if let Some(api) = path.strip_prefix(CONSOLE).and_then(|path| path.strip_prefix("/api/")) {
            self.check_key(request.headers())?;
            if !request.headers().contains_key(&ON_PURPOSE) {
                return Err(Problem::new(
                    StatusCode::FORBIDDEN,
                    "Not on purpose",
                    "Send the header `X-Realtime-Console: 1`: it keeps pages of other origins out.",
                ));
            }
            let mut response = self.answer_api(api, request).await?;
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            return Ok(response);
        }
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        match path.as_str() {
            METRICS => {
                self.check_key(request.headers())?;
                let text = metric::page(&self.readings().await);
                Ok(plain(StatusCode::OK, metric::CONTENT_TYPE, text).map(whole))
            }
            "/" | CONSOLE if is_read => {
                let mut response = Response::new(whole(Bytes::new()));
                *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
                response.headers_mut().insert(LOCATION, HeaderValue::from_static("/console/"));
                Ok(response)
            }
            _ if is_read => match path.strip_prefix("/console/") {
                Some(file) => Ok(page::file(file)?.map(whole)),
                None => Err(Problem::not_found(&path)),
            },
            _ => Err(Problem::not_found(&path)),
        }
    }

    /// Without a key, whoever is at this machine may come in: a web page and a proxy may not.
    fn check_reach<T>(&self, request: &Request<T>) -> Result<(), Problem> {
        if self.key.is_some() {
            return Ok(());
        }
        if !is_asked_by_name_of_this_machine(request) {
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "Not this host",
                "Without `internal.key` this port answers under `localhost` or an IP address only.",
            ));
        }
        let headers = request.headers();
        let is_forwarded = headers.contains_key(FORWARDED)
            || headers.contains_key(VIA)
            || FORWARDED_FOR.iter().any(|name| headers.contains_key(*name));
        if is_forwarded {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "A proxy is in front",
                "Set `internal.key` before you put a proxy in front of the internal port: without a key it serves this \
                 machine alone.",
            ));
        }
        Ok(())
    }

    fn check_key(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(key) = &self.key else { return Ok(()) };
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| value.split_once(' '));
        let is_right = shown.is_some_and(|(scheme, shown)| {
            // Of equal length, so that it cannot be told how much of a guess is right.
            let (expected, shown) = (Sha256::digest(key.expose()), Sha256::digest(shown.trim()));
            scheme.eq_ignore_ascii_case("bearer") && bool::from(expected.ct_eq(&shown))
        });
        if is_right {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "Admin key required",
            "Send the server's `internal.key` as `Authorization: Bearer KEY`.",
        ))
    }

    async fn answer_api(&self, path: &str, request: Request<Incoming>) -> Result<Response<Body>, Problem> {
        let (parts, body) = request.into_parts();
        let query = QueryString::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let segments: Vec<String> = path.split('/').map(decoded).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let method = parts.method.as_str();
        if method != "GET" {
            info!(method, path, "an operator changes something");
        }
        match (method, segments.as_slice()) {
            ("GET", ["overview"]) => Ok(json(&self.overview().await)),
            ("GET", ["history"]) => Ok(json(&self.history())),
            ("GET", ["connections"]) => self.connections(&query).await,
            ("GET", ["connections", id]) => self.connection(id).await,
            ("DELETE", ["connections", id]) => self.end_connection(id, may_come_back(&query)).await,
            ("DELETE", ["projects", project, "users", user]) => {
                Ok(self.end_user(project, user, may_come_back(&query)).await)
            }
            ("POST", ["explain"]) => self.explain(read_json(body).await?).await,
            ("GET", ["events"]) => self.tail(&query),
            ("GET", ["projects", project, "events", id]) => self.event(project, id).await,
            ("POST", ["projects", project, "events"]) => {
                let body = ingest::read(body, MAX_BODY).await?;
                let published = self.site.ingest.publish_by_hand(&ProjectId::new(project), &body).await?;
                Ok(plain(StatusCode::OK, "application/json", published).map(whole))
            }
            ("GET", ["projects"]) => self.projects().await,
            ("POST", ["projects"]) => self.create_project(read_json(body).await?).await,
            ("DELETE", ["projects", project]) => self.remove_project(project).await,
            ("GET", ["projects", project]) => self.project(project).await,
            ("POST", ["projects", project, "keys"]) => self.create_key(project, read_json(body).await?).await,
            ("DELETE", ["projects", project, "keys", id]) => self.remove_key(project, id).await,
            ("POST", ["projects", project, "platforms"]) => {
                self.create_platform(project, read_json(body).await?).await
            }
            ("DELETE", ["projects", project, "platforms", id]) => self.remove_platform(project, id).await,
            _ => Err(Problem::not_found(parts.uri.path())),
        }
    }
}

/// Whether clients that are let go may come back; they are told.
fn may_come_back(query: &QueryString) -> bool {
    query.text("come_back") != Some("false")
}

/// A part of a path, without its percent signs; one that cannot be read is none of ours.
fn decoded(segment: &str) -> String {
    // A path's `+` is a plus.
    let text = format!("s={}", segment.replace('+', "%2B"));
    QueryString::parse(text.as_bytes()).text("s").unwrap_or_default().to_owned()
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).boxed_unsync()
}

fn json(value: &Value) -> Response<Body> {
    plain(StatusCode::OK, "application/json", value.to_string()).map(whole)
}

async fn read_json<T: DeserializeOwned>(body: Incoming) -> Result<T, Problem> {
    let body = ingest::read(body, MAX_BODY).await?;
    serde_json::from_slice(&body).map_err(|error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "Not understood",
            format!("The body is not as it must be: {error}."),
        )
    })
}

/// What is asked for by a text is not there.
fn gone(what: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "Not there", what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_path_is_read_as_it_was_meant() {
        for (segment, meant) in
            [("a", "a"), ("a%20b", "a b"), ("a+b", "a+b"), ("a%26b%3Dc", "a&b=c"), ("", "")]
        {
            assert_eq!(decoded(segment), meant, "{segment}");
        }
    }
}
