//! Ways in: the contract of a transport, and the list of them.

pub mod sse;
pub mod websocket;

use std::convert::Infallible;
use std::fmt::Debug;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use hyper::body::Incoming;
use realtime_protocol::codec::Codec;
use tokio::sync::Notify;

use crate::shard::Shard;

/// The body of a response. It stays on its shard's thread.
pub type Body = Pin<Box<dyn hyper::body::Body<Data = Bytes, Error = Infallible>>>;

/// What a client is told that there is no memory for.
pub(crate) const NO_ROOM: &str = "This server has no memory for more clients at the moment.";

/// A way in that begins as an HTTP request.
///
/// `accept` answers at once: who the client is gets found out after the response has begun, and refusals are told in
/// the transport's own messages, because clients read those and not HTTP statuses.
pub trait HttpTransport: Sync {
    /// What the transport is called in logs and metrics.
    fn name(&self) -> &'static str;

    /// Whether the request is for this transport.
    fn wants(&self, request: &Request<Incoming>) -> bool;

    /// Takes the client in.
    fn accept(&self, request: Request<Incoming>, entrance: Entrance) -> Response<Body>;

    /// How a client is told to come again after so many seconds, if it does not understand the HTTP status for that.
    fn turn_away(
        &self,
        request: &Request<Incoming>,
        settings: &Settings,
        after: u32,
    ) -> Option<Response<Body>> {
        let _ = (request, settings, after);
        None
    }
}

/// Every transport that begins as an HTTP request, in the order they are asked.
pub static HTTP: &[&dyn HttpTransport] = &[&websocket::WebSocket, &sse::Sse];

/// Where a client comes in.
#[derive(Debug, Clone)]
pub struct Entrance {
    /// The shard that serves it.
    pub shard: Shard,
    /// The address of the link's other end: the client, or the last proxy.
    pub address: IpAddr,
    /// What all transports of the node have in common.
    pub settings: Arc<Settings>,
    /// Notified to end the link at once, for a client that takes nothing any more.
    pub hang_up: Rc<Notify>,
}

/// What all transports of a node have in common.
#[derive(Debug)]
pub struct Settings {
    /// How conversations are spelled.
    pub codec: Arc<dyn Codec>,
    /// Headers that name the client's address when a proxy is in front, first match wins.
    pub trusted_headers: Vec<HeaderName>,
    /// A client's message in bytes, framing included; a larger one ends the connection. Appwrite: 64,000.
    pub max_message: usize,
}
