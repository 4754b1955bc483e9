//! The naive truth: what was published, who held which role when, and who was connected where. No engine is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::workload::{Audience, Interest, Kind, Setting};

/// A node's process; whoever starts after it is another one.
pub type NodeId = usize;
/// An engine of a process.
pub type ShardId = (NodeId, usize);
/// A client's link to a node; after a drop there is another one.
pub type LinkId = usize;
/// An event, by when it was first published.
pub type Number = usize;
/// A user of a project.
pub type User = (usize, usize);

/// What went into the servers and came out of them.
#[derive(Debug)]
pub enum Seen<'a> {
    /// The bus took an event.
    Published(Number),
    /// An engine was given an event from the bus.
    Took(ShardId, Number),
    /// An engine was told that events may be missing.
    Gapped(ShardId),
    /// A client's request has reached a node.
    Opened(LinkId),
    /// A client read something off its link.
    Heard(LinkId, &'a Heard),
    /// A client's answer to a Ping has reached its node.
    Acknowledged(LinkId),
    /// A client has nothing to do with a link any more.
    Left(LinkId),
    /// An application was told something by its client.
    Told(usize, &'a Told),
    /// A link lost what was under way.
    Cut(LinkId),
    /// A client reads nothing until then.
    Stalled(LinkId, Instant),
    /// It reads again.
    Resumed(LinkId),
    /// A node is asked to stop, and closes its connections until then.
    Drains(NodeId, Instant),
    /// The memory or the directory is out of reach until then, or a node is dead.
    Trouble(Instant),
    /// What an engine keeps for those who are away, in bytes.
    Keeps(ShardId, u64),
}

/// What a client reads off its link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// `connected`, and whether what was missed follows, if it was asked for.
    Connected(Option<bool>),
    /// The answer to `subscribe`: ids, and whether what was missed follows, if the server knew them.
    Subscribed(Vec<(String, Option<bool>)>),
    /// An event and the subscriptions that it is for.
    Event(Number, Vec<String>),
    /// Events may be missing.
    Gap,
    /// Something was refused.
    Refused(i64),
    /// A Ping.
    Ping,
    /// The server closes, with this code.
    Close(u16),
    /// Anything else.
    Other,
}

/// What an application learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// From now on nothing is missed.
    Listens(String),
    /// All that was missed has come or will come.
    Recovered(String),
    /// Nobody vouches for what was before now.
    Doubt(String),
    /// An event.
    Event(String, Number),
    /// It listens no longer; nothing is owed any more.
    Ended(String),
    /// The server sends it away for good.
    Stopped,
}

/// Something that was published.
#[derive(Debug, Clone)]
pub struct Published {
    /// When the bus took it.
    pub at: Instant,
    /// Where.
    pub project: usize,
    /// On which channels.
    pub channels: Vec<&'static str>,
    /// For whom.
    pub audience: Audience,
    /// The number in its payload.
    pub number: u64,
    /// What it is about.
    pub subject: String,
    /// Whose roles had changed, and when.
    pub changes: Option<(User, Instant)>,
}

/// What one engine was given, in order.
#[derive(Debug, Default)]
pub struct Feed {
    /// Events, and when.
    pub takes: Vec<(Number, Instant)>,
    first: BTreeMap<Number, usize>,
    /// After how many events, and when, it was told that some may be missing.
    pub gaps: Vec<(usize, Instant)>,
}

impl Feed {
    /// The place of an event, the first if it came more than once.
    pub fn place(&self, event: Number) -> Option<usize> {
        self.first.get(&event).copied()
    }

    /// Whether an event came more than once.
    pub fn has_twice(&self, event: Number) -> bool {
        let last = self.takes.iter().rposition(|(taken, _)| *taken == event);
        last != self.place(event)
    }

    /// When it was given an event, the last time if it came more than once.
    pub fn taken_at(&self, event: Number) -> Option<Instant> {
        self.takes.iter().rev().find(|(taken, _)| *taken == event).map(|(_, at)| *at)
    }
}

/// A link as it was.
#[derive(Debug, Clone)]
pub struct Visit {
    /// Whose.
    pub client: usize,
    /// To which engine.
    pub shard: ShardId,
    /// When the request reached it.
    pub opened_at: Instant,
    /// When the client had done with it.
    pub left_at: Option<Instant>,
    /// When its engine had done with it.
    pub ended_at: Option<Instant>,
    /// When it last lost what was under way.
    pub cut_at: Option<Instant>,
    /// Until when the client does not read.
    pub stalled_until: Option<Instant>,
}

