//! Teams and memberships of the embedded database.

use realtime_core::id::{MembershipId, ProjectId, TeamId, UserId};
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use super::user::json_of;
use super::{
    Sqlite, SqliteError, delete, failed, id_or_drawn, sequence_in, space_of, stored_time, taken, unknown,
};
use crate::directory::appwrite::rows::Space;

/// A team in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamEntry {
    /// Its id.
    pub id: TeamId,
    /// Its name.
    pub name: String,
    /// How many confirmed members it has.
    pub members: i64,
}

/// A membership to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMembership {
    /// Its id; drawn if `None`.
    pub id: Option<String>,
    /// The team.
    pub team: TeamId,
    /// The user.
    pub user: UserId,
    /// The roles to hold in it, such as `owner`.
    pub roles: Vec<String>,
    /// Whether the invitation was accepted; until then it grants nothing.
    pub confirmed: bool,
}

/// A membership in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipEntry {
    /// Its id.
    pub id: MembershipId,
    /// The team.
    pub team: TeamId,
    /// The user.
    pub user: UserId,
    /// The roles held in it.
    pub roles: Vec<String>,
    /// Whether it grants anything.
    pub confirmed: bool,
}

impl Sqlite {
    /// Makes a team of a project, or of the console.
    pub async fn create_team(
        &self,
        project: &ProjectId,
        id: Option<&str>,
        name: &str,
    ) -> Result<TeamEntry, SqliteError> {
        let id = id_or_drawn(id)?;
        let mut change = self.change().await?;
        let space = space_of(&mut change, project).await?;
        let statement = format!(
            "INSERT INTO \"{}\" (_uid, _createdAt, _updatedAt, _permissions, name, total, prefs, labels) \
             VALUES (?1, ?2, ?2, '[]', ?3, 0, '{{}}', '[]')",
            space.table("teams")
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(&id)
            .bind(stored_time(self.now()))
            .bind(name)
            .execute(&mut *change)
            .await
            .map_err(taken("team", &id, "make a team"))?;
        change.commit().await.map_err(failed("make a team"))?;
        Ok(TeamEntry { id: TeamId::new(id), name: name.to_owned(), members: 0 })
    }

    /// The teams of a project, oldest first.
    pub async fn teams(&self, project: &ProjectId) -> Result<Vec<TeamEntry>, SqliteError> {
        let doing = "list teams";
        let mut connection = self.pool.acquire().await.map_err(failed(doing))?;
        let space = space_of(&mut connection, project).await?;
        let statement = format!(
            "SELECT _uid, coalesce(name, ''), coalesce(total, 0) FROM \"{}\" ORDER BY _id",
            space.table("teams")
        );
        let rows = sqlx::query(AssertSqlSafe(statement)).fetch_all(&mut *connection).await;
        let entry = |row: &sqlx::sqlite::SqliteRow| -> Result<_, sqlx::Error> {
            let id = TeamId::new(row.try_get::<&str, _>(0)?);
            Ok(TeamEntry { id, name: row.try_get(1)?, members: row.try_get(2)? })
        };
        rows.map_err(failed(doing))?.iter().map(entry).collect::<Result<_, _>>().map_err(failed(doing))
    }

    /// Removes a team and its memberships.
    pub async fn remove_team(&self, project: &ProjectId, team: &TeamId) -> Result<(), SqliteError> {
        let mut change = self.change().await?;
        let space = space_of(&mut change, project).await?;
        let which = (project, team.as_str());
        let sequence = sequence_in(&mut change, &space, "teams", "team", which).await?;
        delete(&mut change, &space.table("memberships"), "teamInternalId", &sequence).await?;
        delete(&mut change, &space.table("teams"), "_uid", team.as_str()).await?;
        change.commit().await.map_err(failed("remove a team"))
    }

    /// Makes a user a member of a team.
    pub async fn create_membership(
        &self,
        project: &ProjectId,
        membership: &NewMembership,
    ) -> Result<MembershipEntry, SqliteError> {
        let id = id_or_drawn(membership.id.as_deref())?;
        let (team, user) = (membership.team.as_str(), membership.user.as_str());
        if let Some(role) = membership.roles.iter().find(|role| !is_role(role)) {
            return Err(SqliteError::BadValue {
                what: "a role in a team",
                value: role.clone(),
                advice: "use 1 to 81 letters, digits, dots, dashes and underscores",
            });
        }
        let mut change = self.change().await?;
        let space = space_of(&mut change, project).await?;
        let team_sequence = sequence_in(&mut change, &space, "teams", "team", (project, team)).await?;
        let user_sequence = sequence_in(&mut change, &space, "users", "user", (project, user)).await?;
        let now = stored_time(self.now());
        let statement = format!(
            "INSERT INTO \"{}\" (_uid, _createdAt, _updatedAt, _permissions, userInternalId, userId, \
             teamInternalId, teamId, roles, invited, joined, confirm) \
             VALUES (?1, ?2, ?2, '[]', ?3, ?4, ?5, ?6, ?7, ?2, ?8, ?9)",
            space.table("memberships")
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(&id)
            .bind(&now)
            .bind(user_sequence)
            .bind(user)
            .bind(team_sequence)
            .bind(team)
            .bind(json_of(&membership.roles))
            .bind(membership.confirmed.then_some(&now))
            .bind(membership.confirmed)
            .execute(&mut *change)
            .await
            .map_err(taken("membership", &format!("{user} of {team} ({id})"), "make a membership"))?;
        count_members(&mut change, &space).await?;
        change.commit().await.map_err(failed("make a membership"))?;
        Ok(MembershipEntry {
            id: MembershipId::new(id),
            team: membership.team.clone(),
            user: membership.user.clone(),
            roles: membership.roles.clone(),
            confirmed: membership.confirmed,
        })
    }

    /// The memberships of a project, oldest first.
    pub async fn memberships(&self, project: &ProjectId) -> Result<Vec<MembershipEntry>, SqliteError> {
        let doing = "list memberships";
        let mut connection = self.pool.acquire().await.map_err(failed(doing))?;
        let space = space_of(&mut connection, project).await?;
        let statement = format!(
            "SELECT _uid, coalesce(teamId, ''), coalesce(userId, ''), coalesce(roles, '[]'), \
             coalesce(confirm, 0) FROM \"{}\" ORDER BY _id",
            space.table("memberships")
        );
        let rows = sqlx::query(AssertSqlSafe(statement)).fetch_all(&mut *connection).await;
        let entry = |row: &sqlx::sqlite::SqliteRow| -> Result<_, sqlx::Error> {
            Ok(MembershipEntry {
                id: MembershipId::new(row.try_get::<&str, _>(0)?),
                team: TeamId::new(row.try_get::<&str, _>(1)?),
                user: UserId::new(row.try_get::<&str, _>(2)?),
                roles: serde_json::from_str(row.try_get(3)?).unwrap_or_default(),
                confirmed: row.try_get(4)?,
            })
        };
        rows.map_err(failed(doing))?.iter().map(entry).collect::<Result<_, _>>().map_err(failed(doing))
    }

    /// Ends a membership.
    pub async fn remove_membership(&self, project: &ProjectId, id: &MembershipId) -> Result<(), SqliteError> {
        let mut change = self.change().await?;
        let space = space_of(&mut change, project).await?;
        if delete(&mut change, &space.table("memberships"), "_uid", id.as_str()).await? == 0 {
            return Err(unknown("membership", id.as_str(), project));
        }
        count_members(&mut change, &space).await?;
        change.commit().await.map_err(failed("end a membership"))
    }
}

/// Brings the totals of all teams up to date.
pub(super) async fn count_members(
    connection: &mut SqliteConnection,
    space: &Space,
) -> Result<(), SqliteError> {
    let (teams, memberships) = (space.table("teams"), space.table("memberships"));
    let statement = format!(
        "UPDATE \"{teams}\" SET total = (SELECT count(*) FROM \"{memberships}\" \
         WHERE teamInternalId = CAST(\"{teams}\"._id AS TEXT) AND confirm = 1)"
    );
    let done = sqlx::query(AssertSqlSafe(statement)).execute(connection).await;
    done.map(drop).map_err(failed("count the members of teams"))
}

/// A role as Appwrite takes it (`Role::team`): no slash and no colon in it.
fn is_role(role: &str) -> bool {
    (1..=LONGEST_ROLE).contains(&role.len())
        && role.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

/// The longest role in a team that Appwrite takes.
const LONGEST_ROLE: usize = 81;
