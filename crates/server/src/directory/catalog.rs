//! Which columns the tables of an Appwrite database have: they differ between versions of Appwrite.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a table is believed to have the columns it had: an upgrade of Appwrite adds some.
const KEEPS: Duration = Duration::from_secs(60);
/// Tables remembered, at most; beyond it all are read again.
const MAX_TABLES: usize = 100_000;

/// A table's columns with their types, as the database names them.
pub(super) type Columns = HashMap<String, String>;

/// The columns of tables that were looked at lately. A table that was not there is not remembered: it may be made at
/// any moment.
#[derive(Debug, Default)]
pub(super) struct Catalog(Mutex<HashMap<String, (Instant, Arc<Columns>)>>);

impl Catalog {
    /// A table's columns, if they were looked at lately.
    pub(super) fn get(&self, table: &str) -> Option<Arc<Columns>> {
        let tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, columns) = tables.get(table)?;
        (read.elapsed() < KEEPS).then(|| Arc::clone(columns))
    }

    /// Remembers what a table has; `None` if it is not there.
    pub(super) fn keep(&self, table: &str, columns: Columns) -> Option<Arc<Columns>> {
        if columns.is_empty() {
            return None;
        }
        let columns = Arc::new(columns);
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tables.len() >= MAX_TABLES {
            tables.clear();
        }
        tables.insert(table.to_owned(), (Instant::now(), Arc::clone(&columns)));
        Some(columns)
    }

    /// The table is not what it was.
    pub(super) fn forget(&self, table: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(table);
    }
}
