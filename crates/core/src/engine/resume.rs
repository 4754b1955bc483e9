//! Clients that come back: where their subscriptions stand is remembered, and what they missed is sent first.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::Engine;
use crate::channel::{Channel, convert};
use crate::command::Subscribe;
use crate::connection::{CatchUp, Connection, Live, Pending};
use crate::effect::{Effect, Owner};
use crate::id::{ConnectionId, EventId, ProjectId, SubscriptionId};
use crate::index::Subscription;
use crate::leave::Leave;
use crate::notice::{Delivery, Notice, Outgoing, Recovery, Subscribed};
use crate::outbox;
use crate::refusal::{Refusal, RefusalKind};
use crate::replay::{Mark, Parked, Place, Position, Receipt};
use crate::tail::Claims;

/// How often it is remembered anew where the subscriptions of a connection stand that is not in trouble: so much a client
/// may get twice if its server crashes.
const REMEMBER_EVERY: Duration = Duration::from_secs(10);
/// Events of the log that are looked at for one connection before others get their turn.
const CAUGHT_UP_AT_ONCE: usize = 256;
/// Bytes that are queued for one connection at a time while it catches up.
const CAUGHT_UP_BYTES: usize = 256 * 1024;

impl Engine {
    /// The client ends the connection; [`Self::closed`] comes next.
    pub fn took_leave(&mut self, id: ConnectionId, leave: Leave) {
        if let Some(connection) = self.connection_mut(id) {
            connection.leave = Some(leave);
        }
    }

    /// What the client is to give back once everything that was taken out by now has reached it.
    pub fn receipt(&self, id: ConnectionId) -> Receipt {
        let Some(connection) = self.connection(id) else { return Receipt::default() };
        let Some(live) = connection.live() else { return Receipt::default() };
        let asked = self.replay.last();
        let mut told = asked;
        if let Some(catching_up) = &live.catching_up {
            told = told.min(catching_up.cursor);
        }
        if let Some(waiting) = connection.outbox.earliest() {
            told = told.min(waiting.before());
        }
        if live.rechecking {
            told = told.min(live.held_since);
        }
        if let Some(before) = live.left_out_since {
            told = told.min(before);
        }
        Receipt { told, asked }
    }

    /// The client has got everything that a receipt was asked for.
    pub fn acknowledge(&mut self, id: ConnectionId, receipt: Receipt, now: Instant) {
        let Some(connection) = self.connection_mut(id) else { return };
        let leaves = connection.leave_at.is_some();
        let Some(live) = connection.live_mut() else { return };
        // One from before it came back for something says nothing about that.
        if receipt.asked < live.came_back {
            return;
        }
        live.acknowledged = live.acknowledged.max(receipt.told);
        // Whoever is about to be sent away comes to another node so soon that the place has to be there before.
        if leaves || now.saturating_duration_since(live.remembered_at) >= REMEMBER_EVERY {
            live.remembered_at = now;
            self.remember(id, !leaves);
        }
    }

    /// A client that answers no Ping says nothing of how far it has got. That it is here must not be forgotten, or it would
    /// be taken for somebody new when it comes back.
    pub(super) fn remember_mute(&mut self, id: ConnectionId, now: Instant) {
        let often = self.settings.replay.window / 2;
        let Some(live) = self.connection_mut(id).and_then(Connection::live_mut) else { return };
        if now.saturating_duration_since(live.remembered_at) >= often {
            live.remembered_at = now;
            self.remember(id, true);
        }
    }

    /// It was looked up where the subscriptions of an [`Effect::Recall`] stood; those that are not known are left out.
    pub fn recalled(&mut self, id: ConnectionId, found: Vec<(SubscriptionId, Parked)>) {
        let Some(live) = self.connection_mut(id).and_then(Connection::live_mut) else { return };
        if let Some(catching_up) = live.catching_up.as_mut().filter(|catching_up| catching_up.waits) {
            catching_up.waits = false;
            self.go_on_from(id, &found);
        } else if let Some(pending) = &mut live.pending {
            pending.found = Some(found);
        }
        self.go_on_subscribing(id);
        self.handle_waiting(id);
    }

