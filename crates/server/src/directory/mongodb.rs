//! Appwrite's collections in MongoDB.
//!
//! Written after the documents that Appwrite's database library makes, and tried on a server that speaks as much of the
//! protocol as is used here; never yet on a real MongoDB.

#[cfg(test)]
mod fake;
mod spelling;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::error::{Error, ErrorKind, WriteFailure};
use mongodb::options::{ClientOptions, Credential, ServerAddress};
use mongodb::{Client, ClientSession, Collection, Database};
use tokio::sync::OnceCell;
use tokio::time::timeout;
use uuid::Uuid;

use self::spelling::{INTERNAL, cell, instant, value};
use super::appwrite::rows::{MAX_ROWS, Row, Rows, Select, Space, Write, Written};
use super::catalog::{Catalog, Columns};
use super::database::{DatabaseSettings, late};
use super::{DirectoryError, Lookup};

/// Where Appwrite's users of the database are kept.
const AUTH_SOURCE: &str = "admin";
/// The collection that describes the others of its space.
const REGISTRY: &str = "_metadata";
/// Servers whose counts are younger than this are running.
const COUNTS_LAST: Duration = Duration::from_secs(15);
/// Error code of a second document with what only one may have.
const DUPLICATE_KEY: i32 = 11_000;
/// Error code of a transaction that another one was faster than.
const WRITE_CONFLICT: i32 = 112;
/// Error codes of a user that may not do this, or is not who it says.
const NOT_ALLOWED: [i32; 2] = [13, 18];
/// Error code of a transaction on a server without a replica set.
const NO_TRANSACTIONS: i32 = 20;

/// A MongoDB with Appwrite's collections.
#[derive(Debug)]
pub struct Mongodb {
    database: Database,
    /// Whether there is an Appwrite in it.
    is_installed: OnceCell<()>,
    catalog: Catalog,
    timeout: Duration,
}

impl Mongodb {
    /// A database that is connected to when it is first asked. Call it inside a Tokio runtime.
    ///
    /// # Errors
    /// Settings that no connection can be made with.
    pub fn new(settings: &DatabaseSettings) -> Result<Self, DirectoryError> {
        let address = ServerAddress::Tcp { host: settings.host.clone(), port: Some(settings.port) };
        // As Appwrite does: the server itself, whatever the replica set calls its members.
        let mut options = ClientOptions::builder()
            .hosts(vec![address])
            .direct_connection(true)
            .max_pool_size(settings.connections)
            .max_idle_time(Duration::from_secs(300))
            .connect_timeout(settings.timeout)
            .server_selection_timeout(settings.timeout)
            .build();
        if !settings.user.is_empty() {
            let password = settings.password.as_ref().map(|password| password.expose().to_owned());
            let credential = Credential::builder()
                .username(settings.user.clone())
                .password(password)
                .source(AUTH_SOURCE.to_owned())
                .build();
            options.credential = Some(credential);
        }
        let client = Client::with_options(options).map_err(|error| unavailable(&error))?;
        Ok(Self {
            database: client.database(&settings.schema),
            is_installed: OnceCell::new(),
            catalog: Catalog::default(),
            timeout: settings.timeout,
        })
    }

    fn collection(&self, space: &Space, collection: &str) -> Collection<Document> {
        self.database.collection(&space.table(collection))
    }

    /// Makes sure that an Appwrite is there: MongoDB shows what is not there as empty.
    async fn look_for_installation(&self) -> Result<(), DirectoryError> {
        let find = || async {
            match self.describe(&Space::console(), "projects").await.map_err(|error| unavailable(&error))? {
                Some(_) => Ok(()),
                None => Err(no_installation(self.database.name())),
            }
        };
        self.is_installed.get_or_try_init(find).await.copied()
    }

    /// What the documents of a collection have, as Appwrite describes it; `None` if it knows of no such collection.
    async fn describe(&self, space: &Space, collection: &str) -> Result<Option<Arc<Columns>>, Error> {
        let name = space.table(collection);
        if let Some(columns) = self.catalog.get(&name) {
            return Ok(Some(columns));
        }
        let found = self.collection(space, REGISTRY).find_one(doc! { "_uid": collection }).await?;
        let Some(description) = found else { return Ok(None) };
        Ok(self.catalog.keep(&name, spelling::columns(&description)))
    }

