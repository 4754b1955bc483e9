//! What bytes from a client mean: RFC 6455 frames put together to messages, without I/O.

use std::io::Cursor;
use std::mem;

use bytes::Bytes;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// The code a Close frame without one stands for; never itself on the wire (RFC 6455 §7.1.5).
pub const NO_STATUS: u16 = 1005;

/// A longer payload is not allowed in a control frame (RFC 6455 §5.5).
pub const CONTROL_LIMIT: usize = 125;

/// The longest header: 2 bytes, 8 of extended length, 4 of mask (RFC 6455 §5.2).
const HEADER_LIMIT: usize = 14;

/// Something that a client has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    /// A text message: valid UTF-8.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
    /// A Ping, to be answered by a Pong with the same payload.
    Ping(Bytes),
    /// A Pong, asked for or not.
    Pong(Bytes),
    /// A Close with its code ([`NO_STATUS`] if it has none) and reason; nothing after it counts.
    Close(u16, String),
}

/// How a client broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An RSV bit is set (§5.2).
    #[error("a reserved bit is set but no extension was agreed on")]
    ReservedBits,
    /// The opcode has no meaning (§5.2).
    #[error("the opcode of a frame is unknown")]
    UnknownOpcode,
    /// The frame is not masked (§5.1).
    #[error("a frame from a client must be masked")]
    Unmasked,
    /// A control frame is longer than 125 bytes (§5.5).
    #[error("a control frame is longer than {CONTROL_LIMIT} bytes")]
    ControlTooLong,
    /// A control frame comes in pieces (§5.5).
    #[error("a control frame must not be fragmented")]
    ControlFragmented,
    /// A continuation frame without a message under way (§5.4).
    #[error("there is no message to continue")]
    NothingToContinue,
    /// A new message begins before the last fragment of the one under way (§5.4).
    #[error("a new message began before the last one was complete")]
    Interrupted,
    /// A Close whose payload is too short for a code, or whose code must not be sent (§7.4).
    #[error("the code of the close frame is not valid")]
    BadCloseCode,
    /// A text message or the reason of a Close is not UTF-8 (§8.1).
    #[error("the text is not valid UTF-8")]
    NotUtf8,
    /// A message is larger than this server takes.
    #[error("the message is larger than {limit} bytes")]
    TooLarge {
        /// The largest message, in bytes.
        limit: usize,
    },
}

impl Fault {
    /// The close code that tells the client (RFC 6455 §7.4.1).
    pub fn code(&self) -> u16 {
        let code = match self {
            Self::ReservedBits
            | Self::UnknownOpcode
            | Self::Unmasked
            | Self::ControlTooLong
            | Self::ControlFragmented
            | Self::NothingToContinue
            | Self::Interrupted
            | Self::BadCloseCode => CloseCode::Protocol,
            Self::NotUtf8 => CloseCode::Invalid,
            Self::TooLarge { .. } => CloseCode::Size,
        };
        code.into()
    }
}

/// Reads the frames of one client, however they are cut up.
///
/// It holds memory only for a message that has come in part, never more than about twice what has come, and never
/// more than about twice the limit. Between messages it holds none.
#[derive(Debug)]
pub struct Reader {
    limit: usize,
    /// The first bytes of a header that has not come in full.
    header: [u8; HEADER_LIMIT],
    header_length: u8,
    /// The frame whose payload is due.
    frame: Option<Frame>,
    /// The data message under way, from its first frame to its last.
    kind: Option<Kind>,
    message: Vec<u8>,
    /// How much of a text message is known to be UTF-8.
    checked: usize,
    /// The control frame under way: it may come between the frames of a message.
    control: Vec<u8>,
}

