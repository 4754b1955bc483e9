//! The connections of one shard and all that happens to them: what happened goes in, what to do comes out.

mod inspecting;
mod presenting;
mod request;
mod resume;
mod slow;
mod tailing;
mod users;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::quality::FixedState;
use smallvec::SmallVec;

use crate::channel::{Channel, convert};
use crate::command::{Command, Hello, Malformed};
use crate::connection::{Connection, Live, Opening, Presents, State, WAITING_COMMANDS};
use crate::deadline::Deadlines;
use crate::effect::{Admission, Effect};
use crate::event::{Event, Holder};
use crate::id::{ConnectionId, ProjectId, SubscriptionId, UserId};
use crate::identity::{Account, Identity, Standing};
use crate::index::{Index, ROOM, Receiver, Subscription};
use crate::leave::Leave;
use crate::limit::Bucket;
use crate::notice::{Delivery, Notice, Outgoing};
use crate::origin::{self, OriginRules};
use crate::outbox::{Full, Outbox};
use crate::project::Project;
use crate::random::Random;
use crate::recheck::{Changes, Held, Recheck, Withheld};
use crate::refusal::{Close, Refusal, RefusalKind};
use crate::replay::{Mark, Replay};
use crate::role::Role;
use crate::settings::Settings;
use crate::slot::slots_of;
use crate::stats::Stats;
use crate::tail::Tails;
use crate::verdict::Verdict;

/// The connections of one shard.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    index: Index,
    /// Room for the receivers of the event at hand; empty in between.
    receivers: Vec<Receiver>,
    seats: Vec<Seat>,
    free: Vec<u32>,
    deadlines: Deadlines,
    effects: VecDeque<Effect>,
    /// The connections that a user is, and those by which it acts as another one.
    by_user: HashMap<(ProjectId, UserId), SmallVec<[ConnectionId; 1]>, FixedState>,
    rechecks: BTreeMap<(ProjectId, UserId), Recheck>,
    changes: Changes,
    leaving: Option<Leaving>,
    replay: Replay,
    tails: Tails,
    random: Random,
    stats: Stats,
}

/// Where a connection is kept; the generation goes up each time the seat is taken again.
#[derive(Debug, Default)]
struct Seat {
    generation: u32,
    connection: Option<Box<Connection>>,
}

/// Before a connection is closed because the node stops, a heartbeat asks how far its client has got, which has this long
/// to answer at most: then another node need not send again what has arrived.
const GRACE: Duration = Duration::from_secs(1);

/// The node stops: connections are closed over a while.
#[derive(Debug, Clone, Copy)]
struct Leaving {
    until: Instant,
}

