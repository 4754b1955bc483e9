//! The gate: who receives this event.
//!
//! *Invariant:* the cost of an event grows with the subscriptions it matches, not with those that exist. Of a role under
//! which few subscribe, an event looks at those few. For other roles and for everybody it looks up its channels, and on a
//! crowded channel its roles or the values that queries ask for, whichever leaves fewer. Every connection comes out once,
//! with all its matching subscriptions; queries are asked last, of candidates only.

mod audience;
mod postings;
mod term;
#[cfg(test)]
mod tests;
mod values;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hint::black_box;

use foldhash::quality::FixedState;
use smallvec::SmallVec;

use self::audience::{Audience, Traits};
use self::term::{Few, Term, Terms};
use crate::channel::Channel;
use crate::event::Event;
use crate::id::{ConnectionId, ProjectId, SubscriptionId};
use crate::query::{Filter, Fingerprints};
use crate::replay::Mark;
use crate::role::Role;

/// So many subscriptions are looked at one by one: of those on a channel, it costs less to compare roles than to keep them
/// split by role and by what their queries ask for; of those under a role, it costs less to compare channels than to look
/// the event's channels up.
///
/// Tests split early, so that small cases reach both ways.
const CROWD: usize = if cfg!(test) { 4 } else { 48 };

/// So many of a crowd are fetched from memory at the same time.
const AT_ONCE: usize = 32;
/// For so many receivers of a crowd there is room from the start, and is kept for the next one; it may turn out that few
/// of them are.
pub(crate) const ROOM: usize = 16 * 1_024;

/// Of a subscription to more channels than these, each of the event's channels is asked whether it is there, which does not
/// cost more for more of them.
const MANY_CHANNELS: usize = if cfg!(test) { 2 } else { 16 };

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
    /// By the same, where in an event's result a connection was last. Apart from the members, so that an event with many
    /// receivers does not need the memory of each.
    places: Vec<u32>,
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
}

