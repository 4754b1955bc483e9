//! The embedded database: Appwrite's tables in one SQLite file.

mod key;
mod platform;
mod project;
mod schema;
mod session;
mod team;
mod user;

use std::fmt;
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rand::RngExt as _;
use realtime_core::id::ProjectId;
use realtime_core::secret::Secret;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Row as _, Sqlite as Engine, SqliteConnection, SqlitePool, Transaction};

use super::appwrite::rows::{MAX_ROWS, Row, Rows, Select, Space, Write, Written, stored_time};
use super::cipher::Cipher;
use super::clock::Clock;
use super::write::{Dialect, statement};
use super::{DirectoryError, Lookup};

pub use self::key::{KeyEntry, NewKey};
pub use self::platform::PlatformEntry;
pub use self::project::ProjectEntry;
pub use self::session::{NewSession, SessionEntry};
pub use self::team::{MembershipEntry, NewMembership, TeamEntry};
pub use self::user::{NewUser, UserChange, UserEntry};

/// The embedded database. Reading it is [`Appwrite`](super::appwrite::Appwrite)'s job; its own methods write it.
///
/// Cheap to clone: clones share the connections. Other processes may use the file at the same time.
#[derive(Clone)]
pub struct Sqlite {
    pool: SqlitePool,
    cipher: Cipher,
    clock: Arc<dyn Clock>,
}

/// Why the embedded database did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqliteError {
    /// The file or its folder cannot be made or opened.
    #[error("cannot open the database {}: {reason}; check the path and that you may write there", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A SQLite database of something else.
    #[error("{} is a database of another program; name another file", .0.display())]
    Foreign(PathBuf),
    /// Written by a newer release.
    #[error(
        "{} has schema version {found}, and this release knows {known} at most; use a newer release, or restore \
         the copy from before the upgrade",
        .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest that this release knows.
        known: i64,
    },
    /// The thing that was named is not there.
    #[error("there is no {what} {id:?} in {place}; list what there is with `realtime {}`", lister_of(.what))]
    Unknown {
        /// What sort of thing.
        what: &'static str,
        /// Its id.
        id: String,
        /// Where it was looked for.
        place: String,
    },
    /// Something with this name is there already.
    #[error("the {what} {id:?} exists already; choose another, or remove that one first")]
    Taken {
        /// What sort of thing.
        what: &'static str,
        /// Its id, e-mail address or so.
        id: String,
    },
    /// An id that Appwrite would not take.
    #[error(
        "{0:?} is no id: use 1 to 36 of a-z, A-Z, 0-9, dot, dash and underscore, and begin with a letter or digit"
    )]
    BadId(String),
    /// A value that would make no sense.
    #[error("{what} cannot be {value:?}: {advice}")]
    BadValue {
        /// What it was for.
        what: &'static str,
        /// What was given.
        value: String,
        /// What to give instead.
        advice: &'static str,
    },
    /// The console is built in.
    #[error("the console project is built in: it can be neither made nor removed")]
    Console,
    /// The database failed.
    #[error("the database failed to {doing}: {reason}")]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        reason: String,
    },
}

/// What lists things of this sort on the command line.
fn lister_of(what: &str) -> String {
    match what {
        "membership" => "team members".to_owned(),
        "development key" => "key list --dev".to_owned(),
        what => format!("{what} list"),
    }
}

/// How long a writer waits for another one, in this process or elsewhere.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections at most. Each is a thread; readers do not wait for the writer.
const MAX_CONNECTIONS: u32 = 4;
/// The longest id that Appwrite takes.
const LONGEST_ID: usize = 36;
/// Characters of an id that is drawn, as Appwrite's `ID.unique()` has them.
const DRAWN_ID: usize = 20;
/// Characters of a secret (Appwrite `TOKEN_LENGTH_*`): 128 random bytes in hexadecimal.
const SECRET_BYTES: usize = 128;

/// A change under way; nothing of it stays unless it is committed.
type Change = Transaction<'static, Engine>;

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite")
            .field("path", &self.pool.connect_options().get_filename())
            .finish_non_exhaustive()
    }
}

