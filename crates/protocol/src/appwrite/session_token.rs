//! What a session cookie holds: who the user claims to be, and the secret that proves it.
//!
//! ```
//! use realtime_core::secret::Secret;
//! use realtime_protocol::appwrite::session_token::SessionToken;
//!
//! let token = SessionToken::decode(&Secret::new("eyJpZCI6InVzZXIxIiwic2VjcmV0IjoiczNjcjN0In0=")).unwrap();
//! assert_eq!(token.user.as_str(), "user1");
//! assert_eq!(token.secret.expose(), "s3cr3t");
//! ```

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use realtime_core::id::UserId;
use realtime_core::secret::Secret;
use serde_json::Value;

/// A token that could be read. Whether it is true is for a directory to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionToken {
    /// The user whose session it is.
    pub user: UserId,
    /// What the session is known by; a directory keeps its SHA-256.
    pub secret: Secret,
}

/// Padding is taken off before; PHP does not look at the bits behind the last byte.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

impl SessionToken {
    /// Reads base64 of `{"id": …, "secret": …}`. `None` if it is anything else, or if either is empty: Appwrite takes
    /// that for no session, never for an error.
    pub fn decode(token: &Secret) -> Option<Self> {
        let text = decode_base64(token.expose())?;
        let fields: Value = serde_json::from_slice(&text).ok()?;
        let field = |name| fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        Some(Self { user: UserId::new(field("id")?), secret: Secret::new(field("secret")?) })
    }
}

/// Base64 as PHP's strict mode takes it: the standard alphabet, whitespace anywhere, padding whole or not at all.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let compact: Vec<u8> =
        text.bytes().filter(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).collect();
    let padding = compact.iter().rev().take_while(|byte| **byte == b'=').count();
    let (digits, _) = compact.split_at_checked(compact.len().checked_sub(padding)?)?;
    if padding > 2 || (padding > 0 && !compact.len().is_multiple_of(4)) {
        return None;
    }
    BASE64.decode(digits).ok()
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn decode(token: &str) -> Option<(String, String)> {
        let token = SessionToken::decode(&Secret::new(token))?;
        Some((token.user.to_string(), token.secret.expose().to_owned()))
    }

    #[test]
    fn a_token_of_appwrite_is_read() {
        let expected = Some(("user1".to_owned(), "s3cr3t".to_owned()));
        for token in [
            "eyJpZCI6InVzZXIxIiwic2VjcmV0IjoiczNjcjN0In0=",
            "eyJpZCI6InVzZXIxIiwic2VjcmV0IjoiczNjcjN0In0",
            " eyJpZCI6InVzZXIxIiwi\r\nc2VjcmV0IjoiczNj\tcjN0In0 = ",
        ] {
            assert_eq!(decode(token), expected, "{token}");
        }
    }

    #[test]
    fn padding_is_whole_or_absent() {
        for (text, expected) in [
            ("QQ==", Some(&b"A"[..])),
            ("QQ", Some(b"A")),
            ("QQ=", None),
            ("QR==", Some(b"A")),
            ("QUI=", Some(b"AB")),
            ("QUJD", Some(b"ABC")),
            ("QUJD====", None),
            ("QUJD=", None),
            ("QUI=QUI=", None),
            ("Q", None),
            ("Q===", None),
            ("", Some(b"")),
            ("====", None),
            ("-_-_", None),
            ("QU\x0BI=", None),
        ] {
            assert_eq!(decode_base64(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn anything_but_an_id_with_a_secret_is_no_token() {
        for json in [
            "",
            "null",
            "[]",
            "\"text\"",
            r#"["user1","s3cr3t"]"#,
            r#"{"id":"user1"}"#,
            r#"{"id":1,"secret":"s"}"#,
            r#"{"id":"","secret":"s"}"#,
            r#"{"id":"user1","secret":["s"]}"#,
            r#"{"id":"user1","secret":"s""#,
        ] {
            assert_eq!(decode(&BASE64_STANDARD.encode(json)), None, "{json}");
        }
        assert_eq!(decode("invalid_session"), None);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let token = SessionToken { user: UserId::new("u"), secret: Secret::new("s3cr3t") };
        assert!(!format!("{token:?}").contains("s3cr3t"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".{0,80}") {
            let _ = decode(&text);
        }

        #[test]
        fn what_was_encoded_is_read_back(user in "\\PC{1,36}", secret in "\\PC{1,60}") {
            let json = serde_json::json!({ "id": user, "secret": secret }).to_string();
            prop_assert_eq!(decode(&BASE64_STANDARD.encode(json)), Some((user, secret)));
        }
    }
}
