//! Appwrite's tables in MariaDB or MySQL.

use std::sync::Arc;
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlSslMode};
use sqlx::{AssertSqlSafe, MySqlPool, Row as _};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::appwrite::rows::{MAX_ROWS, Row, Rows, Select, Space, Write, Written};
use super::catalog::{Catalog, Columns};
use super::database::{
    DatabaseSettings, LANDMARK, SCHEMA, STATEMENTS, Tls, late, no_installation, unavailable,
};
use super::write::{self, Dialect};
use super::{DirectoryError, Lookup};

/// SQLSTATE of a column that is not there.
const NO_COLUMN: &str = "42S22";
/// SQLSTATE of a table that is not there.
const NO_TABLE: &str = "42S02";

/// A MariaDB or MySQL with Appwrite's tables.
#[derive(Debug)]
pub struct Mariadb {
    pool: MySqlPool,
    schema: OnceCell<String>,
    configured_schema: String,
    catalog: Catalog,
    timeout: Duration,
}

impl Mariadb {
    /// A database that is connected to when it is first asked.
    pub fn new(settings: &DatabaseSettings) -> Self {
        let mut options = MySqlConnectOptions::new()
            .host(&settings.host)
            .port(settings.port)
            .username(&settings.user)
            .statement_cache_capacity(STATEMENTS);
        if let Some(password) = &settings.password {
            options = options.password(password.expose());
        }
        options = options.ssl_mode(match settings.tls {
            Tls::Off => MySqlSslMode::Disabled,
            Tls::Prefer => MySqlSslMode::Preferred,
            Tls::Require => MySqlSslMode::Required,
            Tls::Verify => MySqlSslMode::VerifyIdentity,
        });
        if let Some(certificates) = &settings.certificates {
            options = options.ssl_ca(certificates);
        }
        let pool = MySqlPoolOptions::new()
            .max_connections(settings.connections)
            .acquire_timeout(settings.timeout)
            .idle_timeout(Duration::from_secs(300))
            .connect_lazy_with(options);
        Self {
            pool,
            schema: OnceCell::new(),
            configured_schema: settings.schema.clone(),
            catalog: Catalog::default(),
            timeout: settings.timeout,
        }
    }

    /// The schema that Appwrite's tables are in.
    async fn schema(&self) -> Result<&str, DirectoryError> {
        let find = || async {
            let found: Option<String> = sqlx::query_scalar(
                "SELECT CAST(TABLE_SCHEMA AS CHAR) FROM information_schema.TABLES \
                 WHERE TABLE_NAME = ? AND TABLE_SCHEMA IN (?, ?) ORDER BY TABLE_SCHEMA = ? DESC LIMIT 1",
            )
            .bind(LANDMARK)
            .bind(SCHEMA)
            .bind(&self.configured_schema)
            .bind(SCHEMA)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| unavailable(self.name(), &error))?;
            found.ok_or_else(|| no_installation(self.name(), &self.configured_schema))
        };
        self.schema.get_or_try_init(find).await.map(String::as_str)
    }

    /// What a table has; `None` if it is not there.
    async fn columns(&self, schema: &str, table: &str) -> Result<Option<Arc<Columns>>, sqlx::Error> {
        if let Some(columns) = self.catalog.get(table) {
            return Ok(Some(columns));
        }
        let columns: Vec<(String, String)> = sqlx::query_as(
            "SELECT CAST(COLUMN_NAME AS CHAR), CAST(DATA_TYPE AS CHAR) FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?",
        )
        .bind(schema)
        .bind(table)
        .fetch_all(&self.pool)
        .await?;
        Ok(self.catalog.keep(table, columns.into_iter().collect()))
    }

    async fn read(&self, schema: &str, selection: &Select<'_>) -> Result<Vec<Row>, sqlx::Error> {
        let table = selection.space.table(selection.collection);
        let Some(columns) = self.columns(schema, &table).await? else { return Ok(Vec::new()) };
        let Some(statement) = statement(schema, &table, selection, &columns) else { return Ok(Vec::new()) };
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for value in selection.values() {
            query = query.bind(value);
        }
        let found = match query.fetch_all(&self.pool).await {
            Err(error) if has_code(&error, &[NO_COLUMN, NO_TABLE]) => {
                self.catalog.forget(&table);
                return Err(error);
            }
            found => found?,
        };
        let mut rows = Vec::with_capacity(found.len());
        for row in found {
            let cells: Result<_, _> = (0..selection.columns.len()).map(|index| row.try_get(index)).collect();
            rows.push(Row::new(selection.columns, cells?));
        }
        Ok(rows)
    }

    async fn read_through_changes(&self, selection: &Select<'_>) -> Result<Vec<Row>, DirectoryError> {
        let schema = self.schema().await?;
        let mut found = self.read(schema, selection).await;
        if found.as_ref().is_err_and(|error| has_code(error, &[NO_COLUMN, NO_TABLE])) {
            // The table was changed or dropped since it was looked at.
            found = self.read(schema, selection).await;
        }
        found.map_err(|error| unavailable(self.name(), &error))
    }

    async fn carry_out(&self, space: &Space, writes: &[Write<'_>]) -> Result<Written, DirectoryError> {
        let schema = self.schema().await?;
        let failed = |error| unavailable(self.name(), &error);
        let mut statements = Vec::with_capacity(writes.len());
        for write in writes {
            let columns = self.columns(schema, &space.table(write.collection())).await.map_err(failed)?;
            statements.push(write::statement(&Spelling { schema }, space, write, columns.as_deref()));
        }
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        let mut found = Vec::with_capacity(writes.len());
        for statement in statements {
            let Some(statement) = statement else {
                found.push(0);
                continue;
            };
            let mut query = sqlx::query(AssertSqlSafe(statement.text));
            for value in statement.values {
                query = query.bind(value);
            }
            match query.execute(&mut *transaction).await {
                Ok(done) => found.push(done.rows_affected()),
                Err(error) if is_taken(&error) => return Ok(Written::Taken),
                Err(error) => return Err(failed(error)),
            }
        }
        transaction.commit().await.map_err(failed)?;
        Ok(Written::Rows(found))
    }

    /// Writes and reads the table in which every server of an installation counts its connections.
    async fn count(&self, server: &str, counts: &str) -> Result<Vec<String>, DirectoryError> {
        let table = format!("`{}`.`_console_realtime`", self.schema().await?.replace('`', "``"));
        let failed = |error| unavailable(self.name(), &error);
        let update = format!(
            "UPDATE {table} SET `timestamp` = UTC_TIMESTAMP(3), `_updatedAt` = UTC_TIMESTAMP(3), value = ? WHERE _uid = ?"
        );
        let updated = sqlx::query(AssertSqlSafe(update)).bind(counts).bind(server).execute(&self.pool);
        if updated.await.map_err(failed)?.rows_affected() == 0 {
            let insert = format!(
                "INSERT INTO {table} (value, _uid, container, `timestamp`, `_createdAt`, `_updatedAt`, _permissions) \
                 VALUES (?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), '[]')"
            );
            let inserted = sqlx::query(AssertSqlSafe(insert)).bind(counts).bind(server).bind(server);
            inserted.execute(&self.pool).await.map_err(failed)?;
        }
        let select = format!(
            "SELECT CAST(value AS CHAR) FROM {table} WHERE `timestamp` > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND LIMIT {MAX_ROWS}"
        );
        let counted: Vec<Option<String>> =
            sqlx::query_scalar(AssertSqlSafe(select)).fetch_all(&self.pool).await.map_err(failed)?;
        Ok(counted.into_iter().flatten().collect())
    }
}

