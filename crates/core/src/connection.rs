//! One connection as a state machine: Opening → Live → Closing, and what each state may hold.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::command::{Command, Hello, Malformed, Subscribe};
use crate::effect::Owner;
use crate::id::{MembershipId, ProjectId, SubscriptionId, UserId};
use crate::identity::Identity;
use crate::leave::Leave;
use crate::limit::Bucket;
use crate::outbox::Outbox;
use crate::replay::{Mark, Parked};
use crate::tail::Claims;

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
    /// When the client came.
    pub(crate) opened_at: Instant,
    /// When to send a heartbeat.
    pub(crate) heartbeat_at: Instant,
    /// When the engine is to end the connection because the node stops.
    pub(crate) leave_at: Option<Instant>,
    /// The client ended the connection itself.
    pub(crate) leave: Option<Leave>,
    /// The moment under which the connection stands in the deadlines.
    pub(crate) due: Instant,
}

/// How far a connection is.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every connection is live, and each is in a box of its own"
)]
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
    /// A subscribe command, while it is looked up where its subscriptions stood.
    pub(crate) pending: Option<Box<Pending>>,
    /// What its client is known by when it comes back and names no subscriptions of its own.
    pub(crate) request: Option<SubscriptionId>,
    /// While the client gets what it missed: everything it is sent comes from the log, not from what happens.
    pub(crate) catching_up: Option<Box<CatchUp>>,
    /// What the client is known to have got.
    pub(crate) acknowledged: Mark,
    /// When it last came back for something; receipts that were asked for before say nothing about that.
    pub(crate) came_back: Mark,
    /// While events are held back: what came before them.
    pub(crate) held_since: Mark,
    /// When it was last remembered where the subscriptions stand.
    pub(crate) remembered_at: Instant,
    /// What came before events that were left out because it reads too slowly, while it has not been told.
    pub(crate) left_out_since: Option<Mark>,
    /// Whether to tell when events may be missing.
    pub(crate) wants_gaps: bool,
    /// When to tell what its live tails have gathered, if they have gathered anything.
    pub(crate) tails_due: Option<Instant>,
    /// When its users are read again, if nothing happens before.
    pub(crate) reread_at: Option<Instant>,
    /// Memberships that ended with their teams, while the directory still has them.
    pub(crate) ended: Vec<MembershipId>,
}

/// A subscribe command that waits.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) items: Vec<Subscribe>,
    /// Where its subscriptions stood, once that is known.
    pub(crate) found: Option<Vec<(SubscriptionId, Parked)>>,
    /// Whose live tails are asked for.
    pub(crate) claims: Claims,
}

/// How far a client that was away has got.
#[derive(Debug)]
pub(crate) struct CatchUp {
    /// Everything up to here was looked at.
    pub(crate) cursor: Mark,
    /// Whether it is being looked up where the client stood: until then nothing is sent.
    pub(crate) waits: bool,
    /// Subscriptions that had got everything up to a place when others came back for what is before it.
    ahead: Vec<(SubscriptionId, Mark)>,
}

impl CatchUp {
    /// Nothing is missed but what happens after this.
    pub(crate) fn at(cursor: Mark) -> Self {
        Self { cursor, waits: false, ahead: Vec::new() }
    }

    /// A subscription has got everything up to here.
    pub(crate) fn has_got(&mut self, subscription: SubscriptionId, mark: Mark) {
        match self.ahead.iter_mut().find(|(known, _)| *known == subscription) {
            Some((_, ahead)) => *ahead = mark.max(*ahead),
            None => self.ahead.push((subscription, mark)),
        }
    }

    /// These go on where they stood, whatever was known of them before.
    pub(crate) fn come_back(&mut self, resumed: &[SubscriptionId]) {
        self.ahead.retain(|(known, _)| !resumed.contains(known));
    }

    /// Whether a subscription has got what happened here.
    pub(crate) fn got(&self, subscription: &SubscriptionId, mark: Mark) -> bool {
        self.ahead.iter().any(|(known, ahead)| known == subscription && mark <= *ahead)
    }
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

    /// Everybody whose changes reach this connection: its user, and the one who acts as it.
    pub(crate) fn concerned(&self) -> impl Iterator<Item = (ProjectId, UserId)> {
        let actor = self.identity.actor.as_ref().map(|actor| (actor.project.clone(), actor.user.clone()));
        self.user_key().into_iter().chain(actor)
    }

    /// Whose its subscriptions are.
    pub(crate) fn owner(&self) -> Owner {
        Owner { project: self.project.clone(), user: self.identity.user().cloned() }
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
            State::Live(live) => {
                live.authenticating.is_some()
                    || live.presents == Presents::Asked
                    || live.pending.is_some()
                    || live.catching_up.as_ref().is_some_and(|catching_up| catching_up.waits)
            }
            State::Closing => false,
        }
    }

    /// The next moment at which something happens to it by itself.
    pub(crate) fn next_due(&self) -> Instant {
        let own = match &self.state {
            State::Opening(opening) => Some(opening.until),
            State::Live(live) => {
                [live.expires_at, live.tails_due, live.reread_at].into_iter().flatten().min()
            }
            State::Closing => None,
        };
        [own, self.leave_at].into_iter().flatten().fold(self.heartbeat_at, Instant::min)
    }
}
