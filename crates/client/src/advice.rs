//! What to do after a connection ended.

use std::time::Duration;

/// What to do after a connection ended. The codes are those of the server's page "Errors and closes".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Connect again after the usual pause.
    Retry,
    /// Connect again, but leave the server more time: it is crowded, in trouble, or refuses what may be allowed later.
    Later,
    /// Get a fresh credential first: the one that was shown is wrong or ran out.
    Reauthenticate,
    /// Do not come back: the same request is refused again.
    Stop,
}

impl Advice {
    /// What a close code advises.
    pub fn of(code: u16) -> Self {
        match code {
            // RFC 6455 §7.4.1, a policy that a retry does not change. The only code after which Appwrite's SDKs stop.
            1008 => Self::Stop,
            // IANA's WebSocket close codes: Unauthorized.
            3000 => Self::Reauthenticate,
            // Our bytes were not understood (1002, 1003, 1007, 1009), the server is in trouble (1011) or crowded (1013),
            // or forbids (3003, IANA). All of these may pass, none of them soon.
            1002 | 1003 | 1007 | 1009 | 1011 | 1013 | 3003 => Self::Later,
            _ => Self::Retry,
        }
    }

    /// The shortest window from which the pause is drawn.
    pub(crate) fn window(self) -> Duration {
        match self {
            Self::Retry | Self::Reauthenticate | Self::Stop => Duration::ZERO,
            Self::Later => Duration::from_secs(10),
        }
    }
}
