//! Live tails: what happens in a project, as one of its owners watches it in Appwrite's console.
//!
//! A tail is told of every event of its project, whoever the event is for, but only what `summary.rs` makes of it:
//! its metadata. It is a sample when much happens: what exceeds the rate is counted, not sent.

mod summary;
#[cfg(test)]
mod tests;

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use foldhash::quality::FixedState;

use self::summary::summary_of;
use crate::event::Event;
use crate::id::{ConnectionId, ProjectId, SubscriptionId};
use crate::limit::{Bucket, Rate};
use crate::query::Filter;
use crate::refusal::Refusal;
use crate::role::Role;

/// How much of a project's events a tail is told, and how it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Events of one tail in a second. None at all is taken for one.
    pub rate: u32,
    /// Events of one message.
    pub batch: usize,
    /// How long what happens is gathered before it is told.
    pub every: Duration,
}

impl Default for Bounds {
    /// Appwrite's.
    fn default() -> Self {
        Self { rate: 50, batch: 200, every: Duration::from_millis(150) }
    }
}

/// Events that one tail holds while its user's roles are read again; those beyond it count as dropped.
const MAX_WAITING: usize = 4_096;

/// A message of a live tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tailed {
    /// Whose events.
    pub project: ProjectId,
    /// The subscription that asked for them.
    pub subscription: SubscriptionId,
    /// What is told.
    pub seen: Seen,
}

/// What a live tail tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The metadata of events in their order, each a JSON object.
    Events(Vec<Bytes>),
    /// Not everything that happened since the last messages was told.
    Sampled {
        /// How many events were.
        delivered: u64,
        /// How many were not.
        dropped: u64,
    },
}

impl Tailed {
    /// Bytes of event data.
    pub(crate) fn len(&self) -> usize {
        match &self.seen {
            Seen::Events(events) => events.iter().map(Bytes::len).sum(),
            Seen::Sampled { .. } => 0,
        }
    }
}

/// The live tails of one engine's connections. An event costs what the tails of its project do, and nothing where
/// there are none.
#[derive(Debug)]
pub(crate) struct Tails {
    bounds: Bounds,
    projects: HashMap<ProjectId, BTreeMap<(ConnectionId, SubscriptionId), Tail>, FixedState>,
    /// The same by whose they are.
    connections: BTreeMap<ConnectionId, BTreeSet<(SubscriptionId, ProjectId)>>,
}

/// One subscription's tail of one project.
#[derive(Debug)]
struct Tail {
    /// The role that lets its connection watch: the tail ends with it.
    role: Role,
    /// What the metadata must satisfy.
    filter: Filter,
    bucket: Bucket,
    waiting: Vec<Bytes>,
    dropped: u64,
}

impl Tails {
    /// No tails yet.
    pub(crate) fn new(bounds: Bounds, seed: u64) -> Self {
        let bounds = Bounds { rate: bounds.rate.max(1), batch: bounds.batch.max(1), ..bounds };
        Self {
            bounds,
            projects: HashMap::with_hasher(FixedState::with_seed(seed)),
            connections: BTreeMap::new(),
        }
    }

    /// How many tails a connection would have with these as well.
    pub(crate) fn count_with<'a>(
        &self,
        connection: ConnectionId,
        more: impl Iterator<Item = (&'a SubscriptionId, ProjectId)>,
    ) -> usize {
        let nothing = BTreeSet::new();
        let held = self.connections.get(&connection).unwrap_or(&nothing);
        let more: BTreeSet<_> =
            more.map(|(id, project)| (id.clone(), project)).filter(|key| !held.contains(key)).collect();
        held.len() + more.len()
    }

    /// Begins a tail, or begins it anew: with this filter, and all that the rate allows. The role is what lets the
    /// connection watch.
    pub(crate) fn add(
        &mut self,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        project: ProjectId,
        role: Role,
        filter: Filter,
    ) {
        let tail = Tail { role, filter, bucket: Bucket::default(), waiting: Vec::new(), dropped: 0 };
        let of_connection = self.connections.entry(connection).or_default();
        of_connection.insert((subscription.clone(), project.clone()));
        self.projects.entry(project).or_default().insert((connection, subscription.clone()), tail);
    }

    /// Ends the tails of a subscription. Whether there were any.
    pub(crate) fn remove(&mut self, connection: ConnectionId, subscription: &SubscriptionId) -> bool {
        self.retain(connection, |id, _, _| id != subscription)
    }

    /// Ends the tails that the connection may not watch with these roles.
    pub(crate) fn keep_held(&mut self, connection: ConnectionId, roles: &[Role]) {
        self.retain(connection, |_, _, tail| roles.contains(&tail.role));
    }

    /// Ends all tails of a connection.
    pub(crate) fn leave(&mut self, connection: ConnectionId) {
        self.retain(connection, |_, _, _| false);
    }

