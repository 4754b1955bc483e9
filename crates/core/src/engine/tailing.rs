//! Live tails of projects: who may watch one, and when what has gathered is told.

use std::time::Instant;

use super::Engine;
use crate::channel::Channel;
use crate::command::Subscribe;
use crate::connection::Connection;
use crate::effect::Effect;
use crate::event::Event;
use crate::id::{ConnectionId, ProjectId, TeamId};
use crate::index::Subscription;
use crate::notice::{Notice, Outgoing};
use crate::refusal::Refusal;
use crate::role::Role;
use crate::tail::Claims;

impl Engine {
    /// It was found out which team owns the project of an [`Effect::FindOwner`]: `None` if there is no such project, or
    /// if nobody owns it.
    pub fn owner_found(&mut self, id: ConnectionId, found: Result<Option<TeamId>, Refusal>) {
        let Some(live) = self.live(id) else { return };
        let rechecking = live.rechecking;
        let claims = live.pending.as_ref().map(|pending| &pending.claims);
        let Some(project) = claims.and_then(Claims::next).cloned() else { return };
        let role = found.map(|team| team.as_ref().map(Role::team));
        // While the roles are read again nobody knows whether it is held.
        let may_watch = |role: &Role| rechecking || self.holds(id, role);
        if role.as_ref().is_ok_and(|role| !role.as_ref().is_some_and(may_watch)) {
            self.refuse(id, not_authorized(&project));
            return;
        }
        let live = self.connection_mut(id).and_then(Connection::live_mut);
        if let Some(pending) = live.and_then(|live| live.pending.as_mut()) {
            match role.transpose() {
                Some(Ok(role)) => pending.claims.take(role),
                Some(Err(refusal)) => pending.claims.fail(refusal),
                None => {}
            }
        }
        self.ask_for_owner(id);
        self.go_on_subscribing(id);
        self.handle_waiting(id);
    }

    /// The projects whose tails are asked for. Refused where it is known at once that nobody may watch them.
    pub(super) fn claims_of(&self, id: ConnectionId, items: &[Subscribe]) -> Result<Claims, Refusal> {
        let channels = items.iter().flat_map(|item| &item.channels);
        let claims = Claims::to(channels.filter_map(Channel::tailed_project));
        let Some(first) = claims.next() else { return Ok(claims) };
        let Some(live) = self.live(id) else { return Ok(claims) };
        if !live.project.is_console() {
            return Err(Refusal::policy("Console live tail is only available on the console connection."));
        }
        // So that no guest can have the directory asked.
        if live.identity.user().is_none() {
            return Err(not_authorized(first));
        }
        Ok(claims)
    }

    /// Has it found out who owns the next of the projects, if there is one.
    pub(super) fn ask_for_owner(&mut self, id: ConnectionId) {
        let pending = self.live(id).and_then(|live| live.pending.as_ref());
        let Some(project) = pending.and_then(|pending| pending.claims.next()).cloned() else { return };
        self.effects.push_back(Effect::FindOwner { connection: id, project });
    }

    /// Whether the connection may watch all that it claims to, by the roles as they are now.
    pub(super) fn check_claims(&self, id: ConnectionId, claims: &Claims) -> Result<(), Refusal> {
        let denied = claims.check(|role| self.holds(id, role))?;
        denied.map_or(Ok(()), |project| Err(not_authorized(project)))
    }

    /// Begins the tails that a subscription names, beside those that it has already.
    pub(super) fn begin_to_tail(&mut self, id: ConnectionId, subscription: &Subscription, claims: &Claims) {
        for project in subscription.channels.iter().filter_map(Channel::tailed_project) {
            if let Some(role) = claims.role(&project) {
                self.tails.add(id, &subscription.id, project, role.clone(), subscription.filter.clone());
            }
        }
    }

    /// Lets those know who watch the event's project.
    pub(super) fn show_to_tails(&mut self, event: &Event, now: Instant) {
        for id in self.tails.see(event, now) {
            let due = now + self.tails.every();
            if let Some(live) = self.connection_mut(id).and_then(Connection::live_mut)
                && live.tails_due.is_none()
            {
                live.tails_due = Some(due);
                self.schedule(id);
            }
        }
    }

    /// Tells what has gathered for long enough.
    pub(super) fn flush_due_tails(&mut self, id: ConnectionId, now: Instant) {
        let again = now + self.tails.every();
        let Some(live) = self.connection_mut(id).and_then(Connection::live_mut) else { return };
        if live.tails_due.is_none_or(|due| due > now) {
            return;
        }
        if live.rechecking {
            // Whether it may still watch is being found out.
            live.tails_due = Some(again);
        } else {
            self.flush_tails(id);
        }
    }

    /// Tells what has gathered.
    pub(super) fn flush_tails(&mut self, id: ConnectionId) {
        if let Some(live) = self.connection_mut(id).and_then(Connection::live_mut) {
            live.tails_due = None;
        }
        for tailed in self.tails.flush(id) {
            self.push(id, Outgoing::Notice(Notice::Tailed(tailed)));
        }
    }

    fn holds(&self, id: ConnectionId, role: &Role) -> bool {
        self.index.roles(id).any(|held| held == role)
    }
}

fn not_authorized(project: &ProjectId) -> Refusal {
    Refusal::policy(format!("Not authorized to tail project \"{project}\"."))
}
