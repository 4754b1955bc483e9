//! The one thing that differs between databases: reading and writing rows of Appwrite's tables.

use std::fmt::{self, Debug};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use realtime_core::project::Project;

use super::Lookup;

/// A database with Appwrite's tables.
///
/// Every read is of one table, by equality and at most one bound, in the order of `_id`, of at most [`MAX_ROWS`] rows. Cells come as text:
/// booleans as `0` or `1`, times in UTC as `YYYY-MM-DD HH:MM:SS.mmm`, arrays as JSON. A table that does not exist has
/// no rows and a column that does not exist is NULL, for tables differ between versions of Appwrite. A database that
/// cannot be asked is an error, never an empty answer.
pub(crate) trait Rows: Send + Sync + Debug {
    /// What the database is called in logs and metrics.
    fn name(&self) -> &'static str;

    /// The rows that a selection names.
    fn select<'a>(&'a self, selection: Select<'a>) -> Lookup<'a, Vec<Row>>;

    /// Writes what this server counted over what it wrote before, and gives what every server wrote in the last 15 s.
    fn share_counts<'a>(&'a self, server: &'a str, counts: &'a str) -> Lookup<'a, Vec<String>>;

    /// Writes all of this or, if something fails, nothing. Values are given as they come when they are read.
    fn write<'a>(&'a self, space: &'a Space, writes: &'a [Write<'a>]) -> Lookup<'a, Written>;

    /// Whether a table has a column, by which versions of Appwrite are told apart.
    fn has<'a>(
        &'a self,
        space: &'a Space,
        collection: &'static str,
        column: &'static str,
    ) -> Lookup<'a, bool>;
}

/// Appwrite reads no more rows of what belongs to one project or user (`APP_LIMIT_SUBQUERY`).
pub(crate) const MAX_ROWS: usize = 1000;

/// Something to write into one table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Write<'a> {
    /// A new row. Columns that the table does not have are left out.
    Insert {
        /// The collection, as Appwrite names it.
        collection: &'static str,
        /// Columns and what is in them; `None` is NULL.
        cells: &'a [(&'static str, Option<&'a str>)],
    },
    /// Rows that are to be otherwise. Columns that the table does not have are left out.
    Update {
        /// The collection, as Appwrite names it.
        collection: &'static str,
        /// Columns and what is to be in them; `None` is NULL.
        cells: &'a [(&'static str, Option<&'a str>)],
        /// Columns and what they must be equal to; never empty.
        filters: &'a [(&'static str, &'a str)],
    },
    /// Rows that are to be no more.
    Delete {
        /// The collection, as Appwrite names it.
        collection: &'static str,
        /// Columns and what they must be equal to; never empty.
        filters: &'a [(&'static str, &'a str)],
    },
}

impl<'a> Write<'a> {
    /// The collection that it is in.
    pub(crate) fn collection(&self) -> &'static str {
        match self {
            Self::Insert { collection, .. }
            | Self::Update { collection, .. }
            | Self::Delete { collection, .. } => collection,
        }
    }

    /// What the rows that it concerns must be like.
    pub(crate) fn filters(&self) -> &'a [(&'static str, &'a str)] {
        match self {
            Self::Insert { .. } => &[],
            Self::Update { filters, .. } | Self::Delete { filters, .. } => filters,
        }
    }
}

/// What became of what was to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is written; how many rows each part of it found.
    Rows(Vec<u64>),
    /// Nothing is written, for a new row would be there twice.
    Taken,
}

/// Which rows to read, and what of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Select<'a> {
    /// Whose table.
    pub(crate) space: &'a Space,
    /// The collection, as Appwrite names it.
    pub(crate) collection: &'static str,
    /// The columns to read.
    pub(crate) columns: &'static [&'static str],
    /// Columns and what they must be equal to.
    pub(crate) filters: &'a [(&'static str, &'a str)],
    /// A column and what it must be less than.
    pub(crate) before: Option<(&'static str, &'a str)>,
}

impl<'a> Select<'a> {
    /// The columns to select by; the tenant's comes last where projects share tables.
    pub(crate) fn filtered(&self) -> impl Iterator<Item = &'static str> + use<'a> {
        let tenant = self.space.tenant.as_ref().map(|_| TENANT);
        self.filters.iter().map(|(column, _)| *column).chain(tenant)
    }

    /// What the columns to select by must be equal to, in the same order; the bound comes last.
    pub(crate) fn values(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let equal = self.filters.iter().map(|(_, value)| *value).chain(self.space.tenant.as_deref());
        equal.chain(self.before.map(|(_, bound)| bound))
    }
}

/// The column that holds the project's `$sequence` where projects share tables.
const TENANT: &str = "_tenant";

/// Whose tables: those of the console or those of one project.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Space {
    /// What the names of its tables begin with.
    namespace: String,
    /// Whose rows, where projects share tables.
    tenant: Option<String>,
}

impl Space {
    /// The console's own tables.
    pub(crate) fn console() -> Self {
        Self::numbered("console")
    }

