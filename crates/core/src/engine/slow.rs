//! Clients that read slower than events come.

use super::Engine;
use crate::id::ConnectionId;
use crate::notice::{Notice, Outgoing};
use crate::outbox::Slow;
use crate::refusal::Close;
use crate::replay::Mark;

/// Whoever has fewer bytes waiting is no reason why memory is short.
const SHED_FROM: usize = 64 * 1024;

impl Engine {
    /// The client reads too slowly for this.
    pub(super) fn push_into_full(&mut self, id: ConnectionId, mark: Mark, outgoing: Outgoing) {
        let (bounds, slow) = (self.settings.outbox, self.settings.slow);
        let Some(connection) = self.connection_mut(id) else { return };
        match (slow, &outgoing) {
            // What waits shows life enough.
            (Slow::Conflate | Slow::Drop, Outgoing::Notice(Notice::Heartbeat | Notice::Pong)) => {}
            (Slow::Conflate, _) => {
                let waited = connection.outbox.len();
                let has_room = connection.outbox.conflate(&bounds);
                let left_out = waited - connection.outbox.len();
                let is_queued = has_room && connection.outbox.push(mark, outgoing, &bounds).is_ok();
                self.stats.left_out += left_out as u64;
                if !is_queued {
                    self.drop_slow(id);
                }
            }
            (Slow::Drop, Outgoing::Event(_)) if connection.live().is_some() => {
                if let Some(live) = connection.live_mut() {
                    live.left_out_since.get_or_insert(mark.before());
                }
                self.stats.left_out += 1;
            }
            (Slow::Close | Slow::Drop, _) => self.drop_slow(id),
        }
    }

    /// A client that was told nothing of some events, and has room again, is told that there were some.
    pub(super) fn tell_of_left_out(&mut self, id: ConnectionId) {
        let Some(connection) = self.connection_mut(id) else { return };
        if !connection.outbox.is_empty() {
            return;
        }
        let Some(live) = connection.live_mut() else { return };
        if live.wants_gaps && live.left_out_since.take().is_some() {
            self.push(id, Outgoing::Notice(Notice::Gap));
        }
    }

    /// Who has so much waiting that it may be the reason why memory is short, and how much that is, in bytes.
    pub fn backlogs(&self) -> Vec<(usize, ConnectionId)> {
        let all = self.ids().into_iter().map(|id| (self.backlog(id), id));
        all.filter(|(bytes, _)| *bytes >= SHED_FROM).collect()
    }

    /// Memory is short: closes these, to come back, unless they have been quick meanwhile. How many were closed, and how
    /// many bytes waited for them.
    pub fn shed(&mut self, slowest: &[ConnectionId]) -> (usize, u64) {
        let (mut closed, mut freed) = (0, 0);
        for id in slowest {
            let backlog = self.backlog(*id);
            if backlog >= SHED_FROM {
                closed += 1;
                freed += backlog as u64;
                self.drop_slow(*id);
            }
        }
        (closed, freed)
    }

    /// How many bytes wait for a connection, unless it is being closed.
    fn backlog(&self, id: ConnectionId) -> usize {
        let waiting = self.connection(id).map_or(0, |connection| connection.outbox.bytes());
        if self.is_closing(id) { 0 } else { waiting }
    }

    /// Closes it, to come back and get what it missed.
    pub(super) fn drop_slow(&mut self, id: ConnectionId) {
        // Its last words are queued, and nothing comes after them.
        if self.is_closing(id) {
            return;
        }
        self.stats.slow += 1;
        if let Some(connection) = self.connection_mut(id) {
            connection.outbox.clear();
        }
        self.finish(id, None, Close::Slow);
    }
}
