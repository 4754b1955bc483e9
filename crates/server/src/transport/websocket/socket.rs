//! A WebSocket over a stream: reads messages, writes what is queued, and says goodbye properly.
//!
//! A connection is a loop over what comes from either side:
//!
//! ```no_run
//! # use std::time::Duration;
//! # use bytes::Bytes;
//! # use realtime_protocol::codec::Message;
//! # use realtime_server::transport::websocket::socket::{Socket, Turn};
//! # async fn serve(stream: tokio::net::TcpStream, mut outgoing: tokio::sync::mpsc::Receiver<Message>) {
//! let mut socket = Socket::new(stream, Bytes::new(), 64_000);
//! loop {
//!     tokio::select! {
//!         turn = socket.turn() => match turn {
//!             Ok(Turn::Text(message) | Turn::Binary(message)) => drop(message),
//!             Ok(Turn::Heard | Turn::Pong(_) | Turn::Drained) => {}
//!             Err(_) => break,
//!         },
//!         message = outgoing.recv(), if socket.queued_bytes() < 256 * 1024 => match message {
//!             Some(message) => socket.queue(message),
//!             None => {
//!                 socket.queue_close(1001, "going away");
//!                 break;
//!             }
//!         },
//!     }
//! }
//! socket.finish(Duration::from_secs(2)).await;
//! # }
//! ```

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use realtime_protocol::codec::Message;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::frame::{Fault, Inbound, Reader};
use super::queue::Queue;

/// How much is read at a time. One such buffer serves all sockets of a thread, so that a quiet one holds none.
const SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The server's end of a WebSocket whose handshake is done.
///
/// Queue what there is to say, and call [`Socket::turn`] in a loop; when it fails, or after [`Socket::queue_close`],
/// call [`Socket::finish`]. Reading and writing go on side by side, so a client that reads slowly is still heard, and
/// missed when it goes. The queue has no bound: ask [`Socket::queued_bytes`] before adding to it.
#[derive(Debug)]
pub struct Socket<S> {
    stream: S,
    /// Bytes that have been read but not looked at.
    unread: Bytes,
    reader: Reader,
    queue: Queue,
    /// Bytes were given to the stream and may be held back by it (TLS does).
    unflushed: bool,
    /// All that was queued has been written, and nobody has been told.
    drained: bool,
    /// A Close is queued or written: nothing may be said after it.
    closing: bool,
    hearing: Hearing,
}

/// Whether the client is still heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hearing {
    /// What it says counts.
    Open,
    /// It has closed or broken the protocol: what it still sends is read and thrown away.
    Deaf,
    /// It will send nothing more.
    Over,
}

/// What one turn brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// A text message came.
    Text(Bytes),
    /// A binary message came.
    Binary(Bytes),
    /// A Ping came, and has been answered.
    Heard,
    /// A Pong came: the client has got everything up to the Ping with this payload.
    Pong(Bytes),
    /// All that was queued has been written.
    Drained,
}

