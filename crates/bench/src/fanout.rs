//! One event to many connections: what it costs each server for each delivery, against what it costs the kernel alone.
//!
//! All servers are started first and measured by turns, so that a slow moment of the machine strikes each of them alike.
//! Events are sent by a schedule, and latency counts from the moment an event was to be sent: a sender that is held up
//! does not hide what it caused.

mod targets;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::BenchError;
use crate::clock;
use crate::contender::{Contender, Kind};
use crate::crowd::Crowd;
use crate::floor::{self, Writes};
use crate::histogram::Quantiles;
use crate::report::{Report, Spread, Table, bytes, micros, ratios};

/// How much to send, and to how many.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Connections that get every event, each with a subscription id of its own
    #[arg(long, default_value_t = 1_000)]
    pub(crate) connections: usize,
    /// Connections to this server that listen to something else
    #[arg(long, default_value_t = 0)]
    pub(crate) idle: usize,
    /// Subscriptions that each client of this server makes by a message
    #[arg(long, default_value_t = 1)]
    pub(crate) subscriptions: usize,
    /// Paced events of each round
    #[arg(long, default_value_t = 40)]
    pub(crate) events: usize,
    /// Events at once of each round
    #[arg(long, default_value_t = 40)]
    pub(crate) burst: usize,
    /// Paced events in a second
    #[arg(long, default_value_t = 20)]
    pub(crate) rate: u32,
    /// Bytes of an event's payload
    #[arg(long, default_value_t = 600)]
    pub(crate) payload: usize,
    /// Rounds; floor and servers take turns
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Whose figures to take; those that are not installed are named
    #[arg(long, value_delimiter = ',', value_enum)]
    pub(crate) servers: Vec<Kind>,
    /// This server's binary; by default the one built beside this one
    #[arg(long)]
    pub(crate) bin: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Connections of the floor, at most: beyond it the caches hold none of them either.
const FLOOR: usize = 5_000;

/// A server with its clients, and what was measured.
struct Entrant {
    kind: Kind,
    contender: Contender,
    crowd: Crowd,
    _idle: Option<Crowd>,
    /// Nanoseconds of the server for each connect, and bytes of memory.
    connect_work: f64,
    connect_memory: f64,
    frame: usize,
    paced: Vec<Taken>,
    backlog: Vec<Taken>,
}

/// One measurement of one server.
#[derive(Debug, Clone, Copy)]
struct Taken {
    /// Nanoseconds of the server for each delivery, and the part of the kernel in all its work.
    work: f64,
    system: f64,
    /// Deliveries in a second.
    rate: f64,
    lost: u64,
    latency: Quantiles,
}

/// What the kernel alone takes.
#[derive(Debug, Default)]
struct Floors {
    paced: Vec<f64>,
    backlog: Vec<f64>,
    connect: f64,
}

pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    measure(options)?.print(options.json);
    Ok(())
}

/// Runs all rounds.
pub(crate) fn measure(options: &Options) -> Result<Report, BenchError> {
    let binary = crate::server(options.bin.as_ref())?;
    let kinds = if options.servers.is_empty() { Kind::value_variants() } else { &options.servers[..] };
    // A peer that cannot be measured is named with the reason; this server has to be measured.
    let (mut entrants, mut absent): (Vec<Entrant>, Vec<(Kind, String)>) = (Vec::new(), Vec::new());
    for kind in kinds {
        match Entrant::start(*kind, &binary, options) {
            Ok(Some(entrant)) => entrants.push(entrant),
            Ok(None) => absent.push((*kind, "not installed".to_owned())),
            Err(error) if kind.is_peer() => absent.push((*kind, error.to_string())),
            Err(error) => return Err(BenchError::new(format!("{}: {error}", kind.name()))),
        }
    }
    let writes = Writes::open(options.connections.min(FLOOR))?;
    let mut floors =
        Floors { connect: floor::connects(options.connections.min(FLOOR))?, ..Floors::default() };
    let interval = clock::interval(options.rate);
    let frame = entrants.first().map_or(options.payload, |entrant| entrant.frame);
    for _ in 0..options.rounds {
        floors.paced.push(writes.measure(frame, options.events, interval)?);
        floors.backlog.push(writes.measure(frame, options.burst, 0)?);
        for entrant in std::mem::take(&mut entrants) {
            let (kind, measured) = (entrant.kind, entrant.round(options, interval));
            match measured {
                Ok(entrant) => entrants.push(entrant),
                Err(error) if kind.is_peer() => absent.push((kind, error.to_string())),
                Err(error) => return Err(BenchError::new(format!("{}: {error}", kind.name()))),
            }
        }
    }
    Ok(report(options, &entrants, &floors, &absent))
}

