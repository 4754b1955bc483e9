//! What waits to be sent on one connection: the only queue between an event and a socket, hence the only bound.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::channel::Channel;
use crate::id::SubscriptionId;
use crate::notice::{Delivery, Notice, Outgoing, Subscribed};
use crate::replay::Mark;

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Messages.
    pub count: usize,
    /// Bytes of event data and of whatever else grows with what a client asks for, as if every connection held its own copy.
    pub bytes: usize,
}

impl Default for Bounds {
    /// Room for a burst on a slow phone, and for 100,000 idle connections on a small server.
    fn default() -> Self {
        Self { count: 4_096, bytes: 4 * 1024 * 1024 }
    }
}

/// What becomes of a client that reads slower than events come, once its outbox is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Slow {
    /// It is closed with a code to come back, and gets what it missed then.
    #[default]
    Close,
    /// Of events of the same subject the latest is kept; if that makes no room, it is closed.
    Conflate,
    /// Events are left out until there is room. A client that asked for gaps is told then; another one gets them should
    /// it lose its connection and come back.
    Drop,
}

/// An outbox that is empty gives its memory back beyond this many places.
const KEEP_CAPACITY: usize = 4;

/// A bounded queue of messages to one client.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<(Mark, Waiting)>,
    bytes: usize,
}

/// A message that waits. Events are many and small; the rest is rare and a multiple in size, which the room for each event
/// would have to match.
#[derive(Debug)]
enum Waiting {
    Event(Delivery),
    Other(Box<Outgoing>),
}

impl Waiting {
    fn size(&self) -> usize {
        match self {
            Self::Event(delivery) => size_of_delivery(delivery),
            Self::Other(outgoing) => size_of_outgoing(outgoing),
        }
    }
}

impl From<Outgoing> for Waiting {
    fn from(outgoing: Outgoing) -> Self {
        match outgoing {
            Outgoing::Event(delivery) => Self::Event(delivery),
            Outgoing::Notice(_) | Outgoing::Close(_) => Self::Other(Box::new(outgoing)),
        }
    }
}

impl From<Waiting> for Outgoing {
    fn from(waiting: Waiting) -> Self {
        match waiting {
            Waiting::Event(delivery) => Self::Event(delivery),
            Waiting::Other(outgoing) => *outgoing,
        }
    }
}

/// The outbox has no room: the client is too slow.
#[derive(Debug)]
pub(crate) struct Full(pub(crate) Outgoing);

impl Outbox {
    /// Queues a message of this moment. Whether it is the first, so that the connection has to be woken.
    pub(crate) fn push(&mut self, mark: Mark, outgoing: Outgoing, bounds: &Bounds) -> Result<bool, Full> {
        let size = size_of_outgoing(&outgoing);
        let over = self.waiting.len() >= bounds.count || self.bytes.saturating_add(size) > bounds.bytes;
        // One message always fits: an event above the bound must not be undeliverable to a client that keeps up.
        if over && !self.waiting.is_empty() {
            return Err(Full(outgoing));
        }
        self.bytes += size;
        self.waiting.push_back((mark, outgoing.into()));
        Ok(self.waiting.len() == 1)
    }

    /// Leaves out events that a later one of the same subject stands for. Whether a quarter of the room is free now: with
    /// less it would soon be tried again, at the cost of looking through all that waits.
    pub(crate) fn conflate(&mut self, bounds: &Bounds) -> bool {
        let mut latest: BTreeMap<Arc<str>, BTreeSet<SubscriptionId>> = BTreeMap::new();
        let mut kept = VecDeque::with_capacity(self.waiting.len());
        for (mark, waiting) in std::mem::take(&mut self.waiting).into_iter().rev() {
            if let Waiting::Event(delivery) = &waiting
                && let Some(subject) = delivery.event.subject()
            {
                let shown = latest.entry(subject.into()).or_default();
                // A query may have let the earlier event through and the later not: then both are wanted.
                if delivery.subscriptions.iter().all(|subscription| shown.contains(subscription)) {
                    self.bytes -= waiting.size();
                    continue;
                }
                shown.extend(delivery.subscriptions.iter().cloned());
            }
            kept.push_front((mark, waiting));
        }
        self.waiting = kept;
        self.waiting.len() <= bounds.count / 4 * 3 && self.bytes <= bounds.bytes / 4 * 3
    }

    /// Bytes that wait, as [`Bounds`] counts them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The message that has waited longest.
    pub(crate) fn pop(&mut self) -> Option<Outgoing> {
        let (_, waiting) = self.waiting.pop_front()?;
        self.bytes -= waiting.size();
        if self.waiting.is_empty() && self.waiting.capacity() > KEEP_CAPACITY {
            self.waiting = VecDeque::new();
        }
        Some(waiting.into())
    }