/// A subscription and whose it is.
#[derive(Debug)]
struct Entry {
    connection: ConnectionId,
    /// The last event that met it.
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
            places: Vec::new(),
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
            self.places.resize(slot + 1, 0);
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
            for role in member.roles.iter().filter(|role| !new.contains(role)) {
                home.drop_role(*number, *role);
            }
            for role in new.iter().filter(|role| !member.roles.contains(role)) {
                home.take_role(*number, *role);
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
        for role in &member.roles {
            home.take_role(number, *role);
        }
        let (entries, roles, members) = (&home.entries, &home.roles, &self.members);
        for name in names {
            home.channels.entry(name).or_default().insert(number, &filter, &self.fingerprints, |number| {
                let entry = entries.get(number as usize)?.as_ref()?;
                let member = members.get(entry.connection.slot() as usize)?.as_ref()?;
                let crowded = member.roles.iter().copied().filter(|role| roles.is_crowd(*role));
                Some(Traits { crowded: crowded.collect(), filter: &entry.subscription.filter })
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

    /// Finds everybody the event is for. They take the place of what the list holds, so that one list serves event after
    /// event.
    pub fn receivers(&mut self, event: &Event, found: &mut Vec<Receiver>) {
        found.clear();
        let Some(home) = self.projects.get_mut(&event.project) else { return };
        let for_all = event.is_for_all();
        let wanted: SmallVec<[(Term, Few<'_>); 4]> = match for_all {
            true => SmallVec::new(),
            false => event.roles.iter().filter_map(|role| home.roles.look_up(role)).collect(),
        };
        if !for_all && wanted.is_empty() {
            return;
        }
        self.round += 1;
        let mut search = Search {
            event,
            round: self.round,
            entries: &mut home.entries,
            members: &self.members,
            places: &mut self.places,
            channels: &home.channels,
            audiences: None,
            found,
        };
        let mut crowded: SmallVec<[Term; 8]> = SmallVec::new();
        for (role, few) in wanted {
            match few {
                Some(few) => search.collect_by_channel(few),
                None => crowded.push(role),
            }
        }
        if !for_all && crowded.is_empty() {
            return;
        }
        let roles = (!for_all).then_some(crowded.as_slice());
        for channel in &event.channels {
            let Some(audience) = home.channels.get(channel) else { continue };
            let candidates = audience.candidates(roles, &event.payload, &self.fingerprints);
            for list in &candidates.lists {
                search.collect(list, if candidates.by_role { None } else { roles });
            }
        }
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

    /// The subscription is found by this role as well.
    fn take_role(&mut self, number: u32, role: Term) {
        for joined in self.roles.join(role, number) {
            let Some(Some(entry)) = self.entries.get(joined as usize) else { continue };
            for channel in &entry.subscription.channels {
                if let Some(audience) = self.channels.get_mut(channel) {
                    audience.add_role(joined, role);
                }
            }
        }
    }

    /// It is not found by this role any more.
    fn drop_role(&mut self, number: u32, role: Term) {
        if self.roles.part(role, number) {
            return;
        }
        let Some(Some(entry)) = self.entries.get(number as usize) else { return };
        for channel in &entry.subscription.channels {
            if let Some(audience) = self.channels.get_mut(channel) {
                audience.remove_role(number, role);
            }
        }
    }

    /// Takes a subscription off its channels and frees its number.
    fn remove(&mut self, number: u32, roles: &[Term], fingerprints: &Fingerprints) {
        for role in roles {
            self.drop_role(number, *role);
        }
        let Some(entry) = self.entries.get_mut(number as usize).and_then(Option::take) else { return };
        self.free.push(number);
        for channel in &entry.subscription.channels {
            let Some(audience) = self.channels.get_mut(channel) else { continue };
            audience.remove(number, &entry.subscription.filter, fingerprints);
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
    members: &'a [Option<Member>],
    places: &'a mut [u32],
    channels: &'a HashMap<Channel, Audience, FixedState>,
    /// Everyone on each of the event's channels, once that was asked for.
    audiences: Option<Vec<&'a Audience>>,
    found: &'a mut Vec<Receiver>,
}

impl Search<'_> {
    /// Takes candidates on a channel of the event. `wanted` are the event's roles where they have not been chosen by role.
    fn collect(&mut self, candidates: &[u32], wanted: Option<&[Term]>) {
        let is_crowd = candidates.len() > CROWD;
        if is_crowd {
            self.found.reserve(candidates.len().saturating_sub(self.found.len()).min(ROOM));
        }
        for some in candidates.chunks(AT_ONCE) {
            if is_crowd {
                self.fetch(some);
            }
            self.collect_some(some, wanted);
        }
    }

    /// Reads a little of what these will be asked for. No cache holds a crowd, and what is read here does not depend on one
    /// another, so that the processor waits for the memory of all of them at the same time.
    fn fetch(&self, candidates: &[u32]) {
        let entries = candidates.iter().filter_map(|number| self.entries.get(*number as usize)?.as_ref());
        let slots: SmallVec<[usize; AT_ONCE]> =
            entries.map(|entry| entry.connection.slot() as usize).collect();
        for slot in slots {
            black_box(self.places.get(slot).copied());
        }
    }

    fn collect_some(&mut self, candidates: &[u32], wanted: Option<&[Term]>) {
        for number in candidates {
            let Some(Some(entry)) = self.entries.get_mut(*number as usize) else { continue };
            if entry.round == self.round {
                continue;
            }
            if let Some(wanted) = wanted {
                let member = self.members.get(entry.connection.slot() as usize).and_then(Option::as_ref);
                if !member.is_some_and(|member| member.roles.iter().any(|role| wanted.contains(role))) {
                    continue;
                }
            }
            meet(entry, self.round, self.event, self.places, self.found);
        }
    }

    /// Takes candidates under a role of the event that are on one of its channels.
    fn collect_by_channel(&mut self, candidates: &[u32]) {
        for number in candidates {
            // Read side by side, as those of a crowd are.
            if let Some(Some(entry)) = self.entries.get(*number as usize) {
                let name = entry.subscription.channels.last();
                black_box(name.and_then(|name| name.as_str().as_bytes().first().copied()));
            }
        }
        for number in candidates {
            let Some(Some(entry)) = self.entries.get_mut(*number as usize) else { continue };
            if entry.round == self.round {
                continue;
            }
            let names = &entry.subscription.channels;
            let is_on_channel = if names.len() <= MANY_CHANNELS {
                names.iter().any(|name| self.event.channels.contains(name))
            } else {
                let audiences = self.audiences.get_or_insert_with(|| {
                    self.event.channels.iter().filter_map(|name| self.channels.get(name)).collect()
                });
                audiences.iter().any(|audience| audience.contains(*number))
            };
            if is_on_channel {
                meet(entry, self.round, self.event, self.places, self.found);
            }
        }
    }
}

/// Takes a subscription that an event has not met before, if its queries hold.
#[inline]
fn meet(entry: &mut Entry, round: u64, event: &Event, places: &mut [u32], found: &mut Vec<Receiver>) {
    entry.round = round;
    if !entry.subscription.filter.matches(&event.payload) {
        return;
    }
    let id = entry.subscription.id.clone();
    let Some(place) = places.get_mut(entry.connection.slot() as usize) else { return };
    match found.get_mut(*place as usize) {
        Some(receiver) if receiver.connection == entry.connection => receiver.subscriptions.push(id),
        Some(_) | None => {
            *place = found.len() as u32;
            found.push(Receiver { connection: entry.connection, subscriptions: SmallVec::from_buf([id]) });
        }
    }
}
