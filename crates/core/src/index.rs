//! The gate: who receives this event.
//!
//! *Invariant:* the cost of an event grows with the subscriptions it matches, not with those that exist. An event looks
//! up its channels, and on a crowded channel its roles or the values that queries ask for, whichever leaves fewer. Every
//! connection comes out once, with all its matching subscriptions; queries are asked last, of candidates only.

mod audience;
mod postings;
mod term;
#[cfg(test)]
mod tests;
mod values;

use std::collections::{BTreeMap, HashMap, HashSet};

use foldhash::quality::FixedState;
use smallvec::SmallVec;

use self::audience::{Audience, Traits};
use self::term::{Term, Terms};
use crate::channel::Channel;
use crate::event::Event;
use crate::id::{ConnectionId, ProjectId, SubscriptionId};
use crate::query::{Filter, Fingerprints};
use crate::replay::Mark;
use crate::role::Role;

/// A connection that an event is for, and the subscriptions that it matched there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// Which connection.
    pub connection: ConnectionId,
    /// In no particular order; never empty.
    pub subscriptions: SmallVec<[SubscriptionId; 1]>,
}

/// A subscription as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// The client's id, or a minted one.
    pub id: SubscriptionId,
    /// After conversion.
    pub channels: SmallVec<[Channel; 1]>,
    /// What the payload must satisfy.
    pub filter: Filter,
    /// What happened up to here is not for it.
    pub start: Mark,
    /// Whether its client is yet to learn that something before the start may be missing.
    pub doubtful: bool,
    /// Whether its id is the client's own, by which it is known when the client comes back.
    pub named: bool,
}

impl Subscription {
    /// A subscription to what happens from now on, under an id that was made for it.
    pub fn new(id: SubscriptionId, channels: SmallVec<[Channel; 1]>, filter: Filter) -> Self {
        Self { id, channels, filter, start: Mark::default(), doubtful: false, named: false }
    }
}

/// Subscriptions of every live connection of one engine.
#[derive(Debug)]
pub struct Index {
    projects: HashMap<ProjectId, Project, FixedState>,
    /// By the slot of the connection's id.
    members: Vec<Option<Member>>,
    /// Subscriptions of all of them.
    len: usize,
    /// Counts events, so that an entry can tell whether this one has met it already.
    round: u64,
    hasher: FixedState,
    fingerprints: Fingerprints,
}

/// One project's channels and the subscriptions on them.
#[derive(Debug)]
struct Project {
    connections: usize,
    channels: HashMap<Channel, Audience, FixedState>,
    roles: Terms,
    /// Subscriptions by number; numbers of removed ones are used again.
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
}

/// A connection.
#[derive(Debug)]
struct Member {
    id: ConnectionId,
    project: ProjectId,
    roles: SmallVec<[Term; 6]>,
    entries: SmallVec<[u32; 2]>,
    /// The last event that found this connection, and where in its result.
    round: u64,
    result: usize,
}

/// A subscription and whose it is.
#[derive(Debug)]
struct Entry {
    connection: ConnectionId,
    round: u64,
    subscription: Subscription,
}

