//! A connection at one moment, as an operator looks at it.

use std::net::IpAddr;
use std::time::Instant;

use crate::channel::Channel;
use crate::id::{ConnectionId, ProjectId, UserId};
use crate::index::Subscription;
use crate::role::Role;

/// A connection at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Which.
    pub id: ConnectionId,
    /// How far it is.
    pub phase: Phase,
    /// Where it is, or wants to be; unknown once it is closing.
    pub project: Option<ProjectId>,
    /// From where, after trusted proxies.
    pub address: Option<IpAddr>,
    /// Whose it is; `None` is a guest, or not known yet.
    pub user: Option<UserId>,
    /// Whether the user is one of the console (`mode=admin`).
    pub admin: bool,
    /// Whether the user is somebody that the real user acts as.
    pub impersonated: bool,
    /// Since when.
    pub opened_at: Instant,
    /// When its proof of identity runs out; `None` is never.
    pub expires_at: Option<Instant>,
    /// Whether its user's roles are being read again, while its events wait.
    pub rechecking: bool,
    /// Whether it is getting what it missed.
    pub catching_up: bool,
    /// Messages that wait to be sent.
    pub waiting_messages: usize,
    /// Bytes of event data among them.
    pub waiting_bytes: usize,
    /// Subscriptions that it has.
    pub subscriptions: usize,
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It is being found out who it is.
    Opening,
    /// Events flow.
    Live,
    /// Its last words wait to be sent.
    Closing,
}

/// All that a connection may hear, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Holdings {
    /// `any` is not among them.
    pub roles: Vec<Role>,
    /// In the order of their ids.
    pub subscriptions: Vec<Subscription>,
}

/// Which connections to look for: all for which everything that is given holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sought {
    /// In this project.
    pub project: Option<ProjectId>,
    /// Of this user.
    pub user: Option<UserId>,
    /// That have a subscription to this channel.
    pub channel: Option<Channel>,
}

/// Some of the connections that were looked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// In the order of their slots.
    pub found: Vec<Snapshot>,
    /// From which slot to go on; `None` at the end.
    pub next: Option<u32>,
}
