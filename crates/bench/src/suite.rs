//! All benchmarks in one go: a minute's worth, or all of them with tables and plots for the documentation.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::BenchError;
use crate::contender::Kind;
use crate::plot::{self, Line};
use crate::report::{Report, Spread};
use crate::target::{self, Target, Verdict};
use crate::{capacity, check, churn, connect, fanout, idle, latency, matching, queries, start};

/// Where to put what was measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A folder for the figures as JSON and Markdown and, with `all`, plots as SVG
    #[arg(long)]
    out: Option<PathBuf>,
    /// This server's binary; by default the one built beside this one
    #[arg(long)]
    bin: Option<PathBuf>,
    /// Connections of `churn`, all nodes together
    #[arg(long, default_value_t = 100_000)]
    connections: usize,
    /// Only those parts whose names begin so
    #[arg(long)]
    only: Option<String>,
    /// No part begins later than so many minutes after the first; those that are left out are said to be
    #[arg(long, default_value_t = 18)]
    minutes: u64,
}

/// The servers that are compared with a growing load.
const GROWING: [Kind; 3] = [Kind::Realtime, Kind::Nchan, Kind::Nats];
/// Stands on every page that is written here.
const GENERATED: &str = "Written by `cargo xtask bench`; see [how and what](../benchmarks.md).\n";
/// The page about benchmarks, and what stands around the table of targets in it.
const PAGE: &str = "benchmarks.md";
const BEGIN: &str = "<!-- targets -->\n";
const END: &str = "<!-- end of targets -->";
/// Times that everything is measured that is quoted.
const ROUNDS: usize = 5;

/// About a minute.
pub(crate) fn quick(options: &Options) -> Result<(), BenchError> {
    let bin = || options.bin.clone();
    let mut suite = Suite::new(options, false);
    suite.part("match", || matching::measure(&matching::Options::of(&[1_000, 10_000], 5)));
    suite.part("queries", || queries::measure(&[1_000, 10_000], 5));
    suite.part("start", || start::measure(&start::Options { rounds: 5, bin: bin(), json: false }));
    suite.part("latency", || {
        let (connections, events, rate, rounds) = (200, 100, 100, 2);
        latency::measure(&latency::Options { connections, events, rate, rounds, bin: bin(), json: false })
    });
    let connects = suite.part("connect", || {
        connect::measure(&connect::Options { connections: 300, rounds: 2, bin: bin(), json: false })
    });
    let memory = suite.part("idle", || {
        let (sizes, listeners) = (vec![2_000, 5_000], 1_500);
        idle::measure(&idle::Options { sizes, listeners, bin: bin(), json: false })
    });
    suite.part("check", || {
        let (sessions, connections, events, rate) = (20, 200, 100, 50);
        check::measure(&check::Options { sessions, connections, events, rate, bin: bin(), json: false })
    });
    let most = suite.part("fanout", || {
        let load = Load { connections: 1_000, events: 10, burst: 10, rate: 10, ..Load::default() };
        fanout::measure(&Load { rounds: 3, servers: &GROWING, ..load }.options(options))
    });
    suite.capacity(memory.as_ref(), most.as_ref(), connects.as_ref())?;
    suite.finish()
}

