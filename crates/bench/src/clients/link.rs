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
    /// What came with the answers: events may have followed at once, the last of them in part.
    early: Vec<u8>,
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
        let (mut captured, mut seen) = (String::new(), Vec::new());
        for step in &dialogue.steps {
            let said = dialogue.bytes(step, number, &captured);
            let mut aside = Vec::new();
            let answer = if step.aside {
                let mut other = connect(address, number).await?;
                converse(&mut other, number, &said, &step.until, &mut aside).await?
            } else {
                converse(&mut stream, number, &said, &step.until, &mut seen).await?
            };
            if let Some(found) = step.captured(answer) {
                captured = found;
            }
        }
        Ok(Self { stream, reading: Reading::new(dialogue.framing), early: behind_head(&seen).to_vec() })
    }

    /// Counts what comes until the connection ends.
    pub(super) async fn listen(mut self, tally: Arc<Tally>, steady: bool) {
        self.hear(&tally, steady).await;
        tally.ended.fetch_add(1, Ordering::Relaxed);
    }

    async fn hear(&mut self, tally: &Tally, steady: bool) {
        let mut answer = Vec::new();
        let (stream, reading) = (&mut self.stream, &mut self.reading);
        count(reading, &std::mem::take(&mut self.early), &mut answer, tally, steady);
        while stream.readable().await.is_ok() {
            let read = SCRATCH.with_borrow_mut(|scratch| {
                let read = stream.try_read(scratch)?;
                count(reading, scratch.get(..read).unwrap_or_default(), &mut answer, tally, steady);
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

/// Takes what came and counts the events in it. How late they were counts for those who stay: others are sent what they
/// missed.
fn count(reading: &mut Reading, input: &[u8], answer: &mut Vec<u8>, tally: &Tally, steady: bool) {
    let now = clock::now();
    let mut events = 0;
    reading.take(input, answer, |at| {
        events += 1;
        if steady {
            tally.latencies.record(now.saturating_sub(at));
        }
    });
    tally.bytes.fetch_add(input.len() as u64, Ordering::Relaxed);
    if steady {
        tally.steady.fetch_add(events, Ordering::Release);
    }
    tally.events.fetch_add(events, Ordering::Release);
}

/// What stands behind the head of an HTTP response, if there is one.
fn behind_head(seen: &[u8]) -> &[u8] {
    const END: &[u8] = b"\r\n\r\n";
    if !seen.starts_with(b"HTTP/") {
        return seen;
    }
    memmem::find(seen, END).and_then(|place| seen.get(place + END.len()..)).unwrap_or_default()
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

/// Says something and reads until the answer holds what is waited for. What is read is appended to `seen`.
async fn converse<'a>(
    stream: &mut TcpStream,
    number: usize,
    said: &[u8],
    until: &[u8],
    seen: &'a mut Vec<u8>,
) -> Result<&'a [u8], BenchError> {
    let io = |verb: &'static str| BenchError::io(verb, format!("connection {number}"));
    let from = seen.len();
    stream.write_all(said).await.map_err(io("write to"))?;
    while memmem::find(seen.get(from..).unwrap_or_default(), until).is_none() {
        let mut part = [0; 4_096];
        let read = stream.read(&mut part).await.map_err(io("read from"))?;
        if read == 0 {
            let said = String::from_utf8_lossy(seen.get(from..).unwrap_or_default());
            return Err(BenchError::new(format!("connection {number} was closed after {said:?}")));
        }
        seen.extend(part.iter().take(read));
    }
    Ok(seen.get(from..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_answers_at_once_is_not_lost() {
        assert_eq!(behind_head(b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n\x81\x01x"), b"\x81\x01x");
        assert_eq!(behind_head(b"xx"), b"xx");
    }
}
