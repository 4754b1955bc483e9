//! A channel name, and what becomes of `account` when it is known whose connection it is.

use std::fmt;
use std::sync::Arc;

use crate::id::{ProjectId, UserId};

/// A channel as Appwrite spells it. Channels match by equality; unknown names are legal and never match.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(Arc<str>);

/// What happened to a resource, as channels and event names spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is new.
    Create,
    /// It changed.
    Update,
    /// It is new or changed, whichever applied.
    Upsert,
    /// It is gone.
    Delete,
}

impl Action {
    /// Reads one name segment.
    pub fn parse(segment: &str) -> Option<Self> {
        match segment {
            "create" => Some(Self::Create),
            "update" => Some(Self::Update),
            "upsert" => Some(Self::Upsert),
            "delete" => Some(Self::Delete),
            _ => None,
        }
    }

    /// The segment that stands for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Upsert => "upsert",
            Self::Delete => "delete",
        }
    }
}

const ACCOUNT: &str = "account";
/// Channels of a project's live tail begin with this; the rest is the project.
const TAIL: &str = "console.tail.";

impl Channel {
    /// Takes a name as it stands.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(Arc::from(name.as_ref()))
    }

    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `account.ID`.
    pub fn account(user: &UserId) -> Self {
        Self::new(format!("{ACCOUNT}.{user}"))
    }

    /// `account.ID.ACTION`.
    pub fn account_action(user: &UserId, action: Action) -> Self {
        Self::new(format!("{ACCOUNT}.{user}.{}", action.as_str()))
    }

    /// `console.tail.ID`.
    pub fn tail(project: &ProjectId) -> Self {
        Self::new(format!("{TAIL}{project}"))
    }

    /// The project whose live tail this channel is; `None` for other channels, and for a tail of nothing.
    pub fn tailed_project(&self) -> Option<ProjectId> {
        self.as_str().strip_prefix(TAIL).filter(|project| !project.is_empty()).map(ProjectId::new)
    }

    /// The action of a literal `account.ACTION`.
    fn own_account_action(&self) -> Option<Action> {
        Action::parse(self.as_str().strip_prefix("account.")?)
    }

    /// The same subscription for another user: `account.OLD` becomes `account.NEW` (Appwrite `rebindAccountChannels`).
    ///
    /// `None` stands for a guest, whose only rewrite is `account.ACTION`. Other channels come back as they were.
    pub fn rebind(&self, old: Option<&UserId>, new: &UserId) -> Self {
        let Some(old) = old else {
            return match self.own_account_action() {
                Some(action) => Self::account_action(new, action),
                None => self.clone(),
            };
        };
        if old == new {
            return self.clone();
        }
        let Some(rest) =
            self.as_str().strip_prefix("account.").and_then(|rest| rest.strip_prefix(old.as_str()))
        else {
            return self.clone();
        };
        if rest.is_empty() {
            return Self::account(new);
        }
        match rest.strip_prefix('.').and_then(Action::parse) {
            Some(action) => Self::account_action(new, action),
            None => self.clone(),
        }
    }
}

/// Turns the channels a client asked for into the channels it gets (Appwrite `convertChannels`).
///
/// Duplicates go; `account` gains `account.ID`, `account.ACTION` becomes `account.ID.ACTION`, and any other
/// `account.…` is dropped, since nobody may listen to somebody else's account. Guests keep `account` and
/// `account.ACTION` literally.
pub fn convert(asked: &[Channel], user: Option<&UserId>) -> Vec<Channel> {
    let mut kept: Vec<Channel> = Vec::with_capacity(asked.len() + 1);
    let mut own: Vec<Channel> = Vec::new();
    let mut seen: std::collections::BTreeSet<&str> = std::collections::BTreeSet::new();
    for channel in asked {
        if !seen.insert(channel.as_str()) {
            continue;
        }
        match (channel.as_str(), user) {
            (ACCOUNT, Some(user)) => {
                kept.push(channel.clone());
                own.push(Channel::account(user));
            }
            (ACCOUNT, None) => kept.push(channel.clone()),
            (name, user) if name.starts_with("account.") => match (channel.own_account_action(), user) {
                (Some(action), Some(user)) => own.push(Channel::account_action(user, action)),
                (Some(_), None) => kept.push(channel.clone()),
                (None, _) => {}
            },
            _ => kept.push(channel.clone()),
        }
    }
    kept.append(&mut own);
    kept
}

impl From<&str> for Channel {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({:?})", &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(asked: &[&str], user: Option<&str>) -> Vec<String> {
        let asked: Vec<Channel> = asked.iter().map(Channel::new).collect();
        let user = user.map(UserId::from);
        convert(&asked, user.as_ref()).iter().map(ToString::to_string).collect()
    }

    fn rebound(channel: &str, old: Option<&str>, new: &str) -> String {
        let old = old.map(UserId::from);
        Channel::new(channel).rebind(old.as_ref(), &UserId::from(new)).to_string()
    }

    #[test]
    fn a_foreign_account_is_dropped_for_guests_and_users() {
        assert_eq!(converted(&["account", "documents", "account.123"], None), ["account", "documents"]);
        assert_eq!(
            converted(&["account", "documents", "account.123"], Some("U")),
            ["account", "documents", "account.U"]
        );
        assert_eq!(
            converted(&["account.update", "account.bogus", "account.U"], Some("U")),
            ["account.U.update"]
        );
    }

    #[test]
    fn account_actions_become_the_users_own() {
        assert_eq!(
            converted(&["account.create", "account"], Some("U")),
            ["account", "account.U.create", "account.U"]
        );
        assert_eq!(converted(&["account.create"], None), ["account.create"]);
    }

    #[test]
    fn duplicates_are_removed() {
        assert_eq!(
            converted(&["files", "files", "account", "account"], Some("U")),
            ["files", "account", "account.U"]
        );
    }

    #[test]
    fn a_tail_names_its_project_and_a_tail_of_nothing_is_none() {
        for project in ["P", "a.b", "console"] {
            let channel = Channel::tail(&project.into());
            assert_eq!(channel.as_str(), format!("console.tail.{project}"));
            assert_eq!(channel.tailed_project(), Some(project.into()));
        }
        for other in ["console.tail.", "console.tail", "console", "projects.P", "Console.tail.P", ""] {
            assert_eq!(Channel::new(other).tailed_project(), None, "{other}");
        }
    }

    #[test]
    fn rebinding_a_guest_rewrites_only_account_actions() {
        assert_eq!(rebound("account.create", None, "B"), "account.B.create");
        assert_eq!(rebound("account", None, "B"), "account");
        assert_eq!(rebound("account.bogus", None, "B"), "account.bogus");
        assert_eq!(rebound("documents.create", None, "B"), "documents.create");
    }

    #[test]
    fn rebinding_a_user_moves_account_and_its_actions() {
        assert_eq!(rebound("account.A", Some("A"), "B"), "account.B");
        assert_eq!(rebound("account.A.update", Some("A"), "B"), "account.B.update");
        assert_eq!(rebound("account.A.bogus", Some("A"), "B"), "account.A.bogus");
        assert_eq!(rebound("account.AA", Some("A"), "B"), "account.AA");
        assert_eq!(rebound("account.update", Some("A"), "B"), "account.update");
        assert_eq!(rebound("account.A", Some("A"), "A"), "account.A");
    }
}