/// Less than twenty minutes.
pub(crate) fn all(options: &Options) -> Result<(), BenchError> {
    let bin = || options.bin.clone();
    let mut suite = Suite::new(options, options.only.is_none());
    suite
        .part("match", || matching::measure(&matching::Options::of(&[1_000, 10_000, 100_000, 1_000_000], 5)));
    suite.part("queries", || queries::measure(&[1_000, 10_000, 100_000], 5));
    suite.part("start", || start::measure(&start::Options { rounds: 10, bin: bin(), json: false }));
    suite.part("latency", || {
        let (connections, events, rate, rounds) = (1_000, 200, 100, ROUNDS);
        latency::measure(&latency::Options { connections, events, rate, rounds, bin: bin(), json: false })
    });
    let connects = suite.part("connect", || {
        connect::measure(&connect::Options { connections: 1_000, rounds: ROUNDS, bin: bin(), json: false })
    });
    let memory = suite.part("idle", || {
        let (sizes, listeners) = (vec![1_000, 2_000, 5_000, 10_000, 15_000], 3_000);
        idle::measure(&idle::Options { sizes, listeners, bin: bin(), json: false })
    });
    suite.part("check", || {
        let (sessions, connections, events, rate) = (50, 1_000, 300, 50);
        check::measure(&check::Options { sessions, connections, events, rate, bin: bin(), json: false })
    });
    let fanout = |load: Load| fanout::measure(&load.options(options));
    // 10,000 deliveries a second, one event at a time; then twelve events at once.
    let everybody =
        Load { connections: 5_000, events: 6, burst: 12, rate: 2, servers: &[], ..Load::default() };
    let most = suite.part("fanout", || fanout(everybody));
    suite.capacity(memory.as_ref(), most.as_ref(), connects.as_ref())?;
    let saturated = Load { connections: 5_000, events: 40, burst: 40, rate: 20, ..Load::default() };
    suite.part("saturated", || fanout(saturated));
    suite.part("churn", || {
        let (connections, receivers, rate, churn, seconds) = (options.connections, 100, 1_000, 0.01, 8);
        let json = false;
        churn::measure(&churn::Options { connections, receivers, rate, churn, seconds, bin: bin(), json })
    });
    // What follows is for the plots.
    let mut receivers = Sweep::default();
    for (connections, rate) in [(100, 50), (300, 30), (1_000, 10), (3_000, 4)] {
        let events = rate as usize;
        let load =
            Load { connections, events, burst: events.max(10), rate, servers: &GROWING, ..Load::default() };
        receivers.add(connections, suite.part(&format!("receivers-{connections}"), || fanout(load)));
    }
    receivers.add(5_000, most);
    let mut payloads = Sweep::default();
    for payload in [100, 2_000, 20_000] {
        let load = Load { connections: 300, payload, servers: &GROWING, ..Load::default() };
        payloads.add(payload, suite.part(&format!("payload-{payload}"), || fanout(load)));
    }
    let mut connections = Sweep::default();
    for idle in [0, 5_000, 14_000] {
        let load = Load { connections: 500, idle, ..Load::default() };
        connections.add(500 + idle, suite.part(&format!("connections-{}", 500 + idle), || fanout(load)));
    }
    let mut subscriptions = Sweep::default();
    for each in [1, 20, 400] {
        let load = Load { connections: 500, subscriptions: each, ..Load::default() };
        subscriptions.add(each, suite.part(&format!("subscriptions-{each}"), || fanout(load)));
    }
    let up = "µs of processor a delivery";
    for (name, title, across, sweep, figures) in [
        ("receivers-paced", "One event at a time", "receivers", &receivers, &["paced_ns"][..]),
        ("receivers-at-once", "Events under backlog", "receivers", &receivers, &["at_once_ns"]),
        (
            "payload-paced",
            "One event at a time to 300 receivers",
            "bytes of payload",
            &payloads,
            &["paced_ns"],
        ),
        (
            "payload-at-once",
            "Events under backlog to 300 receivers",
            "bytes of payload",
            &payloads,
            &["at_once_ns"],
        ),
        (
            "connections",
            "500 receivers among connections",
            "connections",
            &connections,
            &["paced_ns", "at_once_ns"],
        ),
        (
            "subscriptions",
            "500 receivers with subscriptions",
            "subscriptions of each",
            &subscriptions,
            &["paced_ns", "at_once_ns"],
        ),
    ] {
        if !sweep.0.is_empty() {
            suite.put(&format!("{name}.svg"), &plot::svg(title, across, up, &sweep.lines(figures)))?;
        }
    }
    suite.finish()
}

/// What was measured so far.
struct Suite<'a> {
    options: &'a Options,
    began: Instant,
    /// Name, seconds, and the tables as Markdown.
    parts: Vec<(String, f64, String)>,
    targets: Vec<Target>,
    /// Whether everything is measured that there is.
    is_whole: bool,
    /// How many programs wanted a processor before anything was measured.
    load: String,
}