    /// Looks up where those of the subscriptions stood that the client may have had before it lost its connection.
    pub(super) fn begin_to_subscribe(&mut self, id: ConnectionId, items: Vec<Subscribe>) {
        let claims = match self.claims_of(id, &items) {
            Ok(claims) => claims,
            Err(refusal) => {
                self.refuse(id, refusal);
                return;
            }
        };
        let is_new = |wanted: &SubscriptionId| self.index.subscriptions(id).all(|held| held.id != *wanted);
        let project = self.live(id).map(|live| live.project.clone());
        // Where a client has seen nothing for long, the last that it has seen may not be known any more.
        let is_there = |event: &EventId| {
            project.as_ref().is_some_and(|project| self.replay.find_event(project, event).is_ok())
        };
        let recalled =
            items.iter().filter(|item| item.is_resumable() && !item.since.as_ref().is_some_and(is_there));
        let recalled: Vec<SubscriptionId> =
            recalled.filter_map(|item| item.id.clone()).filter(is_new).collect();
        let is_known = recalled.is_empty() || !self.replay.is_on();
        let Some(live) = self.connection_mut(id).and_then(Connection::live_mut) else { return };
        let owner = live.owner();
        live.pending = Some(Box::new(Pending { items, found: is_known.then(Vec::new), claims }));
        self.ask_for_owner(id);
        if is_known {
            self.go_on_subscribing(id);
        } else {
            self.effects.push_back(Effect::Recall { connection: id, owner, subscriptions: recalled });
        }
    }

    /// Subscribes if nothing has to be known first: not where the subscriptions stood, nor who owns the projects that are
    /// to be watched, nor which roles the user holds.
    pub(super) fn go_on_subscribing(&mut self, id: ConnectionId) {
        let Some(live) = self.connection_mut(id).and_then(Connection::live_mut) else { return };
        if live.rechecking {
            return;
        }
        let is_known =
            |pending: &mut Box<Pending>| pending.found.is_some() && pending.claims.next().is_none();
        let Some(pending) = live.pending.take_if(is_known) else { return };
        let Pending { items, found, claims } = *pending;
        let allowed = self.check_claims(id, &claims);
        match allowed.and_then(|()| self.subscribe(id, items, &found.unwrap_or_default(), &claims)) {
            Ok((made, resumed)) => {
                self.push(id, Outgoing::Notice(Notice::Subscribed(made)));
                self.begin_to_catch_up(id, &resumed);
            }
            Err(refusal) if refusal.kind == RefusalKind::Policy => self.refuse(id, refusal),
            Err(refusal) => self.push(id, Outgoing::Notice(Notice::Refused(refusal))),
        }
    }

