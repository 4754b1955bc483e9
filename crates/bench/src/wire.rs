//! The client's side of what servers send: WebSocket frames taken apart, and events found in what is in them.

use memchr::memmem;
use serde::{Deserialize, Serialize};

/// In every payload stands when it was to be sent, as `#at=NANOSECONDS;` within a text: that is the same however often the
/// payload is quoted.
const MARK: &[u8] = b"#at=";
/// A mark with its number is never longer.
const MARK_LIMIT: usize = 40;

/// How a client's bytes are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Framing {
    /// WebSocket frames (RFC 6455 §5.2).
    WebSocket,
    /// A stream of text.
    Stream,
}

/// What one client has read of its connection.
#[derive(Debug)]
pub(crate) struct Reading {
    framing: Framing,
    /// A frame's header that has come in part.
    header: Vec<u8>,
    /// How much of the current frame's payload is due, and its opcode.
    due: usize,
    opcode: u8,
    control: Vec<u8>,
    /// The end of the text so far, in which a mark may have begun.
    text: Vec<u8>,
}

impl Reading {
    pub(crate) fn new(framing: Framing) -> Self {
        Self { framing, header: Vec::new(), due: 0, opcode: 0, control: Vec::new(), text: Vec::new() }
    }

    /// Takes what came. `met` is told when each event in it was to be sent; what is to be answered is appended to
    /// `answer`.
    pub(crate) fn take(&mut self, input: &[u8], answer: &mut Vec<u8>, met: impl FnMut(u64)) {
        match self.framing {
            Framing::Stream => self.text.extend_from_slice(input),
            Framing::WebSocket => self.unframe(input, answer),
        }
        self.scan(met);
    }

    fn unframe(&mut self, mut input: &[u8], answer: &mut Vec<u8>) {
        while !input.is_empty() {
            if self.due == 0 {
                let Some((byte, rest)) = input.split_first() else { return };
                self.header.push(*byte);
                input = rest;
                let Some((opcode, length)) = parse(&self.header) else { continue };
                (self.opcode, self.due) = (opcode, length);
                self.header.clear();
            }
            let (payload, rest) = input.split_at_checked(self.due).unwrap_or((input, &[]));
            self.due -= payload.len();
            input = rest;
            match self.opcode {
                0..=2 => self.text.extend_from_slice(payload),
                _ => self.control.extend_from_slice(payload),
            }
            if self.due == 0 {
                match self.opcode {
                    9 => answer.extend(masked(0x8a, &self.control)),
                    // Engine.IO's ping is a text of its own.
                    1 if payload == b"2" => answer.extend(masked(0x81, b"3")),
                    _ => {}
                }
                self.control.clear();
            }
        }
    }

    fn scan(&mut self, mut met: impl FnMut(u64)) {
        let mut done = 0;
        while let Some(place) = self.text.get(done..).and_then(|rest| memmem::find(rest, MARK)) {
            let from = done + place + MARK.len();
            let digits = self.text.get(from..).unwrap_or_default();
            let Some(length) = digits.iter().position(|byte| !byte.is_ascii_digit()) else { break };
            let at = digits.iter().take(length).fold(0, |at: u64, digit| at * 10 + u64::from(digit - b'0'));
            met(at);
            done = from + length;
        }
        let keep = done.max(self.text.len().saturating_sub(MARK_LIMIT));
        self.text.drain(..keep);
        if self.text.is_empty() && self.text.capacity() > 4_096 {
            self.text = Vec::new();
        }
    }
}

/// Opcode and length of payload, if the header of a server's frame is all there.
fn parse(header: &[u8]) -> Option<(u8, usize)> {
    let (first, second) = (header.first()?, header.get(1)?);
    let length = match second & 0x7f {
        126 => usize::from(u16::from_be_bytes(header.get(2..4)?.try_into().ok()?)),
        127 => usize::try_from(u64::from_be_bytes(header.get(2..10)?.try_into().ok()?)).ok()?,
        short => usize::from(short),
    };
    Some((first & 0x0f, length))
}

/// A client's frame of at most 65,535 bytes, masked with zeros.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u8::try_from(payload.len()) {
        Ok(short) if short < 126 => frame.push(0x80 | short),
        Ok(_) | Err(_) => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// A WebSocket handshake.
pub(crate) fn upgrade(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `bytes` in pieces of `size`: what was met, and what is answered.
    fn read(framing: Framing, bytes: &[u8], size: usize) -> (Vec<u64>, Vec<u8>) {
        let (mut met, mut answer) = (Vec::new(), Vec::new());
        let mut reading = Reading::new(framing);
        for piece in bytes.chunks(size) {
            reading.take(piece, &mut answer, |at| met.push(at));
        }
        (met, answer)
    }

    #[test]
    fn events_are_found_however_the_frames_are_cut_up() {
        let mut bytes = vec![0x81, 12];
        bytes.extend(br##"{"":"#at=77;"##);
        bytes.extend([0x89, 2, 1, 2]);
        bytes.extend([0x82, 126, 0, 130]);
        bytes.extend([b' '; 118]);
        bytes.extend(br##"":"#at=1234;"##);
        bytes.extend([0x81, 1, b'2']);
        for size in 1..bytes.len() {
            let (met, answer) = read(Framing::WebSocket, &bytes, size);
            assert_eq!(met, [77, 1234], "pieces of {size}");
            assert_eq!(answer, [0x8a, 0x82, 0, 0, 0, 0, 1, 2, 0x81, 0x81, 0, 0, 0, 0, b'3']);
        }
    }

    #[test]
    fn events_in_a_stream_are_found_across_reads() {
        for size in 1..20 {
            assert_eq!(read(Framing::Stream, b"data: #at=5;\n\ndata: #at=6;", size).0, [5, 6]);
        }
    }
}
