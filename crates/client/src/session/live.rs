//! A connection that is open, and what is still to be said on it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::random::Random;
use crate::subscription::{Subscription, SubscriptionId};

/// A connection that is open.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) since: Instant,
    /// What was asked last and is not answered.
    pub(super) asked: Option<Asked>,
    /// The presence is to be told to the server.
    pub(super) announces: bool,
    /// The server has been told of a presence, which ends with this connection.
    pub(super) announced: bool,
    /// Subscriptions to be told to the server.
    pub(super) waiting: BTreeSet<SubscriptionId>,
    /// Those that are told together, apart from others: among them is one that the server refuses.
    pub(super) batches: VecDeque<Vec<SubscriptionId>>,
    /// Subscriptions that the server was told of.
    told: BTreeSet<SubscriptionId>,
    /// Subscriptions that the server is to forget.
    pub(super) removed: BTreeSet<SubscriptionId>,
    /// Subscriptions from before this connection that the server has not confirmed yet.
    pub(super) resuming: BTreeSet<SubscriptionId>,
    /// The server's names of subscriptions that were made in the URL.
    pub(super) names: BTreeMap<String, SubscriptionId>,
    /// When to connect anew because the URL has changed.
    pub(super) remake_at: Option<Instant>,
    /// When to hang up because nobody listens.
    pub(super) idle_until: Option<Instant>,
    ping_at: Instant,
    /// When an answer to a ping, or any other sign of life, is overdue.
    silent_at: Option<Instant>,
}

/// What was asked, and how long the answer may take.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) until: Instant,
}

/// What gets an answer.
#[derive(Debug)]
pub(super) enum Question {
    Authenticate,
    Subscribe(Vec<SubscriptionId>),
    Unsubscribe(Vec<SubscriptionId>),
    Present,
}

impl Question {
    /// The type of its message, which the answer names.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Authenticate => "authentication",
            Self::Subscribe(_) => "subscribe",
            Self::Unsubscribe(_) => "unsubscribe",
            Self::Present => "presence",
        }
    }
}

impl Live {
    /// Clients that connect at the same time ping at different times.
    pub(super) fn new(now: Instant, ping_every: Duration, random: &mut Random) -> Self {
        Self {
            since: now,
            asked: None,
            announces: false,
            announced: false,
            waiting: BTreeSet::new(),
            batches: VecDeque::new(),
            told: BTreeSet::new(),
            removed: BTreeSet::new(),
            resuming: BTreeSet::new(),
            names: BTreeMap::new(),
            remake_at: None,
            idle_until: None,
            ping_at: now + ping_every / 2 + random.up_to(ping_every / 2),
            silent_at: None,
        }
    }

    /// When something of this is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let asked = self.asked.as_ref().map(|asked| asked.until);
        [Some(self.ping_at), self.silent_at, asked, self.remake_at, self.idle_until]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn add(&mut self, id: SubscriptionId) {
        self.waiting.insert(id);
        self.idle_until = None;
    }

    pub(super) fn remove(&mut self, id: SubscriptionId) {
        self.waiting.remove(&id);
        self.resuming.remove(&id);
        if self.told.remove(&id) {
            self.removed.insert(id);
        }
    }

    /// The server said something.
    pub(super) fn heard(&mut self) {
        self.silent_at = None;
    }

    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.silent_at.is_some_and(|at| at <= now)
    }

    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.idle_until.is_some_and(|until| until <= now)
    }

    pub(super) fn ping_now(&mut self, now: Instant) {
        self.ping_at = now;
    }

    pub(super) fn ping_if_due(&mut self, now: Instant, every: Duration, patience: Duration) -> bool {
        let due = self.ping_at <= now;
        if due {
            self.ping_at = now + every;
            self.silent_at.get_or_insert(now + patience);
        }
        due
    }

    /// The subscription that the server calls so.
    pub(super) fn named(&self, name: &str) -> Option<SubscriptionId> {
        self.names.get(name).copied()
    }

    pub(super) fn has_changes(&self) -> bool {
        !self.waiting.is_empty() || !self.batches.is_empty() || !self.removed.is_empty()
    }

    pub(super) fn take_removed(&mut self, most: usize) -> Vec<SubscriptionId> {
        std::iter::from_fn(|| self.removed.pop_first()).take(most).collect()
    }

    /// Subscriptions for the next message: at least one, and no more than fit.
    pub(super) fn take_batch(
        &mut self,
        subscriptions: &BTreeMap<SubscriptionId, Subscription>,
        most: usize,
        bytes: usize,
    ) -> Vec<SubscriptionId> {
        while let Some(mut batch) = self.batches.pop_front() {
            batch.retain(|id| subscriptions.contains_key(id) && !self.waiting.contains(id));
            if !batch.is_empty() {
                return batch;
            }
        }
        let mut left = bytes;
        let mut taken = Vec::new();
        while let Some(id) = self.waiting.first().copied().filter(|_| taken.len() < most) {
            let size = subscriptions.get(&id).map_or(0, |subscription| subscription.interest.bytes());
            if size > left && !taken.is_empty() {
                break;
            }
            left = left.saturating_sub(size);
            self.waiting.remove(&id);
            self.told.insert(id);
            taken.push(id);
        }
        taken
    }
}
