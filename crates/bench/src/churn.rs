//! Many connections on several nodes beside one Redis: users in rooms, some of whom come and go, while events pass.
//!
//! A process may open only so many files, so the connections are spread over as many nodes as they need. The events of a
//! room go to every node, and an event for one user among all is timed on the same connections.

use std::path::PathBuf;

use serde_json::json;

use crate::BenchError;
use crate::appwrite;
use crate::clients::Churned;
use crate::clock;
use crate::connect::rested;
use crate::contender::realtime::{Cluster, REDIS_CHANNEL, SECRET, hello_with, listener, message};
use crate::crowd::Crowd;
use crate::dialogue::{Dialogue, user};
use crate::fanout::payload;
use crate::floor::Writes;
use crate::histogram::Quantiles;
use crate::report::{Report, Table, bytes, nanoseconds, ratio};
use crate::target::{Target, Verdict};
use crate::wire::Framing;

/// Connections of one node: fewer than the files that an ordinary process may open.
const OF_NODE: usize = 17_000;
/// The aims: connections, events in a second, and nanoseconds of the 99th percentile.
const CONNECTIONS: usize = 100_000;
const RATE: u32 = 1_000;
const P99: f64 = 100e6;
/// How many times less than Appwrite's server an event for one user among 100,000 is to take.
const ONE_USER: f64 = 10_000.0;
/// Events for one user: one at a time, so many in a second, for the latency; and at once, for the processor time.
const SINGLE_PACED: usize = 100;
const SINGLE_RATE: u32 = 50;
const SINGLE_AT_ONCE: usize = 1_000;
/// Halvings of the rate that are tried when it is too much.
const HALVINGS: u32 = 4;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Connections, each of a user of its own
    #[arg(long, default_value_t = CONNECTIONS)]
    pub(crate) connections: usize,
    /// Clients that hear an event
    #[arg(long, default_value_t = 100)]
    pub(crate) receivers: usize,
    /// Events in a second; if that is too much, half as many, and so on
    #[arg(long, default_value_t = RATE)]
    pub(crate) rate: u32,
    /// The part of all clients that come and go each second
    #[arg(long, default_value_t = 0.01)]
    pub(crate) churn: f64,
    /// Seconds for each rate
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u32,
    /// This server's binary; by default the one built beside this one
    #[arg(long)]
    pub(crate) bin: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What came of a rate.
struct Level {
    rate: u32,
    /// Deliveries to clients that stay, and how many of them are missing.
    steady: u64,
    lost: u64,
    delivered: u64,
    latency: Quantiles,
    churned: Churned,
    /// Nanoseconds of all nodes for each delivery, with the connects and what else they did.
    work: f64,
    /// Processors that the nodes kept busy.
    busy: f64,
}

/// An event for one user.
struct Single {
    /// Nanoseconds of all nodes, and of one of them, for each event.
    work: f64,
    of_node: f64,
    latency: Quantiles,
}

pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    measure(options)?.print(options.json);
    Ok(())
}

/// A cluster with its clients.
struct Run<'a> {
    options: &'a Options,
    cluster: Cluster,
    crowd: Crowd,
    rooms: usize,
}

pub(crate) fn measure(options: &Options) -> Result<Report, BenchError> {
    let binary = crate::server(options.bin.as_ref())?;
    let nodes = options.connections.div_ceil(OF_NODE).max(1);
    // A shard each: together the nodes have more threads than the machine has processors as it is.
    let more: &[&str] = if nodes > 1 { &["--shards", "1"] } else { &[] };
    let Some(cluster) = Cluster::start(&binary, nodes, more)? else {
        return Err(BenchError::new("redis-server is not installed; `cargo xtask bench --install` does"));
    };
    let rooms = (options.connections / options.receivers.max(1)).max(1);
    let writes = Writes::open(options.receivers)?;
    let empty: f64 = cluster.nodes.iter().map(|node| node.program.memory() as f64).sum();
    let dialogue = Dialogue::new(
        Framing::WebSocket,
        [hello_with("X-Appwrite-JWT: %JWT%\r\n"), listener("rooms.%ROOM%")],
    );
    let dialogue = dialogue.rooms(rooms).secret(SECRET);
    let crowd = Crowd::open_churning(&cluster.addresses(), options.connections, &dialogue)?;
    let mut run = Run { options, cluster, crowd, rooms };
    run.rest();
    let full: f64 = run.cluster.nodes.iter().map(|node| node.program.memory() as f64).sum();
    let memory = (full - empty) / options.connections.max(1) as f64;
    let single = run.single()?;
    let mut levels = Vec::new();
    for halving in 0..=HALVINGS {
        let rate = (options.rate >> halving).max(1);
        let level = run.level(rate)?;
        let is_enough = level.is_well();
        levels.push(level);
        if is_enough || rate == 1 {
            break;
        }
    }
    // At the pace of the last level.
    let floor = writes.measure(700, 200, clock::interval(levels.last().map_or(1, |level| level.rate)))?;
    Ok(report(&run, memory, &single, &levels, floor))
}