/// Everything that is known to have happened.
#[derive(Debug)]
pub struct Model {
    /// The settings and who listens.
    pub setting: Setting,
    /// What time it is.
    pub now: Instant,
    /// All that was published.
    pub events: Vec<Published>,
    /// What each engine was given.
    pub feeds: BTreeMap<ShardId, Feed>,
    /// Every link that there was.
    pub visits: Vec<Visit>,
    /// What each subscription of each client is for, by its name.
    pub names: BTreeMap<(usize, String), usize>,
    /// Until when something beside links and clients is out of order.
    pub trouble_until: Option<Instant>,
    /// Subscriptions of which a node could not share where they stood, by client and name: others may take them for new.
    pub unshared: BTreeMap<(usize, String), NodeId>,
    /// Those that were last taken for new by another node for that reason, and when: that answer may not have come.
    pub mistaken: BTreeMap<(usize, String), Instant>,
    roles: BTreeMap<User, Vec<(Instant, BTreeSet<&'static str>)>>,
}

impl Model {
    /// Nothing has happened.
    pub fn new(setting: Setting, now: Instant) -> Self {
        Self {
            setting,
            now,
            events: Vec::new(),
            feeds: BTreeMap::new(),
            visits: Vec::new(),
            names: BTreeMap::new(),
            trouble_until: None,
            unshared: BTreeMap::new(),
            mistaken: BTreeMap::new(),
            roles: BTreeMap::new(),
        }
    }

    /// Something is about to be published.
    pub fn publish(&mut self, event: Published) -> Number {
        self.events.push(event);
        self.events.len() - 1
    }

    /// A user gains or loses a role.
    pub fn grant(&mut self, user: User, role: &'static str, holds: bool, now: Instant) {
        let history = self.roles.entry(user).or_default();
        let mut roles = history.last().map(|(_, roles)| roles.clone()).unwrap_or_default();
        if holds {
            roles.insert(role);
        } else {
            roles.remove(role);
        }
        history.push((now, roles));
    }

    /// The roles that a user holds now, of those that come and go.
    pub fn granted(&self, user: User) -> BTreeSet<&'static str> {
        let history = self.roles.get(&user).and_then(|history| history.last());
        history.map(|(_, roles)| roles.clone()).unwrap_or_default()
    }

    /// Takes down what happened.
    pub fn note(&mut self, seen: &Seen<'_>, now: Instant) {
        self.now = now;
        match seen {
            Seen::Took(shard, event) => {
                let feed = self.feeds.entry(*shard).or_default();
                feed.first.entry(*event).or_insert(feed.takes.len());
                feed.takes.push((*event, now));
            }
            Seen::Gapped(shard) => {
                let feed = self.feeds.entry(*shard).or_default();
                feed.gaps.push((feed.takes.len(), now));
            }
            Seen::Left(link) => self.visit_mut(*link, |visit| visit.left_at = Some(now)),
            Seen::Cut(link) => self.visit_mut(*link, |visit| visit.cut_at = Some(now)),
            Seen::Stalled(link, until) => {
                self.visit_mut(*link, |visit| visit.stalled_until = Some(*until));
            }
            Seen::Resumed(link) => self.visit_mut(*link, |visit| visit.stalled_until = Some(now)),
            Seen::Trouble(until) => self.trouble_until = self.trouble_until.max(Some(*until)),
            // The client knows then that nobody vouches for what was before; where it stands since may be as little known.
            Seen::Told(client, Told::Listens(name) | Told::Doubt(name)) => {
                let here = self.visits.iter().rev().find(|visit| visit.client == *client);
                let here = here.map(|visit| visit.shard.0);
                let known = (*client, name.clone());
                self.mistaken.remove(&known);
                if self.unshared.get(&known).copied() != here {
                    self.unshared.remove(&known);
                }
            }
            Seen::Told(client, Told::Ended(name)) => {
                let known = (*client, name.clone());
                self.unshared.remove(&known);
                self.mistaken.remove(&known);
            }
            Seen::Published(_)
            | Seen::Opened(_)
            | Seen::Heard(..)
            | Seen::Acknowledged(_)
            | Seen::Told(..)
            | Seen::Drains(..)
            | Seen::Keeps(..) => {}
        }
    }

    /// A node that asks where a subscription stands learns that nobody knows it, and takes it for new.
    pub fn unknown(&mut self, node: NodeId, name: &str) {
        let known = self.unshared.iter().find(|((_, known), there)| known == name && **there != node);
        if let Some((known, _)) = known {
            self.mistaken.insert(known.clone(), self.now);
        }
    }

    /// A subscription that was taken for new is answered: from now on it gets what happens.
    pub fn answered(&mut self, name: &str) {
        for (_, at) in self.mistaken.iter_mut().filter(|((_, known), _)| known == name) {
            *at = self.now;
        }
    }

    /// A node has shared where a subscription stands, or could not.
    pub fn shared(&mut self, node: NodeId, name: &str, is_shared: bool) {
        let known = self.names.keys().find(|(_, known)| known == name);
        let Some(known) = known.cloned() else { return };
        if !is_shared {
            self.unshared.insert(known, node);
        } else if self.unshared.get(&known) == Some(&node) {
            self.unshared.remove(&known);
        }
    }

