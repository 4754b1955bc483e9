//! Load and floors for the realtime event server: every figure is a ratio to something measured in the same run.

mod appwrite;
mod capacity;
mod check;
mod churn;
mod clients;
mod clock;
mod connect;
mod contender;
mod cpu;
mod crowd;
mod dialogue;
mod fanout;
mod floor;
mod histogram;
mod idle;
mod latency;
mod matching;
mod memory;
mod path;
mod plot;
mod post;
mod program;
mod queries;
mod report;
mod start;
mod suite;
mod target;
mod wire;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
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
    /// Connects of guests and of users, by each of the ways to show who one is
    Connect(connect::Options),
    /// Memory of idle connections and their subscriptions, and whether it grows with events
    Idle(idle::Options),
    /// From publishing over Redis to receipt, with nothing else to do
    Latency(latency::Options),
    /// From starting the server to the first client that is let in
    Start(start::Options),
    /// Many connections on several nodes, some of which come and go while events pass
    Churn(churn::Options),
    /// Whether clients of the Rust SDK get each event once and in order under the same load
    Check(check::Options),
    /// The first figures, in about a minute
    Quick(suite::Options),
    /// All figures, with plots, in less than twenty minutes
    All(suite::Options),
    /// Takes one path through the code a number of times, for `cargo xtask instructions`
    Path(path::Options),
    /// Clients, as another process of a run orders them on standard input
    #[command(hide = true)]
    Clients,
    /// The floor of `start`
    #[command(hide = true)]
    Accept { address: SocketAddr },
}

/// Files that one process of a run may want to open.
const FILES: u64 = 250_000;

/// This server's binary: the one that was named, or the one beside this one.
fn server(named: Option<&PathBuf>) -> Result<PathBuf, BenchError> {
    match named {
        Some(named) => Ok(named.clone()),
        None => Ok(std::env::current_exe()
            .map_err(BenchError::io("find", "this binary"))?
            .with_file_name("realtime")),
    }
}

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
        Bench::Connect(options) => connect::run(&options),
        Bench::Idle(options) => idle::run(&options),
        Bench::Latency(options) => latency::run(&options),
        Bench::Start(options) => start::run(&options),
        Bench::Churn(options) => churn::run(&options),
        Bench::Check(options) => check::run(&options),
        Bench::Clients => clients::run(),
        Bench::Accept { address } => floor::accept(address),
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
