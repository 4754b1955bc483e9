//! One event to many connections: what it costs each server for each delivery, against what it costs the kernel alone.
//!
//! All servers are started first and measured by turns, so that a slow moment of the machine strikes each of them alike.
//! Events are sent by a schedule, and latency counts from the moment an event was to be sent: a sender that is held up
//! does not hide what it caused.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::BenchError;
use crate::clock;
use crate::contender::{Contender, Kind};
use crate::floor::{self, Writes};
use crate::histogram::Quantiles;
use crate::report::{Report, Spread, Table, bytes, ratio};
use crate::swarm::Swarm;

/// How much to send, and to how many.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Connections, each with a subscription id of its own
    #[arg(long, default_value_t = 1_000)]
    pub(crate) connections: usize,
    /// Events of each round, paced and at once
    #[arg(long, default_value_t = 40)]
    pub(crate) events: usize,
    /// Paced events in a second
    #[arg(long, default_value_t = 20)]
    pub(crate) rate: u32,
    /// Bytes of an event's payload
    #[arg(long, default_value_t = 600)]
    pub(crate) payload: usize,
    /// Rounds; floor and servers take turns
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Whose figures to take; those that are not installed are left out
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
    swarm: Swarm,
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
    clock::now();
    let runtime = Runtime::new().map_err(BenchError::io("start", "a runtime"))?;
    let binary = match &options.bin {
        Some(binary) => binary.clone(),
        None => {
            std::env::current_exe().map_err(BenchError::io("find", "this binary"))?.with_file_name("realtime")
        }
    };
    let kinds = if options.servers.is_empty() { Kind::value_variants() } else { &options.servers[..] };
    let (mut entrants, mut absent) = (Vec::new(), Vec::new());
    for kind in kinds {
        match kind.start(&binary)? {
            Some(contender) => entrants.push(Entrant::open(*kind, contender, &runtime, options)?),
            None => absent.push(kind.name()),
        }
    }
    let writes = Writes::open(&runtime, options.connections.min(FLOOR))?;
    let mut floors =
        Floors { connect: floor::connects(&runtime, options.connections.min(FLOOR))?, ..Floors::default() };
    let interval = Duration::from_secs(1) / options.rate.max(1);
    let frame = entrants.first().map_or(options.payload, |entrant| entrant.frame);
    for _ in 0..options.rounds {
        floors.paced.push(writes.measure(frame, options.events, interval)?);
        floors.backlog.push(writes.measure(frame, options.events, Duration::ZERO)?);
        for entrant in &mut entrants {
            let name = entrant.kind.name();
            let named = |error: BenchError| BenchError::new(format!("{name}: {error}"));
            let paced = entrant.take(options, Some(interval)).map_err(named)?;
            entrant.paced.push(paced);
            let backlog = entrant.take(options, None).map_err(named)?;
            entrant.backlog.push(backlog);
        }
    }
    Ok(report(options, &entrants, &floors, &absent))
}

impl Entrant {
    fn open(
        kind: Kind,
        contender: Contender,
        runtime: &Runtime,
        options: &Options,
    ) -> Result<Self, BenchError> {
        let (work, memory) = (contender.program.work(), contender.program.memory());
        let swarm = Swarm::open(runtime, contender.address, options.connections, &contender.dialogue)
            .map_err(|error| BenchError::new(format!("{}: {error}", kind.name())))?;
        let size = options.connections.max(1) as f64;
        let connect_work = contender.program.work().since(work).total as f64 / size;
        let connect_memory = contender.program.memory().saturating_sub(memory) as f64 / size;
        let mut this = Self {
            kind,
            contender,
            swarm,
            connect_work,
            connect_memory,
            frame: 0,
            paced: Vec::new(),
            backlog: Vec::new(),
        };
        // The first events warm everything up and tell how long a frame is.
        let (had, bytes) = (this.events(), this.bytes());
        this.take(&Options { events: 3, ..options.clone() }, Some(Duration::from_millis(50)))?;
        let events = this.events() - had;
        this.frame = usize::try_from((this.bytes() - bytes).checked_div(events).unwrap_or(0)).unwrap_or(0);
        Ok(this)
    }