impl Entrant {
    fn start(kind: Kind, binary: &std::path::Path, options: &Options) -> Result<Option<Self>, BenchError> {
        let Some(contender) = kind.start(binary, options.subscriptions)? else { return Ok(None) };
        let (work, memory) = (contender.program.work(), contender.program.memory());
        let crowd = Crowd::open(contender.address, options.connections, &contender.dialogue)?;
        let size = options.connections.max(1) as f64;
        let connect_work = contender.program.work().since(work).total as f64 / size;
        let connect_memory = contender.program.memory().saturating_sub(memory) as f64 / size;
        let idle = (options.idle > 0 && !kind.is_peer())
            .then(|| Crowd::open(contender.address, options.idle, &crate::idle::listener()))
            .transpose()?;
        let mut this = Self {
            kind,
            contender,
            crowd,
            _idle: idle,
            connect_work,
            connect_memory,
            frame: 0,
            paced: Vec::new(),
            backlog: Vec::new(),
        };
        // The first events warm everything up and tell how long a frame is.
        let before = this.crowd.count()?;
        this.take(3, options.payload, Some(clock::interval(20)))?;
        let after = this.crowd.count()?;
        let frame = (after.bytes - before.bytes).checked_div(after.events - before.events);
        this.frame = usize::try_from(frame.unwrap_or_default()).unwrap_or_default();
        Ok(Some(this))
    }

    fn round(mut self, options: &Options, interval: u64) -> Result<Self, BenchError> {
        let paced = self.take(options.events, options.payload, Some(interval))?;
        self.paced.push(paced);
        let backlog = self.take(options.burst, options.payload, None)?;
        self.backlog.push(backlog);
        Ok(self)
    }

    /// Sends events at even intervals, or all at once.
    fn take(&mut self, events: usize, size: usize, interval: Option<u64>) -> Result<Taken, BenchError> {
        let (work, before) = (self.contender.program.work(), self.crowd.count()?.events);
        self.crowd.latencies()?;
        let began = clock::now();
        match interval {
            Some(interval) => {
                for number in 0..events {
                    let due = began + interval * number as u64;
                    clock::sleep_until(due);
                    self.contender.publisher.publish(&[payload(number, due, size)])?;
                }
            }
            None => {
                let payloads: Vec<String> = (0..events).map(|number| payload(number, began, size)).collect();
                self.contender.publisher.publish(&payloads)?;
            }
        }
        let wanted = (events * self.crowd.size) as u64;
        let got = self.crowd.wait_for(before, wanted, |count| count.events)?;
        let took = Duration::from_nanos(clock::now() - began).as_secs_f64();
        let work = self.contender.program.work().since(work);
        if got == 0 {
            return Err(BenchError::new("no event arrived"));
        }
        Ok(Taken {
            work: work.total as f64 / got as f64,
            system: work.system as f64 / work.total.max(1) as f64,
            rate: got as f64 / took,
            lost: wanted.saturating_sub(got),
            latency: self.crowd.latencies()?,
        })
    }
}

