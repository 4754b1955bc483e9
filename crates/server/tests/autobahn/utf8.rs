//! 6.5 to 6.23: which sequences of bytes are UTF-8, each sent as one text message.

use super::{Case, text_is_echoed, text_is_refused};

cases! { text_of_several_scripts_is_echoed:
    case_6_5_1 => text_is_echoed(b"hello$world");
    case_6_5_2 => text_is_echoed(b"hello\xc2\xa2world");
    case_6_5_3 => text_is_echoed(b"hello\xe2\x82\xacworld");
    case_6_5_4 => text_is_echoed(b"hello\xf0\xa4\xad\xa2world");
    case_6_5_5 => text_is_echoed(b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5");
}

cases! { a_prefix_of_a_text_is_echoed_unless_it_ends_within_a_character:
    case_6_6_1 => text_is_refused(b"\xce");
    case_6_6_2 => text_is_echoed(b"\xce\xba");
    case_6_6_3 => text_is_refused(b"\xce\xba\xe1");
    case_6_6_4 => text_is_refused(b"\xce\xba\xe1\xbd");
    case_6_6_5 => text_is_echoed(b"\xce\xba\xe1\xbd\xb9");
    case_6_6_6 => text_is_refused(b"\xce\xba\xe1\xbd\xb9\xcf");
    case_6_6_7 => text_is_echoed(b"\xce\xba\xe1\xbd\xb9\xcf\x83");
    case_6_6_8 => text_is_refused(b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce");
    case_6_6_9 => text_is_echoed(b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc");
    case_6_6_10 => text_is_refused(b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce");
    case_6_6_11 => text_is_echoed(b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5");
}

cases! { the_first_character_of_each_length_is_echoed:
    case_6_7_1 => text_is_echoed(b"\x00");
    case_6_7_2 => text_is_echoed(b"\xc2\x80");
    case_6_7_3 => text_is_echoed(b"\xe0\xa0\x80");
    case_6_7_4 => text_is_echoed(b"\xf0\x90\x80\x80");
}

cases! { the_first_sequences_of_5_and_6_bytes_are_refused:
    case_6_8_1 => text_is_refused(b"\xf8\x88\x80\x80\x80");
    case_6_8_2 => text_is_refused(b"\xfc\x84\x80\x80\x80\x80");
}

cases! { the_last_character_of_each_length_is_echoed:
    case_6_9_1 => text_is_echoed(b"\x7f");
    case_6_9_2 => text_is_echoed(b"\xdf\xbf");
    case_6_9_3 => text_is_echoed(b"\xef\xbf\xbf");
    case_6_9_4 => text_is_echoed(b"\xf4\x8f\xbf\xbf");
}

cases! { the_last_sequences_of_4_to_6_bytes_are_refused:
    case_6_10_1 => text_is_refused(b"\xf7\xbf\xbf\xbf");
    case_6_10_2 => text_is_refused(b"\xfb\xbf\xbf\xbf\xbf");
    case_6_10_3 => text_is_refused(b"\xfd\xbf\xbf\xbf\xbf\xbf");
}

cases! { characters_at_other_boundaries_are_told_apart:
    case_6_11_1 => text_is_echoed(b"\xed\x9f\xbf");
    case_6_11_2 => text_is_echoed(b"\xee\x80\x80");
    case_6_11_3 => text_is_echoed(b"\xef\xbf\xbd");
    case_6_11_4 => text_is_echoed(b"\xf4\x8f\xbf\xbf");
    case_6_11_5 => text_is_refused(b"\xf4\x90\x80\x80");
}

cases! { unexpected_continuation_bytes_are_refused:
    case_6_12_1 => text_is_refused(b"\x80");
    case_6_12_2 => text_is_refused(b"\xbf");
    case_6_12_3 => text_is_refused(b"\x80\xbf");
    case_6_12_4 => text_is_refused(b"\x80\xbf\x80");
    case_6_12_5 => text_is_refused(b"\x80\xbf\x80\xbf");
    case_6_12_6 => text_is_refused(b"\x80\xbf\x80\xbf\x80");
    case_6_12_7 => text_is_refused(b"\x80\xbf\x80\xbf\x80\xbf");
    case_6_12_8 => text_is_refused(b"\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97\x98\x99\x9a\x9b\x9c\x9d\x9e\x9f\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab\xac\xad\xae\xaf\xb0\xb1\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xbb\xbc\xbd\xbe");
}

cases! { lonely_start_bytes_are_refused:
    case_6_13_1 => text_is_refused(b"\xc0 \xc1 \xc2 \xc3 \xc4 \xc5 \xc6 \xc7 \xc8 \xc9 \xca \xcb \xcc \xcd \xce \xcf \xd0 \xd1 \xd2 \xd3 \xd4 \xd5 \xd6 \xd7 \xd8 \xd9 \xda \xdb \xdc \xdd \xde ");
    case_6_13_2 => text_is_refused(b"\xe0 \xe1 \xe2 \xe3 \xe4 \xe5 \xe6 \xe7 \xe8 \xe9 \xea \xeb \xec \xed \xee ");
    case_6_13_3 => text_is_refused(b"\xf0 \xf1 \xf2 \xf3 \xf4 \xf5 \xf6 ");
    case_6_13_4 => text_is_refused(b"\xf8 \xf9 \xfa ");
    case_6_13_5 => text_is_refused(b"\xfc ");
}

cases! { sequences_without_their_last_byte_are_refused:
    case_6_14_1 => text_is_refused(b"\xc0");
    case_6_14_2 => text_is_refused(b"\xe0\x80");
    case_6_14_3 => text_is_refused(b"\xf0\x80\x80");
    case_6_14_4 => text_is_refused(b"\xf8\x80\x80\x80");
    case_6_14_5 => text_is_refused(b"\xfc\x80\x80\x80\x80");
    case_6_14_6 => text_is_refused(b"\xdf");
    case_6_14_7 => text_is_refused(b"\xef\xbf");
    case_6_14_8 => text_is_refused(b"\xf7\xbf\xbf");
    case_6_14_9 => text_is_refused(b"\xfb\xbf\xbf\xbf");
    case_6_14_10 => text_is_refused(b"\xfd\xbf\xbf\xbf\xbf");
}

cases! { incomplete_sequences_in_a_row_are_refused:
    case_6_15_1 => text_is_refused(b"\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80\xfc\x80\x80\x80\x80\xdf\xef\xbf\xf7\xbf\xbf\xfb\xbf\xbf\xbf\xfd\xbf\xbf\xbf\xbf");
}

cases! { impossible_bytes_are_refused:
    case_6_16_1 => text_is_refused(b"\xfe");
    case_6_16_2 => text_is_refused(b"\xff");
    case_6_16_3 => text_is_refused(b"\xfe\xfe\xff\xff");
}

cases! { overlong_slashes_are_refused:
    case_6_17_1 => text_is_refused(b"\xc0\xaf");
    case_6_17_2 => text_is_refused(b"\xe0\x80\xaf");
    case_6_17_3 => text_is_refused(b"\xf0\x80\x80\xaf");
    case_6_17_4 => text_is_refused(b"\xf8\x80\x80\x80\xaf");
    case_6_17_5 => text_is_refused(b"\xfc\x80\x80\x80\x80\xaf");
}

cases! { the_largest_overlong_sequences_are_refused:
    case_6_18_1 => text_is_refused(b"\xc1\xbf");
    case_6_18_2 => text_is_refused(b"\xe0\x9f\xbf");
    case_6_18_3 => text_is_refused(b"\xf0\x8f\xbf\xbf");
    case_6_18_4 => text_is_refused(b"\xf8\x87\xbf\xbf\xbf");
    case_6_18_5 => text_is_refused(b"\xfc\x83\xbf\xbf\xbf\xbf");
}

cases! { overlong_nul_characters_are_refused:
    case_6_19_1 => text_is_refused(b"\xc0\x80");
    case_6_19_2 => text_is_refused(b"\xe0\x80\x80");
    case_6_19_3 => text_is_refused(b"\xf0\x80\x80\x80");
    case_6_19_4 => text_is_refused(b"\xf8\x80\x80\x80\x80");
    case_6_19_5 => text_is_refused(b"\xfc\x80\x80\x80\x80\x80");
}

cases! { single_surrogates_are_refused:
    case_6_20_1 => text_is_refused(b"\xed\xa0\x80");
    case_6_20_2 => text_is_refused(b"\xed\xad\xbf");
    case_6_20_3 => text_is_refused(b"\xed\xae\x80");
    case_6_20_4 => text_is_refused(b"\xed\xaf\xbf");
    case_6_20_5 => text_is_refused(b"\xed\xb0\x80");
    case_6_20_6 => text_is_refused(b"\xed\xbe\x80");
    case_6_20_7 => text_is_refused(b"\xed\xbf\xbf");
}

cases! { paired_surrogates_are_refused:
    case_6_21_1 => text_is_refused(b"\xed\xa0\x80\xed\xb0\x80");
    case_6_21_2 => text_is_refused(b"\xed\xa0\x80\xed\xbf\xbf");
    case_6_21_3 => text_is_refused(b"\xed\xad\xbf\xed\xb0\x80");
    case_6_21_4 => text_is_refused(b"\xed\xad\xbf\xed\xbf\xbf");
    case_6_21_5 => text_is_refused(b"\xed\xae\x80\xed\xb0\x80");
    case_6_21_6 => text_is_refused(b"\xed\xae\x80\xed\xbf\xbf");
    case_6_21_7 => text_is_refused(b"\xed\xaf\xbf\xed\xb0\x80");
    case_6_21_8 => text_is_refused(b"\xed\xaf\xbf\xed\xbf\xbf");
}

cases! { noncharacters_are_echoed:
    case_6_22_1 => text_is_echoed(b"\xef\xbf\xbe");
    case_6_22_2 => text_is_echoed(b"\xef\xbf\xbf");
    case_6_22_3 => text_is_echoed(b"\xf0\x9f\xbf\xbe");
    case_6_22_4 => text_is_echoed(b"\xf0\x9f\xbf\xbf");
    case_6_22_5 => text_is_echoed(b"\xf0\xaf\xbf\xbe");
    case_6_22_6 => text_is_echoed(b"\xf0\xaf\xbf\xbf");
    case_6_22_7 => text_is_echoed(b"\xf0\xbf\xbf\xbe");
    case_6_22_8 => text_is_echoed(b"\xf0\xbf\xbf\xbf");
    case_6_22_9 => text_is_echoed(b"\xf1\x8f\xbf\xbe");
    case_6_22_10 => text_is_echoed(b"\xf1\x8f\xbf\xbf");
    case_6_22_11 => text_is_echoed(b"\xf1\x9f\xbf\xbe");
    case_6_22_12 => text_is_echoed(b"\xf1\x9f\xbf\xbf");
    case_6_22_13 => text_is_echoed(b"\xf1\xaf\xbf\xbe");
    case_6_22_14 => text_is_echoed(b"\xf1\xaf\xbf\xbf");
    case_6_22_15 => text_is_echoed(b"\xf1\xbf\xbf\xbe");
    case_6_22_16 => text_is_echoed(b"\xf1\xbf\xbf\xbf");
    case_6_22_17 => text_is_echoed(b"\xf2\x8f\xbf\xbe");
    case_6_22_18 => text_is_echoed(b"\xf2\x8f\xbf\xbf");
    case_6_22_19 => text_is_echoed(b"\xf2\x9f\xbf\xbe");
    case_6_22_20 => text_is_echoed(b"\xf2\x9f\xbf\xbf");
    case_6_22_21 => text_is_echoed(b"\xf2\xaf\xbf\xbe");
    case_6_22_22 => text_is_echoed(b"\xf2\xaf\xbf\xbf");
    case_6_22_23 => text_is_echoed(b"\xf2\xbf\xbf\xbe");
    case_6_22_24 => text_is_echoed(b"\xf2\xbf\xbf\xbf");
    case_6_22_25 => text_is_echoed(b"\xf3\x8f\xbf\xbe");
    case_6_22_26 => text_is_echoed(b"\xf3\x8f\xbf\xbf");
    case_6_22_27 => text_is_echoed(b"\xf3\x9f\xbf\xbe");
    case_6_22_28 => text_is_echoed(b"\xf3\x9f\xbf\xbf");
    case_6_22_29 => text_is_echoed(b"\xf3\xaf\xbf\xbe");
    case_6_22_30 => text_is_echoed(b"\xf3\xaf\xbf\xbf");
    case_6_22_31 => text_is_echoed(b"\xf3\xbf\xbf\xbe");
    case_6_22_32 => text_is_echoed(b"\xf3\xbf\xbf\xbf");
    case_6_22_33 => text_is_echoed(b"\xf4\x8f\xbf\xbe");
    case_6_22_34 => text_is_echoed(b"\xf4\x8f\xbf\xbf");
}

cases! { specials_are_echoed:
    case_6_23_1 => text_is_echoed(b"\xef\xbf\xb9");
    case_6_23_2 => text_is_echoed(b"\xef\xbf\xba");
    case_6_23_3 => text_is_echoed(b"\xef\xbf\xbb");
    case_6_23_4 => text_is_echoed(b"\xef\xbf\xbc");
    case_6_23_5 => text_is_echoed(b"\xef\xbf\xbd");
    case_6_23_6 => text_is_echoed(b"\xef\xbf\xbe");
    case_6_23_7 => text_is_echoed(b"\xef\xbf\xbf");
}