impl Level {
    fn is_well(&self) -> bool {
        (self.latency.p99 as f64) < P99 && self.lost == 0
    }
}

impl Run<'_> {
    fn rest(&self) {
        for node in &self.cluster.nodes {
            rested(&node.program);
        }
    }

    /// What all nodes have worked so far.
    fn work(&self) -> u64 {
        self.cluster.nodes.iter().map(|node| node.program.work().total).sum()
    }

    /// Events for one user each.
    fn single(&mut self) -> Result<Single, BenchError> {
        self.tell_one_each(SINGLE_PACED, clock::interval(SINGLE_RATE))?;
        let latency = self.crowd.latencies()?;
        self.rest();
        let before = self.work();
        self.tell_one_each(SINGLE_AT_ONCE, 0)?;
        let work = (self.work() - before) as f64 / SINGLE_AT_ONCE as f64;
        let of_node = work / self.cluster.nodes.len().max(1) as f64;
        Ok(Single { work, of_node, latency })
    }

    /// Events for users all over the place, on the channels of their rooms, which others listen to as well.
    fn tell_one_each(&mut self, events: usize, interval: u64) -> Result<(), BenchError> {
        let before = self.crowd.count()?.events;
        self.crowd.latencies()?;
        let began = clock::now();
        let text = |turn: usize| {
            // Multiples of a large prime.
            let number = (turn * 982_451_653) % self.options.connections.max(1);
            let (channel, role) =
                (format!("rooms.{}", number % self.rooms), format!("user:{}", user(number)));
            message(&channel, &role, &payload(turn, began + interval * turn as u64, 600))
        };
        if interval == 0 {
            let texts: Vec<String> = (0..events).map(text).collect();
            self.cluster.bus.send(REDIS_CHANNEL, &texts)?;
        } else {
            for turn in 0..events {
                let text = text(turn);
                clock::sleep_until(began + interval * turn as u64);
                self.cluster.bus.send(REDIS_CHANNEL, &[text])?;
            }
        }
        let wanted = events as u64;
        let got = self.crowd.wait_for(before, wanted, |count| count.events)?;
        if got != wanted {
            return Err(BenchError::new(format!("{got} of {wanted} events for one user arrived")));
        }
        Ok(())
    }

    /// Events at this rate while clients come and go.
    fn level(&mut self, rate: u32) -> Result<Level, BenchError> {
        let seconds = self.options.seconds;
        self.rest();
        let before = self.crowd.count()?;
        self.crowd.latencies()?;
        self.crowd.churned()?;
        let churned_before = self.crowd.churned()?;
        let (work, began) = (self.work(), clock::now());
        self.crowd.churn(self.options.churn, f64::from(seconds))?;
        let events = rate as usize * seconds as usize;
        let mut next = 0;
        let mut wanted = 0;
        while next < events {
            clock::sleep_until(began + clock::interval(rate) * next as u64);
            // All that are due, so that a late publisher does not lower the rate.
            let due = ((clock::now() - began) / clock::interval(rate)) as usize + 1;
            let mut texts = Vec::new();
            for number in next..due.min(events).max(next + 1) {
                let room = (number * 7) % self.rooms;
                let at = began + clock::interval(rate) * number as u64;
                texts.push(message(&format!("rooms.{room}"), "any", &payload(number, at, 600)));
                wanted += self.steady_of(room);
            }
            next += texts.len();
            self.cluster.bus.send(REDIS_CHANNEL, &texts)?;
        }
        let got = self.crowd.wait_for(before.steady, wanted, |count| count.steady)?;
        let took = (clock::now() - began) as f64;
        let work = (self.work() - work) as f64;
        let delivered = self.crowd.count()?.events - before.events;
        let mut churned = self.crowd.churned()?;
        churned.connects -= churned_before.connects;
        churned.failed -= churned_before.failed;
        Ok(Level {
            rate,
            steady: got,
            lost: wanted.saturating_sub(got),
            delivered,
            latency: self.crowd.latencies()?,
            churned,
            work: work / delivered.max(1) as f64,
            busy: work / took,
        })
    }

    /// Clients of a room that stay.
    fn steady_of(&self, room: usize) -> u64 {
        let members = (room..self.options.connections).step_by(self.rooms);
        members.filter(|number| !crate::clients::comes_and_goes(*number, self.rooms)).count() as u64
    }
}

