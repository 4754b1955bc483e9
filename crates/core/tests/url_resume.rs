//! Clients that name their channels in the URL, and so cannot say who they were, when they are cut off and come back.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may panic, and its clock must begin somewhere"
)]

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use realtime_core::channel::Channel;
use realtime_core::command::{Command, Hello};
use realtime_core::effect::{Admission, Effect, Owner};
use realtime_core::engine::Engine;
use realtime_core::event::{Event, Spellings};
use realtime_core::id::{ConnectionId, SubscriptionId};
use realtime_core::identity::{Account, Credential, Credentials, Identity};
use realtime_core::leave::Leave;
use realtime_core::notice::Outgoing;
use realtime_core::project::Project;
use realtime_core::query::Payload;
use realtime_core::replay::{Parked, Place};
use realtime_core::role::Role;
use realtime_core::secret::Secret;
use realtime_core::settings::Settings;

struct World {
    engine: Engine,
    now: Instant,
    memory: BTreeMap<(Owner, SubscriptionId), Parked>,
    /// Look-ups of where somebody stood that are not answered yet.
    asked: Vec<(ConnectionId, Owner, Vec<SubscriptionId>)>,
    published: usize,
}

impl World {
    fn new(url_window: Duration) -> Self {
        let settings = Settings { url_window, ..Settings::default() };
        let now = Instant::now();
        let mut engine = Engine::new(settings, 1);
        engine.begin(now);
        Self {
            engine,
            now: now + Duration::from_secs(1),
            memory: BTreeMap::new(),
            asked: vec![],
            published: 0,
        }
    }

    /// Connects without an answer to where it stood.
    fn ask(&mut self, user: Option<&str>, origin: &str, channels: &[&str]) -> ConnectionId {
        let hello = Hello {
            project: "p".into(),
            credentials: Credentials::default(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            path: String::new(),
            origin: origin.to_owned(),
            referer: String::new(),
            channels: channels.iter().map(Channel::new).collect(),
            queries: HashMap::new(),
            since: None,
            wants_gaps: false,
        };
        let id = self.engine.open(hello, self.now);
        let project = Project {
            id: "p".into(),
            sequence: "1".to_owned(),
            database: String::new(),
            team: None,
            region: "default".to_owned(),
            realtime_enabled: true,
            platforms: Vec::new(),
        };
        let admission = Admission { project: Arc::new(project), identity: identity(user), owns_origin: true };
        self.engine.identified(id, Ok(admission), self.now);
        self.carry_out();
        id
    }

    fn connect(&mut self, user: Option<&str>, origin: &str, channels: &[&str]) -> ConnectionId {
        let id = self.ask(user, origin, channels);
        self.answer();
        id
    }

    fn answer(&mut self) {
        for (id, owner, wanted) in std::mem::take(&mut self.asked) {
            let found = wanted.into_iter().filter_map(|wanted| {
                let parked = self.memory.get(&(owner.clone(), wanted.clone()))?.clone();
                Some((wanted, parked))
            });
            self.engine.recalled(id, found.collect());
        }
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            match effect {
                Effect::Recall { connection, owner, subscriptions } => {
                    self.asked.push((connection, owner, subscriptions));
                }
                Effect::Remember { owner, places, .. } => {
                    for (id, place) in places {
                        let Some(Place { position, at }) = place else { panic!("nothing is forgotten") };
                        let parked = Parked { position, at: at.unwrap_or(self.now) };
                        self.memory.insert((owner.clone(), id), parked);
                    }
                }
                Effect::Wake(_)
                | Effect::Identify { .. }
                | Effect::Authenticate { .. }
                | Effect::Present { .. }
                | Effect::FindOwner { .. }
                | Effect::Absent { .. }
                | Effect::Refresh { .. } => {}
            }
        }
    }

    fn publish(&mut self, channel: &str, role: &str) {
        let event = Event {
            id: format!("e{}", self.published).as_str().into(),
            project: "p".into(),
            channels: vec![Channel::new(channel)],
            roles: vec![Role::new(role)],
            name: None,
            user: None,
            data: Bytes::from_static(b"{}"),
            payload: Payload::new(Bytes::from_static(b"{}")),
            roles_changed: None,
            spellings: Spellings::default(),
        };
        self.published += 1;
        self.now += Duration::from_millis(10);
        self.engine.publish(&Arc::new(event), self.now);
        self.carry_out();
    }

