//! The engine under any order of inputs, with answers that come late, twice, or not at all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use realtime_core::channel::Channel;
use realtime_core::command::{Command, Hello, Subscribe};
use realtime_core::effect::{Admission, Effect, Owner};
use realtime_core::engine::Engine;
use realtime_core::event::{Event, Holder, Spellings};
use realtime_core::id::{ConnectionId, ProjectId, SubscriptionId, UserId};
use realtime_core::identity::{Account, Credential, Credentials, Identity, Membership, Standing};
use realtime_core::leave::Leave;
use realtime_core::notice::{Notice, Outgoing};
use realtime_core::project::Project;
use realtime_core::query::{Filter, Payload};
use realtime_core::refusal::{Refusal, RefusalKind};
use realtime_core::replay::{Parked, Place};
use realtime_core::role::Role;
use realtime_core::secret::Secret;
use realtime_core::settings::Settings;

/// What the outside knows of a connection.
#[derive(Default)]
struct Seen {
    connected: bool,
    closed: bool,
    /// Roles that some answer gave it; an event must be for one of them, or for `any`.
    roles: Vec<Role>,
}

/// Each pair of bytes is a step: nobody gets an event without ever having had a role for it, `connected` comes first,
/// and nothing follows a close.
pub fn engine(data: &[u8]) {
    let mut now = Instant::now();
    let mut engine = Engine::new(Settings::default(), 7);
    engine.begin(now);
    let mut seen: HashMap<ConnectionId, Seen> = HashMap::new();
    let mut ids: Vec<ConnectionId> = Vec::new();
    let mut memory: HashMap<(Owner, SubscriptionId), Parked> = HashMap::new();
    for step in data.chunks_exact(2) {
        let (what, with) = (step[0], step[1]);
        let id = ids.get(usize::from(with >> 4) % ids.len().max(1)).copied();
        let number = with & 7;
        match (what % 15, id) {
            (0, _) if ids.len() < 16 => {
                let id = engine.open(hello(), now);
                assert!(seen.insert(id, Seen::default()).is_none(), "an id is never given twice");
                ids.push(id);
            }
            (1, Some(id)) => {
                let identity = identity(number);
                note(&mut seen, id, &identity);
                engine.identified(id, Ok(admission(identity)), now);
            }
            (2, Some(id)) => {
                let refusal = Refusal::new(RefusalKind::Unavailable, "down");
                engine.identified(id, Err(refusal), now);
            }
            (3, Some(id)) => {
                let credential = Credential::Session(Secret::new("t"));
                engine.receive(id, Ok(Command::Authenticate(credential)), now);
            }
            (4, Some(id)) => {
                let identity = identity(number);
                note(&mut seen, id, &identity);
                engine.authenticated(id, Ok(Some(identity)), now);
            }
            (5, Some(id)) => {
                let subscribe = Subscribe {
                    id: Some(format!("s{}", number & 3).as_str().into()),
                    channels: vec![channel(number)],
                    filter: Filter::default(),
                    since: (with & 8 != 0).then(|| format!("e{}", with & 0x30).as_str().into()),
                };
                engine.receive(id, Ok(Command::Subscribe(vec![subscribe])), now);
            }
            (6, Some(id)) => engine.receive(id, Ok(Command::Unsubscribe(vec!["s1".into()])), now),
            (7, _) => engine.publish(&Arc::new(event(with)), now),
            (8, _) => {
                let (user, account) = (user(number & 1), account(number));
                for state in seen.values_mut() {
                    state.roles.extend(realtime_core::identity::roles_of(&account));
                }
                let standing =
                    Standing { account: Arc::new(account), sessions: Vec::new(), may_impersonate: false };
                let found = (with & 0x80 == 0).then_some(standing);
                engine.refreshed(&"p".into(), &user, &Ok(found));
            }
            (9, Some(id)) => {
                engine.closed(id);
                ids.retain(|other| *other != id);
            }
            (10, _) => {
                now += Duration::from_secs(u64::from(with));
                engine.handle_timeout(now);
            }
            (12, Some(id)) => {
                let receipt = engine.receipt(id);
                engine.acknowledge(id, receipt, now);
            }
            (13, Some(id)) if with > 127 => engine.took_leave(id, Leave::ForGood),
            (13, Some(id)) => engine.took_leave(id, Leave::ToReturn),
            (14, _) if with > 200 => engine.gap(now),
            (11, _) if with == 255 => engine.drain(now + Duration::from_secs(5), now),
            _ => {}
        }
        while let Some(effect) = engine.poll_effect() {
            match effect {
                Effect::Recall { connection, owner, subscriptions } => {
                    let found = subscriptions.into_iter().filter_map(|id| {
                        let parked = memory.get(&(owner.clone(), id.clone()))?;
                        Some((id, parked.clone()))
                    });
                    engine.recalled(connection, found.collect());
                }
                Effect::Remember { owner, places, .. } => {
                    for (id, place) in places {
                        let key = (owner.clone(), id);
                        match place {
                            Some(Place { position, at }) => {
                                memory.insert(key, Parked { position, at: at.unwrap_or(now) })
                            }
                            None => memory.remove(&key),
                        };
                    }
                }
                Effect::Wake(_)
                | Effect::Identify { .. }
                | Effect::Authenticate { .. }
                | Effect::Present { .. }
                | Effect::Absent { .. }
                | Effect::FindOwner { .. }
                | Effect::Refresh { .. } => {}
            }
        }
        for id in &ids {
            let state = seen.entry(*id).or_default();
            while let Some(outgoing) = engine.poll_outgoing(*id) {
                look(state, &outgoing);
            }
        }
        assert_eq!(engine.stats().connections, ids.len() as u64);
    }
}

