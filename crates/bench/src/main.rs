//! Load and floors for the realtime event server: every figure is a ratio to something measured in the same run.

mod clock;
mod contender;
mod cpu;
mod fanout;
mod floor;
mod histogram;
mod matching;
mod memory;
mod path;
mod plot;
mod post;
mod program;
mod queries;
mod report;
mod suite;
mod swarm;
mod wire;

use std::fmt;
use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The allocator of the server.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Measures the realtime event server against floors and peers in the same run
#[derive(Debug, Parser)]
#[command(name = "realtime-bench", version)]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Time to find an event's receivers among many connections
    Match(matching::Options),
    /// Time to find the one of many queries that an event satisfies
    Queries(queries::Options),
    /// Connects, deliveries, latency and memory of servers under the same load
    Fanout(fanout::Options),
    /// The first figures, in about a minute
    Quick(suite::Options),
    /// All figures, with plots, in less than twenty minutes
    All(suite::Options),
    /// Takes one path through the code a number of times, for `cargo xtask instructions`
    Path(path::Options),
}

/// Files that a run with 100,000 connections opens, both ends counted.
const FILES: u64 = 250_000;

/// Raises the limit of open files for this process and the servers that it starts, as far as it may be.
fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: Some(FILES), maximum: Some(limit.maximum.unwrap_or(FILES).max(FILES)) };
    if setrlimit(Resource::Nofile, raised).is_err() {
        // Only root may raise the upper limit. What is missing then shows as an error of its own.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}

fn main() -> ExitCode {
    raise_limit();
    let done = match Cli::parse().bench {
        Bench::Match(options) => matching::run(&options),
        Bench::Queries(options) => queries::run(&options),
        Bench::Fanout(options) => fanout::run(&options),
        Bench::Quick(options) => suite::quick(&options),
        Bench::All(options) => suite::all(&options),
        Bench::Path(options) => path::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error),
    }
}

#[expect(clippy::print_stderr, reason = "there is no log; the reader is at the terminal")]
fn complain(error: &BenchError) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

/// Why there is no figure.
#[derive(Debug)]
pub(crate) struct BenchError(String);

impl BenchError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For [`Result::map_err`]: what could not be done to what.
    pub(crate) fn io(verb: &str, object: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| Self(format!("cannot {verb} {object}: {error}"))
    }
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
