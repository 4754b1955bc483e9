//! Load and floors for the realtime event server: every figure is a ratio to something measured in the same run.

mod cpu;
mod fanout;
mod matching;
mod memory;
mod path;
mod report;

use std::fmt;
use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

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
    /// Processor time of the server for each delivery of an event to many connections
    Fanout(fanout::Options),
    /// Takes one path through the code a number of times, for `cargo xtask instructions`
    Path(path::Options),
}

fn main() -> ExitCode {
    let done = match Cli::parse().bench {
        Bench::Match(options) => matching::run(&options),
        Bench::Fanout(options) => fanout::run(&options),
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
