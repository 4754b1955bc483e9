//! The embedded database of a data folder, and the key that its secrets are encrypted with.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::SignedDuration;
use realtime_core::secret::Secret;

use crate::config::Config;
use crate::directory::Directory;
use crate::directory::appwrite::{Appwrite, AppwriteSettings};
use crate::directory::appwrite_jwt::AppwriteJwt;
use crate::directory::backend_jwt::{BackendJwt, BackendJwtSettings, BackendKey, BackendKeyError};
use crate::directory::cache::{Cache, Keeps};
use crate::directory::cipher::Cipher;
use crate::directory::clock::SystemClock;
use crate::directory::sqlite::{Sqlite, SqliteError};

/// The database's name in the data folder.
const DATABASE: &str = "realtime.db";
/// The key's name in the data folder.
const KEY: &str = "secret.key";
/// Random bytes of a key that is made: what HMAC-SHA-256 makes full use of (RFC 7518 §3.2).
const KEY_BYTES: usize = 32;

/// A data folder that is open.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// Reads and writes projects, users and the rest.
    pub database: Sqlite,
    /// Issues and verifies JWTs.
    pub jwt: AppwriteJwt,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The folder or the key in it.
    #[error("cannot use {}: {source}; choose another folder with --data-dir, or mend its permissions", .path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database in it.
    #[error(transparent)]
    Database(#[from] SqliteError),
    /// A file that should hold a public key.
    #[error("cannot read the public key {}: {source}; mend the setting `jwt.public_keys`", .path.display())]
    PublicKey {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A key that verifies other backends' JWTs.
    #[error("a key among the settings `jwt.*` cannot be used: {0}")]
    BackendKey(#[from] BackendKeyError),
}

impl Embedded {
    /// Whether there is a database in this folder.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(DATABASE).exists()
    }

    /// Opens the data folder, making what is not there yet.
    pub async fn open(config: &Config) -> Result<Self, EmbeddedError> {
        let folder = &config.data_dir;
        make_folder(folder).map_err(|source| EmbeddedError::Folder { path: folder.clone(), source })?;
        let secret = if config.secret.expose().is_empty() {
            let path = folder.join(KEY);
            kept_key(&path).map_err(|source| EmbeddedError::Folder { path, source })?
        } else {
            config.secret.clone()
        };
        let database =
            Sqlite::open(&folder.join(DATABASE), Cipher::new(&secret), Arc::new(SystemClock)).await?;
        Ok(Self { database, jwt: AppwriteJwt::new(secret) })
    }

    /// The directory to serve from.
    pub fn directory(&self, config: &Config) -> Result<Arc<dyn Directory>, EmbeddedError> {
        let settings = appwrite_settings(config, self.jwt.clone())?;
        Ok(cached(Arc::new(Appwrite::sqlite(self.database.clone(), settings)), config))
    }
}

/// How a directory with Appwrite's tables is to understand them.
///
/// # Errors
/// Keys of other backends that cannot be read.
pub(crate) fn appwrite_settings(
    config: &Config,
    jwt: AppwriteJwt,
) -> Result<AppwriteSettings, EmbeddedError> {
    Ok(AppwriteSettings {
        jwt,
        backend: backend_jwt(config)?,
        region: config.engine.region.clone(),
        console_users_need_membership: config.users.admin_needs_membership,
        refuse_blocked: config.users.refuse_blocked,
        trusted_projects: config.users.trusted_projects.clone(),
        shared_tables: config.users.shared_tables.clone(),
    })
}

/// The directory behind a cache.
pub(crate) fn cached(directory: Arc<dyn Directory>, config: &Config) -> Arc<dyn Directory> {
    let cache = &config.cache;
    let signed = |keeps| SignedDuration::try_from(keeps).unwrap_or(SignedDuration::MAX);
    let keeps = Keeps { projects: signed(cache.projects), identities: signed(cache.identities) };
    Arc::new(Cache::new(directory, keeps, Arc::new(SystemClock)))
}

fn backend_jwt(config: &Config) -> Result<Option<BackendJwt>, EmbeddedError> {
    let jwt = &config.jwt;
    let mut keys = Vec::new();
    if !jwt.hs256_secret.expose().is_empty() {
        keys.push(BackendKey::Hs256(jwt.hs256_secret.clone()));
    }
    for path in &jwt.public_keys {
        let text = std::fs::read_to_string(path)
            .map_err(|source| EmbeddedError::PublicKey { path: path.clone(), source })?;
        keys.push(BackendKey::PublicPem(text));
    }
    keys.extend(jwt.key_set.clone().map(BackendKey::KeySetFile));
    if keys.is_empty() {
        return Ok(None);
    }
    let leeway = SignedDuration::try_from(jwt.leeway).unwrap_or(SignedDuration::MAX);
    let settings = BackendJwtSettings { keys, audiences: jwt.audiences.clone(), leeway };
    Ok(Some(BackendJwt::new(settings)?))
}

#[cfg(unix)]
fn make_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make_folder(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// The key in this file, made and written if there is none.
fn kept_key(path: &Path) -> io::Result<Secret> {
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(Secret::new(text.trim())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let key = URL_SAFE_NO_PAD.encode(rand::random::<[u8; KEY_BYTES]>());
    write_private(path, &key)?;
    Ok(Secret::new(key))
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    io::Write::write_all(&mut options.open(path)?, text.as_bytes())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_made_is_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(KEY);
        let first = kept_key(&path).unwrap();
        assert_eq!(kept_key(&path).unwrap(), first);
        assert!(first.expose().len() >= KEY_BYTES);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_the_key() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(KEY);
        kept_key(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
