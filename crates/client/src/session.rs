//! A client's side of the conversation as a state machine: facts and wishes in, effects out.
//!
//! A session opens no socket, reads no clock and draws its random numbers from a seed, so that it runs the same under an
//! application, in a test in virtual time, and a thousandfold in a simulation. Whoever drives it
//!
//! 1. calls the methods for what happened or is wished,
//! 2. then carries out effects until [`poll_effect`](Session::poll_effect) gives none,
//! 3. and calls [`handle_timeout`](Session::handle_timeout) at the time that [`poll_timeout`](Session::poll_timeout) names.
//!
//! Time never goes back: a `now` before an earlier one counts as that.

mod live;
mod settings;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use serde_json::Value;

use self::live::{Asked, Live, Question};
pub use self::settings::Settings;
use crate::advice::Advice;
use crate::backoff::Backoff;
use crate::close::{Close, GOODBYE, RETURNS};
use crate::credential::Credential;
use crate::effect::Effect;
use crate::error::Error;
use crate::event::{Event, Gap};
use crate::interest::Interest;
use crate::message::{self, Message};
use crate::pace::Pace;
use crate::pass::Pass;
use crate::presence::Presence;
use crate::random::Random;
use crate::request::{Request, push_slots};
use crate::resume::{self, Recovery};
use crate::state::State;
use crate::subscription::{Subscription, SubscriptionId};

/// A connection that lived this long was a success: the next pause is a short one again.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// Changes made within this time share a new connection, where one is needed for them.
const GATHER: Duration = Duration::from_millis(50);
/// No more than one such connection in this time.
const REMAKE_AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// The longest `subscribe` message, in bytes: Appwrite's server takes 64,000, framing included.
const MAX_MESSAGE: usize = 62_000;
/// The most items in one message.
const MAX_ITEMS: usize = 500;
/// A server that asks to be left alone for longer is tried again after this.
const LONGEST_AWAY: Duration = Duration::from_secs(3600);
/// Bytes of a senseless message that are shown.
const EXCERPT: usize = 80;

/// One client of one project.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    now: Instant,
    phase: Phase,
    dialect: Dialect,
    /// The server's last words, if they were a complaint.
    complaint: Option<Close>,
    pass: Pass,
    /// The generation of the credential that this connection has shown, unless it has to be shown again.
    shown: Option<u64>,
    backoff: Backoff,
    pace: Pace,
    random: Random,
    /// What sets this client's subscriptions apart from others of the same user.
    client: u64,
    subscriptions: BTreeMap<SubscriptionId, Subscription>,
    made: u32,
    /// The message that says what others may know of the user.
    presence: Option<String>,
    /// Counts changes of what is subscribed to.
    changes: u64,
    /// When a change of what is subscribed to last made a new connection.
    remade_at: Option<Instant>,
    effects: VecDeque<Effect>,
}

#[derive(Debug)]
enum Phase {
    /// Nobody listens.
    Idle,
    /// Connects when the pause is over.
    Waiting { until: Instant },
    /// Connects when there is a credential.
    Providing,
    /// The handshake is under way.
    Connecting { until: Instant, slots: Slots },
    /// The handshake is done, `connected` has not come.
    Opening { until: Instant, slots: Slots },
    /// In conversation.
    Live(Box<Live>),
    /// The server does not want to see this client again.
    Stopped(Close),
}

/// How subscriptions are told to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// In messages. `proven` once the server has answered one.
    Messages { proven: bool },
    /// In the URL, for servers before 2026; each change needs a new connection.
    Url,
}

/// What a request has named in its URL.
#[derive(Debug, Clone, Default)]
struct Slots {
    subscriptions: Vec<SubscriptionId>,
    /// The count of changes when it was made.
    as_of: u64,
}

impl Session {
    /// A session that connects once something is subscribed to. The seed decides pauses and the names of subscriptions:
    /// an application takes a random one, a simulation a different one for each client.
    pub fn new(settings: Settings, seed: u64, now: Instant) -> Self {
        let mut random = Random::new(seed);
        let client = random.next();
        let backoff = Backoff::new(settings.first_pause, settings.longest_pause, Random::new(random.next()));
        Self {
            pass: Pass::new(settings.provides_credentials),
            dialect: if settings.in_url { Dialect::Url } else { Dialect::Messages { proven: false } },
            settings,
            now,
            phase: Phase::Idle,
            complaint: None,
            shown: None,
            backoff,
            pace: Pace::new(now),
            random,
            client,
            subscriptions: BTreeMap::new(),
            made: 0,
            presence: None,
            changes: 0,
            remade_at: None,
            effects: VecDeque::new(),
        }
    }

