//! Writing Appwrite's tables in SQL: the statement in the dialect of a database.

use super::appwrite::rows::{Space, Write};
use super::catalog::Columns;

/// How a database spells what differs between databases.
pub(super) trait Dialect {
    /// A table's full name, quoted.
    fn table(&self, name: &str) -> String;

    /// A column's name, quoted.
    fn column(&self, name: &str) -> String;

    /// The place of the value with this number (from 1) for a column.
    fn value(&self, column: &str, number: usize) -> String;

    /// A condition that holds where a column is equal to the value with this number.
    fn equals(&self, column: &str, number: usize) -> String {
        format!("{} = {}", self.column(column), self.value(column, number))
    }
}

/// A statement and the values for its places, in their order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement<'a> {
    pub(super) text: String,
    pub(super) values: Vec<Option<&'a str>>,
}

/// The column that holds the project's `$sequence` where projects share tables.
const TENANT: &str = "_tenant";

/// Spells what is to be written. Columns that the table does not have are left out of what is written; `None` if a column to select
/// by is one of them.
pub(super) fn statement<'a>(
    dialect: &dyn Dialect,
    space: &'a Space,
    write: &Write<'a>,
    columns: Option<&Columns>,
) -> Option<Statement<'a>> {
    let has = |column: &str| columns.is_none_or(|columns| columns.contains_key(column));
    let tenant = space.tenant().map(|tenant| (TENANT, tenant));
    let mut values = Vec::new();
    let mut take = |column: &'static str, value: Option<&'a str>, spell: &dyn Fn(&str, usize) -> String| {
        values.push(value);
        spell(column, values.len())
    };
    let cells = |cells: &[(&'static str, Option<&'a str>)]| -> Vec<(&'static str, Option<&'a str>)> {
        cells.iter().copied().filter(|(column, _)| has(column)).collect()
    };
    let table = dialect.table(&space.table(write.collection()));
    let value = |column: &str, number| dialect.value(column, number);
    let assign =
        |column: &str, number| format!("{} = {}", dialect.column(column), dialect.value(column, number));
    let equals = |column: &str, number| dialect.equals(column, number);
    if !write.filters().iter().all(|(column, _)| has(column)) {
        return None;
    }
    let start = match write {
        Write::Insert { cells: wanted, .. } => {
            let mut written = cells(wanted);
            written.extend(tenant.map(|(column, tenant)| (column, Some(tenant))));
            let names: Vec<String> = written.iter().map(|(column, _)| dialect.column(column)).collect();
            let places: Vec<String> =
                written.into_iter().map(|(column, cell)| take(column, cell, &value)).collect();
            let text = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), places.join(", "));
            return Some(Statement { text, values });
        }
        Write::Update { cells: wanted, .. } => {
            let set: Vec<String> =
                cells(wanted).into_iter().map(|(column, cell)| take(column, cell, &assign)).collect();
            format!("UPDATE {table} SET {}", set.join(", "))
        }
        Write::Delete { .. } => format!("DELETE FROM {table}"),
    };
    let filters = write.filters().iter().copied().chain(tenant);
    let conditions: Vec<String> = filters.map(|(column, is)| take(column, Some(is), &equals)).collect();
    Some(Statement { text: format!("{start} WHERE {}", conditions.join(" AND ")), values })
}

#[cfg(test)]
mod tests {
    use realtime_core::project::Project;

    use super::*;

    struct Plain;

    impl Dialect for Plain {
        fn table(&self, name: &str) -> String {
            name.to_owned()
        }

        fn column(&self, name: &str) -> String {
            name.to_owned()
        }

        fn value(&self, _: &str, number: usize) -> String {
            format!("${number}")
        }
    }

    fn spelled(space: &Space, write: &Write<'_>, columns: Option<&[&str]>) -> Option<(String, Vec<String>)> {
        let columns =
            columns.map(|columns| columns.iter().map(|&column| (column.to_owned(), String::new())).collect());
        let statement = statement(&Plain, space, write, columns.as_ref())?;
        let values = statement.values.iter().map(|value| value.unwrap_or("NULL").to_owned()).collect();
        Some((statement.text, values))
    }

    fn expected(text: &str, values: &[&str]) -> Option<(String, Vec<String>)> {
        Some((text.to_owned(), values.iter().map(|&value| value.to_owned()).collect()))
    }

    fn shared() -> Space {
        let project = Project {
            id: "p".into(),
            sequence: "7".to_owned(),
            database: "appwrite://pool?namespace=ns".to_owned(),
            team: None,
            region: String::new(),
            realtime_enabled: true,
            platforms: Vec::new(),
        };
        Space::of(&project, &["pool".to_owned()])
    }

    const INSERT: Write<'_> = Write::Insert { collection: "things", cells: &[("a", Some("1")), ("b", None)] };
    const UPDATE: Write<'_> = Write::Update {
        collection: "things",
        cells: &[("a", Some("1")), ("b", None)],
        filters: &[("_id", "9")],
    };
    const DELETE: Write<'_> = Write::Delete { collection: "things", filters: &[("_id", "9"), ("_uid", "x")] };

    #[test]
    fn whatever_is_written_has_its_statement() {
        let own = Space::numbered("7");
        assert_eq!(
            spelled(&own, &INSERT, None),
            expected("INSERT INTO _7_things (a, b) VALUES ($1, $2)", &["1", "NULL"])
        );
        assert_eq!(
            spelled(&own, &UPDATE, None),
            expected("UPDATE _7_things SET a = $1, b = $2 WHERE _id = $3", &["1", "NULL", "9"])
        );
        assert_eq!(
            spelled(&own, &DELETE, None),
            expected("DELETE FROM _7_things WHERE _id = $1 AND _uid = $2", &["9", "x"])
        );
    }

    #[test]
    fn where_projects_share_tables_only_the_projects_own_rows_are_written() {
        assert_eq!(
            spelled(&shared(), &INSERT, None),
            expected("INSERT INTO ns_things (a, b, _tenant) VALUES ($1, $2, $3)", &["1", "NULL", "7"])
        );
        assert_eq!(
            spelled(&shared(), &UPDATE, None),
            expected(
                "UPDATE ns_things SET a = $1, b = $2 WHERE _id = $3 AND _tenant = $4",
                &["1", "NULL", "9", "7"]
            )
        );
        assert_eq!(
            spelled(&shared(), &DELETE, None),
            expected("DELETE FROM ns_things WHERE _id = $1 AND _uid = $2 AND _tenant = $3", &["9", "x", "7"])
        );
    }

    #[test]
    fn a_column_that_is_not_there_is_not_written_and_never_widens_what_is_written() {
        let own = Space::numbered("7");
        assert_eq!(
            spelled(&own, &INSERT, Some(&["a"])),
            expected("INSERT INTO _7_things (a) VALUES ($1)", &["1"])
        );
        assert_eq!(spelled(&own, &UPDATE, Some(&["a"])), None);
        assert_eq!(spelled(&own, &DELETE, Some(&["_id"])), None);
    }
}
