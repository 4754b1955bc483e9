//! Servers under the same load: this one by each of its ways, and others where they are installed.

mod mosquitto;
mod nats;
mod nchan;
mod node;
mod realtime;

use std::net::SocketAddr;
use std::path::Path;

use clap::ValueEnum;

use crate::BenchError;
use crate::program::{Program, find};
use crate::swarm::Dialogue;

/// Whose figures to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// This server: WebSocket, subscribed by a message, published over HTTP.
    Realtime,
    /// The same, published over Redis.
    RealtimeRedis,
    /// The same, subscribed in the URL.
    RealtimeUrl,
    /// The same, with server-sent events.
    RealtimeSse,
    /// nginx with the nchan module.
    Nchan,
    /// NATS, by its own WebSocket.
    Nats,
    /// Mosquitto, MQTT over WebSocket.
    Mosquitto,
    /// `ws` on Node.js.
    Ws,
    /// Socket.IO on Node.js.
    SocketIo,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Realtime => "realtime",
            Self::RealtimeRedis => "realtime, over Redis",
            Self::RealtimeUrl => "realtime, by URL",
            Self::RealtimeSse => "realtime, by SSE",
            Self::Nchan => "nginx nchan",
            Self::Nats => "nats-server",
            Self::Mosquitto => "mosquitto",
            Self::Ws => "Node ws",
            Self::SocketIo => "Node socket.io",
        }
    }

    /// Starts it; `None` if it is not installed.
    pub(crate) fn start(self, binary: &Path) -> Result<Option<Contender>, BenchError> {
        let installed = |name: &str| find(name);
        match self {
            Self::Realtime => realtime::start(binary, realtime::Way::Message).map(Some),
            Self::RealtimeUrl => realtime::start(binary, realtime::Way::Url).map(Some),
            Self::RealtimeSse => realtime::start(binary, realtime::Way::Stream).map(Some),
            Self::RealtimeRedis => installed("redis-server")
                .map(|redis| realtime::start(binary, realtime::Way::Redis(redis)))
                .transpose(),
            Self::Nchan => nchan::start(),
            Self::Nats => installed("nats-server").map(|program| nats::start(&program)).transpose(),
            Self::Mosquitto => installed("mosquitto").map(|program| mosquitto::start(&program)).transpose(),
            Self::Ws => node::start(node::Library::Ws),
            Self::SocketIo => node::start(node::Library::SocketIo),
        }
    }
}

/// A server that runs.
pub(crate) struct Contender {
    pub(crate) program: Program,
    pub(crate) address: SocketAddr,
    pub(crate) dialogue: Box<dyn Fn(usize) -> Dialogue>,
    pub(crate) publisher: Box<dyn Publish>,
    /// What it needs to run, and does not count.
    pub(crate) _beside: Option<Program>,
}

/// A way to publish. Another bus is another implementation.
pub(crate) trait Publish {
    /// Hands events with these payloads over, together where the server takes them together. They are on their way when it
    /// returns.
    fn publish(&mut self, payloads: &[String]) -> Result<(), BenchError>;
}