    fn visit_mut(&mut self, link: LinkId, change: impl FnOnce(&mut Visit)) {
        if let Some(visit) = self.visits.get_mut(link) {
            change(visit);
        }
    }

    /// What a subscription of a client is for.
    pub fn interest(&self, client: usize, name: &str) -> Option<&Interest> {
        let number = self.names.get(&(client, name.to_owned()))?;
        self.setting.clients.get(client)?.interests.get(*number)
    }

    /// Whether a client says who it is only after it has come in.
    pub fn is_guest_at_first(&self, client: usize) -> bool {
        self.setting.clients.get(client).is_some_and(|plan| plan.authenticates)
    }

    /// Whether a subscription is about an event.
    pub fn concerns(&self, client: usize, interest: &Interest, event: Number) -> bool {
        let (Some(client), Some(event)) = (self.setting.clients.get(client), self.events.get(event)) else {
            return false;
        };
        client.project == event.project
            && interest.channels.iter().any(|channel| event.channels.contains(channel))
            && interest.above.is_none_or(|above| event.number > above)
    }

    /// Whether a client may see an event, in each of the stretches between changes of its roles in this time.
    fn verdicts(&self, client: usize, event: Number, from: Instant, to: Instant) -> Vec<bool> {
        let (Some(plan), Some(event)) = (self.setting.clients.get(client), self.events.get(event)) else {
            return Vec::new();
        };
        let Some(user) = plan.user else {
            return vec![matches!(event.audience, Audience::Any | Audience::Guests)];
        };
        let may = |roles: &BTreeSet<&'static str>| match event.audience {
            Audience::Any | Audience::Users => true,
            Audience::Guests => false,
            Audience::User(of) => of == user,
            Audience::Granted(role) => roles.contains(role),
        };
        let nothing = BTreeSet::new();
        let history = self.roles.get(&(plan.project, user)).map(Vec::as_slice).unwrap_or_default();
        let before = history.iter().rev().find(|(at, _)| *at <= from).map_or(&nothing, |(_, roles)| roles);
        let during = history.iter().filter(|(at, _)| *at > from && *at <= to).map(|(_, roles)| roles);
        std::iter::once(before).chain(during).map(may).collect()
    }

    /// Whether there was a moment in this time at which a client might see an event.
    pub fn might_see(&self, client: usize, event: Number, from: Instant, to: Instant) -> bool {
        self.verdicts(client, event, from, to).contains(&true)
    }

    /// Since when the roles were read at the latest that an engine goes by for an event on a link: when the client came,
    /// or when the last change became true of which the engine had heard before the event.
    pub fn roles_since(&self, visit: &Visit, event: Number) -> Instant {
        let Some(user) = self.user_of(visit.client) else { return visit.opened_at };
        let Some(feed) = self.feeds.get(&visit.shard) else { return visit.opened_at };
        let before = feed.place(event).and_then(|place| feed.takes.get(..place)).unwrap_or_default();
        let changes = before.iter().filter_map(|(earlier, _)| self.events.get(*earlier)?.changes);
        changes.filter(|(whose, _)| *whose == user).map(|(_, at)| at).fold(visit.opened_at, Instant::max)
    }

    /// Whether a client had to be given an event, whichever of its links since it happened was to bring it, and however
    /// late: it might see it by any roles that could have been gone by.
    pub fn is_entitled(&self, client: usize, event: Number) -> bool {
        let Some(published) = self.events.get(event) else { return false };
        let since = published.at.checked_sub(Duration::from_secs(5)).unwrap_or(published.at);
        let visits = self.visits.iter().filter(|visit| visit.client == client);
        let visits = visits.filter(|visit| visit.left_at.is_none_or(|left| left >= since));
        let from = visits.map(|visit| self.roles_since(visit, event)).min();
        from.is_some_and(|from| !self.verdicts(client, event, from, self.now).contains(&false))
    }

    /// Who a client is, unless a guest.
    pub fn user_of(&self, client: usize) -> Option<User> {
        let plan = self.setting.clients.get(client)?;
        Some((plan.project, plan.user?))
    }

    /// The sort of a client.
    pub fn kind_of(&self, client: usize) -> Kind {
        self.setting.clients.get(client).map_or(Kind::Url, |plan| plan.kind)
    }

    /// An event's place in what the engine behind a link was given, counted from one on; later copies of an event that
    /// came more than once count where the first is not after `last`.
    pub fn place_after(&self, link: LinkId, event: Number, last: usize) -> Option<usize> {
        let feed = self.feeds.get(&self.visits.get(link)?.shard)?;
        let first = feed.place(event)? + 1;
        if first > last {
            return Some(first);
        }
        let later = feed.takes.get(last..)?.iter().position(|(other, _)| *other == event)?;
        Some(last + later + 1)
    }
}