impl Sqlite {
    /// Opens the database, makes it if there is none (readable by its owner alone), and brings its tables up to date.
    pub async fn open(path: &Path, cipher: Cipher, clock: Arc<dyn Clock>) -> Result<Self, SqliteError> {
        create_private(path)
            .map_err(|error| SqliteError::Open { path: path.to_owned(), reason: error.to_string() })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY_TIMEOUT)
            // Appwrite's tables refer to each other by convention, not by constraint.
            .foreign_keys(false);
        let pool = SqlitePoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .connect_with(options)
            .await
            .map_err(|error| SqliteError::Open { path: path.to_owned(), reason: error.to_string() })?;
        let database = Self { pool, cipher, clock };
        database.migrate(path).await?;
        Ok(database)
    }

    /// Waits for what is under way, and closes the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// What seals its secrets.
    pub(super) fn cipher(&self) -> &Cipher {
        &self.cipher
    }

    /// What time it goes by.
    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Begins a change, as the only writer.
    async fn change(&self) -> Result<Change, SqliteError> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed("begin a change"))
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn seal(&self, secret: &Secret) -> Result<String, SqliteError> {
        self.cipher
            .seal(secret)
            .map_err(|error| SqliteError::Failed { doing: "seal a secret", reason: error.to_string() })
    }
}

impl Rows for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    /// The embedded database is one server's.
    fn share_counts<'a>(&'a self, _: &'a str, counts: &'a str) -> Lookup<'a, Vec<String>> {
        Box::pin(async { Ok(vec![counts.to_owned()]) })
    }

    /// The embedded tables are those of the newest Appwrite, without those that repeat permissions for searching.
    fn has<'a>(&'a self, _: &'a Space, collection: &'static str, _: &'static str) -> Lookup<'a, bool> {
        Box::pin(async move { Ok(!collection.ends_with("_perms")) })
    }

    fn write<'a>(&'a self, space: &'a Space, writes: &'a [Write<'a>]) -> Lookup<'a, Written> {
        Box::pin(async move {
            write(&self.pool, space, writes).await.map_err(|error| DirectoryError::Unavailable {
                directory: self.name(),
                reason: format!("{error}; check the file and the disk it is on"),
            })
        })
    }

    fn select<'a>(&'a self, selection: Select<'a>) -> Lookup<'a, Vec<Row>> {
        Box::pin(async move {
            match read(&self.pool, selection).await {
                Ok(rows) => Ok(rows),
                // The project was removed between two reads.
                Err(error) if is_missing_table(&error) => Ok(Vec::new()),
                Err(error) => Err(DirectoryError::Unavailable {
                    directory: self.name(),
                    reason: format!("{error}; check the file and the disk it is on"),
                }),
            }
        })
    }
}

async fn read(pool: &SqlitePool, selection: Select<'_>) -> Result<Vec<Row>, sqlx::Error> {
    let columns: Vec<_> =
        selection.columns.iter().map(|column| format!("CAST(\"{column}\" AS TEXT)")).collect();
    let mut filters: Vec<_> = selection.filtered().map(|column| format!("\"{column}\" = ?")).collect();
    filters.extend(selection.before.map(|(column, _)| format!("\"{column}\" < ?")));
    let statement = format!(
        "SELECT {} FROM \"{}\" WHERE {} ORDER BY _id LIMIT {MAX_ROWS}",
        columns.join(", "),
        selection.space.table(selection.collection),
        filters.join(" AND "),
    );
    let mut query = sqlx::query(AssertSqlSafe(statement));
    for value in selection.values() {
        query = query.bind(value);
    }
    let mut rows = Vec::new();
    for row in query.fetch_all(pool).await? {
        let cells: Result<_, _> = (0..selection.columns.len()).map(|index| row.try_get(index)).collect();
        rows.push(Row::new(selection.columns, cells?));
    }
    Ok(rows)
}

async fn write(pool: &SqlitePool, space: &Space, writes: &[Write<'_>]) -> Result<Written, sqlx::Error> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let mut found = Vec::with_capacity(writes.len());
    for write in writes {
        // Every column is there, so that there always is a statement.
        let Some(statement) = statement(&Spelling, space, write, None) else { continue };
        let mut query = sqlx::query(AssertSqlSafe(statement.text));
        for value in statement.values {
            query = query.bind(value);
        }
        match query.execute(&mut *transaction).await {
            Ok(done) => found.push(done.rows_affected()),
            Err(error) if is_taken(&error) => return Ok(Written::Taken),
            Err(error) => return Err(error),
        }
    }
    transaction.commit().await?;
    Ok(Written::Rows(found))
}

/// SQLite's spelling of what is written.
struct Spelling;

impl Dialect for Spelling {
    fn table(&self, name: &str) -> String {
        format!("\"{name}\"")
    }

    fn column(&self, name: &str) -> String {
        format!("\"{name}\"")
    }

    fn value(&self, _: &str, _: usize) -> String {
        "?".to_owned()
    }
}

fn is_taken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}