impl<'a> Suite<'a> {
    fn new(options: &'a Options, is_whole: bool) -> Self {
        Self {
            options,
            began: Instant::now(),
            parts: Vec::new(),
            targets: Vec::new(),
            is_whole,
            load: load(),
        }
    }

    /// Measures one part, prints and keeps it. One that fails is named and the others go on: a suite of many minutes is not
    /// lost for one server that did not start.
    fn part(&mut self, name: &str, measure: impl FnOnce() -> Result<Report, BenchError>) -> Option<Value> {
        if self.options.only.as_ref().is_some_and(|only| !name.starts_with(only.as_str())) {
            return None;
        }
        let began = Instant::now();
        let measured = self.is_in_time().and_then(|()| measure()).and_then(|report| {
            self.put(&format!("{name}.json"), &format!("{:#}\n", report.json))?;
            Ok(report)
        });
        let seconds = began.elapsed().as_secs_f64();
        heading(&format!("{name} ({seconds:.0} s)"));
        match measured {
            Ok(report) => {
                report.print(false);
                self.parts.push((name.to_owned(), seconds, report.markdown()));
                self.targets.extend(report.targets);
                Some(report.json)
            }
            Err(error) => {
                heading(&format!("{name} was not measured: {error}"));
                self.parts.push((name.to_owned(), seconds, format!("Not measured: {error}\n")));
                self.targets.push(Target {
                    subject: format!("all of `{name}`"),
                    wanted: "–".to_owned(),
                    bench: "all",
                    figure: "–".to_owned(),
                    floor: "–".to_owned(),
                    ratio: "–".to_owned(),
                    verdict: Verdict::NotMeasured(error.to_string()),
                });
                None
            }
        }
    }

    /// The page of what an operator sizes a server by, if what it needs was measured.
    fn capacity(
        &self,
        memory: Option<&Value>,
        fanout: Option<&Value>,
        connects: Option<&Value>,
    ) -> Result<(), BenchError> {
        let (Some(memory), Some(fanout), Some(connects)) = (memory, fanout, connects) else { return Ok(()) };
        match capacity::page(memory, fanout, connects) {
            Some(page) => self.put("capacity.md", &format!("# Capacity\n\n{GENERATED}\n{page}")),
            None => Ok(()),
        }
    }

    fn is_in_time(&self) -> Result<(), BenchError> {
        if self.began.elapsed() < Duration::from_secs(self.options.minutes * 60) {
            return Ok(());
        }
        Err(BenchError::new(format!("the parts before it took more than {} minutes", self.options.minutes)))
    }

    fn put(&self, name: &str, text: &str) -> Result<(), BenchError> {
        match &self.options.out {
            Some(out) => write(&out.join(name), text),
            None => Ok(()),
        }
    }

    /// Puts the table of targets into the page about benchmarks, if there is one above the folder, and all was measured.
    fn include(&self, table: &str) -> Result<(), BenchError> {
        let Some(page) = self.options.out.as_ref().and_then(|out| Some(out.parent()?.join(PAGE))) else {
            return Ok(());
        };
        let Ok(text) = fs::read_to_string(&page) else { return Ok(()) };
        match between(&text, table) {
            Some(text) if self.is_whole => write(&page, &text),
            Some(_) | None => Ok(()),
        }
    }

    /// The table of targets, and one page with all tables.
    fn finish(self) -> Result<(), BenchError> {
        let took = self.began.elapsed().as_secs_f64();
        let notes = vec![format!(
            "{} Before it, {} programs wanted a processor (the load of the last minute): other work there makes latencies and \
             rates worse. All of it took {:.0} minutes and {:.0} s.",
            machine(),
            self.load,
            (took / 60.0).floor(),
            took % 60.0
        )];
        let report = target::report(&self.targets, notes);
        heading("targets");
        report.print(false);
        self.put("targets.json", &format!("{:#}\n", report.json))?;
        self.put("targets.md", &format!("# Targets\n\n{GENERATED}\n{}", report.markdown()))?;
        self.include(&report.markdown())?;
        let mut page = format!("# Figures\n\n{GENERATED}");
        for (name, seconds, text) in &self.parts {
            page.push_str(&format!("\n## {name}\n\nTook {seconds:.0} s.\n\n{text}"));
        }
        self.put("figures.md", &page)
    }
}

