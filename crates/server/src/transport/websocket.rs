//! WebSocket (RFC 6455): a handshake on an HTTP request, then frames both ways.

pub mod frame;
pub mod handshake;
pub mod queue;
pub mod socket;

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use realtime_core::receipts::Receipts;
use realtime_protocol::appwrite::hello;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tracing::debug;

use self::frame::NO_STATUS;
use self::socket::{Ended, Socket, Turn};
use super::{Body, Entrance, HttpTransport};
use crate::peer::{Next, Peer};

/// Bytes that may wait to be written before no more is taken from the peer. Enough to fill one large write; what is
/// not taken yet stays in the outbox, where it is counted.
const WRITE_AHEAD: usize = 64 * 1024;
/// How long a client may take to answer a Close.
const GRACE: Duration = Duration::from_secs(5);

/// Codes of a client that takes leave (RFC 6455 §7.4.1): it is done, or its page is left.
const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;

/// The transport.
#[derive(Debug)]
pub struct WebSocket;

impl HttpTransport for WebSocket {
    fn name(&self) -> &'static str {
        "websocket"
    }

    fn wants(&self, request: &Request<Incoming>) -> bool {
        handshake::asks_for_websocket(request)
    }

    fn accept(&self, mut request: Request<Incoming>, entrance: Entrance) -> Response<Body> {
        let response = match handshake::accept(&request) {
            Ok(response) => {
                let upgrade = hyper::upgrade::on(&mut request);
                let (parts, _) = request.into_parts();
                tokio::task::spawn_local(serve(upgrade, parts, entrance));
                response
            }
            Err(refused) => refused.response(),
        };
        response.map(|body| -> Body { Box::pin(body) })
    }
}

/// Waits until the link is ours and has the conversation on it.
async fn serve(upgrade: OnUpgrade, request: Parts, entrance: Entrance) {
    let address = entrance.address;
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            debug!(%address, %error, "a client left during the handshake");
            return;
        }
    };
    let hello = hello::read(&request, address, &entrance.settings.trusted_headers);
    drop(request);
    let peer = Peer::open(&entrance.shard, hello, entrance.settings.codec.clone(), WebSocket.name());
    let limit = entrance.settings.max_message;
    // The plain stream spares each read and write a call through a table, and hyper's buffers.
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => converse(Socket::new(parts.io.into_inner(), parts.read_buf, limit), peer).await,
        Err(upgraded) => converse(boxed(upgraded, limit), peer).await,
    }
}

fn boxed(upgraded: Upgraded, limit: usize) -> Socket<TokioIo<Upgraded>> {
    Socket::new(TokioIo::new(upgraded), Bytes::new(), limit)
}

/// Carries messages between the socket and the peer until one of them ends.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(mut socket: Socket<S>, mut peer: Peer) {
    let mut receipts = Receipts::default();
    loop {
        // Whatever waits goes out in as few writes as possible.
        while socket.queued_bytes() < WRITE_AHEAD {
            let Some(next) = peer.try_next() else { break };
            match next {
                Next::Message { message, event } => {
                    socket.queue(message);
                    if event.is_some() {
                        receipts.event();
                    }
                    if receipts.is_due() {
                        socket.queue_ping(receipts.ask(peer.receipt()));
                    }
                }
                Next::Heartbeat => socket.queue_ping(receipts.beat(peer.receipt())),
                Next::Close { code, reason } => {
                    socket.queue_close(code, &reason);
                    return end(socket, peer).await;
                }
            }
        }
        let has_room = socket.queued_bytes() < WRITE_AHEAD;
        tokio::select! {
            turn = socket.turn() => match turn {
                Ok(Turn::Text(message) | Turn::Binary(message)) => {
                    receipts.heard();
                    peer.receive(&message);
                }
                Ok(Turn::Pong(payload)) => if let Some(receipt) = receipts.answered(&payload) {
                    peer.acknowledge(receipt);
                },
                Ok(Turn::Drained) => if receipts.is_mute() {
                    peer.acknowledge(peer.receipt());
                },
                Ok(Turn::Heard) => {}
                Err(ended) => {
                    debug!(%ended, "a WebSocket ended");
                    part(&ended, &mut peer);
                    return end(socket, peer).await;
                }
            },
            last = wait(&mut peer, has_room) => if let Some(last) = last {
                if let Next::Close { code, reason } = last {
                    socket.queue_close(code, &reason);
                }
                return end(socket, peer).await;
            },
        }
    }
}

/// Tells whether the client took leave.
fn part(ended: &Ended, peer: &mut Peer) {
    if matches!(ended, Ended::Closed { code: NORMAL | GOING_AWAY | NO_STATUS, .. }) {
        peer.said_goodbye();
    }
}

/// Waits until the peer may have something to say; for a client that takes nothing, until the peer has ended it.
async fn wait(peer: &mut Peer, has_room: bool) -> Option<Next> {
    if has_room {
        peer.ready().await;
        None
    } else {
        Some(peer.ended().await)
    }
}

/// Lets the client see the last words. The connection is over for everybody else by then.
async fn end<S: AsyncRead + AsyncWrite + Unpin>(socket: Socket<S>, peer: Peer) {
    drop(peer);
    socket.finish(GRACE).await;
}
