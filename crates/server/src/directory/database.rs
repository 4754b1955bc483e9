//! How to reach the database of an Appwrite installation.

use std::path::PathBuf;
use std::time::Duration;

use realtime_core::secret::Secret;

use super::DirectoryError;

/// Where the database is and how it lets us in.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// Host name or address (Appwrite `_APP_DB_HOST`).
    pub host: String,
    /// TCP port (Appwrite `_APP_DB_PORT`).
    pub port: u16,
    /// MariaDB: the schema up to Appwrite 1.8. PostgreSQL: the database (Appwrite `_APP_DB_SCHEMA`).
    pub schema: String,
    /// Who we are (Appwrite `_APP_DB_USER`).
    pub user: String,
    /// Its password, if it has one (Appwrite `_APP_DB_PASS`).
    pub password: Option<Secret>,
    /// Whether the link is encrypted.
    pub tls: Tls,
    /// A file with the certificate authorities (PEM) that its certificate is checked against, in place of the public ones.
    pub certificates: Option<PathBuf>,
    /// Connections at most; look-ups beyond it wait.
    pub connections: u32,
    /// How long a look-up may take, waiting for a connection included.
    pub timeout: Duration,
}

/// Whether a link is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Never.
    Off,
    /// If the database offers it; whoever answers is believed.
    Prefer,
    /// Always; whoever answers is believed.
    Require,
    /// Always, and the database proves by its certificate that it is the one that was meant.
    Verify,
}

/// The schema that Appwrite uses from 1.9 on, whatever its settings say.
pub(super) const SCHEMA: &str = "appwrite";
/// The table by which an installation is recognized.
pub(super) const LANDMARK: &str = "_console_projects";

/// How many statements each connection keeps prepared. Projects have tables of their own, so there is no end to them;
/// MariaDB allows 16,382 for all its clients together.
pub(super) const STATEMENTS: usize = 100;

/// What a database that failed means for whoever asked.
pub(super) fn unavailable(directory: &'static str, error: &sqlx::Error) -> DirectoryError {
    // A certificate that is not trusted comes as an error of the link.
    let is_of_rustls =
        |error: &std::io::Error| error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    let advice = if matches!(error, sqlx::Error::Tls(_))
        || matches!(error, sqlx::Error::Io(error) if is_of_rustls(error))
    {
        "check database.tls and database.certificates, and that the certificate is for database.host"
    } else if matches!(error, sqlx::Error::PoolTimedOut) {
        "nothing answers at database.host and database.port (_APP_DB_HOST, _APP_DB_PORT), or every connection is busy: look \
         at the load of the database, or raise database.connections"
    } else if matches!(error, sqlx::Error::Database(_)) {
        "check database.user, database.password and database.schema (_APP_DB_USER, _APP_DB_PASS, _APP_DB_SCHEMA) and \
         what that user may read"
    } else {
        "check database.host and database.port (_APP_DB_HOST, _APP_DB_PORT) and that the database runs there"
    };
    DirectoryError::Unavailable { directory, reason: format!("{error}; {advice}") }
}

/// A look-up that took too long.
pub(super) fn late(directory: &'static str, timeout: Duration) -> DirectoryError {
    let reason =
        format!("no answer within {timeout:?}; look at the database's load, or raise database.timeout");
    DirectoryError::Unavailable { directory, reason }
}

/// There is a database, but no Appwrite in it.
pub(super) fn no_installation(directory: &'static str, schema: &str) -> DirectoryError {
    let reason = format!(
        "there is no table {LANDMARK} in the schemas `{SCHEMA}` and `{schema}`; let Appwrite finish its installation, \
         or correct database.schema (_APP_DB_SCHEMA)"
    );
    DirectoryError::Unavailable { directory, reason }
}
