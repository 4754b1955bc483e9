//! Users of the embedded database.

use realtime_core::id::{ProjectId, UserId};
use serde_json::json;
use sqlx::{AssertSqlSafe, Row as _};

use super::{
    Sqlite, SqliteError, delete, failed, id_or_drawn, sequence_in, space_of, stored_time, taken, unknown,
};

/// A user to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewUser {
    /// Its id; drawn if `None`.
    pub id: Option<String>,
    /// Its e-mail address, which no other user of the project may have.
    pub email: Option<String>,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// Whether its e-mail address is verified.
    pub verified: bool,
    /// Whether it is blocked.
    pub blocked: bool,
}

/// What to change of a user; `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserChange {
    /// Its labels, all of them.
    pub labels: Option<Vec<String>>,
    /// Whether its e-mail address is verified.
    pub verified: Option<bool>,
    /// Whether it is blocked.
    pub blocked: Option<bool>,
    /// Whether it may act as others.
    pub impersonator: Option<bool>,
}

/// A user in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserEntry {
    /// Its id.
    pub id: UserId,
    /// Its e-mail address.
    pub email: Option<String>,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// Whether its e-mail address is verified.
    pub verified: bool,
    /// Whether it is blocked.
    pub blocked: bool,
}

impl Sqlite {
    /// Makes a user of a project, or of the console.
    pub async fn create_user(&self, project: &ProjectId, user: &NewUser) -> Result<UserEntry, SqliteError> {
        let id = id_or_drawn(user.id.as_deref())?;
        let email = user.email.as_deref().map(checked_email).transpose()?;
        let labels = json_of(&checked_labels(&user.labels)?);
        let mut change = self.change().await?;
        let space = space_of(&mut change, project).await?;
        if let Some(email) = &email {
            self.check_email_is_free(&mut change, &space.table("users"), email).await?;
        }
        let permissions =
            json!(["read(\"any\")", format!("update(\"user:{id}\")"), format!("delete(\"user:{id}\")")]);
        let statement = format!(
            "INSERT INTO \"{}\" (_uid, _createdAt, _updatedAt, registration, _permissions, name, email, status, \
             labels, prefs, emailVerification, phoneVerification, mfa, impersonator) \
             VALUES (?1, ?2, ?2, ?2, ?3, ?4, ?5, ?6, ?7, '{{}}', ?8, 0, 0, 0)",
            space.table("users")
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(&id)
            .bind(stored_time(self.now()))
            .bind(permissions.to_string())
            .bind(&user.name)
            .bind(&email)
            .bind(!user.blocked)
            .bind(labels)
            .bind(user.verified)
            .execute(&mut *change)
            .await
            .map_err(taken("user", &id, "make a user"))?;
        change.commit().await.map_err(failed("make a user"))?;
        Ok(UserEntry {
            id: UserId::new(id),
            email,
            name: user.name.clone(),
            labels: user.labels.clone(),
            verified: user.verified,
            blocked: user.blocked,
        })
    }

    /// The users of a project, oldest first.
    pub async fn users(&self, project: &ProjectId) -> Result<Vec<UserEntry>, SqliteError> {
        let doing = "list users";
        let mut connection = self.pool.acquire().await.map_err(failed(doing))?;
        let space = space_of(&mut connection, project).await?;
        let statement = format!(
            "SELECT _uid, email, coalesce(name, ''), coalesce(labels, '[]'), coalesce(emailVerification, 0), \
             coalesce(status, 1) FROM \"{}\" ORDER BY _id",
            space.table("users")
        );
        let rows = sqlx::query(AssertSqlSafe(statement)).fetch_all(&mut *connection).await;
        let entry = |row: &sqlx::sqlite::SqliteRow| -> Result<_, sqlx::Error> {
            Ok(UserEntry {
                id: UserId::new(row.try_get::<&str, _>(0)?),
                email: row.try_get(1)?,
                name: row.try_get(2)?,
                labels: serde_json::from_str(row.try_get(3)?).unwrap_or_default(),
                verified: row.try_get(4)?,
                blocked: !row.try_get::<bool, _>(5)?,
            })
        };
        rows.map_err(failed(doing))?.iter().map(entry).collect::<Result<_, _>>().map_err(failed(doing))
    }

    /// Changes a user.
    pub async fn update_user(
        &self,
        project: &ProjectId,
        user: &UserId,
        to: &UserChange,
    ) -> Result<(), SqliteError> {
        let labels = to.labels.as_ref().map(|labels| checked_labels(labels).map(|labels| json_of(&labels)));
        let labels = labels.transpose()?;
        let mut change = self.change().await?;
        let space = space_of(&mut change, project).await?;
        let statement = format!(
            "UPDATE \"{}\" SET _updatedAt = ?, labels = coalesce(?, labels), \
             emailVerification = coalesce(?, emailVerification), status = coalesce(?, status), \
             impersonator = coalesce(?, impersonator) WHERE _uid = ?",
            space.table("users")
        );
        let done = sqlx::query(AssertSqlSafe(statement))
            .bind(stored_time(self.now()))
            .bind(labels)
            .bind(to.verified)
            .bind(to.blocked.map(|blocked| !blocked))
            .bind(to.impersonator)
            .bind(user.as_str())
            .execute(&mut *change)
            .await
            .map_err(failed("change a user"))?;
        if done.rows_affected() == 0 {
            return Err(unknown("user", user.as_str(), project));
        }
        change.commit().await.map_err(failed("change a user"))
    }

    /// Removes a user with its sessions, memberships, targets, presence and keys.
    pub async fn remove_user(&self, project: &ProjectId, user: &UserId) -> Result<(), SqliteError> {
        let mut change = self.change().await?;
        let space = space_of(&mut change, project).await?;
        let whom = (project, user.as_str());
        let sequence = sequence_in(&mut change, &space, "users", "user", whom).await?;
        for collection in ["sessions", "memberships", "targets", "presenceLogs"] {
            delete(&mut change, &space.table(collection), "userInternalId", &sequence).await?;
        }
        if project.is_console() {
            sqlx::query("DELETE FROM _console_keys WHERE resourceType = 'users' AND resourceInternalId = ?")
                .bind(&sequence)
                .execute(&mut *change)
                .await
                .map_err(failed("remove a user's keys"))?;
        }
        super::team::count_members(&mut change, &space).await?;
        delete(&mut change, &space.table("users"), "_uid", user.as_str()).await?;
        change.commit().await.map_err(failed("remove a user"))
    }

    async fn check_email_is_free(
        &self,
        change: &mut super::Change,
        table: &str,
        email: &str,
    ) -> Result<(), SqliteError> {
        let statement = format!("SELECT count(*) FROM \"{table}\" WHERE email = ?");
        let found: i64 = sqlx::query_scalar(AssertSqlSafe(statement))
            .bind(email)
            .fetch_one(&mut **change)
            .await
            .map_err(failed("look up an e-mail address"))?;
        if found == 0 {
            Ok(())
        } else {
            Err(SqliteError::Taken { what: "e-mail address", id: email.to_owned() })
        }
    }
}

/// E-mail addresses are kept in lower case, in which they are looked up.
fn checked_email(email: &str) -> Result<String, SqliteError> {
    let plausible = email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
        && !email.contains(char::is_whitespace);
    if plausible {
        return Ok(email.to_lowercase());
    }
    Err(SqliteError::BadValue {
        what: "the e-mail address",
        value: email.to_owned(),
        advice: "it has the form name@host",
    })
}

/// Labels as Appwrite takes them: letters and digits.
fn checked_labels(labels: &[String]) -> Result<Vec<String>, SqliteError> {
    let is_label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len()) && label.chars().all(|c| c.is_ascii_alphanumeric())
    };
    match labels.iter().find(|label| !is_label(label)) {
        None => Ok(labels.to_vec()),
        Some(label) => Err(SqliteError::BadValue {
            what: "a label",
            value: label.clone(),
            advice: "use 1 to 36 letters and digits",
        }),
    }
}

/// The longest label that Appwrite takes.
const LONGEST_LABEL: usize = 36;

/// A list as a column holds it.
pub(super) fn json_of(list: &[String]) -> String {
    json!(list).to_string()
}
