//! Logs: to standard error, for people or for machines.
//!
//! INFO is what operators want to see (the server and its shards start and stop, connections come and go with their
//! totals), WARN may wake someone, ERROR will; DEBUG adds each event received and each message sent. Credentials are
//! never logged, and payloads never above TRACE.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// The crates whose doings a level on its own is about.
const OURS: &[&str] = &["realtime_core", "realtime_protocol", "realtime_server"];

/// Whose doings are told by us.
const QUIET: &str = "async_nats=off";

/// Starts logging. Does nothing if it has started already, so that several nodes of a test can share one.
pub fn start(log: &Log) {
    let logs = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(EnvFilter::new(directives(&tidy(&log.filter))))
        .with_target(false);
    let started = match log.format {
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
        LogFormat::Pretty => logs.with_ansi(false).try_init(),
        LogFormat::Auto => logs.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    drop(started);
}

/// Whether a text is a level, or levels by module. `tracing` itself takes any word for the name of a module, which would
/// make a mistyped level switch everything else off.
pub fn is_filter(text: &str) -> bool {
    let text = tidy(text);
    let is_level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
    let ends_with_level = |part: &str| is_level(part.rsplit('=').next().unwrap_or_default());
    text.split(',').all(ends_with_level) && EnvFilter::try_new(&text).is_ok()
}

/// The same without spaces, which `tracing` takes for a part of what they stand beside.
fn tidy(filter: &str) -> String {
    filter.split(',').map(str::trim).collect::<Vec<_>>().join(",")
}

/// A level on its own is about this server: `debug` does not mean each statement of the database driver. What the library
/// for NATS reports at every attempt to connect, the bus says once.
fn directives(filter: &str) -> String {
    match filter.parse::<LevelFilter>() {
        Ok(level) if level > LevelFilter::INFO => {
            let ours: Vec<String> = OURS.iter().map(|name| format!("{name}={level}")).collect();
            format!("info,{QUIET},{}", ours.join(","))
        }
        Ok(LevelFilter::OFF) | Err(_) => filter.to_owned(),
        Ok(_) => format!("{filter},{QUIET}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_on_its_own_is_about_this_server_alone() {
        assert_eq!(
            directives("debug"),
            "info,async_nats=off,realtime_core=debug,realtime_protocol=debug,realtime_server=debug"
        );
        assert_eq!(directives("warn"), "warn,async_nats=off");
        assert_eq!(directives("info,sqlx=debug"), "info,sqlx=debug");
    }

    #[test]
    fn words_that_are_no_level_are_no_filter() {
        for filter in ["off", "info", "DEBUG", "info,realtime_server::peer=trace", "warn, sqlx=debug"] {
            assert!(is_filter(filter), "{filter}");
        }
        for filter in ["", "verbose", "info,", "info,realtime_server", "sqlx=loud", "sqlx="] {
            assert!(!is_filter(filter), "{filter}");
        }
    }
}
