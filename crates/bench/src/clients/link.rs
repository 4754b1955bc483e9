//! One client: its connection from one of several loopback addresses, how it begins, and what it hears.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{Opening, Tally};
use crate::BenchError;
use crate::clock;
use crate::wire::Reading;

/// Addresses that clients come from: each has some 28,000 ports, and those of ended connections rest for a minute.
const SOURCES: usize = 16;
/// How long a client may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client that the server has let in.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    reading: Reading,
}

impl Link {
    pub(super) async fn open(opening: &Opening, number: usize) -> Result<Self, BenchError> {
        let begun = tokio::time::timeout(PATIENCE, Self::begin(opening, number)).await;
        begun.unwrap_or_else(|_| {
            Err(BenchError::new(format!("connection {number} was not answered in {PATIENCE:?}")))
        })
    }

    /// Goes through the dialogue.
    async fn begin(opening: &Opening, number: usize) -> Result<Self, BenchError> {
        let (dialogue, addresses) = (&opening.dialogue, &opening.addresses);
        // Neighbours in a room are at different servers.
        let place = (number + number / dialogue.rooms) % addresses.len().max(1);
        let address = *addresses.get(place).ok_or_else(|| BenchError::new("there is no address"))?;
        let mut stream = connect(address, number).await?;
        let mut captured = String::new();
        for step in &dialogue.steps {
            let said = dialogue.bytes(step, number, &captured);
            let answer = if step.aside {
                let mut aside = connect(address, number).await?;
                converse(&mut aside, number, &said, &step.until).await?
            } else {
                converse(&mut stream, number, &said, &step.until).await?
            };
            if let Some(found) = step.captured(&answer) {
                captured = found;
            }
        }
        Ok(Self { stream, reading: Reading::new(dialogue.framing) })
    }

    /// Counts what comes until the connection ends.
    pub(super) async fn listen(mut self, tally: Arc<Tally>, steady: bool) {
        self.hear(&tally, steady).await;
        tally.ended.fetch_add(1, Ordering::Relaxed);
    }

    async fn hear(&mut self, tally: &Tally, steady: bool) {
        let mut answer = Vec::new();
        let (stream, reading) = (&mut self.stream, &mut self.reading);
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
                if steady {
                    tally.steady.fetch_add(events, Ordering::Release);
                }
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
}

thread_local! {
    /// One buffer for all clients of a thread.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; 256 * 1024]);
}

async fn connect(address: SocketAddr, number: usize) -> Result<TcpStream, BenchError> {
    let io = |verb: &'static str| BenchError::io(verb, format!("connection {number}"));
    let socket = TcpSocket::new_v4().map_err(io("make"))?;
    let host = u8::try_from(2 + number % SOURCES).unwrap_or(u8::MAX);
    let source = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)), 0);
    socket.bind(source).map_err(io("bind"))?;
    let stream = socket.connect(address).await.map_err(io("open"))?;
    stream.set_nodelay(true).map_err(io("set up"))?;
    Ok(stream)
}

/// Says something and reads until the answer holds what is waited for.
async fn converse(
    stream: &mut TcpStream,
    number: usize,
    said: &[u8],
    until: &[u8],
) -> Result<Vec<u8>, BenchError> {
    let io = |verb: &'static str| BenchError::io(verb, format!("connection {number}"));
    stream.write_all(said).await.map_err(io("write to"))?;
    let mut seen: Vec<u8> = Vec::new();
    while memmem::find(&seen, until).is_none() {
        let mut part = [0; 4_096];
        let read = stream.read(&mut part).await.map_err(io("read from"))?;
        if read == 0 {
            let said = String::from_utf8_lossy(&seen);
            return Err(BenchError::new(format!("connection {number} was closed after {said:?}")));
        }
        seen.extend(part.iter().take(read));
    }
    Ok(seen)
}
