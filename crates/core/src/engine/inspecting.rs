//! What an operator asks: who is connected, why something did not arrive, and to let somebody go.

use std::sync::Arc;

use super::Engine;
use crate::connection::{Connection, State};
use crate::event::Event;
use crate::id::{ConnectionId, EventId, ProjectId};
use crate::refusal::{Refusal, RefusalKind};
use crate::snapshot::{Holdings, Page, Phase, Snapshot, Sought};
use crate::verdict::Comparison;

/// Places looked at in one call: whoever asks for a needle among 100,000 connections asks several times, and the clients
/// get their turn in between.
const PLACES_AT_ONCE: usize = 4_096;

impl Engine {
    /// Up to `limit` of the connections sought, from a slot on. A page may be short, or empty, and yet not the last.
    pub fn snapshots(&self, sought: &Sought, from: u32, limit: usize) -> Page {
        let mut found = Vec::new();
        let end = self.seats.len().min((from as usize).saturating_add(PLACES_AT_ONCE));
        for slot in from as usize..end {
            if found.len() >= limit {
                return Page { found, next: Some(slot as u32) };
            }
            let Some(seat) = self.seats.get(slot) else { continue };
            let Some(connection) = seat.connection.as_deref() else { continue };
            let id = ConnectionId::new(slot as u32, seat.generation);
            if self.is_sought(id, connection, sought) {
                found.push(self.snapshot_of(id, connection));
            }
        }
        Page { found, next: (end < self.seats.len()).then_some(end as u32) }
    }

    /// One connection, and all that it may hear.
    pub fn inspect(&self, id: ConnectionId) -> Option<(Snapshot, Holdings)> {
        let snapshot = self.snapshot_of(id, self.connection(id)?);
        let mut subscriptions: Vec<_> = self.index.subscriptions(id).cloned().collect();
        subscriptions.sort_by(|one, other| one.id.cmp(&other.id));
        Some((snapshot, Holdings { roles: self.index.roles(id).cloned().collect(), subscriptions }))
    }

    /// Everything that decides whether the connection gets this event; `None` if it is not open.
    pub fn compare(&self, event: &Event, id: ConnectionId) -> Option<Comparison> {
        let project = self.index.project(id)?;
        let happened = self.replay.find_event(&event.project, &event.id).ok();
        let (roles, subscriptions) = (self.index.roles(id), self.index.subscriptions(id));
        Some(Comparison::of(event, happened, project, roles, subscriptions))
    }

    /// An event of the last while, if it is kept.
    pub fn event(&self, project: &ProjectId, id: &EventId) -> Option<Arc<Event>> {
        let mark = self.replay.find_event(project, id).ok()?;
        let (_, event) = self.replay.after(project, mark.before(), 1)?.pop()?;
        (event.id == *id).then_some(event)
    }

    /// Ends the connections sought because an operator wants it, and tells how many they were. Whoever is not to come back
    /// is told so; the others are told that they may.
    pub fn dismiss(&mut self, sought: &Sought, may_come_back: bool) -> usize {
        let ids: Vec<ConnectionId> = self
            .ids()
            .into_iter()
            .filter(|id| {
                self.connection(*id).is_some_and(|connection| self.is_sought(*id, connection, sought))
            })
            .collect();
        ids.into_iter().filter(|id| self.dismiss_one(*id, may_come_back)).count()
    }

    /// The same for one connection. Whether there was one to end.
    pub fn dismiss_one(&mut self, id: ConnectionId, may_come_back: bool) -> bool {
        let is_there =
            self.connection(id).is_some_and(|connection| !matches!(connection.state, State::Closing));
        if is_there {
            let kind = if may_come_back { RefusalKind::Dismissed } else { RefusalKind::Policy };
            self.refuse(id, Refusal::new(kind, "An operator has ended this connection."));
        }
        is_there
    }

    fn is_sought(&self, id: ConnectionId, connection: &Connection, sought: &Sought) -> bool {
        let (project, user) = match &connection.state {
            State::Opening(opening) => (Some(&opening.hello.project), None),
            State::Live(live) => (Some(&live.project), live.identity.user()),
            State::Closing => (None, None),
        };
        sought.project.as_ref().is_none_or(|wanted| project == Some(wanted))
            && sought.user.as_ref().is_none_or(|wanted| user == Some(wanted))
            && sought.channel.as_ref().is_none_or(|wanted| {
                self.index.subscriptions(id).any(|subscription| subscription.channels.contains(wanted))
            })
    }

    fn snapshot_of(&self, id: ConnectionId, connection: &Connection) -> Snapshot {
        let live = connection.live();
        let (phase, project, address) = match &connection.state {
            State::Opening(opening) => {
                (Phase::Opening, Some(opening.hello.project.clone()), Some(opening.hello.address))
            }
            State::Live(live) => (Phase::Live, Some(live.project.clone()), Some(live.address)),
            State::Closing => (Phase::Closing, None, None),
        };
        Snapshot {
            id,
            phase,
            project,
            address,
            user: live.and_then(|live| live.identity.user()).cloned(),
            admin: live.is_some_and(|live| live.identity.admin),
            impersonated: live.is_some_and(|live| live.identity.actor.is_some()),
            opened_at: connection.opened_at,
            expires_at: live.and_then(|live| live.expires_at),
            rechecking: live.is_some_and(|live| live.rechecking),
            catching_up: live.is_some_and(|live| live.catching_up.is_some()),
            waiting_messages: connection.outbox.len(),
            waiting_bytes: connection.outbox.bytes(),
            subscriptions: self.index.subscriptions(id).count(),
        }
    }
}
