//! Platforms and custom domains of the embedded database: from where clients may connect.

use realtime_core::id::ProjectId;
use realtime_core::project::Platform;
use sqlx::Row as _;

use super::{Sqlite, SqliteError, failed, id_or_drawn, sequence_of, stored_time, taken, unknown};

/// A platform in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformEntry {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it lets in.
    pub platform: Platform,
}

impl Sqlite {
    /// Registers a client application of a project.
    pub async fn create_platform(
        &self,
        project: &ProjectId,
        id: Option<&str>,
        name: &str,
        platform: &Platform,
    ) -> Result<PlatformEntry, SqliteError> {
        let id = id_or_drawn(id)?;
        check(platform)?;
        let mut change = self.change().await?;
        let sequence = sequence_of(&mut change, project).await?;
        sqlx::query(
            "INSERT INTO _console_platforms (_uid, _createdAt, _updatedAt, _permissions, projectInternalId, \
             projectId, type, name, key, hostname) VALUES (?1, ?2, ?2, '[]', ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .bind(&id)
        .bind(stored_time(self.now()))
        .bind(sequence)
        .bind(project.as_str())
        .bind(&platform.kind)
        .bind(name)
        .bind(&platform.key)
        .bind(&platform.hostname)
        .execute(&mut *change)
        .await
        .map_err(taken("platform", &id, "register a platform"))?;
        change.commit().await.map_err(failed("register a platform"))?;
        Ok(PlatformEntry { id, name: name.to_owned(), platform: platform.clone() })
    }

    /// The platforms of a project, oldest first.
    pub async fn platforms(&self, project: &ProjectId) -> Result<Vec<PlatformEntry>, SqliteError> {
        let doing = "list platforms";
        let mut connection = self.pool.acquire().await.map_err(failed(doing))?;
        let sequence = sequence_of(&mut connection, project).await?;
        let rows = sqlx::query(
            "SELECT _uid, coalesce(name, ''), coalesce(type, ''), coalesce(hostname, ''), coalesce(key, '') \
             FROM _console_platforms WHERE projectInternalId = ? ORDER BY _id",
        )
        .bind(sequence)
        .fetch_all(&mut *connection)
        .await;
        let entry = |row: &sqlx::sqlite::SqliteRow| -> Result<_, sqlx::Error> {
            let platform =
                Platform { kind: row.try_get(2)?, hostname: row.try_get(3)?, key: row.try_get(4)? };
            Ok(PlatformEntry { id: row.try_get(0)?, name: row.try_get(1)?, platform })
        };
        rows.map_err(failed(doing))?.iter().map(entry).collect::<Result<_, _>>().map_err(failed(doing))
    }

    /// Takes a platform off the list of a project.
    pub async fn remove_platform(&self, project: &ProjectId, id: &str) -> Result<(), SqliteError> {
        let mut change = self.change().await?;
        let sequence = sequence_of(&mut change, project).await?;
        let done = sqlx::query("DELETE FROM _console_platforms WHERE projectInternalId = ? AND _uid = ?")
            .bind(sequence)
            .bind(id)
            .execute(&mut *change)
            .await
            .map_err(failed("remove a platform"))?;
        if done.rows_affected() == 0 {
            return Err(unknown("platform", id, project));
        }
        change.commit().await.map_err(failed("remove a platform"))
    }

    /// Gives a project a domain of its own, which is then an allowed origin.
    pub async fn create_domain(&self, project: &ProjectId, domain: &str) -> Result<(), SqliteError> {
        let domain = domain.to_lowercase();
        let mut change = self.change().await?;
        let sequence = sequence_of(&mut change, project).await?;
        sqlx::query(
            "INSERT INTO _console_rules (_uid, _createdAt, _updatedAt, _permissions, projectInternalId, \
             projectId, domain, type, status) VALUES (?1, ?2, ?2, '[]', ?3, ?4, ?5, 'api', 'verified')",
        )
        .bind(id_or_drawn(None)?)
        .bind(stored_time(self.now()))
        .bind(sequence)
        .bind(project.as_str())
        .bind(&domain)
        .execute(&mut *change)
        .await
        .map_err(taken("domain", &domain, "add a domain"))?;
        change.commit().await.map_err(failed("add a domain"))
    }
}

/// A web platform lets a host in, any other a key.
fn check(platform: &Platform) -> Result<(), SqliteError> {
    let is_web = matches!(platform.kind.as_str(), "web" | "flutter-web" | "unity");
    let (what, value) = if is_web { ("the host", &platform.hostname) } else { ("the key", &platform.key) };
    let clean = !value.is_empty() && !value.contains(char::is_whitespace) && !value.contains('/');
    if clean {
        return Ok(());
    }
    Err(SqliteError::BadValue {
        what,
        value: value.clone(),
        advice: "a web platform needs a host such as localhost or *.example.com, any other its bundle or package name",
    })
}