    /// The tables of a project: its own, or those that the projects of a pool share if the pool is one of `shared`
    /// (Appwrite `_APP_DATABASE_SHARED_TABLES`).
    pub(crate) fn of(project: &Project, shared: &[String]) -> Self {
        // `appwrite://POOL?database=appwrite&namespace=NAME`; a pool's name alone is never shared.
        let location = project.database.split_once("://").map(|(_, location)| location);
        let (pool, query) = location.map_or(("", ""), |at| at.split_once('?').unwrap_or((at, "")));
        if !shared.iter().any(|name| name == pool) {
            return Self::numbered(&project.sequence);
        }
        let mut parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
        let namespace = parameters.find(|(name, _)| *name == "namespace").map_or("", |(_, value)| value);
        Self { namespace: safe(namespace), tenant: Some(project.sequence.clone()) }
    }

    /// The tables of the project with this `$sequence`.
    pub(crate) fn numbered(sequence: &str) -> Self {
        Self { namespace: format!("_{}", safe(sequence)), tenant: None }
    }

    /// Whose rows, where projects share tables.
    pub(crate) fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// The name of a collection's table.
    pub(crate) fn table(&self, collection: &str) -> String {
        format!("{}_{collection}", self.namespace)
    }
}

/// Only what Appwrite allows in the name of a table is kept, so that the name is safe in a statement.
fn safe(name: &str) -> String {
    name.chars().filter(|&c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).collect()
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.namespace)
    }
}

impl Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Space({self})")
    }
}

/// One row, as far as it was asked for.
#[derive(Clone)]
pub(crate) struct Row {
    columns: &'static [&'static str],
    cells: Vec<Option<String>>,
}

impl Row {
    /// A row with its cells in the order of the columns.
    pub(crate) fn new(columns: &'static [&'static str], cells: Vec<Option<String>>) -> Self {
        Self { columns, cells }
    }

    /// A cell; `None` if it is NULL or was not asked for.
    pub(crate) fn text(&self, column: &str) -> Option<&str> {
        let (_, cell) = self.columns.iter().zip(&self.cells).find(|(name, _)| **name == column)?;
        cell.as_deref()
    }

    /// A cell that Appwrite shows as empty when it is NULL.
    pub(crate) fn text_or_empty(&self, column: &str) -> &str {
        self.text(column).unwrap_or_default()
    }

    /// A boolean.
    pub(crate) fn flag(&self, column: &str) -> Option<bool> {
        self.text(column).map(|text| text != "0")
    }

    /// A time; `None` if it is NULL or is no time.
    pub(crate) fn time(&self, column: &str) -> Option<Timestamp> {
        let civil: DateTime = self.text(column)?.parse().ok()?;
        TimeZone::UTC.to_timestamp(civil).ok()
    }

    /// A time as the API shows it; empty if there is none.
    pub(crate) fn shown_time(&self, column: &str) -> String {
        self.time(column).map(|time| time.strftime("%FT%T%.3f+00:00").to_string()).unwrap_or_default()
    }

    /// An array of texts; NULL is an empty one, and `None` is what is no array of texts.
    pub(crate) fn list(&self, column: &str) -> Option<Vec<String>> {
        match self.text(column) {
            None => Some(Vec::new()),
            Some(text) => serde_json::from_str::<Option<_>>(text).ok().map(Option::unwrap_or_default),
        }
    }
}

impl Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Cells hold personal data and secrets.
        f.debug_struct("Row").field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// A time as the tables hold it.
pub(crate) fn stored_time(time: Timestamp) -> String {
    time.strftime("%F %T%.3f").to_string()
}

#[cfg(test)]
mod tests {
    use realtime_core::id::ProjectId;

    use super::*;

    fn space(database: &str, shared: &[&str]) -> (String, Option<String>) {
        let project = Project {
            id: ProjectId::new("p"),
            sequence: "7".to_owned(),
            database: database.to_owned(),
            team: None,
            region: String::new(),
            realtime_enabled: true,
            platforms: Vec::new(),
        };
        let shared: Vec<String> = shared.iter().map(|&name| name.to_owned()).collect();
        let space = Space::of(&project, &shared);
        (space.table("users"), space.tenant)
    }

    #[test]
    fn a_project_has_tables_of_its_own_unless_its_pool_shares_them() {
        let own = ("_7_users".to_owned(), None);
        assert_eq!(space("database_db_main", &[]), own);
        assert_eq!(space("database_db_main", &["database_db_main"]), own);
        assert_eq!(space("appwrite://pool?database=appwrite&namespace=x", &["other"]), own);
        let tenant = Some("7".to_owned());
        assert_eq!(
            space("appwrite://pool?database=appwrite", &["pool"]),
            ("_users".to_owned(), tenant.clone())
        );
        let named = space("appwrite://pool?database=appwrite&namespace=ns`;--", &["pool"]);
        assert_eq!(named, ("ns--_users".to_owned(), tenant));
    }
}