fn report(run: &Run<'_>, memory: f64, single: &Single, levels: &[Level], floor: f64) -> Report {
    let (options, nodes) = (run.options, run.cluster.nodes.len());
    let mut table = Table::new(&[
        "events/s",
        "deliveries/s",
        "p50 / p90 / p99 / p99.9 / max ms",
        "missing of those who stayed",
        "connects",
        "refused",
        "connect p50 / p99 ms",
        "µs of the nodes a delivery",
        "× floor",
        "processors",
    ]);
    let ms = |nanoseconds: u64| format!("{:.1}", nanoseconds as f64 / 1e6);
    let mut rows = Vec::new();
    for level in levels {
        let connects = level.churned.latencies.quantiles();
        let latency = level.latency;
        table.row([
            level.rate.to_string(),
            format!("{:.0}", level.delivered as f64 / f64::from(options.seconds)),
            [latency.p50, latency.p90, latency.p99, latency.p999, latency.most].map(ms).join(" / "),
            format!("{} of {}", level.lost, level.steady + level.lost),
            level.churned.connects.to_string(),
            level.churned.failed.to_string(),
            [connects.p50, connects.p99].map(ms).join(" / "),
            format!("{:.1}", level.work / 1e3),
            ratio(level.work / floor),
            format!("{:.2}", level.busy),
        ]);
        rows.push(json!({
            "rate": level.rate,
            "delivered": level.delivered,
            "lost": level.lost,
            "latency": latency.to_json(),
            "connects": level.churned.connects,
            "refused": level.churned.failed,
            "connect_latency": connects.to_json(),
            "work_ns_per_delivery": level.work,
            "processors": level.busy,
        }));
    }
    let connects_each_second = options.connections as f64 / run.crowd.opened_in.as_secs_f64();
    let reached = levels.iter().find(|level| level.is_well());
    let full = levels.first();
    let over = appwrite::ONE_USER.over(single.work, floor);
    let over_of_node = appwrite::ONE_USER.over(single.of_node, floor);
    let targets = vec![
        Target {
            subject: format!(
                "{} connections on {nodes} nodes, {:.0} % come and go each second, {} events/s to {} each: p99",
                options.connections,
                options.churn * 100.0,
                options.rate,
                options.receivers
            ),
            wanted: format!("{CONNECTIONS} connections, {RATE} events/s, < {}", nanoseconds(P99)),
            bench: "churn",
            figure: format!(
                "{} ({}); p99 < 100 ms {}",
                full.map_or_else(|| "–".to_owned(), |level| nanoseconds(level.latency.p99 as f64)),
                full.map_or_else(|| "–".to_owned(), |level| format!("{} missing", level.lost)),
                reached.map_or_else(
                    || "at none of the rates tried".to_owned(),
                    |level| format!("at {} events/s", level.rate)
                )
            ),
            floor: format!("{:.1} µs a `writev`", floor / 1e3),
            ratio: full.map_or_else(
                || "–".to_owned(),
                |level| format!("{} (processor time a delivery)", ratio(level.work / floor)),
            ),
            verdict: Verdict::of(
                options.connections >= CONNECTIONS && reached.is_some_and(|level| level.rate >= RATE),
            ),
        },
        Target {
            subject: format!(
                "event for one user among {}, with delivery, all {nodes} nodes together",
                options.connections
            ),
            wanted: format!("{ONE_USER:.0} × less than Appwrite"),
            bench: "churn",
            figure: format!(
                "{} on all nodes, {} on each; p99 {}",
                nanoseconds(single.work),
                nanoseconds(single.of_node),
                nanoseconds(single.latency.p99 as f64)
            ),
            floor: format!("{:.1} µs a `writev`; {}", floor / 1e3, appwrite::ONE_USER.text()),
            ratio: format!("{} ({} of a node)", ratio(over), ratio(over_of_node)),
            verdict: Verdict::of(over >= ONE_USER),
        },
    ];
    let notes = vec![format!(
        "{} connections of as many users with a JWT each, on {nodes} nodes beside one Redis, opened at {connects_each_second:.0} a \
         second; {} of the nodes' memory (PSS) for each. {} s at each rate. A tenth of the clients comes and goes, \
         and is sent what it missed; those who stay must miss nothing, and their latencies are told. Clients, nodes, Redis and publisher share the machine.",
        options.connections,
        bytes(memory),
        options.seconds
    )];
    let json = json!({
        "bench": "churn",
        "connections": options.connections,
        "nodes": nodes,
        "receivers": options.receivers,
        "opened_each_second": connects_each_second,
        "bytes_per_connection": memory,
        "floor_ns": floor,
        "one_user": {
            "all_nodes_ns": single.work,
            "each_node_ns": single.of_node,
            "latency": single.latency.to_json(),
        },
        "levels": rows,
    });
    Report { table, notes, json, targets }
}
