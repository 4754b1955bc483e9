//! JWTs that Appwrite issues: HS256 with the server's own key, claims `userId` and `sessionId`.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use realtime_core::id::UserId;
use realtime_core::secret::Secret;
use serde_json::{Map, Value, json};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Verifies and issues Appwrite's JWTs.
#[derive(Clone)]
pub struct AppwriteJwt {
    key: Secret,
}

/// What a verified JWT says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The user; empty names nobody.
    pub user: UserId,
    /// The session it was made from; empty for a token that stands by itself.
    pub session: String,
    /// Until when it is good; `None` is for ever.
    pub expires: Option<Timestamp>,
}

/// Why a JWT does not verify, in the words that Appwrite puts after `Failed to verify JWT. `.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Fewer than three parts.
    #[error("Invalid token: Incomplete segments")]
    IncompleteSegments,
    /// The header or the claims are not JSON.
    #[error("JSON failed: Syntax error")]
    Json,
    /// The header names no algorithm.
    #[error("Invalid token: Missing header algo")]
    MissingAlgorithm,
    /// The header names an algorithm that Appwrite does not know; `none` is one.
    #[error("Invalid token: Unsupported header algo")]
    UnsupportedAlgorithm,
    /// The header names a key; Appwrite has only one.
    #[error("Invalid token: Unknown key ID")]
    UnknownKeyId,
    /// Signed with another key, or changed since.
    #[error("Invalid token: Signature failed")]
    SignatureFailed,
    /// Too old.
    #[error("Invalid token: Expired")]
    Expired,
    /// Not yet good.
    #[error("Invalid token: Not now")]
    NotNow,
    /// The server has no key.
    #[error("Signing key cannot be empty")]
    EmptyKey,
}

/// Appwrite refuses a token that says when it was issued and is older than this, whatever its expiry.
const MAX_AGE: SignedDuration = SignedDuration::from_secs(3600);
/// The algorithms that Appwrite's library lets a header name. It checks an HS256 signature in any case.
const ALGORITHMS: [&str; 6] = ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512"];
/// PHP ignores missing padding and stray bits at the end.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl fmt::Debug for AppwriteJwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppwriteJwt").finish_non_exhaustive()
    }
}

impl AppwriteJwt {
    /// Verifies and signs with this key (Appwrite `_APP_OPENSSL_KEY_V1`), taken as the bytes of the text.
    pub fn new(key: Secret) -> Self {
        Self { key }
    }

    /// What a token says, if it was signed with the key and is good now. Checks come in Appwrite's order, so that the
    /// reason is the one that Appwrite gives.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, JwtError> {
        if self.key.expose().is_empty() {
            return Err(JwtError::EmptyKey);
        }
        let (header, claims, signature) = segments(token).ok_or(JwtError::IncompleteSegments)?;
        check_header(&object(header)?)?;
        let signed = token.get(..header.len() + 1 + claims.len()).ok_or(JwtError::IncompleteSegments)?;
        let expected = self.signature(signed)?;
        if !bool::from(expected.as_bytes().ct_eq(signature.as_bytes())) {
            return Err(JwtError::SignatureFailed);
        }
        let claims = object(claims)?;
        let expires = check_times(&claims, now)?;
        let text = |name| claims.get(name).and_then(Value::as_str).unwrap_or_default();
        Ok(Claims { user: text("userId").into(), session: text("sessionId").to_owned(), expires })
    }

    /// A token for a user, made from a session if one is named.
    pub fn issue(
        &self,
        user: &UserId,
        session: Option<&str>,
        expires: Timestamp,
    ) -> Result<Secret, JwtError> {
        if self.key.expose().is_empty() {
            return Err(JwtError::EmptyKey);
        }
        let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"HS256"}"#);
        let claims = json!({
            "userId": user.as_str(), "sessionId": session.unwrap_or_default(), "exp": expires.as_second()
        });
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.signature(&signed)?;
        Ok(Secret::new(format!("{signed}.{signature}")))
    }

    fn signature(&self, signed: &str) -> Result<String, JwtError> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes()).map_err(|_| JwtError::EmptyKey)?;
        mac.update(signed.as_bytes());
        Ok(URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }
}

