//! Names of channels, built from the ids in them.

use std::fmt;

/// The name of a channel. Plain strings do as well wherever one is wanted; these spare the spelling.
///
/// ```
/// use realtime_client::Channel;
///
/// assert_eq!(Channel::row("main", "todos", "42").to_string(), "databases.main.tables.todos.rows.42");
/// assert_eq!(Channel::files("pictures").create().to_string(), "buckets.pictures.files.create");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Channel(String);

impl Channel {
    /// Whatever is called so.
    pub fn named(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// What happens to the account of the user who listens.
    pub fn account() -> Self {
        Self::named("account")
    }

    /// The documents of a collection.
    pub fn documents(database: &str, collection: &str) -> Self {
        Self(format!("databases.{database}.collections.{collection}.documents"))
    }

    /// One document.
    pub fn document(database: &str, collection: &str, document: &str) -> Self {
        Self(format!("databases.{database}.collections.{collection}.documents.{document}"))
    }

    /// The rows of a table.
    pub fn rows(database: &str, table: &str) -> Self {
        Self(format!("databases.{database}.tables.{table}.rows"))
    }

    /// One row.
    pub fn row(database: &str, table: &str, row: &str) -> Self {
        Self(format!("databases.{database}.tables.{table}.rows.{row}"))
    }

    /// The files of a bucket.
    pub fn files(bucket: &str) -> Self {
        Self(format!("buckets.{bucket}.files"))
    }

    /// One file.
    pub fn file(bucket: &str, file: &str) -> Self {
        Self(format!("buckets.{bucket}.files.{file}"))
    }

    /// The executions of a function.
    pub fn function(function: &str) -> Self {
        Self(format!("functions.{function}"))
    }

    /// One execution.
    pub fn execution(execution: &str) -> Self {
        Self(format!("executions.{execution}"))
    }

    /// A team.
    pub fn team(team: &str) -> Self {
        Self(format!("teams.{team}"))
    }

    /// A membership.
    pub fn membership(membership: &str) -> Self {
        Self(format!("memberships.{membership}"))
    }

    /// Who is here.
    pub fn presences() -> Self {
        Self::named("presences")
    }

    /// Only what is created.
    #[must_use]
    pub fn create(self) -> Self {
        Self(self.0 + ".create")
    }

    /// Only what is changed.
    #[must_use]
    pub fn update(self) -> Self {
        Self(self.0 + ".update")
    }

    /// Only what is created or changed, without a word which.
    #[must_use]
    pub fn upsert(self) -> Self {
        Self(self.0 + ".upsert")
    }

    /// Only what is deleted.
    #[must_use]
    pub fn delete(self) -> Self {
        Self(self.0 + ".delete")
    }
}

impl From<Channel> for String {
    fn from(channel: Channel) -> Self {
        channel.0
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
