//! What the engine wants done outside, and what comes back.

use std::net::IpAddr;
use std::sync::Arc;

use crate::command::Hello;
use crate::id::{ConnectionId, ProjectId, UserId};
use crate::identity::{Credential, Identity};
use crate::presence::Presence;
use crate::project::Project;

/// What the engine wants done outside.
#[derive(Debug)]
pub enum Effect {
    /// The connection has something to send.
    Wake(ConnectionId),
    /// Find out the project and who this is; answer with [`crate::engine::Engine::identified`].
    Identify {
        /// Who asks.
        connection: ConnectionId,
        /// What it said.
        hello: Arc<Hello>,
    },
    /// Find out who shows this credential; answer with [`crate::engine::Engine::authenticated`].
    Authenticate {
        /// Who asks.
        connection: ConnectionId,
        /// Where.
        project: ProjectId,
        /// From where, for the limit of failed attempts.
        address: IpAddr,
        /// What it showed.
        credential: Credential,
    },
    /// Keep what a user lets others know of itself, and tell them; answer with [`crate::engine::Engine::presented`].
    Present {
        /// Who asks.
        connection: ConnectionId,
        /// Where.
        project: ProjectId,
        /// Which user.
        user: UserId,
        /// Whether a token alone speaks of the user, and no directory.
        claimed: bool,
        /// What to keep.
        presence: Presence,
    },
    /// A connection that presented its user is gone; no answer is wanted.
    Absent {
        /// Which.
        connection: ConnectionId,
    },
    /// Read a user again, past every cache; answer with [`crate::engine::Engine::refreshed`].
    Refresh {
        /// Whose project.
        project: ProjectId,
        /// Which user.
        user: UserId,
    },
}

/// What a look-up found out about somebody who wants in.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The project asked for.
    pub project: Arc<Project>,
    /// Who it is.
    pub identity: Identity,
    /// Whether the origin's host is a custom domain of the project.
    pub owns_origin: bool,
}
