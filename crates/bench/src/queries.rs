//! How long it takes to find the one subscription whose query an event satisfies, among many with queries of their own on
//! one channel; and how long it takes to ask them all.

use std::hint::black_box;

use realtime_core::query::Filter;
use serde_json::json;

use crate::BenchError;
use crate::cpu::thread_time;
use crate::matching::population::mint;
use crate::path::{decode, message, queried, query_of};
use crate::report::{Report, Spread, Table, nanoseconds, ratio};
use crate::target::{Target, Verdict};

/// What one match may cost, in nanoseconds.
const TARGET: f64 = 5_000.0;
/// Events of a round.
const EVENTS: usize = 2_000;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Subscriptions, a list of sizes
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000])]
    sizes: Vec<usize>,
    /// How often each figure is measured
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    measure(&options.sizes, options.rounds)?.print(options.json);
    Ok(())
}

pub(crate) fn measure(sizes: &[usize], rounds: usize) -> Result<Report, BenchError> {
    let mut table =
        Table::new(&["subscriptions", "per event", "min–max", "all asked", "all ÷ index", "target", ""]);
    let (mut rows, mut targets) = (Vec::new(), Vec::new());
    for &size in sizes {
        let ids = mint(size);
        let mut index = queried(ids.of(size))?;
        let filters: Vec<Filter> = (0..size).map(query_of).collect::<Result<_, _>>()?;
        let (mut found, mut asked) = (Vec::new(), Vec::new());
        // Round 0 warms up and is not kept.
        let mut receivers = Vec::new();
        for round in 0..=rounds {
            // Multiples of a large prime, in an order that no cache foresees.
            let number = |turn: usize| (round * EVENTS + turn).wrapping_mul(982_451_653) % size.max(1);
            let events = (0..EVENTS)
                .map(|turn| decode(&message(&["documents"], &["any"], number(turn))))
                .collect::<Result<Vec<_>, _>>()?;
            let began = thread_time();
            let mut met = 0;
            for event in &events {
                index.receivers(event, &mut receivers);
                met += black_box(&receivers).len();
            }
            let took = (thread_time() - began).as_nanos() as f64 / EVENTS as f64;
            if met != EVENTS {
                return Err(BenchError::new(format!("{met} matches of {EVENTS}")));
            }
            let event = decode(&message(&["documents"], &["any"], number(0)))?;
            let began = thread_time();
            let met = filters.iter().filter(|filter| black_box(filter.matches(&event.payload))).count();
            let all = (thread_time() - began).as_nanos() as f64;
            if met != 1 {
                return Err(BenchError::new(format!("{met} of all matched instead of one")));
            }
            if round > 0 {
                found.push(took);
                asked.push(all);
            }
        }
        let (found, asked) = (Spread::of(&found), Spread::of(&asked));
        table.row([
            size.to_string(),
            nanoseconds(found.median),
            format!("{}–{}", nanoseconds(found.min), nanoseconds(found.max)),
            nanoseconds(asked.median),
            ratio(asked.median / found.median),
            format!("< {}", nanoseconds(TARGET)),
            if found.median < TARGET { "met" } else { "missed" }.to_owned(),
        ]);
        if size == sizes.iter().copied().max().unwrap_or_default() {
            targets.push(Target {
                subject: format!(
                    "matching: {size} subscriptions with queries for distinct values, one match"
                ),
                wanted: format!("< {}", nanoseconds(TARGET)),
                bench: "queries",
                figure: format!(
                    "{} ({}–{})",
                    nanoseconds(found.median),
                    nanoseconds(found.min),
                    nanoseconds(found.max)
                ),
                floor: format!("{} to ask every query", nanoseconds(asked.median)),
                ratio: format!("{} × less", ratio(asked.median / found.median)),
                verdict: Verdict::of(found.median < TARGET),
            });
        }
        rows.push(json!({
            "subscriptions": size,
            "index_ns": found.to_json(),
            "all_asked_ns": asked.to_json(),
            "target_ns": TARGET,
            "met": found.median < TARGET,
        }));
    }
    let notes = vec![format!(
        "Processor time, median of {rounds} rounds of {EVENTS} events of some 900 B, with opening the payload. Each subscription \
         asks for an attribute to equal a value of its own."
    )];
    Ok(Report { table, notes, json: json!({ "bench": "queries", "rows": rows }), targets })
}
