//! What the server puts around engines: jobs into inboxes, effects carried out, look-ups made and answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use realtime_core::command::Hello;
use realtime_core::effect::{Admission, Effect, Owner};
use realtime_core::engine::Engine;
use realtime_core::id::{ConnectionId, ProjectId, SubscriptionId, UserId};
use realtime_core::identity::{Credential, Identity, Standing};
use realtime_core::refusal::{Refusal, RefusalKind};
use realtime_core::replay::{Parked, Place, Position};
use realtime_core::whereabouts::{self, Key, SKEW};
use realtime_protocol::appwrite::envelope;

use super::{Happening, World};
use crate::bus::{Kept, Message};
use crate::directory::unavailable;
use crate::memory::Note;
use crate::model::{NodeId, Number, Seen, ShardId};
use crate::node::{HISTORY_PATIENCE, Job, Node};

/// The pauses of a directory that could not answer, as the server has them.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Entries of a bus that keeps them that a node reads at once.
const AT_ONCE: usize = 20;
/// A newcomer that waits for what happened before looks this often whether it is there.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// A node that cannot reach the bus tries again after this.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// What a node wants to know.
#[derive(Debug)]
pub(super) enum Question {
    Who { connection: ConnectionId, hello: Arc<Hello>, asked_at: Instant },
    Authenticate(ConnectionId, ProjectId, Credential),
    Recall { connection: ConnectionId, keys: Vec<Key>, here: Vec<(SubscriptionId, Parked)> },
    Refresh { project: ProjectId, user: UserId, give_up: Instant, pause: Duration },
}

/// What it gets to know.
#[derive(Debug)]
pub(super) enum Answer {
    Who(ConnectionId, Result<Admission, Refusal>),
    Authenticated(ConnectionId, Result<Option<Identity>, Refusal>),
    Recalled {
        connection: ConnectionId,
        keys: Vec<Key>,
        here: Vec<(SubscriptionId, Parked)>,
        elsewhere: Option<Vec<Option<(Position, Duration)>>>,
    },
    Refreshed {
        project: ProjectId,
        user: UserId,
        found: Result<Option<Standing>, Refusal>,
    },
}

impl World {
    /// Lets an engine do something, then does what it wants done.
    pub(super) fn step<T: Default>(&mut self, shard: ShardId, act: impl FnOnce(&mut Engine) -> T) -> T {
        let Some(engine) = self.engine(shard) else { return T::default() };
        let result = act(engine);
        while let Some(effect) = self.engine(shard).and_then(Engine::poll_effect) {
            self.carry_out(shard, effect);
        }
        result
    }

    pub(super) fn engine(&mut self, (node, shard): ShardId) -> Option<&mut Engine> {
        self.nodes.get_mut(node)?.engines.get_mut(shard)
    }

    fn carry_out(&mut self, shard: ShardId, effect: Effect) {
        match effect {
            Effect::Wake(connection) => self.woken.push_back((shard, connection)),
            Effect::Identify { connection, hello } => {
                let asked_at = self.now();
                self.ask(shard, Question::Who { connection, hello, asked_at });
            }
            Effect::Authenticate { connection, project, credential, .. } => {
                self.ask(shard, Question::Authenticate(connection, project, credential));
            }
            Effect::Recall { connection, owner, subscriptions } => {
                self.recall(shard, connection, &owner, subscriptions);
            }
            Effect::Remember { owner, places, may_wait } => self.remember(shard, &owner, places, may_wait),
            Effect::Refresh { project, user, is_awaited } => {
                let outage = if is_awaited { self.plan.setting.outage } else { Duration::ZERO };
                let give_up = self.now() + outage;
                self.ask(shard, Question::Refresh { project, user, give_up, pause: FIRST_PAUSE });
            }
            // No client here has a presence or watches a project.
            Effect::Present { .. } | Effect::FindOwner { .. } | Effect::Absent { .. } => {}
        }
    }

    fn ask(&mut self, shard: ShardId, question: Question) {
        let now = self.now();
        let Some(node) = self.nodes.get_mut(shard.0) else { return };
        let (in_a_while, takes) = node.look_up();
        self.clock.plan(now + in_a_while, Happening::Look(shard, takes, question));
    }

