//! The server cases of the Autobahn|Testsuite, by their numbers, against the echo server of the examples.
//!
//! Each test plays the case that it is named after: the same frames, cut up in the same way, and the outcome that the
//! suite calls OK, never the one that it calls non-strict. All messages are our own. Where the suite waits for a while
//! to see that nothing happens, these tests send a Ping and see that nothing comes before its Pong.
//!
//! Three groups have no outcome that the suite asks for:
//!
//! * 7.1.6, 7.13.1 and 7.13.2 are informational there; here they pin down what this server does.
//! * 9.7 and 9.8 measure the time of a round trip there; here the messages must come back.
//! * 12.x and 13.x apply only to a server that compresses, which this one does not: it declines the offer, and the
//!   suite reports the cases as unimplemented. Here the offer must be declined and the messages echoed uncompressed.
//!
//! Not in the list: 9.9, 9.10, 7.2, 7.4, 7.6, 7.8, 7.10, 7.11, 8.x and 11.x, which the suite numbers but does not run.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

/// Tests of one family, each named after its case.
macro_rules! cases {
    ($family:ident: $($name:ident => $case:expr;)+) => {
        mod $family {
            use super::*;

            $(
                #[test]
                fn $name() {
                    let case: Case = $case;
                    case.run();
                }
            )+
        }
    };
}

#[path = "autobahn/client.rs"]
mod client;
#[path = "autobahn/compression.rs"]
mod compression;
#[path = "autobahn/limits.rs"]
mod limits;
#[path = "autobahn/utf8.rs"]
mod utf8;
#[path = "../examples/websocket_echo.rs"]
#[expect(dead_code, reason = "the tests serve a listener of their own")]
mod websocket_echo;

use client::{Case, Seen, close, frame};

const PROTOCOL_ERROR: u16 = 1002;
const NOT_UTF8: u16 = 1007;

