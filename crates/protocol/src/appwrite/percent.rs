//! Percent-encoding, read as leniently as PHP reads it.

/// How a `+` is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plus {
    /// As a space: in query strings (PHP `urldecode`).
    Space,
    /// As itself: in cookies (PHP `rawurldecode`).
    Plus,
}

/// The bytes that a text stands for. A `%` without two hexadecimal digits after it stands for itself.
pub(super) fn decode(text: &[u8], plus: Plus) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high * 16 + low);
                    rest = after;
                }
                _ => decoded.push(b'%'),
            },
            (b'+', _) if plus == Plus::Space => decoded.push(b' '),
            (other, _) => decoded.push(*other),
        }
    }
    decoded
}

/// The same as text; bytes that are not UTF-8 become U+FFFD.
pub(super) fn decode_text(text: &[u8], plus: Plus) -> String {
    String::from_utf8_lossy(&decode(text, plus)).into_owned()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hexadecimal_digits_are_a_byte_and_anything_else_stays() {
        assert_eq!(decode_text(b"a%20b%2Fc%2fd", Plus::Space), "a b/c/d");
        assert_eq!(decode_text(b"100%", Plus::Space), "100%");
        assert_eq!(decode_text(b"%4", Plus::Space), "%4");
        assert_eq!(decode_text(b"%zz%41", Plus::Space), "%zzA");
        assert_eq!(decode_text(b"%%41", Plus::Space), "%A");
    }

    #[test]
    fn a_plus_is_a_space_in_query_strings_only() {
        assert_eq!(decode_text(b"a+b", Plus::Space), "a b");
        assert_eq!(decode_text(b"a+b", Plus::Plus), "a+b");
        assert_eq!(decode_text(b"a%2Bb", Plus::Space), "a+b");
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(decode_text(b"a%FFb", Plus::Space), "a\u{FFFD}b");
    }
}
