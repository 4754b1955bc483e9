//! How long it takes to find an event's receivers: one among many connections, ten thousand, and none.
//!
//! All sizes are built first and measured by turns, so that a slow moment of the machine strikes each of them alike.
//! Every event is about another user, scattered over the population, and made just before it is timed: it is as warm in
//! the caches as one that was just decoded, and the index is as cold as it is in a server.

mod lookup;
pub(crate) mod population;
mod scan;
mod targets;

use std::hint::black_box;
use std::time::Duration;

use realtime_core::event::Event;
use serde_json::{Value, json};

use self::lookup::Lookups;
use self::population::{CROWD, Population, mint};
use self::scan::Scan;
use crate::BenchError;
use crate::cpu::thread_time;
use crate::report::{Report, Spread, Table, bytes, nanoseconds, ratio};

/// The largest population that the peer is asked to scan; beyond it one event takes seconds.
const SCAN_LIMIT: usize = 100_000;

/// What one receiver may cost, in nanoseconds.
const ONE_TARGET: f64 = 2_000.0;
/// What ten thousand receivers may cost, in nanoseconds.
const CROWD_TARGET: f64 = 300_000.0;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Connections, a list of sizes
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000, 1_000_000])]
    sizes: Vec<usize>,
    /// How often each figure is measured; the table shows the median, the least and the most
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(5..=1_000))]
    rounds: u32,
    /// Leave the peer out, which takes most of the time
    #[arg(long)]
    no_peer: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// An event's kind, by whom it reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    /// An own document of one user.
    One,
    /// A file that one user may see and nobody listens to.
    Nobody,
    /// `any`, on a channel that the crowd listens to.
    Any,
    /// The crowd's team, on a channel that everybody listens to.
    Team,
}

/// One case at one size.
#[derive(Debug)]
struct Figure {
    case: Case,
    size: usize,
    receivers: usize,
    index: Vec<f64>,
    floor: Vec<f64>,
    peer: Vec<f64>,
}

/// A population and what it is compared with.
struct Contest {
    population: Population,
    lookups: Lookups,
    scan: Option<Scan>,
}

impl Case {
    const ALL: [Self; 4] = [Self::One, Self::Nobody, Self::Any, Self::Team];

    fn name(self) -> &'static str {
        match self {
            Self::One => "one user's document",
            Self::Nobody => "heard by nobody",
            Self::Any => "any",
            Self::Team => "one team",
        }
    }

    /// Whether its receivers are many. Such an event is timed alone, others in batches, so that the clock costs little.
    fn is_crowded(self) -> bool {
        matches!(self, Self::Any | Self::Team)
    }

    fn event(self, population: &Population, number: usize) -> Result<Event, BenchError> {
        match self {
            Self::One => population.document_event(number),
            Self::Nobody => population.unheard_event(number),
            Self::Any => population.event_for_any(number),
            Self::Team => population.event_for_team(number),
        }
    }

    fn receivers(self, size: usize) -> usize {
        match self {
            Self::One => 1,
            Self::Nobody => 0,
            Self::Any | Self::Team => CROWD.min(size),
        }
    }

    fn target(self) -> f64 {
        if self.is_crowded() { CROWD_TARGET } else { ONE_TARGET }
    }
}

impl Options {
    /// These sizes, without the peer, which takes most of the time.
    pub(crate) fn of(sizes: &[usize], rounds: u32) -> Self {
        Self { sizes: sizes.to_vec(), rounds, no_peer: true, json: false }
    }
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    measure(options)?.print(options.json);
    Ok(())
}

/// Measures.
pub(crate) fn measure(options: &Options) -> Result<Report, BenchError> {
    let mut sizes = options.sizes.clone();
    sizes.sort_unstable();
    sizes.dedup();
    let ids = mint(sizes.last().copied().unwrap_or_default());
    let mut footprint = None;
    let mut contests = Vec::new();
    // The largest comes first, while the heap is still without holes that would hide what it takes.
    for &size in sizes.iter().rev() {
        let (population, taken) = Population::build(ids.of(size))?;
        footprint.get_or_insert((size, taken));
        let lookups = Lookups::of(&population);
        let scan = (size <= SCAN_LIMIT && !options.no_peer).then(|| Scan::of(&population));
        contests.push(Contest { population, lookups, scan });
    }
    contests.reverse();
    let mut figures = Vec::new();
    for case in Case::ALL {
        let mut taken = Vec::new();
        for contest in &contests {
            let size = contest.population.size();
            if case.is_crowded() && size < CROWD {
                continue;
            }
            taken.push(Figure {
                case,
                size,
                receivers: case.receivers(size),
                index: Vec::new(),
                floor: Vec::new(),
                peer: Vec::new(),
            });
        }
        let skipped = contests.len() - taken.len();
        for round in 0..=options.rounds as usize {
            for (contest, figure) in contests.iter_mut().skip(skipped).zip(&mut taken) {
                contest.measure(figure, round)?;
            }
        }
        figures.append(&mut taken);
    }
    let channels = match contests.first() {
        Some(contest) => contest.population.document_event(0)?.channels.len(),
        None => 0,
    };
    Ok(report(&figures, footprint, channels))
}

