//! Conversations with the engine, in time that the test makes up.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "a test's clock must begin somewhere")]

mod engine {
    mod slow;
    mod teams;
    mod users;
}

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use realtime_core::channel::Channel;
use realtime_core::command::{Command, Hello, Subscribe};
use realtime_core::effect::{Admission, Effect};
use realtime_core::engine::Engine;
use realtime_core::event::{Event, Holder, Spellings};
use realtime_core::id::{ConnectionId, ProjectId};
use realtime_core::identity::{Account, Credential, Credentials, Identity, Membership, Standing};
use realtime_core::notice::{Notice, Outgoing};
use realtime_core::outbox;
use realtime_core::presence::{Action, Grant, Presence};
use realtime_core::project::Project;
use realtime_core::query::{Filter, Payload};
use realtime_core::refusal::{Close, Refusal, RefusalKind};
use realtime_core::replay;
use realtime_core::role::Role;
use realtime_core::secret::Secret;
use realtime_core::settings::Settings;
use realtime_core::tail::Seen;
use realtime_core::whereabouts::Whereabouts;

/// An engine with a clock of its own.
struct World {
    engine: Engine,
    now: Instant,
}

/// Without a log: who comes back is shown in the tests of coming back.
fn world() -> World {
    world_with(Settings::default())
}

fn world_with(settings: Settings) -> World {
    let replay = replay::Bounds { window: Duration::ZERO, ..replay::Bounds::default() };
    World { engine: Engine::new(Settings { replay, ..settings }, 42), now: Instant::now() }
}

impl World {
    fn open(&mut self, channels: &[&str]) -> ConnectionId {
        self.engine.open(hello(channels), self.now)
    }

    /// Opens a connection and lets it in as this identity.
    fn connect(&mut self, channels: &[&str], identity: Identity) -> ConnectionId {
        let id = self.open(channels);
        self.effects();
        self.engine.identified(id, Ok(admission(identity)), self.now);
        id
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.engine.poll_effect()).collect()
    }

    /// How many refreshes the engine asks for.
    fn refreshes(&mut self) -> usize {
        self.effects().iter().filter(|effect| matches!(effect, Effect::Refresh { .. })).count()
    }

    fn publish(&mut self, event: Event) {
        self.engine.publish(&Arc::new(event), self.now);
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.engine.handle_timeout(self.now);
    }

    /// Everything to be sent, each in a word.
    fn sent(&mut self, id: ConnectionId) -> Vec<String> {
        std::iter::from_fn(|| self.engine.poll_outgoing(id)).map(|outgoing| word(&outgoing)).collect()
    }
}

fn word(outgoing: &Outgoing) -> String {
    match outgoing {
        Outgoing::Event(delivery) => format!("event {}", delivery.event.id),
        Outgoing::Notice(Notice::Connected { .. }) => "connected".to_owned(),
        Outgoing::Notice(Notice::Authenticated { .. }) => "authenticated".to_owned(),
        Outgoing::Notice(Notice::Subscribed(_)) => "subscribed".to_owned(),
        Outgoing::Notice(Notice::Unsubscribed(_)) => "unsubscribed".to_owned(),
        Outgoing::Notice(Notice::Presented(_)) => "presented".to_owned(),
        Outgoing::Notice(Notice::Tailed(tailed)) => match &tailed.seen {
            Seen::Events(events) => format!("tail {} {}", tailed.subscription, events.len()),
            Seen::Sampled { delivered, dropped } => format!("tail told {delivered}, not {dropped}"),
        },
        Outgoing::Notice(Notice::Pong) => "pong".to_owned(),
        Outgoing::Notice(Notice::Refused(refusal)) => format!("refused: {}", refusal.message),
        Outgoing::Notice(Notice::Gap) => "gap".to_owned(),
        Outgoing::Notice(Notice::Heartbeat) => "heartbeat".to_owned(),
        Outgoing::Close(Close::Refused(_)) => "close refused".to_owned(),
        Outgoing::Close(close) => format!("close {close:?}"),
    }
}

