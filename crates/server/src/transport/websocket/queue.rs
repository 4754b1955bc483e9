//! Frames on their way to a client: one small header each, the payload shared, many frames per write.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{BufMut, Bytes, BytesMut};
use realtime_protocol::codec::Message;
use smallvec::SmallVec;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::frame::{CONTROL_LIMIT, NO_STATUS};

/// Slices in one write. The kernel takes up to 1024; past some dozens the gain is too small to see.
const BATCH_SLICES: usize = 64;

/// Bytes after which no further frame joins a write: more than a socket buffer takes at once.
const BATCH_BYTES: usize = 256 * 1024;

/// Pongs that may wait at a time. Of more Pings than that only the last is answered, as RFC 6455 §5.5.3 allows, so
/// that a client that sends Pings but does not read cannot fill the memory.
const WAITING_PONGS: usize = 16;

/// The longest header without a mask: 2 bytes and 8 of extended length (RFC 6455 §5.2).
const HEADER_LIMIT: usize = 10;

/// The frames that wait to be written, oldest first. Holds no memory when empty.
#[derive(Debug, Default)]
pub struct Queue {
    frames: VecDeque<Frame>,
    /// How much of the first frame is written.
    written: usize,
    /// How much is to be written in all.
    bytes: usize,
    pongs: usize,
}

#[derive(Debug)]
struct Frame {
    header: [u8; HEADER_LIMIT],
    header_length: u8,
    is_pong: bool,
    message: Message,
}

impl Queue {
    /// Adds a text message. Its bytes must be UTF-8.
    pub fn text(&mut self, message: Message) {
        self.push(OpCode::Data(Data::Text), message);
    }

    /// Adds a binary message.
    pub fn binary(&mut self, message: Message) {
        self.push(OpCode::Data(Data::Binary), message);
    }

    /// Adds a Ping; only the first 125 bytes of the payload are sent.
    pub fn ping(&mut self, payload: Bytes) {
        self.push(OpCode::Control(Control::Ping), control(payload));
    }

    /// Adds a Pong with the payload of the Ping that it answers.
    pub fn pong(&mut self, payload: Bytes) {
        if self.pongs < WAITING_PONGS {
            self.pongs += 1;
            self.push(OpCode::Control(Control::Pong), control(payload));
            return;
        }
        // The first frame may be written in part; with that many waiting, the last Pong is not the first frame.
        if let Some(last) = self.frames.iter_mut().rev().find(|frame| frame.is_pong) {
            self.bytes -= last.length();
            *last = Frame::new(OpCode::Control(Control::Pong), control(payload));
            self.bytes += last.length();
        }
    }

    /// Adds a Close with a code and a reason, of which at most 123 bytes are sent; [`NO_STATUS`] is sent as no code.
    pub fn close(&mut self, code: u16, reason: &str) {
        let mut payload = BytesMut::new();
        if code != NO_STATUS {
            payload.put_u16(code);
            let end = reason.floor_char_boundary(CONTROL_LIMIT - size_of::<u16>());
            payload.put_slice(reason.as_bytes().get(..end).unwrap_or_default());
        }
        self.push(OpCode::Control(Control::Close), control(payload.freeze()));
    }

    /// How many bytes are to be written, headers included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether all is written.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// What to write next, in order, in one vectored write. Report what was taken with [`Queue::advance`].
    pub fn batch(&self) -> SmallVec<[IoSlice<'_>; BATCH_SLICES]> {
        let mut slices = SmallVec::new();
        let mut total = 0;
        let mut skip = self.written;
        for part in self.frames.iter().flat_map(Frame::parts) {
            let start = skip.min(part.len());
            skip -= start;
            let rest = part.get(start..).unwrap_or_default();
            if rest.is_empty() {
                continue;
            }
            if slices.len() == BATCH_SLICES || total >= BATCH_BYTES {
                break;
            }
            slices.push(IoSlice::new(rest));
            total += rest.len();
        }
        slices
    }

    /// Forgets the first `written` bytes.
    pub fn advance(&mut self, written: usize) {
        self.bytes = self.bytes.saturating_sub(written);
        self.written += written;
        while let Some(frame) = self.frames.pop_front_if(|frame| frame.length() <= self.written) {
            self.written -= frame.length();
            self.pongs -= usize::from(frame.is_pong);
        }
        if self.frames.is_empty() {
            *self = Self::default();
        }
    }

    fn push(&mut self, opcode: OpCode, message: Message) {
        let frame = Frame::new(opcode, message);
        self.bytes += frame.length();
        self.frames.push_back(frame);
    }
}

