//! The database of an Appwrite installation, read as Appwrite's own servers read it.

mod redis;

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, error, info};

use crate::config::{Config, Database, Engine};
use crate::directory::appwrite::Appwrite;
use crate::directory::appwrite::copies::Copies;
use crate::directory::appwrite_jwt::AppwriteJwt;
use crate::directory::mariadb::Mariadb;
#[cfg(feature = "mongodb")]
use crate::directory::mongodb::Mongodb;
use crate::directory::postgres::Postgres;
use crate::directory::{Directory, DirectoryError};
use crate::embedded::{EmbeddedError, appwrite_settings, cached};

/// How often a database is looked for that is not there yet: Appwrite may still be installing.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Why an installation cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// Sessions and keys are sealed with it.
    #[error(
        "the setting `secret` is empty: set it, or _APP_OPENSSL_KEY_V1, to the key of the Appwrite installation, or no \
         session can be verified"
    )]
    NoKey,
    /// Settings that the embedded database knows too.
    #[error(transparent)]
    Settings(#[from] EmbeddedError),
    /// The database.
    #[error(transparent)]
    Database(DirectoryError),
}

fn open(config: &Config, database: &Database) -> Result<Appwrite, InstallationError> {
    let key = &config.secret;
    if key.expose().is_empty() {
        return Err(InstallationError::NoKey);
    }
    let settings = appwrite_settings(config, AppwriteJwt::new(key.clone()))?;
    Ok(match database.engine {
        Engine::Mariadb => Appwrite::mariadb(Mariadb::new(&database.settings), key, settings),
        Engine::Postgres => Appwrite::postgres(Postgres::new(&database.settings), key, settings),
        #[cfg(feature = "mongodb")]
        Engine::Mongodb => {
            tracing::warn!(
                "reading MongoDB has not been tried on a real server yet: watch the log, and tell us what you find"
            );
            let opened = Mongodb::new(&database.settings).map_err(InstallationError::Database)?;
            Appwrite::mongodb(opened, key, settings)
        }
    })
}

/// Looks once whether the installation can be read.
///
/// # Errors
/// What keeps it from being read, and what to do.
pub async fn check(config: &Config, database: &Database) -> Result<(), InstallationError> {
    open(config, database)?.detect().await.map(drop).map_err(InstallationError::Database)
}

/// The directory of an installation. Its database is looked for in the background; until it is found, clients are told
/// to come back later.
///
/// # Errors
/// Settings that cannot work. A database that cannot be reached is none.
pub fn directory(
    config: &Config,
    database: &Database,
    copies: Option<Arc<dyn Copies>>,
) -> Result<Arc<dyn Directory>, InstallationError> {
    let appwrite = open(config, database)?.with_copies(copies, database.named_in_copies());
    let appwrite = Arc::new(appwrite);
    tokio::spawn(look_for(Arc::clone(&appwrite)));
    Ok(cached(appwrite, config))
}

/// Tells which Appwrite was found, or why none is.
async fn look_for(appwrite: Arc<Appwrite>) {
    let mut told = String::new();
    loop {
        match appwrite.detect().await {
            Ok(release) => {
                info!(database = appwrite.name(), appwrite = release, "found the Appwrite installation");
                return;
            }
            Err(error) => {
                let error = error.to_string();
                if error == told {
                    debug!(error, "there is still no Appwrite installation to read");
                } else {
                    error!(error, "cannot read the Appwrite installation; trying again");
                    told = error;
                }
            }
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