    /// Something happened. The connections that are to be told of it, or of having missed it, each at least once.
    pub(crate) fn see(&mut self, event: &Event, now: Instant) -> Vec<ConnectionId> {
        if self.connections.is_empty() {
            return Vec::new();
        }
        let Some(tails) = project_of(event).and_then(|project| self.projects.get_mut(&project)) else {
            return Vec::new();
        };
        let rate = Rate { limit: self.bounds.rate, per: Duration::from_secs(1) };
        let summary = LazyCell::new(|| summary_of(event));
        let mut concerned = Vec::new();
        for ((connection, _), tail) in tails {
            if !tail.filter.is_everything() && !tail.filter.matches(&summary) {
                continue;
            }
            if tail.waiting.len() < MAX_WAITING && tail.bucket.take(rate, now) {
                tail.waiting.push(summary.as_bytes().clone());
            } else {
                tail.dropped += 1;
            }
            if concerned.last() != Some(connection) {
                concerned.push(*connection);
            }
        }
        concerned
    }

    /// What has gathered for a connection.
    pub(crate) fn flush(&mut self, connection: ConnectionId) -> Vec<Tailed> {
        let mut told = Vec::new();
        for (subscription, project) in self.connections.get(&connection).into_iter().flatten() {
            let tails = self.projects.get_mut(project);
            let Some(tail) = tails.and_then(|tails| tails.get_mut(&(connection, subscription.clone())))
            else {
                continue;
            };
            let mut tell = |seen| {
                told.push(Tailed { project: project.clone(), subscription: subscription.clone(), seen });
            };
            let (waiting, dropped) = (std::mem::take(&mut tail.waiting), std::mem::take(&mut tail.dropped));
            for batch in waiting.chunks(self.bounds.batch) {
                tell(Seen::Events(batch.to_vec()));
            }
            if dropped > 0 {
                tell(Seen::Sampled { delivered: waiting.len() as u64, dropped });
            }
        }
        told
    }

    /// How long what happens is gathered before it is told.
    pub(crate) fn every(&self) -> Duration {
        self.bounds.every
    }

    /// Ends those tails of a connection that are not to be kept. Whether there were any.
    fn retain(
        &mut self,
        connection: ConnectionId,
        keep: impl Fn(&SubscriptionId, &ProjectId, &Tail) -> bool,
    ) -> bool {
        let Some(held) = self.connections.get_mut(&connection) else { return false };
        let before = held.len();
        held.retain(|(subscription, project)| {
            let Some(tails) = self.projects.get_mut(project) else { return false };
            let key = (connection, subscription.clone());
            let is_kept = tails.get(&key).is_some_and(|tail| keep(subscription, project, tail));
            if !is_kept {
                tails.remove(&key);
                if tails.is_empty() {
                    self.projects.remove(project);
                }
            }
            is_kept
        });
        let ended = held.len() < before;
        if held.is_empty() {
            self.connections.remove(&connection);
        }
        ended
    }
}

/// In which project an event happened. Appwrite publishes what concerns a project's owners to the console, on a channel
/// that names the project.
fn project_of(event: &Event) -> Option<ProjectId> {
    if !event.project.is_console() {
        return Some(event.project.clone());
    }
    let named = event.channels.iter().find_map(|channel| channel.as_str().strip_prefix("projects."));
    named.filter(|id| !id.is_empty()).map(ProjectId::new)
}

/// Projects whose tails a subscribe command asks for, while it is found out which teams own them.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    asked: VecDeque<ProjectId>,
    /// The role that each of the others takes.
    owned: Vec<(ProjectId, Role)>,
    /// Why it could not be found out.
    failed: Option<Refusal>,
}

impl Claims {
    /// Nothing is known of these, which may be named more than once.
    pub(crate) fn to(projects: impl Iterator<Item = ProjectId>) -> Self {
        let mut seen = BTreeSet::new();
        Self {
            asked: projects.filter(|id| seen.insert(id.clone())).collect(),
            owned: Vec::new(),
            failed: None,
        }
    }

    /// The project to be asked about next.
    pub(crate) fn next(&self) -> Option<&ProjectId> {
        self.asked.front()
    }

    /// The next project takes this role.
    pub(crate) fn take(&mut self, role: Role) {
        if let Some(project) = self.asked.pop_front() {
            self.owned.push((project, role));
        }
    }

    /// It cannot be found out what the next project takes, so the others do not matter.
    pub(crate) fn fail(&mut self, refusal: Refusal) {
        self.asked.clear();
        self.failed = Some(refusal);
    }

    /// Whether any project is asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.owned.is_empty()
    }

    /// The first project whose role is not held, if everything could be found out.
    pub(crate) fn check(&self, holds: impl Fn(&Role) -> bool) -> Result<Option<&ProjectId>, Refusal> {
        let denied = self.owned.iter().find(|(_, role)| !holds(role)).map(|(project, _)| project);
        self.failed.clone().map_or(Ok(denied), Err)
    }

    /// The role that a project takes.
    pub(crate) fn role(&self, project: &ProjectId) -> Option<&Role> {
        self.owned.iter().find(|(known, _)| known == project).map(|(_, role)| role)
    }
}
