//! The world: nodes, clients, links, a bus, a directory and a memory under one clock. The same plan gives the same run.

mod action;
mod wire;
mod wiring;

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use realtime_core::id::ConnectionId;

use self::wiring::{Answer, Question};
use crate::bus::{Bus, Message};
use crate::client::{Driver, driver};
use crate::clock::Clock;
use crate::directory::Directory;
use crate::memory::{Memory, Note};
use crate::model::{LinkId, Model, NodeId, Seen, ShardId};
use crate::network::{Network, Said};
use crate::node::Node;
use crate::property::{self, Property};
use crate::random::Random;
use crate::workload::{Action, Plan};

/// How long everything is in order before the last events are published: whoever is out of luck has been told to wait
/// for half a minute.
const CALM: Duration = Duration::from_secs(75);
/// How long everything may take then to arrive.
const LAST: Duration = Duration::from_secs(8);
/// More steps than any run has; whoever takes them does nothing else.
const MOST_STEPS: usize = 3_000_000;

/// How a run went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What broke, if anything did.
    pub failure: Option<Failure>,
    /// A number that two runs share only if the same happened in both; zero unless asked for.
    pub trace: u64,
    /// What happened, in figures.
    pub figures: Figures,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub property: &'static str,
    /// When, since the start.
    pub at: Duration,
    /// How.
    pub text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {:.3} s: {}", self.property, self.at.as_secs_f64(), self.text)
    }
}

/// What happened in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Events published.
    pub events: usize,
    /// Events that clients read.
    pub read: usize,
    /// Links that there were.
    pub links: usize,
    /// Times that a client was told it had missed nothing.
    pub recovered: usize,
    /// Times that it was told that nobody vouches for it.
    pub doubted: usize,
}

/// What happens in the world.
#[derive(Debug)]
enum Happening {
    Act(Action),
    /// A node starts.
    Start(usize),
    /// A node tries to listen to the bus.
    Listen(NodeId),
    /// A message reaches a node, under a subscription of it.
    Arrive(NodeId, u64, Message),
    /// A node reads what the bus has kept, under a subscription of it.
    Browse(NodeId, u64),
    /// A shard does its next job.
    Work(ShardId),
    /// A look-up is made.
    Look(ShardId, Duration, Question),
    /// And answered.
    Answer(ShardId, Answer),
    /// A note reaches the memory.
    Note(NodeId, Note),
    /// A client's request reaches a node.
    Knock(usize, u64, crate::client::Head),
    /// A client reads.
    Read(LinkId),
    /// A client that did not read does so again.
    Resume(LinkId),
    /// Something of a client reaches its node.
    Hear(LinkId, Said),
    /// A client notices that its link is gone.
    ClientNotices(LinkId),
    /// A node does.
    ServerNotices(LinkId),
    /// The event that tells of a change of roles.
    Tell(Grant),
    /// A stopping node looks whether everybody has gone.
    End(NodeId),
}

/// A role given or taken.
#[derive(Debug, Clone, Copy)]
struct Grant {
    user: crate::model::User,
    role: &'static str,
    holds: bool,
    at: Instant,
}

/// A client and its link.
#[derive(Debug)]
struct Client {
    driver: Box<dyn Driver>,
    link: Option<LinkId>,
    /// Counts its attempts at a link.
    attempt: u64,
}

/// The world.
#[derive(Debug)]
pub struct World {
    plan: Plan,
    clock: Clock<Happening>,
    model: Model,
    properties: Vec<Box<dyn Property>>,
    failure: Option<Failure>,
    network: Network,
    bus: Bus,
    memory: Memory,
    directory: Directory,
    nodes: Vec<Node>,
    /// The process at each place.
    places: Vec<Option<NodeId>>,
    clients: Vec<Client>,
    /// Connections that have something to send.
    woken: VecDeque<(ShardId, ConnectionId)>,
    random: Random,
    figures: Figures,
    trace: Option<u64>,
    prints: bool,
}

/// Runs a plan.
pub fn run(plan: &Plan) -> Outcome {
    World::new(plan.clone()).run()
}

/// Runs a plan and sums up all that happens.
pub fn run_traced(plan: &Plan) -> Outcome {
    let mut world = World::new(plan.clone());
    world.trace = Some(0);
    world.run()
}

/// Runs a plan and prints all that happens.
pub fn run_aloud(plan: &Plan) -> Outcome {
    let mut world = World::new(plan.clone());
    world.prints = true;
    world.run()
}

impl World {
    fn new(plan: Plan) -> Self {
        let clock = Clock::default();
        let setting = &plan.setting;
        let now = clock.now();
        let mut random = Random::of(plan.seed, "world", 0);
        let mut clients = Vec::new();
        for (number, client) in setting.clients.iter().enumerate() {
            clients.push(Client {
                driver: driver(number, client, random.draw(), now),
                link: None,
                attempt: 0,
            });
        }
        Self {
            model: Model::new(setting.clone(), now),
            properties: property::all(),
            failure: None,
            network: Network::new(plan.seed, setting.latency, setting.link_bytes),
            bus: Bus::new(plan.seed),
            memory: Memory::default(),
            directory: Directory::default(),
            nodes: Vec::new(),
            places: vec![None; setting.places],
            clients,
            woken: VecDeque::new(),
            random,
            figures: Figures::default(),
            trace: None,
            prints: false,
            clock,
            plan,
        }
    }

