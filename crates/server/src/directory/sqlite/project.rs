//! Projects of the embedded database.

use realtime_core::id::{ProjectId, TeamId};
use sqlx::Row as _;

use super::schema::{create_tables, drop_tables};
use super::{Sqlite, SqliteError, delete, failed, id_or_drawn, sequence_in, sequence_of, stored_time, taken};
use crate::directory::appwrite::rows::Space;

/// A project in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectEntry {
    /// Its id.
    pub id: ProjectId,
    /// Its name.
    pub name: String,
    /// The team of the console that owns it.
    pub team: Option<TeamId>,
}

/// Tables that refer to a project by `projectInternalId`.
const OWNED: [&str; 3] = ["_console_platforms", "_console_devKeys", "_console_rules"];

impl Sqlite {
    /// Makes a project, with an id that is drawn if none is asked for. `team` is the team of the console that owns it.
    pub async fn create_project(
        &self,
        id: Option<&str>,
        name: &str,
        team: Option<&TeamId>,
    ) -> Result<ProjectEntry, SqliteError> {
        let id = ProjectId::new(id_or_drawn(id)?);
        if id.is_console() {
            return Err(SqliteError::Console);
        }
        let mut change = self.change().await?;
        let team_sequence = match team {
            Some(team) => {
                let whom = (&ProjectId::console(), team.as_str());
                Some(sequence_in(&mut change, &Space::console(), "teams", "team", whom).await?)
            }
            None => None,
        };
        let now = stored_time(self.now());
        let done = sqlx::query(
            "INSERT INTO _console_projects (_uid, _createdAt, _updatedAt, _permissions, teamInternalId, teamId, \
             name, region, services, apis, auths, search, labels, status) \
             VALUES (?1, ?2, ?2, '[]', ?3, ?4, ?5, 'default', '{}', '{}', '{}', ?1 || ' ' || ?5, '[]', 'active')",
        )
        .bind(id.as_str())
        .bind(now)
        .bind(team_sequence)
        .bind(team.map(TeamId::as_str))
        .bind(name)
        .execute(&mut *change)
        .await
        .map_err(taken("project", id.as_str(), "make a project"))?;
        create_tables(&mut change, &Space::numbered(&done.last_insert_rowid().to_string())).await?;
        change.commit().await.map_err(failed("make a project"))?;
        Ok(ProjectEntry { id, name: name.to_owned(), team: team.cloned() })
    }

    /// The projects, oldest first, without the console.
    pub async fn projects(&self) -> Result<Vec<ProjectEntry>, SqliteError> {
        let rows = sqlx::query("SELECT _uid, coalesce(name, ''), teamId FROM _console_projects ORDER BY _id")
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list projects"))?;
        let entry = |row: &sqlx::sqlite::SqliteRow| -> Result<_, sqlx::Error> {
            Ok(ProjectEntry {
                id: ProjectId::new(row.try_get::<&str, _>(0)?),
                name: row.try_get(1)?,
                team: row.try_get::<Option<&str>, _>(2)?.map(TeamId::new),
            })
        };
        rows.iter().map(entry).collect::<Result<_, _>>().map_err(failed("list projects"))
    }

    /// Turns the realtime API of a project on or off.
    pub async fn set_realtime(&self, project: &ProjectId, enabled: bool) -> Result<(), SqliteError> {
        let mut change = self.change().await?;
        let sequence = sequence_of(&mut change, project).await?;
        sqlx::query(
            "UPDATE _console_projects SET _updatedAt = ?, \
             apis = json_set(coalesce(apis, '{}'), '$.websocket', json(?), '$.realtime', json(?)) WHERE _id = ?",
        )
        .bind(stored_time(self.now()))
        .bind(enabled.to_string())
        .bind(enabled.to_string())
        .bind(sequence)
        .execute(&mut *change)
        .await
        .map_err(failed("switch a project"))?;
        change.commit().await.map_err(failed("switch a project"))
    }

    /// Removes a project and all that belongs to it.
    pub async fn remove_project(&self, project: &ProjectId) -> Result<(), SqliteError> {
        if project.is_console() {
            return Err(SqliteError::Console);
        }
        let mut change = self.change().await?;
        let sequence = sequence_of(&mut change, project).await?;
        for table in OWNED {
            delete(&mut change, table, "projectInternalId", &sequence).await?;
        }
        sqlx::query("DELETE FROM _console_keys WHERE resourceType = 'projects' AND resourceInternalId = ?")
            .bind(&sequence)
            .execute(&mut *change)
            .await
            .map_err(failed("remove a project's keys"))?;
        drop_tables(&mut change, &Space::numbered(&sequence)).await?;
        delete(&mut change, "_console_projects", "_uid", project.as_str()).await?;
        change.commit().await.map_err(failed("remove a project"))
    }
}
