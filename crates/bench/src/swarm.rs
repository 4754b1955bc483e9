//! Many clients of one server: opened some at a time from several loopback addresses, then listening.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::BenchError;
use crate::clock;
use crate::histogram::Histogram;
use crate::wire::{Framing, Reading};

/// Connections from one source address: fewer than it has ports.
const OF_ADDRESS: usize = 20_000;
/// Connections that are being opened at a time.
const AT_ONCE: usize = 64;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a client begins.
#[derive(Debug, Clone)]
pub(crate) struct Dialogue {
    /// What it says, and what it waits for each time.
    pub(crate) steps: Vec<(Vec<u8>, &'static [u8])>,
    pub(crate) framing: Framing,
}

/// What the clients of a server have received.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) events: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// From the moment an event was to be sent.
    pub(crate) latencies: Histogram,
}

/// Clients; they end with the runtime.
#[derive(Debug)]
pub(crate) struct Swarm {
    pub(crate) tally: Arc<Tally>,
    pub(crate) size: usize,
    /// How long it took to open them.
    pub(crate) opened_in: Duration,
}

impl Swarm {
    pub(crate) fn open(
        runtime: &Runtime,
        address: SocketAddr,
        size: usize,
        dialogue: impl Fn(usize) -> Dialogue,
    ) -> Result<Self, BenchError> {
        let tally = Arc::new(Tally::default());
        let began = Instant::now();
        runtime.block_on(async {
            let mut opening = JoinSet::new();
            for number in 0..size {
                if opening.len() >= AT_ONCE {
                    settle(opening.join_next().await)?;
                }
                let opened = open(address, number, dialogue(number), Arc::clone(&tally));
                opening.spawn(async move {
                    tokio::time::timeout(PATIENCE, opened)
                        .await
                        .map_err(|_| BenchError::new(format!("{address} did not answer in {PATIENCE:?}")))?
                });
            }
            while !opening.is_empty() {
                settle(opening.join_next().await)?;
            }
            Ok(())
        })?;
        Ok(Self { tally, size, opened_in: began.elapsed() })
    }

    /// Waits until as many more events have come as are wanted, or none comes for a while: how many have.
    pub(crate) fn wait_for(&self, before: u64, wanted: u64) -> u64 {
        const QUIET: Duration = Duration::from_secs(3);
        let got = || self.tally.events.load(Ordering::Acquire) - before;
        let (mut last, mut since) = (got(), Instant::now());
        while last < wanted && since.elapsed() < QUIET {
            std::thread::sleep(Duration::from_millis(2));
            let now = got();
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        last
    }
}

fn settle(opened: Option<Result<Result<(), BenchError>, tokio::task::JoinError>>) -> Result<(), BenchError> {
    match opened {
        Some(Ok(opened)) => opened,
        Some(Err(error)) => Err(BenchError::new(error.to_string())),
        None => Ok(()),
    }
}

/// Goes through the dialogue, then listens in a task of its own.
async fn open(
    address: SocketAddr,
    number: usize,
    dialogue: Dialogue,
    tally: Arc<Tally>,
) -> Result<(), BenchError> {
    let io = |verb: &'static str| BenchError::io(verb, format!("connection {number}"));
    let socket = TcpSocket::new_v4().map_err(io("make"))?;
    let host = u8::try_from(2 + number / OF_ADDRESS).unwrap_or(u8::MAX);
    let source = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)), 0);
    socket.bind(source).map_err(io("bind"))?;
    let mut stream = socket.connect(address).await.map_err(io("open"))?;
    stream.set_nodelay(true).map_err(io("set up"))?;
    let mut seen: Vec<u8> = Vec::new();
    for (say, until) in &dialogue.steps {
        stream.write_all(say).await.map_err(io("write to"))?;
        while memchr::memmem::find(&seen, until).is_none() {
            let mut part = [0; 4_096];
            let read = stream.read(&mut part).await.map_err(io("read from"))?;
            if read == 0 {
                let said = String::from_utf8_lossy(&seen);
                return Err(BenchError::new(format!("connection {number} was closed after {said:?}")));
            }
            seen.extend(part.iter().take(read));
        }
        seen.clear();
    }
    tokio::spawn(listen(stream, Reading::new(dialogue.framing), tally));
    Ok(())
}

thread_local! {
    /// One buffer for all clients of a thread.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; 256 * 1024]);
}

async fn listen(mut stream: TcpStream, mut reading: Reading, tally: Arc<Tally>) {
    let mut answer = Vec::new();
    while stream.readable().await.is_ok() {
        let read = SCRATCH.with_borrow_mut(|scratch| {
            let read = stream.try_read(scratch)?;
            let now = clock::now();
            let mut events = 0;
            reading.take(scratch.get(..read).unwrap_or_default(), &mut answer, |at| {
                events += 1;
                tally.latencies.record(now.saturating_sub(at));
            });
            tally.bytes.fetch_add(read as u64, Ordering::Relaxed);
            tally.events.fetch_add(events, Ordering::Release);
            Ok::<_, std::io::Error>(read)
        });
        match read {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
        if !answer.is_empty() {
            if stream.write_all(&answer).await.is_err() {
                return;
            }
            answer = Vec::new();
        }
    }
}
