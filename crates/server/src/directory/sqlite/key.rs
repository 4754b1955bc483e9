//! API keys, keys of console users, and development keys of the embedded database.

use std::time::Duration;

use realtime_core::id::{ProjectId, UserId};
use realtime_core::secret::Secret;
use sqlx::{Row as _, SqliteConnection};

use super::user::json_of;
use super::{
    Sqlite, SqliteError, drawn_secret, failed, id_or_drawn, sequence_in, sequence_of, stored_time, taken,
    unknown,
};
use crate::directory::appwrite::rows::Space;

/// A key that was just made. The secret is told this once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Its id.
    pub id: String,
    /// What its holder shows.
    pub secret: Secret,
}

/// A key in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEntry {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it allows; a development key allows nothing by name.
    pub scopes: Vec<String>,
    /// Until when it is good, as stored: UTC. `None` is for ever.
    pub expires: Option<String>,
}

/// Whose key it is, in the columns of the table.
struct Owner<'a> {
    kind: &'static str,
    id: &'a str,
    sequence: String,
}

impl Sqlite {
    /// Makes an API key of a project, which lets a backend do what its scopes say.
    pub async fn create_key(
        &self,
        project: &ProjectId,
        id: Option<&str>,
        name: &str,
        scopes: &[String],
        lasts: Option<Duration>,
    ) -> Result<NewKey, SqliteError> {
        let id = id_or_drawn(id)?;
        let mut change = self.change().await?;
        let sequence = sequence_of(&mut change, project).await?;
        let owner = Owner { kind: "projects", id: project.as_str(), sequence };
        let key = NewKey { id, secret: Secret::new(format!("standard_{}", drawn_secret())) };
        self.insert_key(&mut change, &owner, &key, (name, scopes), lasts).await?;
        change.commit().await.map_err(failed("make a key"))?;
        Ok(key)
    }

    /// Makes a key of a user of the console, which stands for that user.
    pub async fn create_account_key(
        &self,
        user: &UserId,
        id: Option<&str>,
        name: &str,
        lasts: Option<Duration>,
    ) -> Result<NewKey, SqliteError> {
        let id = id_or_drawn(id)?;
        let mut change = self.change().await?;
        let whom = (&ProjectId::console(), user.as_str());
        let sequence = sequence_in(&mut change, &Space::console(), "users", "user", whom).await?;
        let owner = Owner { kind: "users", id: user.as_str(), sequence };
        let key = NewKey { id, secret: Secret::new(format!("account_{}", drawn_secret())) };
        self.insert_key(&mut change, &owner, &key, (name, &[]), lasts).await?;
        change.commit().await.map_err(failed("make a key"))?;
        Ok(key)
    }

    async fn insert_key(
        &self,
        connection: &mut SqliteConnection,
        owner: &Owner<'_>,
        key: &NewKey,
        (name, scopes): (&str, &[String]),
        lasts: Option<Duration>,
    ) -> Result<(), SqliteError> {
        sqlx::query(
            "INSERT INTO _console_keys (_uid, _createdAt, _updatedAt, _permissions, resourceType, resourceId, \
             resourceInternalId, name, scopes, secret, expire, sdks) \
             VALUES (?1, ?2, ?2, '[]', ?3, ?4, ?5, ?6, ?7, ?8, ?9, '[]')",
        )
        .bind(&key.id)
        .bind(stored_time(self.now()))
        .bind(owner.kind)
        .bind(owner.id)
        .bind(&owner.sequence)
        .bind(name)
        .bind(json_of(scopes))
        .bind(self.seal(&key.secret)?)
        .bind(self.expiry(lasts))
        .execute(connection)
        .await
        .map(drop)
        .map_err(taken("key", &key.id, "make a key"))
    }

    /// The API keys of a project, oldest first.
    pub async fn keys(&self, project: &ProjectId) -> Result<Vec<KeyEntry>, SqliteError> {
        let mut connection = self.pool.acquire().await.map_err(failed("list keys"))?;
        let sequence = sequence_of(&mut connection, project).await?;
        let rows = sqlx::query(
            "SELECT _uid, coalesce(name, ''), coalesce(scopes, '[]'), expire FROM _console_keys \
             WHERE resourceType = 'projects' AND resourceInternalId = ? ORDER BY _id",
        )
        .bind(sequence)
        .fetch_all(&mut *connection)
        .await;
        entries(&rows.map_err(failed("list keys"))?)
    }

