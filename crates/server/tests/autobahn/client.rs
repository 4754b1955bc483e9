//! A client that can send anything, right or wrong, and a script of what it sends and must see.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::websocket_echo;

/// No case takes longer, or it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the echo server takes: more than the largest case.
const MAX_MESSAGE: usize = 32 * 1024 * 1024;

/// One case of the suite: a connection, what is sent on it, and all that must be seen.
#[derive(Debug, Default)]
pub(crate) struct Case {
    headers: String,
    steps: Vec<Step>,
    end: End,
}

#[derive(Debug)]
enum Step {
    Send { bytes: Vec<u8>, chop: usize },
    See(Seen),
}

/// How a connection ends.
#[derive(Debug, Default)]
enum End {
    /// The client closes with 1000, and the server answers with the same.
    #[default]
    Clean,
    /// The client has closed in the script; the server answers so.
    Answered(Seen),
    /// The server fails the connection with this code.
    Failed(u16),
}

/// Something that the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    /// 1005 stands for no code.
    Close(u16, String),
    /// The end of the stream; a reset is a failure.
    End,
}

impl Case {
    /// Adds a line to the head of the handshake.
    pub(crate) fn offering(offer: &str) -> Self {
        Self { headers: format!("Sec-WebSocket-Extensions: {offer}\r\n"), ..Self::default() }
    }

    /// Sends frames in one piece.
    pub(crate) fn sends(self, frames: &[Vec<u8>]) -> Self {
        self.sends_in_chops_of(usize::MAX, frames)
    }

    /// Sends frames one by one.
    pub(crate) fn sends_each(self, frames: &[Vec<u8>]) -> Self {
        frames.iter().fold(self, |case, frame| case.sends(std::slice::from_ref(frame)))
    }

    /// Sends frames in pieces of so many bytes, wherever they begin and end.
    pub(crate) fn sends_in_chops_of(mut self, chop: usize, frames: &[Vec<u8>]) -> Self {
        self.steps.push(Step::Send { bytes: frames.concat(), chop });
        self
    }

    /// Must see this next.
    pub(crate) fn sees(mut self, seen: Seen) -> Self {
        self.steps.push(Step::See(seen));
        self
    }

    /// Must see a Close in answer to the one that the script has sent, then the end.
    pub(crate) fn ends_with_close(mut self, code: u16, reason: &str) -> Self {
        self.end = End::Answered(Seen::Close(code, reason.to_owned()));
        self
    }

    /// Must see a Close with this code because of what the script has sent, then the end.
    pub(crate) fn fails(mut self, code: u16) -> Self {
        self.end = End::Failed(code);
        self
    }

    /// Plays the script against an echo server of its own.
    pub(crate) fn run(self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(PATIENCE, self.play()).await.expect("the case takes too long");
        });
    }

    async fn play(self) {
        let mut client = Client::connect(&self.headers).await;
        for step in self.steps {
            match step {
                Step::Send { bytes, chop } => client.send(&bytes, chop).await,
                Step::See(seen) => assert!(client.see().await == seen, "not what was to be seen"),
            }
        }
        match self.end {
            End::Clean => {
                client.send(&close(1000, ""), usize::MAX).await;
                assert_eq!(client.see().await, Seen::Close(1000, String::new()));
            }
            End::Answered(close) => assert_eq!(client.see().await, close),
            End::Failed(expected) => match client.see().await {
                Seen::Close(code, _) => assert_eq!(code, expected),
                other @ (Seen::Text(_) | Seen::Binary(_) | Seen::Pong(_) | Seen::End) => {
                    panic!("expected a close with {expected}, saw {other:?}")
                }
            },
        }
        assert_eq!(client.see().await, Seen::End);
    }
}

#[derive(Debug)]
struct Client {
    stream: TcpStream,
    unread: BytesMut,
}

impl Client {
    async fn connect(headers: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(websocket_echo::serve(listener, MAX_MESSAGE));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let head = format!(
            "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut client = Self { stream, unread: BytesMut::new() };
        let end = loop {
            if let Some(end) = client.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            assert!(client.read().await, "the server hung up during the handshake");
        };
        let answer = String::from_utf8(client.unread.split_to(end + 4).to_vec()).unwrap().to_lowercase();
        assert!(answer.starts_with("http/1.1 101 "), "{answer}");
        assert!(answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{answer}");
        assert!(!answer.contains("sec-websocket-extensions"), "{answer}");
        client
    }

    async fn send(&mut self, bytes: &[u8], chop: usize) {
        for piece in bytes.chunks(chop) {
            self.stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
    }

    async fn see(&mut self) -> Seen {
        loop {
            if let Some(seen) = self.parse() {
                return seen;
            }
            if !self.read().await {
                assert!(self.unread.is_empty(), "the stream ended within a frame");
                return Seen::End;
            }
        }
    }

    async fn read(&mut self) -> bool {
        self.unread.reserve(64 * 1024);
        self.stream.read_buf(&mut self.unread).await.unwrap() > 0
    }

    /// Takes a frame if it has come in full. Whatever a server must never send fails the case.
    fn parse(&mut self) -> Option<Seen> {
        let (first, second) = (*self.unread.first()?, *self.unread.get(1)?);
        assert!(second & 0x80 == 0, "a server must not mask");
        let extended = |from: usize, to: usize| {
            Some(self.unread.get(from..to)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
        };
        let (header, length) = match second {
            126 => (4, extended(2, 4)?),
            127 => (10, extended(2, 10)?),
            short => (2, usize::from(short)),
        };
        let shortest = if length < 126 {
            2
        } else if length < 65_536 {
            4
        } else {
            10
        };
        assert_eq!(header, shortest, "a length must be spelled as short as can be");
        if self.unread.len() < header + length {
            return None;
        }
        self.unread.advance(header);
        let payload = self.unread.split_to(length).to_vec();
        match first {
            0x81 => Some(Seen::Text(payload)),
            0x82 => Some(Seen::Binary(payload)),
            0x8a => Some(Seen::Pong(payload)),
            0x88 if payload.is_empty() => Some(Seen::Close(1005, String::new())),
            0x88 => {
                let (code, reason) = payload.split_at(2);
                let code = u16::from_be_bytes([code[0], code[1]]);
                Some(Seen::Close(code, str::from_utf8(reason).unwrap().to_owned()))
            }
            other => panic!("a frame that begins with {other:#04x} was not asked for"),
        }
    }
}

/// A masked frame with this first byte: FIN, RSV and opcode.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length @ ..65_536 => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    let start = frame.len();
    frame.extend(payload);
    let (words, rest) = frame[start..].as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(MASK)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(MASK) {
        *byte ^= mask;
    }
    frame
}

/// A masked Close with a code and a reason.
pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}
