//! Servers under the same load: this one by each of its ways, and others where they are installed.

mod mosquitto;
mod nats;
mod nchan;
mod node;
mod pocketbase;
mod pusher;
pub(crate) mod realtime;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use self::realtime::Beside;
use crate::BenchError;
use crate::dialogue::Dialogue;
use crate::program::{Program, find};

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
    /// Soketi, which speaks Pusher's protocol, on Node.js with µWebSockets.
    Soketi,
    /// Sockudo, which speaks Pusher's protocol.
    Sockudo,
    /// PocketBase, by its server-sent events.
    PocketBase,
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
            Self::Soketi => "Soketi",
            Self::Sockudo => "Sockudo",
            Self::PocketBase => "PocketBase",
        }
    }

    /// Whether it is another server than this one.
    pub(crate) fn is_peer(self) -> bool {
        !matches!(self, Self::Realtime | Self::RealtimeRedis | Self::RealtimeUrl | Self::RealtimeSse)
    }

    /// Whether it is this server with WebSockets.
    pub(crate) fn is_web_socket(self) -> bool {
        matches!(self, Self::Realtime | Self::RealtimeRedis | Self::RealtimeUrl)
    }

    /// Starts it; `None` if it is not installed. Clients of this server make so many subscriptions each.
    pub(crate) fn start(self, binary: &Path, subscriptions: usize) -> Result<Option<Contender>, BenchError> {
        use self::node::Library;
        use self::pusher::Server;
        use self::realtime::Way;
        let peers = peers()?;
        match self {
            Self::Realtime => realtime::start(binary, Way::Message, subscriptions),
            Self::RealtimeUrl => realtime::start(binary, Way::Url, subscriptions),
            Self::RealtimeSse => realtime::start(binary, Way::Stream, subscriptions),
            Self::RealtimeRedis => realtime::start(binary, Way::Redis, subscriptions),
            Self::Nchan => nchan::start(),
            Self::Nats => find("nats-server").map(|program| nats::start(&program)).transpose(),
            Self::Mosquitto => find("mosquitto").map(|program| mosquitto::start(&program)).transpose(),
            Self::Ws => node::start(&peers, Library::Ws),
            Self::SocketIo => node::start(&peers, Library::SocketIo),
            Self::Soketi => pusher::start(&peers, Server::Soketi),
            Self::Sockudo => pusher::start(&peers, Server::Sockudo),
            Self::PocketBase => pocketbase::start(&peers),
        }
    }
}

/// Where `cargo xtask bench --install` puts the peers that are no packages of Debian: beside this binary.
fn peers() -> Result<PathBuf, BenchError> {
    let binary = std::env::current_exe().map_err(BenchError::io("find", "this binary"))?;
    Ok(binary.with_file_name("bench-peers"))
}

/// A server that runs.
pub(crate) struct Contender {
    pub(crate) program: Program,
    pub(crate) address: SocketAddr,
    pub(crate) dialogue: Dialogue,
    pub(crate) publisher: Box<dyn Publish>,
    /// What it needs to run, and does not count.
    pub(crate) _beside: Option<Beside>,
}

/// A way to publish. Another bus is another implementation.
pub(crate) trait Publish {
    /// Hands events with these payloads over, together where the server takes them together. They are on their way when it
    /// returns.
    fn publish(&mut self, payloads: &[String]) -> Result<(), BenchError>;
}