    /// Withdraws an API key of a project.
    pub async fn remove_key(&self, project: &ProjectId, id: &str) -> Result<(), SqliteError> {
        let mut change = self.change().await?;
        let sequence = sequence_of(&mut change, project).await?;
        let done = sqlx::query(
            "DELETE FROM _console_keys WHERE resourceType = 'projects' AND resourceInternalId = ? AND _uid = ?",
        )
        .bind(sequence)
        .bind(id)
        .execute(&mut *change)
        .await
        .map_err(failed("remove a key"))?;
        if done.rows_affected() == 0 {
            return Err(unknown("key", id, project));
        }
        change.commit().await.map_err(failed("remove a key"))
    }

    /// Makes a development key of a project, which lets any origin in.
    pub async fn create_dev_key(
        &self,
        project: &ProjectId,
        id: Option<&str>,
        name: &str,
        lasts: Option<Duration>,
    ) -> Result<NewKey, SqliteError> {
        let id = id_or_drawn(id)?;
        let key = NewKey { id, secret: Secret::new(drawn_secret()) };
        let mut change = self.change().await?;
        let sequence = sequence_of(&mut change, project).await?;
        sqlx::query(
            "INSERT INTO \"_console_devKeys\" (_uid, _createdAt, _updatedAt, _permissions, projectInternalId, \
             projectId, name, secret, expire, sdks) VALUES (?1, ?2, ?2, '[]', ?3, ?4, ?5, ?6, ?7, '[]')",
        )
        .bind(&key.id)
        .bind(stored_time(self.now()))
        .bind(sequence)
        .bind(project.as_str())
        .bind(name)
        .bind(self.seal(&key.secret)?)
        .bind(self.expiry(lasts))
        .execute(&mut *change)
        .await
        .map_err(taken("development key", &key.id, "make a development key"))?;
        change.commit().await.map_err(failed("make a development key"))?;
        Ok(key)
    }

    /// The development keys of a project, oldest first.
    pub async fn dev_keys(&self, project: &ProjectId) -> Result<Vec<KeyEntry>, SqliteError> {
        let mut connection = self.pool.acquire().await.map_err(failed("list development keys"))?;
        let sequence = sequence_of(&mut connection, project).await?;
        let rows = sqlx::query(
            "SELECT _uid, coalesce(name, ''), '[]', expire FROM \"_console_devKeys\" \
             WHERE projectInternalId = ? ORDER BY _id",
        )
        .bind(sequence)
        .fetch_all(&mut *connection)
        .await;
        entries(&rows.map_err(failed("list development keys"))?)
    }

    /// Withdraws a development key of a project.
    pub async fn remove_dev_key(&self, project: &ProjectId, id: &str) -> Result<(), SqliteError> {
        let mut change = self.change().await?;
        let sequence = sequence_of(&mut change, project).await?;
        let done = sqlx::query("DELETE FROM \"_console_devKeys\" WHERE projectInternalId = ? AND _uid = ?")
            .bind(sequence)
            .bind(id)
            .execute(&mut *change)
            .await
            .map_err(failed("remove a development key"))?;
        if done.rows_affected() == 0 {
            return Err(unknown("development key", id, project));
        }
        change.commit().await.map_err(failed("remove a development key"))
    }

    fn expiry(&self, lasts: Option<Duration>) -> Option<String> {
        lasts.and_then(|lasts| self.now().checked_add(lasts).ok()).map(stored_time)
    }
}

fn entries(rows: &[sqlx::sqlite::SqliteRow]) -> Result<Vec<KeyEntry>, SqliteError> {
    let entry = |row: &sqlx::sqlite::SqliteRow| -> Result<_, sqlx::Error> {
        let scopes = serde_json::from_str(row.try_get(2)?).unwrap_or_default();
        Ok(KeyEntry { id: row.try_get(0)?, name: row.try_get(1)?, scopes, expires: row.try_get(3)? })
    };
    rows.iter().map(entry).collect::<Result<_, _>>().map_err(failed("list keys"))
}