impl Engine {
    /// An engine without connections. The seed decides minted ids and spreads; the same inputs with the same seed give
    /// the same outputs.
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self {
            replay: Replay::new(settings.replay, seed),
            tails: Tails::new(settings.tail, seed),
            settings,
            index: Index::new(seed),
            receivers: Vec::new(),
            seats: Vec::new(),
            free: Vec::new(),
            deadlines: Deadlines::default(),
            effects: VecDeque::new(),
            by_user: HashMap::with_hasher(FixedState::with_seed(seed)),
            rechecks: BTreeMap::new(),
            changes: Changes::default(),
            leaving: None,
            random: Random::new(seed),
            stats: Stats::default(),
        }
    }

    /// Somebody wants in. The answer comes as messages of the connection, after an [`Effect::Identify`].
    pub fn open(&mut self, hello: Hello, now: Instant) -> ConnectionId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.seats.push(Seat::default());
            self.seats.len() as u32 - 1
        });
        let generation = self.seats.get(slot as usize).map_or(0, |place| place.generation);
        let id = ConnectionId::new(slot, generation);
        let hello = Arc::new(hello);
        let until = now + self.settings.open_timeout;
        // The first heartbeat comes at a random part of the interval, so that those of a reconnect wave spread out.
        let heartbeat_at = now + self.random.part_of(self.settings.heartbeat);
        let connection = Connection {
            state: State::Opening(Opening {
                hello: Arc::clone(&hello),
                until,
                asked_at: self.changes.begin(),
            }),
            outbox: Outbox::default(),
            waiting: VecDeque::new(),
            allowance: Bucket::default(),
            opened_at: now,
            heartbeat_at,
            leave_at: None,
            leave: None,
            due: until.min(heartbeat_at),
        };
        self.deadlines.set(connection.due, id);
        if let Some(place) = self.seats.get_mut(slot as usize) {
            place.connection = Some(Box::new(connection));
        }
        self.stats.opened += 1;
        self.stats.connections += 1;
        if self.leaving.is_some() {
            self.finish(id, None, Close::Going);
        } else {
            self.effects.push_back(Effect::Identify { connection: id, hello });
        }
        id
    }

    /// It was found out who wants in, or why not.
    pub fn identified(&mut self, id: ConnectionId, found: Result<Admission, Refusal>, now: Instant) {
        let Some(connection) = self.connection_mut(id) else { return };
        let State::Opening(opening) = &connection.state else { return };
        let (hello, asked_at) = (Arc::clone(&opening.hello), opening.asked_at);
        let admitted = found.and_then(|admission| self.admit(id, &hello, admission, now));
        match admitted {
            Ok(()) => {
                self.recheck_if_changed_since(id, asked_at);
                self.changes.end(asked_at);
                self.handle_waiting(id);
            }
            Err(refusal) => {
                self.stats.refused += 1;
                self.refuse(id, refusal);
            }
        }
    }

    /// The client said something, or tried to.
    pub fn receive(&mut self, id: ConnectionId, said: Result<Command, Malformed>, now: Instant) {
        let rate = self.settings.messages;
        let Some(connection) = self.connection_mut(id) else { return };
        if matches!(connection.state, State::Closing) {
            return;
        }
        if said == Ok(Command::Ping) {
            self.push(id, Outgoing::Notice(Notice::Pong));
            return;
        }
        let allowed = rate.is_none_or(|rate| connection.allowance.take(rate, now));
        if !allowed || connection.waiting.len() >= WAITING_COMMANDS {
            let refusal = Refusal::new(RefusalKind::TooMany, "Too many messages.");
            self.push(id, Outgoing::Notice(Notice::Refused(refusal)));
        } else if connection.is_busy() {
            connection.waiting.push_back(said);
        } else {
            self.handle(id, said);
        }
    }

    /// It was found out who shows the credential of an [`Effect::Authenticate`]: `None` if it proves nothing.
    pub fn authenticated(
        &mut self,
        id: ConnectionId,
        found: Result<Option<Identity>, Refusal>,
        now: Instant,
    ) {
        let Some(live) = self.connection_mut(id).and_then(|connection| connection.live_mut()) else { return };
        let Some(asked_at) = live.authenticating.take() else { return };
        let impersonated = live.identity.actor.is_some();
        match found {
            Ok(Some(identity)) if identity.account.is_some() && !impersonated => {
                self.become_identity(id, identity, asked_at, now);
            }
            Ok(Some(_)) if impersonated => {
                let text = "Cannot re-authenticate on an impersonated connection.";
                self.push(id, Outgoing::Notice(Notice::Refused(Refusal::invalid(text))));
            }
            Ok(_) => {
                let refusal = Refusal::invalid("Session is not valid.");
                self.push(id, Outgoing::Notice(Notice::Refused(refusal)));
            }
            Err(refusal) => self.push(id, Outgoing::Notice(Notice::Refused(refusal))),
        }
        self.changes.end(asked_at);
        self.handle_waiting(id);
    }

    /// Something happened: whoever listens and may see it is told, and who is away may come back for it. Engines side by
    /// side that are given it are to be told the same time: one may say until when nothing had happened, and another one
    /// is asked what has happened since.
    pub fn publish(&mut self, event: &Arc<Event>, now: Instant) {
        self.publish_late(event, now, now);
    }

    /// The same for something that happened a while ago, of which nobody here has been told.
    pub fn publish_late(&mut self, event: &Arc<Event>, at: Instant, now: Instant) {
        self.stats.events += 1;
        let mark = self.replay.record(event, at);
        self.stats.replay_bytes = self.replay.bytes() as u64;
        self.tell(event, mark);
        self.show_to_tails(event, now);
    }

    /// Something happened before anybody was here: who was elsewhere then may come back for it, and nobody is told.
    pub fn record(&mut self, event: &Arc<Event>, at: Instant) {
        self.replay.record(event, at);
        self.stats.replay_bytes = self.replay.bytes() as u64;
    }

    /// The same for what nobody comes back for: something that this node alone tells, by the clock.
    pub fn mention(&mut self, event: &Arc<Event>) {
        self.tell(event, self.replay.last());
    }

    /// Events come in from now on; those of before are not known. Whoever is here already may have missed some.
    pub fn begin(&mut self, now: Instant) {
        if self.stats.connections == 0 {
            self.replay.restart(now);
        } else {
            self.gap(now);
        }
    }

    /// Events come in from now on, and first those since a moment of the past, by [`Self::record`] and
    /// [`Self::publish_late`], until [`Self::loaded`]. Whoever comes back meanwhile is not vouched for.
    pub fn begin_from(&mut self, since: Instant) {
        self.replay.load_from(since);
    }

    /// What had been kept since the moment of [`Self::begin_from`] has been recorded.
    pub fn loaded(&mut self) {
        self.replay.loaded();
    }

    /// Events come in no more, and what happens is missed, until [`Self::gap`] says that they do again. Whoever comes back
    /// meanwhile is not vouched for.
    pub fn deaf(&mut self) {
        self.replay.deaf();
    }

    /// Events may have been missed until now. Nobody who was away is vouched for any more, and who asked to be told of
    /// it is.
    pub fn gap(&mut self, now: Instant) {
        self.stats.gaps += 1;
        self.replay.gap(now);
        for id in self.ids() {
            let Some(live) = self.connection_mut(id).and_then(Connection::live_mut) else { continue };
            let was_behind = live.catching_up.take().is_some();
            if live.wants_gaps {
                self.push(id, Outgoing::Notice(Notice::Gap));
            } else if was_behind {
                // It was promised all that it had missed. When it comes back it is told that nobody can vouch for it.
                self.finish(id, None, Close::Gap);
            }
        }
    }

    fn tell(&mut self, event: &Arc<Event>, mark: Mark) {
        let met = match &event.roles_changed {
            Some(Holder::User(user)) => self.roles_changed(&event.project, user, Some((event, mark)), true),
            Some(Holder::StoredUser(user)) => {
                self.roles_changed(&event.project, user, Some((event, mark)), false)
            }
            Some(Holder::Team(_)) | None => SmallVec::new(),
        };
        let mut receivers = std::mem::take(&mut self.receivers);
        self.index.receivers(event, &mut receivers);
        for receiver in receivers.drain(..) {
            if self.is_rechecking(receiver.connection) || self.catches_up(receiver.connection) {
                continue;
            }
            let delivery = Delivery { event: Arc::clone(event), subscriptions: receiver.subscriptions };
            self.deliver(receiver.connection, mark, delivery);
        }
        receivers.shrink_to(ROOM);
        self.receivers = receivers;
        self.hold(event, mark, &met);
        if let Some(Holder::Team(team)) = &event.roles_changed {
            self.end_team(&event.project, team);
        }
    }

    /// A user's roles may have changed: its connections get no event under the old ones any more.
    pub fn roles_may_have_changed(&mut self, project: &ProjectId, user: &UserId) {
        self.roles_changed(project, user, None, true);
    }

    /// The user of an [`Effect::Refresh`] was read again: `None` if it is gone.
    pub fn refreshed(
        &mut self,
        project: &ProjectId,
        user: &UserId,
        found: &Result<Option<Standing>, Refusal>,
    ) {
        let key = (project.clone(), user.clone());
        let Some(recheck) = self.rechecks.get_mut(&key) else { return };
        if std::mem::take(&mut recheck.again) {
            recheck.is_awaited = true;
            self.effects.push_back(Effect::Refresh { project: key.0, user: key.1, is_awaited: true });
            return;
        }
        let Some(recheck) = self.rechecks.remove(&key) else { return };
        if recheck.is_for_all {
            self.refresh_unawaited(&key, &recheck, found);
        }
        for (id, from) in recheck.connections {
            let held = recheck.held.get(from..).unwrap_or_default();
            match found {
                Ok(Some(standing)) if self.is_proved_by(id, standing) => {
                    self.take_account(id, Arc::clone(&standing.account));
                    self.release(id, held);
                    self.go_on_subscribing(id);
                    self.handle_waiting(id);
                }
                Ok(Some(_)) => self.end_session(id),
                Ok(None) => self.end_user(id),
                Err(refusal) => self.refuse(id, refusal.clone()),
            }
        }
    }

    /// The client's link is gone. Every connection ends with this call.
    pub fn closed(&mut self, id: ConnectionId) {
        if self.connection(id).is_none() {
            return;
        }
        self.detach(id);
        if let Some(place) = self.seats.get_mut(id.slot() as usize) {
            place.connection = None;
            place.generation = place.generation.wrapping_add(1);
        }
        self.free.push(id.slot());
        self.stats.connections -= 1;
        self.stats.closed += 1;
    }

    /// The node stops: closes every connection at some moment until then, and lets nobody in any more.
    pub fn drain(&mut self, until: Instant, now: Instant) {
        self.leaving = Some(Leaving { until });
        let window = until.saturating_duration_since(now);
        let grace = (window / 4).min(GRACE);
        for id in self.ids() {
            let beats_at = now + self.random.part_of(window - grace);
            if let Some(connection) = self.connection_mut(id) {
                connection.heartbeat_at = beats_at;
                connection.leave_at = Some(beats_at + grace);
            }
            self.schedule(id);
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, id)) = self.deadlines.pop_due(now) {
            match self.connection_mut(id) {
                Some(connection) if connection.due == at => self.look_at(id, now),
                Some(_) | None => {}
            }
        }
    }

    /// The next thing to do outside.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The next thing to send on a connection.
    pub fn poll_outgoing(&mut self, id: ConnectionId) -> Option<Outgoing> {
        self.tell_of_left_out(id);
        self.catch_up(id);
        self.connection_mut(id)?.outbox.pop()
    }

    /// Whether the connection is there still.
    pub fn knows(&self, id: ConnectionId) -> bool {
        self.connection(id).is_some()
    }

    /// Whether the connection's last words are queued.
    pub fn is_closing(&self, id: ConnectionId) -> bool {
        self.connection(id).is_none_or(|connection| matches!(connection.state, State::Closing))
    }

    /// When to call [`Self::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// What has happened so far.
    pub fn stats(&self) -> Stats {
        Stats { subscriptions: self.index.len() as u64, ..self.stats }
    }

    /// How many connections each project has that were let in.
    pub fn connections(&self) -> BTreeMap<ProjectId, u64> {
        self.index.connections()
    }

    /// Until when the last connection of a stopping node will be closed, if it is stopping.
    pub fn leaving_until(&self) -> Option<Instant> {
        self.leaving.map(|leaving| leaving.until)
    }

    /// Why the connection gets this event, or why not.
    pub fn explain(&self, event: &Event, id: ConnectionId) -> Verdict {
        match self.index.project(id) {
            Some(project) => Verdict::of(event, project, self.index.roles(id), self.index.subscriptions(id)),
            None => Verdict::NotConnected,
        }
    }

    fn connection(&self, id: ConnectionId) -> Option<&Connection> {
        let place = self.seats.get(id.slot() as usize)?;
        place.connection.as_deref().filter(|_| place.generation == id.generation())
    }

    fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let place = self.seats.get_mut(id.slot() as usize)?;
        place.connection.as_deref_mut().filter(|_| place.generation == id.generation())
    }

    fn live(&self, id: ConnectionId) -> Option<&Live> {
        self.connection(id)?.live()
    }

    fn ids(&self) -> Vec<ConnectionId> {
        let numbered = self.seats.iter().enumerate();
        numbered
            .filter(|(_, place)| place.connection.is_some())
            .map(|(slot, place)| ConnectionId::new(slot as u32, place.generation))
            .collect()
    }

    /// Lets a connection in: checks in Appwrite's order, then roles, subscriptions, and the first notice.
    fn admit(
        &mut self,
        id: ConnectionId,
        hello: &Hello,
        admission: Admission,
        now: Instant,
    ) -> Result<(), Refusal> {
        let Admission { project, identity, owns_origin } = admission;
        self.check_project(&project)?;
        self.check_origin(hello, &project, &identity, owns_origin)?;
        let channels = convert(&hello.channels, identity.user());
        let slots = slots_of(&channels, &hello.queries, &self.settings.queries)
            .map_err(|error| Refusal::policy(error.to_string()))?;
        let count = slots.iter().map(|slot| slot.channels.len()).sum();
        self.check_room(slots.len(), count).map_err(|refusal| Refusal::policy(refusal.message))?;
        let since = hello.since.as_ref().map(|event| self.replay.find_event(&project.id, event));

        let live = Live {
            project: project.id.clone(),
            address: hello.address,
            expires_at: identity.valid_for.map(|valid_for| now + valid_for),
            authenticating: None,
            rechecking: false,
            presents: Presents::No,
            pending: None,
            request: None,
            catching_up: None,
            acknowledged: Mark::default(),
            came_back: Mark::default(),
            held_since: Mark::default(),
            remembered_at: now,
            left_out_since: None,
            wants_gaps: hello.wants_gaps,
            tails_due: None,
            reread_at: self.first_reread(&identity, now),
            ended: Vec::new(),
            identity,
        };
        self.index.enter(id, &project.id, &live.identity.roles());
        let profile = live.identity.account.as_ref().map(|account| account.profile.clone());
        if let Some(connection) = self.connection_mut(id) {
            connection.state = State::Live(live);
        }
        self.join_users(id);
        let mut made = Vec::with_capacity(slots.len());
        for slot in slots {
            let subscription = self.random.subscription_id();
            made.push((slot.key, subscription.clone()));
            let start = since.and_then(Result::ok).unwrap_or(self.replay.last());
            let subscription = Subscription::new(subscription, slot.channels.into(), slot.filter);
            self.index.subscribe(id, Subscription { start, ..subscription });
        }
        let recovery = since.map(|found| found.map(drop));
        self.push(id, Outgoing::Notice(Notice::Connected { channels, slots: made, profile, recovery }));
        self.count_recovery(recovery);
        match since {
            Some(Ok(_)) => {
                let resumed: Vec<SubscriptionId> =
                    self.index.subscriptions(id).map(|subscription| subscription.id.clone()).collect();
                self.begin_to_catch_up(id, &resumed);
            }
            Some(Err(_)) => {}
            None => self.note_request(id, &hello.origin),
        }
        self.schedule(id);
        Ok(())
    }

    fn check_project(&self, project: &Project) -> Result<(), Refusal> {
        if !project.realtime_enabled {
            return Err(Refusal::new(
                RefusalKind::Forbidden,
                "The requested API is disabled. You can enable the API from the Appwrite console.",
            ));
        }
        if !project.region.is_empty() && project.region != self.settings.region {
            return Err(Refusal::new(
                RefusalKind::Unauthorized,
                "Project is not accessible in this region. Please make sure you are using the correct endpoint",
            ));
        }
        Ok(())
    }

    fn check_origin(
        &self,
        hello: &Hello,
        project: &Project,
        identity: &Identity,
        owns_origin: bool,
    ) -> Result<(), Refusal> {
        if hello.origin.is_empty() || (project.id.is_console() && !self.settings.check_console_origin) {
            return Ok(());
        }
        let rules = OriginRules::of(project, &self.settings.origin);
        origin::check(&hello.origin, &rules, identity.dev_key, owns_origin)
    }

    /// Whether a connection may have this many subscriptions and channels.
    fn check_room(&self, subscriptions: usize, channels: usize) -> Result<(), Refusal> {
        let over = |what: &str, limit: usize| {
            Refusal::invalid(format!(
                "Too many {what}: a connection may have {limit}. Unsubscribe from some first."
            ))
        };
        if subscriptions > self.settings.subscriptions {
            return Err(over("subscriptions", self.settings.subscriptions));
        }
        if channels > self.settings.channels {
            return Err(over("channels", self.settings.channels));
        }
        Ok(())
    }

    fn handle_waiting(&mut self, id: ConnectionId) {
        while let Some(connection) = self.connection_mut(id) {
            if connection.is_busy() {
                return;
            }
            let Some(said) = connection.waiting.pop_front() else { return };
            self.handle(id, said);
        }
    }

    fn handle(&mut self, id: ConnectionId, said: Result<Command, Malformed>) {
        let Some(live) = self.live(id) else { return };
        let notice = match said {
            Err(Malformed(refusal)) => Notice::Refused(refusal),
            Ok(Command::Ping) => Notice::Pong,
            Ok(Command::Authenticate(credential)) => {
                let (project, address) = (live.project.clone(), live.address);
                let asked_at = self.changes.begin();
                if let Some(live) = self.connection_mut(id).and_then(Connection::live_mut) {
                    live.authenticating = Some(asked_at);
                }
                self.effects.push_back(Effect::Authenticate { connection: id, project, address, credential });
                return;
            }
            Ok(Command::Subscribe(items)) => {
                self.begin_to_subscribe(id, items);
                return;
            }
            Ok(Command::Present(presence)) => match self.present(id, presence) {
                Ok(()) => return,
                Err(refusal) if refusal.kind == RefusalKind::Policy => {
                    self.refuse(id, refusal);
                    return;
                }
                Err(refusal) => Notice::Refused(refusal),
            },
            Ok(Command::Unsubscribe(ids)) => {
                self.forget(id, |held| ids.contains(held));
                Notice::Unsubscribed(
                    ids.into_iter()
                        .map(|subscription| {
                            let had_tails = self.tails.remove(id, &subscription);
                            let removed = self.index.unsubscribe(id, &subscription) || had_tails;
                            (subscription, removed)
                        })
                        .collect(),
                )
            }
        };
        self.push(id, Outgoing::Notice(notice));
    }

    /// The connection is somebody else from now on, by what was read at this count of role changes; its subscriptions
    /// follow.
    fn become_identity(&mut self, id: ConnectionId, identity: Identity, asked_at: u64, now: Instant) {
        let former = self.live(id).and_then(Live::user_key);
        self.leave_users(id);
        let (from, held) = self.rechecked_apart(id);
        let reread_at = self.first_reread(&identity, now);
        let Some(live) = self.connection_mut(id).and_then(Connection::live_mut) else { return };
        let old = live.identity.user().cloned();
        let held_since = live.held_since;
        live.rechecking = false;
        live.expires_at = identity.valid_for.map(|valid_for| now + valid_for);
        live.reread_at = reread_at;
        live.ended = Vec::new();
        live.identity = identity;
        let (new, roles) = (live.identity.user().cloned(), live.identity.roles());
        let profile = live.identity.account.as_ref().map(|account| account.profile.clone());
        self.join_users(id);
        self.set_roles(id, &roles);
        if let Some(new) = new {
            self.rebind(id, old.as_ref(), &new);
        }
        self.push(id, Outgoing::Notice(Notice::Authenticated { profile: profile.unwrap_or_default() }));
        self.recheck_if_changed_since(id, asked_at);
        if !self.is_rechecking(id) {
            self.release(id, &held);
        } else if self.live(id).and_then(Live::user_key) == former {
            if !held.is_empty()
                && let Some(live) = self.connection_mut(id).and_then(Connection::live_mut)
            {
                live.held_since = held_since;
            }
            self.wait_on(id, from, held);
        } else if !held.is_empty() {
            // They wait for somebody else's roles now, among whose events they have no place.
            self.drop_slow(id);
        }
        // Its subscriptions are another user's now.
        self.remember(id, false);
        if old != self.live(id).and_then(|live| live.identity.user().cloned()) {
            self.recall_request(id);
        }
        self.schedule(id);
    }

    /// A connection goes on waiting for its user's roles, with the events that were held for it before.
    fn wait_on(&mut self, id: ConnectionId, from: usize, held: Held) {
        let Some(key) = self.live(id).and_then(Live::user_key) else { return };
        let Some(recheck) = self.rechecks.get_mut(&key) else { return };
        let is_alone = recheck.connections.len() == 1;
        let place = recheck.connections.iter_mut().find(|(other, _)| *other == id);
        let Some((_, place)) = place else { return };
        if is_alone {
            // What was held went when nobody waited any more.
            *place = 0;
            recheck.held = held;
        } else {
            *place = from;
        }
    }

    fn rebind(&mut self, id: ConnectionId, old: Option<&UserId>, new: &UserId) {
        let moved: Vec<Subscription> = self
            .index
            .subscriptions(id)
            .filter_map(|held| {
                let channels: SmallVec<[Channel; 1]> =
                    held.channels.iter().map(|channel| channel.rebind(old, new)).collect();
                (channels != held.channels).then(|| Subscription { channels, ..held.clone() })
            })
            .collect();
        for subscription in moved {
            self.index.subscribe(id, subscription);
        }
    }

    /// The same user with other roles.
    fn take_account(&mut self, id: ConnectionId, account: Arc<Account>) {
        if let Some(live) = self.connection_mut(id).and_then(Connection::live_mut) {
            live.rechecking = false;
        }
        self.set_account(id, account);
    }

    fn set_account(&mut self, id: ConnectionId, mut account: Arc<Account>) {
        let Some(live) = self.connection_mut(id).and_then(Connection::live_mut) else { return };
        live.ended.retain(|ended| account.memberships.iter().any(|membership| membership.id == *ended));
        if !live.ended.is_empty() {
            let memberships = &mut Arc::make_mut(&mut account).memberships;
            memberships.retain(|membership| !live.ended.contains(&membership.id));
        }
        live.identity.account = Some(account);
        let roles = live.identity.roles();
        self.set_roles(id, &roles);
    }

    fn set_roles(&mut self, id: ConnectionId, roles: &[Role]) {
        self.index.set_roles(id, roles);
        self.tails.keep_held(id, roles);
    }

    fn is_rechecking(&self, id: ConnectionId) -> bool {
        self.live(id).is_some_and(|live| live.rechecking)
    }

    /// Begins to read a user's roles again. The event that tells of the change still reaches the connections that may
    /// see it under their old roles, unless they are catching up: a removed member learns of the removal. Somebody whom only a token speaks of is
    /// concerned by what was announced alone. The connections that got the event are returned.
    fn roles_changed(
        &mut self,
        project: &ProjectId,
        user: &UserId,
        event: Option<(&Arc<Event>, Mark)>,
        announced: bool,
    ) -> SmallVec<[ConnectionId; 2]> {
        let key = (project.clone(), user.clone());
        self.changes.note(&key);
        if let Some(recheck) = self.rechecks.get_mut(&key) {
            recheck.again = true;
        }
        let mut met = SmallVec::new();
        for id in self.by_user.get(&key).cloned().unwrap_or_default() {
            if !self.is_user(id, &key) {
                self.reread(&key, true);
                continue;
            }
            let is_claimed = self.live(id).is_some_and(|live| live.identity.claimed);
            if self.is_rechecking(id) || (is_claimed && !announced) {
                continue;
            }
            // Who is still getting what came before must not be told of anything after it.
            let is_behind = self.live(id).is_some_and(|live| live.catching_up.is_some());
            if let Some((event, mark)) = event.filter(|_| !is_behind)
                && self.deliver_if_entitled(event, mark, id)
            {
                met.push(id);
            }
            self.recheck(id);
        }
        met
    }

    /// Holds back the connection's events until its user has been read again.
    fn recheck(&mut self, id: ConnectionId) {
        let last = self.replay.last();
        let Some(live) = self.connection_mut(id).and_then(Connection::live_mut) else { return };
        let Some(key) = live.user_key() else { return };
        live.rechecking = true;
        live.held_since = last.before();
        let recheck = self.rechecks.entry(key.clone()).or_insert_with(|| {
            self.effects.push_back(Effect::Refresh { project: key.0, user: key.1, is_awaited: true });
            Recheck { is_awaited: true, ..Recheck::default() }
        });
        // A question that may stay unanswered is not one to wait for.
        recheck.again |= !recheck.is_awaited;
        recheck.connections.push((id, recheck.held.len()));
    }

    fn recheck_if_changed_since(&mut self, id: ConnectionId, asked_at: u64) {
        // What only a token says is not in the directory, so it was not read too early.
        let Some(live) = self.live(id).filter(|live| !live.identity.claimed) else { return };
        let changed: Vec<_> =
            live.concerned().filter(|key| self.changes.changed_since(key, asked_at)).collect();
        for key in changed {
            if self.is_user(id, &key) {
                self.recheck(id);
            } else {
                self.reread(&key, true);
            }
        }
    }

    /// Keeps an event for connections that listen to it and whose roles are being read again, but for those that have met
    /// it.
    fn hold(&mut self, event: &Arc<Event>, mark: Mark, met: &SmallVec<[ConnectionId; 2]>) {
        if self.rechecks.is_empty() {
            return;
        }
        let mut overfull = Vec::new();
        // Users in admin mode are the console's, wherever they are connected.
        let homes = [Some(event.project.clone()), (!event.project.is_console()).then(ProjectId::console)];
        for project in homes.into_iter().flatten() {
            let first = (project.clone(), UserId::new(""));
            let of_project = self.rechecks.range_mut(first..).take_while(|(key, _)| key.0 == project);
            for (_, recheck) in of_project {
                // Which roles they will have is not known yet, but subscriptions stay what they are meanwhile.
                let waiting = recheck.connections.iter().map(|(id, _)| *id);
                let mut listening = waiting.filter(|id| self.index.listens_to(*id, event)).peekable();
                if listening.peek().is_none() {
                    continue;
                }
                if recheck.held.len() < self.settings.held_events {
                    recheck.held.push(Withheld { event: Arc::clone(event), mark, met: met.clone() });
                } else {
                    overfull.extend(listening);
                }
            }
        }
        for id in overfull {
            self.drop_slow(id);
        }
    }

    /// Delivers what was held back, to the roles as they are now.
    fn release(&mut self, id: ConnectionId, held: &[Withheld]) {
        if self.catches_up(id) {
            return;
        }
        for Withheld { event, mark, met } in held {
            if !met.contains(&id) {
                self.deliver_if_entitled(event, *mark, id);
            }
        }
    }

    /// Takes a connection out of its user's recheck: the events that were held for it, and how many had been held before.
    fn rechecked_apart(&mut self, id: ConnectionId) -> (usize, Held) {
        let nothing = (0, Held::new());
        let Some(key) = self.live(id).filter(|live| live.rechecking).and_then(Live::user_key) else {
            return nothing;
        };
        let Some(recheck) = self.rechecks.get_mut(&key) else { return nothing };
        let Some((_, from)) = recheck.connections.iter().find(|(other, _)| *other == id) else {
            return nothing;
        };
        let from = *from;
        let held = recheck.held.get(from..).unwrap_or_default().to_vec();
        recheck.connections.retain(|(other, _)| *other != id);
        if recheck.connections.is_empty() {
            // It stays until it is answered: an answer asked for now must not be taken for that to a later question.
            recheck.held = Held::new();
        }
        (from, held)
    }

    fn deliver_if_entitled(&mut self, event: &Arc<Event>, mark: Mark, id: ConnectionId) -> bool {
        let Verdict::Delivered { subscriptions } = self.explain(event, id) else { return false };
        let delivery = Delivery { event: Arc::clone(event), subscriptions: subscriptions.into() };
        self.deliver(id, mark, delivery);
        true
    }

    fn deliver(&mut self, id: ConnectionId, mark: Mark, delivery: Delivery) {
        self.stats.deliveries += 1;
        self.push_at(id, mark, Outgoing::Event(delivery));
    }

    fn push(&mut self, id: ConnectionId, outgoing: Outgoing) {
        self.push_at(id, self.replay.last(), outgoing);
    }

    fn push_at(&mut self, id: ConnectionId, mark: Mark, outgoing: Outgoing) {
        let bounds = self.settings.outbox;
        let Some(connection) = self.connection_mut(id) else { return };
        if matches!(connection.state, State::Closing) {
            return;
        }
        // Whoever says what it has seen must not see anything after what was left out before it is told of that.
        let is_to_be_told =
            connection.live().is_some_and(|live| live.wants_gaps && live.left_out_since.is_some());
        if is_to_be_told && matches!(outgoing, Outgoing::Event(_)) {
            self.stats.left_out += 1;
            return;
        }
        match connection.outbox.push(mark, outgoing, &bounds) {
            Ok(true) => self.effects.push_back(Effect::Wake(id)),
            Ok(false) => {}
            Err(Full(outgoing)) => self.push_into_full(id, mark, outgoing),
        }
    }

    fn refuse(&mut self, id: ConnectionId, refusal: Refusal) {
        self.finish(id, Some(Notice::Refused(refusal.clone())), Close::Refused(refusal));
    }

    /// Queues the last words of a connection; after this only [`Self::closed`] happens to it.
    fn finish(&mut self, id: ConnectionId, notice: Option<Notice>, close: Close) {
        self.detach(id);
        let Some(connection) = self.connection_mut(id) else { return };
        if matches!(connection.state, State::Closing) {
            return;
        }
        connection.state = State::Closing;
        connection.waiting = VecDeque::new();
        if let Some(notice) = notice {
            connection.outbox.push_last(Outgoing::Notice(notice));
        }
        connection.outbox.push_last(Outgoing::Close(close));
        // Even with messages still waiting: a client that takes none of them is to be let go.
        self.effects.push_back(Effect::Wake(id));
    }

    /// Ends everything that the engine keeps about a connection beside its outbox.
    fn detach(&mut self, id: ConnectionId) {
        let leave = self.connection(id).and_then(|connection| connection.leave);
        if self.live(id).is_some_and(|live| live.presents == Presents::Yes) {
            self.effects.push_back(Effect::Absent { connection: id, ended_by_client: leave.is_some() });
        }
        if leave == Some(Leave::ForGood) {
            self.forget(id, |_| true);
        } else {
            self.remember(id, false);
            self.remember_request(id);
        }
        self.rechecked_apart(id);
        self.leave_users(id);
        self.tails.leave(id);
        self.index.leave(id);
        let asked_at = match self.connection(id).map(|connection| &connection.state) {
            Some(State::Opening(opening)) => Some(opening.asked_at),
            Some(State::Live(live)) => live.authenticating,
            Some(State::Closing) | None => None,
        };
        if let Some(asked_at) = asked_at {
            self.changes.end(asked_at);
        }
    }

    /// Puts the connection's next moment into the deadlines, if it is earlier than the one it stands under.
    fn schedule(&mut self, id: ConnectionId) {
        let Some(connection) = self.connection_mut(id) else { return };
        let next = connection.next_due();
        if next < connection.due {
            connection.due = next;
            self.deadlines.set(next, id);
        }
    }

    /// Does what is due for a connection.
    fn look_at(&mut self, id: ConnectionId, now: Instant) {
        let heartbeat = self.settings.heartbeat;
        let Some(connection) = self.connection_mut(id) else { return };
        let late = matches!(&connection.state, State::Opening(opening) if opening.until <= now);
        let expired = connection.live().and_then(|live| live.expires_at).is_some_and(|at| at <= now);
        let leaves = connection.leave_at.is_some_and(|at| at <= now);
        let mut beats = false;
        if connection.heartbeat_at <= now {
            beats = connection.live().is_some();
            connection.heartbeat_at = now + heartbeat;
        }
        if leaves {
            self.finish(id, None, Close::Going);
        } else if late {
            self.stats.refused += 1;
            let text = "It could not be found out in time who you are. Try again later.";
            self.refuse(id, Refusal::new(RefusalKind::Unavailable, text));
        } else if expired {
            let refusal = Refusal::new(RefusalKind::Unauthorized, "The session or token has expired.");
            self.finish(id, Some(Notice::Refused(refusal)), Close::Expired);
        } else if beats {
            self.push(id, Outgoing::Notice(Notice::Heartbeat));
            self.remember_mute(id, now);
        }
        self.flush_due_tails(id, now);
        self.reread_if_due(id, now);
        let Some(connection) = self.connection_mut(id) else { return };
        if matches!(connection.state, State::Closing) {
            return;
        }
        let next = connection.next_due();
        connection.due = next;
        self.deadlines.set(next, id);
    }
}