/// A frame whose header has been read.
#[derive(Debug)]
struct Frame {
    opcode: OpCode,
    is_final: bool,
    /// Turned so that its first byte is for the next byte of payload.
    mask: [u8; 4],
    remaining: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

impl Reader {
    /// A reader for messages of up to `limit` bytes.
    ///
    /// As in Appwrite, the limit counts a frame with its header, and the summed payload of a fragmented message.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            header: [0; HEADER_LIMIT],
            header_length: 0,
            frame: None,
            kind: None,
            message: Vec::new(),
            checked: 0,
            control: Vec::new(),
        }
    }

    /// Takes bytes off the front of `input` until something has been said; `None` if all are taken and more are
    /// needed.
    ///
    /// # Errors
    /// A [`Fault`], as early as it shows: a message that is too large at its header, text that is not UTF-8 at the
    /// first wrong byte. After a fault there is no telling where the next frame begins; do not read on.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Inbound>, Fault> {
        loop {
            let frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.read_header(input)? {
                    Some(frame) => frame,
                    None => return Ok(None),
                },
            };
            let frame = self.read_payload(frame, input)?;
            if frame.remaining > 0 {
                self.frame = Some(frame);
                return Ok(None);
            }
            if let Some(inbound) = self.complete(&frame)? {
                return Ok(Some(inbound));
            }
        }
    }

    fn read_header(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, Fault> {
        let before = usize::from(self.header_length);
        let mut length = before;
        for (slot, byte) in self.header.iter_mut().skip(before).zip(*input) {
            *slot = *byte;
            length += 1;
        }
        let mut cursor = Cursor::new(self.header.get(..length).unwrap_or_default());
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| Fault::UnknownOpcode)?;
        let taken = match parsed {
            Some(_) => usize::try_from(cursor.position()).unwrap_or(length).saturating_sub(before),
            None => length - before,
        };
        *input = input.get(taken..).unwrap_or_default();
        match parsed {
            Some((header, length)) => {
                self.header_length = 0;
                self.begin(&header, length).map(Some)
            }
            None => {
                self.header_length = u8::try_from(length).unwrap_or_default();
                Ok(None)
            }
        }
    }

    fn begin(&mut self, header: &FrameHeader, length: u64) -> Result<Frame, Fault> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Fault::ReservedBits);
        }
        let mask = header.mask.ok_or(Fault::Unmasked)?;
        let remaining = usize::try_from(length).unwrap_or(usize::MAX);
        match header.opcode {
            OpCode::Control(Control::Reserved(_)) | OpCode::Data(Data::Reserved(_)) => {
                return Err(Fault::UnknownOpcode);
            }
            OpCode::Control(Control::Close | Control::Ping | Control::Pong) => {
                if remaining > CONTROL_LIMIT {
                    return Err(Fault::ControlTooLong);
                }
                if !header.is_final {
                    return Err(Fault::ControlFragmented);
                }
            }
            OpCode::Data(data) => {
                self.kind = match (data, self.kind) {
                    (Data::Continue, None) => return Err(Fault::NothingToContinue),
                    (Data::Text | Data::Binary, Some(_)) => return Err(Fault::Interrupted),
                    (Data::Text, None) => Some(Kind::Text),
                    (Data::Binary, None) => Some(Kind::Binary),
                    (Data::Continue | Data::Reserved(_), kind) => kind,
                };
                let overhead = header.len(length).max(self.message.len());
                if remaining.saturating_add(overhead) > self.limit {
                    return Err(Fault::TooLarge { limit: self.limit });
                }
            }
        }
        Ok(Frame { opcode: header.opcode, is_final: header.is_final, mask, remaining })
    }

    fn read_payload(&mut self, mut frame: Frame, input: &mut &[u8]) -> Result<Frame, Fault> {
        let taken = frame.remaining.min(input.len());
        let (piece, rest) = input.split_at_checked(taken).unwrap_or_default();
        *input = rest;
        let whole = match frame.opcode {
            OpCode::Control(_) => &mut self.control,
            OpCode::Data(_) => &mut self.message,
        };
        let before = whole.len();
        if before == 0 {
            // Most messages come in one piece, and then nothing is left over to give back.
            whole.reserve_exact(taken);
        }
        whole.extend_from_slice(piece);
        unmask(whole.get_mut(before..).unwrap_or_default(), frame.mask);
        frame.mask.rotate_left(taken % 4);
        frame.remaining -= taken;
        if matches!(frame.opcode, OpCode::Data(_)) && self.kind == Some(Kind::Text) {
            self.check_text()?;
        }
        Ok(frame)
    }

    /// Checks what has come of a text message since the last time. A character that is not complete waits.
    fn check_text(&mut self) -> Result<(), Fault> {
        match str::from_utf8(self.message.get(self.checked..).unwrap_or_default()) {
            Ok(text) => self.checked += text.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(Fault::NotUtf8),
        }
        Ok(())
    }

    fn complete(&mut self, frame: &Frame) -> Result<Option<Inbound>, Fault> {
        match frame.opcode {
            OpCode::Control(control) => {
                let payload = mem::take(&mut self.control);
                match control {
                    Control::Close => read_close(&payload).map(Some),
                    Control::Ping => Ok(Some(Inbound::Ping(payload.into()))),
                    Control::Pong => Ok(Some(Inbound::Pong(payload.into()))),
                    Control::Reserved(_) => Err(Fault::UnknownOpcode),
                }
            }
            OpCode::Data(_) if !frame.is_final => Ok(None),
            OpCode::Data(_) => {
                let message = mem::take(&mut self.message);
                let checked = mem::take(&mut self.checked);
                match self.kind.take() {
                    Some(Kind::Text) if checked < message.len() => Err(Fault::NotUtf8),
                    Some(Kind::Text) => Ok(Some(Inbound::Text(message.into()))),
                    Some(Kind::Binary) => Ok(Some(Inbound::Binary(message.into()))),
                    None => Err(Fault::NothingToContinue),
                }
            }
        }
    }
}