/// Begins with valid text; the first of the middle four bytes could, the second cannot be part of a character.
const SPOILT: [&[u8]; 3] = [b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", b"\xf4\x90\x80\x80", b"edited"];

cases! { texts_of_every_length_encoding_are_echoed:
    case_1_1_1 => text_of(0);
    case_1_1_2 => text_of(125);
    case_1_1_3 => text_of(126);
    case_1_1_4 => text_of(127);
    case_1_1_5 => text_of(128);
    case_1_1_6 => text_of(65_535);
    case_1_1_7 => text_of(65_536);
    case_1_1_8 => Case::default().sends_in_chops_of(997, &[text(&[b'*'; 65_536])]).sees(said(&[b'*'; 65_536]));
}

cases! { data_of_every_length_encoding_is_echoed:
    case_1_2_1 => data_of(0);
    case_1_2_2 => data_of(125);
    case_1_2_3 => data_of(126);
    case_1_2_4 => data_of(127);
    case_1_2_5 => data_of(128);
    case_1_2_6 => data_of(65_535);
    case_1_2_7 => data_of(65_536);
    case_1_2_8 => Case::default()
        .sends_in_chops_of(997, &[data(&[0xfe; 65_536])])
        .sees(Seen::Binary(vec![0xfe; 65_536]));
}

cases! { a_ping_is_answered_with_its_payload:
    case_2_1 => Case::default().sends(&[ping(b"")]).sees(pong(b""));
    case_2_2 => Case::default().sends(&[ping(b"are you there?")]).sees(pong(b"are you there?"));
    case_2_3 => Case::default().sends(&[ping(b"\x00\xff\xfe\x80")]).sees(pong(b"\x00\xff\xfe\x80"));
    case_2_4 => Case::default().sends(&[ping(&[0xfe; 125])]).sees(pong(&[0xfe; 125]));
    case_2_6 => Case::default().sends_in_chops_of(1, &[ping(&[0xfe; 125])]).sees(pong(&[0xfe; 125]));
    case_2_10 => (0..10).fold(Case::default().sends(&ten_pings()), |case, number| case.sees(pong(&[number])));
    case_2_11 => (0..10)
        .fold(Case::default().sends_in_chops_of(1, &ten_pings()), |case, number| case.sees(pong(&[number])));
}

cases! { a_ping_over_125_bytes_fails:
    case_2_5 => Case::default().sends(&[ping(&[0xfe; 126])]).fails(PROTOCOL_ERROR);
}

cases! { a_pong_that_nobody_asked_for_is_ignored:
    case_2_7 => Case::default().sends(&[frame(0x8a, b"")]);
    case_2_8 => Case::default().sends(&[frame(0x8a, b"unasked")]);
    case_2_9 => Case::default().sends(&[frame(0x8a, b"unasked"), ping(b"asked")]).sees(pong(b"asked"));
}

cases! { a_reserved_bit_fails:
    case_3_1 => Case::default().sends(&[with_rsv(1, text(b"one"))]).fails(PROTOCOL_ERROR);
    case_3_2 => Case::default()
        .sends(&[text(b"one"), with_rsv(2, text(b"two")), ping(b"")])
        .sees(said(b"one"))
        .fails(PROTOCOL_ERROR);
    case_3_3 => Case::default()
        .sends_each(&[text(b"one"), with_rsv(3, text(b"two")), ping(b"")])
        .sees(said(b"one"))
        .fails(PROTOCOL_ERROR);
    case_3_4 => Case::default()
        .sends_in_chops_of(1, &[text(b"one"), with_rsv(4, text(b"two")), ping(b"")])
        .sees(said(b"one"))
        .fails(PROTOCOL_ERROR);
    case_3_5 => Case::default().sends(&[with_rsv(5, data(b"\x00\xff"))]).fails(PROTOCOL_ERROR);
    case_3_6 => Case::default().sends(&[with_rsv(6, ping(b"there?"))]).fails(PROTOCOL_ERROR);
    case_3_7 => Case::default().sends(&[with_rsv(7, close(1000, ""))]).fails(PROTOCOL_ERROR);
}

cases! { an_opcode_without_meaning_fails:
    case_4_1_1 => Case::default().sends(&[frame(0x83, b"")]).fails(PROTOCOL_ERROR);
    case_4_1_2 => Case::default().sends(&[frame(0x84, b"reserved")]).fails(PROTOCOL_ERROR);
    case_4_1_3 => opcode_after_text(usize::MAX, frame(0x85, b""));
    case_4_1_4 => opcode_after_text(usize::MAX, frame(0x86, b"reserved"));
    case_4_1_5 => opcode_after_text(1, frame(0x87, b"reserved"));
    case_4_2_1 => Case::default().sends(&[frame(0x8b, b"")]).fails(PROTOCOL_ERROR);
    case_4_2_2 => Case::default().sends(&[frame(0x8c, b"reserved")]).fails(PROTOCOL_ERROR);
    case_4_2_3 => opcode_after_text(usize::MAX, frame(0x8d, b""));
    case_4_2_4 => opcode_after_text(usize::MAX, frame(0x8e, b"reserved"));
    case_4_2_5 => opcode_after_text(1, frame(0x8f, b"reserved"));
}

cases! { a_control_frame_in_fragments_fails:
    case_5_1 => Case::default().sends(&[frame(0x09, b"one"), last(b"two")]).fails(PROTOCOL_ERROR);
    case_5_2 => Case::default().sends(&[frame(0x0a, b"one"), last(b"two")]).fails(PROTOCOL_ERROR);
}

cases! { the_fragments_of_a_text_are_put_together:
    case_5_3 => Case::default().sends(&[start(b"one"), last(b"two")]).sees(said(b"onetwo"));
    case_5_4 => Case::default().sends_each(&[start(b"one"), last(b"two")]).sees(said(b"onetwo"));
    case_5_5 => Case::default().sends_in_chops_of(1, &[start(b"one"), last(b"two")]).sees(said(b"onetwo"));
}

cases! { a_ping_between_fragments_is_answered_before_the_text:
    case_5_6 => Case::default().sends(&ping_between()).sees(pong(b"there?")).sees(said(b"onetwo"));
    case_5_7 => Case::default().sends_each(&ping_between()).sees(pong(b"there?")).sees(said(b"onetwo"));
    case_5_8 => Case::default()
        .sends_in_chops_of(1, &ping_between())
        .sees(pong(b"there?"))
        .sees(said(b"onetwo"));
    case_5_19 => five_fragments(Case::sends);
    case_5_20 => five_fragments(Case::sends_each);
}

cases! { a_continuation_of_nothing_fails:
    case_5_9 => Case::default().sends(&[last(b"one"), text(b"two")]).fails(PROTOCOL_ERROR);
    case_5_10 => Case::default().sends_each(&[last(b"one"), text(b"two")]).fails(PROTOCOL_ERROR);
    case_5_11 => Case::default().sends_in_chops_of(1, &[last(b"one"), text(b"two")]).fails(PROTOCOL_ERROR);
    case_5_12 => Case::default().sends(&[more(b"one"), text(b"two")]).fails(PROTOCOL_ERROR);
    case_5_13 => Case::default().sends_each(&[more(b"one"), text(b"two")]).fails(PROTOCOL_ERROR);
    case_5_14 => Case::default().sends_in_chops_of(1, &[more(b"one"), text(b"two")]).fails(PROTOCOL_ERROR);
    case_5_15 => Case::default()
        .sends(&[start(b"one"), last(b"two"), more(b"three"), text(b"four")])
        .sees(said(b"onetwo"))
        .fails(PROTOCOL_ERROR);
    case_5_16 => Case::default()
        .sends(&[more(b"one"), start(b"two"), last(b"three"), more(b"one"), start(b"two"), last(b"three")])
        .fails(PROTOCOL_ERROR);
    case_5_17 => Case::default()
        .sends(&[last(b"one"), start(b"two"), last(b"three"), last(b"one"), start(b"two"), last(b"three")])
        .fails(PROTOCOL_ERROR);
}

cases! { a_text_within_a_text_fails:
    case_5_18 => Case::default().sends(&[start(b"one"), text(b"two")]).fails(PROTOCOL_ERROR);
}

cases! { empty_fragments_are_put_together:
    case_6_1_1 => text_is_echoed(b"");
    case_6_1_2 => Case::default().sends(&[start(b""), more(b""), last(b"")]).sees(said(b""));
    case_6_1_3 => Case::default().sends(&[start(b""), more(b"middle"), last(b"")]).sees(said(b"middle"));
}

cases! { a_text_is_echoed_wherever_its_characters_are_cut:
    case_6_2_1 => text_is_echoed("Grüße-µ@ßöäüàá-UTF-8!!".as_bytes());
    case_6_2_2 => Case::default()
        .sends(&[start("Grüße-µ@ßöä".as_bytes()), last("üàá-UTF-8!!".as_bytes())])
        .sees(said("Grüße-µ@ßöäüàá-UTF-8!!".as_bytes()));
    case_6_2_3 => Case::default()
        .sends(&byte_fragments("Grüße-µ@ßöäüàá-UTF-8!!".as_bytes()))
        .sees(said("Grüße-µ@ßöäüàá-UTF-8!!".as_bytes()));
    case_6_2_4 => Case::default().sends(&byte_fragments(SPOILT[0])).sees(said(SPOILT[0]));
}

cases! { a_surrogate_within_a_text_is_refused:
    case_6_3_1 => text_is_refused(b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80edited");
    case_6_3_2 => Case::default()
        .sends(&byte_fragments(b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80edited"))
        .fails(NOT_UTF8);
}

cases! { a_text_is_refused_before_it_is_complete:
    case_6_4_1 => Case::default()
        .sends(&[start(SPOILT[0]), ping(b"")])
        .sees(pong(b""))
        .sends(&[more(SPOILT[1])])
        .fails(NOT_UTF8);
    case_6_4_2 => Case::default()
        .sends(&[start(&[SPOILT[0], &SPOILT[1][..1]].concat()), ping(b"")])
        .sees(pong(b""))
        .sends(&[more(&SPOILT[1][1..2])])
        .fails(NOT_UTF8);
    case_6_4_3 => Case::default()
        .sends_each(&pieces_of_spoilt([SPOILT[0].len(), SPOILT[1].len()]))
        .fails(NOT_UTF8);
    case_6_4_4 => Case::default()
        .sends_each(&pieces_of_spoilt([SPOILT[0].len() + 1, 1]))
        .fails(NOT_UTF8);
}

cases! { a_close_is_answered_and_nothing_counts_after_it:
    case_7_1_1 => Case::default().sends(&[text(b"one")]).sees(said(b"one"));
    case_7_1_2 => Case::default().sends(&[close(1000, ""), close(1000, "")]).ends_with_close(1000, "");
    case_7_1_3 => Case::default().sends(&[close(1000, ""), ping(b"")]).ends_with_close(1000, "");
    case_7_1_4 => Case::default().sends(&[close(1000, ""), text(b"late")]).ends_with_close(1000, "");
    case_7_1_5 => Case::default().sends(&[start(b"one"), close(1000, ""), last(b"late")]).ends_with_close(1000, "");
    case_7_1_6 => Case::default()
        .sends(&[text(&[b'*'; 262_144]), text(b"one"), close(1000, ""), ping(b"")])
        .sees(said(&[b'*'; 262_144]))
        .sees(said(b"one"))
        .ends_with_close(1000, "");
}

cases! { the_payload_of_a_close_is_empty_or_has_a_code_and_at_most_123_bytes_of_reason:
    case_7_3_1 => Case::default().sends(&[frame(0x88, b"")]).ends_with_close(1005, "");
    case_7_3_2 => Case::default().sends(&[frame(0x88, b"a")]).fails(PROTOCOL_ERROR);
    case_7_3_3 => Case::default().sends(&[close(1000, "")]).ends_with_close(1000, "");
    case_7_3_4 => Case::default().sends(&[close(1000, "good night")]).ends_with_close(1000, "good night");
    case_7_3_5 => Case::default().sends(&[close(1000, &"*".repeat(123))]).ends_with_close(1000, &"*".repeat(123));
    case_7_3_6 => Case::default().sends(&[close(1000, &"*".repeat(124))]).fails(PROTOCOL_ERROR);
}

cases! { the_reason_of_a_close_is_utf8:
    case_7_5_1 => Case::default().sends(&[frame(0x88, b"\x03\xe8\xce\xba\xed\xa0\x80")]).fails(NOT_UTF8);
}

cases! { a_close_with_a_valid_code_is_answered_with_it:
    case_7_7_1 => closed_with(1000);
    case_7_7_2 => closed_with(1001);
    case_7_7_3 => closed_with(1002);
    case_7_7_4 => closed_with(1003);
    case_7_7_5 => closed_with(1007);
    case_7_7_6 => closed_with(1008);
    case_7_7_7 => closed_with(1009);
    case_7_7_8 => closed_with(1010);
    case_7_7_9 => closed_with(1011);
    case_7_7_10 => closed_with(3000);
    case_7_7_11 => closed_with(3999);
    case_7_7_12 => closed_with(4000);
    case_7_7_13 => closed_with(4999);
}

cases! { a_close_with_a_code_that_must_not_be_sent_fails:
    case_7_9_1 => failed_with(0);
    case_7_9_2 => failed_with(999);
    case_7_9_3 => failed_with(1004);
    case_7_9_4 => failed_with(1005);
    case_7_9_5 => failed_with(1006);
    case_7_9_6 => failed_with(1016);
    case_7_9_7 => failed_with(1100);
    case_7_9_8 => failed_with(2000);
    case_7_9_9 => failed_with(2999);
    case_7_13_1 => failed_with(5000);
    case_7_13_2 => failed_with(65_535);
}

cases! { a_text_in_fragments_of_no_particular_size_is_put_together:
    case_10_1_1 => {
        let payload = [b'*'; 65_536];
        let pieces: Vec<&[u8]> = payload.chunks(1300).collect();
        let middle = pieces[1..pieces.len() - 1].iter().map(|piece| more(piece));
        let frames: Vec<_> = [start(pieces[0])]
            .into_iter()
            .chain(middle)
            .chain([last(pieces[pieces.len() - 1])])
            .collect();
        Case::default().sends(&frames).sees(said(&payload))
    };
}

fn text_of(length: usize) -> Case {
    text_is_echoed(&vec![b'*'; length])
}

fn data_of(length: usize) -> Case {
    Case::default().sends(&[data(&vec![0xfe; length])]).sees(Seen::Binary(vec![0xfe; length]))
}

fn text_is_echoed(payload: &[u8]) -> Case {
    Case::default().sends(&[text(payload)]).sees(said(payload))
}

fn text_is_refused(payload: &[u8]) -> Case {
    Case::default().sends(&[text(payload)]).fails(NOT_UTF8)
}

fn opcode_after_text(chop: usize, reserved: Vec<u8>) -> Case {
    Case::default()
        .sends_in_chops_of(chop, &[text(b"one"), reserved, ping(b"")])
        .sees(said(b"one"))
        .fails(PROTOCOL_ERROR)
}

fn five_fragments(send: fn(Case, &[Vec<u8>]) -> Case) -> Case {
    let case = send(Case::default(), &[start(b"one "), more(b"two "), ping(b"first")]).sees(pong(b"first"));
    send(case, &[more(b"three "), more(b"four "), ping(b"second"), last(b"five")])
        .sees(pong(b"second"))
        .sees(said(b"one two three four five"))
}

fn closed_with(code: u16) -> Case {
    Case::default().sends(&[close(code, "")]).ends_with_close(code, "")
}

fn failed_with(code: u16) -> Case {
    Case::default().sends(&[close(code, "")]).fails(PROTOCOL_ERROR)
}

/// One frame of spoilt text in pieces of these payload lengths; what follows them is never sent.
fn pieces_of_spoilt(lengths: [usize; 2]) -> Vec<Vec<u8>> {
    const HEADER: usize = 6;
    let frame = text(&SPOILT.concat());
    let (first, rest) = frame.split_at(HEADER + lengths[0]);
    vec![first.to_vec(), rest[..lengths[1]].to_vec()]
}

fn byte_fragments(payload: &[u8]) -> Vec<Vec<u8>> {
    let (tail, head) = payload.split_last().unwrap();
    let first_byte = |number| u8::from(number == 0);
    let mut frames: Vec<_> =
        head.iter().enumerate().map(|(number, byte)| frame(first_byte(number), &[*byte])).collect();
    frames.push(last(&[*tail]));
    frames
}

fn ten_pings() -> Vec<Vec<u8>> {
    (0..10).map(|number| ping(&[number])).collect()
}

fn ping_between() -> [Vec<u8>; 3] {
    [start(b"one"), ping(b"there?"), last(b"two")]
}

fn with_rsv(bits: u8, mut frame: Vec<u8>) -> Vec<u8> {
    frame[0] |= bits << 4;
    frame
}

fn said(payload: &[u8]) -> Seen {
    Seen::Text(payload.to_vec())
}

fn pong(payload: &[u8]) -> Seen {
    Seen::Pong(payload.to_vec())
}

fn text(payload: &[u8]) -> Vec<u8> {
    frame(0x81, payload)
}

fn data(payload: &[u8]) -> Vec<u8> {
    frame(0x82, payload)
}

fn ping(payload: &[u8]) -> Vec<u8> {
    frame(0x89, payload)
}

/// The first of several fragments of a text.
fn start(payload: &[u8]) -> Vec<u8> {
    frame(0x01, payload)
}

/// A fragment in the middle.
fn more(payload: &[u8]) -> Vec<u8> {
    frame(0x00, payload)
}

/// The last fragment.
fn last(payload: &[u8]) -> Vec<u8> {
    frame(0x80, payload)
}