    /// Makes the subscriptions, all or none; also gives those that go on where they stood.
    fn subscribe(
        &mut self,
        id: ConnectionId,
        items: Vec<Subscribe>,
        found: &[(SubscriptionId, Parked)],
        claims: &Claims,
    ) -> Result<(Vec<Subscribed>, Vec<SubscriptionId>), Refusal> {
        let Some(owner) = self.live(id).map(Live::owner) else { return Ok((Vec::new(), Vec::new())) };
        // Whatever receipt comes for this moment is one for the answer.
        let last = self.replay.tick();
        let mut wanted: Vec<(Subscription, Option<Recovery>)> = Vec::with_capacity(items.len());
        for item in items {
            let channels = convert(&item.channels, owner.user.as_ref()).into();
            let resumable = item.is_resumable();
            let named = item.id.is_some() && resumable;
            let wanted_id = item.id.unwrap_or_else(|| self.random.subscription_id());
            let parked = found.iter().find(|(known, _)| *known == wanted_id);
            let parked = parked.map(|(_, parked)| self.replay.find(&owner.project, parked));
            let stood = match &item.since {
                _ if !resumable => None,
                Some(event) => match self.replay.find_event(&owner.project, event) {
                    Ok(mark) => Some(Ok(mark)),
                    Err(lost) => Some(parked.and_then(Result::ok).ok_or(lost)),
                },
                None => parked,
            };
            // What is replaced may have been sent events that are still on their way, and doubts as well.
            let held = self.index.subscriptions(id).find(|held| held.id == wanted_id);
            let (start, doubtful) = match (stood, held) {
                (Some(Ok(start)), _) => (start, false),
                (Some(Err(_)), _) => (last, true),
                (None, Some(held)) => (held.start, held.doubtful),
                (None, None) => (last, false),
            };
            let subscription = Subscription::new(wanted_id, channels, item.filter);
            let subscription = Subscription { start, doubtful, named, ..subscription };
            wanted.push((subscription, stood.map(|stood| stood.map(drop))));
        }
        let mut sizes: HashMap<&SubscriptionId, usize> =
            self.index.subscriptions(id).map(|held| (&held.id, held.channels.len())).collect();
        for (subscription, _) in &wanted {
            sizes.insert(&subscription.id, subscription.channels.len());
        }
        self.check_room(sizes.values().filter(|size| **size > 0).count(), sizes.values().sum())?;
        let tails = wanted.iter().flat_map(|(subscription, _)| {
            let projects = subscription.channels.iter().filter_map(Channel::tailed_project);
            projects.map(|project| (&subscription.id, project))
        });
        self.check_room(0, self.tails.count_with(id, tails))?;
        let resumed = wanted.iter().filter(|(_, recovery)| *recovery == Some(Ok(())));
        let resumed = resumed.map(|(subscription, _)| subscription.id.clone()).collect();
        if !claims.is_empty() {
            // What passed a filter that is replaced goes before the answer.
            self.flush_tails(id);
        }
        let mut made = Vec::with_capacity(wanted.len());
        // One for each subscription, however often it is named.
        let mut places = BTreeMap::new();
        for (subscription, recovery) in wanted {
            let was_named = self.index.subscriptions(id).any(|held| held.id == subscription.id && held.named);
            made.push(Subscribed {
                id: subscription.id.clone(),
                channels: subscription.channels.to_vec(),
                queries: subscription.filter.canonical().to_vec(),
                recovery,
            });
            self.count_recovery(recovery);
            if subscription.named {
                let place = self.place_of(&owner.project, &subscription, Mark::default());
                places.insert(subscription.id.clone(), Some(place));
            } else if was_named {
                places.insert(subscription.id.clone(), None);
            }
            self.begin_to_tail(id, &subscription, claims);
            self.index.subscribe(id, subscription);
        }
        self.send_to_memory(owner, places.into_iter().collect(), false);
        Ok((made, resumed))
    }

    pub(super) fn count_recovery(&mut self, recovery: Option<Recovery>) {
        match recovery {
            Some(Ok(())) => self.stats.recovered += 1,
            Some(Err(_)) => self.stats.unrecovered += 1,
            None => {}
        }
    }

    /// Has it remembered where the connection's subscriptions stand.
    pub(super) fn remember(&mut self, id: ConnectionId, may_wait: bool) {
        let Some(live) = self.live(id) else { return };
        let (owner, acknowledged) = (live.owner(), live.acknowledged);
        let named = self.index.subscriptions(id).filter(|held| held.named);
        let places =
            named.map(|held| (held.id.clone(), Some(self.place_of(&owner.project, held, acknowledged))));
        let places = places.collect();
        self.send_to_memory(owner, places, may_wait);
    }

    /// Where a subscription stands whose client has got everything up to a mark.
    fn place_of(&self, project: &ProjectId, held: &Subscription, acknowledged: Mark) -> Place {
        if held.doubtful && acknowledged < held.start {
            return Place { position: Position::Lost, at: None };
        }
        self.replay.place_at(project, held.start.max(acknowledged))
    }

    /// Has it forgotten where these subscriptions of the connection stood, since nobody will come back for them.
    pub(super) fn forget(&mut self, id: ConnectionId, ended: impl Fn(&SubscriptionId) -> bool) {
        let Some(owner) = self.live(id).map(Live::owner) else { return };
        let named = self.index.subscriptions(id).filter(|held| held.named && ended(&held.id));
        let places = named.map(|held| (held.id.clone(), None)).collect();
        self.send_to_memory(owner, places, false);
    }