fn look(state: &mut Seen, outgoing: &Outgoing) {
    assert!(!state.closed, "nothing follows a close");
    match outgoing {
        Outgoing::Notice(Notice::Connected { .. }) => state.connected = true,
        Outgoing::Notice(Notice::Pong | Notice::Refused(_)) => {}
        Outgoing::Notice(_) => assert!(state.connected, "connected comes first"),
        Outgoing::Close(_) => state.closed = true,
        Outgoing::Event(delivery) => {
            assert!(state.connected, "connected comes first");
            assert!(!delivery.subscriptions.is_empty());
            let event = &delivery.event;
            let permitted = event.is_for_all() || event.roles.iter().any(|role| state.roles.contains(role));
            assert!(permitted, "an event for {:?} reached one that never had such a role", event.roles);
        }
    }
}

fn note(seen: &mut HashMap<ConnectionId, Seen>, id: ConnectionId, identity: &Identity) {
    seen.entry(id).or_default().roles.extend(identity.roles());
}

fn user(number: u8) -> UserId {
    UserId::new(format!("u{number}"))
}

fn channel(number: u8) -> Channel {
    Channel::new(format!("c{}", number & 3))
}

fn account(number: u8) -> Account {
    let membership = |team: u8| Membership {
        id: format!("m{team}").as_str().into(),
        team: format!("t{team}").as_str().into(),
        roles: vec![],
        confirmed: true,
    };
    Account {
        id: user(number & 1),
        email_verified: true,
        phone_verified: false,
        memberships: (number & 2 != 0).then(|| membership(number >> 2)).into_iter().collect(),
        labels: vec![],
        profile: Bytes::from_static(b"{}"),
    }
}

fn identity(number: u8) -> Identity {
    match number {
        7 => Identity::guest(),
        number => Identity { account: Some(Arc::new(account(number))), ..Identity::guest() },
    }
}

fn event(with: u8) -> Event {
    let role = match with & 7 {
        0 => Role::any(),
        1 => Role::guests(),
        2 => Role::user(&user(0)),
        3 => Role::user(&user(1)),
        number => Role::new(format!("team:t{}", number - 4)),
    };
    Event {
        id: format!("e{}", with & 0x30).as_str().into(),
        project: ProjectId::new("p"),
        channels: vec![channel(with >> 3)],
        roles: vec![role],
        name: None,
        user: None,
        data: Bytes::from_static(b"{}"),
        payload: Payload::new(Bytes::from_static(b"{}")),
        roles_changed: (with & 0x60 == 0x60).then(|| Holder::User(user(with >> 7))),
        spellings: Spellings::default(),
    }
}

fn hello() -> Hello {
    Hello {
        project: ProjectId::new("p"),
        credentials: Credentials::default(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        path: "/v1/realtime".to_owned(),
        origin: String::new(),
        referer: String::new(),
        channels: vec![channel(0), channel(1)],
        queries: HashMap::new(),
        since: None,
        wants_gaps: false,
    }
}

fn admission(identity: Identity) -> Admission {
    let project = Project {
        id: ProjectId::new("p"),
        sequence: "1".to_owned(),
        database: String::new(),
        team: None,
        region: String::new(),
        realtime_enabled: true,
        platforms: vec![],
    };
    Admission { project: Arc::new(project), identity, owns_origin: false }
}