    async fn read(&self, selection: &Select<'_>) -> Result<Vec<Row>, Error> {
        let mut filter = Document::new();
        let mut values = selection.values();
        for (column, value) in selection.filtered().zip(&mut values) {
            filter.insert(column, value);
        }
        if let Some((column, bound)) = selection.before {
            filter.insert(column, doc! { "$lt": instant(bound) });
        }
        let projection: Document =
            selection.columns.iter().map(|&column| (column.to_owned(), Bson::Int32(1))).collect();
        let mut found = self
            .collection(selection.space, selection.collection)
            .find(filter)
            .projection(projection)
            .sort(doc! { "_id": 1 })
            .limit(MAX_ROWS.try_into().unwrap_or(i64::MAX))
            .await?;
        let mut rows = Vec::new();
        while found.advance().await? {
            let document = found.deserialize_current()?;
            let cells = selection.columns.iter().map(|column| document.get(column).and_then(cell)).collect();
            rows.push(Row::new(selection.columns, cells));
        }
        Ok(rows)
    }

    async fn carry_out(&self, space: &Space, writes: &[Write<'_>]) -> Result<Written, Error> {
        let mut described = Vec::with_capacity(writes.len());
        for write in writes {
            described.push(self.describe(space, write.collection()).await?);
        }
        let mut session = self.database.client().start_session().await?;
        session.start_transaction().await?;
        let mut found = Vec::with_capacity(writes.len());
        for (write, columns) in writes.iter().zip(described) {
            found.push(match columns {
                Some(columns) => self.carry_out_one(&mut session, space, write, &columns).await?,
                None => 0,
            });
        }
        session.commit_transaction().await?;
        Ok(Written::Rows(found))
    }

    /// Does one part of a transaction, and tells how many documents it found.
    async fn carry_out_one(
        &self,
        session: &mut ClientSession,
        space: &Space,
        write: &Write<'_>,
        columns: &Columns,
    ) -> Result<u64, Error> {
        let collection = self.collection(space, write.collection());
        let mut filter: Document = write
            .filters()
            .iter()
            .map(|(column, value)| ((*column).to_owned(), Bson::from(*value)))
            .collect();
        if let Some(tenant) = space.tenant() {
            filter.insert(TENANT, tenant);
        }
        match write {
            Write::Insert { cells, .. } => {
                let mut document = doc! { "_id": Uuid::now_v7().to_string() };
                if let Some(tenant) = space.tenant() {
                    document.insert(TENANT, tenant);
                }
                // What is NULL in a table is not there in a document.
                for (column, text) in known(cells, columns) {
                    if let Some(text) = text {
                        document.insert(column, value(column, text, columns));
                    }
                }
                collection.insert_one(document).session(session).await?;
                Ok(1)
            }
            Write::Update { cells, .. } => {
                let (mut set, mut unset) = (Document::new(), Document::new());
                for (column, text) in known(cells, columns) {
                    match text {
                        Some(text) => set.insert(column, value(column, text, columns)),
                        None => unset.insert(column, ""),
                    };
                }
                let mut change = doc! { "$set": set };
                if !unset.is_empty() {
                    change.insert("$unset", unset);
                }
                Ok(collection.update_many(filter, change).session(session).await?.matched_count)
            }
            Write::Delete { .. } => Ok(collection.delete_many(filter).session(session).await?.deleted_count),
        }
    }

    /// Writes and reads the collection in which every server of an installation counts its connections.
    async fn count(&self, server: &str, counts: &str) -> Result<Vec<String>, Error> {
        let collection = self.collection(&Space::console(), "realtime");
        let change = doc! {
            "$set": { "container": server, "value": counts, "_permissions": Vec::<Bson>::new() },
            "$currentDate": { "timestamp": true, "_updatedAt": true },
            "$setOnInsert": { "_id": Uuid::now_v7().to_string(), "_createdAt": DateTime::now() },
        };
        collection.update_one(doc! { "_uid": server }, change).upsert(true).await?;
        let age = i64::try_from(COUNTS_LAST.as_millis()).unwrap_or(i64::MAX);
        // By the clock of the database, which all servers share.
        let is_running = doc! { "$expr": { "$gt": ["$timestamp", { "$subtract": ["$$NOW", age] }] } };
        let mut found = collection.find(is_running).limit(MAX_ROWS.try_into().unwrap_or(i64::MAX)).await?;
        let mut counted = Vec::new();
        while found.advance().await? {
            counted.extend(found.deserialize_current()?.get("value").and_then(cell));
        }
        Ok(counted)
    }

    /// Does this within the time that a look-up may take, if there is an Appwrite.
    async fn ask<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, DirectoryError> {
        let answer = async {
            self.look_for_installation().await?;
            asked.await.map_err(|error| unavailable(&error))
        };
        timeout(self.timeout, answer).await.unwrap_or_else(|_| Err(late(NAME, self.timeout)))
    }
}

/// What the database is called in logs and metrics.
const NAME: &str = "mongodb";
/// The field that holds the project's `$sequence` where projects share collections.
const TENANT: &str = "_tenant";

impl Rows for Mongodb {
    fn name(&self) -> &'static str {
        NAME
    }