fn is_missing_table(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.message().starts_with("no such table"))
}

/// Makes an empty file and its folder, for nobody's eyes but the owner's. SQLite gives its other files the same mode.
fn create_private(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

fn failed(doing: &'static str) -> impl Fn(sqlx::Error) -> SqliteError {
    move |error| SqliteError::Failed { doing, reason: error.to_string() }
}

/// Turns the breach of a unique index into the thing that is taken.
fn taken(what: &'static str, id: &str, doing: &'static str) -> impl Fn(sqlx::Error) -> SqliteError {
    move |error| match error.as_database_error() {
        Some(breach) if breach.is_unique_violation() => SqliteError::Taken { what, id: id.to_owned() },
        _ => failed(doing)(error),
    }
}

/// The id that was asked for, if Appwrite would take it, or one that is drawn.
fn id_or_drawn(id: Option<&str>) -> Result<String, SqliteError> {
    match id {
        Some(id) if is_id(id) => Ok(id.to_owned()),
        Some(id) => Err(SqliteError::BadId(id.to_owned())),
        None => Ok(random_hex::<{ DRAWN_ID / 2 }>()),
    }
}

fn is_id(id: &str) -> bool {
    id.len() <= LONGEST_ID
        && id.starts_with(|first: char| first.is_ascii_alphanumeric())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

fn random_hex<const N: usize>() -> String {
    super::cipher::hex_of(&rand::rng().random::<[u8; N]>())
}

/// A secret as Appwrite draws them: 256 characters.
fn drawn_secret() -> String {
    random_hex::<SECRET_BYTES>()
}

/// The tables of a project, which must be there.
async fn space_of(connection: &mut SqliteConnection, project: &ProjectId) -> Result<Space, SqliteError> {
    if project.is_console() {
        return Ok(Space::console());
    }
    Ok(Space::numbered(&sequence_of(connection, project).await?))
}

/// A project's `$sequence`.
async fn sequence_of(connection: &mut SqliteConnection, project: &ProjectId) -> Result<String, SqliteError> {
    if project.is_console() {
        return Ok(ProjectId::CONSOLE.to_owned());
    }
    let found = sqlx::query_scalar("SELECT CAST(_id AS TEXT) FROM _console_projects WHERE _uid = ?")
        .bind(project.as_str())
        .fetch_optional(connection)
        .await
        .map_err(failed("look up a project"))?;
    found.ok_or_else(|| SqliteError::Unknown {
        what: "project",
        id: project.to_string(),
        place: "this database".to_owned(),
    })
}

/// The `$sequence` of something in a project's table.
async fn sequence_in(
    connection: &mut SqliteConnection,
    space: &Space,
    collection: &str,
    what: &'static str,
    (project, id): (&ProjectId, &str),
) -> Result<String, SqliteError> {
    let statement = format!("SELECT CAST(_id AS TEXT) FROM \"{}\" WHERE _uid = ?", space.table(collection));
    let found = sqlx::query_scalar(AssertSqlSafe(statement))
        .bind(id)
        .fetch_optional(connection)
        .await
        .map_err(failed("look something up"))?;
    found.ok_or_else(|| unknown(what, id, project))
}

fn unknown(what: &'static str, id: &str, project: &ProjectId) -> SqliteError {
    SqliteError::Unknown { what, id: id.to_owned(), place: format!("project {project}") }
}

/// Deletes what refers to something; returns how many rows that were.
async fn delete(
    connection: &mut SqliteConnection,
    table: &str,
    column: &str,
    value: &str,
) -> Result<u64, SqliteError> {
    let statement = format!("DELETE FROM \"{table}\" WHERE \"{column}\" = ?");
    let done = sqlx::query(AssertSqlSafe(statement)).bind(value).execute(connection).await;
    Ok(done.map_err(failed("delete rows"))?.rows_affected())
}

#[cfg(test)]
mod tests;
