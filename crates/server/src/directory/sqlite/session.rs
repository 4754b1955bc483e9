//! Login sessions of the embedded database.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use realtime_core::id::{ProjectId, UserId};
use realtime_core::secret::Secret;
use serde_json::json;
use sqlx::{AssertSqlSafe, Row as _};

use super::{
    Sqlite, SqliteError, delete, drawn_secret, failed, id_or_drawn, sequence_in, space_of, stored_time,
    unknown,
};
use crate::directory::appwrite::hash_of;

/// A session that was just made. The token is told this once; the database keeps only its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// Its id.
    pub id: String,
    /// What the client shows: the value of the cookie `a_session_<project>`, or `session` in a message.
    pub token: Secret,
    /// Until when it is good.
    pub expires: Timestamp,
}

/// A session in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEntry {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub user: UserId,
    /// Until when it is good, as stored: UTC.
    pub expires: String,
}

impl Sqlite {
    /// Signs a user in for this long from now.
    pub async fn create_session(
        &self,
        project: &ProjectId,
        user: &UserId,
        lasts: Duration,
    ) -> Result<NewSession, SqliteError> {
        let id = id_or_drawn(None)?;
        let secret = Secret::new(drawn_secret());
        let expires = self.now().checked_add(lasts).unwrap_or(Timestamp::MAX);
        let sealed = self.seal(&Secret::new(hash_of(&secret)))?;
        let mut change = self.change().await?;
        let space = space_of(&mut change, project).await?;
        let sequence = sequence_in(&mut change, &space, "users", "user", (project, user.as_str())).await?;
        let statement = format!(
            "INSERT INTO \"{}\" (_uid, _createdAt, _updatedAt, _permissions, userInternalId, userId, provider, \
             secret, factors, expire) VALUES (?1, ?2, ?2, '[]', ?3, ?4, 'server', ?5, '[\"server\"]', ?6)",
            space.table("sessions")
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(&id)
            .bind(stored_time(self.now()))
            .bind(sequence)
            .bind(user.as_str())
            .bind(sealed)
            .bind(stored_time(expires))
            .execute(&mut *change)
            .await
            .map_err(failed("make a session"))?;
        change.commit().await.map_err(failed("make a session"))?;
        Ok(NewSession { id, token: token_of(user, &secret), expires })
    }

    /// The sessions of a project, oldest first.
    pub async fn sessions(&self, project: &ProjectId) -> Result<Vec<SessionEntry>, SqliteError> {
        let doing = "list sessions";
        let mut connection = self.pool.acquire().await.map_err(failed(doing))?;
        let space = space_of(&mut connection, project).await?;
        let statement = format!(
            "SELECT _uid, coalesce(userId, ''), coalesce(expire, '') FROM \"{}\" ORDER BY _id",
            space.table("sessions")
        );
        let rows = sqlx::query(AssertSqlSafe(statement)).fetch_all(&mut *connection).await;
        let entry = |row: &sqlx::sqlite::SqliteRow| -> Result<_, sqlx::Error> {
            let user = UserId::new(row.try_get::<&str, _>(1)?);
            Ok(SessionEntry { id: row.try_get(0)?, user, expires: row.try_get(2)? })
        };
        rows.map_err(failed(doing))?.iter().map(entry).collect::<Result<_, _>>().map_err(failed(doing))
    }

    /// Signs a user out.
    pub async fn remove_session(&self, project: &ProjectId, id: &str) -> Result<(), SqliteError> {
        let mut change = self.change().await?;
        let space = space_of(&mut change, project).await?;
        if delete(&mut change, &space.table("sessions"), "_uid", id).await? == 0 {
            return Err(unknown("session", id, project));
        }
        change.commit().await.map_err(failed("remove a session"))
    }
}

/// The token as Appwrite writes it: base64 of `{"id": …, "secret": …}`.
fn token_of(user: &UserId, secret: &Secret) -> Secret {
    let json = json!({ "id": user.as_str(), "secret": secret.expose() });
    Secret::new(STANDARD.encode(json.to_string()))
}
