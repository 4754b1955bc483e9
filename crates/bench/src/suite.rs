//! All benchmarks in one go: a minute's worth, or all of them with plots.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::BenchError;
use crate::contender::Kind;
use crate::plot::{self, Line};
use crate::report::{Report, Spread};
use crate::{fanout, matching, queries};

/// Where to put what was measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A folder for the figures as JSON and, with `all`, plots as SVG
    #[arg(long)]
    out: Option<PathBuf>,
    /// This server's binary; by default the one built beside this one
    #[arg(long)]
    bin: Option<PathBuf>,
}

/// The servers that are compared with a growing load.
const GROWING: [Kind; 4] = [Kind::Realtime, Kind::Nchan, Kind::Nats, Kind::Ws];

/// About a minute.
pub(crate) fn quick(options: &Options) -> Result<(), BenchError> {
    let load = Load { connections: 300, events: 20, rate: 40, payload: 600, servers: vec![Kind::Realtime] };
    done(options, "match", &matching::measure(&matching::Options::of(&[1_000, 10_000], 5))?)?;
    done(options, "queries", &queries::measure(&[1_000, 10_000], 5)?)?;
    done(options, "fanout", &fanout::measure(&load.options(options))?)
}

/// Less than twenty minutes.
pub(crate) fn all(options: &Options) -> Result<(), BenchError> {
    done(
        options,
        "match",
        &matching::measure(&matching::Options::of(&[1_000, 10_000, 100_000, 1_000_000], 5))?,
    )?;
    done(options, "queries", &queries::measure(&[1_000, 10_000, 100_000], 5)?)?;
    let everybody = Load { connections: 1_000, events: 40, rate: 20, payload: 600, servers: Vec::new() };
    done(options, "fanout", &fanout::measure(&everybody.options(options))?)?;
    let mut by_receivers = Vec::new();
    for connections in [100, 300, 1_000, 3_000, 5_000] {
        // As many deliveries in a second whatever the number of receivers, as far as that goes.
        let rate = u32::try_from(10_000 / connections).unwrap_or(1).clamp(2, 50);
        let load = Load { connections, events: 20, rate, payload: 600, servers: GROWING.to_vec() };
        let report = fanout::measure(&load.options(options))?;
        done(options, &format!("fanout-{connections}"), &report)?;
        by_receivers.push((connections as f64, report.json));
    }
    let mut by_payload = Vec::new();
    for payload in [100, 1_000, 10_000, 50_000] {
        let load = Load { connections: 500, events: 20, rate: 20, payload, servers: GROWING.to_vec() };
        let report = fanout::measure(&load.options(options))?;
        done(options, &format!("payload-{payload}"), &report)?;
        by_payload.push((payload as f64, report.json));
    }
    let many = Load { connections: 10_000, events: 5, rate: 1, payload: 600, servers: vec![Kind::Realtime] };
    done(options, "connections-10000", &fanout::measure(&many.options(options))?)?;
    let Some(out) = &options.out else { return Ok(()) };
    let up = "µs of processor a delivery";
    for (name, title, figure, points) in [
        ("receivers-paced", "One event at a time", "paced_ns", &by_receivers),
        ("receivers-at-once", "Twenty events at once", "at_once_ns", &by_receivers),
    ] {
        put(&out.join(format!("{name}.svg")), &plot::svg(title, "receivers", up, &lines(points, figure)))?;
    }
    let title = "One event at a time to 500 receivers";
    put(&out.join("payload.svg"), &plot::svg(title, "bytes of payload", up, &lines(&by_payload, "paced_ns")))
}

struct Load {
    connections: usize,
    events: usize,
    rate: u32,
    payload: usize,
    servers: Vec<Kind>,
}

impl Load {
    fn options(self, options: &Options) -> fanout::Options {
        fanout::Options {
            connections: self.connections,
            events: self.events,
            rate: self.rate,
            payload: self.payload,
            rounds: 5,
            servers: self.servers,
            bin: options.bin.clone(),
            json: false,
        }
    }
}

/// Prints what was measured and keeps it.
fn done(options: &Options, name: &str, report: &Report) -> Result<(), BenchError> {
    report.print(false);
    report.separate();
    match &options.out {
        Some(out) => put(&out.join(format!("{name}.json")), &format!("{:#}\n", report.json)),
        None => Ok(()),
    }
}

fn put(path: &Path, text: &str) -> Result<(), BenchError> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .map_err(BenchError::io("write", path.display()))
}

/// A line for the floor and for each server.
fn lines(points: &[(f64, Value)], figure: &str) -> Vec<Line> {
    let mut names = vec!["floor".to_owned()];
    let servers = |json: &Value| json.get("servers").and_then(Value::as_array).cloned().unwrap_or_default();
    for server in points.first().map(|(_, json)| servers(json)).unwrap_or_default() {
        names.extend(server.get("server").and_then(Value::as_str).map(str::to_owned));
    }
    let of = |json: &Value, name: &str| {
        let floor = json.get("floor").cloned();
        let own = servers(json).into_iter().find(|server| server.get("server") == Some(&json!(name)));
        let spread = if name == "floor" { floor } else { own }?.get(figure)?.clone();
        let at = |part: &str| spread.get(part).and_then(Value::as_f64).map(|nanoseconds| nanoseconds / 1e3);
        Some(Spread { median: at("median")?, min: at("min")?, max: at("max")? })
    };
    let line = |name: String| {
        let points = points.iter().filter_map(|(at, json)| Some((*at, of(json, &name)?))).collect();
        Line { name, points }
    };
    names.into_iter().map(line).collect()
}