impl Index {
    /// An empty index. The seed guards the hash tables against chosen keys; it comes from outside because the core
    /// draws no random numbers.
    pub fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self {
            projects: HashMap::with_hasher(hasher.clone()),
            members: Vec::new(),
            len: 0,
            round: 0,
            fingerprints: Fingerprints::new(hasher.clone()),
            hasher,
        }
    }

    /// Takes in a connection that has no subscriptions yet.
    pub fn enter(&mut self, connection: ConnectionId, project: &ProjectId, roles: &[Role]) {
        let slot = connection.slot() as usize;
        if let Some(Some(former)) = self.members.get(slot) {
            self.leave(former.id);
        }
        if self.members.len() <= slot {
            self.members.resize_with(slot + 1, || None);
        }
        let hasher = self.hasher.clone();
        let home = self.projects.entry(project.clone()).or_insert_with(|| Project::new(hasher));
        home.connections += 1;
        if let Some(place) = self.members.get_mut(slot) {
            *place = Some(Member {
                id: connection,
                project: project.clone(),
                roles: home.roles.hold(roles),
                entries: SmallVec::new(),
                round: 0,
                result: 0,
            });
        }
    }

    /// How many connections each project has.
    pub fn connections(&self) -> BTreeMap<ProjectId, u64> {
        #[expect(clippy::disallowed_methods, reason = "they are put in order")]
        let projects = self.projects.iter();
        projects.map(|(id, project)| (id.clone(), project.connections as u64)).collect()
    }

    /// How many subscriptions there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody listens to anything.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets a connection and all its subscriptions.
    pub fn leave(&mut self, connection: ConnectionId) {
        if self.member(connection).is_none() {
            return;
        }
        let Some(member) = self.members.get_mut(connection.slot() as usize).and_then(Option::take) else {
            return;
        };
        let Some(home) = self.projects.get_mut(&member.project) else { return };
        self.len -= member.entries.len();
        for number in &member.entries {
            home.remove(*number, &member.roles, &self.fingerprints);
        }
        home.roles.release(&member.roles);
        home.connections -= 1;
        if home.connections == 0 {
            self.projects.remove(&member.project);
        }
    }

    /// Replaces a connection's roles; its subscriptions stay.
    pub fn set_roles(&mut self, connection: ConnectionId, roles: &[Role]) {
        let Some(member) = member_mut(&mut self.members, connection) else { return };
        let Some(home) = self.projects.get_mut(&member.project) else { return };
        let new = home.roles.hold(roles);
        for number in &member.entries {
            let Some(Some(entry)) = home.entries.get(*number as usize) else { continue };
            for channel in &entry.subscription.channels {
                if let Some(audience) = home.channels.get_mut(channel) {
                    audience.swap_roles(*number, &member.roles, &new);
                }
            }
        }
        home.roles.release(&member.roles);
        member.roles = new;
    }

    /// Creates the subscription, or replaces the one with the same id. Without channels it only removes that one.
    pub fn subscribe(&mut self, connection: ConnectionId, mut subscription: Subscription) {
        self.unsubscribe(connection, &subscription.id);
        if subscription.channels.is_empty() {
            return;
        }
        let Some(member) = member_mut(&mut self.members, connection) else { return };
        let Some(home) = self.projects.get_mut(&member.project) else { return };
        subscription.channels = home.own_names(subscription.channels, self.hasher.clone());
        let (names, filter) = (subscription.channels.clone(), subscription.filter.clone());
        let number = home.add(Entry { connection, round: 0, subscription });
        member.entries.push(number);
        self.len += 1;
        let roles = member.roles.clone();
        let (entries, members) = (&home.entries, &self.members);
        let traits = Traits { roles: &roles, filter: &filter };
        for name in names {
            home.channels.entry(name).or_default().insert(number, traits, &self.fingerprints, |number| {
                let entry = entries.get(number as usize)?.as_ref()?;
                let member = members.get(entry.connection.slot() as usize)?.as_ref()?;
                Some(Traits { roles: &member.roles, filter: &entry.subscription.filter })
            });
        }
    }

    /// Removes a subscription. Whether there was one.
    pub fn unsubscribe(&mut self, connection: ConnectionId, id: &SubscriptionId) -> bool {
        let Some(member) = member_mut(&mut self.members, connection) else { return false };
        let Some(home) = self.projects.get_mut(&member.project) else { return false };
        let place = member.entries.iter().position(|number| {
            matches!(home.entries.get(*number as usize), Some(Some(entry)) if entry.subscription.id == *id)
        });
        let Some(place) = place else { return false };
        let number = member.entries.swap_remove(place);
        self.len -= 1;
        home.remove(number, &member.roles, &self.fingerprints);
        true
    }

    /// What the connection subscribes to, in no particular order.
    pub fn subscriptions(&self, connection: ConnectionId) -> impl Iterator<Item = &Subscription> {
        let member = self.member(connection);
        let home = member.and_then(|member| self.projects.get(&member.project));
        member
            .map_or(&[][..], |member| member.entries.as_slice())
            .iter()
            .filter_map(move |number| home?.entries.get(*number as usize)?.as_ref())
            .map(|entry| &entry.subscription)
    }

    /// Which subscriptions of one connection match an event that happened at this mark.
    pub(crate) fn matching(
        &self,
        connection: ConnectionId,
        event: &Event,
        mark: Mark,
    ) -> SmallVec<[SubscriptionId; 1]> {
        let may_see = event.is_for_all() || self.roles(connection).any(|role| event.roles.contains(role));
        if !may_see || self.project(connection) != Some(&event.project) {
            return SmallVec::new();
        }
        self.subscriptions(connection)
            .filter(|held| {
                held.start < mark && held.channels.iter().any(|name| event.channels.contains(name))
            })
            .filter(|held| held.filter.matches(&event.payload))
            .map(|held| held.id.clone())
            .collect()
    }

    /// Whether the connection subscribes to one of the event's channels, whatever its roles and queries.
    pub(crate) fn listens_to(&self, connection: ConnectionId, event: &Event) -> bool {
        let member = self.member(connection).filter(|member| member.project == event.project);
        let Some(member) = member else { return false };
        let Some(home) = self.projects.get(&member.project) else { return false };
        let audiences = event.channels.iter().filter_map(|channel| home.channels.get(channel));
        audiences.into_iter().any(|audience| member.entries.iter().any(|number| audience.contains(*number)))
    }

    /// Whether some connection to the project holds a role.
    pub(crate) fn is_held(&self, project: &ProjectId, role: &Role) -> bool {
        self.projects.get(project).is_some_and(|home| home.roles.find(role).is_some())
    }

    /// The same of any project.
    pub(crate) fn is_held_anywhere(&self, role: &Role) -> bool {
        self.projects.values().any(|home| home.roles.find(role).is_some())
    }

    /// The connection's roles, `any` not among them.
    pub fn roles(&self, connection: ConnectionId) -> impl Iterator<Item = &Role> {
        let member = self.member(connection);
        let home = member.and_then(|member| self.projects.get(&member.project));
        member
            .map_or(&[][..], |member| member.roles.as_slice())
            .iter()
            .filter_map(move |term| home?.roles.role(*term))
    }

    /// The project that the connection is in.
    pub fn project(&self, connection: ConnectionId) -> Option<&ProjectId> {
        self.member(connection).map(|member| &member.project)
    }

    /// Everybody the event is for.
    pub fn receivers(&mut self, event: &Event) -> Vec<Receiver> {
        let mut found = Vec::new();
        let Some(home) = self.projects.get_mut(&event.project) else { return found };
        let for_all = event.is_for_all();
        let wanted: SmallVec<[Term; 8]> = match for_all {
            true => SmallVec::new(),
            false => event.roles.iter().filter_map(|role| home.roles.find(role)).collect(),
        };
        if !for_all && wanted.is_empty() {
            return found;
        }
        let roles = (!for_all).then_some(wanted.as_slice());
        self.round += 1;
        let mut search = Search {
            event,
            round: self.round,
            entries: &mut home.entries,
            members: &mut self.members,
            found: &mut found,
        };
        for channel in &event.channels {
            let Some(audience) = home.channels.get(channel) else { continue };
            let candidates = audience.candidates(roles, &event.payload, &self.fingerprints);
            for list in &candidates.lists {
                search.collect(list, if candidates.by_role { None } else { roles });
            }
        }
        found
    }

    fn member(&self, connection: ConnectionId) -> Option<&Member> {
        self.members.get(connection.slot() as usize)?.as_ref().filter(|member| member.id == connection)
    }
}

