//! 12.x and 13.x: compression is offered and declined, and messages of each size pass uncompressed.
//!
//! The suite sends 1,000 messages per case to measure compression; without it, two show all there is to show.

use super::client::{Case, Seen, frame};

/// Payload length and length of its fragments, by the last number of a case.
const SIZES: [(usize, usize); 18] = [
    (16, 0),
    (64, 0),
    (256, 0),
    (1_024, 0),
    (4_096, 0),
    (8_192, 0),
    (16_384, 0),
    (32_768, 0),
    (65_536, 0),
    (131_072, 0),
    (8_192, 256),
    (16_384, 256),
    (32_768, 256),
    (65_536, 256),
    (131_072, 256),
    (131_072, 1_024),
    (131_072, 4_096),
    (131_072, 32_768),
];

const MESSAGES: usize = 2;

#[test]
fn a_compressed_frame_that_was_not_agreed_on_fails_the_connection() {
    Case::offering("permessage-deflate")
        .sends(&[frame(0xc1, b"\xf2\x48\xcd\xc9\xc9\x07\x00")])
        .fails(1002)
        .run();
}

fn declined(offer: &str, case: &str) -> Case {
    let number: usize = case.rsplit('_').next().unwrap().parse().unwrap();
    let (length, fragment) = SIZES[number - 1];
    let payload: Vec<u8> = b"{\"realtime\": [1, 2.5, null]} ".iter().copied().cycle().take(length).collect();
    (0..MESSAGES).fold(Case::offering(offer), |case, _| {
        let case = match fragment {
            0 => case.sends(&[frame(0x82, &payload)]),
            _ => case.sends(&fragments(&payload, fragment)),
        };
        case.sees(Seen::Binary(payload.clone()))
    })
}

fn fragments(payload: &[u8], length: usize) -> Vec<Vec<u8>> {
    let last = payload.len().div_ceil(length) - 1;
    let first_byte = |number| u8::from(number == 0) * 0x02 + u8::from(number == last) * 0x80;
    payload.chunks(length).enumerate().map(|(number, piece)| frame(first_byte(number), piece)).collect()
}

macro_rules! declined {
    ($family:ident, $offer:literal: $($name:ident)+) => {
        mod $family {
            $(
                #[test]
                fn $name() {
                    super::declined($offer, stringify!($name)).run();
                }
            )+
        }
    };
}

declined! { the_default_offer_is_declined_for_prose, "permessage-deflate":
    case_12_1_1 case_12_1_2 case_12_1_3 case_12_1_4 case_12_1_5 case_12_1_6
    case_12_1_7 case_12_1_8 case_12_1_9 case_12_1_10 case_12_1_11 case_12_1_12
    case_12_1_13 case_12_1_14 case_12_1_15 case_12_1_16 case_12_1_17 case_12_1_18
}

declined! { the_default_offer_is_declined_for_a_picture, "permessage-deflate":
    case_12_2_1 case_12_2_2 case_12_2_3 case_12_2_4 case_12_2_5 case_12_2_6
    case_12_2_7 case_12_2_8 case_12_2_9 case_12_2_10 case_12_2_11 case_12_2_12
    case_12_2_13 case_12_2_14 case_12_2_15 case_12_2_16 case_12_2_17 case_12_2_18
}

declined! { the_default_offer_is_declined_for_a_document, "permessage-deflate":
    case_12_3_1 case_12_3_2 case_12_3_3 case_12_3_4 case_12_3_5 case_12_3_6
    case_12_3_7 case_12_3_8 case_12_3_9 case_12_3_10 case_12_3_11 case_12_3_12
    case_12_3_13 case_12_3_14 case_12_3_15 case_12_3_16 case_12_3_17 case_12_3_18
}

declined! { the_default_offer_is_declined_for_json, "permessage-deflate; client_max_window_bits":
    case_12_4_1 case_12_4_2 case_12_4_3 case_12_4_4 case_12_4_5 case_12_4_6
    case_12_4_7 case_12_4_8 case_12_4_9 case_12_4_10 case_12_4_11 case_12_4_12
    case_12_4_13 case_12_4_14 case_12_4_15 case_12_4_16 case_12_4_17 case_12_4_18
}

