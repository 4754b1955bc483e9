//! What an operator sees of an engine's connections, in time that the test makes up.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "a test's clock must begin somewhere")]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use realtime_core::channel::Channel;
use realtime_core::command::{Command, Hello, Subscribe};
use realtime_core::effect::Admission;
use realtime_core::engine::Engine;
use realtime_core::event::{Event, Spellings};
use realtime_core::id::{ConnectionId, ProjectId};
use realtime_core::identity::{Account, Credentials, Identity};
use realtime_core::notice::Outgoing;
use realtime_core::project::Project;
use realtime_core::query::{Filter, Limits, Payload};
use realtime_core::refusal::{Advice, Close};
use realtime_core::role::Role;
use realtime_core::settings::Settings;
use realtime_core::snapshot::{Phase, Snapshot, Sought};
use realtime_core::verdict::Verdict;

struct World {
    engine: Engine,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self { engine: Engine::new(Settings::default(), 7), now: Instant::now() }
    }

    fn open(&mut self, project: &str, channels: &[&str]) -> ConnectionId {
        let hello = Hello {
            project: project.into(),
            credentials: Credentials::default(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            path: "/v1/realtime".to_owned(),
            origin: String::new(),
            referer: String::new(),
            channels: channels.iter().map(Channel::new).collect(),
            queries: HashMap::new(),
            since: None,
            wants_gaps: false,
        };
        self.engine.open(hello, self.now)
    }

    fn connect(&mut self, project: &str, user: &str, channels: &[&str]) -> ConnectionId {
        let id = self.open(project, channels);
        let project = Project {
            id: project.into(),
            sequence: "1".to_owned(),
            database: String::new(),
            team: None,
            region: "default".to_owned(),
            realtime_enabled: true,
            platforms: Vec::new(),
        };
        let account = (!user.is_empty()).then(|| {
            Arc::new(Account {
                id: user.into(),
                email_verified: true,
                phone_verified: false,
                memberships: vec![],
                labels: vec![],
                profile: Bytes::from_static(b"{}"),
            })
        });
        let identity = Identity { account, ..Identity::guest() };
        let admission = Admission { project: Arc::new(project), identity, owns_origin: false };
        self.engine.identified(id, Ok(admission), self.now);
        while self.engine.poll_effect().is_some() {}
        while self.engine.poll_outgoing(id).is_some() {}
        id
    }

    fn subscribe(&mut self, id: ConnectionId, channel: &str, query: &str) {
        let filter = Filter::parse(&[query], &Limits::default()).unwrap();
        let item = Subscribe { id: None, channels: vec![Channel::new(channel)], filter, since: None };
        self.engine.receive(id, Ok(Command::Subscribe(vec![item])), self.now);
    }

    fn seen(&self, sought: &Sought) -> Vec<String> {
        let mut seen = Vec::new();
        let mut next = Some(0);
        while let Some(from) = next {
            let page = self.engine.snapshots(sought, from, 2);
            seen.extend(page.found.iter().map(name));
            next = page.next;
        }
        seen
    }
}

fn name(snapshot: &Snapshot) -> String {
    let user = snapshot.user.as_ref().map_or("guest", |user| user.as_str());
    format!("{user} {:?} {}", snapshot.phase, snapshot.subscriptions)
}

fn event(id: &str, project: &str, channel: &str, role: &str, payload: &'static str) -> Arc<Event> {
    Arc::new(Event {
        id: id.into(),
        project: project.into(),
        channels: vec![Channel::new(channel)],
        roles: vec![Role::new(role)],
        name: None,
        user: None,
        data: Bytes::from_static(b"{}"),
        payload: Payload::new(Bytes::from_static(payload.as_bytes())),
        roles_changed: None,
        spellings: Spellings::default(),
    })
}

#[test]
fn connections_are_found_by_project_user_and_channel_a_page_at_a_time() {
    let mut world = World::new();
    world.connect("p", "ann", &["documents"]);
    world.connect("p", "bob", &["documents", "files"]);
    world.connect("q", "ann", &["files"]);
    world.connect("p", "", &[]);
    world.open("p", &["documents"]);
    let all =
        ["ann Live 1", "bob Live 1", "ann Live 1", "guest Live 0", "guest Opening 0"].map(str::to_owned);
    assert_eq!(world.seen(&Sought::default()), all);
    let of_p = Sought { project: Some("p".into()), ..Sought::default() };
    assert_eq!(world.seen(&of_p), ["ann Live 1", "bob Live 1", "guest Live 0", "guest Opening 0"]);
    let of_ann = Sought { user: Some("ann".into()), ..of_p.clone() };
    assert_eq!(world.seen(&of_ann), ["ann Live 1"]);
    let files = Sought { channel: Some(Channel::new("files")), ..Sought::default() };
    assert_eq!(world.seen(&files), ["bob Live 1", "ann Live 1"]);
}

