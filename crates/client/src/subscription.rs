//! A subscription as a session keeps it.

use std::fmt;

use serde_json::{Map, Value};

use crate::event::Gap;
use crate::interest::Interest;
use crate::resume::Seen;

/// Names a subscription, from its beginning to its end and over reconnects. The server is told the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId {
    /// What sets this client apart from others of the same user.
    client: u64,
    number: u32,
}

impl SubscriptionId {
    pub(crate) fn new(client: u64, number: u32) -> Self {
        Self { client, number }
    }

    /// Reads what [`Display`](fmt::Display) wrote.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (client, number) = text.split_once('-')?;
        let id = Self { client: u64::from_str_radix(client, 16).ok()?, number: number.parse().ok()? };
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.client, self.number)
    }
}

/// A subscription as a session keeps it.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) interest: Interest,
    /// Whether the server has ever confirmed it: then a new connection resumes it.
    pub(crate) established: bool,
    pub(crate) seen: Seen,
    /// To be told with its next event.
    pub(crate) gap: Option<Gap>,
}

impl Subscription {
    pub(crate) fn new(interest: Interest) -> Self {
        Self { interest, established: false, seen: Seen::default(), gap: None }
    }

    /// Its item in a `subscribe` message.
    pub(crate) fn item(&self, id: SubscriptionId, resumes: bool) -> Value {
        let mut item = Map::new();
        item.insert("subscriptionId".to_owned(), id.to_string().into());
        item.insert("channels".to_owned(), self.interest.channels().into());
        item.insert("queries".to_owned(), self.interest.queries().into());
        if resumes {
            self.seen.ask(&mut item);
        }
        item.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written_and_in_no_other_way() {
        let id = SubscriptionId::new(0xAB, u32::MAX);
        assert_eq!(id.to_string(), "00000000000000ab-4294967295");
        assert_eq!(SubscriptionId::read(&id.to_string()), Some(id));
        for text in ["ab-4294967295", "00000000000000AB-1", "00000000000000ab-01", "", "-", "+f-1", "ü-1"] {
            assert_eq!(SubscriptionId::read(text), None, "{text}");
        }
    }

    #[test]
    fn an_id_is_one_that_servers_take() {
        let id = SubscriptionId::new(u64::MAX, u32::MAX).to_string();
        assert!(id.len() <= 36 && id.starts_with(|first: char| first.is_ascii_alphanumeric()));
    }
}
