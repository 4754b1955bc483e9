//! Logs: to standard error, for people or for machines.
//!
//! INFO is what operators want to see (the server and its shards start and stop, connections come and go with their
//! totals), WARN may wake someone, ERROR will; DEBUG adds each event received and each message sent. Credentials are
//! never logged, and payloads never above TRACE.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::config::{Log, LogFormat};

/// Starts logging. Does nothing if it has started already, so that several nodes of a test can share one.
pub fn start(log: &Log) {
    // A filter that cannot be read must not silence the server.
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_target(false);
    let started = match log.format {
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
        LogFormat::Pretty => logs.with_ansi(false).try_init(),
        LogFormat::Auto => logs.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    drop(started);
}
