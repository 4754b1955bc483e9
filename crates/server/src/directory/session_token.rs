//! The token of a login session, which clients keep in a cookie.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use realtime_core::id::UserId;
use realtime_core::secret::Secret;
use serde_json::{Map, Value, json};

/// Whose session, and the secret that proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SessionToken {
    /// The user.
    pub(super) user: UserId,
    /// The session's secret.
    pub(super) secret: Secret,
}

/// PHP takes a text without its padding, and does not mind stray bits at the end.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl SessionToken {
    /// What a token says; `None` if it says neither who nor what.
    pub(super) fn read(token: &Secret) -> Option<Self> {
        let text: Vec<u8> = token.expose().bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let json: Map<String, Value> = serde_json::from_slice(&LENIENT.decode(text).ok()?).ok()?;
        let text = |name| json.get(name).and_then(Value::as_str).unwrap_or_default();
        let (user, secret) = (text("id"), text("secret"));
        let says_something = !user.is_empty() || !secret.is_empty();
        says_something.then(|| Self { user: user.into(), secret: Secret::new(secret) })
    }

    /// The token as Appwrite writes it.
    pub(super) fn write(&self) -> Secret {
        let json = json!({ "id": self.user.as_str(), "secret": self.secret.expose() });
        Secret::new(STANDARD.encode(json.to_string()))
    }
}