#[derive(Clone, Copy)]
struct Load {
    connections: usize,
    idle: usize,
    subscriptions: usize,
    events: usize,
    burst: usize,
    rate: u32,
    payload: usize,
    rounds: usize,
    /// None are all.
    servers: &'static [Kind],
}

impl Default for Load {
    fn default() -> Self {
        Self {
            connections: 500,
            idle: 0,
            subscriptions: 1,
            events: 20,
            burst: 20,
            rate: 20,
            payload: 600,
            rounds: ROUNDS,
            servers: &[Kind::Realtime],
        }
    }
}

impl Load {
    fn options(self, options: &Options) -> fanout::Options {
        fanout::Options {
            connections: self.connections,
            idle: self.idle,
            subscriptions: self.subscriptions,
            events: self.events,
            burst: self.burst,
            rate: self.rate,
            payload: self.payload,
            rounds: self.rounds,
            servers: self.servers.to_vec(),
            bin: options.bin.clone(),
            json: false,
        }
    }
}

/// Fan-outs with something growing.
#[derive(Default)]
struct Sweep(Vec<(f64, Value)>);

impl Sweep {
    fn add(&mut self, at: usize, json: Option<Value>) {
        self.0.extend(json.map(|json| (at as f64, json)));
    }

    /// A line for the floor and for each server, of each figure.
    fn lines(&self, figures: &[&str]) -> Vec<Line> {
        let servers =
            |json: &Value| json.get("servers").and_then(Value::as_array).cloned().unwrap_or_default();
        // The servers that were measured everywhere: the fewest of all.
        let fewest = self.0.iter().map(|(_, json)| servers(json)).min_by_key(Vec::len).unwrap_or_default();
        let mut names = vec!["floor".to_owned()];
        names.extend(fewest.iter().filter_map(|server| server.get("server")?.as_str().map(str::to_owned)));
        let of = |json: &Value, name: &str, figure: &str| {
            let floor = json.get("floor").cloned();
            let own = servers(json).into_iter().find(|server| server.get("server") == Some(&json!(name)));
            let spread = if name == "floor" { floor } else { own }?.get(figure)?.clone();
            let at =
                |part: &str| spread.get(part).and_then(Value::as_f64).map(|nanoseconds| nanoseconds / 1e3);
            Some(Spread { median: at("median")?, min: at("min")?, max: at("max")? })
        };
        let mut lines = Vec::new();
        for figure in figures {
            for name in &names {
                let points = self.0.iter().filter_map(|(at, json)| Some((*at, of(json, name, figure)?)));
                let when = if *figure == "paced_ns" { "one at a time" } else { "backlog" };
                let shown = if figures.len() > 1 { format!("{name}, {when}") } else { name.clone() };
                lines.push(Line { name: shown, points: points.collect() });
            }
        }
        lines
    }
}

/// A page with another text between the marks; `None` if it has none.
fn between(page: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, behind) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{text}\n{END}{behind}"))
}

/// How many programs wanted a processor in the last minute.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// What it was measured on.
fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or_else(String::new, |(_, model)| format!(" ({})", model.trim()));
    format!("Measured on {processors} processors{model}, Linux {kernel}.")
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn heading(text: &str) {
    println!("\n## {text}\n");
}

fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .map_err(BenchError::io("write", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_the_page_is_replaced_and_the_rest_stays() {
        let page = format!("a\n{BEGIN}old{END}\nb\n");
        let once = between(&page, "new\n");
        assert_eq!(once, Some(format!("a\n{BEGIN}\nnew\n\n{END}\nb\n")));
        assert_eq!(between(once.as_deref().unwrap_or_default(), "new\n"), once);
        assert_eq!(between("no marks", "new"), None);
    }
}