    fn recall(
        &mut self,
        shard: ShardId,
        connection: ConnectionId,
        owner: &Owner,
        subscriptions: Vec<SubscriptionId>,
    ) {
        let now = self.now();
        let Some(node) = self.nodes.get(shard.0) else { return };
        let here = node.whereabouts.recall(owner, &subscriptions, now);
        let keys = subscriptions.into_iter().map(|id| (owner.clone(), id)).collect();
        self.ask(shard, Question::Recall { connection, keys, here });
    }

    fn remember(
        &mut self,
        shard: ShardId,
        owner: &Owner,
        places: Vec<(SubscriptionId, Option<Place>)>,
        may_wait: bool,
    ) {
        let (number, now) = (shard.0, self.now());
        let since_start = self.since_start(now);
        let is_connected = self.is_connected(number);
        let Some(node) = self.nodes.get_mut(number) else { return };
        let Some(inbox) = node.inboxes.get(shard.1) else { return };
        let lag = now.saturating_duration_since(inbox.heard.until(node.heard_total, now));
        let unheard = if is_connected { lag } else { node.whereabouts.keeps().max(lag) };
        for (subscription, place) in places {
            let key = (owner.clone(), subscription);
            let place = place.map(|place| place.unheard_for(unheard, now));
            let told = node.whereabouts.remember(key.clone(), place, now);
            let place_and_time = told.map(|Place { position, at }| {
                let age = at.map(|at| now.saturating_duration_since(at)).unwrap_or_default();
                (position, node.wall(since_start).saturating_sub(age))
            });
            let at = node.note(may_wait, now);
            self.clock.plan(at, Happening::Note(number, (key, place_and_time)));
        }
    }

    fn since_start(&self, now: Instant) -> Duration {
        // Some time has passed on every wall when a world begins.
        Duration::from_secs_f64(self.clock.seconds(now)) + Duration::from_secs(3_600)
    }

    pub(super) fn note(&mut self, number: NodeId, note: Note) {
        let now = self.now();
        let Some(node) = self.nodes.get(number) else { return };
        let name = note.0.1.as_str().to_owned();
        let is_known = self.memory.knows(&note.0, now);
        let is_taken = (node.is_alive() || node.has_settled)
            && self.memory.remember(note, node.whereabouts.keeps(), now);
        self.model.shared(number, &name, is_taken || is_known);
    }

    /// A look-up is made now; its answer takes a while to come back.
    pub(super) fn look(&mut self, shard: ShardId, takes: Duration, question: Question) {
        let now = self.now();
        let answer = match question {
            Question::Who { connection, hello, asked_at } => {
                let inbox = self.nodes.get(shard.0).and_then(|node| node.inboxes.get(shard.1));
                let due = inbox.and_then(|inbox| inbox.history_due);
                if due.is_some_and(|due| now < due.min(asked_at + HISTORY_PATIENCE)) {
                    let question = Question::Who { connection, hello, asked_at };
                    self.clock.plan(now + LOOK_AGAIN, Happening::Look(shard, takes, question));
                    return;
                }
                let found =
                    self.directory.admit(hello.project.as_str(), &hello.credentials, &self.model, now);
                Answer::Who(connection, found)
            }
            Question::Authenticate(connection, project, credential) => {
                let session = match &credential {
                    Credential::Session(session) | Credential::Jwt(session) => session.expose(),
                };
                let found = self.directory.authenticate(project.as_str(), session, &self.model, now);
                Answer::Authenticated(connection, found)
            }
            Question::Recall { connection, keys, here } => {
                let elsewhere = self.memory.recall(&keys, now);
                Answer::Recalled { connection, keys, here, elsewhere }
            }
            Question::Refresh { project, user, give_up, pause } => {
                match self.directory.refresh(project.as_str(), user.as_str(), &self.model, now) {
                    Some(found) => Answer::Refreshed { project, user, found: Ok(found) },
                    None if now + pause < give_up => {
                        let question = Question::Refresh {
                            project,
                            user,
                            give_up,
                            pause: (pause * 2).min(LONGEST_PAUSE),
                        };
                        self.clock.plan(now + pause, Happening::Look(shard, takes, question));
                        return;
                    }
                    None => Answer::Refreshed { project, user, found: Err(unavailable()) },
                }
            }
        };
        self.clock.plan(now + takes, Happening::Answer(shard, answer));
    }

