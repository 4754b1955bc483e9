//! What the engine wants done outside, and what comes back.

use std::net::IpAddr;
use std::sync::Arc;

use crate::command::Hello;
use crate::id::{ConnectionId, ProjectId, SubscriptionId, UserId};
use crate::identity::{Credential, Identity};
use crate::presence::Presence;
use crate::project::Project;
use crate::replay::Place;

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
    /// Look up where these subscriptions stood when their client was here last; answer with
    /// [`crate::engine::Engine::recalled`].
    Recall {
        /// Who asks.
        connection: ConnectionId,
        /// Whose they are.
        owner: Owner,
        /// Which.
        subscriptions: Vec<SubscriptionId>,
    },
    /// Remember where these subscriptions stand, should their client come back; `None` is to be forgotten.
    Remember {
        /// Whose they are.
        owner: Owner,
        /// Which, and where.
        places: Vec<(SubscriptionId, Option<Place>)>,
        /// Whether their connections live on, so that others may learn of it a moment later.
        may_wait: bool,
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
    /// Read which team owns a project, past every cache; answer with [`crate::engine::Engine::owner_found`].
    FindOwner {
        /// Who asks.
        connection: ConnectionId,
        /// Which project.
        project: ProjectId,
    },
    /// A connection that presented its user is gone; no answer is wanted.
    Absent {
        /// Which.
        connection: ConnectionId,
        /// Whether its client ended it, and did not lose it.
        ended_by_client: bool,
    },
    /// Read a user again, past every cache; answer with [`crate::engine::Engine::refreshed`].
    Refresh {
        /// Whose project.
        project: ProjectId,
        /// Which user.
        user: UserId,
        /// Whether something waits for it, so that a directory that is away is asked again; else it is as good not to
        /// know for now.
        is_awaited: bool,
    },
}

/// Whose a subscription is: nobody else may go on with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// The project.
    pub project: ProjectId,
    /// The user; `None` for guests.
    pub user: Option<UserId>,
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