/// Why there will be no further turn.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The client closed; the answer is queued.
    #[error("the client closed with code {code}")]
    Closed {
        /// Its code; [`NO_STATUS`](super::frame::NO_STATUS) if it gave none.
        code: u16,
        /// Its reason.
        reason: String,
    },
    /// The client broke the protocol; a Close that says so is queued.
    #[error("the client broke the protocol: {0}")]
    Fault(#[from] Fault),
    /// The client is gone without a word.
    #[error("the client is gone")]
    Gone,
    /// The stream failed.
    #[error("the stream failed: {0}")]
    Failed(#[from] io::Error),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// A socket over `stream`, of which `unread` was read together with the handshake. Messages over `limit` bytes
    /// end it (see [`Reader::new`]).
    pub fn new(stream: S, unread: Bytes, limit: usize) -> Self {
        Self {
            stream,
            unread,
            reader: Reader::new(limit),
            queue: Queue::default(),
            unflushed: false,
            drained: false,
            closing: false,
            hearing: Hearing::Open,
        }
    }

    /// Queues a text message, which must be UTF-8. After a Close it is dropped: RFC 6455 §5.5.1 allows nothing more.
    pub fn queue(&mut self, message: Message) {
        if !self.closing {
            self.queue.text(message);
        }
    }

    /// Queues a binary message; like [`Socket::queue`] otherwise.
    pub fn queue_binary(&mut self, message: Message) {
        if !self.closing {
            self.queue.binary(message);
        }
    }

    /// Queues a Ping of at most 125 bytes; like [`Socket::queue`] otherwise.
    pub fn queue_ping(&mut self, payload: Bytes) {
        if !self.closing {
            self.queue.ping(payload);
        }
    }

    /// Queues a Close with a code (RFC 6455 §7.4) and a reason, of which at most 123 bytes are sent. Only the first
    /// Close counts.
    pub fn queue_close(&mut self, code: u16, reason: &str) {
        if !self.closing {
            self.closing = true;
            self.queue.close(code, reason);
        }
    }

    /// How many bytes wait to be written.
    pub fn queued_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Writes what is queued and reads what comes, until there is something to tell.
    ///
    /// May be dropped at any await: nothing read or written is lost. It waits for as long as the client says nothing
    /// and nothing is queued.
    ///
    /// # Errors
    /// [`Ended`]; then [`Socket::finish`] is all that is left to do.
    pub async fn turn(&mut self) -> Result<Turn, Ended> {
        poll_fn(|context| self.poll_turn(context)).await
    }

    /// Writes all that is queued, without reading. May be dropped at any await and called again.
    ///
    /// # Errors
    /// When the stream fails.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    /// Ends the connection so that the client sees what was queued, a Close above all, and not a reset.
    ///
    /// Writes what is queued, waits for the client's Close if ours was first, ends our side of the stream and reads
    /// on until the client ends its own. All of that takes at most `grace`; then the stream is dropped as it is.
    pub async fn finish(self, grace: Duration) {
        self.finish_holding(grace, ()).await;
    }

    /// The same; `held` is dropped as soon as all that was queued is written, whether or not the client answers.
    pub async fn finish_holding<T>(mut self, grace: Duration, held: T) {
        // Whether the client went along or the time ran out: the stream is dropped, and there is nobody to tell.
        let _ = tokio::time::timeout(grace, self.part(held)).await;
    }

    async fn part<T>(&mut self, held: T) -> io::Result<()> {
        while !self.queue.is_empty() || self.unflushed {
            self.turn_unless_failed().await?;
        }
        drop(held);
        while self.closing && self.hearing == Hearing::Open {
            self.turn_unless_failed().await?;
        }
        self.stream.shutdown().await?;
        // Closing a socket with bytes unread resets it, and a reset discards what the client has yet to read.
        poll_fn(|context| self.poll_discard(context)).await
    }

    async fn turn_unless_failed(&mut self) -> io::Result<()> {
        match self.turn().await {
            Err(Ended::Failed(error)) => Err(error),
            Ok(_) | Err(Ended::Closed { .. } | Ended::Fault(_) | Ended::Gone) => Ok(()),
        }
    }

    /// [`Socket::turn`] for who polls by hand. Who is told [`Turn::Drained`] is woken when the client says something,
    /// without polling again.
    pub fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Result<Turn, Ended>> {
        if !self.queue.is_empty() || self.unflushed {
            self.drained = self.poll_flush(context)?.is_ready();
        }
        if let Poll::Ready(turn) = self.poll_receive(context) {
            return Poll::Ready(turn);
        }
        if std::mem::take(&mut self.drained) {
            return Poll::Ready(Ok(Turn::Drained));
        }
        Poll::Pending
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.queue.is_empty() {
            let batch = self.queue.batch();
            let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, &batch))?;
            drop(batch);
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.queue.advance(written);
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Turn, Ended>> {
        match self.hearing {
            Hearing::Open => {}
            Hearing::Deaf => {
                ready!(self.poll_discard(context))?;
                self.hearing = Hearing::Over;
                return Poll::Pending;
            }
            Hearing::Over => return Poll::Pending,
        }
        let mut said = self.read_unread();
        let said = loop {
            match said {
                Ok(None) => said = ready!(self.poll_read(context)),
                Ok(Some(inbound)) => break Ok(inbound),
                Err(ended) => break Err(ended),
            }
        };
        Poll::Ready(said.and_then(|inbound| self.meet(inbound)).inspect_err(|ended| self.stop(ended)))
    }

    fn read_unread(&mut self) -> Result<Option<Inbound>, Ended> {
        let mut rest = &*self.unread;
        let said = self.reader.read(&mut rest);
        let left = rest.len();
        if left == 0 {
            self.unread = Bytes::new();
        } else {
            self.unread.advance(self.unread.len() - left);
        }
        Ok(said?)
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Inbound>, Ended>> {
        with_scratch(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            let mut rest = buffer.filled();
            if rest.is_empty() {
                return Poll::Ready(Err(Ended::Gone));
            }
            let said = self.reader.read(&mut rest)?;
            if !rest.is_empty() {
                self.unread = Bytes::copy_from_slice(rest);
            }
            Poll::Ready(Ok(said))
        })
    }

    fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        with_scratch(|scratch| {
            loop {
                let mut buffer = ReadBuf::new(scratch);
                ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
                if buffer.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
        })
    }

    fn meet(&mut self, inbound: Inbound) -> Result<Turn, Ended> {
        match inbound {
            Inbound::Text(text) => Ok(Turn::Text(text)),
            Inbound::Binary(data) => Ok(Turn::Binary(data)),
            Inbound::Ping(payload) => {
                if !self.closing {
                    self.queue.pong(payload);
                }
                Ok(Turn::Heard)
            }
            Inbound::Pong(payload) => Ok(Turn::Pong(payload)),
            Inbound::Close(code, reason) => Err(Ended::Closed { code, reason }),
        }
    }

    /// What follows from the end: a Close in answer, and nothing heard any more.
    fn stop(&mut self, ended: &Ended) {
        self.unread = Bytes::new();
        self.hearing = match ended {
            Ended::Closed { code, reason } => {
                self.queue_close(*code, reason);
                Hearing::Deaf
            }
            Ended::Fault(fault) => {
                self.queue_close(fault.code(), &fault.to_string());
                Hearing::Deaf
            }
            Ended::Gone | Ended::Failed(_) => Hearing::Over,
        };
    }
}

/// Lends the buffer of this thread.
fn with_scratch<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut scratch = SCRATCH.take();
    scratch.resize(SCRATCH_BYTES, 0);
    let outcome = read(&mut scratch);
    SCRATCH.set(scratch);
    outcome
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::time::Instant;

    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::transport::websocket::frame::NO_STATUS;

    const LIMIT: usize = 64_000;
    const GRACE: Duration = Duration::from_secs(5);

    #[test]
    fn a_quiet_socket_is_small_and_holds_no_buffer() {
        let size = size_of::<Socket<TcpStream>>();
        assert!(size <= 256, "{size} bytes");
    }

    #[tokio::test]
    async fn messages_that_came_with_the_handshake_are_read_first() {
        let (mut client, stream) = duplex(1024);
        let mut unread = masked(0x81, b"first");
        unread.extend(masked(0x81, b"second"));
        unread.extend(masked(0x01, b"thi"));
        let mut socket = Socket::new(stream, unread.into(), LIMIT);
        client.write_all(&masked(0x80, b"rd")).await.unwrap();
        for text in ["first", "second", "third"] {
            assert_eq!(socket.turn().await.unwrap(), Turn::Text(text.into()));
        }
        assert!(socket.unread.is_empty());
    }

    #[tokio::test]
    async fn a_turn_that_is_dropped_again_and_again_loses_nothing() {
        let (mut client, stream) = duplex(7);
        let mut socket = Socket::new(stream, Bytes::new(), LIMIT);
        let bytes = masked(0x82, &[42; 500]);
        let writing = tokio::spawn(async move {
            client.write_all(&bytes).await.unwrap();
            let mut echo = vec![0; 504];
            client.read_exact(&mut echo).await.unwrap();
            echo
        });
        let mut received = None;
        while received.is_none() || socket.queued_bytes() > 0 {
            tokio::select! {
                biased;
                turn = socket.turn() => if let Turn::Binary(data) = turn.unwrap() {
                    socket.queue_binary(Message::own(data.clone()));
                    received = Some(data);
                },
                () = tokio::task::yield_now() => {}
            }
        }
        let echo = writing.await.unwrap();
        assert_eq!(echo.get(..4).unwrap(), [0x82, 126, 1, 244]);
        assert_eq!(echo.get(4..).unwrap(), received.unwrap());
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_heard_and_missed_all_the_same() {
        let (mut client, stream) = duplex(64);
        let mut socket = Socket::new(stream, Bytes::new(), LIMIT);
        socket.queue(Message::own(vec![b'x'; 10_000]));
        client.write_all(&masked(0x81, b"still here")).await.unwrap();
        assert_eq!(socket.turn().await.unwrap(), Turn::Text("still here".into()));
        assert!(socket.queued_bytes() > 9_000);
        client.shutdown().await.unwrap();
        assert!(matches!(socket.turn().await, Err(Ended::Gone)));
    }

    #[tokio::test]
    async fn what_is_queued_is_written_and_then_reported_as_drained() {
        let (mut client, stream) = duplex(1024);
        let mut socket = Socket::new(stream, Bytes::new(), LIMIT);
        socket.queue(Message { shared: "shared ".into(), own: "own".into() });
        socket.queue_ping(Bytes::from_static(b"there?"));
        assert_eq!(socket.turn().await.unwrap(), Turn::Drained);
        assert_eq!(socket.queued_bytes(), 0);
        assert_eq!(read(&mut client, 20).await, b"\x81\x0ashared own\x89\x06there?");
    }

    #[tokio::test]
    async fn a_flush_that_is_dropped_again_and_again_writes_all_in_order() {
        let (mut client, stream) = duplex(5);
        let mut socket = Socket::new(stream, Bytes::new(), LIMIT);
        let payload: Vec<u8> = (0..100).collect();
        socket.queue_binary(Message { shared: payload.clone().into(), own: payload.clone().into() });
        let reading = tokio::spawn(async move { read(&mut client, 4 + 200).await });
        while socket.queued_bytes() > 0 {
            tokio::select! {
                biased;
                flushed = socket.flush() => flushed.unwrap(),
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(reading.await.unwrap(), [b"\x82\x7e\x00\xc8".to_vec(), payload.clone(), payload].concat());
    }

    #[tokio::test]
    async fn a_client_that_never_stops_sending_pings_still_gets_what_is_queued() {
        let (client, stream) = duplex(64);
        let mut socket = Socket::new(stream, Bytes::new(), LIMIT);
        socket.queue(Message::own("news"));
        let (mut reading, mut writing) = tokio::io::split(client);
        let flood = tokio::spawn(async move { while writing.write_all(&masked(0x89, b"")).await.is_ok() {} });
        let serving = tokio::spawn(async move { while socket.turn().await.is_ok() {} });
        let mut seen = [0; 6];
        reading.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"\x81\x04news");
        flood.abort();
        serving.abort();
    }

    #[tokio::test]
    async fn a_close_is_answered_with_its_code_and_reason() {
        let (mut client, stream) = duplex(1024);
        let mut socket = Socket::new(stream, Bytes::new(), LIMIT);
        client.write_all(&masked(0x88, b"\x0f\xa0bye")).await.unwrap();
        let ended = socket.turn().await.unwrap_err();
        assert!(matches!(ended, Ended::Closed { code: 4000, reason } if reason == "bye"));
        let finishing = tokio::spawn(socket.finish(GRACE));
        assert_eq!(read_to_end(&mut client).await, b"\x88\x05\x0f\xa0bye");
        drop(client);
        finishing.await.unwrap();
    }

    #[tokio::test]
    async fn a_close_without_a_code_is_answered_without_one() {
        let (mut client, stream) = duplex(1024);
        let mut socket = Socket::new(stream, Bytes::new(), LIMIT);
        client.write_all(&masked(0x88, b"")).await.unwrap();
        assert!(matches!(socket.turn().await, Err(Ended::Closed { code: NO_STATUS, .. })));
        let finishing = tokio::spawn(socket.finish(GRACE));
        assert_eq!(read_to_end(&mut client).await, b"\x88\x00");
        drop(client);
        finishing.await.unwrap();
    }

    #[tokio::test]
    async fn our_close_waits_for_that_of_the_client_and_nothing_is_said_after_it() {
        let (mut client, stream) = duplex(1024);
        let mut socket = Socket::new(stream, Bytes::new(), LIMIT);
        socket.queue_close(1013, "later");
        socket.queue(Message::own("too late"));
        client.write_all(&masked(0x89, b"too late")).await.unwrap();
        let finishing = tokio::spawn(socket.finish(GRACE));
        assert_eq!(read(&mut client, 9).await, b"\x88\x07\x03\xf5later");
        for _ in 0..10 {
            tokio::task::yield_now().await;
            assert!(client.read_u8().now_or_never().is_none(), "the stream must stay open for the answer");
        }
        client.write_all(&masked(0x88, b"\x03\xf5")).await.unwrap();
        assert_eq!(read_to_end(&mut client).await, b"");
        drop(client);
        finishing.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_never_answers_a_close_is_dropped_when_the_grace_is_over() {
        let (_client, stream) = duplex(16);
        let mut socket = Socket::new(stream, Bytes::new(), LIMIT);
        socket.queue(Message::own(vec![b'x'; 1000]));
        socket.queue_close(1001, "");
        let grace = Duration::from_millis(50);
        let start = Instant::now();
        socket.finish(grace).await;
        assert!((grace..GRACE).contains(&start.elapsed()));
    }

    #[tokio::test]
    async fn the_close_for_a_fault_is_seen_by_a_client_that_is_in_the_middle_of_writing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = Socket::new(stream, Bytes::new(), LIMIT);
        let serving = tokio::spawn(async move {
            let ended = socket.turn().await.unwrap_err();
            socket.finish(GRACE).await;
            ended
        });
        let start = Instant::now();
        client.write_all(&masked(0x82, &vec![0; 8_000_000])).await.unwrap();
        client.shutdown().await.unwrap();
        let seen = read_to_end(&mut client).await;
        assert_eq!(seen, b"\x88\x28\x03\xf1the message is larger than 64000 bytes");
        assert!(matches!(serving.await.unwrap(), Ended::Fault(Fault::TooLarge { limit: LIMIT })));
        assert!(start.elapsed() < GRACE);
    }

    async fn read(client: &mut DuplexStream, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        client.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    async fn read_to_end(client: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).await.unwrap();
        bytes
    }

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            length @ ..126 => bytes.push(0x80 | length as u8),
            length @ ..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes
    }
}
