//! What an operator asks of a node: put to every shard as jobs, so that no client waits for a lock.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use realtime_core::event::Event;
use realtime_core::id::{ConnectionId, EventId, ProjectId};
use realtime_core::snapshot::{Holdings, Snapshot, Sought};
use realtime_core::stats::Stats;
use realtime_core::verdict::Comparison;
use tokio::sync::oneshot;

use crate::bus::NodeInbox;
use crate::shard::{Job, Question, ShardInbox, Whom};

/// How often what has happened is noted, for plots.
pub(crate) const SAMPLE_EVERY: Duration = Duration::from_secs(2);
/// Notes that are kept: ten minutes.
const SAMPLES: usize = 300;

/// Asks the shards of a node.
#[derive(Debug)]
pub(crate) struct Inspector {
    shards: Arc<[ShardInbox]>,
    inbox: NodeInbox,
    samples: Mutex<VecDeque<Sample>>,
}

/// A connection of a node: which shard, and which of its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    shard: usize,
    connection: ConnectionId,
}

/// What had happened by a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// When.
    pub(crate) at: Timestamp,
    /// What.
    pub(crate) stats: Stats,
}

/// A connection that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) address: Address,
    pub(crate) snapshot: Snapshot,
    pub(crate) transport: &'static str,
}

/// Some of the connections that were looked for.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) found: Vec<Found>,
    /// Where to go on; `None` at the end.
    pub(crate) next: Option<Cursor>,
}

/// A place in the list of all connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    shard: usize,
    slot: u32,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.shard, self.connection)
    }
}

impl Address {
    /// Reads what [`fmt::Display`] writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (shard, connection) = text.split_once('-')?;
        Some(Self { shard: shard.parse().ok()?, connection: ConnectionId::parse(connection)? })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.shard, self.slot)
    }
}

impl Cursor {
    /// Reads what [`fmt::Display`] writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (shard, slot) = text.split_once('-')?;
        Some(Self { shard: shard.parse().ok()?, slot: slot.parse().ok()? })
    }
}

impl Inspector {
    pub(crate) fn new(shards: Arc<[ShardInbox]>, inbox: NodeInbox) -> Self {
        Self { shards, inbox, samples: Mutex::default() }
    }

