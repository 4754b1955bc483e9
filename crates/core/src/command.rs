//! What a client says, whatever the protocol it says it in.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::channel::Channel;
use crate::id::{EventId, ProjectId, SubscriptionId};
use crate::identity::{Credential, Credentials};
use crate::presence::Presence;
use crate::query::Filter;
use crate::refusal::Refusal;

/// How a connection begins. Nothing in it is believed yet.
#[derive(Debug, Clone)]
pub struct Hello {
    /// The project asked for.
    pub project: ProjectId,
    /// What the client showed.
    pub credentials: Credentials,
    /// The client's address, after trusted proxies.
    pub address: IpAddr,
    /// The path asked for, for limits by path.
    pub path: String,
    /// The `Origin` header, empty if absent.
    pub origin: String,
    /// The `Referer` header, empty if absent.
    pub referer: String,
    /// Channels named at the start, as asked.
    pub channels: Vec<Channel>,
    /// Queries named at the start for a channel, by the channel's parameter name (dots become underscores):
    /// slot and query texts, in the order given.
    pub queries: HashMap<String, Vec<(SlotKey, Vec<String>)>>,
    /// The last event the client saw before it lost its connection.
    pub since: Option<EventId>,
    /// Whether the client wants to be told when events may be missing.
    pub wants_gaps: bool,
}

/// The client's own number or name for a subscription made in the opening request (Appwrite's query slots).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotKey(pub String);

/// One request of a client on an open connection.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Are you there?
    Ping,
    /// This is who I am.
    Authenticate(Credential),
    /// Create or replace these subscriptions, all or none.
    Subscribe(Vec<Subscribe>),
    /// Remove these subscriptions.
    Unsubscribe(Vec<SubscriptionId>),
    /// Let others know this of me, for as long as I am connected.
    Present(Presence),
}

/// One subscription to create or replace.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscribe {
    /// The client's id for it; the engine mints one if absent.
    pub id: Option<SubscriptionId>,
    /// Channels as asked.
    pub channels: Vec<Channel>,
    /// What the payload must satisfy.
    pub filter: Filter,
    /// The last event the client saw of it; what came after is sent first. Where that is not known any more, it counts
    /// where the subscription stood, if its id was here before.
    pub since: Option<EventId>,
}

impl Subscribe {
    /// Whether a client may come back for what it missed of it. Nothing of a live tail is kept, and nothing comes to who listens to nothing.
    pub(crate) fn is_resumable(&self) -> bool {
        self.channels.iter().any(|channel| channel.tailed_project().is_none())
    }
}

/// A message that is not a command. The connection goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub Refusal);