    fn run(mut self) -> Outcome {
        let start = self.now();
        for place in 0..self.places.len() {
            self.start(place);
        }
        for (at, action) in std::mem::take(&mut self.plan.actions) {
            self.clock.plan(start + at, Happening::Act(action));
        }
        for client in 0..self.clients.len() {
            if let Some(client) = self.clients.get_mut(client) {
                client.driver.start(start);
            }
            self.serve(client);
        }
        let calm_at = start + self.plan.calm_at;
        self.pass(calm_at);
        self.mend();
        self.pass(calm_at + CALM);
        self.part_with_the_spared();
        self.pass(calm_at + CALM + LAST);
        self.publish_last();
        self.pass(calm_at + CALM + 2 * LAST);
        if self.failure.is_none() {
            for property in &mut self.properties {
                if let Err(text) = property.settle(&self.model) {
                    let at = self.clock.now().saturating_duration_since(start);
                    self.failure = Some(Failure { property: property.name(), at, text });
                    break;
                }
            }
        }
        Outcome { failure: self.failure, trace: self.trace.unwrap_or_default(), figures: self.figures }
    }

    /// Lets happen what happens by then.
    fn pass(&mut self, until: Instant) {
        for _ in 0..MOST_STEPS {
            if self.failure.is_some() {
                return;
            }
            let due = self.due();
            let next = self.clock.next();
            let soonest = due.into_iter().chain(next).min();
            match soonest {
                Some(at) if at <= until => {}
                Some(_) | None => {
                    self.clock.pass(until);
                    return;
                }
            }
            if next.is_some() && next == soonest {
                if let Some(happening) = self.clock.take(until) {
                    self.happen(happening);
                }
            } else if let Some(at) = due {
                self.clock.pass(at);
                self.time_out();
            }
            self.send_all();
        }
        let at = self.clock.now();
        self.fail("running", format!("something goes on and on at {:.3} s", self.clock.seconds(at)));
    }

    fn fail(&mut self, property: &'static str, text: String) {
        let at = Duration::from_secs_f64(self.clock.seconds(self.clock.now()));
        self.failure.get_or_insert(Failure { property, at, text });
    }

    /// When an engine or a client wants to be told the time next.
    fn due(&self) -> Option<Instant> {
        let engines =
            self.nodes.iter().flat_map(|node| &node.engines).filter_map(|engine| engine.poll_timeout());
        let clients = self.clients.iter().filter_map(|client| client.driver.poll_timeout());
        engines.chain(clients).min()
    }

    fn time_out(&mut self) {
        let now = self.now();
        for node in 0..self.nodes.len() {
            let shards = self.nodes.get(node).map_or(0, |node| node.engines.len());
            for shard in 0..shards {
                let engine = self.nodes.get(node).and_then(|node| node.engines.get(shard));
                if engine.and_then(|engine| engine.poll_timeout()).is_some_and(|at| at <= now) {
                    self.step((node, shard), |engine| engine.handle_timeout(now));
                }
            }
        }
        for number in 0..self.clients.len() {
            if let Some(client) = self.clients.get_mut(number)
                && client.driver.poll_timeout().is_some_and(|at| at <= now)
            {
                client.driver.handle_timeout(now);
                self.serve(number);
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Act(action) => self.act(action),
            Happening::Start(place) => self.start(place),
            Happening::Listen(node) => self.listen(node),
            Happening::Arrive(node, subscription, message) => self.arrive(node, subscription, &message),
            Happening::Browse(node, subscription) => self.browse(node, subscription),
            Happening::Work(shard) => self.work(shard),
            Happening::Look(shard, takes, question) => self.look(shard, takes, question),
            Happening::Answer(shard, answer) => self.answer(shard, answer),
            Happening::Note(node, note) => self.note(node, note),
            Happening::Knock(client, attempt, head) => self.knock(client, attempt, &head),
            Happening::Read(link) => self.read(link),
            Happening::Resume(link) => {
                let now = self.now();
                if self.network.link(link).is_some_and(|link| link.readable_at <= now) {
                    self.see(&Seen::Resumed(link));
                }
                self.read(link);
            }
            Happening::Hear(link, said) => self.hear(link, said),
            Happening::ClientNotices(link) => self.client_notices(link),
            Happening::ServerNotices(link) => self.server_notices(link),
            Happening::Tell(grant) => self.tell_of(grant),
            Happening::End(node) => self.end_if_empty(node),
        }
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Takes down what was seen, and shows it to every promise.
    fn see(&mut self, seen: &Seen<'_>) {
        if self.failure.is_some() {
            return;
        }
        let now = self.clock.now();
        if self.prints || self.trace.is_some() {
            self.write_down(seen, now);
        }
        self.model.note(seen, now);
        for property in &mut self.properties {
            if let Err(text) = property.see(seen, &self.model) {
                let at = Duration::from_secs_f64(self.clock.seconds(now));
                self.failure = Some(Failure { property: property.name(), at, text });
                return;
            }
        }
    }

    #[expect(clippy::print_stdout, reason = "somebody wants to read along")]
    fn write_down(&mut self, seen: &Seen<'_>, now: Instant) {
        let line = format!("{:10.3} {seen:?}", self.clock.seconds(now));
        if self.prints {
            println!("{line}");
        }
        if let Some(trace) = &mut self.trace {
            // FNV-1a, 64 bits.
            for byte in line.bytes() {
                *trace = (*trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
}