impl Frame {
    fn new(opcode: OpCode, message: Message) -> Self {
        const FINAL: u8 = 0x80;
        let length = message.len();
        let mut header = [0; HEADER_LIMIT];
        let [first, second, extended @ ..] = &mut header;
        *first = FINAL | u8::from(opcode);
        let header_length = if length <= CONTROL_LIMIT {
            *second = length as u8;
            2
        } else if let Ok(length) = u16::try_from(length) {
            *second = 126;
            let [high, low, ..] = extended;
            [*high, *low] = length.to_be_bytes();
            4
        } else {
            *second = 127;
            *extended = (length as u64).to_be_bytes();
            10
        };
        Self { header, header_length, is_pong: opcode == OpCode::Control(Control::Pong), message }
    }

    fn length(&self) -> usize {
        usize::from(self.header_length) + self.message.len()
    }

    fn parts(&self) -> [&[u8]; 3] {
        let header = self.header.get(..usize::from(self.header_length)).unwrap_or_default();
        [header, &self.message.shared, &self.message.own]
    }
}

fn control(mut payload: Bytes) -> Message {
    payload.truncate(CONTROL_LIMIT);
    Message::own(payload)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;
    use tungstenite::protocol::{Role, WebSocket};

    use super::*;

    #[test]
    fn a_message_goes_out_as_its_header_and_its_own_bytes_uncopied() {
        let message = Message { shared: Bytes::from_static(b"shared"), own: Bytes::from(vec![b'o'; 200]) };
        let mut queue = Queue::default();
        queue.text(message.clone());
        let batch = queue.batch();
        assert_eq!(batch.first().unwrap().as_ref(), [0x81, 126, 0, 206]);
        assert_eq!(batch.get(1).unwrap().as_ptr(), message.shared.as_ptr());
        assert_eq!(batch.get(2).unwrap().as_ptr(), message.own.as_ptr());
        assert_eq!(queue.bytes(), 4 + 206);
    }

    #[test]
    fn many_frames_share_a_write() {
        let mut queue = Queue::default();
        for _ in 0..40 {
            queue.text(Message::own("event"));
        }
        assert_eq!(queue.batch().len(), BATCH_SLICES);
    }

    #[test]
    fn a_write_is_not_filled_past_what_a_socket_takes() {
        let mut queue = Queue::default();
        for _ in 0..10 {
            queue.binary(Message::own(vec![0; 100_000]));
        }
        let bytes: usize = queue.batch().iter().map(|slice| slice.len()).sum();
        assert!((BATCH_BYTES..BATCH_BYTES + 100_010).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_queue_that_is_empty_again_holds_no_memory() {
        let mut queue = Queue::default();
        for _ in 0..100 {
            queue.text(Message::own("event"));
        }
        queue.advance(queue.bytes());
        assert_eq!((queue.is_empty(), queue.frames.capacity(), queue.bytes()), (true, 0, 0));
    }

    #[test]
    fn pings_that_nobody_reads_the_answers_to_do_not_pile_up() {
        let mut queue = Queue::default();
        queue.text(Message::own("before"));
        for number in 0..10_000_u16 {
            queue.pong(Bytes::copy_from_slice(&number.to_be_bytes()));
        }
        assert_eq!(queue.frames.len(), 1 + WAITING_PONGS);
        let last = queue.frames.back().unwrap();
        assert_eq!(*last.message.own, 9_999_u16.to_be_bytes());
        assert_eq!(queue.bytes(), queue.frames.iter().map(Frame::length).sum::<usize>());
        queue.advance(queue.bytes());
        assert_eq!(queue.pongs, 0);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let mut queue = Queue::default();
        queue.close(1008, &"é".repeat(100));
        let own = &queue.frames.front().unwrap().message.own;
        assert_eq!(own.len(), 2 + 122);
        assert!(str::from_utf8(own.get(2..).unwrap()).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn another_implementation_reads_what_was_queued_however_it_is_written(
            parts in prop::collection::vec((any::<u8>(), 0..70_000_usize, 0..300_usize), 0..8),
            takes in prop::collection::vec(prop_oneof![1..20_usize, 1_000..100_000_usize], 2..10),
        ) {
            let mut queue = Queue::default();
            let mut meant = Vec::new();
            for (fill, shared, own) in parts {
                let message = Message { shared: vec![fill; shared].into(), own: vec![9; own].into() };
                meant.push([&message.shared[..], &message.own[..]].concat());
                queue.binary(message);
            }
            let mut takes = takes.into_iter().cycle();
            let mut wire = Vec::new();
            while !queue.is_empty() {
                let before = queue.bytes();
                let batch = queue.batch().iter().map(|slice| &**slice).collect::<Vec<_>>().concat();
                let taken = takes.next().unwrap().min(batch.len());
                wire.extend_from_slice(batch.get(..taken).unwrap());
                queue.advance(taken);
                prop_assert_eq!(queue.bytes(), before - taken);
            }
            let mut client = WebSocket::from_raw_socket(Cursor::new(wire), Role::Client, None);
            for message in meant {
                prop_assert_eq!(client.read().unwrap().into_data(), message);
            }
        }
    }
}
