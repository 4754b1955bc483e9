//! Whether what a load delivers is right: clients on the Rust SDK's session listen among the clients of a load, and each is to
//! get every event once and in order.
//!
//! The clients of a load only look for marks in the bytes that come, because a session reads every message whole, which
//! takes the generator more than the server takes to send it: the table shows how much. So sessions check, others load.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt as _;
use realtime_client::Client;
use serde::Deserialize;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::BenchError;
use crate::clock;
use crate::contender::Publish as _;
use crate::contender::realtime::{self, Node};
use crate::cpu::process_time;
use crate::crowd::Crowd;
use crate::fanout::payload;
use crate::report::{Report, Table, ratio};
use crate::target::{Target, Verdict};

/// How long a client waits for an event.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to check.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Clients on the SDK's session
    #[arg(long, default_value_t = 50)]
    pub(crate) sessions: usize,
    /// Clients of the load beside them
    #[arg(long, default_value_t = 1_000)]
    pub(crate) connections: usize,
    /// Events
    #[arg(long, default_value_t = 300)]
    pub(crate) events: usize,
    /// Events in a second
    #[arg(long, default_value_t = 50)]
    pub(crate) rate: u32,
    /// This server's binary; by default the one built beside this one
    #[arg(long)]
    pub(crate) bin: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a session got.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    events: usize,
    /// Those that came twice, late or not at all, and those before which others may be missing.
    wrong: usize,
}

/// The number of an event.
#[derive(Debug, Deserialize)]
struct Numbered {
    n: usize,
}

pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    measure(options)?.print(options.json);
    Ok(())
}

pub(crate) fn measure(options: &Options) -> Result<Report, BenchError> {
    let node = Node::dev(&crate::server(options.bin.as_ref())?, &[])?;
    let mut publisher = node.http()?;
    let mut crowd = Crowd::open(node.address, options.connections, &realtime::member(1))?;
    let runtime = Runtime::new().map_err(BenchError::io("start", "a runtime"))?;
    let endpoint = format!("http://{}/v1", node.address);
    let mut sessions = runtime.block_on(listen(&endpoint, options))?;
    let before = crowd.count()?.events;
    let (own, loads) = (process_time(), crowd.work());
    let began = clock::now();
    for number in 0..options.events {
        let due = began + clock::interval(options.rate) * number as u64;
        clock::sleep_until(due);
        publisher.publish(&[payload(number, due, 600)])?;
    }
    let wanted = (options.events * crowd.size) as u64;
    let got = crowd.wait_for(before, wanted, |count| count.events)?;
    let mut seen = Seen::default();
    while let Some(one) = runtime.block_on(sessions.join_next()) {
        let one = one.map_err(|error| BenchError::new(error.to_string()))?;
        seen.events += one.events;
        seen.wrong += one.wrong;
    }
    let each = |work: Duration, events: usize| work.as_secs_f64() * 1e6 / events.max(1) as f64;
    let session = each(process_time() - own, seen.events);
    let plain = each(Duration::from_nanos(crowd.work() - loads), usize::try_from(got).unwrap_or_default());
    let mut table = Table::new(&["clients", "", "events", "missing", "wrong", "µs of the client an event"]);
    table.row([
        "of the load".to_owned(),
        crowd.size.to_string(),
        got.to_string(),
        (wanted - got).to_string(),
        "–".to_owned(),
        format!("{plain:.1}"),
    ]);
    let due = options.events * options.sessions;
    table.row([
        "on the SDK's session".to_owned(),
        options.sessions.to_string(),
        seen.events.to_string(),
        due.saturating_sub(seen.events).to_string(),
        seen.wrong.to_string(),
        format!("{session:.1}"),
    ]);
    let target = Target {
        subject: "each event once and in order, as the SDK's session sees it under load".to_owned(),
        wanted: "none missing, none wrong".to_owned(),
        bench: "check",
        figure: format!("{} of {due} events, {} wrong", seen.events, seen.wrong),
        floor: format!("{plain:.1} µs of a client that only looks for marks"),
        ratio: format!("{} (processor time of the client)", ratio(session / plain)),
        verdict: Verdict::of(seen.events == due && seen.wrong == 0 && got == wanted),
    };
    let json = json!({
        "bench": "check",
        "sessions": options.sessions,
        "events": seen.events,
        "due": due,
        "wrong": seen.wrong,
        "session_us_per_event": session,
        "load_us_per_event": plain,
    });
    Ok(Report { table, notes: Vec::new(), json, targets: vec![target] })
}

/// Clients that listen; each ends when it has seen the last event, or none for a while.
async fn listen(endpoint: &str, options: &Options) -> Result<JoinSet<Seen>, BenchError> {
    let mut sessions = JoinSet::new();
    for _ in 0..options.sessions {
        let of = |error: realtime_client::Error| BenchError::new(error.to_string());
        let client = Client::builder(endpoint).project("demo").build().map_err(of)?;
        let mut events = client.subscribe(["documents"]).await.map_err(of)?;
        events.ready().await.map_err(of)?;
        let last = options.events;
        sessions.spawn(async move {
            // The client lives as long as it is listened to.
            let _client = client;
            let mut seen = Seen::default();
            while seen.events < last {
                let Ok(Some(event)) = tokio::time::timeout(PATIENCE, events.next()).await else { break };
                let gap = event.gap.is_some();
                let number = event.decode::<Numbered>().map(|event| event.payload.n).ok();
                if gap || number != Some(seen.events) {
                    seen.wrong += 1;
                }
                seen.events += 1;
            }
            seen
        });
    }
    Ok(sessions)
}