fn member_mut(members: &mut [Option<Member>], connection: ConnectionId) -> Option<&mut Member> {
    members.get_mut(connection.slot() as usize)?.as_mut().filter(|member| member.id == connection)
}

impl Project {
    fn new(hasher: FixedState) -> Self {
        Self {
            connections: 0,
            channels: HashMap::with_hasher(hasher.clone()),
            roles: Terms::new(hasher),
            entries: Vec::new(),
            free: Vec::new(),
        }
    }

    /// The same channels without duplicates, spelled by the table's own copies where it has them, so that a million
    /// subscribers of a channel share one text.
    fn own_names(&self, channels: SmallVec<[Channel; 1]>, hasher: FixedState) -> SmallVec<[Channel; 1]> {
        let mut seen = HashSet::with_hasher(hasher);
        let several = channels.len() > 1;
        channels
            .into_iter()
            .filter(|channel| !several || seen.insert(channel.clone()))
            .map(|channel| self.channels.get_key_value(&channel).map_or(channel, |(name, _)| name.clone()))
            .collect()
    }

    fn add(&mut self, entry: Entry) -> u32 {
        match self.free.pop() {
            Some(number) => {
                if let Some(place) = self.entries.get_mut(number as usize) {
                    *place = Some(entry);
                }
                number
            }
            None => {
                self.entries.push(Some(entry));
                self.entries.len() as u32 - 1
            }
        }
    }

    /// Takes a subscription off its channels and frees its number.
    fn remove(&mut self, number: u32, roles: &[Term], fingerprints: &Fingerprints) {
        let Some(entry) = self.entries.get_mut(number as usize).and_then(Option::take) else { return };
        self.free.push(number);
        let traits = Traits { roles, filter: &entry.subscription.filter };
        for channel in &entry.subscription.channels {
            let Some(audience) = self.channels.get_mut(channel) else { continue };
            audience.remove(number, traits, fingerprints);
            if audience.is_empty() {
                self.channels.remove(channel);
            }
        }
    }
}

/// One event on its way through the candidates.
struct Search<'a> {
    event: &'a Event,
    round: u64,
    entries: &'a mut [Option<Entry>],
    members: &'a mut [Option<Member>],
    found: &'a mut Vec<Receiver>,
}

impl Search<'_> {
    /// Takes the candidates that the event has not met before and whose queries hold. `wanted` are the event's roles
    /// where the candidates have not been chosen by role.
    fn collect(&mut self, candidates: &[u32], wanted: Option<&[Term]>) {
        for number in candidates {
            let Some(Some(entry)) = self.entries.get_mut(*number as usize) else { continue };
            if entry.round == self.round {
                continue;
            }
            let Some(member) = member_mut(self.members, entry.connection) else { continue };
            if wanted.is_some_and(|wanted| !member.roles.iter().any(|role| wanted.contains(role))) {
                continue;
            }
            entry.round = self.round;
            if !entry.subscription.filter.matches(&self.event.payload) {
                continue;
            }
            let id = entry.subscription.id.clone();
            match self.found.get_mut(member.result) {
                Some(receiver) if member.round == self.round => receiver.subscriptions.push(id),
                Some(_) | None => {
                    member.round = self.round;
                    member.result = self.found.len();
                    let subscriptions = SmallVec::from_buf([id]);
                    self.found.push(Receiver { connection: entry.connection, subscriptions });
                }
            }
        }
    }
}
