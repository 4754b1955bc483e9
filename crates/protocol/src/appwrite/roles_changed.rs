//! Which events change what live connections may see.
//!
//! Appwrite announces new memberships alone (`permissionsChanged`). A label, a verification, a block, a changed
//! password and an ended session change as much, so every event about a user counts that may stand for one of them.

use realtime_core::event::Holder;
use realtime_core::id::{TeamId, UserId};
use serde::Deserialize;

/// What follows `users.ID.` in events that change neither roles nor sessions.
const HARMLESS: [&str; 4] = ["targets", "tokens", "identities", "challenges"];
/// Attributes whose update changes neither (`users.ID.update.prefs`).
const HARMLESS_ATTRIBUTES: [&str; 2] = ["prefs", "name"];

/// Whose roles are others than before this event, if anybody's.
pub(super) fn holder_of(
    permissions_changed: bool,
    user: Option<&UserId>,
    events: &[impl AsRef<str>],
    payload: &[u8],
) -> Option<Holder> {
    let name = events.first().map(AsRef::as_ref).unwrap_or_default();
    match user {
        Some(user) if permissions_changed => Some(Holder::User(user.clone())),
        Some(user) if concerns_access(user.as_str(), events) => Some(Holder::StoredUser(user.clone())),
        Some(_) | None => ended_team(name, payload).map(Holder::Team),
    }
}

/// Whether an event about a user may have changed its roles, its sessions, or whether it may be here at all.
fn concerns_access(user: &str, events: &[impl AsRef<str>]) -> bool {
    let Some(about) = events.first().and_then(|name| after_user(user, name.as_ref())) else { return false };
    let first = about.split('.').next().unwrap_or_default();
    if first == "update" {
        // The attribute stands in a later name of the same event.
        let mut attributes = events
            .iter()
            .filter_map(|name| after_user(user, name.as_ref())?.strip_prefix("update."))
            .peekable();
        return attributes.peek().is_none()
            || attributes.any(|attribute| !HARMLESS_ATTRIBUTES.contains(&attribute));
    }
    !HARMLESS.contains(&first)
}

fn after_user<'a>(user: &str, name: &'a str) -> Option<&'a str> {
    name.strip_prefix("users.")?.strip_prefix(user)?.strip_prefix('.')
}

/// The team that an event says is gone. Its memberships go with it, without events of their own.
fn ended_team(name: &str, payload: &[u8]) -> Option<TeamId> {
    #[derive(Deserialize)]
    struct Team<'a> {
        #[serde(rename = "$id", borrow)]
        id: std::borrow::Cow<'a, str>,
    }
    let named = name.strip_prefix("teams.")?.strip_suffix(".delete")?;
    // An id may have dots, so the name alone does not tell a team from a membership.
    let team: Team<'_> = serde_json::from_slice(payload).ok()?;
    (team.id == named).then(|| TeamId::new(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_user(events: &[&str]) -> Option<Holder> {
        let events: Vec<String> = events.iter().map(|name| (*name).to_owned()).collect();
        holder_of(false, Some(&"U".into()), &events, b"{}")
    }

    #[test]
    fn what_may_change_roles_or_sessions_names_the_user() {
        for event in [
            "users.U.update",
            "users.U.delete",
            "users.U.sessions",
            "users.U.sessions.S.delete",
            "users.U.sessions.S.create",
            "users.U.verification.V.update",
            "users.U.recovery.R.update",
            "users.U.something.new",
        ] {
            assert_eq!(of_user(&[event]), Some(Holder::StoredUser("U".into())), "{event}");
        }
        for attribute in ["status", "labels", "emailVerification", "password", "unheardOf"] {
            let attribute = format!("users.U.update.{attribute}");
            assert!(of_user(&["users.U.update", "users.*.update", &attribute]).is_some(), "{attribute}");
        }
    }

    #[test]
    fn what_changes_neither_names_nobody() {
        for event in
            ["users.U.targets.T.create", "users.U.tokens.T.create", "users.V.delete", "teams.T.update"]
        {
            assert_eq!(of_user(&[event]), None, "{event}");
        }
        for attribute in ["prefs", "name"] {
            let attribute = format!("users.U.update.{attribute}");
            assert_eq!(of_user(&["users.U.update", "users.*.update", &attribute]), None, "{attribute}");
        }
    }

    #[test]
    fn a_user_id_with_dots_is_taken_whole() {
        let events = ["users.eve.dot.update".to_owned()];
        let found = holder_of(false, Some(&"eve.dot".into()), &events, b"{}");
        assert_eq!(found, Some(Holder::StoredUser("eve.dot".into())));
        assert_eq!(holder_of(false, Some(&"eve".into()), &["users.eve2.update".to_owned()], b"{}"), None);
    }

    #[test]
    fn a_team_that_ends_is_told_from_a_membership_that_ends() {
        let find = |name: &str, payload: &[u8]| holder_of(false, None, &[name.to_owned()], payload);
        assert_eq!(find("teams.a.b.delete", br#"{"$id":"a.b"}"#), Some(Holder::Team("a.b".into())));
        assert_eq!(find("teams.T.memberships.M.delete", br#"{"$id":"M"}"#), None);
        assert_eq!(find("teams.T.delete", b"{}"), None);
    }
}
