//! Something that happened in the backend.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::error::PayloadError;

/// Something that happened in the backend. Its payload is kept as the server sent it until somebody wants to
/// [`decode`](Event::decode) it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event<T = Box<RawValue>> {
    /// The same for everybody who gets this event; servers before Realtime have none.
    pub id: Option<Arc<str>>,
    /// Its most specific name, such as `databases.main.tables.todos.rows.42.update`.
    pub event: Option<String>,
    /// All its names, with ids replaced by `*` in every combination.
    pub events: Vec<String>,
    /// The channels it is published on: not only those that were subscribed to.
    pub channels: Vec<String>,
    /// When it happened, as ISO 8601.
    pub timestamp: Option<String>,
    /// What it happened to.
    pub payload: T,
    /// Before this event others may have been missed.
    pub gap: Option<Gap>,
    pub(crate) message: Arc<str>,
}

/// Why events may have been missed. Fetch the present state, then go on with the events.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Gap {
    /// The connection was lost for a while and the server does not vouch for that time: it cannot resume.
    Unvouched,
    /// The connection was lost for a while and the server could not recover what was missed, or the server itself may have
    /// missed something; this is its reason.
    Unrecovered(String),
    /// The subscription was not read fast enough, and its buffer was full.
    Overrun,
}

impl Event {
    /// The same event with its payload as a value of the application.
    pub fn decode<T: DeserializeOwned>(self) -> Result<Event<T>, PayloadError> {
        match serde_json::from_str(self.payload.get()) {
            Ok(payload) => Ok(Event {
                id: self.id,
                event: self.event,
                events: self.events,
                channels: self.channels,
                timestamp: self.timestamp,
                payload,
                gap: self.gap,
                message: self.message,
            }),
            Err(error) => {
                Err(PayloadError { id: self.id.map(|id| id.as_ref().to_owned()), why: error.to_string() })
            }
        }
    }
}

impl<T> Event<T> {
    /// The whole message as the server sent it, for logs and tools.
    pub fn message(&self) -> &str {
        &self.message
    }
}
