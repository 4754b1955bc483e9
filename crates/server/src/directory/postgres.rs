//! Appwrite's tables in PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{AssertSqlSafe, PgPool, Row as _};
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
const NO_COLUMN: &str = "42703";
/// SQLSTATE of a table that is not there.
const NO_TABLE: &str = "42P01";
/// The collation that Appwrite's unique indexes of `_uid` and `_document` carry.
const COLLATION: &str = "utf8_ci_ai";

/// A PostgreSQL with Appwrite's tables.
#[derive(Debug)]
pub struct Postgres {
    pool: PgPool,
    place: OnceCell<Place>,
    configured_schema: String,
    catalog: Catalog,
    timeout: Duration,
}

/// Where Appwrite's tables are.
#[derive(Debug)]
struct Place {
    schema: String,
    /// The schema of the collation of `_uid`, if there is such a collation.
    collation: Option<String>,
}

impl Postgres {
    /// A database that is connected to when it is first asked.
    pub fn new(settings: &DatabaseSettings) -> Self {
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&settings.host)
            .port(settings.port)
            .username(&settings.user)
            .database(&settings.schema)
            .application_name("realtime")
            .statement_cache_capacity(STATEMENTS);
        if let Some(password) = &settings.password {
            options = options.password(password.expose());
        }
        options = options.ssl_mode(match settings.tls {
            Tls::Off => PgSslMode::Disable,
            Tls::Prefer => PgSslMode::Prefer,
            Tls::Require => PgSslMode::Require,
            Tls::Verify => PgSslMode::VerifyFull,
        });
        if let Some(certificates) = &settings.certificates {
            options = options.ssl_root_cert(certificates);
        }
        let pool = PgPoolOptions::new()
            .max_connections(settings.connections)
            .acquire_timeout(settings.timeout)
            .idle_timeout(Duration::from_secs(300))
            .connect_lazy_with(options);
        Self {
            pool,
            place: OnceCell::new(),
            configured_schema: settings.schema.clone(),
            catalog: Catalog::default(),
            timeout: settings.timeout,
        }
    }

    async fn place(&self) -> Result<&Place, DirectoryError> {
        let find = || async {
            let failed = |error| unavailable(self.name(), &error);
            let schema: Option<String> = sqlx::query_scalar(
                "SELECT table_schema::text FROM information_schema.tables \
                 WHERE table_name = $1 AND table_schema IN ($2, $3, 'public') ORDER BY table_schema = $2 DESC LIMIT 1",
            )
            .bind(LANDMARK)
            .bind(SCHEMA)
            .bind(&self.configured_schema)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
            let schema = schema.ok_or_else(|| no_installation(self.name(), &self.configured_schema))?;
            let collation: Option<String> = sqlx::query_scalar(
                "SELECT nspname::text FROM pg_collation JOIN pg_namespace ON pg_namespace.oid = collnamespace \
                 WHERE collname = $1 ORDER BY nspname = 'public' DESC LIMIT 1",
            )
            .bind(COLLATION)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
            Ok(Place { schema, collation })
        };
        self.place.get_or_try_init(find).await
    }

    /// What a table has; `None` if it is not there.
    async fn columns(&self, schema: &str, table: &str) -> Result<Option<Arc<Columns>>, sqlx::Error> {
        if let Some(columns) = self.catalog.get(table) {
            return Ok(Some(columns));
        }
        let columns: Vec<(String, String)> = sqlx::query_as(
            "SELECT column_name::text, data_type::text FROM information_schema.columns \
             WHERE table_schema = $1 AND table_name = $2",
        )
        .bind(schema)
        .bind(table)
        .fetch_all(&self.pool)
        .await?;
        Ok(self.catalog.keep(table, columns.into_iter().collect()))
    }

    async fn read(&self, place: &Place, selection: &Select<'_>) -> Result<Vec<Row>, sqlx::Error> {
        let table = selection.space.table(selection.collection);
        // It refuses such a text, which therefore is in none of its rows.
        if selection.values().any(|value| value.contains('\0')) {
            return Ok(Vec::new());
        }
        let Some(columns) = self.columns(&place.schema, &table).await? else { return Ok(Vec::new()) };
        let Some(statement) = statement(place, &table, selection, &columns) else { return Ok(Vec::new()) };
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
        let place = self.place().await?;
        let mut found = self.read(place, selection).await;
        if found.as_ref().is_err_and(|error| has_code(error, &[NO_COLUMN, NO_TABLE])) {
            // The table was changed or dropped since it was looked at.
            found = self.read(place, selection).await;
        }
        found.map_err(|error| unavailable(self.name(), &error))
    }

    async fn carry_out(&self, space: &Space, writes: &[Write<'_>]) -> Result<Written, DirectoryError> {
        let place = self.place().await?;
        let failed = |error| unavailable(self.name(), &error);
        let mut statements = Vec::with_capacity(writes.len());
        for write in writes {
            let table = space.table(write.collection());
            let columns = self.columns(&place.schema, &table).await.map_err(failed)?;
            let columns = columns.unwrap_or_default();
            let spelling = Spelling { place, columns: &columns };
            statements.push(write::statement(&spelling, space, write, Some(&columns)));
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
        let table = format!("{}.\"_console_realtime\"", quoted(&self.place().await?.schema));
        let failed = |error| unavailable(self.name(), &error);
        let update = format!(
            "UPDATE {table} SET \"timestamp\" = now() AT TIME ZONE 'UTC', \"_updatedAt\" = now() AT TIME ZONE 'UTC', value = $1 WHERE _uid = $2"
        );
        let updated = sqlx::query(AssertSqlSafe(update)).bind(counts).bind(server).execute(&self.pool);
        if updated.await.map_err(failed)?.rows_affected() == 0 {
            let insert = format!(
                "INSERT INTO {table} (value, _uid, container, \"timestamp\", \"_createdAt\", \"_updatedAt\", _permissions) \
                 VALUES ($1, $2, $3, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC', '[]')"
            );
            let inserted = sqlx::query(AssertSqlSafe(insert)).bind(counts).bind(server).bind(server);
            inserted.execute(&self.pool).await.map_err(failed)?;
        }
        let select = format!(
            "SELECT value FROM {table} WHERE \"timestamp\" > (now() AT TIME ZONE 'UTC') - INTERVAL '15 seconds' LIMIT {MAX_ROWS}"
        );
        let counted: Vec<Option<String>> =
            sqlx::query_scalar(AssertSqlSafe(select)).fetch_all(&self.pool).await.map_err(failed)?;
        Ok(counted.into_iter().flatten().collect())
    }
}

impl Rows for Postgres {
    fn name(&self) -> &'static str {
        "postgresql"
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
                let columns = self.columns(&self.place().await?.schema, &space.table(collection)).await;
                let columns = columns.map_err(|error| unavailable(self.name(), &error))?;
                Ok(columns.is_some_and(|columns| columns.contains_key(column)))
            };
            timeout(self.timeout, find).await.unwrap_or_else(|_| Err(late(self.name(), self.timeout)))
        })
    }
}

