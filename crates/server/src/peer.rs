//! All that a transport holds of a connection: what the client says goes in, what to send comes out.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use realtime_core::command::Hello;
use realtime_core::id::{ConnectionId, EventId};
use realtime_core::leave::Leave;
use realtime_core::notice::{Notice, Outgoing};
use realtime_core::refusal::{Close, Refusal};
use realtime_core::replay::Receipt;
use realtime_protocol::codec::{Codec, Message};
use tracing::field::display;
use tracing::{debug, info};

use crate::shard::{Load, Shard};

/// One client's link. Dropping it closes the connection.
#[derive(Debug)]
pub struct Peer {
    shard: Shard,
    codec: Arc<dyn Codec>,
    link: Link,
}

#[derive(Debug)]
enum Link {
    /// The engine knows the connection.
    Open { id: ConnectionId, _load: Load },
    /// The opening request could not be read; what is left is to say so.
    Refused(VecDeque<Outgoing>),
}

/// What a transport is to send next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A message.
    Message {
        /// Its spelling.
        message: Message,
        /// Which event it is, for transports that number events themselves.
        event: Option<EventId>,
    },
    /// A sign of life, in whatever way the transport has.
    Heartbeat,
    /// The end. Nothing follows.
    Close {
        /// RFC 6455 §7.4.
        code: u16,
        /// For a developer to read.
        reason: Cow<'static, str>,
    },
}

/// Tells of a peer's end while the peer itself waits for a client that takes nothing.
#[derive(Debug)]
pub struct Watch {
    shard: Shard,
    id: ConnectionId,
}

impl Watch {
    /// Whether the engine has ended the connection; `None` once the peer is gone.
    pub fn is_closing(&self) -> Option<bool> {
        self.shard.step(|engine| engine.knows(self.id).then(|| engine.is_closing(self.id)))
    }
}

impl Peer {
    /// Begins a connection that came in by the transport of this name. A request that could not be read becomes a
    /// refusal that is sent like any other.
    pub fn open(
        shard: &Shard,
        hello: Result<Hello, Refusal>,
        codec: Arc<dyn Codec>,
        transport: &'static str,
    ) -> Self {
        let link = match hello {
            Ok(hello) => {
                let (project, address) = (hello.project.clone(), hello.address);
                let id = shard.step(|engine| engine.open(hello, Instant::now()));
                let load = shard.register(id, transport);
                let total = shard.stats().connections;
                info!(shard = shard.number(), connection = %id, %project, %address, total, "connection opened");
                Link::Open { id, _load: load }
            }
            Err(refusal) => {
                debug!(shard = shard.number(), reason = %refusal.message, "request refused");
                Link::Refused(VecDeque::from([
                    Outgoing::Notice(Notice::Refused(refusal.clone())),
                    Outgoing::Close(Close::Refused(refusal)),
                ]))
            }
        };
        Self { shard: shard.clone(), codec, link }
    }

    /// The client said something.
    pub fn receive(&mut self, message: &[u8]) {
        if let Link::Open { id, .. } = self.link {
            let said = self.codec.decode(message);
            self.shard.step(|engine| engine.receive(id, said, Instant::now()));
        }
    }

    /// What the client is to give back once everything that was given out by now has reached it.
    pub fn receipt(&self) -> Receipt {
        match &self.link {
            Link::Open { id, .. } => self.shard.step(|engine| engine.receipt(*id)),
            Link::Refused(_) => Receipt::default(),
        }
    }

    /// The client has got everything that a receipt was asked for: should it come back, it goes on from there.
    pub fn acknowledge(&mut self, receipt: Receipt) {
        if let Link::Open { id, .. } = self.link {
            self.shard.step(|engine| engine.acknowledge(id, receipt, Instant::now()));
        }
    }

    /// The client ended the connection itself.
    pub fn took_leave(&mut self, leave: Leave) {
        if let Link::Open { id, .. } = self.link {
            self.shard.step(|engine| engine.took_leave(id, leave));
        }
    }

    /// What to send next, waiting for it. May be dropped at any time without losing anything.
    pub async fn next(&mut self) -> Next {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The same for who polls by hand. Only the task that polled last is woken.
    pub fn poll_next(&mut self, context: &Context<'_>) -> Poll<Next> {
        self.wake_later(context);
        self.try_next().map_or(Poll::Pending, Poll::Ready)
    }

    /// Waits until the engine has ended the connection, for a client that takes nothing any more, and tells how.
    pub fn poll_ended(&mut self, context: &Context<'_>) -> Poll<Next> {
        self.wake_later(context);
        let is_closing = match &self.link {
            Link::Open { id, .. } => self.shard.step(|engine| engine.is_closing(*id)),
            Link::Refused(_) => true,
        };
        while is_closing && let Some(next) = self.try_next() {
            if matches!(next, Next::Close { .. }) {
                return Poll::Ready(next);
            }
        }
        Poll::Pending
    }

    /// Before looking, not after: the engine may want to be asked again for what it has not looked at yet.
    fn wake_later(&self, context: &Context<'_>) {
        if let Link::Open { id, .. } = self.link {
            self.shard.wake_later(id, context.waker());
        }
    }

    /// For who still has last words to write when the peer is gone: a node that stops waits for them.
    pub(crate) fn outlasting(&self) -> Load {
        self.shard.occupy()
    }

    /// For who has to know of the end without taking what is to be sent; `None` if the request was refused.
    pub fn watch(&self) -> Option<Watch> {
        match &self.link {
            Link::Open { id, .. } => Some(Watch { shard: self.shard.clone(), id: *id }),
            Link::Refused(_) => None,
        }
    }

    /// What to send next, if there is anything.
    pub fn try_next(&mut self) -> Option<Next> {
        loop {
            let outgoing = match &mut self.link {
                Link::Open { id, .. } => {
                    let id = *id;
                    self.shard.step(|engine| engine.poll_outgoing(id))
                }
                Link::Refused(words) => words.pop_front(),
            }?;
            let event = match &outgoing {
                Outgoing::Notice(Notice::Heartbeat) => return Some(Next::Heartbeat),
                Outgoing::Close(close) => {
                    let (code, reason) = self.codec.close(close);
                    return Some(Next::Close { code, reason });
                }
                Outgoing::Event(delivery) => Some(delivery.event.id.clone()),
                Outgoing::Notice(_) => None,
            };
            if let Some(message) = self.codec.encode(&outgoing) {
                let connection = match self.link {
                    Link::Open { id, .. } => Some(display(id)),
                    Link::Refused(_) => None,
                };
                let event_id = event.as_ref().map(EventId::as_str);
                debug!(
                    shard = self.shard.number(),
                    connection,
                    event = event_id,
                    bytes = message.len(),
                    "message sent"
                );
                return Some(Next::Message { message, event });
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Link::Open { id, .. } = self.link {
            self.shard.step(|engine| engine.closed(id));
            self.shard.unregister(id);
            let total = self.shard.stats().connections;
            info!(shard = self.shard.number(), connection = %id, total, "connection closed");
        }
    }
}
