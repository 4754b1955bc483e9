//! Everything about an engine that an operator may choose.

use std::time::Duration;

use crate::limit::Rate;
use crate::origin::OriginSettings;
use crate::outbox::{Bounds, Slow};
use crate::query;
use crate::replay;
use crate::tail;

/// Everything about an engine that an operator may choose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Messages of one connection, pings not counted; `None` is without limit. Appwrite: 32 in 60 s.
    pub messages: Option<Rate>,
    /// Subscriptions of one connection.
    pub subscriptions: usize,
    /// Channels of all subscriptions of one connection together.
    pub channels: usize,
    /// Limits of a subscription's queries.
    pub queries: query::Limits,
    /// What may wait to be sent on one connection.
    pub outbox: Bounds,
    /// What becomes of a client whose outbox is full.
    pub slow: Slow,
    /// How long finding out who somebody is may take.
    pub open_timeout: Duration,
    /// How often a connection gets a heartbeat, so that no proxy sees silence for longer (nginx closes after 60 s), and
    /// that it is known how far the client has got.
    pub heartbeat: Duration,
    /// How often users who are connected are read again though nothing told of a change; `None` is never.
    pub reread: Option<Duration>,
    /// Events that wait while a user's roles are read again; beyond it the user's connections are closed to retry.
    pub held_events: usize,
    /// What is kept for clients that were away.
    pub replay: replay::Bounds,
    /// For how long a user that asks in the URL for the same as somebody who was cut off is taken for it. Zero is never:
    /// a second window of the same page would be sent what the first one missed.
    pub url_window: Duration,
    /// What live tails are told.
    pub tail: tail::Bounds,
    /// Hosts and schemes that are allowed for every project.
    pub origin: OriginSettings,
    /// Whether connections to the console project have their origin checked too.
    pub check_console_origin: bool,
    /// Where this node is; projects of another region are refused. Appwrite `_APP_REGION`.
    pub region: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            messages: Some(Rate::MESSAGES),
            subscriptions: 1_000,
            channels: 10_000,
            queries: query::Limits::default(),
            outbox: Bounds::default(),
            slow: Slow::default(),
            open_timeout: Duration::from_secs(60),
            heartbeat: Duration::from_secs(25),
            reread: None,
            held_events: 4_096,
            replay: replay::Bounds::default(),
            url_window: Duration::ZERO,
            tail: tail::Bounds::default(),
            origin: OriginSettings::default(),
            check_console_origin: true,
            region: "default".to_owned(),
        }
    }
}
