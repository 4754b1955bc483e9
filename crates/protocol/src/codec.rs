//! The contract of a spelling.

use std::borrow::Cow;
use std::fmt::Debug;

use bytes::Bytes;
use realtime_core::command::{Command, Malformed};
use realtime_core::notice::Outgoing;
use realtime_core::refusal::Close;

/// One spelling of the conversation with a client.
///
/// Implementations are pure: the same input gives the same output, and no input panics or uses memory out of
/// proportion to its size. `decode` never sees bytes over the transport's limit.
pub trait Codec: Send + Sync + Debug {
    /// What a client's message means.
    fn decode(&self, message: &[u8]) -> Result<Command, Malformed>;

    /// The message that tells a client this, or `None` for what this spelling leaves to the transport
    /// (a heartbeat, a close).
    fn encode(&self, outgoing: &Outgoing) -> Option<Message>;

    /// The close code (RFC 6455 §7.4) and the reason to show.
    fn close(&self, close: &Close) -> (u16, Cow<'static, str>);
}

/// One message to a client, in two parts so that what many receivers share is not copied for each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// The part that every receiver gets; comes first.
    pub shared: Bytes,
    /// The rest, for this receiver alone.
    pub own: Bytes,
}

impl Message {
    /// A message that nothing is shared of.
    pub fn own(own: impl Into<Bytes>) -> Self {
        Self { shared: Bytes::new(), own: own.into() }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.shared.len() + self.own.len()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
