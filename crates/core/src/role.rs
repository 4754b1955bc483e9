//! A permission holder: `any`, `user:ID`, `team:ID/owner`. Roles match by equality and nothing else.

use std::fmt;
use std::sync::Arc;

use crate::id::{MembershipId, TeamId, UserId};

/// A role as Appwrite spells it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role(Arc<str>);

impl Role {
    /// The role that every connection meets and none holds.
    pub const ANY: &'static str = "any";
    /// The only role of a connection without a user.
    pub const GUESTS: &'static str = "guests";

    /// Takes a role as an event's publisher wrote it.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(Arc::from(text.as_ref()))
    }

    /// `any`.
    pub fn any() -> Self {
        Self::new(Self::ANY)
    }

    /// `guests`.
    pub fn guests() -> Self {
        Self::new(Self::GUESTS)
    }

    /// `users`.
    pub fn users() -> Self {
        Self::new("users")
    }

    /// `users/verified` or `users/unverified`.
    pub fn users_by_verification(verified: bool) -> Self {
        Self::new(if verified { "users/verified" } else { "users/unverified" })
    }

    /// `user:ID`.
    pub fn user(id: &UserId) -> Self {
        Self::new(format!("user:{id}"))
    }

    /// `user:ID/verified` or `user:ID/unverified`.
    pub fn user_by_verification(id: &UserId, verified: bool) -> Self {
        Self::new(format!("user:{id}/{}", if verified { "verified" } else { "unverified" }))
    }

    /// `team:ID`.
    pub fn team(id: &TeamId) -> Self {
        Self::new(format!("team:{id}"))
    }

    /// `team:ID/ROLE`.
    pub fn team_role(id: &TeamId, role: &str) -> Self {
        Self::new(format!("team:{id}/{role}"))
    }

    /// `member:ID`.
    pub fn member(id: &MembershipId) -> Self {
        Self::new(format!("member:{id}"))
    }

    /// `label:NAME`.
    pub fn label(name: &str) -> Self {
        Self::new(format!("label:{name}"))
    }

    /// The role as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an event with this role is for everybody.
    pub fn is_any(&self) -> bool {
        self.as_str() == Self::ANY
    }
}

impl From<&str> for Role {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Role({:?})", &self.0)
    }
}
