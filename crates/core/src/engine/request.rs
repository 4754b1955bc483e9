//! Clients that name their channels in the URL have nothing by which they could be recognized but what they ask for. If
//! that is wanted, a user that asks for the same from the same origin soon after is taken for the one that was cut off.

use super::Engine;
use crate::connection::{CatchUp, Connection};
use crate::effect::Effect;
use crate::id::{ConnectionId, SubscriptionId};
use crate::index::Subscription;
use crate::replay::Parked;

/// FNV-1a with 64 bits (draft-eastlake-fnv, section 5): the same on every node. Whoever makes two requests that collide has made
/// both, so that nothing is gained by it.
fn number_of<'a>(parts: impl Iterator<Item = &'a str>) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    // Each part ends with a byte that no text has.
    let bytes = parts.flat_map(|part| part.bytes().chain([0xff]));
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

impl Engine {
    /// Notes what the client asks for, if that is how it may be known again.
    pub(super) fn note_request(&mut self, id: ConnectionId, origin: &str) {
        if self.settings.url_window.is_zero() || !self.replay.is_on() {
            return;
        }
        let request = self.request_of(id, origin);
        if let Some(live) = self.connection_mut(id).and_then(Connection::live_mut) {
            live.request = request;
        }
        self.recall_request(id);
    }

    /// Looks up where a client stood that may have been cut off; until that is known it is sent nothing. SDKs may say
    /// who their user is in a message, so that it is looked up then. Guests cannot be told from each other.
    pub(super) fn recall_request(&mut self, id: ConnectionId) {
        let last = self.replay.last();
        let Some(live) = self.connection_mut(id).and_then(Connection::live_mut) else { return };
        let Some(request) = live.request.clone().filter(|_| live.identity.user().is_some()) else { return };
        live.catching_up.get_or_insert_with(|| Box::new(CatchUp::at(last))).waits = true;
        let owner = live.owner();
        self.effects.push_back(Effect::Recall { connection: id, owner, subscriptions: vec![request] });
    }

    /// It is known now where the client stood, if it was here at all: it is sent what came since.
    pub(super) fn go_on_from(&mut self, id: ConnectionId, found: &[(SubscriptionId, Parked)]) {
        self.effects.push_back(Effect::Wake(id));
        let Some(live) = self.live(id) else { return };
        let Some((_, parked)) = found.iter().find(|(known, _)| Some(known) == live.request.as_ref()) else {
            return;
        };
        let stood = self.replay.find(&live.project, parked);
        self.count_recovery(Some(stood.map(drop)));
        let Ok(start) = stood else { return };
        // Those with a name have a place of their own.
        let held = self.index.subscriptions(id).filter(|held| !held.named);
        let held: Vec<Subscription> = held.cloned().collect();
        let resumed: Vec<SubscriptionId> = held.iter().map(|held| held.id.clone()).collect();
        for held in held {
            self.index.subscribe(id, Subscription { start, ..held });
        }
        self.begin_to_catch_up(id, &resumed);
    }

    /// Has it remembered where a client stands that was cut off.
    pub(super) fn remember_request(&mut self, id: ConnectionId) {
        let Some(live) = self.live(id) else { return };
        let Some(request) = live.request.clone().filter(|_| live.identity.user().is_some()) else { return };
        let unnamed = self.index.subscriptions(id).filter(|held| !held.named);
        let Some(start) = unnamed.map(|held| held.start).min() else { return };
        let (owner, since) = (live.owner(), start.max(live.acknowledged));
        let place = self.replay.place_at(&owner.project, since);
        self.send_to_memory(owner, vec![(request, Some(place))], false);
    }

    /// What the client asks for, whatever the order: `None` if that is nothing.
    fn request_of(&self, id: ConnectionId, origin: &str) -> Option<SubscriptionId> {
        let held = self.index.subscriptions(id);
        let mut lines: Vec<Vec<&str>> = held
            .flat_map(|held| {
                let queries = held.filter.canonical();
                held.channels.iter().map(move |channel| {
                    let mut line = vec![channel.as_str()];
                    line.extend(queries.iter().map(String::as_str));
                    line
                })
            })
            .collect();
        lines.sort_unstable();
        let parts = lines.iter().flat_map(|line| line.iter().copied().chain([""]));
        (!lines.is_empty()).then(|| SubscriptionId::of_request(number_of([origin].into_iter().chain(parts))))
    }
}
