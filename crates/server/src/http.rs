//! Which request goes where.

pub mod dev;
pub mod health;
mod idempotency;
pub mod ingest;
pub mod internal;
pub mod openapi;
pub mod problem;

use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::ORIGIN;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tracing::debug;

use self::dev::Dev;
use self::health::Health;
use self::ingest::Ingest;
use self::problem::Problem;
use crate::pressure::Pressure;
use crate::shard::{Client, Shard};
use crate::transport::{self, Body, Entrance, sse};

/// Where clients connect, as Appwrite's proxy routes it.
const REALTIME: &str = "/v1/realtime";
/// Where backends publish.
const EVENTS: &str = "/v1/realtime/events";
/// What this API is, for machines.
const OPENAPI: &str = "/v1/realtime/openapi.json";

/// After how many seconds a client that was turned away is to try again: drawn for each, for all who were turned away at
/// once would come back at once.
const RETRY_WHEN_FULL: RangeInclusive<u32> = 5..=10;

/// Everything that answers HTTP on a node, shared by its shards.
#[derive(Debug)]
pub struct Site {
    /// What all transports have in common.
    pub transports: Arc<transport::Settings>,
    /// Publishing.
    pub ingest: Ingest,
    /// Whether anybody more may be let in.
    pub(crate) pressure: Pressure,
    /// Probes.
    pub health: Health,
    /// The page of `realtime dev`, if that is what runs.
    pub dev: Option<Dev>,
    /// How long a client may take to send a request's head.
    pub head_timeout: Duration,
    /// Request line and headers in bytes. Appwrite: 65,536.
    pub max_head: usize,
    /// Turns true when the node stops: connections that wait for a next request are then of no use.
    pub stopping: watch::Receiver<bool>,
}

/// Serves one accepted client until its connection ends or is handed to a transport.
pub(crate) async fn serve(client: Client, shard: Shard, site: Arc<Site>) {
    let (address, _load) = (client.address, client.load);
    let Ok(stream) = TcpStream::from_std(client.stream) else { return };
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(site.head_timeout).max_buf_size(site.max_head);
    let hang_up = Rc::new(Notify::new());
    let service = service_fn(|request| {
        let (site, transports) = (Arc::clone(&site), Arc::clone(&site.transports));
        let (shard, address) = (shard.clone(), address.ip().to_canonical());
        let entrance = Entrance { shard, address, settings: transports, hang_up: Rc::clone(&hang_up) };
        async move { Ok::<_, Infallible>(answer(request, entrance, site).await) }
    });
    let connection = server.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let mut stopping = site.stopping.clone();
    let served = async {
        tokio::select! {
            ended = &mut connection => ended,
            _ = stopping.wait_for(|stopping| *stopping) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    let ended = tokio::select! {
        ended = served => ended,
        () = hang_up.notified() => return debug!(%address, "the client reads nothing; its link is ended"),
    };
    if let Err(error) = ended {
        debug!(%address, %error, "an HTTP connection ended early");
    }
}

async fn answer(request: Request<Incoming>, entrance: Entrance, site: Arc<Site>) -> Response<Body> {
    if let Some(transport) = transport::HTTP.iter().find(|transport| transport.wants(&request)) {
        if site.pressure.is_full() {
            let after = rand::random_range(RETRY_WHEN_FULL);
            return transport.turn_away(&request, &site.transports, after).unwrap_or_else(|| {
                let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "No room", transport::NO_ROOM);
                problem.retry_after(after).into_response()
            });
        }
        // On any path, as Appwrite's server does: some proxies rewrite it.
        return transport.accept(request, entrance);
    }
    let path = request.uri().path();
    let result = match (request.method(), path) {
        (&Method::POST, EVENTS) => site.ingest.publish(request, entrance.address).await,
        (_, EVENTS) => Err(Problem::method_not_allowed("POST")),
        (&Method::GET, OPENAPI) => Ok(openapi::document()),
        (&Method::GET, path) if Health::answers(path) => Ok(site.health.answer(path)),
        (&Method::OPTIONS, REALTIME) if request.headers().contains_key(ORIGIN) => {
            Ok(sse::preflight(&request))
        }
        (_, REALTIME) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "Not a realtime request",
            "Connect with a WebSocket, or ask for server-sent events with 'Accept: text/event-stream'.",
        )),
        (_, path) => match &site.dev {
            Some(dev) => dev.answer(&request),
            None => Err(Problem::not_found(path)),
        },
    };
    result.unwrap_or_else(Problem::into_response)
}

/// A response with a body that is all there.
pub(crate) fn full(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    plain(status, content_type, body).map(whole)
}

/// A body that is all there.
fn whole(bytes: Bytes) -> Body {
    Box::pin(Full::new(bytes))
}

/// The same with its body as bytes, for whoever sends them another way.
fn plain(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    headers.insert(http::header::X_CONTENT_TYPE_OPTIONS, http::HeaderValue::from_static("nosniff"));
    response
}