fn read_close(payload: &[u8]) -> Result<Inbound, Fault> {
    match payload {
        [] => Ok(Inbound::Close(NO_STATUS, String::new())),
        [_] => Err(Fault::BadCloseCode),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !CloseCode::from(code).is_allowed() {
                return Err(Fault::BadCloseCode);
            }
            let reason = str::from_utf8(reason).map_err(|_| Fault::NotUtf8)?;
            Ok(Inbound::Close(code, reason.to_owned()))
        }
    }
}

/// Masks or unmasks in place; the two are the same (RFC 6455 §5.3).
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Reads all of `input` in pieces of at most `step` bytes: what it says, and the fault that ends it if there is one.
///
/// Meant for tests and fuzzing: no input panics, and for no input does the outcome depend on `step`.
pub fn read_all(input: &[u8], step: usize, limit: usize) -> (Vec<Inbound>, Option<Fault>) {
    let mut reader = Reader::new(limit);
    let mut said = Vec::new();
    for mut piece in input.chunks(step.max(1)) {
        loop {
            match reader.read(&mut piece) {
                Ok(Some(close @ Inbound::Close(..))) => {
                    said.push(close);
                    return (said, None);
                }
                Ok(Some(inbound)) => said.push(inbound),
                Ok(None) => break,
                Err(fault) => return (said, Some(fault)),
            }
        }
    }
    (said, None)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;
    use tungstenite::protocol::frame::{CloseFrame, Frame as ClientFrame};
    use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
    use tungstenite::{Message, Utf8Bytes};

    use super::*;

    const LIMIT: usize = 64_000;

    #[test]
    fn a_message_may_be_as_large_as_the_limit_with_its_header() {
        let (said, fault) = read_all(&frame(0x82, &vec![7; LIMIT - 8]), 1500, LIMIT);
        assert_eq!((said.len(), fault), (1, None));
    }

    #[test]
    fn a_message_over_the_limit_is_a_fault_at_its_header() {
        let bytes = frame(0x82, &vec![7; LIMIT - 7]);
        let header = bytes.get(..8).unwrap();
        assert_eq!(read_all(header, 8, LIMIT), (vec![], Some(Fault::TooLarge { limit: LIMIT })));
    }

    #[test]
    fn a_length_of_2_to_the_64_is_too_large_rather_than_an_overflow() {
        let header = [0x82, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4];
        assert_eq!(read_all(&header, 1, LIMIT).1, Some(Fault::TooLarge { limit: LIMIT }));
        assert_eq!(read_all(&header, 1, usize::MAX - 1).1, Some(Fault::TooLarge { limit: usize::MAX - 1 }));
    }

    #[test]
    fn the_fragments_of_a_message_count_together() {
        let mut bytes = frame(0x02, &[7; 40_000]);
        bytes.extend(frame(0x80, &[7; 24_000]));
        assert_eq!(read_all(&bytes, 1500, LIMIT).0.len(), 1);
        let mut bytes = frame(0x02, &[7; 40_000]);
        bytes.extend(frame(0x80, &[7; 24_001]));
        assert_eq!(read_all(&bytes, 1500, LIMIT), (vec![], Some(Fault::TooLarge { limit: LIMIT })));
    }

    #[test]
    fn an_unmasked_frame_is_a_protocol_error() {
        let (said, fault) = read_all(b"\x81\x02hi", 64, LIMIT);
        assert_eq!((said, fault.map(|fault| fault.code())), (vec![], Some(1002)));
    }

    #[test]
    fn a_reader_between_messages_holds_no_memory() {
        let mut reader = Reader::new(LIMIT);
        let mut bytes = frame(0x01, b"half ");
        bytes.extend(frame(0x89, b"ping"));
        bytes.extend(frame(0x80, b"message"));
        for byte in bytes {
            reader.read(&mut [byte].as_slice()).unwrap();
        }
        assert_eq!((reader.message.capacity(), reader.control.capacity()), (0, 0));
    }

    #[test]
    fn a_declared_length_is_not_reserved_before_its_bytes_come() {
        let mut reader = Reader::new(usize::MAX);
        let header = [0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 9];
        assert_eq!(reader.read(&mut header.as_slice()), Ok(None));
        assert!(reader.message.capacity() <= 8, "{}", reader.message.capacity());
    }

    #[test]
    fn wrong_text_is_noticed_at_the_first_wrong_byte() {
        let bytes = frame(0x01, b"\xce\xba\xf4\x90\x80\x80edited");
        let upto = |end: usize| read_all(bytes.get(..end).unwrap(), 1, LIMIT).1;
        assert_eq!((upto(6 + 3), upto(6 + 4)), (None, Some(Fault::NotUtf8)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_how_they_are_cut_changes_nothing(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            step in 1_usize..40,
            limit in 0_usize..200,
        ) {
            prop_assert_eq!(read_all(&bytes, step, limit), read_all(&bytes, bytes.len(), limit));
        }

        #[test]
        fn near_frames_do_not_panic_and_memory_stays_in_bounds(
            frames in prop::collection::vec(any_frame(), 0..8),
            flip in any::<prop::sample::Index>(),
            bit in 0..8_u8,
            step in 1_usize..300,
        ) {
            let mut bytes = frames.concat();
            if !bytes.is_empty() {
                let at = flip.index(bytes.len());
                *bytes.get_mut(at).unwrap() ^= 1 << bit;
            }
            let limit = 1_000;
            let mut reader = Reader::new(limit);
            'soup: for mut piece in bytes.chunks(step) {
                loop {
                    match reader.read(&mut piece) {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(_) => break 'soup,
                    }
                    prop_assert!(reader.message.capacity() <= 2 * limit);
                    prop_assert!(reader.control.capacity() <= 2 * CONTROL_LIMIT);
                }
            }
            prop_assert_eq!(read_all(&bytes, step, limit), read_all(&bytes, bytes.len(), limit));
        }

        #[test]
        fn what_another_implementation_writes_is_read_as_it_was_meant(
            messages in prop::collection::vec(any_message(), 0..12),
            step in 1_usize..5_000,
        ) {
            let mut client = WebSocket::from_raw_socket(
                Cursor::new(Vec::new()),
                Role::Client,
                Some(WebSocketConfig::default()),
            );
            let mut meant = Vec::new();
            for (inbound, message) in messages {
                client.write(message).unwrap();
                meant.push(inbound);
            }
            client.flush().unwrap();
            let bytes = client.get_ref().get_ref().clone();
            prop_assert_eq!(read_all(&bytes, step, LIMIT), (meant, None));
        }

        #[test]
        fn a_message_is_the_same_however_it_is_fragmented(
            text in "\\PC{0,300}",
            cuts in prop::collection::vec(0_usize..100, 1..10),
            step in 1_usize..64,
        ) {
            let mut rest = text.as_bytes();
            let mut bytes = Vec::new();
            for (number, cut) in cuts.iter().enumerate() {
                let (piece, tail) = rest.split_at(rest.len().min(*cut));
                rest = tail;
                bytes.extend(frame(u8::from(number == 0), piece));
                bytes.extend(frame(0x89, b"between"));
            }
            bytes.extend(frame(0x80, rest));
            let (mut said, fault) = read_all(&bytes, step, LIMIT);
            prop_assert_eq!(fault, None);
            prop_assert_eq!(said.pop(), Some(Inbound::Text(text.into())));
            prop_assert_eq!(said, vec![Inbound::Ping("between".into()); cuts.len()]);
        }
    }

    fn any_message() -> impl Strategy<Value = (Inbound, Message)> {
        let bytes = |most| prop::collection::vec(any::<u8>(), 0..most).prop_map(Bytes::from);
        prop_oneof![
            "\\PC{0,2000}".prop_map(|text| {
                (Inbound::Text(text.clone().into()), Message::Text(Utf8Bytes::from(text)))
            }),
            bytes(3000).prop_map(|data| (Inbound::Binary(data.clone()), Message::Binary(data))),
            bytes(125).prop_map(|data| (Inbound::Ping(data.clone()), Message::Ping(data))),
            bytes(125).prop_map(|data| (Inbound::Pong(data.clone()), Message::Pong(data))),
        ]
    }

    fn any_frame() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            (any::<u8>(), prop::collection::vec(any::<u8>(), 0..300))
                .prop_map(|(first, payload)| frame(first & 0x8f, &payload)),
            "\\PC{0,80}".prop_map(|text| frame(0x81, text.as_bytes())),
            Just(client_close()),
        ]
    }

    fn client_close() -> Vec<u8> {
        let close = CloseFrame { code: CloseCode::Normal, reason: "bye".into() };
        frame(0x88, ClientFrame::close(Some(close)).payload())
    }

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let header = FrameHeader { mask: Some(mask), ..FrameHeader::default() };
        let mut bytes = Vec::new();
        header.format(payload.len() as u64, &mut bytes).unwrap();
        *bytes.first_mut().unwrap() = first;
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }
}