impl Rows for Mariadb {
    fn name(&self) -> &'static str {
        "mariadb"
    }

    fn select<'a>(&'a self, selection: Select<'a>) -> Lookup<'a, Vec<Row>> {
        Box::pin(async move {
            match timeout(self.timeout, self.read_through_changes(&selection)).await {
                Ok(found) => found,
                Err(_) => Err(late(self.name(), self.timeout)),
            }
        })
    }

    fn write<'a>(&'a self, space: &'a Space, writes: &'a [Write<'a>]) -> Lookup<'a, Written> {
        Box::pin(async move {
            let written = timeout(self.timeout, self.carry_out(space, writes)).await;
            written.unwrap_or_else(|_| Err(late(self.name(), self.timeout)))
        })
    }

    fn share_counts<'a>(&'a self, server: &'a str, counts: &'a str) -> Lookup<'a, Vec<String>> {
        Box::pin(async move {
            let counted = timeout(self.timeout, self.count(server, counts)).await;
            counted.unwrap_or_else(|_| Err(late(self.name(), self.timeout)))
        })
    }

    fn has<'a>(
        &'a self,
        space: &'a Space,
        collection: &'static str,
        column: &'static str,
    ) -> Lookup<'a, bool> {
        Box::pin(async move {
            let find = async {
                let columns = self.columns(self.schema().await?, &space.table(collection)).await;
                let columns = columns.map_err(|error| unavailable(self.name(), &error))?;
                Ok(columns.is_some_and(|columns| columns.contains_key(column)))
            };
            timeout(self.timeout, find).await.unwrap_or_else(|_| Err(late(self.name(), self.timeout)))
        })
    }
}

/// MariaDB's spelling of what is written.
struct Spelling<'a> {
    schema: &'a str,
}

impl Dialect for Spelling<'_> {
    fn table(&self, name: &str) -> String {
        format!("`{}`.`{name}`", self.schema.replace('`', "``"))
    }

    fn column(&self, name: &str) -> String {
        format!("`{name}`")
    }

    fn value(&self, _: &str, _: usize) -> String {
        "?".to_owned()
    }
}

fn is_taken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}

/// The statement for a selection of what the table has; `None` if it lacks a column to select by.
fn statement(schema: &str, table: &str, selection: &Select<'_>, columns: &Columns) -> Option<String> {
    let cells: Vec<String> = selection
        .columns
        .iter()
        .map(|&column| match columns.contains_key(column) {
            true => format!("CAST(`{column}` AS CHAR)"),
            false => "NULL".to_owned(),
        })
        .collect();
    let mut filters = Vec::new();
    for column in selection.filtered() {
        if !columns.contains_key(column) {
            return None;
        }
        filters.push(format!("`{column}` = ?"));
    }
    if let Some((column, _)) = selection.before {
        columns.get(column)?;
        filters.push(format!("`{column}` < ?"));
    }
    let schema = schema.replace('`', "``");
    Some(format!(
        "SELECT {} FROM `{schema}`.`{table}` WHERE {} ORDER BY `_id` LIMIT {MAX_ROWS}",
        cells.join(", "),
        filters.join(" AND "),
    ))
}

fn has_code(error: &sqlx::Error, codes: &[&str]) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| codes.contains(&&*code))
}
