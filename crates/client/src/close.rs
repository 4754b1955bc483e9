//! How a connection ended, and what the code says about coming back.

use std::fmt;

use crate::advice::Advice;

/// What a client ends its connection with for good (RFC 6455 §7.4.1): the server forgets where its subscriptions stand.
pub const GOODBYE: u16 = 1000;
/// What a client ends a connection with that another follows (RFC 6455 §7.4.2, for private use): the server remembers.
pub const RETURNS: u16 = 4000;
/// RFC 6455 §7.4.1: the Close frame named no code.
pub const NO_CODE: u16 = 1005;
/// RFC 6455 §7.4.1: the connection ended without a Close frame.
pub const NO_FRAME: u16 = 1006;

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The code of the Close frame, or [`NO_CODE`] or [`NO_FRAME`].
    pub code: u16,
    /// In words: the server's, or what went wrong on the way.
    pub reason: String,
}

impl Close {
    /// An end with a Close frame.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// An end without a Close frame: the network, a proxy, or a server that just hung up.
    pub fn lost(reason: impl Into<String>) -> Self {
        Self::new(NO_FRAME, reason)
    }

    /// What to do now.
    pub fn advice(&self) -> Advice {
        Advice::of(self.code)
    }

    /// Whether the end itself says nothing, so that the server's last words have to do. Appwrite's own server never
    /// sends a Close frame: it says what is wrong in an `error` message and hangs up.
    pub(crate) fn says_nothing(&self) -> bool {
        matches!(self.code, NO_CODE | NO_FRAME)
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.says_nothing(), self.reason.is_empty()) {
            (true, true) => f.write_str("the connection was lost"),
            (true, false) => f.write_str(&self.reason),
            (false, true) => write!(f, "closed with {}", self.code),
            (false, false) => write!(f, "{} ({})", self.reason, self.code),
        }
    }
}
