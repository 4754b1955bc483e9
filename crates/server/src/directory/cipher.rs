//! Secrets at rest, in the envelope that Appwrite stores them in.

use std::fmt;

use aes_gcm::aead::Aead;
use aes_gcm::{Aes128Gcm, KeyInit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use realtime_core::secret::Secret;
use serde::Deserialize;

/// Seals and opens secrets: AES-128-GCM in a JSON envelope that names its key, as Appwrite's `encrypt` filter writes it.
#[derive(Clone)]
pub struct Cipher(Aes128Gcm);

/// Why an envelope does not open. None of its content is in here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CipherError {
    /// It is not an envelope.
    #[error("the stored secret is not an aes-128-gcm envelope")]
    Malformed,
    /// It was sealed with another key than the first, of which no release of Appwrite has had more.
    #[error("the stored secret was sealed with key version {0:?}, and only _APP_OPENSSL_KEY_V1 is known")]
    UnknownVersion(String),
    /// It was sealed with another key, or was tampered with.
    #[error("the stored secret does not open; is _APP_OPENSSL_KEY_V1 the key it was written with?")]
    Forged,
}

/// The key version that Appwrite writes.
const VERSION: &str = "1";
/// Key length of AES-128.
const KEY_LENGTH: usize = 16;
/// Length of an initialisation vector, NIST SP 800-38D §8.2.
const IV_LENGTH: usize = 12;
/// Length of an authentication tag.
const TAG_LENGTH: usize = 16;

#[derive(Deserialize)]
struct Envelope {
    data: String,
    method: String,
    iv: String,
    tag: String,
    version: String,
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cipher").finish_non_exhaustive()
    }
}

impl Cipher {
    /// Seals and opens with this key (Appwrite `_APP_OPENSSL_KEY_V1`), taken as the bytes of the text.
    pub fn new(key: &Secret) -> Self {
        Self(cipher_of(key))
    }

    /// An envelope with the secret in it.
    pub fn seal(&self, secret: &Secret) -> Result<String, CipherError> {
        self.seal_with(secret, rand::random())
    }

    /// The secret in an envelope.
    pub fn open(&self, envelope: &str) -> Result<Secret, CipherError> {
        let envelope: Envelope = serde_json::from_str(envelope).map_err(|_| CipherError::Malformed)?;
        if envelope.method != "aes-128-gcm" {
            return Err(CipherError::Malformed);
        }
        if envelope.version != VERSION {
            return Err(CipherError::UnknownVersion(envelope.version));
        }
        let iv: [u8; IV_LENGTH] = bytes_of_hex(&envelope.iv).ok_or(CipherError::Malformed)?;
        let tag: [u8; TAG_LENGTH] = bytes_of_hex(&envelope.tag).ok_or(CipherError::Malformed)?;
        let mut sealed = STANDARD.decode(&envelope.data).map_err(|_| CipherError::Malformed)?;
        sealed.extend_from_slice(&tag);
        let secret = self.0.decrypt(&iv.into(), sealed.as_slice()).map_err(|_| CipherError::Forged)?;
        String::from_utf8(secret).map(Secret::new).map_err(|_| CipherError::Malformed)
    }

    fn seal_with(&self, secret: &Secret, iv: [u8; IV_LENGTH]) -> Result<String, CipherError> {
        let sealed =
            self.0.encrypt(&iv.into(), secret.expose().as_bytes()).map_err(|_| CipherError::Malformed)?;
        let (data, tag) = sealed.split_at_checked(sealed.len() - TAG_LENGTH).ok_or(CipherError::Malformed)?;
        // PHP's JSON escapes the slash, and what Appwrite wrote is compared byte for byte by nobody but tests.
        let data = STANDARD.encode(data).replace('/', "\\/");
        Ok(format!(
            r#"{{"data":"{data}","method":"aes-128-gcm","iv":"{}","tag":"{}","version":"{VERSION}"}}"#,
            hex_of(&iv),
            hex_of(tag)
        ))
    }
}

/// The key is cut to 16 bytes, or filled up with zero bytes, as OpenSSL does it for PHP.
fn cipher_of(key: &Secret) -> Aes128Gcm {
    let mut bytes = [0; KEY_LENGTH];
    for (to, from) in bytes.iter_mut().zip(key.expose().bytes()) {
        *to = from;
    }
    Aes128Gcm::new(&bytes.into())
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex_of(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes_of_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'))?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STORED: &str = r#"{"data":"jG6WO3BsGvfMDsMKOY99XM6\/eZua4LNL94BXeVKnh07VIbkB4BWk+JDIVmvFD8FXfliWQmWAa\/NHakM1F6q0IQ==","method":"aes-128-gcm","iv":"000102030405060708090a0b","tag":"84180fbf5abc35690f99dcc740c57315","version":"1"}"#;
    const PLAIN: &str = "02d7160d77e18c6447be80c2e355c7ed4388545271702c50253b0914c65ce5fe";

    fn cipher() -> Cipher {
        Cipher::new(&Secret::new("your-secret-key"))
    }

    #[test]
    fn an_envelope_that_appwrite_wrote_opens() {
        assert_eq!(cipher().open(STORED).unwrap().expose(), PLAIN);
    }

    #[test]
    fn an_envelope_is_written_as_appwrite_writes_it() {
        let iv = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
        assert_eq!(cipher().seal_with(&Secret::new(PLAIN), iv).unwrap(), STORED);
    }

    #[test]
    fn a_long_key_counts_with_its_first_16_bytes() {
        let long = Cipher::new(&Secret::new("0123456789abcdef and more"));
        let short = Cipher::new(&Secret::new("0123456789abcdef"));
        let sealed = long.seal(&Secret::new("x")).unwrap();
        assert_eq!(short.open(&sealed).unwrap().expose(), "x");
    }

    #[test]
    fn another_key_does_not_open() {
        assert_eq!(Cipher::new(&Secret::new("other")).open(STORED), Err(CipherError::Forged));
    }

    #[test]
    fn a_changed_envelope_does_not_open() {
        let changed = STORED.replace("jG6W", "jG6X");
        assert_eq!(cipher().open(&changed), Err(CipherError::Forged));
    }

    #[test]
    fn what_another_key_sealed_is_told_from_what_was_forged() {
        let other = STORED.replace(r#""version":"1""#, r#""version":"2""#);
        assert_eq!(cipher().open(&other), Err(CipherError::UnknownVersion("2".into())));
    }

    #[test]
    fn nothing_but_an_envelope_opens() {
        for text in ["", "null", "{}", "[]", "plain", r#"{"data":1}"#] {
            assert_eq!(cipher().open(text), Err(CipherError::Malformed), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(secret in ".*") {
            let sealed = cipher().seal(&Secret::new(&secret)).unwrap();
            prop_assert_eq!(cipher().open(&sealed).unwrap().expose().to_owned(), secret);
        }

        #[test]
        fn no_envelope_panics(data in ".*", iv in ".*", tag in "[+0-9a-f]{30,34}", version in "1?") {
            let text = serde_json::json!({
                "data": data, "method": "aes-128-gcm", "iv": iv, "tag": tag, "version": version
            });
            prop_assert!(cipher().open(&text.to_string()).is_err());
        }
    }
}
