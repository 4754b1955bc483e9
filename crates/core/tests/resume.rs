//! Who was away gets exactly what it missed, or is told that nobody can vouch for it: engines against a list of all
//! that happened.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic, and its clock must begin somewhere"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use realtime_core::channel::Channel;
use realtime_core::command::{Command, Hello, Subscribe};
use realtime_core::effect::{Admission, Effect, Owner};
use realtime_core::engine::Engine;
use realtime_core::event::{Event, Holder, Spellings};
use realtime_core::id::{ConnectionId, SubscriptionId};
use realtime_core::identity::{Account, Credentials, Identity, Standing};
use realtime_core::notice::{Notice, Outgoing};
use realtime_core::outbox::{self, Slow};
use realtime_core::project::Project;
use realtime_core::query::{Filter, Payload};
use realtime_core::replay::{Bounds, Parked, Place};
use realtime_core::role::Role;
use realtime_core::settings::Settings;

const CHANNELS: [&str; 3] = ["a", "b", "c"];
const ENGINES: usize = 2;
/// Stands in for a subscription that was ended before it was confirmed.
const ENDED: usize = usize::MAX;

#[derive(Debug, Clone)]
enum Step {
    /// Something happens on a channel, for everybody or for the user, who may have to be read again.
    Publish {
        channel: usize,
        for_user: bool,
        changes_roles: bool,
    },
    /// What engines asked for is answered.
    Refresh,
    /// The client connects, and subscribes again to all that it had, or to one of it first.
    Connect {
        client: usize,
        engine: usize,
        all: bool,
    },
    Subscribe {
        client: usize,
        subscription: usize,
    },
    /// Everything that waits for the client is taken, and maybe known to have arrived.
    Read {
        client: usize,
        receipt: bool,
    },
    /// Only so much is taken: the rest is lost if the link breaks now.
    ReadSome {
        client: usize,
        count: usize,
    },
    /// The link breaks, with all that was taken and not acknowledged, or without it.
    Break {
        client: usize,
        loses_unacknowledged: bool,
    },
    Unsubscribe {
        client: usize,
        subscription: usize,
    },
    Pass {
        seconds: u64,
    },
    Gap {
        engine: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..2usize;
    prop_oneof![
        12 => (0..3usize, any::<bool>(), prop::bool::weighted(0.15))
            .prop_map(|(channel, for_user, changes_roles)| Step::Publish { channel, for_user, changes_roles }),
        4 => Just(Step::Refresh),
        4 => (client.clone(), 0..ENGINES, any::<bool>())
            .prop_map(|(client, engine, all)| Step::Connect { client, engine, all }),
        3 => (client.clone(), 0..2usize)
            .prop_map(|(client, subscription)| Step::Subscribe { client, subscription }),
        4 => (client.clone(), any::<bool>()).prop_map(|(client, receipt)| Step::Read { client, receipt }),
        3 => (client.clone(), 1..4usize).prop_map(|(client, count)| Step::ReadSome { client, count }),
        3 => (client.clone(), any::<bool>())
            .prop_map(|(client, loses_unacknowledged)| Step::Break { client, loses_unacknowledged }),
        1 => (client, 0..2usize).prop_map(|(client, subscription)| Step::Unsubscribe { client, subscription }),
        2 => (0..20u64).prop_map(|seconds| Step::Pass { seconds }),
        1 => (0..ENGINES).prop_map(|engine| Step::Gap { engine }),
    ]
}

/// What a client has, and where it stands.
#[derive(Default)]
struct Client {
    link: Option<(usize, ConnectionId)>,
    /// What it has got for good: subscription and event.
    got: BTreeMap<(usize, usize), usize>,
    /// The subscriptions of each request that is not answered yet.
    asked: VecDeque<Vec<usize>>,
    /// What came since the last receipt.
    unacknowledged: Vec<(usize, usize)>,
    /// Since which event each of its subscriptions is vouched for.
    vouched: BTreeMap<usize, usize>,
}

struct World {
    engines: Vec<Engine>,
    now: Instant,
    memory: BTreeMap<(Owner, SubscriptionId), Parked>,
    clients: Vec<Client>,
    /// Everything that happened: the channel, and whether it is for the user alone.
    events: Vec<(usize, bool)>,
    refreshes: BTreeSet<usize>,
    bounds: Bounds,
}

fn hello() -> Hello {
    Hello {
        project: "p".into(),
        credentials: Credentials::default(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        path: String::new(),
        origin: String::new(),
        referer: String::new(),
        channels: vec![],
        queries: std::collections::HashMap::new(),
        since: None,
        wants_gaps: false,
    }
}

fn account() -> Arc<Account> {
    Arc::new(Account {
        id: "U".into(),
        email_verified: true,
        phone_verified: false,
        memberships: vec![],
        labels: vec![],
        profile: Bytes::from_static(b"{}"),
    })
}

fn admission() -> Admission {
    let project = Project {
        id: "p".into(),
        sequence: "1".to_owned(),
        database: String::new(),
        team: None,
        region: String::new(),
        realtime_enabled: true,
        platforms: vec![],
    };
    let identity = Identity { account: Some(account()), ..Identity::guest() };
    Admission { project: Arc::new(project), identity, owns_origin: false }
}

/// The first client of all listens to `a` by one subscription and to `a` and `b` by another; the second to `c` and `b`.
fn channels_of(client: usize, subscription: usize) -> Vec<usize> {
    match (client, subscription) {
        (0, 0) => vec![0],
        (0, _) => vec![0, 1],
        (_, 0) => vec![2],
        (_, _) => vec![1],
    }
}

fn name(client: usize, subscription: usize) -> SubscriptionId {
    SubscriptionId::new(format!("c{client}s{subscription}"))
}

impl World {
    fn new(bounds: Bounds, slow: Slow) -> Self {
        let settings = Settings {
            replay: bounds,
            messages: None,
            outbox: outbox::Bounds { count: 6, bytes: 1_000_000 },
            slow,
            heartbeat: Duration::from_secs(3_600),
            ..Settings::default()
        };
        let start = Instant::now();
        let engine = |seed| {
            let mut engine = Engine::new(settings.clone(), seed);
            engine.begin(start);
            engine
        };
        Self {
            engines: (0..ENGINES as u64).map(engine).collect(),
            now: start + Duration::from_secs(1),
            memory: BTreeMap::new(),
            clients: (0..2).map(|_| Client::default()).collect(),
            events: Vec::new(),
            refreshes: BTreeSet::new(),
            bounds,
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Publish { channel, for_user, changes_roles } => {
                self.publish(*channel, *for_user, *changes_roles)
            }
            Step::Refresh => self.refresh(),
            Step::Connect { client, engine, all } => self.connect(*client, *engine, *all),
            Step::Subscribe { client, subscription } => self.subscribe(*client, &[*subscription]),
            Step::Read { client, receipt } => {
                self.read(*client, usize::MAX);
                if *receipt && let Some((engine, id)) = self.clients[*client].link {
                    let receipt = self.engines[engine].receipt(id);
                    let now = self.now;
                    self.engines[engine].acknowledge(id, receipt, now);
                    self.keep(*client);
                }
            }
            Step::ReadSome { client, count } => self.read(*client, *count),
            Step::Break { client, loses_unacknowledged } => {
                if *loses_unacknowledged {
                    self.clients[*client].unacknowledged.clear();
                }
                self.unlink(*client);
            }
            Step::Unsubscribe { client, subscription } => self.unsubscribe(*client, *subscription),
            Step::Pass { seconds } => self.now += Duration::from_secs(*seconds),
            Step::Gap { engine } => {
                let now = self.now;
                self.engines[*engine].gap(now);
            }
        }
        self.carry_out();
    }

    fn publish(&mut self, channel: usize, for_user: bool, changes_roles: bool) {
        let event = Arc::new(Event {
            id: format!("e{}", self.events.len()).as_str().into(),
            project: "p".into(),
            channels: vec![Channel::new(CHANNELS[channel])],
            roles: vec![if for_user { Role::user(&"U".into()) } else { Role::any() }],
            name: None,
            user: None,
            data: Bytes::from_static(b"{}"),
            payload: Payload::new(Bytes::from_static(b"{}")),
            roles_changed: changes_roles.then(|| Holder::User("U".into())),
            spellings: Spellings::default(),
        });
        self.events.push((channel, for_user));
        for engine in &mut self.engines {
            engine.publish(&event, self.now);
        }
    }

    fn refresh(&mut self) {
        for engine in std::mem::take(&mut self.refreshes) {
            let standing = Standing { account: account(), sessions: vec![], may_impersonate: false };
            self.engines[engine].refreshed(&"p".into(), &"U".into(), &Ok(Some(standing)));
        }
    }

    fn connect(&mut self, client: usize, engine: usize, all: bool) {
        if self.clients[client].link.is_some() {
            return;
        }
        let id = self.engines[engine].open(hello(), self.now);
        self.engines[engine].identified(id, Ok(admission()), self.now);
        self.clients[client].link = Some((engine, id));
        self.clients[client].asked.clear();
        self.subscribe(client, if all { &[0, 1] } else { &[0] });
    }

    fn subscribe(&mut self, client: usize, subscriptions: &[usize]) {
        let Some((engine, id)) = self.clients[client].link else { return };
        let items = subscriptions.iter().map(|subscription| Subscribe {
            id: Some(name(client, *subscription)),
            channels: channels_of(client, *subscription)
                .iter()
                .map(|channel| Channel::new(CHANNELS[*channel]))
                .collect(),
            filter: Filter::everything(),
            since: None,
        });
        self.engines[engine].receive(id, Ok(Command::Subscribe(items.collect())), self.now);
        self.clients[client].asked.push_back(subscriptions.to_vec());
    }

    fn unsubscribe(&mut self, client: usize, subscription: usize) {
        // What it is told before is of before.
        self.read(client, usize::MAX);
        let Some((engine, id)) = self.clients[client].link else { return };
        let ended = Command::Unsubscribe(vec![name(client, subscription)]);
        self.engines[engine].receive(id, Ok(ended), self.now);
        self.clients[client].vouched.remove(&subscription);
        // What is not answered yet will have been ended by then.
        for asked in &mut self.clients[client].asked {
            asked.iter_mut().filter(|asked| **asked == subscription).for_each(|asked| *asked = ENDED);
        }
    }

    /// Does what the engines ask for, role look-ups apart.
    fn carry_out(&mut self) {
        for engine in 0..ENGINES {
            while let Some(effect) = self.engines[engine].poll_effect() {
                match effect {
                    Effect::Recall { connection, owner, subscriptions } => {
                        let found = subscriptions.into_iter().filter_map(|id| {
                            let parked = self.memory.get(&(owner.clone(), id.clone()))?;
                            Some((id, parked.clone()))
                        });
                        let found = found.collect();
                        self.engines[engine].recalled(connection, found);
                    }
                    Effect::Remember { owner, places, .. } => {
                        for (id, place) in places {
                            let key = (owner.clone(), id);
                            match place {
                                Some(Place { position, at }) => {
                                    self.memory.insert(key, Parked { position, at: at.unwrap_or(self.now) })
                                }
                                None => self.memory.remove(&key),
                            };
                        }
                    }
                    Effect::Refresh { .. } => drop(self.refreshes.insert(engine)),
                    Effect::Wake(_)
                    | Effect::Identify { .. }
                    | Effect::Authenticate { .. }
                    | Effect::FindOwner { .. }
                    | Effect::Present { .. }
                    | Effect::Absent { .. } => {}
                }
            }
        }
    }

    fn read(&mut self, client: usize, count: usize) {
        let Some((engine, id)) = self.clients[client].link else { return };
        for _ in 0..count {
            let outgoing = self.engines[engine].poll_outgoing(id);
            self.carry_out();
            match outgoing {
                Some(Outgoing::Event(delivery)) => {
                    let number: usize = delivery.event.id.as_str().trim_start_matches('e').parse().unwrap();
                    for subscription in &delivery.subscriptions {
                        let subscription = usize::from(*subscription == name(client, 1));
                        self.clients[client].unacknowledged.push((subscription, number));
                    }
                }
                Some(Outgoing::Notice(Notice::Subscribed(made))) => {
                    let asked = self.clients[client].asked.pop_front().unwrap();
                    let vouched = &mut self.clients[client].vouched;
                    for (subscription, made) in asked.into_iter().zip(made) {
                        if subscription == ENDED {
                            continue;
                        }
                        if matches!(made.recovery, Some(Err(_))) {
                            vouched.remove(&subscription);
                        }
                        // From here on; what comes must all come.
                        vouched.entry(subscription).or_insert(self.events.len());
                    }
                }
                Some(Outgoing::Close(_)) => {
                    self.unlink(client);
                    return;
                }
                Some(Outgoing::Notice(_)) => {}
                None => return,
            }
        }
    }

    /// What has come is there for good.
    fn keep(&mut self, client: usize) {
        let client = &mut self.clients[client];
        for (subscription, number) in std::mem::take(&mut client.unacknowledged) {
            *client.got.entry((subscription, number)).or_default() += 1;
        }
    }

    fn unlink(&mut self, client: usize) {
        self.keep(client);
        if let Some((engine, id)) = self.clients[client].link.take() {
            self.engines[engine].closed(id);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_missing_without_a_word(
        steps in prop::collection::vec(step(), 1..60),
        events in prop_oneof![Just(1_000usize), 3..10usize],
        last_engines in prop::collection::vec(0..ENGINES, 2),
        slow in prop_oneof![2 => Just(Slow::Close), 1 => Just(Slow::Drop)],
    ) {
        let bounds = Bounds { window: Duration::from_secs(60), events, ..Bounds::default() };
        let mut world = World::new(bounds, slow);
        for step in &steps {
            world.take(step);
        }
        // In the end everybody is back, takes all there is, and has it.
        for (client, subscription) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            world.take(&Step::Subscribe { client, subscription });
        }
        for _ in 0..8 {
            if slow == Slow::Drop {
                // What was left out comes to whoever comes back.
                for client in 0..2 {
                    world.take(&Step::Break { client, loses_unacknowledged: false });
                }
            }
            world.take(&Step::Refresh);
            for (client, engine) in last_engines.iter().enumerate() {
                world.take(&Step::Connect { client, engine: *engine, all: true });
                world.take(&Step::Refresh);
                world.take(&Step::Read { client, receipt: true });
            }
        }
        for (number, client) in world.clients.iter().enumerate() {
            prop_assert!(client.link.is_some(), "client {} is not connected in the end", number);
            for (subscription, since) in &client.vouched {
                let wanted = channels_of(number, *subscription);
                for (event, (channel, _)) in world.events.iter().enumerate().skip(*since) {
                    if wanted.contains(channel) {
                        prop_assert!(
                            client.got.contains_key(&(*subscription, event)),
                            "client {} misses e{} of its subscription {}, vouched for since e{}",
                            number, event, subscription, since
                        );
                    }
                }
            }
            for (subscription, event) in client.got.keys() {
                prop_assert!(channels_of(number, *subscription).contains(&world.events[*event].0));
            }
        }
        prop_assert!(world.bounds.events >= 3);
    }
}