    /// The earliest moment of which something waits.
    pub(crate) fn earliest(&self) -> Option<Mark> {
        self.waiting.iter().map(|(mark, _)| *mark).min()
    }

    /// Messages that wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Queues what ends the connection, which always has room.
    pub(crate) fn push_last(&mut self, outgoing: Outgoing) {
        self.bytes += size_of_outgoing(&outgoing);
        self.waiting.push_back((Mark::default(), outgoing.into()));
    }

    /// Forgets everything that waits.
    pub(crate) fn clear(&mut self) {
        self.waiting = VecDeque::new();
        self.bytes = 0;
    }
}

fn size_of_outgoing(outgoing: &Outgoing) -> usize {
    match outgoing {
        Outgoing::Event(delivery) => size_of_delivery(delivery),
        Outgoing::Notice(notice) => size_of_notice(notice),
        Outgoing::Close(_) => 0,
    }
}

/// What an event counts for: its data, and the names of its subscriptions where there are more than have room in place.
pub(crate) fn size_of_delivery(delivery: &Delivery) -> usize {
    let names = delivery.subscriptions.len().saturating_sub(1);
    delivery.event.data.len() + names * size_of::<SubscriptionId>()
}

fn size_of_notice(notice: &Notice) -> usize {
    let named = |channels: &[Channel]| -> usize {
        channels.iter().map(|channel| size_of::<Channel>() + channel.as_str().len()).sum()
    };
    match notice {
        Notice::Connected { channels, slots, profile, .. } => {
            named(channels) + size_of_val(slots.as_slice()) + profile.as_ref().map_or(0, Bytes::len)
        }
        Notice::Authenticated { profile } | Notice::Presented(profile) => profile.len(),
        Notice::Subscribed(made) => made
            .iter()
            .map(|made| {
                let queries: usize = made.queries.iter().map(|query| size_of::<String>() + query.len()).sum();
                size_of::<Subscribed>() + named(&made.channels) + queries
            })
            .sum(),
        Notice::Unsubscribed(ended) => size_of_val(ended.as_slice()),
        Notice::Tailed(tailed) => tailed.len(),
        Notice::Pong | Notice::Refused(_) | Notice::Gap | Notice::Heartbeat => 0,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::refusal::Close;

    fn pong() -> Outgoing {
        Outgoing::Notice(Notice::Pong)
    }

    #[test]
    fn only_the_first_message_wakes() {
        let mut outbox = Outbox::default();
        assert!(outbox.push(Mark::default(), pong(), &Bounds::default()).unwrap());
        assert!(!outbox.push(Mark::default(), pong(), &Bounds::default()).unwrap());
        outbox.pop();
        outbox.pop();
        assert!(outbox.push(Mark::default(), pong(), &Bounds::default()).unwrap());
    }

    #[test]
    fn a_message_beyond_the_count_is_refused() {
        let bounds = Bounds { count: 2, bytes: 100 };
        let mut outbox = Outbox::default();
        outbox.push(Mark::default(), pong(), &bounds).unwrap();
        outbox.push(Mark::default(), pong(), &bounds).unwrap();
        assert!(outbox.push(Mark::default(), pong(), &bounds).is_err());
        outbox.pop();
        assert!(outbox.push(Mark::default(), pong(), &bounds).is_ok());
    }

    #[test]
    fn what_grows_with_what_a_client_asks_for_counts() {
        let bounds = Bounds { count: 100, bytes: 1_000 };
        let mut outbox = Outbox::default();
        let ended = (0..100).map(|number| (SubscriptionId::new(format!("s{number}")), true)).collect();
        let ended = Outgoing::Notice(Notice::Unsubscribed(ended));
        assert!(outbox.push(Mark::default(), ended.clone(), &bounds).is_ok(), "one always fits");
        assert!(outbox.bytes() > bounds.bytes && outbox.push(Mark::default(), ended, &bounds).is_err());
        outbox.pop();
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn the_last_word_has_room_in_a_full_outbox() {
        let bounds = Bounds { count: 1, bytes: 100 };
        let mut outbox = Outbox::default();
        outbox.push(Mark::default(), pong(), &bounds).unwrap();
        outbox.push_last(Outgoing::Close(Close::Slow));
        outbox.pop();
        assert!(matches!(outbox.pop(), Some(Outgoing::Close(Close::Slow))));
    }
}
