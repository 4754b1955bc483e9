//! JWTs of a backend that has users of its own: the claims say who the user is and what it may read.

mod claims;
mod key;

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, Validation};
use realtime_core::id::ProjectId;
use realtime_core::identity::Account;
use realtime_core::secret::Secret;
use serde::Deserialize;
use serde_json::{Map, Value};

pub use self::key::BackendKeyError;
use self::key::{Key, KeySet};
use super::appwrite_jwt::moment;

/// Verifies a backend's tokens. The algorithm is the key's, never the token's choice.
#[derive(Debug)]
pub struct BackendJwt {
    keys: Vec<Arc<Key>>,
    key_sets: Vec<KeySet>,
    audiences: Vec<String>,
    leeway: SignedDuration,
}

/// How a backend's tokens are verified.
#[derive(Debug, Clone, Default)]
pub struct BackendJwtSettings {
    /// The backend's keys.
    pub keys: Vec<BackendKey>,
    /// Names that this server answers to in the claim `aud`, beside the id of the project connected to. With none
    /// configured, a token needs no `aud`.
    pub audiences: Vec<String>,
    /// How far the backend's clock may be off, for `exp` and `nbf`.
    pub leeway: SignedDuration,
}

/// A key that a backend signs with.
#[derive(Debug, Clone)]
pub enum BackendKey {
    /// A shared secret, for HS256; at least 32 bytes (RFC 7518 §3.2).
    Hs256(Secret),
    /// The text of a public key in PEM: RSA for RS256, P-256 for ES256, Ed25519 for EdDSA.
    PublicPem(String),
    /// A file with a JSON Web Key Set (RFC 7517 §5), read again when it changes.
    KeySetFile(PathBuf),
}

/// Who a verified token speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaker {
    /// The user as the claims have it.
    pub account: Account,
    /// Until when the token is good, leeway included.
    pub expires: Timestamp,
}

/// Why a token does not verify; follows `Failed to verify JWT. `.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BackendJwtError {
    /// Not three base64url parts with JSON in them.
    #[error("Invalid token: Malformed")]
    Malformed,
    /// `none`, or an algorithm that no key is for.
    #[error("Invalid token: Unsupported header algo")]
    UnsupportedAlgorithm,
    /// The header demands that something be understood (RFC 7515 §4.1.11).
    #[error("Invalid token: Unsupported critical header")]
    Critical,
    /// None of the keys that may have made this signature did.
    #[error("Invalid token: Signature failed")]
    SignatureFailed,
    /// `exp` is missing.
    #[error("Invalid token: The claim exp is missing")]
    NoExpiry,
    /// Too old.
    #[error("Invalid token: Expired")]
    Expired,
    /// Not yet good.
    #[error("Invalid token: Not now")]
    NotNow,
    /// `aud` or `project` names somebody else.
    #[error("Invalid token: It is for another project or audience")]
    Audience,
    /// No user id, or one that would not be safe in a role.
    #[error("Invalid token: The claim sub or userId must be the id of a user, without spaces and slashes")]
    User,
    /// Teams or labels that cannot be read, or would not be safe in a role.
    #[error("Invalid token: The claims teams and labels must be lists of names, without spaces and slashes")]
    Rights,
}

/// The parts of a header that decide who verifies a token.
#[derive(Debug, Deserialize)]
pub(crate) struct Header {
    /// The algorithm that the token claims.
    pub(crate) alg: String,
    /// The name of the key.
    #[serde(default)]
    pub(crate) kid: Option<String>,
    #[serde(default)]
    crit: Value,
}

impl Header {
    /// The header of a token, unverified; `None` if there is none to read.
    pub(crate) fn of(token: &str) -> Option<Self> {
        let (header, _) = token.split_once('.')?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()
    }
}

impl BackendJwt {
    /// Reads the keys. A key set is read now and again whenever its file changes.
    pub fn new(settings: BackendJwtSettings) -> Result<Self, BackendKeyError> {
        let mut keys = Vec::new();
        let mut key_sets = Vec::new();
        for key in settings.keys {
            match key {
                BackendKey::Hs256(secret) => keys.push(Arc::new(Key::shared(&secret)?)),
                BackendKey::PublicPem(pem) => keys.push(Arc::new(Key::public(&pem)?)),
                BackendKey::KeySetFile(path) => key_sets.push(KeySet::open(path)?),
            }
        }
        Ok(Self { keys, key_sets, audiences: settings.audiences, leeway: settings.leeway })
    }