/// Header, claims and signature; dots after the second belong to the signature.
fn segments(token: &str) -> Option<(&str, &str, &str)> {
    let (header, rest) = token.split_once('.')?;
    let (claims, signature) = rest.split_once('.')?;
    Some((header, claims, signature))
}

fn object(segment: &str) -> Result<Map<String, Value>, JwtError> {
    let bytes = LENIENT.decode(segment).map_err(|_| JwtError::Json)?;
    match serde_json::from_slice(&bytes).map_err(|_| JwtError::Json)? {
        Value::Object(object) => Ok(object),
        // PHP makes an array of it, in which no name is found.
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Ok(Map::new())
        }
    }
}

fn check_header(header: &Map<String, Value>) -> Result<(), JwtError> {
    let algorithm = match header.get("alg") {
        None | Some(Value::Null) => return Err(JwtError::MissingAlgorithm),
        Some(algorithm) => algorithm.as_str().unwrap_or("none"),
    };
    if algorithm.is_empty() {
        return Err(JwtError::MissingAlgorithm);
    }
    if !ALGORITHMS.contains(&algorithm) {
        return Err(JwtError::UnsupportedAlgorithm);
    }
    match header.get("kid") {
        None | Some(Value::Null) => Ok(()),
        Some(_) => Err(JwtError::UnknownKeyId),
    }
}

/// Refuses what is not good now, in whole seconds and without leeway; tells until when it is good.
fn check_times(claims: &Map<String, Value>, now: Timestamp) -> Result<Option<Timestamp>, JwtError> {
    let expiry = moment(claims, "exp").map_err(|()| JwtError::Expired)?;
    let issued = moment(claims, "iat").map_err(|()| JwtError::Expired)?;
    let not_before = moment(claims, "nbf").map_err(|()| JwtError::NotNow)?;
    let aged = issued.map(|issued| issued.checked_add(MAX_AGE).unwrap_or(Timestamp::MAX));
    let ends = [expiry, aged].into_iter().flatten().min();
    if ends.is_some_and(|ends| now.as_second() >= ends.as_second()) {
        return Err(JwtError::Expired);
    }
    if not_before.is_some_and(|start| now.as_second() <= start.as_second()) {
        return Err(JwtError::NotNow);
    }
    Ok(ends)
}

