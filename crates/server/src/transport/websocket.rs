//! WebSocket (RFC 6455): a handshake on an HTTP request, then frames both ways.

pub mod frame;
pub mod handshake;
pub mod queue;
pub mod socket;

use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use realtime_core::leave::Leave;
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
/// How long a client may take for the last words and to answer a Close. Less than a stopping server waits.
const GRACE: Duration = Duration::from_secs(5);

/// Codes of a client that leaves for good (RFC 6455 §7.4.1): it is done, or its page is left.
const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;
/// Codes for private use (RFC 6455 §7.4.2): our clients end a connection that another one follows with 4000.
const PRIVATE: RangeInclusive<u16> = 4000..=4999;

/// How a client leaves that ends its connection with this code. Other codes tell of trouble, as a loss does.
fn leave(code: u16) -> Option<Leave> {
    match code {
        NORMAL | GOING_AWAY | NO_STATUS => Some(Leave::ForGood),
        code => PRIVATE.contains(&code).then_some(Leave::ToReturn),
    }
}

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

/// Waits until the link is ours, and begins the conversation on it.
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
    // By asking to be told of gaps a client promises to answer Pings.
    let receipts = Receipts::new(hello.as_ref().is_ok_and(|hello| hello.wants_gaps));
    let peer = Peer::open(&entrance.shard, hello, entrance.settings.codec.clone(), WebSocket.name());
    let limit = entrance.settings.max_message;
    // The plain stream spares each read and write a call through a table, and hyper's buffers.
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            let socket = Socket::new(parts.io.into_inner(), parts.read_buf, limit);
            Conversation::begin(socket, peer, receipts);
        }
        Err(upgraded) => {
            let socket = Socket::new(TokioIo::new(upgraded), Bytes::new(), limit);
            Conversation::begin(socket, peer, receipts);
        }
    }
}

/// Carries messages between a socket and a peer until one of them ends.
struct Conversation<S> {
    socket: Socket<S>,
    peer: Peer,
    receipts: Receipts,
    /// So much waits to be written that no more is taken from the peer before all of it is.
    is_full: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Conversation<S> {
    /// In a task of its own, which keeps nothing of the handshake and is no larger than a quiet connection needs.
    fn begin(socket: Socket<S>, peer: Peer, receipts: Receipts) {
        let mut conversation = Self { socket, peer, receipts, is_full: false };
        tokio::task::spawn_local(async move {
            poll_fn(|context| conversation.poll(context)).await;
            // The connection is over for everybody else; the client sees the last words.
            let load = conversation.peer.outlasting();
            drop(conversation.peer);
            Box::pin(conversation.socket.finish_holding(GRACE, load)).await;
        });
    }

    /// Ready when nothing but the last words is left.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.poll_peer(context).is_ready() {
                return Poll::Ready(());
            }
            match ready!(self.socket.poll_turn(context)) {
                Ok(Turn::Text(message) | Turn::Binary(message)) => {
                    self.receipts.heard();
                    self.peer.receive(&message);
                }
                Ok(Turn::Pong(payload)) => {
                    if let Some(receipt) = self.receipts.answered(&payload) {
                        self.peer.acknowledge(receipt);
                    }
                }
                Ok(Turn::Drained) => {
                    if self.receipts.is_mute() {
                        self.peer.acknowledge(self.peer.receipt());
                    }
                    if !self.is_full {
                        // Both sides have been asked, and neither had more to say.
                        return Poll::Pending;
                    }
                }
                Ok(Turn::Heard) => {}
                Err(ended) => {
                    debug!(%ended, "a WebSocket ended");
                    if let Ended::Closed { code, .. } = ended
                        && let Some(leave) = leave(code)
                    {
                        self.peer.took_leave(leave);
                    }
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Queues whatever waits, so that it goes out in as few writes as possible. Ready after the last word.
    fn poll_peer(&mut self, context: &Context<'_>) -> Poll<()> {
        self.is_full &= self.socket.queued_bytes() > 0;
        while !self.is_full {
            match ready!(self.peer.poll_next(context)) {
                Next::Message { message, event } => {
                    self.socket.queue(message);
                    if event.is_some() {
                        self.receipts.event();
                    }
                    if self.receipts.is_due() {
                        self.socket.queue_ping(self.receipts.ask(self.peer.receipt()));
                    }
                }
                Next::Heartbeat => self.socket.queue_ping(self.receipts.beat(self.peer.receipt())),
                Next::Close { code, reason } => {
                    self.socket.queue_close(code, &reason);
                    return Poll::Ready(());
                }
            }
            self.is_full = self.socket.queued_bytes() >= WRITE_AHEAD;
        }
        // Of a client that takes nothing, all that counts is whether the peer has ended it.
        if let Next::Close { code, reason } = ready!(self.peer.poll_ended(context)) {
            self.socket.queue_close(code, &reason);
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_code_says_whether_its_client_comes_back() {
        for (codes, said) in [
            (&[1000, 1001, 1005][..], Some(Leave::ForGood)),
            (&[4000, 4999], Some(Leave::ToReturn)),
            (&[1002, 1006, 1007, 1011, 3000, 3999, 5000], None),
        ] {
            for code in codes {
                assert_eq!(leave(*code), said, "{code}");
            }
        }
    }
}