/// PostgreSQL's spelling of what is written.
struct Spelling<'a> {
    place: &'a Place,
    columns: &'a Columns,
}

impl Dialect for Spelling<'_> {
    fn table(&self, name: &str) -> String {
        format!("{}.\"{name}\"", quoted(&self.place.schema))
    }

    fn column(&self, name: &str) -> String {
        format!("\"{name}\"")
    }

    fn value(&self, column: &str, number: usize) -> String {
        match self.columns.get(column) {
            Some(kind) => format!("CAST(${number}::text AS {kind})"),
            None => format!("${number}"),
        }
    }

    fn equals(&self, column: &str, number: usize) -> String {
        let kind = self.columns.get(column).map_or("text", String::as_str);
        filter(column, kind, number, self.place.collation.as_deref())
    }
}

fn is_taken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}

/// The statement for a selection of what the table has; `None` if it lacks a column to select by.
fn statement(place: &Place, table: &str, selection: &Select<'_>, columns: &Columns) -> Option<String> {
    let cells: Vec<String> = selection
        .columns
        .iter()
        .map(|&column| columns.get(column).map_or_else(|| "NULL".to_owned(), |kind| cell(column, kind)))
        .collect();
    let mut filters = Vec::new();
    for (index, column) in selection.filtered().enumerate() {
        filters.push(filter(column, columns.get(column)?, index + 1, place.collation.as_deref()));
    }
    if let Some((column, _)) = selection.before {
        let kind = columns.get(column)?;
        filters.push(format!("\"{column}\" < CAST(${}::text AS {kind})", filters.len() + 1));
    }
    Some(format!(
        "SELECT {} FROM {}.\"{table}\" WHERE {} ORDER BY \"_id\" LIMIT {MAX_ROWS}",
        cells.join(", "),
        quoted(&place.schema),
        filters.join(" AND "),
    ))
}

/// A column as text in the form that [`Rows`] promises.
fn cell(column: &str, kind: &str) -> String {
    match kind {
        "boolean" => format!("(\"{column}\"::integer)::text"),
        "timestamp without time zone" => format!("to_char(\"{column}\", 'YYYY-MM-DD HH24:MI:SS.MS')"),
        _ => format!("\"{column}\"::text"),
    }
}

fn filter(column: &str, kind: &str, parameter: usize, collation: Option<&str>) -> String {
    match (column, collation) {
        // The unique index carries the collation, so only a comparison by it can use the index; it takes `a` for `A`,
        // so the exact one has to hold too.
        ("_uid" | "_document", Some(schema)) => format!(
            "\"{column}\" = ${parameter} COLLATE {}.\"{COLLATION}\" AND \"{column}\" = ${parameter}",
            quoted(schema)
        ),
        _ => match kind {
            "integer" | "bigint" => format!("\"{column}\" = CAST(${parameter}::text AS {kind})"),
            _ => format!("\"{column}\" = ${parameter}"),
        },
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn has_code(error: &sqlx::Error, codes: &[&str]) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| codes.contains(&&*code))
}