    pub(super) fn answer(&mut self, shard: ShardId, answer: Answer) {
        let now = self.now();
        match answer {
            Answer::Who(connection, found) => {
                self.step(shard, |engine| engine.identified(connection, found, now));
            }
            Answer::Authenticated(connection, found) => {
                let found = found.and_then(|found| {
                    let text = "Session is not valid.";
                    found.map(Some).ok_or_else(|| Refusal::new(RefusalKind::Invalid, text))
                });
                self.step(shard, |engine| engine.authenticated(connection, found, now));
            }
            Answer::Recalled { connection, keys, mut here, elsewhere } => {
                let wall = match self.nodes.get(shard.0) {
                    Some(node) => node.wall(self.since_start(now)),
                    None => return,
                };
                if elsewhere.is_none() {
                    // Nobody can tell whether it was elsewhere, and what it missed since: that is not the same as being new.
                    let is_unknown = |id: &SubscriptionId| here.iter().all(|(known, _)| known != id);
                    let unknown = keys.iter().map(|(_, id)| id.clone()).filter(is_unknown);
                    let lost = unknown.map(|id| (id, Parked { position: Position::Lost, at: now }));
                    let lost: Vec<_> = lost.collect();
                    here.extend(lost);
                }
                let is_there = self.engine(shard).is_some_and(|engine| !engine.is_closing(connection));
                for ((_, id), found) in keys.iter().zip(elsewhere.unwrap_or_default()) {
                    match found {
                        Some((position, taken)) => {
                            whereabouts::merge(&mut here, id, position, wall.saturating_sub(taken), now);
                        }
                        None if is_there && here.iter().all(|(known, _)| known != id) => {
                            self.model.unknown(shard.0, id.as_str());
                        }
                        None => {}
                    }
                }
                self.step(shard, |engine| engine.recalled(connection, here));
            }
            Answer::Refreshed { project, user, found } => {
                self.step(shard, |engine| engine.refreshed(&project, &user, &found));
            }
        }
    }

    /// A node tries to listen to the bus.
    pub(super) fn listen(&mut self, number: NodeId) {
        let now = self.now();
        let Some(node) = self.nodes.get_mut(number).filter(|node| node.is_alive()) else { return };
        if self.bus.has(number) {
            return;
        }
        if !self.bus.subscribe(number, now) {
            self.clock.plan(now + TRY_AGAIN, Happening::Listen(number));
            return;
        }
        let job = if node.has_listened { Job::Gap } else { Job::Begin };
        node.has_listened = true;
        if self.plan.setting.durable {
            self.begin_to_browse(number);
        } else {
            self.post(number, &job);
        }
    }

    /// Whether what happens reaches a node at the moment.
    fn is_connected(&self, number: NodeId) -> bool {
        let is_there = |node: &Node| node.reader.is_some_and(|reader| reader.is_there);
        let reads = !self.plan.setting.durable || self.nodes.get(number).is_some_and(is_there);
        self.bus.has(number) && reads
    }

    /// A node reads on from where it stood, or from as long ago as events are kept.
    fn begin_to_browse(&mut self, number: NodeId) {
        let now = self.now();
        let oldest = now.checked_sub(self.plan.setting.replay.window).unwrap_or(now);
        let from = self.bus.kept.partition_point(|kept| kept.at <= oldest);
        let first = self.bus.kept.get(from).map(|kept| kept.at);
        let Some(node) = self.nodes.get_mut(number) else { return };
        match node.reader {
            Some(reader) => node.begin_to_read(reader.next, false),
            None => {
                node.begin_to_read(from, true);
                match first {
                    // Whoever has the entry before the oldest of these sees that none is missing.
                    Some(_) if from > 0 => self.post(number, &Job::BeginFrom(oldest)),
                    Some(first) => self.post(number, &Job::BeginFrom(first)),
                    None if from > 0 => self.post(number, &Job::BeginFrom(oldest)),
                    None => self.post(number, &Job::Begin),
                }
            }
        }
        if let Some(subscription) = self.bus.subscription(number) {
            self.clock.plan(now, Happening::Browse(number, subscription));
        }
    }