/// A claim in seconds since 1970; an error if it is there and is none, or is out of all range.
pub(crate) fn moment(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, ()> {
    let seconds = match claims.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_f64().ok_or(())?,
        Some(Value::String(text)) => text.parse().map_err(|_| ())?,
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => return Err(()),
    };
    if !seconds.is_finite() {
        return Err(());
    }
    // A cast of a float saturates.
    let seconds = (seconds as i64).clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(seconds).map(Some).map_err(|_| ())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ISSUED_BY_APPWRITE: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiJ1c2VyMSIsInNlc3Npb25JZCI6InNlc3MxIiwiZXhwIjo0MTAyNDQ0ODAwfQ.uFfu90Off0UfrC4h0bDuI6ftH4aSRZWMSJBDCzDqCx4";

    fn jwt() -> AppwriteJwt {
        AppwriteJwt::new(Secret::new("your-secret-key"))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A well-signed token with any header and claims.
    fn signed(header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        format!("{signed}.{}", jwt().signature(&signed).unwrap())
    }

    fn verdict(header: &str, claims: &str) -> Result<Claims, JwtError> {
        jwt().verify(&signed(header, claims), at(1000))
    }

    const HS256: &str = r#"{"alg":"HS256"}"#;

    #[test]
    fn a_token_that_appwrite_issued_verifies() {
        let claims = jwt().verify(ISSUED_BY_APPWRITE, at(1000)).unwrap();
        let expires = Some(at(4_102_444_800));
        assert_eq!(claims, Claims { user: "user1".into(), session: "sess1".into(), expires });
    }

    #[test]
    fn a_token_is_issued_as_appwrite_issues_it() {
        let token = jwt().issue(&"user1".into(), Some("sess1"), at(4_102_444_800)).unwrap();
        assert_eq!(token.expose(), ISSUED_BY_APPWRITE);
    }

    #[test]
    fn a_token_with_too_few_parts_is_incomplete() {
        for token in ["", "a", "a.b", "."] {
            assert_eq!(jwt().verify(token, at(1000)), Err(JwtError::IncompleteSegments), "{token:?}");
        }
    }

    #[test]
    fn the_header_is_judged_before_the_signature() {
        let reason = |header: &str| {
            jwt().verify(&format!("{}.x.forged", URL_SAFE_NO_PAD.encode(header)), at(1000)).unwrap_err()
        };
        assert_eq!(reason("no json"), JwtError::Json);
        assert_eq!(reason("{}"), JwtError::MissingAlgorithm);
        assert_eq!(reason("5"), JwtError::MissingAlgorithm);
        assert_eq!(reason(r#"{"alg":"none"}"#), JwtError::UnsupportedAlgorithm);
        assert_eq!(reason(r#"{"alg":"None"}"#), JwtError::UnsupportedAlgorithm);
        assert_eq!(reason(r#"{"alg":["HS256"]}"#), JwtError::UnsupportedAlgorithm);
        assert_eq!(reason(r#"{"alg":"HS256","kid":"1"}"#), JwtError::UnknownKeyId);
        assert_eq!(reason(HS256), JwtError::SignatureFailed);
    }

    #[test]
    fn an_unsigned_token_is_refused() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let claims = URL_SAFE_NO_PAD.encode(r#"{"userId":"root"}"#);
        let unsigned = format!("{header}.{claims}.");
        assert_eq!(jwt().verify(&unsigned, at(1000)), Err(JwtError::UnsupportedAlgorithm));
        let empty = format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(HS256));
        assert_eq!(jwt().verify(&empty, at(1000)), Err(JwtError::SignatureFailed));
    }

    #[test]
    fn a_token_of_another_key_is_refused() {
        let other = AppwriteJwt::new(Secret::new("other"));
        assert_eq!(other.verify(ISSUED_BY_APPWRITE, at(1000)), Err(JwtError::SignatureFailed));
    }

    #[test]
    fn times_are_judged_in_whole_seconds_without_leeway() {
        let reason = |claims: &str| verdict(HS256, claims).err();
        assert_eq!(reason(r#"{"exp":1001}"#), None);
        assert_eq!(reason(r#"{"exp":1000}"#), Some(JwtError::Expired));
        assert_eq!(reason(r#"{"iat":-2599}"#), None);
        assert_eq!(reason(r#"{"iat":-2600}"#), Some(JwtError::Expired));
        assert_eq!(reason(r#"{"nbf":999}"#), None);
        assert_eq!(reason(r#"{"nbf":1000}"#), Some(JwtError::NotNow));
        assert_eq!(reason(r#"{"exp":null,"iat":null,"nbf":null}"#), None);
        assert_eq!(reason(r#"{"exp":"soon"}"#), Some(JwtError::Expired));
        assert_eq!(reason(r#"{"nbf":{}}"#), Some(JwtError::NotNow));
        assert_eq!(reason(r#"{"exp":1e300,"iat":1e300,"nbf":-1e300}"#), None);
    }

    #[test]
    fn a_token_is_good_until_the_first_of_its_ends() {
        let expires = |claims: &str| verdict(HS256, claims).unwrap().expires;
        assert_eq!(expires("{}"), None);
        assert_eq!(expires(r#"{"exp":2000}"#), Some(at(2000)));
        assert_eq!(expires(r#"{"exp":9000,"iat":900}"#), Some(at(4500)));
    }

    #[test]
    fn a_server_without_a_key_verifies_nothing() {
        let keyless = AppwriteJwt::new(Secret::new(""));
        assert_eq!(keyless.verify(ISSUED_BY_APPWRITE, at(1000)), Err(JwtError::EmptyKey));
    }

    proptest! {
        #[test]
        fn no_token_panics(token in r"[A-Za-z0-9_\-=é.]{0,80}") {
            prop_assert!(jwt().verify(&token, at(1000)).is_err());
        }

        #[test]
        fn no_claims_panic(header in "\\PC*", claims in "\\PC*", exp: f64, iat: i64, nbf: u64) {
            let _ = verdict(&header, &claims);
            let _ = verdict(HS256, &claims);
            let _ = verdict(HS256, &json!({"exp": exp, "iat": iat, "nbf": nbf}).to_string());
        }
    }
}