    pub(super) fn send_to_memory(
        &mut self,
        owner: Owner,
        places: Vec<(SubscriptionId, Option<Place>)>,
        may_wait: bool,
    ) {
        if !places.is_empty() && self.replay.is_on() {
            self.effects.push_back(Effect::Remember { owner, places, may_wait });
        }
    }

    /// From now on the connection is sent what is in the log since these subscriptions stood, until it has got all.
    pub(super) fn begin_to_catch_up(&mut self, id: ConnectionId, resumed: &[SubscriptionId]) {
        let last = self.replay.tick();
        let held = self.index.subscriptions(id);
        let Some(from) = held.filter(|held| resumed.contains(&held.id)).map(|held| held.start).min() else {
            return;
        };
        let others = self.index.subscriptions(id).filter(|held| !resumed.contains(&held.id));
        let others: Vec<SubscriptionId> = others.map(|held| held.id.clone()).collect();
        let Some(live) = self.connection_mut(id).and_then(Connection::live_mut) else { return };
        let mut catching_up = live.catching_up.take().unwrap_or_else(|| Box::new(CatchUp::at(last)));
        let looked_at = catching_up.cursor;
        catching_up.come_back(resumed);
        for other in others {
            catching_up.has_got(other, looked_at);
        }
        catching_up.cursor = from.min(looked_at);
        live.catching_up = Some(catching_up);
        // What it acknowledged so far was not about this, nor is what it was asked to before.
        live.acknowledged = live.acknowledged.min(from);
        live.came_back = last;
        self.effects.push_back(Effect::Wake(id));
    }

    /// Queues the next part of what the client missed, once everything before it is on its way.
    pub(super) fn catch_up(&mut self, id: ConnectionId) {
        let Some(connection) = self.connection(id) else { return };
        let Some(live) = connection.live() else { return };
        let Some(catching_up) = live.catching_up.as_ref().filter(|_| !live.rechecking) else { return };
        if catching_up.waits || !connection.outbox.is_empty() {
            return;
        }
        let mut cursor = catching_up.cursor;
        let Some(events) = self.replay.after(&live.project, cursor, CAUGHT_UP_AT_ONCE) else {
            // It reads slower than events come, so that the log has moved past it.
            self.drop_slow(id);
            return;
        };
        let mut is_all = events.len() < CAUGHT_UP_AT_ONCE;
        let bounds = self.settings.outbox;
        let mut missed = Vec::new();
        let mut bytes = 0;
        for (mark, event) in events {
            let mut subscriptions = self.index.matching(id, &event, mark);
            subscriptions.retain(|matched| !catching_up.got(matched, mark));
            if !subscriptions.is_empty() {
                let delivery = Delivery { event, subscriptions };
                bytes += outbox::size_of_delivery(&delivery);
                let fits = missed.len() < bounds.count && bytes <= bounds.bytes.min(CAUGHT_UP_BYTES);
                if !fits && !missed.is_empty() {
                    is_all = false;
                    break;
                }
                missed.push((mark, delivery));
            }
            cursor = mark;
        }
        for (mark, delivery) in missed {
            self.deliver(id, mark, delivery);
        }
        let Some(live) = self.connection_mut(id).and_then(Connection::live_mut) else { return };
        if is_all {
            live.catching_up = None;
        } else if let Some(catching_up) = &mut live.catching_up {
            catching_up.cursor = cursor;
            // Should none of it have been for this client, nobody else would ask for the rest.
            self.effects.push_back(Effect::Wake(id));
        }
    }

    /// Whether what happens now comes to the connection from the log; then it is to look there.
    pub(super) fn catches_up(&mut self, id: ConnectionId) -> bool {
        let is_behind = self.live(id).is_some_and(|live| live.catching_up.is_some());
        if is_behind {
            self.effects.push_back(Effect::Wake(id));
        }
        is_behind
    }
}