    /// A node reads some of what the bus has kept.
    pub(super) fn browse(&mut self, number: NodeId, subscription: u64) {
        let now = self.now();
        if !self.bus.listens(number, subscription) {
            return;
        }
        let Some(node) = self.nodes.get_mut(number) else { return };
        let (started, again_at) = (node.started, node.read_on(now));
        let Some(reader) = &mut node.reader else { return };
        let read = *reader;
        let entries: Vec<Kept> = self.bus.kept.iter().skip(read.next).take(AT_ONCE).cloned().collect();
        reader.next += entries.len();
        reader.is_there |= entries.is_empty();
        for Kept { at, message } in &entries {
            let job = match message {
                Message::Envelope(event, bytes) => match envelope::decode(bytes) {
                    Ok(decoded) if read.is_there => Job::Publish(*event, Arc::new(decoded)),
                    Ok(decoded) if *at + SKEW < started => Job::Record(*event, Arc::new(decoded), *at),
                    Ok(decoded) => Job::PublishLate(*event, Arc::new(decoded), *at),
                    Err(error) => {
                        return self.fail("running", format!("an envelope cannot be read: {error}"));
                    }
                },
                Message::Garbled if read.looks_back && !read.is_there => Job::BeginFrom(*at),
                Message::Garbled => Job::Gap,
            };
            self.post(number, &job);
        }
        if read.is_there {
            return;
        }
        self.see(&Seen::Trouble(now));
        if entries.is_empty() {
            self.post(number, &Job::Loaded);
        } else {
            self.clock.plan(again_at, Happening::Browse(number, subscription));
        }
    }

    /// A message from the bus reaches a node.
    pub(super) fn arrive(&mut self, number: NodeId, subscription: u64, message: &Message) {
        if !self.bus.listens(number, subscription) {
            return;
        }
        match message {
            Message::Envelope(event, bytes) => match envelope::decode(bytes) {
                Ok(decoded) => self.post(number, &Job::Publish(*event, Arc::new(decoded))),
                Err(error) => self.fail("running", format!("an envelope cannot be read: {error}")),
            },
            Message::Garbled => self.post(number, &Job::Gap),
        }
    }

    /// Posts a job to every shard of a node.
    pub(super) fn post(&mut self, number: NodeId, job: &Job) {
        let now = self.now();
        let Some(node) = self.nodes.get_mut(number) else { return };
        node.heard_total += u64::from(!matches!(job, Job::Drain(_)));
        let number_of_job = node.heard_total;
        for shard in 0..node.inboxes.len() {
            let at = node.post(shard, now);
            if let Some(inbox) = node.inboxes.get_mut(shard) {
                inbox.jobs.push_back((job.clone(), number_of_job, now));
            }
            self.clock.plan(at, Happening::Work((number, shard)));
        }
    }

    /// A shard does its next job.
    pub(super) fn work(&mut self, shard: ShardId) {
        let now = self.now();
        let Some(node) = self.nodes.get_mut(shard.0).filter(|node| node.is_alive()) else { return };
        let total = node.heard_total;
        let Some(inbox) = node.inboxes.get_mut(shard.1) else { return };
        let Some((job, number, posted_at)) = inbox.jobs.pop_front() else { return };
        if !matches!(job, Job::Drain(_)) {
            inbox.heard.give(number, total, now);
        }
        match job {
            Job::Begin | Job::Loaded => inbox.history_due = None,
            Job::BeginFrom(_) => inbox.history_due = Some(now + HISTORY_PATIENCE),
            Job::Publish(..)
            | Job::PublishLate(..)
            | Job::Record(..)
            | Job::Deaf
            | Job::Gap
            | Job::Drain(_) => {}
        }
        match job {
            Job::Publish(number, event) => {
                self.give(shard, number, |engine| engine.publish(&event, posted_at));
            }
            Job::PublishLate(number, event, at) => {
                self.give(shard, number, |engine| engine.publish_late(&event, at, now));
            }
            Job::Record(number, event, at) => self.give(shard, number, |engine| engine.record(&event, at)),
            Job::Begin => {
                self.see(&Seen::Gapped(shard));
                self.step(shard, |engine| engine.begin(posted_at));
            }
            Job::BeginFrom(since) => self.step(shard, |engine| engine.begin_from(since)),
            Job::Loaded => self.step(shard, Engine::loaded),
            Job::Gap => {
                self.see(&Seen::Gapped(shard));
                self.step(shard, |engine| engine.gap(posted_at));
            }
            Job::Deaf => self.step(shard, Engine::deaf),
            Job::Drain(window) => self.step(shard, |engine| engine.drain(now + window, now)),
        }
    }

    /// An engine gets to know of an event.
    fn give(&mut self, shard: ShardId, number: Number, act: impl FnOnce(&mut Engine)) {
        self.see(&Seen::Took(shard, number));
        self.step(shard, act);
        let kept = self.engine(shard).map(|engine| engine.stats().replay_bytes).unwrap_or_default();
        self.see(&Seen::Keeps(shard, kept));
    }
}
