//! What a user lets others know of itself: online, away, typing.

use bytes::Bytes;

use crate::id::PresenceId;
use crate::role::Role;

/// A client's wish to be seen, as a directory is to keep it: one for each user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// The id the client would like; the one of the user's earlier presence beats it.
    pub id: Option<PresenceId>,
    /// In a word or so.
    pub status: String,
    /// More about it: the text of a JSON value.
    pub metadata: Bytes,
    /// Who may do what with it; if absent the user alone.
    pub grants: Option<Vec<Grant>>,
}

/// Something that a role may do with a presence (Appwrite's `read("role")`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What.
    pub action: Action,
    /// Who.
    pub role: Role,
}

/// What can be done with a presence that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// See it.
    Read,
    /// Change it.
    Update,
    /// Remove it.
    Delete,
}

impl Action {
    /// All of them, in Appwrite's order.
    pub const ALL: [Self; 3] = [Self::Read, Self::Update, Self::Delete];

    /// Appwrite's name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl Presence {
    /// Everything that may be done with it by anybody: what the client granted, or all to the user.
    pub fn grants_or_all_to(&self, user: &Role) -> Vec<Grant> {
        match &self.grants {
            Some(grants) => grants.clone(),
            None => Action::ALL.map(|action| Grant { action, role: user.clone() }).into(),
        }
    }
}
