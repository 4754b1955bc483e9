//! What the claims of a backend's token say of a user.

use realtime_core::id::{MembershipId, TeamId, UserId};
use realtime_core::identity::{Account, Membership};
use serde_json::{Map, Value};

use super::BackendJwtError;
use crate::directory::profile::Profile;

/// The longest id or name, in bytes: the length of Appwrite's id column.
const LONGEST_NAME: usize = 255;

/// The account that the claims describe.
pub(super) fn account(claims: &Map<String, Value>) -> Result<Account, BackendJwtError> {
    let id = user(claims)?;
    let email_verified =
        ["verified", "email_verified"].iter().any(|name| claims.get(*name) == Some(&Value::Bool(true)));
    let memberships = memberships(claims, &id)?;
    let labels = names(claims.get("labels"))?;
    let text = |name| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    let profile = Profile {
        id: id.as_str(),
        name: text("name"),
        email: text("email"),
        email_verification: email_verified,
        labels: &labels,
        ..Profile::default()
    };
    let profile = profile.to_json();
    Ok(Account { email_verified, phone_verified: false, memberships, labels, profile, id })
}

fn user(claims: &Map<String, Value>) -> Result<UserId, BackendJwtError> {
    let claim = |name| match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => name_of(value).map(Some).ok_or(BackendJwtError::User),
    };
    match (claim("userId")?, claim("sub")?) {
        // Two users in one token: neither can be vouched for.
        (Some(one), Some(other)) if one != other => Err(BackendJwtError::User),
        (Some(id), _) | (None, Some(id)) => Ok(UserId::new(id)),
        (None, None) => Err(BackendJwtError::User),
    }
}

/// `["red"]`, `[{"id": "red", "roles": ["owner"]}]` or `{"red": ["owner"]}`.
fn memberships(claims: &Map<String, Value>, user: &UserId) -> Result<Vec<Membership>, BackendJwtError> {
    let entries: Vec<(&str, Vec<String>)> = match claims.get("teams") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(teams)) => teams.iter().map(listed_team).collect::<Result<_, _>>()?,
        Some(Value::Object(teams)) => teams
            .iter()
            .map(|(id, roles)| Ok((checked(id).ok_or(BackendJwtError::Rights)?, names(Some(roles))?)))
            .collect::<Result<_, _>>()?,
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_)) => return Err(BackendJwtError::Rights),
    };
    Ok(entries.into_iter().map(|(team, roles)| membership(user, team, roles)).collect())
}

fn listed_team(team: &Value) -> Result<(&str, Vec<String>), BackendJwtError> {
    let (id, roles) = match team.as_object() {
        Some(team) => (team.get("id").and_then(name_of), team.get("roles")),
        None => (name_of(team), None),
    };
    Ok((id.ok_or(BackendJwtError::Rights)?, names(roles)?))
}

fn membership(user: &UserId, team: &str, roles: Vec<String>) -> Membership {
    // Claims know no membership ids. A colon is in no id of a directory, so this names nobody else's membership.
    let id = MembershipId::new(format!("{team}:{user}"));
    Membership { id, team: TeamId::new(team), roles, confirmed: true }
}

fn names(list: Option<&Value>) -> Result<Vec<String>, BackendJwtError> {
    match list {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(names)) => {
            names.iter().map(|name| name_of(name).map(str::to_owned).ok_or(BackendJwtError::Rights)).collect()
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            Err(BackendJwtError::Rights)
        }
    }
}

fn name_of(value: &Value) -> Option<&str> {
    checked(value.as_str()?)
}

/// A name that is safe in a role. A slash is not: `user:ann/verified` is a role of ann, not the user `ann/verified`.
fn checked(name: &str) -> Option<&str> {
    let fits = !name.is_empty() && name.len() <= LONGEST_NAME;
    let clean = !name.chars().any(|c| c == '/' || c.is_whitespace() || c.is_control());
    (fits && clean).then_some(name)
}
