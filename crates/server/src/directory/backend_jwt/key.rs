//! A backend's keys: each knows its one algorithm.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use realtime_core::secret::Secret;
use serde::Deserialize;
use serde_json::Value;
use tracing::{info, warn};

/// A key, the one algorithm it is for, and its name in a key set.
pub(super) struct Key {
    name: Option<String>,
    algorithm: Algorithm,
    decoding: DecodingKey,
}

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendKeyError {
    /// Too short to be safe.
    #[error("the HS256 secret has {0} bytes; use 32 or more, for example from `openssl rand -hex 32`")]
    ShortSecret(usize),
    /// A key was given as the shared secret. Were it public, whoever knows it could sign.
    #[error("the HS256 secret is a key in PEM; give it as a public key instead")]
    PemAsSecret,
    /// A private key, which who only verifies must not have.
    #[error("this is a private key; give the public one (`openssl pkey -in private.pem -pubout`)")]
    PrivateKey,
    /// Not a key for any of the algorithms.
    #[error("this is no public key in PEM for RS256 (RSA), ES256 (P-256) or EdDSA (Ed25519)")]
    UnknownKey,
    /// A key set that cannot be read.
    #[error("cannot read the JSON Web Key Set {}: {reason}", .path.display())]
    KeySet {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The smallest HS256 secret, in bytes (RFC 7518 §3.2).
const SHORTEST_SECRET: usize = 32;
/// Length of an Ed25519 public key in bytes (RFC 8032 §5.1.5).
const ED25519_LENGTH: usize = 32;

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// A shared secret.
    pub(super) fn shared(secret: &Secret) -> Result<Self, BackendKeyError> {
        let bytes = secret.expose().as_bytes();
        if secret.expose().contains("-----BEGIN") {
            return Err(BackendKeyError::PemAsSecret);
        }
        if bytes.len() < SHORTEST_SECRET {
            return Err(BackendKeyError::ShortSecret(bytes.len()));
        }
        Ok(Self { name: None, algorithm: Algorithm::HS256, decoding: DecodingKey::from_secret(bytes) })
    }

    /// A public key in PEM.
    pub(super) fn public(pem: &str) -> Result<Self, BackendKeyError> {
        if pem.contains("PRIVATE KEY") {
            return Err(BackendKeyError::PrivateKey);
        }
        let pem = pem.as_bytes();
        // Ed25519 and EC first: the RSA reader takes any PKCS#1 text.
        let (algorithm, decoding) = DecodingKey::from_ed_pem(pem)
            .map(|key| (Algorithm::EdDSA, key))
            .or_else(|_| DecodingKey::from_ec_pem(pem).map(|key| (Algorithm::ES256, key)))
            .or_else(|_| DecodingKey::from_rsa_pem(pem).map(|key| (Algorithm::RS256, key)))
            .map_err(|_| BackendKeyError::UnknownKey)?;
        let key = Self { name: None, algorithm, decoding };
        if key.is_sound() { Ok(key) } else { Err(BackendKeyError::UnknownKey) }
    }

    /// A key of a key set, or why it is of no use here.
    fn from_set(jwk: &Jwk) -> Result<Self, &'static str> {
        if jwk.common.public_key_use.as_ref().is_some_and(|is_for| *is_for != PublicKeyUse::Signature) {
            return Err("it is not for signatures");
        }
        let (algorithm, named) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            AlgorithmParameters::OctetKey(_) => {
                return Err("it is a shared secret, which belongs in a setting of its own");
            }
            AlgorithmParameters::EllipticCurve(_)
            | AlgorithmParameters::OctetKeyPair(_)
            | AlgorithmParameters::Other(_)
            | _ => return Err("its curve or type is not supported"),
        };
        if jwk.common.key_algorithm.is_some_and(|algorithm| algorithm != named) {
            return Err("its algorithm is not RS256, ES256 or EdDSA");
        }
        let decoding = DecodingKey::from_jwk(jwk).map_err(|_| "it cannot be read")?;
        let key = Self { name: jwk.common.key_id.clone(), algorithm, decoding };
        if key.is_sound() { Ok(key) } else { Err("it is not a key of its type") }
    }

    /// Whether the key can be used at all. An Ed25519 key of another length would make the library panic.
    fn is_sound(&self) -> bool {
        let length_fits = self.decoding.family() != AlgorithmFamily::Ed
            || self.decoding.try_get_as_bytes().is_ok_and(|bytes| bytes.len() == ED25519_LENGTH);
        length_fits && jsonwebtoken::crypto::verify("", b"", &self.decoding, self.algorithm).is_ok()
    }

    /// Its name in a key set (`kid`).
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The only algorithm it verifies.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key itself.
    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }
}

/// A file of keys that follows its changes.
#[derive(Debug)]
pub(super) struct KeySet {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    keys: Vec<Arc<Key>>,
    stamp: Option<Stamp>,
}

/// Tells one content of a file from another: when it was written, and its length.
type Stamp = (SystemTime, u64);

impl KeySet {
    /// Reads a key set.
    pub(super) fn open(path: PathBuf) -> Result<Self, BackendKeyError> {
        let stamp = stamp(&path);
        match read(&path) {
            Ok(keys) => Ok(Self { path, state: Mutex::new(State { keys, stamp }) }),
            Err(reason) => Err(BackendKeyError::KeySet { path, reason }),
        }
    }

    /// The keys in the file as it is now; the last good ones while it cannot be read.
    pub(super) fn keys(&self) -> Vec<Arc<Key>> {
        let stamp = stamp(&self.path);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.stamp != stamp {
            state.stamp = stamp;
            match read(&self.path) {
                Ok(keys) => {
                    info!(path = %self.path.display(), keys = keys.len(), "read the changed key set");
                    state.keys = keys;
                }
                Err(reason) => {
                    let path = self.path.display();
                    warn!(%path, reason, "cannot read the changed key set; the keys from before stay");
                }
            }
        }
        state.keys.clone()
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(path: &Path) -> Result<Vec<Arc<Key>>, String> {
    #[derive(Deserialize)]
    struct File {
        keys: Vec<Value>,
    }
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let file: File = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let mut keys = Vec::new();
    for (index, value) in file.keys.into_iter().enumerate() {
        let jwk: Result<Jwk, _> = serde_json::from_value(value);
        match jwk.map_err(|_| "it is no JSON Web Key").and_then(|jwk| Key::from_set(&jwk)) {
            Ok(key) => keys.push(Arc::new(key)),
            Err(reason) => warn!(path = %path.display(), index, reason, "a key of the set is left out"),
        }
    }
    if keys.is_empty() {
        return Err("it has no key for RS256, ES256 or EdDSA".to_owned());
    }
    Ok(keys)
}
