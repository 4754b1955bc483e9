//! What a connection takes while nothing happens, what each further subscription takes, and whether anything grows with
//! the events that pass.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::BenchError;
use crate::clock;
use crate::connect::rested;
use crate::contender::Publish as _;
use crate::contender::realtime::{self, Node, hello};
use crate::crowd::Crowd;
use crate::dialogue::Dialogue;
use crate::fanout::payload;
use crate::memory::kernel;
use crate::post::Post;
use crate::report::{Report, Table, bytes, ratio};
use crate::target::{Target, Verdict};
use crate::wire::Framing;

/// What a connection with one subscription may take, in bytes.
const CONNECTION: f64 = 6.0 * 1_024.0;
/// What each further subscription may take, in bytes.
const SUBSCRIPTION: f64 = 1_024.0;
/// Growth of less than this, in bytes over all passes, is the allocator's pages.
const PAGES: f64 = 2_097_152.0;
/// Growth of fewer standard errors than these is chance.
const CHANCE: f64 = 2.0;
/// Connections before the first look: what the server makes once is not a connection's.
const FIRST: usize = 500;
/// Further subscriptions of a client.
const FURTHER: usize = 10;
/// Times that events pass, between looks.
const PASSES: usize = 32;
/// Of these, after which everything has its size.
const FIRST_PASSES: usize = 16;
/// Events for everybody, and for nobody, of each time.
const FOR_ALL: usize = 60;
const FOR_NOBODY: usize = 1_000;
/// Events of one request.
const BATCH: usize = 100;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Connections, a list of sizes; each is looked at on the way to the next
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 2_000, 5_000, 10_000, 15_000])]
    pub(crate) sizes: Vec<usize>,
    /// Connections that get events and make further subscriptions
    #[arg(long, default_value_t = 3_000)]
    pub(crate) listeners: usize,
    /// This server's binary; by default the one built beside this one
    #[arg(long)]
    pub(crate) bin: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A look at a number of connections.
#[derive(Debug, Clone, Copy)]
struct Look {
    connections: usize,
    /// Bytes of the server (PSS), and of the kernel for both ends of all connections.
    server: f64,
    kernel: f64,
}

/// Events that have passed.
#[derive(Debug, Clone, Copy, Default)]
struct Pass {
    /// So far.
    deliveries: u64,
    events: usize,
    /// Bytes of the server then.
    bytes: f64,
}

pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    measure(options)?.print(options.json);
    Ok(())
}

/// A client on a channel of its own, to which nothing is published.
pub(crate) fn listener() -> Dialogue {
    Dialogue::new(
        Framing::WebSocket,
        [hello(), realtime::listener("databases.main.collections.notes.documents.%NUMBER%")],
    )
}

pub(crate) fn measure(options: &Options) -> Result<Report, BenchError> {
    let binary = crate::server(options.bin.as_ref())?;
    let looks = grow(options, &Node::dev(&binary, &[])?)?;
    let plain = of_listeners(options, &Node::dev(&binary, &[])?, 1)?;
    // Little is kept for those who come back, so that this is full before the first look.
    let node = Node::dev(&binary, &["--resume-bytes", "65536"])?;
    let before = rested_memory(&node);
    let mut crowd = Crowd::open(node.address, options.listeners, &realtime::member(1 + FURTHER))?;
    let rich = (rested_memory(&node) - before) / options.listeners as f64;
    let further = (rich - plain) / FURTHER as f64;
    let passes = pass_events(&node, &mut crowd)?;
    Ok(report(options, &looks, further, &passes))
}

/// Opens ever more connections and looks.
fn grow(options: &Options, node: &Node) -> Result<Vec<Look>, BenchError> {
    let (mut crowds, mut looks) = (Vec::new(), Vec::new());
    let mut open = 0;
    for size in std::iter::once(FIRST).chain(options.sizes.iter().copied()) {
        crowds.push(Crowd::open(node.address, size.saturating_sub(open), &listener())?);
        open = open.max(size);
        looks.push(Look { connections: open, server: rested_memory(node), kernel: kernel()? as f64 });
    }
    Ok(looks)
}