    fn events(&self) -> u64 {
        self.swarm.tally.events.load(Ordering::Acquire)
    }

    fn bytes(&self) -> u64 {
        self.swarm.tally.bytes.load(Ordering::Relaxed)
    }

    /// Sends events at even intervals, or all at once.
    fn take(&mut self, options: &Options, interval: Option<Duration>) -> Result<Taken, BenchError> {
        let (work, had) = (self.contender.program.work(), self.events());
        self.swarm.tally.latencies.take();
        let began = Instant::now();
        match interval {
            Some(interval) => {
                for number in 0..options.events {
                    let due = began + interval * u32::try_from(number).unwrap_or(u32::MAX);
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    self.contender.publisher.publish(&[payload(
                        number,
                        clock::told(due),
                        options.payload,
                    )])?;
                }
            }
            None => {
                let at = clock::told(began);
                let payloads: Vec<String> =
                    (0..options.events).map(|number| payload(number, at, options.payload)).collect();
                self.contender.publisher.publish(&payloads)?;
            }
        }
        let wanted = (options.events * self.swarm.size) as u64;
        let got = self.swarm.wait_for(had, wanted);
        let took = began.elapsed().as_secs_f64();
        let work = self.contender.program.work().since(work);
        Ok(Taken {
            work: work.total as f64 / got.max(1) as f64,
            system: work.system as f64 / work.total.max(1) as f64,
            rate: got as f64 / took,
            lost: wanted.saturating_sub(got),
            latency: self.swarm.tally.latencies.take(),
        })
    }
}

/// A payload of about so many bytes, told when it was to be sent.
fn payload(number: usize, at: u64, size: usize) -> String {
    let around = format!(r#"{{"at":{at},"n":{number},"filling":""}}"#);
    json!({ "at": at, "n": number, "filling": "x".repeat(size.saturating_sub(around.len())) }).to_string()
}

fn spread(taken: &[Taken], of: impl Fn(&Taken) -> f64) -> Spread {
    Spread::of(&taken.iter().map(of).collect::<Vec<f64>>())
}

fn report(options: &Options, entrants: &[Entrant], floors: &Floors, absent: &[&str]) -> Report {
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
    let micros = |spread: Spread| {
        format!("{:.2} ({:.2}–{:.2})", spread.median / 1e3, spread.min / 1e3, spread.max / 1e3)
    };
    let times =
        |spread: Spread| format!("{} ({}–{})", ratio(spread.median), ratio(spread.min), ratio(spread.max));
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
            Spread::of(
                &taken.iter().zip(floors).map(|(taken, floor)| taken.work / floor).collect::<Vec<f64>>(),
            )
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
        let connects = entrant.swarm.size as f64 / entrant.swarm.opened_in.as_secs_f64();
        table.row([
            entrant.kind.name().to_owned(),
            micros(spread(paced, |taken| taken.work)),
            times(paced_over),
            format!("{:.0} %", spread(paced, |taken| taken.system).median * 100.0),
            [latency.p50, latency.p90, latency.p99, latency.p999, latency.most].map(ms).join(" / "),
            micros(spread(backlog, |taken| taken.work)),
            times(backlog_over),
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
            "{} connections to each server, payloads of {} B, {} rounds of {} events: {} in a second, then all at once. \
             Floor: a `writev` for each receiver, at the same pace, of frames as long as the first server's; for connects a \
             bare epoll loop. Latency from the moment an event was to be sent, of the round in the middle by its p99.",
            options.connections, options.payload, options.rounds, options.events, options.rate,
        ),
        "Clients, publisher and servers share the machine.".to_owned(),
    ];
    if !absent.is_empty() {
        notes.push(format!("Not installed: {}.", absent.join(", ")));
    }
    let json: Value = json!({
        "bench": "fanout",
        "connections": options.connections,
        "payload": options.payload,
        "events": options.events,
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
    Report { table, notes, json }
}
