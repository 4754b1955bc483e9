//! From publishing over Redis to receipt when there is nothing else to do: one event at a time, each for one client.

use std::path::PathBuf;

use serde_json::json;

use crate::BenchError;
use crate::clock;
use crate::contender::realtime::{Cluster, REDIS_CHANNEL, hello, listener, message};
use crate::crowd::Crowd;
use crate::dialogue::{Dialogue, Step};
use crate::fanout::payload;
use crate::histogram::Quantiles;
use crate::report::{Report, Spread, Table, nanoseconds, ratio};
use crate::target::{Target, Verdict};
use crate::wire::Framing;

/// What the 99th percentile may be, in nanoseconds.
const TARGET: f64 = 2e6;
/// A channel of Redis that this server does not listen to.
const FLOOR_CHANNEL: &str = "bench-floor";

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Connections, each on a channel of its own
    #[arg(long, default_value_t = 1_000)]
    pub(crate) connections: usize,
    /// Events of a round
    #[arg(long, default_value_t = 200)]
    pub(crate) events: usize,
    /// Events in a second
    #[arg(long, default_value_t = 100)]
    pub(crate) rate: u32,
    /// Rounds; server and floor take turns
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// This server's binary; by default the one built beside this one
    #[arg(long)]
    pub(crate) bin: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    measure(options)?.print(options.json);
    Ok(())
}

pub(crate) fn measure(options: &Options) -> Result<Report, BenchError> {
    let binary = crate::server(options.bin.as_ref())?;
    let Some(mut cluster) = Cluster::start(&binary, 1, &[])? else {
        return Err(BenchError::new("redis-server is not installed; `cargo xtask bench --install` does"));
    };
    let clients = Dialogue::new(Framing::WebSocket, [hello(), listener("rooms.%ROOM%")]);
    let clients = clients.rooms(options.connections);
    let Some(node) = cluster.addresses().first().copied() else {
        return Err(BenchError::new("there is no node"));
    };
    let mut crowd = Crowd::open(node, options.connections, &clients)?;
    let subscriber = Step::raw(format!("SUBSCRIBE {FLOOR_CHANNEL}\r\n"), b":1\r\n");
    let mut floor = Crowd::open(cluster.bus.address, 1, &Dialogue::new(Framing::Stream, [subscriber]))?;
    let (mut served, mut bare) = (Vec::new(), Vec::new());
    // Round 0 warms up and is not kept.
    for round in 0..=options.rounds {
        for is_floor in [false, true] {
            let receiver = if is_floor { &mut floor } else { &mut crowd };
            let channel = if is_floor { FLOOR_CHANNEL } else { REDIS_CHANNEL };
            let before = receiver.count()?.events;
            receiver.latencies()?;
            let began = clock::now();
            for number in 0..options.events {
                let due = began + clock::interval(options.rate) * number as u64;
                let room = (round * options.events + number) % options.connections.max(1);
                clock::sleep_until(due);
                let text = message(&format!("rooms.{room}"), "any", &payload(number, due, 600));
                cluster.bus.send(channel, &[text])?;
            }
            let wanted = options.events as u64;
            let got = receiver.wait_for(before, wanted, |count| count.events)?;
            if got != wanted {
                return Err(BenchError::new(format!("{got} of {wanted} events arrived")));
            }
            if round > 0 {
                if is_floor { &mut bare } else { &mut served }.push(receiver.latencies()?);
            }
        }
    }
    Ok(report(options, &served, &bare))
}

fn report(options: &Options, served: &[Quantiles], bare: &[Quantiles]) -> Report {
    let of = |taken: &[Quantiles], part: fn(&Quantiles) -> u64| {
        taken.iter().map(|quantiles| part(quantiles) as f64).collect::<Vec<f64>>()
    };
    let mut table = Table::new(&["", "p50", "p90", "p99", "p99 min–max", "p99.9", "max"]);
    let mut row = |name: &str, taken: &[Quantiles]| {
        let middle = |part| nanoseconds(Spread::of(&of(taken, part)).median);
        let p99 = Spread::of(&of(taken, |quantiles| quantiles.p99));
        table.row([
            name.to_owned(),
            middle(|quantiles| quantiles.p50),
            middle(|quantiles| quantiles.p90),
            nanoseconds(p99.median),
            format!("{}–{}", nanoseconds(p99.min), nanoseconds(p99.max)),
            middle(|quantiles| quantiles.p999),
            middle(|quantiles| quantiles.most),
        ]);
    };
    row("floor: a subscriber of Redis", bare);
    row("realtime, over Redis", served);
    let (p99s, floors) = (of(served, |taken| taken.p99), of(bare, |taken| taken.p99));
    let (p99, floor) = (Spread::of(&p99s), Spread::of(&floors));
    let over = Spread::of_ratios(&p99s, &floors);
    let target = Target {
        subject: "latency, unloaded, from publishing over Redis to receipt, p99".to_owned(),
        wanted: format!("< {}", nanoseconds(TARGET)),
        bench: "latency",
        figure: format!("{} ({}–{})", nanoseconds(p99.median), nanoseconds(p99.min), nanoseconds(p99.max)),
        floor: format!("{} to a bare subscriber of Redis", nanoseconds(floor.median)),
        ratio: ratio(over.median),
        verdict: Verdict::of(p99.median < TARGET),
    };
    let notes = vec![format!(
        "{} connections, {} rounds of {} events, {} in a second, each for one client. The floor is a plain subscriber of \
         the same Redis.",
        options.connections, options.rounds, options.events, options.rate
    )];
    let json = json!({
        "bench": "latency",
        "served": served.iter().map(|taken| taken.to_json()).collect::<Vec<_>>(),
        "floor": bare.iter().map(|taken| taken.to_json()).collect::<Vec<_>>(),
        "p99_ns": p99.to_json(),
        "p99_times_floor": over.to_json(),
    });
    Report { table, notes, json, targets: vec![target] }
}