/// Bytes of a server for each client with so many subscriptions.
fn of_listeners(options: &Options, node: &Node, subscriptions: usize) -> Result<f64, BenchError> {
    let before = rested_memory(node);
    let _crowd = Crowd::open(node.address, options.listeners, &realtime::member(subscriptions))?;
    Ok((rested_memory(node) - before) / options.listeners as f64)
}

fn rested_memory(node: &Node) -> f64 {
    rested(&node.program);
    node.program.memory() as f64
}

/// Lets events pass and looks after each time.
fn pass_events(node: &Node, crowd: &mut Crowd) -> Result<Vec<Pass>, BenchError> {
    let mut publisher = node.http()?;
    let headers = format!("X-Appwrite-Project: demo\r\nX-Appwrite-Key: {}\r\n", node.fact("/apiKey"));
    let mut to_nobody = Post::connect(node.address, "/v1/realtime/events", &headers)?;
    let (mut delivered, mut passes) = (0, Vec::new());
    for pass in 1..=PASSES {
        let before = crowd.count()?.events;
        let payloads: Vec<String> = (0..FOR_ALL).map(|number| payload(number, clock::now(), 600)).collect();
        publisher.publish(&payloads)?;
        let wanted = (FOR_ALL * crowd.size) as u64;
        delivered += crowd.wait_for(before, wanted, |count| count.events)?;
        for _ in 0..FOR_NOBODY / BATCH {
            let event = |number| {
                let payload = payload(number, clock::now(), 600);
                format!(r#"{{"channels":["nobody"],"roles":["any"],"payload":{payload}}}"#)
            };
            let events: Vec<String> = (0..BATCH).map(event).collect();
            to_nobody.send(&[format!("[{}]", events.join(","))])?;
        }
        let events = pass * (FOR_ALL + FOR_NOBODY);
        passes.push(Pass { deliveries: delivered, events, bytes: rested_memory(node) });
    }
    Ok(passes)
}

/// A straight line through what was seen after each of some passes: the allocator takes and returns pages as it likes, so
/// that two moments alone say nothing.
#[derive(Debug, Clone, Copy)]
struct Trend {
    /// Bytes between the first and the last, and what that may be off by (standard error of least squares).
    growth: f64,
    error: f64,
    /// Bytes in the middle.
    middle: f64,
}

impl Trend {
    fn of(passes: &[Pass]) -> Self {
        let count = passes.len() as f64;
        let middle = passes.iter().map(|pass| pass.bytes).sum::<f64>() / count;
        let place = |number: usize| number as f64 - (count - 1.0) / 2.0;
        let spread: f64 = (0..passes.len()).map(|number| place(number).powi(2)).sum();
        let numbered = || passes.iter().enumerate();
        let slope = numbered().map(|(number, pass)| place(number) * pass.bytes).sum::<f64>() / spread;
        let rest = numbered().map(|(number, pass)| (pass.bytes - middle - slope * place(number)).powi(2));
        let error = (rest.sum::<f64>() / (count - 2.0) / spread).sqrt();
        Self { growth: slope * (count - 1.0), error: error * (count - 1.0), middle }
    }
}

fn report(options: &Options, looks: &[Look], further: f64, passes: &[Pass]) -> Report {
    let (first, last) = (looks.first().copied(), looks.last().copied());
    let between = |of: fn(&Look) -> f64, look: &Look| {
        first.map_or(f64::NAN, |first| {
            (of(look) - of(&first)) / look.connections.saturating_sub(first.connections) as f64
        })
    };
    let mut table = Table::new(&["connections", "server, PSS", "each", "kernel, both ends, each"]);
    let mut rows: Vec<Value> = Vec::new();
    for look in looks.iter().skip(1) {
        let (server, kernel) = (between(|look| look.server, look), between(|look| look.kernel, look));
        table.row([
            look.connections.to_string(),
            format!("{:.1} MB", look.server / 1e6),
            bytes(server),
            bytes(kernel),
        ]);
        rows.push(json!({
            "connections": look.connections,
            "server_bytes": look.server,
            "bytes_per_connection": server,
            "kernel_bytes_per_connection": kernel,
        }));
    }
    let connection = last.map_or(f64::NAN, |last| between(|look| look.server, &last));
    // The texts that have to be kept: a subscription's id, and its channel.
    let texts = ("bench-00000000000000".len()
        + "databases.main.collections.notes.documents.00000000000000".len()) as f64;
    let settled = passes.get(FIRST_PASSES..).unwrap_or_default();
    let trend = Trend::of(settled);
    let before = settled.first().copied().unwrap_or_default();
    let end = settled.last().copied().unwrap_or_default();
    let (deliveries, events) = (end.deliveries - before.deliveries, end.events - before.events);
    let memory = |subject: &str, wanted: f64, figure: f64, texts: f64| Target {
        subject: subject.to_owned(),
        wanted: format!("≤ {} (PSS)", bytes(wanted)),
        bench: "idle",
        figure: bytes(figure),
        floor: format!("{texts:.0} B of names that have to be kept"),
        ratio: ratio(figure / texts),
        verdict: Verdict::of(figure <= wanted),
    };
    let targets = vec![
        memory("memory of an idle connection with one subscription", CONNECTION, connection, texts),
        memory("memory of each further subscription", SUBSCRIPTION, further, texts + 6.0),
        Target {
            subject: "nothing grows with events delivered".to_owned(),
            wanted: format!("a trend of less than 2 MiB, or within {CHANCE:.0} standard errors"),
            bench: "idle",
            figure: format!(
                "{:+.2} MB (standard error {:.2} MB) in {deliveries} deliveries and {events} events",
                trend.growth / 1e6,
                trend.error / 1e6
            ),
            floor: format!("{:.1} MB in the middle", trend.middle / 1e6),
            ratio: ratio((trend.middle + trend.growth) / trend.middle),
            verdict: Verdict::of(trend.growth < PAGES.max(CHANCE * trend.error)),
        },
    ];
    let notes = vec![
        format!(
            "Memory that would be free without the server (PSS), beyond that with {FIRST} connections. The kernel's is the \
             growth of its slabs, for the server's and the client's end of a connection together. A further subscription, \
             to a document of its own: {} ({} clients, {FURTHER} each).",
            bytes(further),
            options.listeners
        ),
        format!(
            "Events of 600 B pass, {FOR_ALL} for all {} clients and {FOR_NOBODY} for nobody each time; PSS after each: {}.",
            options.listeners,
            passes.iter().map(|pass| format!("{:.1} MB", pass.bytes / 1e6)).collect::<Vec<_>>().join(", ")
        ),
    ];
    let json = json!({
        "bench": "idle",
        "rows": rows,
        "bytes_per_connection": connection,
        "bytes_per_further_subscription": further,
        "passes": passes.iter().map(|pass| json!({
            "deliveries": pass.deliveries, "events": pass.events, "bytes": pass.bytes,
        })).collect::<Vec<_>>(),
        "growth_bytes": trend.growth,
        "growth_error_bytes": trend.error,
    });
    Report { table, notes, json, targets }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(bytes: &[f64]) -> Trend {
        let pass = |bytes: &f64| Pass { bytes: *bytes, ..Pass::default() };
        Trend::of(&bytes.iter().map(pass).collect::<Vec<_>>())
    }

    #[test]
    fn growth_is_told_from_what_comes_and_goes() {
        let steady = trend(&[10.0, 11.0, 12.0, 13.0]);
        assert!(
            (steady.growth - 3.0).abs() < 1e-9 && steady.error < 1e-9 && (steady.middle - 11.5).abs() < 1e-9
        );
        let restless = trend(&[10.0, 14.0, 9.0, 15.0, 10.0, 13.0]);
        assert!(restless.growth < CHANCE * restless.error, "{restless:?}");
    }
}
