//! The tables, and how a file of an older release becomes one of this.

use std::path::Path;

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::{Sqlite, SqliteError, failed};
use crate::directory::appwrite::rows::Space;

/// Marks the file as ours (SQLite `application_id`): "RTIM".
const APPLICATION_ID: i64 = 0x5254_494d;

/// What makes a file of one version from a file of the version before. Versions are counted in SQLite's
/// `user_version`; a step is never changed after its release, only followed by another.
struct Step {
    /// Tables that only the console has.
    console: &'static str,
    /// Tables of every project and of the console. `{space}` stands for whose they are.
    space: &'static str,
}

/// Names, meaning and spelling of tables and columns are Appwrite's, so that one reader serves every database. Times
/// are texts in UTC, booleans are 0 and 1, arrays are JSON, and `_id` is never used twice.
const STEPS: &[Step] = &[Step { console: CONSOLE_1, space: SPACE_1 }];

const CONSOLE_1: &str = r#"
CREATE TABLE "_console_projects" (
  "_id" INTEGER PRIMARY KEY AUTOINCREMENT, "_uid" TEXT NOT NULL UNIQUE, "_createdAt" TEXT, "_updatedAt" TEXT,
  "_permissions" TEXT, "teamInternalId" TEXT, "teamId" TEXT, "name" TEXT, "region" TEXT, "description" TEXT,
  "database" TEXT, "version" TEXT, "accessedAt" TEXT, "services" TEXT, "apis" TEXT, "auths" TEXT, "search" TEXT,
  "labels" TEXT, "status" TEXT
);
CREATE TABLE "_console_platforms" (
  "_id" INTEGER PRIMARY KEY AUTOINCREMENT, "_uid" TEXT NOT NULL UNIQUE, "_createdAt" TEXT, "_updatedAt" TEXT,
  "_permissions" TEXT, "projectInternalId" TEXT, "projectId" TEXT, "type" TEXT, "name" TEXT, "key" TEXT,
  "store" TEXT, "hostname" TEXT
);
CREATE INDEX "_console_platforms_project" ON "_console_platforms" ("projectInternalId");
CREATE TABLE "_console_keys" (
  "_id" INTEGER PRIMARY KEY AUTOINCREMENT, "_uid" TEXT NOT NULL UNIQUE, "_createdAt" TEXT, "_updatedAt" TEXT,
  "_permissions" TEXT, "resourceType" TEXT, "resourceId" TEXT, "resourceInternalId" TEXT, "name" TEXT,
  "scopes" TEXT, "secret" TEXT, "expire" TEXT, "accessedAt" TEXT, "sdks" TEXT
);
CREATE INDEX "_console_keys_resource" ON "_console_keys" ("resourceType", "resourceInternalId");
CREATE TABLE "_console_devKeys" (
  "_id" INTEGER PRIMARY KEY AUTOINCREMENT, "_uid" TEXT NOT NULL UNIQUE, "_createdAt" TEXT, "_updatedAt" TEXT,
  "_permissions" TEXT, "projectInternalId" TEXT, "projectId" TEXT, "name" TEXT, "secret" TEXT, "expire" TEXT,
  "accessedAt" TEXT, "sdks" TEXT
);
CREATE INDEX "_console_devKeys_project" ON "_console_devKeys" ("projectInternalId");
CREATE TABLE "_console_rules" (
  "_id" INTEGER PRIMARY KEY AUTOINCREMENT, "_uid" TEXT NOT NULL UNIQUE, "_createdAt" TEXT, "_updatedAt" TEXT,
  "_permissions" TEXT, "projectId" TEXT, "projectInternalId" TEXT, "domain" TEXT UNIQUE, "type" TEXT,
  "status" TEXT, "owner" TEXT, "region" TEXT
);
CREATE INDEX "_console_rules_project" ON "_console_rules" ("projectInternalId");
CREATE TABLE "_console_realtime" (
  "_id" INTEGER PRIMARY KEY AUTOINCREMENT, "_uid" TEXT NOT NULL UNIQUE, "_createdAt" TEXT, "_updatedAt" TEXT,
  "_permissions" TEXT, "container" TEXT, "timestamp" TEXT, "value" TEXT
);
CREATE INDEX "_console_realtime_timestamp" ON "_console_realtime" ("timestamp");
"#;

