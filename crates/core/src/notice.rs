//! What the engine tells a client.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::channel::Channel;
use crate::command::SlotKey;
use crate::event::Event;
use crate::id::SubscriptionId;
use crate::refusal::{Close, Refusal};
use crate::replay::Lost;
use crate::tail::Tailed;

/// The next thing to send on a connection.
#[derive(Debug, Clone)]
pub enum Outgoing {
    /// An event and the subscriptions of this connection that it matched.
    Event(Delivery),
    /// Anything else the client is told.
    Notice(Notice),
    /// The end; nothing follows.
    Close(Close),
}

/// An event on its way to one connection.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Shared with every other receiver.
    pub event: Arc<Event>,
    /// Which subscriptions of this connection it matched; never empty.
    pub subscriptions: SmallVec<[SubscriptionId; 1]>,
}

/// Whether a client that was away got everything that it missed.
pub type Recovery = Result<(), Lost>;

/// Everything a client is told but events as they are.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// The connection is open. Always the first notice, `Pong` and `Refused` aside.
    Connected {
        /// The channels subscribed to by the opening request, after conversion.
        channels: Vec<Channel>,
        /// The subscriptions that the opening request made.
        slots: Vec<(SlotKey, SubscriptionId)>,
        /// The user's profile (a JSON object), or `None` for a guest.
        profile: Option<Bytes>,
        /// Whether what was missed follows, if the opening request asked for it.
        recovery: Option<Recovery>,
    },
    /// The connection is somebody else now.
    Authenticated {
        /// The user's profile (a JSON object).
        profile: Bytes,
    },
    /// One entry for each item of a subscribe command, in its order.
    Subscribed(Vec<Subscribed>),
    /// One entry for each item of an unsubscribe command, in its order; whether there was such a subscription.
    Unsubscribed(Vec<(SubscriptionId, bool)>),
    /// What others know of the user now (a JSON object).
    Presented(Bytes),
    /// What happened in a project that the client watches.
    Tailed(Tailed),
    /// Here I am.
    Pong,
    /// Something was refused.
    Refused(Refusal),
    /// Events may be missing from here on back: their source was away. Told to those who asked to be.
    Gap,
    /// Nothing to say, but proxies on the way should see life.
    Heartbeat,
}

/// How a subscription stands after a subscribe command.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscribed {
    /// The client's id, or the minted one.
    pub id: SubscriptionId,
    /// Channels after conversion.
    pub channels: Vec<Channel>,
    /// The queries in canonical spelling; empty stands for everything.
    pub queries: Vec<String>,
    /// Whether what was missed follows, if there was something to come back to.
    pub recovery: Option<Recovery>,
}