    fn select<'a>(&'a self, selection: Select<'a>) -> Lookup<'a, Vec<Row>> {
        Box::pin(async move { self.ask(self.read(&selection)).await })
    }

    fn write<'a>(&'a self, space: &'a Space, writes: &'a [Write<'a>]) -> Lookup<'a, Written> {
        let written = async move {
            match self.carry_out(space, writes).await {
                Err(error) if was_faster(&error) => Ok(Written::Taken),
                written => written,
            }
        };
        Box::pin(self.ask(written))
    }

    fn share_counts<'a>(&'a self, server: &'a str, counts: &'a str) -> Lookup<'a, Vec<String>> {
        Box::pin(self.ask(self.count(server, counts)))
    }

    fn has<'a>(
        &'a self,
        space: &'a Space,
        collection: &'static str,
        column: &'static str,
    ) -> Lookup<'a, bool> {
        let described = async move {
            let columns = self.describe(space, collection).await?;
            Ok(columns.is_some_and(|columns| columns.contains_key(column)))
        };
        Box::pin(self.ask(described))
    }
}

/// Those cells that the documents of the collection have.
fn known<'a>(
    cells: &'a [(&'static str, Option<&'a str>)],
    columns: &'a Columns,
) -> impl Iterator<Item = (&'static str, Option<&'a str>)> {
    let is_known =
        |column: &str| columns.contains_key(column) || INTERNAL.iter().any(|(name, _)| *name == column);
    cells.iter().copied().filter(move |(column, _)| is_known(column))
}

/// The server's number for what went wrong.
fn code_of(error: &Error) -> Option<i32> {
    if let ErrorKind::Command(failed) = error.kind.as_ref() {
        return Some(failed.code);
    }
    if let ErrorKind::Write(WriteFailure::WriteError(failed)) = error.kind.as_ref() {
        return Some(failed.code);
    }
    None
}

/// Whether somebody else wrote what was to be written, or wrote at the same time.
fn was_faster(error: &Error) -> bool {
    code_of(error).is_some_and(|code| code == DUPLICATE_KEY || code == WRITE_CONFLICT)
}

/// What a database that failed means for whoever asked.
fn unavailable(error: &Error) -> DirectoryError {
    let is_not_allowed = code_of(error).is_some_and(|code| NOT_ALLOWED.contains(&code));
    let advice = if is_not_allowed || matches!(error.kind.as_ref(), ErrorKind::Authentication { .. }) {
        "check database.user and database.password (_APP_DB_USER, _APP_DB_PASS), a user of the database `admin`, and what \
         it may read"
    } else if code_of(error) == Some(NO_TRANSACTIONS) {
        "presences are written in transactions, for which MongoDB must run as a replica set, as Appwrite's does"
    } else {
        "check database.host and database.port (_APP_DB_HOST, _APP_DB_PORT) and that the database runs there"
    };
    DirectoryError::Unavailable { directory: NAME, reason: format!("{error}; {advice}") }
}

/// There is a database, but no Appwrite in it.
fn no_installation(database: &str) -> DirectoryError {
    let reason = format!(
        "the database `{database}` has no collection {} that describes Appwrite's projects; let Appwrite finish its \
         installation, or correct database.schema (_APP_DB_SCHEMA)",
        Space::console().table(REGISTRY)
    );
    DirectoryError::Unavailable { directory: NAME, reason }
}
