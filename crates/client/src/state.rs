//! What a client tells about its connection, events aside.

use std::time::Duration;

use serde_json::Value;

use crate::advice::Advice;
use crate::close::Close;
use crate::event::Gap;
use crate::subscription::SubscriptionId;

/// What a client tells about its connection, events aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It connects; before this it failed so many times in a row.
    Connecting {
        /// Failures in a row.
        failures: u32,
    },
    /// It is connected.
    Connected {
        /// The user that the server sees, or nobody: a guest.
        user: Option<String>,
    },
    /// Others may know of the user now. Said again after each reconnect.
    Present {
        /// The presence as the server keeps it.
        presence: Value,
    },
    /// The server refuses the presence; nothing else is affected.
    NotPresent {
        /// The code of the server's `error` message.
        code: i64,
        /// Its text.
        message: String,
    },
    /// After a reconnect, a subscription got or will get all that it missed.
    Recovered {
        /// Which.
        subscription: SubscriptionId,
    },
    /// A subscription may have missed events.
    Gap {
        /// Which.
        subscription: SubscriptionId,
        /// Why.
        gap: Gap,
    },
    /// The connection ended.
    Disconnected {
        /// How.
        close: Close,
        /// What that advises.
        advice: Advice,
        /// When it connects again, unless it does not.
        again_in: Option<Duration>,
    },
    /// The server did not accept a credential that was given while connected; who one was before still holds.
    NotAuthenticated {
        /// The code of the server's `error` message.
        code: i64,
        /// Its text.
        message: String,
    },
    /// The provider of credentials had none.
    NoCredential {
        /// Why.
        why: String,
    },
    /// The server said something that makes no sense; it is ignored.
    Unreadable {
        /// How it begins.
        beginning: String,
    },
}
