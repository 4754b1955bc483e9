//! A subscriber's filter over an event's payload.

use bytes::Bytes;

/// The resource an event is about: a JSON object kept as bytes, parsed at most once and only if a query asks.
#[derive(Debug)]
pub struct Payload(Bytes);

impl Payload {
    /// Wraps the text of a JSON object.
    pub fn new(text: Bytes) -> Self {
        Self(text)
    }

    /// The text as it came.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

/// A compiled set of queries, all of which must hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter;