const SPACE_1: &str = r#"
CREATE TABLE "{space}_users" (
  "_id" INTEGER PRIMARY KEY AUTOINCREMENT, "_uid" TEXT NOT NULL UNIQUE, "_createdAt" TEXT, "_updatedAt" TEXT,
  "_permissions" TEXT, "name" TEXT, "email" TEXT UNIQUE, "phone" TEXT UNIQUE, "status" INTEGER, "labels" TEXT,
  "passwordUpdate" TEXT, "prefs" TEXT, "registration" TEXT, "emailVerification" INTEGER,
  "phoneVerification" INTEGER, "mfa" INTEGER, "search" TEXT, "accessedAt" TEXT, "emailCanonical" TEXT,
  "emailIsFree" INTEGER, "emailIsDisposable" INTEGER, "emailIsCorporate" INTEGER, "emailIsCanonical" INTEGER,
  "impersonator" INTEGER
);
CREATE TABLE "{space}_sessions" (
  "_id" INTEGER PRIMARY KEY AUTOINCREMENT, "_uid" TEXT NOT NULL UNIQUE, "_createdAt" TEXT, "_updatedAt" TEXT,
  "_permissions" TEXT, "userInternalId" TEXT, "userId" TEXT, "provider" TEXT, "providerUid" TEXT, "secret" TEXT,
  "userAgent" TEXT, "ip" TEXT, "factors" TEXT, "expire" TEXT, "mfaUpdatedAt" TEXT
);
CREATE INDEX "{space}_sessions_user" ON "{space}_sessions" ("userInternalId");
CREATE TABLE "{space}_teams" (
  "_id" INTEGER PRIMARY KEY AUTOINCREMENT, "_uid" TEXT NOT NULL UNIQUE, "_createdAt" TEXT, "_updatedAt" TEXT,
  "_permissions" TEXT, "name" TEXT, "total" INTEGER, "search" TEXT, "prefs" TEXT, "labels" TEXT
);
CREATE TABLE "{space}_memberships" (
  "_id" INTEGER PRIMARY KEY AUTOINCREMENT, "_uid" TEXT NOT NULL UNIQUE, "_createdAt" TEXT, "_updatedAt" TEXT,
  "_permissions" TEXT, "userInternalId" TEXT, "userId" TEXT, "teamInternalId" TEXT, "teamId" TEXT, "roles" TEXT,
  "invited" TEXT, "joined" TEXT, "confirm" INTEGER, "secret" TEXT, "search" TEXT,
  UNIQUE ("teamInternalId", "userInternalId")
);
CREATE INDEX "{space}_memberships_user" ON "{space}_memberships" ("userInternalId");
CREATE TABLE "{space}_targets" (
  "_id" INTEGER PRIMARY KEY AUTOINCREMENT, "_uid" TEXT NOT NULL UNIQUE, "_createdAt" TEXT, "_updatedAt" TEXT,
  "_permissions" TEXT, "userId" TEXT, "userInternalId" TEXT, "sessionId" TEXT, "sessionInternalId" TEXT,
  "providerType" TEXT, "providerId" TEXT, "providerInternalId" TEXT, "identifier" TEXT UNIQUE, "name" TEXT,
  "expired" INTEGER
);
CREATE INDEX "{space}_targets_user" ON "{space}_targets" ("userInternalId");
CREATE TABLE "{space}_presenceLogs" (
  "_id" INTEGER PRIMARY KEY AUTOINCREMENT, "_uid" TEXT NOT NULL UNIQUE, "_createdAt" TEXT, "_updatedAt" TEXT,
  "_permissions" TEXT, "userInternalId" INTEGER, "userId" TEXT UNIQUE, "expiresAt" TEXT, "status" TEXT,
  "source" TEXT, "hostname" TEXT, "metadata" TEXT, "permissionsHash" TEXT
);
CREATE INDEX "{space}_presenceLogs_user" ON "{space}_presenceLogs" ("userInternalId");
"#;

/// The collections that every project and the console have.
pub(super) const COLLECTIONS: [&str; 6] =
    ["users", "sessions", "teams", "memberships", "targets", "presenceLogs"];

impl Sqlite {
    /// Brings the file up to date, in one change: after a crash it is of the old version or of the new one.
    pub(super) async fn migrate(&self, path: &Path) -> Result<(), SqliteError> {
        let doing = "bring its tables up to date";
        let mut change = self.change().await?;
        let version = checked_version(&mut change, path).await?;
        for (step, to) in STEPS.iter().zip(1..).skip(usize::try_from(version).unwrap_or(0)) {
            execute(&mut change, step.console).await?;
            create_space(&mut change, step, &Space::console()).await?;
            for sequence in sequences(&mut change).await? {
                create_space(&mut change, step, &Space::numbered(&sequence)).await?;
            }
            execute(&mut change, &format!("PRAGMA user_version = {to}")).await?;
        }
        execute(&mut change, &format!("PRAGMA application_id = {APPLICATION_ID}")).await?;
        change.commit().await.map_err(failed(doing))
    }
}

/// Makes all tables of a new project.
pub(super) async fn create_tables(
    connection: &mut SqliteConnection,
    space: &Space,
) -> Result<(), SqliteError> {
    for step in STEPS {
        create_space(connection, step, space).await?;
    }
    Ok(())
}

/// Removes all tables of a project.
pub(super) async fn drop_tables(connection: &mut SqliteConnection, space: &Space) -> Result<(), SqliteError> {
    for collection in COLLECTIONS {
        execute(connection, &format!("DROP TABLE IF EXISTS \"{}\"", space.table(collection))).await?;
    }
    Ok(())
}

async fn create_space(
    connection: &mut SqliteConnection,
    step: &Step,
    space: &Space,
) -> Result<(), SqliteError> {
    execute(connection, &step.space.replace("{space}", &space.to_string())).await
}

/// The version of a file that is ours, or empty.
async fn checked_version(connection: &mut SqliteConnection, path: &Path) -> Result<i64, SqliteError> {
    let owner = number(connection, "PRAGMA application_id").await?;
    let tables = number(connection, "SELECT count(*) FROM sqlite_schema").await?;
    if owner != APPLICATION_ID && (owner != 0 || tables != 0) {
        return Err(SqliteError::Foreign(path.to_owned()));
    }
    let found = number(connection, "PRAGMA user_version").await?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(SqliteError::Newer { path: path.to_owned(), found, known });
    }
    Ok(found)
}

async fn sequences(connection: &mut SqliteConnection) -> Result<Vec<String>, SqliteError> {
    sqlx::query_scalar("SELECT CAST(_id AS TEXT) FROM _console_projects ORDER BY _id")
        .fetch_all(connection)
        .await
        .map_err(failed("list projects"))
}

async fn number(connection: &mut SqliteConnection, statement: &'static str) -> Result<i64, SqliteError> {
    sqlx::query_scalar(statement).fetch_one(connection).await.map_err(failed("read its version"))
}

async fn execute(connection: &mut SqliteConnection, statements: &str) -> Result<(), SqliteError> {
    let done = sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(connection).await;
    done.map(drop).map_err(failed("change its tables"))
}