declined! { the_default_offer_is_declined_for_html, "permessage-deflate; client_no_context_takeover; client_max_window_bits":
    case_12_5_1 case_12_5_2 case_12_5_3 case_12_5_4 case_12_5_5 case_12_5_6
    case_12_5_7 case_12_5_8 case_12_5_9 case_12_5_10 case_12_5_11 case_12_5_12
    case_12_5_13 case_12_5_14 case_12_5_15 case_12_5_16 case_12_5_17 case_12_5_18
}

declined! { an_offer_without_parameters_is_declined, "permessage-deflate; client_no_context_takeover; client_max_window_bits":
    case_13_1_1 case_13_1_2 case_13_1_3 case_13_1_4 case_13_1_5 case_13_1_6
    case_13_1_7 case_13_1_8 case_13_1_9 case_13_1_10 case_13_1_11 case_13_1_12
    case_13_1_13 case_13_1_14 case_13_1_15 case_13_1_16 case_13_1_17 case_13_1_18
}

declined! { an_offer_without_context_takeover_is_declined, "permessage-deflate; server_no_context_takeover":
    case_13_2_1 case_13_2_2 case_13_2_3 case_13_2_4 case_13_2_5 case_13_2_6
    case_13_2_7 case_13_2_8 case_13_2_9 case_13_2_10 case_13_2_11 case_13_2_12
    case_13_2_13 case_13_2_14 case_13_2_15 case_13_2_16 case_13_2_17 case_13_2_18
}

declined! { an_offer_of_the_smallest_window_is_declined, "permessage-deflate; server_max_window_bits=8":
    case_13_3_1 case_13_3_2 case_13_3_3 case_13_3_4 case_13_3_5 case_13_3_6
    case_13_3_7 case_13_3_8 case_13_3_9 case_13_3_10 case_13_3_11 case_13_3_12
    case_13_3_13 case_13_3_14 case_13_3_15 case_13_3_16 case_13_3_17 case_13_3_18
}

declined! { an_offer_of_the_largest_window_is_declined, "permessage-deflate; server_max_window_bits=15":
    case_13_4_1 case_13_4_2 case_13_4_3 case_13_4_4 case_13_4_5 case_13_4_6
    case_13_4_7 case_13_4_8 case_13_4_9 case_13_4_10 case_13_4_11 case_13_4_12
    case_13_4_13 case_13_4_14 case_13_4_15 case_13_4_16 case_13_4_17 case_13_4_18
}

declined! { an_offer_of_the_smallest_window_without_context_takeover_is_declined, "permessage-deflate; server_no_context_takeover; server_max_window_bits=8":
    case_13_5_1 case_13_5_2 case_13_5_3 case_13_5_4 case_13_5_5 case_13_5_6
    case_13_5_7 case_13_5_8 case_13_5_9 case_13_5_10 case_13_5_11 case_13_5_12
    case_13_5_13 case_13_5_14 case_13_5_15 case_13_5_16 case_13_5_17 case_13_5_18
}

declined! { an_offer_of_the_largest_window_without_context_takeover_is_declined, "permessage-deflate; server_no_context_takeover; server_max_window_bits=15":
    case_13_6_1 case_13_6_2 case_13_6_3 case_13_6_4 case_13_6_5 case_13_6_6
    case_13_6_7 case_13_6_8 case_13_6_9 case_13_6_10 case_13_6_11 case_13_6_12
    case_13_6_13 case_13_6_14 case_13_6_15 case_13_6_16 case_13_6_17 case_13_6_18
}

declined! { several_offers_are_declined, "permessage-deflate; server_no_context_takeover; server_max_window_bits=8, permessage-deflate; server_no_context_takeover, permessage-deflate":
    case_13_7_1 case_13_7_2 case_13_7_3 case_13_7_4 case_13_7_5 case_13_7_6
    case_13_7_7 case_13_7_8 case_13_7_9 case_13_7_10 case_13_7_11 case_13_7_12
    case_13_7_13 case_13_7_14 case_13_7_15 case_13_7_16 case_13_7_17 case_13_7_18
}
