//! One connection as a state machine: Opening → Live → Closing, and what each state may hold.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::command::{Command, Hello, Malformed};
use crate::id::{ProjectId, UserId};
use crate::identity::Identity;
use crate::limit::Bucket;
use crate::outbox::Outbox;

/// Commands that wait for a look-up, at most. Only reached with the message limit switched off or raised.
pub(crate) const WAITING_COMMANDS: usize = 256;

/// A connection of the engine.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) state: State,
    pub(crate) outbox: Outbox,
    /// Said while a look-up is under way; handled in order once it is answered.
    pub(crate) waiting: VecDeque<Result<Command, Malformed>>,
    pub(crate) allowance: Bucket,
    /// When to send a heartbeat, unless something else was sent since the last look.
    pub(crate) heartbeat_at: Instant,
    pub(crate) spoke: bool,
    /// When the engine is to end the connection because the node stops.
    pub(crate) leave_at: Option<Instant>,
    /// The moment under which the connection stands in the deadlines.
    pub(crate) due: Instant,
}

/// How far a connection is.
#[derive(Debug)]
pub(crate) enum State {
    /// The client said hello and it is being found out who it is.
    Opening(Opening),
    /// Events flow.
    Live(Live),
    /// The last word is queued; nothing the client says matters any more.
    Closing,
}

/// A connection whose identity is being looked up.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) hello: Arc<Hello>,
    /// Until when the look-up has to be answered.
    pub(crate) until: Instant,
    /// The engine's count of role changes when the look-up began.
    pub(crate) asked_at: u64,
}

/// A connection that is somebody, if only a guest.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) project: ProjectId,
    pub(crate) address: IpAddr,
    pub(crate) identity: Identity,
    /// When the proof of identity runs out.
    pub(crate) expires_at: Option<Instant>,
    /// While an `authentication` is looked up: the count of role changes when it began.
    pub(crate) authenticating: Option<u64>,
    /// While its user's roles are read again: matched events wait.
    pub(crate) rechecking: bool,
    /// Whether others were let know of its user, who is to be absent once it is gone.
    pub(crate) presents: Presents,
}

/// What a connection has to do with its user's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Presents {
    /// Nothing.
    #[default]
    No,
    /// It is being written; commands wait.
    Asked,
    /// It is, or may be, among those that keep it.
    Yes,
}

impl Live {
    /// Under which user role changes reach this connection. Users in admin mode are the console's.
    pub(crate) fn user_key(&self) -> Option<(ProjectId, UserId)> {
        let user = self.identity.user()?.clone();
        let project = if self.identity.admin { ProjectId::console() } else { self.project.clone() };
        Some((project, user))
    }
}

impl Connection {
    pub(crate) fn live(&self) -> Option<&Live> {
        match &self.state {
            State::Live(live) => Some(live),
            State::Opening(_) | State::Closing => None,
        }
    }

    pub(crate) fn live_mut(&mut self) -> Option<&mut Live> {
        match &mut self.state {
            State::Live(live) => Some(live),
            State::Opening(_) | State::Closing => None,
        }
    }

    /// Whether commands have to wait for a look-up.
    pub(crate) fn is_busy(&self) -> bool {
        match &self.state {
            State::Opening(_) => true,
            State::Live(live) => live.authenticating.is_some() || live.presents == Presents::Asked,
            State::Closing => false,
        }
    }

    /// The next moment at which something happens to it by itself.
    pub(crate) fn next_due(&self) -> Instant {
        let own = match &self.state {
            State::Opening(opening) => Some(opening.until),
            State::Live(live) => live.expires_at,
            State::Closing => None,
        };
        [own, self.leave_at].into_iter().flatten().fold(self.heartbeat_at, Instant::min)
    }
}