/// A payload of about so many bytes, told when it was to be sent.
pub(crate) fn payload(number: usize, at: u64, size: usize) -> String {
    let around = format!(r##"{{"sent":"#at={at};","n":{number},"filling":""}}"##);
    let filling = "x".repeat(size.saturating_sub(around.len()));
    json!({ "sent": format!("#at={at};"), "n": number, "filling": filling }).to_string()
}

fn spread(taken: &[Taken], of: impl Fn(&Taken) -> f64) -> Spread {
    Spread::of(&taken.iter().map(of).collect::<Vec<f64>>())
}

fn report(options: &Options, entrants: &[Entrant], floors: &Floors, absent: &[(Kind, String)]) -> Report {
    let mut table = Table::new(&[
        "server",
        "µs a delivery, paced",
        "× floor",
        "kernel",
        "p50 / p90 / p99 / p99.9 / max ms",
        "µs a delivery, at once",
        "× floor",
        "deliveries/s",
        "p99 ms",
        "lost",
        "connects/s",
        "µs a connect",
        "PSS a connection",
        "frame",
    ]);
    let none = || "–".to_owned();
    table.row([
        "floor".to_owned(),
        micros(Spread::of(&floors.paced)),
        "1".to_owned(),
        none(),
        none(),
        micros(Spread::of(&floors.backlog)),
        "1".to_owned(),
        none(),
        none(),
        none(),
        none(),
        format!("{:.1}", floors.connect / 1e3),
        none(),
        none(),
    ]);
    let mut rows = Vec::new();
    for entrant in entrants {
        let over = |taken: &[Taken], floors: &[f64]| {
            let work: Vec<f64> = taken.iter().map(|taken| taken.work).collect();
            Spread::of_ratios(&work, floors)
        };
        let (paced, backlog) = (&entrant.paced, &entrant.backlog);
        let (paced_over, backlog_over) = (over(paced, &floors.paced), over(backlog, &floors.backlog));
        let (paced_lost, backlog_lost) = (
            paced.iter().map(|taken| taken.lost).sum::<u64>(),
            backlog.iter().map(|taken| taken.lost).sum::<u64>(),
        );
        // The round in the middle by its p99.
        let mut by_p99: Vec<Quantiles> = paced.iter().map(|taken| taken.latency).collect();
        by_p99.sort_by_key(|latency| latency.p99);
        let latency = by_p99.get(by_p99.len() / 2).copied().unwrap_or_default();
        let ms = |nanoseconds: u64| format!("{:.1}", nanoseconds as f64 / 1e6);
        let rate = spread(backlog, |taken| taken.rate);
        let late = spread(backlog, |taken| taken.latency.p99 as f64);
        let connects = entrant.crowd.size as f64 / entrant.crowd.opened_in.as_secs_f64();
        table.row([
            entrant.kind.name().to_owned(),
            micros(spread(paced, |taken| taken.work)),
            ratios(paced_over),
            format!("{:.0} %", spread(paced, |taken| taken.system).median * 100.0),
            [latency.p50, latency.p90, latency.p99, latency.p999, latency.most].map(ms).join(" / "),
            micros(spread(backlog, |taken| taken.work)),
            ratios(backlog_over),
            format!("{:.0} ({:.0}–{:.0})", rate.median, rate.min, rate.max),
            format!("{:.0}", late.median / 1e6),
            format!("{paced_lost} + {backlog_lost}"),
            format!("{connects:.0}"),
            format!("{:.1}", entrant.connect_work / 1e3),
            bytes(entrant.connect_memory),
            format!("{} B", entrant.frame),
        ]);
        rows.push(json!({
            "server": entrant.kind.name(),
            "peer": entrant.kind.is_peer(),
            "paced_ns": spread(paced, |taken| taken.work).to_json(),
            "paced_times_floor": paced_over.to_json(),
            "paced_kernel_part": spread(paced, |taken| taken.system).to_json(),
            "paced_latency": latency.to_json(),
            "paced_lost": paced_lost,
            "at_once_ns": spread(backlog, |taken| taken.work).to_json(),
            "at_once_times_floor": backlog_over.to_json(),
            "at_once_deliveries_per_second": rate.to_json(),
            "at_once_p99_ns": late.to_json(),
            "at_once_lost": backlog_lost,
            "connects_per_second": connects,
            "connect_ns": entrant.connect_work,
            "connect_pss_bytes": entrant.connect_memory,
            "frame_bytes": entrant.frame,
        }));
    }
    let mut notes = vec![
        format!(
            "{} connections to each server, payloads of {} B, {} rounds of {} events, {} in a second, then {} at once. \
             Floor: a `writev` for each receiver, at the same pace, of frames as long as the first server's; for connects a \
             bare epoll loop. Latency from the moment an event was to be sent, of the round in the middle by its p99.",
            options.connections, options.payload, options.rounds, options.events, options.rate, options.burst,
        ),
        "Clients, publisher and servers share the machine.".to_owned(),
    ];
    for (kind, why) in absent {
        notes.push(format!("{} was not measured: {why}.", kind.name()));
    }
    let absent: Vec<Value> =
        absent.iter().map(|(kind, why)| json!({ "server": kind.name(), "why": why })).collect();
    let json: Value = json!({
        "bench": "fanout",
        "connections": options.connections,
        "idle": options.idle,
        "subscriptions": options.subscriptions,
        "payload": options.payload,
        "events": options.events,
        "burst": options.burst,
        "rate": options.rate,
        "rounds": options.rounds,
        "floor": {
            "paced_ns": Spread::of(&floors.paced).to_json(),
            "at_once_ns": Spread::of(&floors.backlog).to_json(),
            "connect_ns": floors.connect,
        },
        "servers": rows,
        "absent": absent,
    });
    Report { table, notes, json, targets: targets::of(options, entrants, floors) }
}
