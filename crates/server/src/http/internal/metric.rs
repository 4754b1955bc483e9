//! Metrics as Prometheus reads them: the one list, which the page of documentation is made from too.

use std::fmt::Write;
use std::time::Duration;

use realtime_core::stats::Stats;

/// Prometheus' text format (Exposition formats, version 0.0.4).
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is measured at a moment.
#[derive(Debug, Clone)]
pub(crate) struct Readings {
    /// The release.
    pub(crate) version: &'static str,
    pub(crate) stats: Stats,
    /// Each shard's connections, and the jobs that wait for it.
    pub(crate) loads: Vec<(u64, usize)>,
    pub(crate) is_ready: bool,
    pub(crate) is_bus_connected: bool,
    /// In bytes, if the system tells.
    pub(crate) memory: Option<u64>,
    pub(crate) ceiling: Option<u64>,
    pub(crate) uptime: Duration,
}

/// One metric.
struct Metric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    read: Read,
}

/// What a value does over time.
#[derive(Clone, Copy)]
enum Kind {
    /// It only grows, until the server starts again.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// Where values come from.
enum Read {
    /// One value; `None` if it is not known.
    One(fn(&Readings) -> Option<u64>),
    /// A value for each shard, told apart by the label `shard`.
    Shards(fn((u64, usize)) -> u64),
    /// One, with the release in the label `version`.
    Version,
}

const fn counter(name: &'static str, help: &'static str, read: fn(&Readings) -> Option<u64>) -> Metric {
    Metric { name, kind: Kind::Counter, help, read: Read::One(read) }
}

const fn gauge(name: &'static str, help: &'static str, read: fn(&Readings) -> Option<u64>) -> Metric {
    Metric { name, kind: Kind::Gauge, help, read: Read::One(read) }
}

/// Every metric, in the order of the page.
const METRICS: &[Metric] = &[
    gauge("realtime_connections", "Connections there are.", |now| Some(now.stats.connections)),
    gauge("realtime_subscriptions", "Subscriptions there are, of all connections.", |now| {
        Some(now.stats.subscriptions)
    }),
    counter("realtime_connections_opened_total", "Connections that began.", |now| Some(now.stats.opened)),
    counter("realtime_connections_closed_total", "Connections that ended.", |now| Some(now.stats.closed)),
    counter("realtime_connections_refused_total", "Clients that were not let in.", |now| {
        Some(now.stats.refused)
    }),
    counter(
        "realtime_connections_slow_total",
        "Connections closed because their client did not read fast enough.",
        |now| Some(now.stats.slow),
    ),
    counter("realtime_events_total", "Events that came in.", |now| Some(now.stats.events)),
    counter("realtime_deliveries_total", "Events queued for a connection, once for each receiver.", |now| {
        Some(now.stats.deliveries)
    }),
    counter(
        "realtime_deliveries_left_out_total",
        "Events left out for clients that did not read fast enough, or for a later one of the same subject.",
        |now| Some(now.stats.left_out),
    ),
    counter(
        "realtime_resumes_recovered_total",
        "Times that a client came back and got all that it had missed.",
        |now| Some(now.stats.recovered),
    ),
    counter(
        "realtime_resumes_unrecovered_total",
        "Times that a client came back and could not be vouched for.",
        |now| Some(now.stats.unrecovered),
    ),
    counter("realtime_gaps_total", "Times that events may have been missed by this node.", |now| {
        Some(now.stats.gaps)
    }),
    gauge("realtime_replay_bytes", "Bytes of events kept for clients that are away.", |now| {
        Some(now.stats.replay_bytes)
    }),
    gauge("realtime_ready", "1 if clients may be sent here, else 0.", |now| Some(u64::from(now.is_ready))),
    gauge("realtime_bus_connected", "1 if events come in, else 0.", |now| {
        Some(u64::from(now.is_bus_connected))
    }),
    Metric {
        name: "realtime_shard_connections",
        kind: Kind::Gauge,
        help: "Connections of a shard.",
        read: Read::Shards(|(connections, _)| connections),
    },
    Metric {
        name: "realtime_shard_jobs_waiting",
        kind: Kind::Gauge,
        help: "Events and other jobs that wait for a shard; at 8,192 whoever brings more waits.",
        read: Read::Shards(|(_, waiting)| waiting as u64),
    },
    gauge(
        "realtime_memory_ceiling_bytes",
        "Memory beyond which the slowest clients are closed; absent without a ceiling.",
        |now| now.ceiling,
    ),
    gauge("realtime_uptime_seconds", "How long the server has run.", |now| Some(now.uptime.as_secs())),
    Metric {
        name: "realtime_build_info",
        kind: Kind::Gauge,
        help: "Always 1; the release is in the label `version`.",
        read: Read::Version,
    },
    gauge("process_resident_memory_bytes", "Memory of the process.", |now| now.memory),
];

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// What Prometheus reads.
pub(super) fn page(now: &Readings) -> String {
    let mut page = String::new();
    for metric in METRICS {
        let Metric { name, kind, help, read } = metric;
        let mut values = String::new();
        // Writing to a text cannot fail.
        match read {
            Read::One(read) => {
                let Some(value) = read(now) else { continue };
                let _ = writeln!(values, "{name} {value}");
            }
            Read::Shards(read) => {
                for (shard, load) in now.loads.iter().enumerate() {
                    let _ = writeln!(values, "{name}{{shard=\"{shard}\"}} {}", read(*load));
                }
            }
            Read::Version => {
                let _ = writeln!(values, "{name}{{version=\"{}\"}} 1", now.version);
            }
        }
        let _ = write!(page, "# HELP {name} {help}\n# TYPE {name} {}\n{values}", kind.as_str());
    }
    page
}

/// The table of all metrics, in Markdown.
pub fn reference() -> String {
    let mut table = String::from("| metric | type | labels | what it tells |\n|---|---|---|---|\n");
    for metric in METRICS {
        let labels = match metric.read {
            Read::One(_) => "",
            Read::Shards(_) => "`shard`",
            Read::Version => "`version`",
        };
        let _ =
            writeln!(table, "| `{}` | {} | {labels} | {} |", metric.name, metric.kind.as_str(), metric.help);
    }
    table
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// The table stands between these in the page.
    const MARKS: (&str, &str) = ("<!-- table of metrics: generated -->\n", "<!-- end -->");

    fn readings() -> Readings {
        Readings {
            version: "1.2.3",
            stats: Stats { connections: 7, deliveries: 9, ..Stats::default() },
            loads: vec![(3, 0), (4, 2)],
            is_ready: true,
            is_bus_connected: false,
            memory: Some(1_000),
            ceiling: None,
            uptime: Duration::from_secs(5),
        }
    }

    #[test]
    fn the_page_has_every_metric_that_is_known_once_with_its_type() {
        let page = page(&readings());
        for line in [
            "# TYPE realtime_connections gauge",
            "realtime_connections 7",
            "# TYPE realtime_deliveries_total counter",
            "realtime_deliveries_total 9",
            "realtime_shard_connections{shard=\"1\"} 4",
            "realtime_shard_jobs_waiting{shard=\"1\"} 2",
            "realtime_bus_connected 0",
            "realtime_build_info{version=\"1.2.3\"} 1",
        ] {
            assert_eq!(page.lines().filter(|found| *found == line).count(), 1, "{line} in {page}");
        }
        assert!(!page.contains("realtime_memory_ceiling_bytes"));
    }

    #[test]
    fn names_follow_the_customs_of_prometheus() {
        for metric in METRICS {
            let is_total = metric.name.ends_with("_total");
            assert_eq!(is_total, matches!(metric.kind, Kind::Counter), "{}", metric.name);
            assert!(metric.help.ends_with('.') && !metric.help.contains('\n'), "{}", metric.name);
        }
    }

    #[test]
    fn the_reference_page_in_the_repository_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once(MARKS.0).unwrap();
        let (table, after) = rest.split_once(MARKS.1).unwrap();
        if std::env::var_os("UPDATE_REFERENCE").is_some() {
            let page = [before, MARKS.0, &reference(), MARKS.1, after].concat();
            std::fs::write(path, page).unwrap();
            return;
        }
        assert!(
            table == reference(),
            "run `UPDATE_REFERENCE=1 cargo test -p realtime-server reference` and commit"
        );
    }
}