impl Contest {
    /// Adds one measurement of everything to the figure. Round 0 warms up and is not kept.
    fn measure(&mut self, figure: &mut Figure, round: usize) -> Result<(), BenchError> {
        let (batches, batch) = if figure.case.is_crowded() { (20, 1) } else { (200, 64) };
        let mut seen = 0;
        let (mut index, mut floor) = (0.0, 0.0);
        for turn in 0..batches {
            let first = (round * batches + turn) * batch;
            let events = self.events(figure.case, first, batch)?;
            let started = thread_time();
            for event in &events {
                seen += black_box(self.population.receivers(black_box(event))).len();
            }
            index += elapsed(started);
            // Other users than the index has just seen, or the floor would find the strings warm.
            let events = self.events(figure.case, first + batches * batch * 1_000, batch)?;
            let started = thread_time();
            for event in &events {
                black_box(self.lookups.look_up(black_box(event)));
            }
            floor += elapsed(started);
        }
        let events = batches * batch;
        expect("the index", seen, figure.receivers * events)?;
        if round == 0 {
            return Ok(());
        }
        figure.index.push(index / events as f64);
        figure.floor.push(floor / events as f64);
        if let Some(scan) = &self.scan {
            let events = self.events(figure.case, round * 2, 2)?;
            let started = thread_time();
            let seen: usize = events.iter().map(|event| black_box(scan.receivers(event)).len()).sum();
            figure.peer.push(elapsed(started) / events.len() as f64);
            expect("the scan", seen, figure.receivers * events.len())?;
        }
        Ok(())
    }

    fn events(&self, case: Case, first: usize, count: usize) -> Result<Vec<Event>, BenchError> {
        (first..first + count).map(|number| case.event(&self.population, number)).collect()
    }
}

fn elapsed(started: Duration) -> f64 {
    thread_time().saturating_sub(started).as_nanos() as f64
}

fn expect(who: &str, seen: usize, receivers: usize) -> Result<(), BenchError> {
    if seen == receivers {
        return Ok(());
    }
    Err(BenchError::new(format!("{who} found {seen} receivers where {receivers} were expected")))
}

fn report(figures: &[Figure], footprint: Option<(usize, population::Footprint)>, channels: usize) -> Report {
    let mut table = Table::new(&[
        "event",
        "connections",
        "receivers",
        "per event",
        "min–max",
        "÷ smallest",
        "÷ look-ups",
        "scan",
        "scan ÷ index",
        "target",
        "",
    ]);
    let mut rows = Vec::new();
    for figure in figures {
        let index = Spread::of(&figure.index);
        let floor = Spread::of(&figure.floor);
        let peer = (!figure.peer.is_empty()).then(|| Spread::of(&figure.peer));
        let smallest = figures.iter().find(|other| other.case == figure.case);
        let flatness =
            index.median / smallest.map_or(index.median, |figure| Spread::of(&figure.index).median);
        let target = figure.case.target();
        let met = index.median < target;
        table.row([
            figure.case.name().to_owned(),
            figure.size.to_string(),
            figure.receivers.to_string(),
            nanoseconds(index.median),
            format!("{}–{}", nanoseconds(index.min), nanoseconds(index.max)),
            ratio(flatness),
            ratio(index.median / floor.median),
            peer.as_ref().map_or_else(|| "–".to_owned(), |peer| nanoseconds(peer.median)),
            peer.as_ref().map_or_else(|| "–".to_owned(), |peer| ratio(peer.median / index.median)),
            format!("< {}", nanoseconds(target)),
            if met { "met" } else { "missed" }.to_owned(),
        ]);
        rows.push(json!({
            "event": figure.case.name(),
            "connections": figure.size,
            "receivers": figure.receivers,
            "index_ns": index.to_json(),
            "lookups_ns": floor.to_json(),
            "scan_ns": peer.map(Spread::to_json),
            "target_ns": target,
            "met": met,
        }));
    }
    let mut notes = vec![format!(
        "Processor time, median of {} rounds. A document event has {channels} channels and one role. Look-ups: the event's channels and \
         roles in bare hash tables of the same size. Scan: all roles of the project × the event's channels, as Appwrite does.",
        figures.first().map_or(0, |figure| figure.index.len()),
    )];
    let mut memory = Value::Null;
    if let Some((size, taken)) = footprint {
        notes.push(format!(
            "Memory of the index with {size} connections: {} for each connection with its roles and a subscription to \
             three channels, {} for each further subscription to one document.",
            bytes(taken.connection),
            bytes(taken.subscription),
        ));
        memory = json!({
            "connections": size,
            "bytes_per_connection": taken.connection,
            "bytes_per_further_subscription": taken.subscription,
        });
    }
    let json = json!({ "bench": "match", "rows": rows, "memory": memory });
    Report { table, notes, json, targets: targets::of(figures) }
}
