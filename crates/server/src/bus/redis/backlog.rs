//! What has come from Redis and waits to be taken: bounded, for the library reads on while the node is behind.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::Notify;

use super::settings::Bounds;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A message.
    Message(Bytes),
    /// So many messages were dropped here, because too much waited.
    Dropped(u64),
    /// Nothing more: why.
    Ended(String),
}

/// A queue with one reader that never makes its writer wait. Beyond its bounds, all that waits is dropped: a reader who
/// is so far behind is better off with what is new than with a part of what is old.
#[derive(Debug)]
pub(super) struct Backlog {
    bounds: Bounds,
    waiting: Mutex<Waiting>,
    added: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Before the messages that wait.
    dropped: u64,
    messages: VecDeque<Bytes>,
    bytes: usize,
    ended: Option<String>,
}

impl Backlog {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, waiting: Mutex::default(), added: Notify::new() }
    }

    /// Takes what Redis says by itself.
    pub(super) fn push(&self, info: PushInfo) {
        let PushInfo { kind, mut data } = info;
        match kind {
            PushKind::Message | PushKind::SMessage => {
                if let Some(Value::BulkString(message)) = data.pop() {
                    self.add(Bytes::from(message));
                }
            }
            PushKind::SUnsubscribe => self.end("the channel's slot has moved to another server"),
            PushKind::Disconnection => self.end("the connection was closed"),
            // Nobody subscribed to patterns, and confirmations are waited for elsewhere.
            PushKind::Other(_)
            | PushKind::Invalidate
            | PushKind::PMessage
            | PushKind::Subscribe
            | PushKind::PSubscribe
            | PushKind::SSubscribe
            | PushKind::Unsubscribe
            | PushKind::PUnsubscribe
            | _ => {}
        }
    }

    /// Puts a message behind the others.
    fn add(&self, message: Bytes) {
        let mut waiting = self.waiting();
        let bytes = waiting.bytes + message.len();
        let is_full = waiting.messages.len() >= self.bounds.messages || bytes > self.bounds.bytes;
        // A single message is taken however large it is, or it could never be.
        if is_full && !waiting.messages.is_empty() {
            waiting.dropped += waiting.messages.len() as u64 + 1;
            waiting.messages = VecDeque::new();
            waiting.bytes = 0;
        } else {
            waiting.bytes = bytes;
            waiting.messages.push_back(message);
        }
        drop(waiting);
        self.added.notify_one();
    }

    /// Nothing more comes.
    fn end(&self, reason: &str) {
        self.waiting().ended.get_or_insert_with(|| reason.to_owned());
        self.added.notify_one();
    }

    /// Takes what comes next, waiting for it.
    pub(super) async fn next(&self) -> Next {
        loop {
            if let Some(next) = self.take() {
                return next;
            }
            self.added.notified().await;
        }
    }

    /// Takes what comes next, if it is there.
    pub(super) fn take(&self) -> Option<Next> {
        let mut waiting = self.waiting();
        if waiting.dropped > 0 {
            return Some(Next::Dropped(std::mem::take(&mut waiting.dropped)));
        }
        match waiting.messages.pop_front() {
            Some(message) => {
                waiting.bytes -= message.len();
                Some(Next::Message(message))
            }
            None => waiting.ended.clone().map(Next::Ended),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(backlog: &Backlog, message: &str) {
        let data = vec![Value::BulkString(b"realtime".into()), Value::BulkString(message.into())];
        backlog.push(PushInfo { kind: PushKind::Message, data });
    }

    fn message(text: &'static str) -> Next {
        Next::Message(Bytes::from(text))
    }

    #[tokio::test]
    async fn messages_come_in_order_and_the_end_after_them() {
        let backlog = Backlog::new(Bounds { messages: 10, bytes: 100 });
        says(&backlog, "a");
        says(&backlog, "b");
        backlog.push(PushInfo { kind: PushKind::Disconnection, data: Vec::new() });
        assert_eq!(backlog.next().await, message("a"));
        assert_eq!(backlog.next().await, message("b"));
        assert_eq!(backlog.next().await, Next::Ended("the connection was closed".to_owned()));
    }

    #[tokio::test]
    async fn too_much_is_dropped_and_told_before_what_comes_later() {
        for bounds in [Bounds { messages: 2, bytes: 100 }, Bounds { messages: 100, bytes: 8 }] {
            let backlog = Backlog::new(bounds);
            for text in ["1234", "5678", "9"] {
                says(&backlog, text);
            }
            says(&backlog, "new");
            assert_eq!(backlog.next().await, Next::Dropped(3), "{bounds:?}");
            assert_eq!(backlog.next().await, message("new"));
        }
    }

    #[tokio::test]
    async fn one_message_is_taken_however_large_it_is() {
        let backlog = Backlog::new(Bounds { messages: 1, bytes: 1 });
        says(&backlog, "large");
        assert_eq!(backlog.next().await, message("large"));
    }

    #[tokio::test]
    async fn what_never_ends_takes_no_more_room_than_it_may() {
        let bounds = Bounds { messages: 1_000, bytes: 10_000 };
        let backlog = Backlog::new(bounds);
        for _ in 0..100_000 {
            says(&backlog, "twenty bytes of text");
            let waiting = backlog.waiting();
            assert!(waiting.bytes <= bounds.bytes && waiting.messages.len() <= bounds.messages);
        }
    }
}