#[test]
fn a_search_that_finds_nothing_among_many_stops_now_and_then() {
    let mut world = World::new();
    for _ in 0..5_000 {
        world.open("p", &[]);
    }
    let sought = Sought { project: Some("q".into()), ..Sought::default() };
    let first = world.engine.snapshots(&sought, 0, 10);
    assert!(first.found.is_empty());
    let second = world.engine.snapshots(&sought, first.next.unwrap(), 10);
    assert_eq!((second.found.len(), second.next), (0, None));
    assert_eq!(world.engine.snapshots(&sought, u32::MAX, 10).next, None);
}

#[test]
fn a_connection_shows_what_waits_for_it_and_what_it_may_hear() {
    let mut world = World::new();
    let ann = world.connect("p", "ann", &["documents"]);
    world.engine.publish(&event("e", "p", "documents", "any", "{}"), world.now);
    let (snapshot, holdings) = world.engine.inspect(ann).unwrap();
    assert_eq!((snapshot.waiting_messages, snapshot.waiting_bytes), (1, 2));
    assert_eq!((snapshot.phase, snapshot.opened_at), (Phase::Live, world.now));
    assert!(holdings.roles.contains(&Role::new("user:ann")));
    assert_eq!(holdings.subscriptions.len(), 1);
    world.engine.closed(ann);
    assert_eq!(world.engine.inspect(ann), None);
}

#[test]
fn a_comparison_says_the_same_as_the_verdict_and_goes_on_where_it_stops() {
    let mut world = World::new();
    let ann = world.connect("p", "ann", &[]);
    world.subscribe(ann, "documents", r#"{"method":"equal","attribute":"a","values":[1]}"#);
    world.subscribe(ann, "files", r#"{"method":"isNull","attribute":"b","values":[]}"#);
    let mut delivered = 0;
    for project in ["p", "q"] {
        for channel in ["documents", "files", "others"] {
            for role in ["any", "user:ann", "user:bob"] {
                for payload in [r#"{"a":1}"#, r#"{"a":2,"b":null}"#, "{}"] {
                    let event = event("e", project, channel, role, payload);
                    let comparison = world.engine.compare(&event, ann).unwrap();
                    let is_delivered = matches!(world.engine.explain(&event, ann), Verdict::Delivered { .. });
                    assert_eq!(comparison.is_delivered(), is_delivered, "{event:?}");
                    assert_eq!(comparison.has_role(), role != "user:bob");
                    assert_eq!(comparison.same_project(), project == "p");
                    delivered += usize::from(is_delivered);
                }
            }
        }
    }
    assert_eq!(delivered, 4);
    let event = event("e", "q", "files", "user:bob", r#"{"b":3}"#);
    let comparison = world.engine.compare(&event, ann).unwrap();
    let files = comparison.subscriptions.iter().find(|compared| compared.has_channel).unwrap();
    assert_eq!(files.queries.first().unwrap().actual, Some(3.into()));
    assert!(!files.queries_hold);
}

#[test]
fn an_event_is_found_again_and_one_from_before_a_subscription_is_told_apart() {
    let mut world = World::new();
    let early = event("early", "p", "documents", "any", "{}");
    world.engine.begin(world.now);
    world.engine.publish(&early, world.now);
    world.now += Duration::from_secs(1);
    let ann = world.connect("p", "ann", &["documents"]);
    let late = event("late", "p", "documents", "any", "{}");
    world.engine.publish(&late, world.now);
    let project = ProjectId::from("p");
    for (event, in_time) in [(&early, Some(false)), (&late, Some(true))] {
        let found = world.engine.event(&project, &event.id).unwrap();
        assert!(Arc::ptr_eq(&found, event));
        let comparison = world.engine.compare(&found, ann).unwrap();
        assert_eq!(comparison.subscriptions.first().unwrap().in_time, in_time);
    }
    assert!(world.engine.event(&project, &"never".into()).is_none());
}

#[test]
fn an_operator_lets_a_user_go_and_says_whether_to_come_back() {
    let mut world = World::new();
    let (ann, bob) = (world.connect("p", "ann", &[]), world.connect("p", "bob", &[]));
    let of_ann = Sought { project: Some("p".into()), user: Some("ann".into()), ..Sought::default() };
    let advice = |world: &mut World, id| loop {
        if let Outgoing::Close(close) = world.engine.poll_outgoing(id).unwrap() {
            assert!(matches!(close, Close::Refused(_)));
            return close.advice();
        }
    };
    assert_eq!(world.engine.dismiss(&of_ann, false), 1);
    assert_eq!(advice(&mut world, ann), Advice::Stop);
    assert_eq!(world.engine.dismiss(&of_ann, false), 0);
    assert!(world.engine.dismiss_one(bob, true));
    assert_eq!(advice(&mut world, bob), Advice::Retry);
    assert!(!world.engine.dismiss_one(bob, true));
}
