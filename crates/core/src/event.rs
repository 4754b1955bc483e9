//! Something that happened in the backend, to be delivered.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::channel::Channel;
use crate::id::{EventId, ProjectId, TeamId, UserId};
use crate::query::Payload;
use crate::role::Role;

/// How many codecs may keep a spelling on an event. A codec names its slot in [`SpellingSlot`].
const SPELLING_SLOTS: usize = 4;

/// Which of an event's memo cells belongs to a codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpellingSlot {
    /// Appwrite's JSON.
    Appwrite = 0,
}

/// An event as the bus brought it, shared by every shard of the node.
#[derive(Debug)]
pub struct Event {
    /// Deterministic: every node that read the same bus message gives it the same id.
    pub id: EventId,
    /// Whose connections it is for.
    pub project: ProjectId,
    /// Any one of these channels makes a subscription a candidate.
    pub channels: Vec<Channel>,
    /// Any one of these roles lets a connection see it; `any` lets all.
    pub roles: Vec<Role>,
    /// The name without wildcards, if the publisher gave any (`users.U.update`).
    pub name: Option<Arc<str>>,
    /// The user that the publisher names beside it, if any (Appwrite's envelope, `userId`).
    pub user: Option<UserId>,
    /// The publisher's `data` object, byte for byte, braces included.
    pub data: Bytes,
    /// The resource that it is about, inside `data`.
    pub payload: Payload,
    /// Whose roles are others than before this event, if anybody's.
    pub roles_changed: Option<Holder>,
    /// Write-once spellings, one cell for each codec.
    pub spellings: Spellings,
}

/// Whose roles an event changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A user, who is read again before its connections see anything that follows: the event says that its roles changed.
    User(UserId),
    /// The same, but the event says only that something changed from which a directory derives roles. Where no directory
    /// has the user, nothing did.
    StoredUser(UserId),
    /// Every member of a team that is no more.
    Team(TeamId),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) | Self::StoredUser(user) => write!(f, "user:{user}"),
            Self::Team(team) => write!(f, "team:{team}"),
        }
    }
}

/// The memo of how an event was spelled, so that it is spelled once for any number of receivers.
#[derive(Debug, Default)]
pub struct Spellings([OnceLock<Bytes>; SPELLING_SLOTS]);

impl Spellings {
    /// The codec's spelling, made by `spell` the first time.
    pub fn get_or_spell(&self, slot: SpellingSlot, spell: impl FnOnce() -> Bytes) -> Bytes {
        match self.0.get(slot as usize) {
            Some(cell) => cell.get_or_init(spell).clone(),
            None => spell(),
        }
    }
}

impl Event {
    /// What it is about: its name without the last part, which says what happened (`users.U` of `users.U.update`).
    pub fn subject(&self) -> Option<&str> {
        let (subject, _) = self.name.as_deref()?.rsplit_once('.')?;
        Some(subject)
    }

    /// Whether every connection of the project may see it.
    pub fn is_for_all(&self) -> bool {
        self.roles.iter().any(Role::is_any)
    }
}
