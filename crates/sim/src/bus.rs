//! The bus: it hands every message to every node that listens, in order for each project. One that keeps nothing leaves
//! who has lost it for a moment without what came meanwhile, and that is known; one that keeps what happened is read from
//! where a node stood.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::model::{NodeId, Number};
use crate::random::Random;

/// The longest that a message is under way, in milliseconds.
const LONGEST: u64 = 40;

/// A message on its way.
#[derive(Debug, Clone)]
pub enum Message {
    /// An event's envelope.
    Envelope(Number, Bytes),
    /// Something that cannot be read.
    Garbled,
}

/// A message on its way to a node.
#[derive(Debug)]
pub struct Arrival {
    /// To whom.
    pub node: NodeId,
    /// When.
    pub at: Instant,
    /// Under which subscription; what comes under an earlier one is lost.
    pub subscription: u64,
}

/// What the bus has kept.
#[derive(Debug, Clone)]
pub struct Kept {
    /// When it came.
    pub at: Instant,
    /// What.
    pub message: Message,
}

/// The bus.
#[derive(Debug)]
pub struct Bus {
    /// All that came, if it keeps that.
    pub kept: Vec<Kept>,
    /// Gone until then.
    pub down_until: Option<Instant>,
    subscriptions: BTreeMap<NodeId, u64>,
    count: u64,
    last: BTreeMap<(NodeId, usize), Instant>,
    random: Random,
}

impl Bus {
    /// Nobody listens yet.
    pub fn new(seed: u64) -> Self {
        Self {
            kept: Vec::new(),
            down_until: None,
            subscriptions: BTreeMap::new(),
            count: 0,
            last: BTreeMap::new(),
            random: Random::of(seed, "bus", 0),
        }
    }

    /// Whether nobody can talk to it.
    pub fn is_down(&self, now: Instant) -> bool {
        self.down_until.is_some_and(|until| now < until)
    }

    /// A node listens from now on. Whether it can.
    pub fn subscribe(&mut self, node: NodeId, now: Instant) -> bool {
        if self.is_down(now) {
            return false;
        }
        self.count += 1;
        self.subscriptions.insert(node, self.count);
        true
    }

    /// A node listens no more.
    pub fn leave(&mut self, node: NodeId) {
        self.subscriptions.remove(&node);
    }

    /// Everybody's links to it break. Who listened.
    pub fn stop(&mut self, until: Instant) -> Vec<NodeId> {
        self.down_until = self.down_until.max(Some(until));
        std::mem::take(&mut self.subscriptions).into_keys().collect()
    }

    /// Whether a node listens, under this subscription.
    pub fn listens(&self, node: NodeId, subscription: u64) -> bool {
        self.subscriptions.get(&node) == Some(&subscription)
    }

    /// Under which subscription a node listens.
    pub fn subscription(&self, node: NodeId) -> Option<u64> {
        self.subscriptions.get(&node).copied()
    }

    /// Whether a node listens.
    pub fn has(&self, node: NodeId) -> bool {
        self.subscriptions.contains_key(&node)
    }

    /// Takes a message of a project; gives when it reaches whom. Projects overtake one another, on each node in its own way.
    pub fn publish(&mut self, project: usize, now: Instant) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        for (node, subscription) in &self.subscriptions {
            let last = self.last.entry((*node, project)).or_insert(now);
            *last = (now + self.random.millis(0, LONGEST)).max(*last);
            arrivals.push(Arrival { node: *node, at: *last, subscription: *subscription });
        }
        arrivals
    }

    /// Keeps a message; gives when which node hears that there is one.
    pub fn keep(&mut self, message: Message, now: Instant) -> Vec<Arrival> {
        self.kept.push(Kept { at: now, message });
        // One stream for all projects.
        self.publish(0, now)
    }

    /// How long a node takes to listen again once it can.
    pub fn pause(&mut self) -> Duration {
        self.random.millis(0, 500)
    }
}
