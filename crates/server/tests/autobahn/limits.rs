//! 9.x: large messages, many fragments, many pieces, many round trips.

use super::client::{Case, Seen, frame};

const KIB: usize = 1024;
const MIB: usize = 1024 * 1024;

/// Round trips in 9.7 and 9.8.
const ROUND_TRIPS: usize = 1_000;

fn text(length: usize) -> Vec<u8> {
    const PATTERN: &str = "Grüße, 世界! ";
    let text = PATTERN.repeat(length / PATTERN.len()) + &".".repeat(length % PATTERN.len());
    text.into_bytes()
}

fn data(length: usize) -> Vec<u8> {
    let pattern: Vec<u8> = (0..=255).collect();
    let mut data = pattern.repeat(length.div_ceil(pattern.len()));
    data.truncate(length);
    data
}

/// A message of one frame in pieces of `chop` bytes.
fn text_in_chops(length: usize, chop: usize) -> Case {
    let text = text(length);
    Case::default().sends_in_chops_of(chop, &[frame(0x81, &text)]).sees(Seen::Text(text))
}

fn data_in_chops(length: usize, chop: usize) -> Case {
    let data = data(length);
    Case::default().sends_in_chops_of(chop, &[frame(0x82, &data)]).sees(Seen::Binary(data))
}

/// A message in frames of `length` bytes.
fn text_in_fragments(length: usize) -> Case {
    let text = text(4 * MIB);
    Case::default().sends(&fragments(0x01, &text, length)).sees(Seen::Text(text))
}

fn data_in_fragments(length: usize) -> Case {
    let data = data(4 * MIB);
    Case::default().sends(&fragments(0x02, &data, length)).sees(Seen::Binary(data))
}

fn text_round_trips(length: usize) -> Case {
    let (text, frame) = (text(length), frame(0x81, &text(length)));
    (0..ROUND_TRIPS).fold(Case::default(), |case, _| {
        case.sends(std::slice::from_ref(&frame)).sees(Seen::Text(text.clone()))
    })
}

fn data_round_trips(length: usize) -> Case {
    let (data, frame) = (data(length), frame(0x82, &data(length)));
    (0..ROUND_TRIPS).fold(Case::default(), |case, _| {
        case.sends(std::slice::from_ref(&frame)).sees(Seen::Binary(data.clone()))
    })
}

fn fragments(opcode: u8, payload: &[u8], length: usize) -> Vec<Vec<u8>> {
    let last = payload.len().div_ceil(length) - 1;
    let first_byte = |number| if number == 0 { opcode } else { 0 } | if number == last { 0x80 } else { 0 };
    payload.chunks(length).enumerate().map(|(number, piece)| frame(first_byte(number), piece)).collect()
}

cases! { large_texts_are_echoed:
    case_9_1_1 => text_in_chops(64 * KIB, usize::MAX);
    case_9_1_2 => text_in_chops(256 * KIB, usize::MAX);
    case_9_1_3 => text_in_chops(MIB, usize::MAX);
    case_9_1_4 => text_in_chops(4 * MIB, usize::MAX);
    case_9_1_5 => text_in_chops(8 * MIB, usize::MAX);
    case_9_1_6 => text_in_chops(16 * MIB, usize::MAX);
}

cases! { large_data_is_echoed:
    case_9_2_1 => data_in_chops(64 * KIB, usize::MAX);
    case_9_2_2 => data_in_chops(256 * KIB, usize::MAX);
    case_9_2_3 => data_in_chops(MIB, usize::MAX);
    case_9_2_4 => data_in_chops(4 * MIB, usize::MAX);
    case_9_2_5 => data_in_chops(8 * MIB, usize::MAX);
    case_9_2_6 => data_in_chops(16 * MIB, usize::MAX);
}

cases! { a_large_text_is_echoed_whatever_the_size_of_its_fragments:
    case_9_3_1 => text_in_fragments(64);
    case_9_3_2 => text_in_fragments(256);
    case_9_3_3 => text_in_fragments(KIB);
    case_9_3_4 => text_in_fragments(4 * KIB);
    case_9_3_5 => text_in_fragments(16 * KIB);
    case_9_3_6 => text_in_fragments(64 * KIB);
    case_9_3_7 => text_in_fragments(256 * KIB);
    case_9_3_8 => text_in_fragments(MIB);
    case_9_3_9 => text_in_fragments(4 * MIB);
}

cases! { large_data_is_echoed_whatever_the_size_of_its_fragments:
    case_9_4_1 => data_in_fragments(64);
    case_9_4_2 => data_in_fragments(256);
    case_9_4_3 => data_in_fragments(KIB);
    case_9_4_4 => data_in_fragments(4 * KIB);
    case_9_4_5 => data_in_fragments(16 * KIB);
    case_9_4_6 => data_in_fragments(64 * KIB);
    case_9_4_7 => data_in_fragments(256 * KIB);
    case_9_4_8 => data_in_fragments(MIB);
    case_9_4_9 => data_in_fragments(4 * MIB);
}

cases! { a_text_is_echoed_whatever_the_size_of_its_pieces:
    case_9_5_1 => text_in_chops(MIB, 64);
    case_9_5_2 => text_in_chops(MIB, 128);
    case_9_5_3 => text_in_chops(MIB, 256);
    case_9_5_4 => text_in_chops(MIB, 512);
    case_9_5_5 => text_in_chops(MIB, 1024);
    case_9_5_6 => text_in_chops(MIB, 2048);
}

cases! { data_is_echoed_whatever_the_size_of_its_pieces:
    case_9_6_1 => data_in_chops(MIB, 64);
    case_9_6_2 => data_in_chops(MIB, 128);
    case_9_6_3 => data_in_chops(MIB, 256);
    case_9_6_4 => data_in_chops(MIB, 512);
    case_9_6_5 => data_in_chops(MIB, 1024);
    case_9_6_6 => data_in_chops(MIB, 2048);
}

cases! { many_texts_go_back_and_forth:
    case_9_7_1 => text_round_trips(0);
    case_9_7_2 => text_round_trips(16);
    case_9_7_3 => text_round_trips(64);
    case_9_7_4 => text_round_trips(256);
    case_9_7_5 => text_round_trips(1024);
    case_9_7_6 => text_round_trips(4096);
}

cases! { much_data_goes_back_and_forth:
    case_9_8_1 => data_round_trips(0);
    case_9_8_2 => data_round_trips(16);
    case_9_8_3 => data_round_trips(64);
    case_9_8_4 => data_round_trips(256);
    case_9_8_5 => data_round_trips(1024);
    case_9_8_6 => data_round_trips(4096);
}