    /// Notes what has happened, for as long as the node lives.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(SAMPLE_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let sample = Sample { stats: self.stats().await, at: Timestamp::now() };
            let mut samples = self.lock();
            if samples.len() >= SAMPLES {
                samples.pop_front();
            }
            samples.push_back(sample);
        }
    }

    /// What had happened by each of the last moments, oldest first.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.lock().iter().copied().collect()
    }

    /// What has happened so far on the whole node.
    pub(crate) async fn stats(&self) -> Stats {
        total(&self.shards().await)
    }

    /// What has happened on each shard, and how many jobs wait for it.
    pub(crate) async fn shards(&self) -> Vec<(Stats, usize)> {
        let mut shards = Vec::new();
        for (number, shard) in self.shards.iter().enumerate() {
            let waiting = shard.waiting();
            shards.push((self.ask(number, Question::Stats).await.unwrap_or_default(), waiting));
        }
        shards
    }

    /// How many connections each project has.
    pub(crate) async fn projects(&self) -> BTreeMap<ProjectId, u64> {
        self.inbox.connections().await
    }

    /// Up to `limit` of the connections sought, from a place on.
    pub(crate) async fn list(&self, sought: &Sought, from: Cursor, limit: usize) -> Listing {
        let mut found = Vec::new();
        let mut from = from;
        while from.shard < self.shards.len() {
            let left = limit.saturating_sub(found.len());
            if left == 0 {
                return Listing { found, next: Some(from) };
            }
            let question = |answer| Question::List(sought.clone(), from.slot, left, answer);
            let answer = self.ask(from.shard, question).await;
            let next = match answer {
                Some((page, transports)) => {
                    found.extend(page.found.into_iter().zip(transports).map(|(snapshot, transport)| Found {
                        address: Address { shard: from.shard, connection: snapshot.id },
                        snapshot,
                        transport,
                    }));
                    page.next
                }
                None => None,
            };
            from = match next {
                Some(slot) => Cursor { slot, ..from },
                None => Cursor { shard: from.shard + 1, slot: 0 },
            };
        }
        Listing { found, next: None }
    }

    /// One connection, and all that it may hear.
    pub(crate) async fn inspect(&self, address: Address) -> Option<(Found, Holdings)> {
        let question = |answer| Question::Inspect(address.connection, answer);
        let (snapshot, holdings, transport) = self.ask(address.shard, question).await??;
        Some((Found { address, snapshot, transport }, holdings))
    }

    /// Everything that decides whether a connection gets an event; `None` if the connection is not open.
    pub(crate) async fn compare(&self, event: Arc<Event>, address: Address) -> Option<Comparison> {
        let question = |answer| Question::Compare(event, address.connection, answer);
        self.ask(address.shard, question).await?
    }

    /// An event of the last while, if it is kept.
    pub(crate) async fn event(&self, project: &ProjectId, id: &EventId) -> Option<Arc<Event>> {
        // Every shard keeps every event.
        self.ask(0, |answer| Question::Find(project.clone(), id.clone(), answer)).await?
    }

    /// Ends one connection. Whether there was one to end.
    pub(crate) async fn dismiss_one(&self, address: Address, may_come_back: bool) -> bool {
        let whom = Whom::Connection(address.connection);
        let question = |answer| Question::Dismiss(whom, may_come_back, answer);
        self.ask(address.shard, question).await.is_some_and(|count| count > 0)
    }

    /// Ends the connections sought, on this node, and tells how many they were.
    pub(crate) async fn dismiss(&self, sought: &Sought, may_come_back: bool) -> usize {
        let mut count = 0;
        for shard in 0..self.shards.len() {
            let whom = Whom::All(sought.clone());
            let question = |answer| Question::Dismiss(whom, may_come_back, answer);
            count += self.ask(shard, question).await.unwrap_or_default();
        }
        count
    }

    /// `None` if there is no such shard, or if it has ended.
    async fn ask<T>(&self, shard: usize, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.shards.get(shard)?.post(Job::Tell(question(answer))).await;
        answered.await.ok()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Sample>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has happened on all of them together.
pub(crate) fn total(shards: &[(Stats, usize)]) -> Stats {
    let mut all = Stats::default();
    shards.iter().for_each(|(shard, _)| add(&mut all, shard));
    all
}

/// Every shard is given every event, so what concerns events themselves is counted once; the rest adds up.
fn add(all: &mut Stats, shard: &Stats) {
    let Stats {
        connections,
        subscriptions,
        opened,
        closed,
        refused,
        events,
        deliveries,
        slow,
        left_out,
        recovered,
        unrecovered,
        gaps,
        replay_bytes,
    } = *shard;
    *all = Stats {
        connections: all.connections + connections,
        subscriptions: all.subscriptions + subscriptions,
        opened: all.opened + opened,
        closed: all.closed + closed,
        refused: all.refused + refused,
        events: all.events.max(events),
        deliveries: all.deliveries + deliveries,
        slow: all.slow + slow,
        left_out: all.left_out + left_out,
        recovered: all.recovered + recovered,
        unrecovered: all.unrecovered + unrecovered,
        gaps: all.gaps.max(gaps),
        replay_bytes: all.replay_bytes.max(replay_bytes),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_a_cursor_are_read_as_they_are_written() {
        for text in ["0-0.0", "3-17.4"] {
            assert_eq!(Address::parse(text).map(|address| address.to_string()).as_deref(), Some(text));
        }
        for text in ["", "0", "0-1", "a-1.1", "0-1.b", "0-1.1.1", "-0-1.1"] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
        assert_eq!(Cursor::parse("2-40").map(|cursor| cursor.to_string()).as_deref(), Some("2-40"));
        assert_eq!(Cursor::parse("2-x"), None);
    }

    #[test]
    fn events_are_counted_once_however_many_shards_were_given_them() {
        let mut all = Stats::default();
        let shard = Stats { connections: 2, events: 5, deliveries: 3, gaps: 1, ..Stats::default() };
        add(&mut all, &shard);
        add(&mut all, &Stats { events: 4, ..shard });
        let expected = Stats { connections: 4, events: 5, deliveries: 6, gaps: 1, ..Stats::default() };
        assert_eq!(all, expected);
    }
}