    /// Takes what waits and has it arrive: the numbers of the events.
    fn read(&mut self, id: ConnectionId) -> Vec<String> {
        let mut got = Vec::new();
        while let Some(outgoing) = self.engine.poll_outgoing(id) {
            if let Outgoing::Event(delivery) = outgoing {
                got.push(delivery.event.id.as_str().to_owned());
            }
        }
        let receipt = self.engine.receipt(id);
        self.engine.acknowledge(id, receipt, self.now);
        self.carry_out();
        got
    }

    fn cut(&mut self, id: ConnectionId) {
        self.engine.closed(id);
        self.carry_out();
    }
}

fn identity(user: Option<&str>) -> Identity {
    let account = |user: &str| Account {
        id: user.into(),
        email_verified: true,
        phone_verified: false,
        memberships: vec![],
        labels: vec![],
        profile: Bytes::from_static(b"{}"),
    };
    Identity { account: user.map(|user| Arc::new(account(user))), ..Identity::guest() }
}

const ORIGIN: &str = "https://app.test";
const LONG: Duration = Duration::from_secs(10);

#[test]
fn who_asks_for_the_same_again_gets_what_it_missed_before_anything_new() {
    let mut world = World::new(LONG);
    let first = world.connect(Some("ann"), ORIGIN, &["a", "b"]);
    world.publish("a", "any");
    assert_eq!(world.read(first), ["e0"]);
    world.cut(first);
    world.publish("b", "user:ann");
    world.publish("b", "user:bob");
    let second = world.ask(Some("ann"), ORIGIN, &["b", "a"]);
    world.publish("a", "any");
    assert_eq!(world.read(second), [""; 0], "nothing comes before it is known where it stood");
    world.answer();
    assert_eq!(world.read(second), ["e1", "e3"]);
    world.publish("a", "any");
    assert_eq!(world.read(second), ["e4"]);
}

#[test]
fn whoever_asks_for_something_else_or_is_somebody_else_or_takes_leave_begins_anew() {
    let mut world = World::new(LONG);
    let first = world.connect(Some("ann"), ORIGIN, &["a"]);
    world.cut(first);
    let guest = world.connect(None, ORIGIN, &["b"]);
    world.cut(guest);
    let left = world.connect(Some("bob"), ORIGIN, &["a"]);
    world.engine.took_leave(left, Leave::ForGood);
    world.cut(left);
    world.publish("a", "any");
    world.publish("b", "any");
    for (user, origin, channel) in [
        (Some("ann"), ORIGIN, "b"),
        (Some("ann"), "https://other.test", "a"),
        (Some("bob"), ORIGIN, "a"),
        (None, ORIGIN, "b"),
    ] {
        let other = world.connect(user, origin, &[channel]);
        assert_eq!(world.read(other), [""; 0], "{user:?} {origin} {channel}");
    }
    let same = world.connect(Some("ann"), ORIGIN, &["a"]);
    assert_eq!(world.read(same), ["e0"]);
}

#[test]
fn who_says_in_a_message_who_it_is_gets_what_it_missed_then() {
    let mut world = World::new(LONG);
    let first = world.connect(Some("ann"), ORIGIN, &["a"]);
    world.cut(first);
    world.publish("a", "user:ann");
    let second = world.connect(None, ORIGIN, &["a"]);
    assert_eq!(world.read(second), [""; 0]);
    let session = Command::Authenticate(Credential::Session(Secret::new("s")));
    world.engine.receive(second, Ok(session), world.now);
    world.engine.authenticated(second, Ok(Some(identity(Some("ann")))), world.now);
    world.carry_out();
    world.answer();
    assert_eq!(world.read(second), ["e0"]);
}

#[test]
fn without_the_setting_nobody_is_taken_for_somebody_else() {
    let mut world = World::new(Duration::ZERO);
    let first = world.connect(Some("ann"), ORIGIN, &["a"]);
    world.cut(first);
    assert!(world.memory.is_empty());
    world.publish("a", "any");
    let second = world.connect(Some("ann"), ORIGIN, &["a"]);
    assert_eq!(world.read(second), [""; 0]);
}

#[test]
fn an_event_that_comes_while_it_is_looked_up_is_not_lost_if_nothing_is_known() {
    let mut world = World::new(LONG);
    let id = world.ask(Some("ann"), ORIGIN, &["a"]);
    world.publish("a", "any");
    world.answer();
    assert_eq!(world.read(id), ["e0"]);
    assert_eq!(world.asked.len(), 0);
    world.cut(id);
    assert_eq!(world.memory.len(), 1);
    let (_, parked) = world.memory.iter().next().unwrap();
    assert!(parked.at <= world.now);
}