fn hello(channels: &[&str]) -> Hello {
    Hello {
        project: ProjectId::from("p"),
        credentials: Credentials::default(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        path: "/v1/realtime".to_owned(),
        origin: String::new(),
        referer: String::new(),
        channels: channels.iter().map(Channel::new).collect(),
        queries: HashMap::new(),
        since: None,
        wants_gaps: false,
    }
}

fn project() -> Project {
    Project {
        id: ProjectId::from("p"),
        sequence: "1".to_owned(),
        database: String::new(),
        team: None,
        region: "default".to_owned(),
        realtime_enabled: true,
        platforms: Vec::new(),
    }
}

fn admission(identity: Identity) -> Admission {
    Admission { project: Arc::new(project()), identity, owns_origin: false }
}

fn account(user: &str, teams: &[&str]) -> Arc<Account> {
    let membership = |team: &&str| Membership {
        id: format!("m-{team}").as_str().into(),
        team: (*team).into(),
        roles: vec![],
        confirmed: true,
    };
    Arc::new(Account {
        id: user.into(),
        email_verified: true,
        phone_verified: false,
        memberships: teams.iter().map(membership).collect(),
        labels: vec![],
        profile: Bytes::from(format!(r#"{{"$id":"{user}"}}"#)),
    })
}

fn standing(user: &str, teams: &[&str]) -> Standing {
    Standing { account: account(user, teams), sessions: vec!["s1".into()], may_impersonate: false }
}

fn user(name: &str, teams: &[&str]) -> Identity {
    Identity { account: Some(account(name, teams)), ..Identity::guest() }
}

fn event(id: &str, channel: &str, role: &str) -> Event {
    Event {
        id: id.into(),
        project: ProjectId::from("p"),
        channels: vec![Channel::new(channel)],
        roles: vec![Role::new(role)],
        name: None,
        user: None,
        data: Bytes::from_static(b"{}"),
        payload: Payload::new(Bytes::from_static(b"{}")),
        roles_changed: None,
        spellings: Spellings::default(),
    }
}

/// An event that also changes the roles of alice.
fn change(id: &str, channel: &str) -> Event {
    Event { roles_changed: Some(Holder::User("alice".into())), ..event(id, channel, "team:red") }
}

fn subscribe(id: &str, channels: &[&str]) -> Command {
    Command::Subscribe(vec![Subscribe {
        id: Some(id.into()),
        channels: channels.iter().map(Channel::new).collect(),
        filter: Filter::default(),
        since: None,
    }])
}

fn authenticate() -> Command {
    Command::Authenticate(Credential::Session(Secret::new("token")))
}

#[test]
fn connected_precedes_everything_but_a_pong() {
    let mut world = world();
    let id = world.open(&["documents"]);
    world.engine.receive(id, Ok(subscribe("s", &["files"])), world.now);
    world.engine.receive(id, Ok(Command::Ping), world.now);
    world.publish(event("early", "documents", "any"));
    assert_eq!(world.sent(id), ["pong"]);
    world.engine.identified(id, Ok(admission(Identity::guest())), world.now);
    world.publish(event("e", "files", "any"));
    assert_eq!(world.sent(id), ["connected", "subscribed", "event e"]);
}

#[test]
fn an_event_reaches_only_those_with_its_role() {
    let mut world = world();
    let guest = world.connect(&["documents"], Identity::guest());
    let alice = world.connect(&["documents"], user("alice", &[]));
    let bob = world.connect(&["documents"], user("bob", &[]));
    for id in [guest, alice, bob] {
        assert_eq!(world.sent(id), ["connected"]);
    }
    world.publish(event("alice's", "documents", "user:alice"));
    world.publish(event("guests'", "documents", "guests"));
    world.publish(event("all", "documents", "any"));
    assert_eq!(world.sent(alice), ["event alice's", "event all"]);
    assert_eq!(world.sent(bob), ["event all"]);
    assert_eq!(world.sent(guest), ["event guests'", "event all"]);
}

#[test]
fn a_refusal_is_told_and_nothing_follows_the_close() {
    let mut world = world();
    let id = world.open(&["documents"]);
    world.engine.identified(id, Err(Refusal::policy("Missing or unknown project ID")), world.now);
    assert_eq!(world.sent(id), ["refused: Missing or unknown project ID", "close refused"]);
    world.publish(event("e", "documents", "any"));
    assert!(world.sent(id).is_empty());
}

#[test]
fn a_switched_off_api_and_a_foreign_region_are_refused() {
    let mut world = world();
    let off = Project { realtime_enabled: false, ..project() };
    let elsewhere = Project { region: "mars".to_owned(), ..project() };
    for (project, text) in [(off, "The requested API is disabled"), (elsewhere, "Project is not accessible")]
    {
        let id = world.open(&[]);
        let admission = Admission { project: Arc::new(project), ..admission(Identity::guest()) };
        world.engine.identified(id, Ok(admission), world.now);
        let sent = world.sent(id);
        assert!(sent.first().unwrap().contains(text), "{sent:?}");
        assert_eq!(sent.last().unwrap(), "close refused");
    }
}

#[test]
fn a_look_up_that_is_not_answered_in_time_is_refused() {
    let mut world = world();
    let id = world.open(&[]);
    world.pass(59);
    assert!(world.sent(id).is_empty());
    world.pass(2);
    let sent = world.sent(id);
    assert!(sent.first().unwrap().starts_with("refused: It could not be found out"), "{sent:?}");
    world.engine.identified(id, Ok(admission(Identity::guest())), world.now);
    assert!(world.sent(id).is_empty(), "an answer that comes too late changes nothing");
}

#[test]
fn authentication_gives_the_roles_and_moves_the_account_channel() {
    let mut world = world();
    let id = world.connect(&["account", "account.create", "documents"], Identity::guest());
    world.engine.receive(id, Ok(authenticate()), world.now);
    world.engine.receive(id, Ok(subscribe("s", &["account"])), world.now);
    assert_eq!(world.sent(id), ["connected"], "commands wait for the look-up");
    world.engine.authenticated(id, Ok(Some(user("alice", &["red"]))), world.now);
    assert_eq!(world.sent(id), ["authenticated", "subscribed"]);
    world.publish(event("team", "documents", "team:red"));
    world.publish(event("created", "account.alice.create", "user:alice"));
    world.publish(event("mine", "account.alice", "user:alice"));
    assert_eq!(world.sent(id), ["event team", "event created", "event mine"]);
}

#[test]
fn a_session_that_proves_nothing_changes_nothing() {
    let mut world = world();
    let id = world.connect(&["documents"], user("alice", &[]));
    world.engine.receive(id, Ok(authenticate()), world.now);
    world.engine.authenticated(id, Ok(None), world.now);
    assert_eq!(world.sent(id), ["connected", "refused: Session is not valid."]);
    world.publish(event("e", "documents", "user:alice"));
    assert_eq!(world.sent(id), ["event e"]);
}

#[test]
fn the_33rd_message_at_once_is_refused_and_pings_do_not_count() {
    let mut world = world();
    let id = world.connect(&[], Identity::guest());
    world.sent(id);
    for number in 0..32 {
        world.engine.receive(id, Ok(subscribe(&format!("s{number}"), &["documents"])), world.now);
        world.engine.receive(id, Ok(Command::Ping), world.now);
    }
    world.engine.receive(id, Ok(subscribe("one more", &["documents"])), world.now);
    let sent = world.sent(id);
    assert_eq!(sent.iter().filter(|word| *word == "subscribed").count(), 32);
    assert_eq!(sent.iter().filter(|word| *word == "pong").count(), 32);
    assert_eq!(sent.last().unwrap(), "refused: Too many messages.");
    world.pass(60);
    world.engine.receive(id, Ok(subscribe("later", &["documents"])), world.now);
    assert!(world.sent(id).contains(&"subscribed".to_owned()));
}

#[test]
fn a_connection_cannot_hold_more_than_its_share() {
    let settings = Settings { subscriptions: 2, channels: 3, ..Settings::default() };
    let mut world = world_with(settings);
    let id = world.connect(&[], Identity::guest());
    world.engine.receive(id, Ok(subscribe("a", &["1", "2"])), world.now);
    world.engine.receive(id, Ok(subscribe("b", &["3", "4"])), world.now);
    world.engine.receive(id, Ok(subscribe("a", &["1"])), world.now);
    world.engine.receive(id, Ok(subscribe("b", &["3", "4"])), world.now);
    world.engine.receive(id, Ok(subscribe("c", &["5"])), world.now);
    let sent: Vec<String> = world.sent(id).into_iter().map(|word| word.chars().take(26).collect()).collect();
    assert_eq!(
        sent,
        [
            "connected",
            "subscribed",
            "refused: Too many channels",
            "subscribed",
            "subscribed",
            "refused: Too many subscrip"
        ]
    );
}

#[test]
fn a_client_that_does_not_read_is_closed_and_others_are_not() {
    let settings = Settings { outbox: outbox::Bounds { count: 3, bytes: 1_000 }, ..Settings::default() };
    let mut world = world_with(settings);
    let slow = world.connect(&["documents"], Identity::guest());
    let quick = world.connect(&["documents"], Identity::guest());
    let mut received = 0;
    for number in 0..10 {
        world.publish(event(&format!("e{number}"), "documents", "any"));
        received += world.sent(quick).iter().filter(|word| word.starts_with("event")).count();
    }
    assert_eq!(received, 10);
    assert_eq!(world.sent(slow), ["close Slow"]);
    assert_eq!(world.engine.stats().slow, 1);
}

#[test]
fn who_is_here_before_events_come_in_for_the_first_time_is_told_that_some_may_be_missing() {
    let mut world = world();
    let early = world.engine.open(Hello { wants_gaps: true, ..hello(&["documents"]) }, world.now);
    world.engine.identified(early, Ok(admission(Identity::guest())), world.now);
    world.engine.begin(world.now);
    assert_eq!(world.sent(early), ["connected", "gap"]);
    let late = world.engine.open(Hello { wants_gaps: true, ..hello(&["documents"]) }, world.now);
    world.engine.identified(late, Ok(admission(Identity::guest())), world.now);
    assert_eq!(world.sent(late), ["connected"]);
}

#[test]
fn what_was_before_a_node_is_for_who_comes_back_and_what_comes_late_is_for_everybody() {
    let mut world = World { engine: Engine::new(Settings::default(), 42), now: Instant::now() };
    let ago = |world: &World, seconds| world.now.checked_sub(Duration::from_secs(seconds)).unwrap();
    let id = world.connect(&["documents"], Identity::guest());
    world.engine.begin_from(ago(&world, 60));
    for (event_id, seconds) in [("e1", 50), ("e2", 40)] {
        let past = Arc::new(event(event_id, "documents", "any"));
        world.engine.record(&past, ago(&world, seconds));
    }
    assert_eq!(world.sent(id), ["connected"]);
    let late = Arc::new(event("e3", "documents", "any"));
    world.engine.publish_late(&late, ago(&world, 1), world.now);
    world.engine.loaded();
    assert_eq!(world.sent(id), ["event e3"]);
    let back = Hello { since: Some("e1".into()), ..hello(&["documents"]) };
    let back = world.engine.open(back, world.now);
    world.engine.identified(back, Ok(admission(Identity::guest())), world.now);
    assert_eq!(world.sent(back), ["connected", "event e2", "event e3"]);
}

#[test]
fn when_memory_is_short_those_who_have_much_waiting_are_known_and_can_be_closed() {
    let mut world = world();
    let large = |id: &str, channel: &str| Event {
        data: Bytes::from(vec![b' '; 100_000]),
        ..event(id, channel, "any")
    };
    let worst = world.connect(&["a", "b"], Identity::guest());
    let bad = world.connect(&["a"], Identity::guest());
    let good = world.connect(&["c"], Identity::guest());
    for id in [worst, bad, good] {
        world.sent(id);
    }
    for (id, channel) in [("1", "a"), ("2", "b")] {
        world.publish(large(id, channel));
    }
    world.publish(event("3", "c", "any"));
    let backlogs = world.engine.backlogs();
    let of = |id| backlogs.iter().find(|(_, other)| *other == id).map_or(0, |(bytes, _)| *bytes);
    assert!(of(worst) >= 200_000 && (100_000..200_000).contains(&of(bad)), "{backlogs:?}");
    assert_eq!(of(good), 0, "it has too little waiting to be blamed");
    assert_eq!(world.engine.shed(&[worst, good]), (1, of(worst) as u64), "one has been quick meanwhile");
    assert_eq!(world.sent(worst), ["close Slow"]);
    assert_eq!(world.engine.shed(&[worst, bad]).0, 1, "the first is closing already");
    assert_eq!(world.sent(bad), ["close Slow"]);
    assert_eq!(world.sent(good), ["event 3"]);
}

#[test]
fn where_somebody_stands_who_answers_no_ping_is_not_forgotten_while_it_is_here() {
    let mut world = World { engine: Engine::new(Settings::default(), 42), now: Instant::now() };
    world.engine.begin(world.now);
    let id = world.connect(&[], Identity::guest());
    world.engine.receive(id, Ok(subscribe("s", &["documents"])), world.now);
    for effect in world.effects() {
        if let Effect::Recall { connection, .. } = effect {
            world.engine.recalled(connection, Vec::new());
        }
    }
    let keeps = Whereabouts::new(replay::Bounds::default().window, Duration::ZERO).keeps();
    let mut written = world.now;
    for _ in 0..600 {
        world.pass(1);
        world.sent(id);
        if world.effects().iter().any(|effect| matches!(effect, Effect::Remember { .. })) {
            written = world.now;
        }
        assert!(world.now - written < keeps, "it is forgotten");
    }
}

#[test]
fn events_wait_while_roles_are_read_again() {
    let mut world = world();
    let id = world.connect(&["documents", "memberships"], user("alice", &["red"]));
    world.sent(id);
    world.publish(change("removal", "memberships"));
    assert_eq!(world.refreshes(), 1);
    world.publish(event("secret", "documents", "team:red"));
    world.publish(event("open", "documents", "any"));
    assert_eq!(world.sent(id), ["event removal"], "the removal itself still reaches the member");
    world.engine.refreshed(&"p".into(), &"alice".into(), &Ok(Some(standing("alice", &[]))));
    assert_eq!(world.sent(id), ["event open"], "what followed is judged by the new roles");
    world.publish(event("later", "documents", "team:red"));
    assert!(world.sent(id).is_empty());
}

#[test]
fn a_new_member_gets_the_event_that_made_it_one() {
    let mut world = world();
    let id = world.connect(&["teams"], user("alice", &[]));
    world.sent(id);
    world.publish(change("created", "teams"));
    assert!(world.sent(id).is_empty());
    world.engine.refreshed(&"p".into(), &"alice".into(), &Ok(Some(standing("alice", &["red"]))));
    assert_eq!(world.sent(id), ["event created"]);
}

#[test]
fn a_second_change_during_a_refresh_asks_again() {
    let mut world = world();
    let id = world.connect(&["documents"], user("alice", &["red"]));
    world.sent(id);
    world.publish(change("first", "teams"));
    world.publish(change("second", "teams"));
    assert_eq!(world.refreshes(), 1);
    world.engine.refreshed(&"p".into(), &"alice".into(), &Ok(Some(standing("alice", &["red"]))));
    assert_eq!(world.refreshes(), 1, "the first answer may have been read before the second change");
    world.publish(event("secret", "documents", "team:red"));
    world.engine.refreshed(&"p".into(), &"alice".into(), &Ok(Some(standing("alice", &[]))));
    assert!(world.sent(id).is_empty());
}

#[test]
fn roles_read_before_a_change_are_not_believed_when_opening() {
    let mut world = world();
    let id = world.open(&["documents"]);
    world.publish(change("change", "teams"));
    world.engine.identified(id, Ok(admission(user("alice", &["red"]))), world.now);
    assert_eq!(world.refreshes(), 1);
    world.publish(event("secret", "documents", "team:red"));
    world.engine.refreshed(&"p".into(), &"alice".into(), &Ok(Some(standing("alice", &[]))));
    assert_eq!(world.sent(id), ["connected"]);
}

#[test]
fn roles_read_before_a_change_are_not_believed_when_authenticating() {
    let mut world = world();
    let id = world.connect(&["documents"], Identity::guest());
    world.engine.receive(id, Ok(authenticate()), world.now);
    world.publish(change("change", "teams"));
    world.engine.authenticated(id, Ok(Some(user("alice", &["red"]))), world.now);
    world.publish(event("secret", "documents", "team:red"));
    world.engine.refreshed(&"p".into(), &"alice".into(), &Ok(Some(standing("alice", &[]))));
    assert_eq!(world.sent(id), ["connected", "authenticated"]);
}

#[test]
fn a_user_that_is_gone_or_cannot_be_read_does_not_stay_connected_with_old_roles() {
    let mut world = world();
    for found in [Ok(None), Err(Refusal::new(RefusalKind::Unavailable, "down"))] {
        let id = world.connect(&["documents"], user("alice", &["red"]));
        world.sent(id);
        world.engine.roles_may_have_changed(&"p".into(), &"alice".into());
        world.publish(event("secret", "documents", "team:red"));
        world.engine.refreshed(&"p".into(), &"alice".into(), &found);
        let sent = world.sent(id);
        assert_eq!(sent.last().unwrap(), "close refused", "{sent:?}");
        assert!(!sent.iter().any(|word| word.starts_with("event")), "{sent:?}");
        world.engine.closed(id);
    }
}

#[test]
fn a_connection_ends_when_its_session_is_gone_and_others_of_its_user_stay() {
    let mut world = world();
    let with = |session: &str| Identity { session: Some(session.into()), ..user("alice", &[]) };
    let gone = world.connect(&["documents"], with("s0"));
    let kept = world.connect(&["documents"], with("s1"));
    let by_key = world.connect(&["documents"], user("alice", &[]));
    for id in [gone, kept, by_key] {
        world.sent(id);
    }
    world.engine.roles_may_have_changed(&"p".into(), &"alice".into());
    world.publish(event("secret", "documents", "user:alice"));
    world.engine.refreshed(&"p".into(), &"alice".into(), &Ok(Some(standing("alice", &[]))));
    assert_eq!(world.sent(gone), ["refused: The session has ended.", "close Expired"]);
    assert_eq!(world.sent(kept), ["event secret"]);
    assert_eq!(world.sent(by_key), ["event secret"]);
}

#[test]
fn somebody_whom_only_a_token_speaks_of_is_concerned_by_what_is_announced_alone() {
    let mut world = world();
    let id = world.connect(&["account"], Identity { claimed: true, ..user("alice", &[]) });
    world.sent(id);
    let of = |holder| Event { roles_changed: Some(holder), ..event("change", "account.alice", "user:alice") };
    world.publish(of(Holder::StoredUser("alice".into())));
    assert_eq!((world.sent(id), world.refreshes()), (vec!["event change".to_owned()], 0));
    world.publish(of(Holder::User("alice".into())));
    assert_eq!((world.sent(id), world.refreshes()), (vec!["event change".to_owned()], 1));
    world.engine.refreshed(&"p".into(), &"alice".into(), &Ok(None));
    assert_eq!(world.sent(id).last().unwrap(), "close refused", "a fresh token is needed");
}

#[test]
fn a_connection_that_joins_a_recheck_gets_no_event_twice() {
    let mut world = world();
    let first = world.connect(&["documents"], user("alice", &["red"]));
    world.engine.roles_may_have_changed(&"p".into(), &"alice".into());
    // It opens after the change and waits for nothing.
    let second = world.connect(&["documents"], user("alice", &["red"]));
    world.publish(event("e1", "documents", "team:red"));
    assert_eq!(world.sent(second), ["connected", "event e1"]);
    world.engine.roles_may_have_changed(&"p".into(), &"alice".into());
    world.publish(event("e2", "documents", "team:red"));
    let found = Ok(Some(standing("alice", &["red"])));
    world.engine.refreshed(&"p".into(), &"alice".into(), &found);
    world.engine.refreshed(&"p".into(), &"alice".into(), &found);
    assert_eq!(world.sent(second), ["event e2"]);
    assert_eq!(world.sent(first), ["connected", "event e1", "event e2"]);
}

#[test]
fn an_answer_from_before_a_change_is_not_taken_for_the_answer_to_it() {
    let mut world = world();
    let gone = world.connect(&["documents"], user("alice", &["red"]));
    world.engine.roles_may_have_changed(&"p".into(), &"alice".into());
    assert_eq!(world.refreshes(), 1);
    world.engine.closed(gone);
    let back = world.connect(&["documents"], user("alice", &["red"]));
    world.sent(back);
    world.engine.roles_may_have_changed(&"p".into(), &"alice".into());
    world.publish(event("secret", "documents", "team:red"));
    // Read before the second change.
    world.engine.refreshed(&"p".into(), &"alice".into(), &Ok(Some(standing("alice", &["red"]))));
    assert!(world.sent(back).is_empty());
    assert_eq!(world.refreshes(), 1, "asked again");
    world.engine.refreshed(&"p".into(), &"alice".into(), &Ok(Some(standing("alice", &[]))));
    assert!(world.sent(back).is_empty());
}

#[test]
fn events_that_change_roles_count_among_those_held() {
    let mut world = world_with(Settings { held_events: 3, ..Settings::default() });
    let id = world.connect(&["documents"], user("alice", &[]));
    world.sent(id);
    for number in 0..10 {
        world.publish(change(&format!("c{number}"), "documents"));
    }
    assert_eq!(world.sent(id), ["close Slow"]);
}

#[test]
fn events_that_nobody_listens_to_who_waits_for_its_roles_do_not_wait_with_it() {
    let mut world = world_with(Settings { held_events: 3, ..Settings::default() });
    let id = world.connect(&["documents"], user("alice", &[]));
    let other = world.connect(&["files"], user("alice", &[]));
    for id in [id, other] {
        world.sent(id);
    }
    world.engine.roles_may_have_changed(&"p".into(), &"alice".into());
    for number in 0..10 {
        world.publish(event(&format!("e{number}"), "elsewhere", "any"));
    }
    world.publish(event("red", "documents", "team:red"));
    world.publish(event("one", "documents", "any"));
    world.publish(event("two", "documents", "any"));
    world.publish(event("too many", "documents", "any"));
    assert_eq!(world.sent(id), ["close Slow"]);
    let found = Ok(Some(standing("alice", &["red"])));
    world.engine.refreshed(&"p".into(), &"alice".into(), &found);
    world.publish(event("file", "files", "team:red"));
    assert_eq!(world.sent(other), ["event file"], "what was too many was not for it");
}

#[test]
fn held_events_are_not_judged_by_roles_that_an_authentication_read_before_the_change() {
    let mut world = world();
    // One alone, and one beside another connection of the user.
    for others in 0..2 {
        let other: Vec<_> = (0..others).map(|_| world.connect(&[], user("alice", &["red"]))).collect();
        let id = world.connect(&["documents"], user("alice", &["red"]));
        world.engine.receive(id, Ok(authenticate()), world.now);
        world.engine.roles_may_have_changed(&"p".into(), &"alice".into());
        world.publish(event("secret", "documents", "team:red"));
        world.publish(event("open", "documents", "any"));
        world.engine.authenticated(id, Ok(Some(user("alice", &["red"]))), world.now);
        assert_eq!(world.sent(id), ["connected", "authenticated"]);
        world.engine.refreshed(&"p".into(), &"alice".into(), &Ok(Some(standing("alice", &[]))));
        assert_eq!(world.sent(id), ["event open"], "beside {others}");
        for id in other.into_iter().chain([id]) {
            world.engine.closed(id);
        }
    }
}

#[test]
fn held_events_of_somebody_who_became_another_whose_roles_are_in_doubt_are_not_lost_silently() {
    let mut world = world();
    let id = world.connect(&["documents"], user("alice", &["red"]));
    world.engine.receive(id, Ok(authenticate()), world.now);
    world.engine.roles_may_have_changed(&"p".into(), &"alice".into());
    world.engine.roles_may_have_changed(&"p".into(), &"bob".into());
    world.publish(event("e", "documents", "any"));
    world.engine.authenticated(id, Ok(Some(user("bob", &[]))), world.now);
    assert_eq!(world.sent(id), ["close Slow"], "it comes back and asks anew");
}

#[test]
fn another_user_after_authentication_does_not_inherit_held_events() {
    let mut world = world();
    let id = world.connect(&["documents"], user("alice", &["red"]));
    world.engine.roles_may_have_changed(&"p".into(), &"alice".into());
    world.publish(event("red", "documents", "team:red"));
    world.publish(event("blue", "documents", "team:blue"));
    world.engine.receive(id, Ok(authenticate()), world.now);
    world.engine.authenticated(id, Ok(Some(user("bob", &["blue"]))), world.now);
    assert_eq!(world.sent(id), ["connected", "authenticated", "event blue"]);
    world.engine.refreshed(&"p".into(), &"alice".into(), &Ok(Some(standing("alice", &["red"]))));
    world.publish(event("red again", "documents", "team:red"));
    assert!(world.sent(id).is_empty(), "the answer about alice is not about bob");
}

#[test]
fn a_connection_ends_when_its_proof_of_identity_does() {
    let mut world = world();
    let identity = Identity { valid_for: Some(Duration::from_secs(100)), ..user("alice", &[]) };
    let id = world.connect(&["documents"], identity);
    for _ in 0..99 {
        world.pass(1);
    }
    world.publish(event("in time", "documents", "user:alice"));
    assert!(world.sent(id).contains(&"event in time".to_owned()));
    world.pass(2);
    world.publish(event("too late", "documents", "user:alice"));
    assert_eq!(world.sent(id), ["refused: The session or token has expired.", "close Expired"]);
}

#[test]
fn every_connection_gets_heartbeats() {
    let mut world = world();
    let silent = world.connect(&[], Identity::guest());
    let busy = world.connect(&["documents"], Identity::guest());
    let (mut of_silent, mut of_busy) = (0, 0);
    for second in 0..100 {
        world.pass(1);
        if second % 10 == 0 {
            world.publish(event("e", "documents", "any"));
        }
        for (id, count) in [(silent, &mut of_silent), (busy, &mut of_busy)] {
            *count += world.sent(id).iter().filter(|word| *word == "heartbeat").count();
        }
    }
    for count in [of_silent, of_busy] {
        assert!((3..=4).contains(&count), "one in 25 s, not {count}");
    }
}

#[test]
fn a_stopping_node_closes_everyone_within_its_window_and_lets_nobody_in() {
    let mut world = world();
    let ids: Vec<ConnectionId> = (0..50).map(|_| world.connect(&[], Identity::guest())).collect();
    for id in &ids {
        world.sent(*id);
    }
    world.engine.drain(world.now + Duration::from_secs(10), world.now);
    let mut closed_after = Vec::new();
    for second in 1..=10 {
        world.pass(1);
        for id in &ids {
            closed_after.extend(world.sent(*id).contains(&"close Going".to_owned()).then_some(second));
        }
    }
    assert_eq!(closed_after.len(), 50);
    assert!(
        closed_after.first().unwrap() < &4 && closed_after.last().unwrap() > &7,
        "spread: {closed_after:?}"
    );
    let late = world.open(&[]);
    assert_eq!(world.sent(late), ["close Going"]);
}

#[test]
fn the_first_message_of_an_empty_outbox_wakes_the_connection_once() {
    let mut world = world();
    let id = world.connect(&["documents"], Identity::guest());
    world.sent(id);
    world.effects();
    world.publish(event("a", "documents", "any"));
    world.publish(event("b", "documents", "any"));
    let wakes = world.effects();
    assert_eq!(wakes.len(), 1, "{wakes:?}");
    assert!(matches!(wakes.first().unwrap(), Effect::Wake(woken) if *woken == id));
}

#[test]
fn a_place_is_used_again_but_its_old_id_is_not_believed() {
    let mut world = world();
    let old = world.connect(&["documents"], Identity::guest());
    world.engine.closed(old);
    let new = world.connect(&["documents"], Identity::guest());
    assert_eq!(old.slot(), new.slot());
    assert_ne!(old, new);
    world.engine.receive(old, Ok(Command::Ping), world.now);
    world.engine.closed(old);
    assert_eq!(world.sent(new), ["connected"]);
    assert_eq!(world.engine.stats().connections, 1);
}

#[test]
fn the_same_seed_mints_the_same_ids() {
    let minted = || {
        let mut world = world();
        let id = world.connect(&["documents"], Identity::guest());
        match world.engine.poll_outgoing(id) {
            Some(Outgoing::Notice(Notice::Connected { slots, .. })) => slots,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(minted(), minted());
    assert_eq!(minted().first().unwrap().1.as_str().len(), 20);
}

fn present(world: &mut World, id: ConnectionId, grants: Option<&[&str]>) {
    let read = |role: &&str| Grant { action: Action::Read, role: Role::new(role) };
    let presence = Presence {
        id: None,
        status: "on".to_owned(),
        metadata: Bytes::from_static(b"{}"),
        grants: grants.map(|roles| roles.iter().map(read).collect()),
    };
    world.engine.receive(id, Ok(Command::Present(presence)), world.now);
}

/// Whose presence is to be written, and whose connection is gone.
fn presences(world: &mut World) -> Vec<String> {
    let effects = world.effects();
    let told = effects.iter().filter_map(|effect| match effect {
        Effect::Present { user, .. } => Some(format!("present {user}")),
        Effect::Absent { .. } => Some("absent".to_owned()),
        Effect::Wake(_)
        | Effect::Identify { .. }
        | Effect::Authenticate { .. }
        | Effect::FindOwner { .. }
        | Effect::Recall { .. }
        | Effect::Remember { .. }
        | Effect::Refresh { .. } => None,
    });
    told.collect()
}

#[test]
fn what_is_said_after_a_presence_waits_until_it_is_written() {
    let mut world = world();
    let id = world.connect(&[], user("U", &[]));
    present(&mut world, id, None);
    world.engine.receive(id, Ok(Command::Unsubscribe(vec![])), world.now);
    assert_eq!(presences(&mut world), ["present U"]);
    assert_eq!(world.sent(id), ["connected"]);
    world.engine.presented(id, Ok(Bytes::from_static(b"{}")));
    assert_eq!(world.sent(id), ["presented", "unsubscribed"]);
}

#[test]
fn whoever_was_present_is_absent_when_its_connection_is_gone_and_only_once() {
    let mut world = world();
    let (here, silent) = (world.connect(&[], user("U", &[])), world.connect(&[], user("U", &[])));
    present(&mut world, here, None);
    world.engine.presented(here, Ok(Bytes::from_static(b"{}")));
    presences(&mut world);
    world.engine.closed(silent);
    assert!(presences(&mut world).is_empty());
    let now = world.now;
    world.engine.drain(now, now);
    world.engine.handle_timeout(now);
    assert_eq!(presences(&mut world), ["absent"]);
    world.engine.closed(here);
    assert!(presences(&mut world).is_empty());
}

#[test]
fn a_connection_that_left_while_its_presence_was_written_is_absent() {
    for closed in [true, false] {
        let mut world = world();
        let id = world.connect(&[], user("U", &[]));
        present(&mut world, id, None);
        if closed {
            world.engine.closed(id);
        } else {
            world.engine.drain(world.now, world.now);
            world.engine.handle_timeout(world.now);
        }
        assert_eq!(presences(&mut world), ["present U"]);
        world.engine.presented(id, Ok(Bytes::from_static(b"{}")));
        assert_eq!(presences(&mut world), ["absent"]);
    }
}

#[test]
fn nobody_grants_what_it_does_not_hold_and_guests_have_no_presence() {
    let mut world = world();
    let (ann, guest) = (world.connect(&[], user("U", &[])), world.connect(&[], Identity::guest()));
    let admin = world.connect(&[], Identity { admin: true, ..user("root", &[]) });
    for granted in [&["team:T"][..], &["user:V"], &["any", "label:vip"]] {
        present(&mut world, ann, Some(granted));
    }
    present(&mut world, guest, None);
    present(&mut world, admin, None);
    assert!(presences(&mut world).is_empty());
    let text = "refused: Permissions must be one of: (any, user:U, users, user:U/verified, users/verified)";
    assert_eq!(world.sent(ann), ["connected", text, text, text]);
    for id in [guest, admin] {
        assert_eq!(world.sent(id), ["connected", "refused: User must be authorized"]);
    }
    present(&mut world, ann, Some(&["any", "users", "user:U"]));
    assert_eq!(presences(&mut world), ["present U"]);
}

/// A connection of an owner of `p` to the console, who watches it.
fn watch(world: &mut World) -> ConnectionId {
    let id = world.open(&[]);
    let console = Project { id: ProjectId::console(), ..project() };
    let admission = Admission { project: Arc::new(console), ..admission(user("root", &["owners"])) };
    world.engine.identified(id, Ok(admission), world.now);
    world.engine.receive(id, Ok(subscribe("s", &["console.tail.p"])), world.now);
    world.engine.owner_found(id, Ok(Some("owners".into())));
    assert_eq!(world.sent(id), ["connected", "subscribed"]);
    id
}

#[test]
fn the_engine_wakes_for_a_tail_only_when_there_is_something_to_tell() {
    let mut world = world_with(Settings { heartbeat: Duration::from_secs(3_600), ..Settings::default() });
    let id = watch(&mut world);
    let idle = world.engine.poll_timeout();
    world.engine.publish(&Arc::new(Event { project: "q".into(), ..event("1", "files", "any") }), world.now);
    assert_eq!(world.engine.poll_timeout(), idle, "another project");
    world.publish(event("2", "files", "any"));
    let due = world.now + Duration::from_millis(150);
    assert_eq!(world.engine.poll_timeout(), Some(due));
    world.now += Duration::from_millis(100);
    world.publish(event("3", "files", "any"));
    assert_eq!(world.engine.poll_timeout(), Some(due), "what happens meanwhile puts nothing off");
    assert_eq!(world.sent(id), [""; 0]);
    world.now = due;
    world.engine.handle_timeout(world.now);
    assert_eq!(world.sent(id), ["tail s 2"]);
    assert_eq!(world.engine.poll_timeout(), idle);
}

#[test]
fn who_owns_a_project_is_asked_of_the_next_only_once_the_last_may_be_watched() {
    let mut world = world();
    let id = watch(&mut world);
    let asked = |world: &mut World| {
        let effects = world.effects();
        let mut projects = Vec::new();
        for effect in effects {
            if let Effect::FindOwner { project, .. } = effect {
                projects.push(project.to_string());
            }
        }
        projects
    };
    asked(&mut world);
    let channels = ["console.tail.a", "console.tail.b", "console.tail.a", "console.tail.c"];
    world.engine.receive(id, Ok(subscribe("t", &channels)), world.now);
    assert_eq!(asked(&mut world), ["a"]);
    world.engine.owner_found(id, Ok(Some("owners".into())));
    assert_eq!(asked(&mut world), ["b"]);
    world.engine.owner_found(id, Ok(Some("others".into())));
    assert_eq!(asked(&mut world), [""; 0]);
    assert_eq!(world.sent(id), ["refused: Not authorized to tail project \"b\".", "close refused"]);
    world.engine.owner_found(id, Ok(Some("owners".into())));
    assert_eq!(world.sent(id), [""; 0], "an answer that comes late changes nothing");
}

#[test]
fn what_a_tail_tells_counts_as_bytes_that_wait() {
    let bounds = outbox::Bounds { bytes: 200, ..outbox::Bounds::default() };
    let mut world = world_with(Settings { outbox: bounds, ..Settings::default() });
    let id = watch(&mut world);
    for _ in 0..4 {
        world.publish(event("e", "files", "any"));
        world.now += Duration::from_millis(150);
        world.engine.handle_timeout(world.now);
    }
    assert_eq!(world.sent(id).last().unwrap(), "close Slow");
}