    /// Listens. [`Effect::Ready`] follows when the server has confirmed it, or [`Effect::Ended`] if it refuses.
    pub fn subscribe(&mut self, interest: Interest, now: Instant) -> Result<SubscriptionId, Error> {
        self.pass_time(now);
        if let Phase::Stopped(close) = &self.phase {
            return Err(Error::Stopped(close.clone()));
        }
        interest.check()?;
        self.made = self.made.wrapping_add(1);
        let id = SubscriptionId::new(self.client, self.made);
        self.subscriptions.insert(id, Subscription::new(interest));
        self.changed(id);
        Ok(id)
    }

    /// Listens to something else under the same id, from now on.
    pub fn update(&mut self, id: SubscriptionId, interest: Interest, now: Instant) -> Result<(), Error> {
        self.pass_time(now);
        interest.check()?;
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.interest = interest;
            self.changed(id);
        }
        Ok(())
    }

    /// Listens no longer. Doing it twice does nothing more.
    pub fn unsubscribe(&mut self, id: SubscriptionId, now: Instant) {
        self.pass_time(now);
        if self.subscriptions.remove(&id).is_none() {
            return;
        }
        self.changes += 1;
        if let Phase::Live(live) = &mut self.phase {
            live.remove(id);
            self.plan_remake();
            self.linger();
        } else {
            self.wait_no_longer();
        }
    }

    /// Lets others know this of the user, now and on each connection after this one, or nothing any more. A connection is kept
    /// for it as for a subscription. [`State::Present`] follows when the server has taken it.
    pub fn present(&mut self, presence: Option<&Presence>, now: Instant) -> Result<(), Error> {
        self.pass_time(now);
        if let (Phase::Stopped(close), Some(_)) = (&self.phase, presence) {
            return Err(Error::Stopped(close.clone()));
        }
        self.presence = presence.map(Presence::message).transpose()?;
        match &mut self.phase {
            Phase::Idle if self.presence.is_some() => self.connect(),
            // No message takes a presence back: it ends with its connection.
            Phase::Live(live) if self.presence.is_none() && live.announced => self.remake(),
            Phase::Live(live) => {
                live.announces = self.presence.is_some();
                self.linger();
            }
            Phase::Idle
            | Phase::Waiting { .. }
            | Phase::Providing
            | Phase::Connecting { .. }
            | Phase::Opening { .. }
            | Phase::Stopped(_) => self.wait_no_longer(),
        }
        Ok(())
    }

    /// Shows this credential from now on, or none: then nobody is asked for one either. `lasts` is how long it is good, as far as anybody knows. Also the
    /// answer to [`Effect::Provide`], and what lets a session go on whose last credential was refused for good.
    pub fn authenticate(&mut self, credential: Option<Credential>, lasts: Option<Duration>, now: Instant) {
        self.pass_time(now);
        self.pass.hold(credential, lasts, self.now);
        match self.phase {
            Phase::Providing => self.connect_with_what_there_is(),
            Phase::Stopped(_) => self.phase = Phase::Idle,
            Phase::Idle
            | Phase::Waiting { .. }
            | Phase::Connecting { .. }
            | Phase::Opening { .. }
            | Phase::Live(_) => {}
        }
    }

    /// Nobody could provide a credential; it is asked for again later.
    pub fn not_provided(&mut self, why: impl Into<String>, now: Instant) {
        self.pass_time(now);
        let why = why.into();
        if !self.pass.is_awaited() {
            return;
        }
        self.pass.failed(self.now);
        self.tell(State::NoCredential { why: why.clone() });
        if matches!(self.phase, Phase::Providing) {
            self.pause(Close::lost(format!("there is no credential: {why}")), Duration::ZERO);
        }
    }

    /// Connects now instead of after the pause, or finds out at once whether the connection is alive: the network is back,
    /// the machine has woken up, or the application wants to try again after a final refusal.
    pub fn hurry(&mut self, now: Instant) {
        self.pass_time(now);
        match &mut self.phase {
            Phase::Waiting { until } => *until = self.now,
            Phase::Live(live) => live.ping_now(self.now),
            Phase::Stopped(_) => self.phase = Phase::Idle,
            Phase::Idle | Phase::Providing | Phase::Connecting { .. } | Phase::Opening { .. } => {}
        }
    }

    /// Ends every subscription and the connection.
    pub fn close(&mut self, now: Instant) {
        self.pass_time(now);
        self.end_all(&Error::Closed);
        self.hang_up(GOODBYE);
        self.phase = Phase::Idle;
    }

    /// The handshake is done.
    pub fn opened(&mut self, now: Instant) {
        self.pass_time(now);
        if let Phase::Connecting { slots, .. } = &mut self.phase {
            let slots = std::mem::take(slots);
            self.phase = Phase::Opening { until: self.now + self.settings.patience, slots };
        }
    }

    /// There is no connection to be had: nobody answers, or not as a WebSocket server does. `after` is how long the
    /// server asks to leave it alone (`Retry-After`), of which an hour counts at most.
    pub fn failed(&mut self, why: impl Into<String>, after: Option<Duration>, now: Instant) {
        self.pass_time(now);
        if matches!(self.phase, Phase::Connecting { .. }) {
            self.lost(Close::lost(why), after.unwrap_or_default().min(LONGEST_AWAY));
        }
    }

    /// The server sent a text message.
    pub fn received(&mut self, text: &str, now: Instant) {
        self.pass_time(now);
        match &mut self.phase {
            Phase::Live(live) => live.heard(),
            Phase::Opening { .. } => {}
            Phase::Idle
            | Phase::Waiting { .. }
            | Phase::Providing
            | Phase::Connecting { .. }
            | Phase::Stopped(_) => return,
        }
        let message = Message::read(text);
        if !matches!(message, Ok(Message::Error { .. })) {
            self.complaint = None;
        }
        match message {
            Ok(Message::Connected { user, slots }) => self.connected(user, &slots),
            Ok(Message::Event { event, subscriptions }) => self.deliver(&event, &subscriptions),
            Ok(Message::Response { to, subscriptions, presence }) => {
                self.answered(&to, &subscriptions, presence);
            }
            Ok(Message::Error { code, message }) => self.complained(code, message),
            Ok(Message::Gap { reason }) => self.missed(&Gap::Unrecovered(reason)),
            Ok(Message::Pong | Message::Unknown) => {}
            Err(_) => {
                let beginning = text.chars().take(EXCERPT).collect();
                self.tell(State::Unreadable { beginning });
            }
        }
    }

    /// The server is there: a WebSocket ping or pong.
    pub fn heard(&mut self, now: Instant) {
        self.pass_time(now);
        if let Phase::Live(live) = &mut self.phase {
            live.heard();
        }
    }

    /// The connection has ended, with or without a Close frame.
    pub fn closed(&mut self, close: Close, now: Instant) {
        self.pass_time(now);
        match self.phase {
            Phase::Connecting { .. } | Phase::Opening { .. } | Phase::Live(_) => {
                self.lost(close, Duration::ZERO);
            }
            Phase::Idle | Phase::Waiting { .. } | Phase::Providing | Phase::Stopped(_) => {}
        }
    }

    /// It is that late.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.pass_time(now);
        if self.pass.is_overdue(self.now) {
            self.not_provided("none came in time", now);
        }
        match &mut self.phase {
            Phase::Waiting { until } if *until <= self.now => self.connect(),
            Phase::Connecting { until, .. } | Phase::Opening { until, .. } if *until <= self.now => {
                self.give_up("the server does not answer");
            }
            Phase::Live(_) => self.look_after_connection(),
            Phase::Idle
            | Phase::Waiting { .. }
            | Phase::Providing
            | Phase::Connecting { .. }
            | Phase::Opening { .. }
            | Phase::Stopped(_) => {}
        }
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        if self.effects.is_empty() {
            self.speak();
        }
        self.effects.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if nothing happens before. Ask when there are no effects left.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Idle | Phase::Stopped(_) => self.pass.deadline(false),
            Phase::Waiting { until } => Some(*until),
            Phase::Providing => self.pass.deadline(false),
            Phase::Connecting { until, .. } | Phase::Opening { until, .. } => Some(*until),
            Phase::Live(live) => {
                let speak =
                    (live.asked.is_none() && self.has_something_to_say(live)).then(|| self.pace.next());
                live.deadline().into_iter().chain(speak).chain(self.pass.deadline(true)).min()
            }
        }
    }

    /// Whether the server has sent this client away for good, and how.
    pub fn stopped(&self) -> Option<&Close> {
        match &self.phase {
            Phase::Stopped(close) => Some(close),
            Phase::Idle
            | Phase::Waiting { .. }
            | Phase::Providing
            | Phase::Connecting { .. }
            | Phase::Opening { .. }
            | Phase::Live(_) => None,
        }
    }

    /// Whether a connection is wanted, be there one or not.
    pub fn is_wanted(&self) -> bool {
        // Servers that are told channels in the URL know no presence, and refuse a connection without channels.
        !self.subscriptions.is_empty() || (self.presence.is_some() && self.dialect != Dialect::Url)
    }

    /// How many subscriptions there are.
    pub fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    fn pass_time(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn tell(&mut self, state: State) {
        self.effects.push_back(Effect::State(state));
    }

    /// There is something new to listen to.
    fn changed(&mut self, id: SubscriptionId) {
        self.changes += 1;
        match &mut self.phase {
            Phase::Idle => self.connect(),
            Phase::Live(live) => {
                live.add(id);
                self.plan_remake();
            }
            Phase::Waiting { .. }
            | Phase::Providing
            | Phase::Connecting { .. }
            | Phase::Opening { .. }
            | Phase::Stopped(_) => {}
        }
    }

    /// A server that takes subscriptions in the URL only is told of changes by a new connection.
    fn plan_remake(&mut self) {
        let at = self.may_remake(GATHER);
        if let (Dialect::Url, Phase::Live(live)) = (self.dialect, &mut self.phase)
            && !self.subscriptions.is_empty()
        {
            live.remake_at.get_or_insert(at);
        }
    }

    fn may_remake(&self, after: Duration) -> Instant {
        let at = self.now + after;
        self.remade_at.map_or(at, |last| at.max(last + REMAKE_AT_MOST_EVERY))
    }

    /// A connection that nobody listens on is kept for a while.
    fn linger(&mut self) {
        let until = (!self.is_wanted()).then(|| self.now + self.settings.linger);
        if let Phase::Live(live) = &mut self.phase {
            live.idle_until = until;
        }
    }

    /// Nobody wants the connection any more that was to be made.
    fn wait_no_longer(&mut self) {
        if matches!(self.phase, Phase::Waiting { .. } | Phase::Providing) && !self.is_wanted() {
            self.phase = Phase::Idle;
        }
    }

    fn connect(&mut self) {
        if !self.is_wanted() {
            self.phase = Phase::Idle;
        } else if self.pass.is_needed(self.now) {
            self.phase = Phase::Providing;
            self.provide();
        } else {
            self.connect_with_what_there_is();
        }
    }

    fn provide(&mut self) {
        if !self.pass.is_awaited() {
            self.pass.await_until(self.now + self.settings.patience);
            self.effects.push_back(Effect::Provide);
        }
    }

    fn connect_with_what_there_is(&mut self) {
        let mut url = self.settings.endpoint.realtime(&self.settings.project);
        url.push_str(resume::TELL_GAPS);
        let mut slots = Slots { subscriptions: Vec::new(), as_of: self.changes };
        if self.dialect == Dialect::Url {
            push_slots(&mut url, self.subscriptions.values().map(|subscription| &subscription.interest));
            slots.subscriptions = self.subscriptions.keys().copied().collect();
        }
        self.complaint = None;
        self.shown = Some(self.pass.generation());
        self.phase = Phase::Connecting { until: self.now + self.settings.patience, slots };
        self.tell(State::Connecting { failures: self.backoff.failures() });
        self.effects.push_back(Effect::Connect(Request::new(url, self.pass.credential().cloned())));
    }

    fn connected(&mut self, user: Option<String>, given: &[(usize, String)]) {
        let Phase::Opening { slots, .. } = &mut self.phase else { return };
        let slots = std::mem::take(slots);
        // A session that came with the request and was not understood there may be understood in a message.
        let unseen = user.is_none() && self.pass.credential().is_some_and(Credential::is_session);
        if unseen {
            self.shown = None;
        } else if user.is_some() {
            self.pass.accepted();
        }
        let mut live = Live::new(self.now, self.settings.ping_every, &mut self.random);
        let resuming = self.subscriptions.iter().filter(|(_, subscription)| subscription.established);
        live.resuming = resuming.map(|(id, _)| *id).collect();
        self.tell(State::Connected { user });
        if self.dialect == Dialect::Url {
            live.names = given
                .iter()
                .filter_map(|(slot, id)| Some((id.clone(), *slots.subscriptions.get(*slot)?)))
                .collect();
            if slots.as_of != self.changes {
                live.remake_at = Some(self.may_remake(Duration::ZERO));
            }
        } else {
            live.waiting = self.subscriptions.keys().copied().collect();
        }
        live.announces = self.presence.is_some();
        // Servers count the messages of a connection.
        self.pace = Pace::new(self.now);
        self.phase = Phase::Live(Box::new(live));
        for id in slots.subscriptions {
            self.confirm(id, None);
        }
        self.linger();
    }

    /// The server listens for this subscription, and says what became of the time in between if there was one.
    fn confirm(&mut self, id: SubscriptionId, item: Option<&Value>) {
        let Phase::Live(live) = &mut self.phase else { return };
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return };
        subscription.established = true;
        self.effects.push_back(Effect::Ready(id));
        if live.resuming.remove(&id) {
            match Recovery::read(item) {
                Recovery::Complete => self.tell(State::Recovered { subscription: id }),
                Recovery::Incomplete(gap) => {
                    subscription.gap = Some(gap.clone());
                    self.tell(State::Gap { subscription: id, gap });
                }
            }
        }
    }

    /// The server itself may have missed something; each subscription is told.
    fn missed(&mut self, gap: &Gap) {
        if let Phase::Live(_) = self.phase {
            for (id, subscription) in &mut self.subscriptions {
                subscription.gap = Some(gap.clone());
                self.effects.push_back(Effect::State(State::Gap { subscription: *id, gap: gap.clone() }));
            }
        }
    }

    /// Hands an event to the subscriptions that it is for, unless they have it already.
    fn deliver(&mut self, event: &Event, named: &[String]) {
        let Phase::Live(live) = &self.phase else { return };
        let named: BTreeSet<SubscriptionId> = if named.is_empty() {
            self.listening_to(&event.channels)
        } else {
            named.iter().filter_map(|name| live.named(name).or_else(|| SubscriptionId::read(name))).collect()
        };
        for id in named {
            let Some(subscription) = self.subscriptions.get_mut(&id) else { continue };
            if subscription.seen.is_new(event.id.as_ref()) {
                let event = Event { gap: subscription.gap.take(), ..event.clone() };
                self.effects.push_back(Effect::Deliver { subscription: id, event });
            }
        }
    }

    /// Servers before 2025 do not say whom an event is for: its channels do, and they name all that it is published on.
    fn listening_to(&self, channels: &[String]) -> BTreeSet<SubscriptionId> {
        let listens = |subscription: &Subscription| {
            subscription.interest.channels().iter().any(|channel| channels.contains(channel))
        };
        self.subscriptions.iter().filter(|(_, one)| listens(one)).map(|(id, _)| *id).collect()
    }

    fn answered(&mut self, to: &str, items: &[Value], presence: Option<Value>) {
        let Phase::Live(live) = &mut self.phase else { return };
        let Some(asked) = live.asked.take_if(|asked| asked.question.name() == to) else { return };
        match asked.question {
            Question::Subscribe(ids) => {
                self.dialect = Dialect::Messages { proven: true };
                for id in ids {
                    let item = items.iter().find(|item| is_about(item, id));
                    self.confirm(id, item);
                }
            }
            Question::Authenticate => {
                // Whoever the user is now is present.
                live.announces = self.presence.is_some();
                self.pass.accepted();
            }
            Question::Unsubscribe(_) => {}
            Question::Present => self.tell(State::Present { presence: presence.unwrap_or_default() }),
        }
    }

    fn complained(&mut self, code: i64, message: String) {
        let refuses_message = matches!(code, 0 | 400 | 404 | 409 | 1003);
        let passes = matches!(code, 500..=599 | 1013);
        let Phase::Live(live) = &mut self.phase else {
            self.complaint = Some(Close::new(close_code(code), message));
            return;
        };
        let asked = live.asked.take_if(|asked| match asked.question {
            Question::Authenticate | Question::Present => refuses_message || passes || code == 401,
            Question::Subscribe(_) | Question::Unsubscribe(_) => refuses_message || passes,
        });
        if asked.is_none() || passes {
            self.complaint = Some(Close::new(close_code(code), message.clone()));
        }
        match asked.map(|asked| asked.question) {
            None => {}
            Some(question) if passes => self.ask_again_later(question),
            Some(Question::Subscribe(ids)) => self.not_subscribed(&ids, code, message),
            Some(Question::Unsubscribe(_)) => {}
            Some(Question::Authenticate) => {
                self.pass.refused(self.shown, self.now);
                self.tell(State::NotAuthenticated { code, message });
            }
            Some(Question::Present) => self.tell(State::NotPresent { code, message }),
        }
    }

    fn ask_again_later(&mut self, question: Question) {
        let Phase::Live(live) = &mut self.phase else { return };
        match question {
            Question::Authenticate => self.shown = None,
            Question::Subscribe(ids) => {
                live.waiting.extend(ids.into_iter().filter(|id| self.subscriptions.contains_key(id)));
            }
            Question::Unsubscribe(ids) => live.removed.extend(ids),
            Question::Present => live.announces = self.presence.is_some(),
        }
        self.pace.pause(self.now + self.settings.first_pause + self.random.up_to(self.settings.patience));
    }

    /// Nothing of such a message was applied.
    fn not_subscribed(&mut self, ids: &[SubscriptionId], code: i64, message: String) {
        // Servers before 2026 know no such message.
        let unknown = message.contains("Message type is not valid");
        if self.dialect == (Dialect::Messages { proven: false }) && unknown {
            self.dialect = Dialect::Url;
            self.remake();
            return;
        }
        let Phase::Live(live) = &mut self.phase else { return };
        match ids {
            // Which one of them it is, is found out by halves.
            [_, _, ..] => {
                let (one, other) = ids.split_at(ids.len() / 2);
                live.batches.extend([one.to_vec(), other.to_vec()]);
            }
            [id] if live.waiting.contains(id) => {}
            [id] => {
                if self.subscriptions.remove(id).is_some() {
                    let why = Error::Refused { code, message };
                    self.effects.push_back(Effect::Ended { subscription: *id, why });
                    self.linger();
                }
            }
            [] => {}
        }
    }

    /// Connects anew, at once: not because of a failure, but for a URL or a header to change.
    fn remake(&mut self) {
        self.hang_up(RETURNS);
        self.connect();
    }

    fn hang_up(&mut self, code: u16) {
        if matches!(self.phase, Phase::Connecting { .. } | Phase::Opening { .. } | Phase::Live(_)) {
            self.effects.push_back(Effect::Disconnect { code });
        }
    }

    fn give_up(&mut self, why: &str) {
        self.effects.push_back(Effect::Disconnect { code: RETURNS });
        self.lost(Close::lost(why), Duration::ZERO);
    }

    /// The connection is gone. What now?
    fn lost(&mut self, close: Close, at_least: Duration) {
        let complaint = self.complaint.take();
        let close = complaint.filter(|_| close.says_nothing()).unwrap_or(close);
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        if let Phase::Live(live) = &phase
            && self.now.saturating_duration_since(live.since) >= STABLE_AFTER
        {
            self.backoff.reset();
        }
        // Servers before 2026 refuse a connection that names no channels in its URL.
        let wants_url = close.code == 1008 && close.reason.contains("Missing channels");
        if wants_url && self.dialect == (Dialect::Messages { proven: false }) {
            self.dialect = Dialect::Url;
            self.connect();
            return;
        }
        let advice = close.advice();
        match advice {
            Advice::Stop => self.stop(close),
            Advice::Reauthenticate if !self.pass.can_be_better_than(self.shown) => self.stop(close),
            Advice::Reauthenticate => {
                self.pass.refused(self.shown, self.now);
                self.pause(close, at_least);
            }
            Advice::Later | Advice::Retry => self.pause(close, at_least),
        }
    }

    fn pause(&mut self, close: Close, at_least: Duration) {
        let advice = close.advice();
        if !self.is_wanted() {
            self.phase = Phase::Idle;
            self.tell(State::Disconnected { close, advice, again_in: None });
            return;
        }
        let pause = self.backoff.next(advice.window()).saturating_add(at_least);
        self.phase = Phase::Waiting { until: self.now + pause };
        self.tell(State::Disconnected { close, advice, again_in: Some(pause) });
    }

    fn stop(&mut self, close: Close) {
        let advice = close.advice();
        self.tell(State::Disconnected { close: close.clone(), advice, again_in: None });
        self.end_all(&Error::Stopped(close.clone()));
        self.phase = Phase::Stopped(close);
    }

    fn end_all(&mut self, why: &Error) {
        self.presence = None;
        for id in std::mem::take(&mut self.subscriptions).into_keys() {
            self.effects.push_back(Effect::Ended { subscription: id, why: why.clone() });
        }
    }

    fn look_after_connection(&mut self) {
        let Phase::Live(live) = &mut self.phase else { return };
        if live.is_idle(self.now) {
            let close = Close::new(GOODBYE, "nothing is listened to");
            let advice = close.advice();
            self.effects.push_back(Effect::Disconnect { code: GOODBYE });
            self.phase = Phase::Idle;
            self.tell(State::Disconnected { close, advice, again_in: None });
        } else if live.is_silent(self.now) {
            self.give_up("the server has gone silent");
        } else if live.asked.as_ref().is_some_and(|asked| asked.until <= self.now) {
            self.give_up("the server does not answer");
        } else if live.remake_at.is_some_and(|at| at <= self.now) {
            self.remade_at = Some(self.now);
            self.remake();
        } else {
            if live.ping_if_due(self.now, self.settings.ping_every, self.settings.patience) {
                self.effects.push_back(Effect::Send(message::ping()));
            }
            if self.pass.is_due(self.now) {
                self.provide();
            }
        }
    }

    fn has_something_to_say(&self, live: &Live) -> bool {
        let subscriptions = self.dialect != Dialect::Url && live.has_changes();
        self.shown != Some(self.pass.generation()) || live.announces || subscriptions
    }

    /// Says the next thing that is to be said, if the last was answered: one after another, so that an error is known
    /// to be about this one, also with servers that handle messages side by side.
    fn speak(&mut self) {
        let Phase::Live(live) = &self.phase else { return };
        if live.asked.is_some() || !self.has_something_to_say(live) {
            return;
        }
        if self.shown != Some(self.pass.generation()) && self.pass.credential().is_none() {
            // There is no message for becoming a guest.
            self.remake();
            return;
        }
        if !self.pace.take(self.now) {
            return;
        }
        let Some((question, text)) = self.next_question() else { return };
        if let Phase::Live(live) = &mut self.phase {
            live.asked = Some(Asked { question, until: self.now + self.settings.patience });
            self.effects.push_back(Effect::Send(text));
        }
    }

    fn next_question(&mut self) -> Option<(Question, String)> {
        let Phase::Live(live) = &mut self.phase else { return None };
        if self.shown != Some(self.pass.generation()) {
            self.shown = Some(self.pass.generation());
            return Some((Question::Authenticate, message::authentication(self.pass.credential()?)));
        }
        if self.dialect != Dialect::Url {
            let removed = live.take_removed(MAX_ITEMS);
            if !removed.is_empty() {
                let text = message::unsubscribe(&removed);
                return Some((Question::Unsubscribe(removed), text));
            }
            let ids = live.take_batch(&self.subscriptions, MAX_ITEMS, MAX_MESSAGE);
            let item =
                |id: &SubscriptionId| Some(self.subscriptions.get(id)?.item(*id, live.resuming.contains(id)));
            let items: Vec<Value> = ids.iter().filter_map(item).collect();
            if !items.is_empty() {
                return Some((Question::Subscribe(ids), message::subscribe(&items)));
            }
        }
        if !std::mem::take(&mut live.announces) {
            return None;
        }
        live.announced = true;
        Some((Question::Present, self.presence.clone()?))
    }
}

fn is_about(item: &Value, id: SubscriptionId) -> bool {
    let name = item.get("subscriptionId").and_then(Value::as_str);
    name.and_then(SubscriptionId::read) == Some(id)
}

/// The close code that belongs to the code of an `error` message, for servers that hang up without a Close frame.
fn close_code(error: i64) -> u16 {
    match error {
        401 => 3000,
        403 => 3003,
        1008 => 1008,
        1012 => 1012,
        503 | 1013 => 1013,
        _ => 1011,
    }
}