    /// Whom a token speaks of, if one of the keys signed it for this project and it is good now.
    pub fn verify(
        &self,
        token: &str,
        project: &ProjectId,
        now: Timestamp,
    ) -> Result<Speaker, BackendJwtError> {
        let claims = self.signed_claims(token)?;
        let expires = self.check_times(&claims, now)?;
        if !self.is_for(&claims, project) {
            return Err(BackendJwtError::Audience);
        }
        Ok(Speaker { account: claims::account(&claims)?, expires })
    }

    fn signed_claims(&self, token: &str) -> Result<Map<String, Value>, BackendJwtError> {
        let header = Header::of(token).ok_or(BackendJwtError::Malformed)?;
        if !header.crit.is_null() {
            return Err(BackendJwtError::Critical);
        }
        let algorithm = match header.alg.as_str() {
            "HS256" => Algorithm::HS256,
            "RS256" => Algorithm::RS256,
            "ES256" => Algorithm::ES256,
            "EdDSA" => Algorithm::EdDSA,
            _ => return Err(BackendJwtError::UnsupportedAlgorithm),
        };
        for key in self.candidates(algorithm, header.kid.as_deref()) {
            match jsonwebtoken::decode(token, key.decoding(), &signature_only(algorithm)) {
                Ok(data) => return Ok(data.claims),
                // The signature is right, but there is no JSON object behind it.
                Err(error) if is_unreadable(&error) => return Err(BackendJwtError::Malformed),
                Err(_) => {}
            }
        }
        Err(BackendJwtError::SignatureFailed)
    }

    /// The keys for an algorithm: those that bear the name, or, if none does, those without a name.
    fn candidates(&self, algorithm: Algorithm, name: Option<&str>) -> Vec<Arc<Key>> {
        let mut keys = self.keys.clone();
        keys.extend(self.key_sets.iter().flat_map(KeySet::keys));
        keys.retain(|key| key.algorithm() == algorithm);
        if name.is_some() {
            let named = keys.iter().any(|key| key.name() == name);
            keys.retain(|key| key.name() == if named { name } else { None });
        }
        keys
    }

    fn check_times(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<Timestamp, BackendJwtError> {
        let expiry = moment(claims, "exp").map_err(|()| BackendJwtError::Expired)?;
        let expires = expiry.ok_or(BackendJwtError::NoExpiry)?.checked_add(self.leeway);
        let expires = expires.unwrap_or(Timestamp::MAX);
        if now >= expires {
            return Err(BackendJwtError::Expired);
        }
        let not_before = moment(claims, "nbf").map_err(|()| BackendJwtError::NotNow)?;
        let latest = now.checked_add(self.leeway).unwrap_or(Timestamp::MAX);
        if not_before.is_some_and(|start| start > latest) {
            return Err(BackendJwtError::NotNow);
        }
        Ok(expires)
    }

    /// Whether the token is meant for the project. Whoever is named in `aud` and is not us must not be spoken for
    /// (RFC 7519 §4.1.3).
    fn is_for(&self, claims: &Map<String, Value>, project: &ProjectId) -> bool {
        let bound = match claims.get("project") {
            None | Some(Value::Null) => true,
            Some(name) => name.as_str() == Some(project.as_str()),
        };
        let is_us = |name: &Value| {
            name.as_str().is_some_and(|name| {
                name == project.as_str() || self.audiences.iter().any(|audience| audience == name)
            })
        };
        let heard = match claims.get("aud") {
            None | Some(Value::Null) => self.audiences.is_empty(),
            Some(Value::Array(names)) => names.iter().any(is_us),
            Some(name) => is_us(name),
        };
        bound && heard
    }
}

/// Times and audience are judged here, by our own clock; the library judges the signature.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

fn is_unreadable(error: &jsonwebtoken::errors::Error) -> bool {
    matches!(error.kind(), jsonwebtoken::errors::ErrorKind::Json(_))
}

#[cfg(test)]
mod tests;
