//! What a client shows to say who it is.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::error::Error;

/// What a client shows to say who it is. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    kind: Kind,
    token: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Session,
    Jwt,
}

/// The claims that say how long a token lasts (RFC 7519 §4.1.4, §4.1.6).
#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
    iat: Option<f64>,
}

impl Credential {
    /// The token of an Appwrite session.
    pub fn session(token: impl Into<String>) -> Result<Self, Error> {
        Self::new(Kind::Session, &token.into())
    }

    /// A JSON Web Token: from Appwrite's `account.createJWT`, or of a backend with users of its own.
    pub fn jwt(token: impl Into<String>) -> Result<Self, Error> {
        Self::new(Kind::Jwt, &token.into())
    }

    fn new(kind: Kind, token: &str) -> Result<Self, Error> {
        let token = token.trim();
        let visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        if visible { Ok(Self { kind, token: token.to_owned() }) } else { Err(Error::Credential) }
    }

    /// How much longer it is good, if it says so; `unix_now` is the time since 1970. A clock that goes wrong makes it no
    /// longer than the time that the issuer gave it.
    pub fn lasts(&self, unix_now: Duration) -> Option<Duration> {
        let Kind::Jwt = self.kind else { return None };
        let claims = URL_SAFE_NO_PAD.decode(self.token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
        let claims: Claims = serde_json::from_slice(&claims).ok()?;
        let expires = claims.exp?;
        let left = expires - unix_now.as_secs_f64();
        let issued_for = claims.iat.map_or(left, |issued| expires - issued);
        Some(Duration::try_from_secs_f64(left.min(issued_for).max(0.0)).unwrap_or(Duration::MAX))
    }

    pub(crate) fn is_session(&self) -> bool {
        self.kind == Kind::Session
    }

    /// The header that shows it in a request, and its key in an `authentication` message.
    pub(crate) fn names(&self) -> (&'static str, &'static str) {
        match self.kind {
            Kind::Session => ("x-appwrite-session", "session"),
            Kind::Jwt => ("x-appwrite-jwt", "jwt"),
        }
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential::{:?}(…)", self.kind)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn lasts(claims: &str, unix_now: u64) -> Option<u64> {
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        let lasts = Credential::jwt(token).unwrap().lasts(Duration::from_secs(unix_now));
        lasts.map(|lasts| lasts.as_secs())
    }

    #[test]
    fn a_token_lasts_until_it_expires_but_no_longer_than_it_was_issued_for() {
        assert_eq!(lasts(r#"{"exp":1000}"#, 900), Some(100));
        assert_eq!(lasts(r#"{"exp":1000,"iat":400}"#, 900), Some(100));
        assert_eq!(lasts(r#"{"exp":1000,"iat":950}"#, 0), Some(50), "the clock stands at 1970");
        assert_eq!(lasts(r#"{"exp":1000}"#, 2000), Some(0));
        assert_eq!(lasts(r#"{"exp":1e300}"#, 0), Some(u64::MAX));
    }

    #[test]
    fn a_token_that_does_not_say_lasts_nobody_knows_how_long() {
        for claims in [r#"{}"#, r#"{"exp":"soon"}"#, "[]", "not JSON", ""] {
            assert_eq!(lasts(claims, 0), None, "{claims}");
        }
        assert_eq!(Credential::jwt("no-dots").unwrap().lasts(Duration::ZERO), None);
        assert_eq!(Credential::session("e30.e30.e30").unwrap().lasts(Duration::ZERO), None);
    }

    #[test]
    fn a_credential_is_not_printed_and_has_no_line_breaks() {
        let shown = format!("{:?}", Credential::session("hunter2\n").unwrap());
        assert_eq!(shown, "Credential::Session(…)");
        assert_eq!(Credential::jwt("a\r\nx-evil: 1"), Err(Error::Credential));
        assert_eq!(Credential::jwt(""), Err(Error::Credential));
    }
}
