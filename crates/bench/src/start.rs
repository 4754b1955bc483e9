//! How long it takes from starting the server until its first client is let in.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use memchr::memmem;
use serde_json::json;

use crate::BenchError;
use crate::clock;
use crate::contender::realtime::{CONNECTED, Node};
use crate::program::{Folder, Program, free_address};
use crate::report::{Report, Spread, Table, nanoseconds, ratio, ratios};
use crate::target::{Target, Verdict};
use crate::wire::upgrade;

/// What starting may take, in nanoseconds.
const TARGET: f64 = 100e6;
/// How long a start may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a client tries.
const TRY_EVERY: Duration = Duration::from_micros(500);

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often it is started
    #[arg(long, default_value_t = 10)]
    pub(crate) rounds: usize,
    /// This server's binary; by default the one built beside this one
    #[arg(long)]
    pub(crate) bin: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    measure(options)?.print(options.json);
    Ok(())
}

pub(crate) fn measure(options: &Options) -> Result<Report, BenchError> {
    let binary = crate::server(options.bin.as_ref())?;
    let own = std::env::current_exe().map_err(BenchError::io("find", "this binary"))?;
    let data = Node::dev(&binary, &[])?.program.stop();
    let (mut starts, mut floors) = (Vec::new(), Vec::new());
    // Round 0 brings the programs into memory and is not kept.
    for round in 0..=options.rounds {
        let began = clock::now();
        let node = Node::serve(&binary, data.path(), &["--bus", "memory"])?;
        let took = first_client(node.address, began, CONNECTED)?;
        drop(node);
        let (address, folder) = (free_address()?, Folder::new()?);
        let began = clock::now();
        let floor = Program::start(Command::new(&own).args(["accept", &address.to_string()]), folder)?;
        let least = first_client(address, began, b"x")?;
        drop(floor);
        if round > 0 {
            starts.push(took);
            floors.push(least);
        }
    }
    let (start, floor) = (Spread::of(&starts), Spread::of(&floors));
    let over = Spread::of_ratios(&starts, &floors);
    let mut table = Table::new(&["program", "start to first client", "min–max", "× floor"]);
    let row = |name: &str, spread: Spread, over: String| {
        let range = format!("{}–{}", nanoseconds(spread.min), nanoseconds(spread.max));
        [name.to_owned(), nanoseconds(spread.median), range, over]
    };
    table.row(row("floor: bind, accept, answer", floor, "1".to_owned()));
    table.row(row("realtime serve", start, ratios(over)));
    let target = Target {
        subject: "start to first accepted connection".to_owned(),
        wanted: format!("< {}", nanoseconds(TARGET)),
        bench: "start",
        figure: format!(
            "{} ({}–{})",
            nanoseconds(start.median),
            nanoseconds(start.min),
            nanoseconds(start.max)
        ),
        floor: format!("{} to start a program that only accepts", nanoseconds(floor.median)),
        ratio: ratio(over.median),
        verdict: Verdict::of(start.median < TARGET),
    };
    let notes = vec![format!(
        "{} starts of `realtime serve` on a data folder that is there, until a WebSocket client has got `connected`.",
        options.rounds
    )];
    let json = json!({
        "bench": "start",
        "start_ns": start.to_json(),
        "floor_ns": floor.to_json(),
        "times_floor": over.to_json(),
    });
    Ok(Report { table, notes, json, targets: vec![target] })
}

/// Nanoseconds until a client got what it waits for, which tries until somebody listens.
fn first_client(address: SocketAddr, began: u64, until: &[u8]) -> Result<f64, BenchError> {
    let deadline = Instant::now() + PATIENCE;
    let io = || BenchError::io("talk to", address);
    let mut stream = loop {
        match TcpStream::connect(address) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() > deadline => return Err(io()(error)),
            Err(_) => std::thread::sleep(TRY_EVERY),
        }
    };
    stream.set_read_timeout(Some(PATIENCE)).map_err(io())?;
    stream.write_all(upgrade("/v1/realtime?project=demo", "").as_bytes()).map_err(io())?;
    let mut seen = Vec::new();
    while memmem::find(&seen, until).is_none() {
        let mut part = [0; 4_096];
        let read = stream.read(&mut part).map_err(io())?;
        if read == 0 {
            return Err(BenchError::new(format!("{address} let nobody in")));
        }
        seen.extend(part.iter().take(read));
    }
    Ok((clock::now() - began) as f64)
}
