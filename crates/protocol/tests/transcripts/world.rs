//! One engine, its clients and a clock, driven by a script.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use realtime_core::effect::{Effect, Owner};
use realtime_core::engine::Engine;
use realtime_core::id::{ConnectionId, EventId, PresenceId, SubscriptionId};
use realtime_core::leave::Leave;
use realtime_core::notice::{Notice, Outgoing};
use realtime_core::refusal::{Close, Refusal};
use realtime_core::replay::{Parked, Place};
use realtime_core::settings::Settings;
use realtime_protocol::appwrite::publish::{self, Stamp};
use realtime_protocol::appwrite::system_event::{Context, Outcome};
use realtime_protocol::appwrite::{Appwrite, envelope, hello};
use realtime_protocol::codec::Codec;
use serde_json::Value;

use super::directory::Directory;
use super::pattern::{Names, difference};
use super::script::{Script, Step};
use super::settings;

/// When every transcript's events happen.
const TIMESTAMP: &str = "2026-08-21T10:15:30.123+00:00";

/// Decides minted ids and when heartbeats begin.
const SEED: u64 = 7;

pub(crate) struct World {
    engine: Engine,
    codec: Appwrite,
    now: Instant,
    directory: Directory,
    clients: BTreeMap<String, Client>,
    /// Answers of look-ups wait while the transcript says so.
    paused: bool,
    pending: VecDeque<Effect>,
    events: usize,
    names: Names,
    /// Where subscriptions stood.
    memory: BTreeMap<(Owner, SubscriptionId), Parked>,
}

struct Client {
    /// `None` if its request could not be read. An id outlives its connection, and means nothing then.
    id: Option<ConnectionId>,
    /// Takes nothing of what is sent.
    stalled: bool,
    /// What was sent and not yet looked at by the script.
    inbox: VecDeque<Received>,
}

#[derive(Debug)]
enum Received {
    Message(Value),
    Heartbeat,
    Closed(u16, String),
}

type Failure = String;

impl World {
    pub(crate) fn replay(script: &Script) -> Result<(), Failure> {
        let start = Instant::now();
        let mut world = Self {
            engine: hearing(Settings::default(), start),
            codec: Appwrite::default(),
            now: start + Duration::from_millis(1),
            directory: Directory::default(),
            clients: BTreeMap::new(),
            paused: false,
            pending: VecDeque::new(),
            events: 0,
            names: Names::default(),
            memory: BTreeMap::new(),
        };
        for step in &script.steps {
            world.step(step).map_err(|failure| format!("\n  {}: {}\n  {failure}", step.place, step.text))?;
        }
        world.finish()
    }

    fn step(&mut self, step: &Step) -> Result<(), Failure> {
        let (word, rest) = step.text.split_once([' ', '\n']).unwrap_or((&step.text, ""));
        match word {
            "settings" => self.configure(rest)?,
            "project" => self.directory.add_project(rest),
            "user" => self.directory.add_user(rest),
            "gone" => self.directory.remove_user(rest),
            "outage" => self.directory.is_down = true,
            "recovered" => self.directory.is_down = false,
            "open" => self.open(rest)?,
            "close" => self.close(rest)?,
            "leave" => self.leave(rest, Leave::ForGood)?,
            "move" => self.leave(rest, Leave::ToReturn)?,
            "got" => self.got(rest)?,
            "gap" => self.gap(),
            "stall" => self.client(rest)?.stalled = true,
            "unstall" => self.client(rest)?.stalled = false,
            "event" => self.event(rest)?,
            "publish" => self.publish(rest)?,
            "wait" => {
                self.now += duration(rest);
                self.engine.handle_timeout(self.now);
            }
            "drain" => self.engine.drain(self.now + duration(rest), self.now),
            "pause" => self.paused = true,
            "resume" => self.paused = false,
            "connections" => self.count(rest)?,
            "repeat" => return self.repeat(step, rest),
            clients => return self.talk(clients, rest),
        }
        self.settle();
        Ok(())
    }

    /// `repeat 1-100 STEP`, with `#` in the step for the number.
    fn repeat(&mut self, step: &Step, rest: &str) -> Result<(), Failure> {
        let (range, text) = rest.split_once(' ').ok_or("repeat FIRST-LAST STEP")?;
        let number = |text: &str| text.parse::<u32>().map_err(|_| format!("{text:?} is no number"));
        let (first, last) = range.split_once('-').ok_or("repeat FIRST-LAST STEP")?;
        for number in number(first)?..=number(last)? {
            let one = Step { place: step.place.clone(), text: text.replace('#', &number.to_string()) };
            self.step(&one).map_err(|failure| format!("at {number}: {failure}"))?;
        }
        Ok(())
    }

    /// `settings …`, before anybody has connected.
    fn configure(&mut self, rest: &str) -> Result<(), Failure> {
        if !self.clients.is_empty() {
            return Err("settings come before clients".to_owned());
        }
        let (settings, codec) = settings::read(rest)?;
        self.engine = hearing(settings, self.now);
        self.now += Duration::from_millis(1);
        self.codec = codec;
        Ok(())
    }

    /// `connections N`
    fn count(&mut self, rest: &str) -> Result<(), Failure> {
        self.settle();
        let found = self.engine.stats().connections.to_string();
        if found == rest { Ok(()) } else { Err(format!("there are {found}")) }
    }

    /// `A> message`, `A< pattern`, `A nothing`, `A heartbeat`, `A closed CODE [reason]`; `A,B` is each of them.
    fn talk(&mut self, word: &str, rest: &str) -> Result<(), Failure> {
        let (clients, tense) = match word.strip_suffix(['<', '>']) {
            Some(clients) => (clients, word.chars().last()),
            None => (word, None),
        };
        for name in clients.split(',') {
            match tense {
                Some('>') => self.say(name, rest),
                Some(_) => self.hear(name, rest),
                None => self.notice(name, rest),
            }
            .map_err(|failure| format!("{name}: {failure}"))?;
        }
        Ok(())
    }

    fn say(&mut self, name: &str, message: &str) -> Result<(), Failure> {
        let message = self.names.fill(message);
        if let Some(id) = self.client(name)?.id {
            let said = self.codec.decode(message.as_bytes());
            self.engine.receive(id, said, self.now);
        }
        self.settle();
        Ok(())
    }

    fn hear(&mut self, name: &str, pattern: &str) -> Result<(), Failure> {
        let expected: Value =
            serde_json::from_str(pattern).map_err(|error| format!("the expectation is not JSON: {error}"))?;
        match self.client(name)?.inbox.pop_front() {
            Some(Received::Message(found)) => match difference(&expected, &found, &mut self.names) {
                Some(difference) => Err(format!("{difference}\n  in {found}")),
                None => Ok(()),
            },
            other => Err(format!("instead there is {other:?}")),
        }
    }

    fn notice(&mut self, name: &str, what: &str) -> Result<(), Failure> {
        let (what, detail) = what.split_once(' ').unwrap_or((what, ""));
        match (what, self.client(name)?.inbox.pop_front()) {
            ("nothing", None) => Ok(()),
            ("heartbeat", Some(Received::Heartbeat)) => Ok(()),
            ("closed", Some(Received::Closed(code, reason))) => {
                let (expected, text) = detail.split_once(' ').unwrap_or((detail, ""));
                let right = expected == code.to_string() && (text.is_empty() || text == reason);
                if right { Ok(()) } else { Err(format!("closed with {code} {reason:?}")) }
            }
            (_, found) => Err(format!("instead there is {found:?}")),
        }
    }

    /// `open A ?query` with one header on each continuation line; `open A,B ?query` for several clients.
    fn open(&mut self, rest: &str) -> Result<(), Failure> {
        let mut lines = rest.lines();
        let (names, url) = lines.next().and_then(|line| line.split_once(' ')).unwrap_or((rest, ""));
        let mut request = http::Request::builder().uri(format!("/v1/realtime{}", url.trim()));
        for line in lines {
            let (header, value) = line.split_once(": ").ok_or("a header is `name: value`")?;
            request = request.header(header, value);
        }
        let (parts, ()) = request.body(()).map_err(|error| error.to_string())?.into_parts();
        for name in names.split(',') {
            let client = match hello::read(&parts, IpAddr::V4(Ipv4Addr::LOCALHOST), &[]) {
                Ok(hello) => {
                    let id = self.engine.open(hello, self.now);
                    Client { id: Some(id), stalled: false, inbox: VecDeque::new() }
                }
                Err(refusal) => self.refused(refusal),
            };
            let former = self.clients.insert(name.to_owned(), client);
            if let Some(former) = former.filter(|former| !former.inbox.is_empty()) {
                return Err(format!("the former {name} has not looked at {:?}", former.inbox));
            }
        }
        Ok(())
    }

    /// A request that could not be read is answered by the shell in the same words.
    fn refused(&self, refusal: Refusal) -> Client {
        let words =
            [Outgoing::Notice(Notice::Refused(refusal.clone())), Outgoing::Close(Close::Refused(refusal))];
        let inbox = words.iter().map(|outgoing| self.received(outgoing)).collect();
        Client { id: None, stalled: false, inbox }
    }

    /// `close A`: its link is gone. May be said twice.
    fn close(&mut self, names: &str) -> Result<(), Failure> {
        for name in names.split(',') {
            if let Some(id) = self.client(name)?.id {
                self.engine.closed(id);
            }
        }
        Ok(())
    }

    /// `leave A`: it says goodbye, and then its link is gone; `move A`: it says that it comes back.
    fn leave(&mut self, names: &str, leave: Leave) -> Result<(), Failure> {
        for name in names.split(',') {
            if let Some(id) = self.client(name)?.id {
                self.engine.took_leave(id, leave);
            }
        }
        self.close(names)
    }

    /// `got A`: it is known that it has got everything that was sent.
    fn got(&mut self, names: &str) -> Result<(), Failure> {
        self.settle();
        for name in names.split(',') {
            if let Some(id) = self.client(name)?.id {
                let receipt = self.engine.receipt(id);
                self.engine.acknowledge(id, receipt, self.now);
            }
        }
        Ok(())
    }

    /// `gap`: events may have been missed.
    fn gap(&mut self) {
        self.engine.gap(self.now);
    }

    /// `event {envelope}` as it comes from the bus.
    fn event(&mut self, rest: &str) -> Result<(), Failure> {
        let message = Bytes::from(rest.to_owned());
        let event = envelope::decode(&message).map_err(|error| error.to_string())?;
        self.engine.publish(&Arc::new(event), self.now);
        Ok(())
    }

    /// `publish P [legacy] [unpublished] {body}` as a backend sends it; `unpublished` if it reaches nobody, `legacy` on a
    /// server that also names the channels of Appwrite's first Realtime.
    fn publish(&mut self, rest: &str) -> Result<(), Failure> {
        let (words, body) = rest.split_at(rest.find(['{', '[']).ok_or("publish PROJECT BODY")?);
        let mut words = words.split_whitespace();
        let project = words.next().ok_or("publish PROJECT BODY")?;
        let (mut unpublished, mut legacy_channels) = (false, false);
        for word in words {
            match word {
                "unpublished" => unpublished = true,
                "legacy" => legacy_channels = true,
                word => return Err(format!("{word:?} is no option")),
            }
        }
        let project = self.directory.project(&project.into()).ok_or("no such project")?;
        let context = Context { project: &project.id, team: project.team.as_ref(), legacy_channels };
        for publication in publish::parse(&Bytes::from(body.to_owned())).map_err(|error| error.to_string())? {
            self.events += 1;
            let id = EventId::new(format!("e{}", self.events));
            let stamp = Stamp { timestamp: TIMESTAMP, id: &id };
            match publication.envelopes(&context, &stamp).map_err(|error| error.to_string())? {
                Outcome::Published(_) if unpublished => return Err("it was published".to_owned()),
                Outcome::Published(envelopes) => {
                    for made in envelopes {
                        let event = envelope::decode(&made.encode()).map_err(|error| error.to_string())?;
                        self.engine.publish(&Arc::new(event), self.now);
                    }
                }
                Outcome::Unpublished(_) if unpublished => {}
                Outcome::Unpublished(reason) => return Err(format!("it was not published: {reason}")),
            }
        }
        Ok(())
    }

    fn client(&mut self, name: &str) -> Result<&mut Client, Failure> {
        self.clients.get_mut(name).ok_or_else(|| format!("there is no client or command {name:?}"))
    }

    /// Answers look-ups and collects what is sent, until nothing happens any more.
    fn settle(&mut self) {
        loop {
            while let Some(effect) = self.engine.poll_effect() {
                self.pending.push_back(effect);
            }
            if self.paused || self.pending.is_empty() {
                break;
            }
            while let Some(effect) = self.pending.pop_front() {
                self.answer(effect);
            }
        }
        for client in self.clients.values_mut() {
            let Some(id) = client.id.filter(|_| !client.stalled) else { continue };
            while let Some(outgoing) = self.engine.poll_outgoing(id) {
                if matches!(outgoing, Outgoing::Close(_)) {
                    self.engine.closed(id);
                }
                client.inbox.push_back(received(&self.codec, &outgoing));
            }
        }
    }

    fn answer(&mut self, effect: Effect) {
        match effect {
            Effect::Wake(_) => {}
            Effect::Identify { connection, hello } => {
                let found = self.directory.admit(&hello);
                self.engine.identified(connection, found, self.now);
            }
            Effect::Authenticate { connection, project, credential, .. } => {
                let found = self.directory.authenticate(&project, &credential);
                self.engine.authenticated(connection, found, self.now);
            }
            Effect::Present { connection, user, presence, .. } => {
                let id = presence.id.as_ref().map_or("drawn", PresenceId::as_str);
                let status = &presence.status;
                let document = serde_json::json!({ "$id": id, "userId": user.as_str(), "status": status });
                self.engine.presented(connection, Ok(document.to_string().into()));
            }
            Effect::Absent { .. } => {}
            Effect::FindOwner { connection, project } => {
                let found = self.directory.owner(&project);
                self.engine.owner_found(connection, found);
            }
            Effect::Recall { connection, owner, subscriptions } => {
                let places = subscriptions.into_iter().filter_map(|id| {
                    let parked = self.memory.get(&(owner.clone(), id.clone()))?;
                    Some((id, parked.clone()))
                });
                let found = places.collect();
                self.engine.recalled(connection, found);
            }
            Effect::Remember { owner, places, .. } => {
                for (id, place) in places {
                    let key = (owner.clone(), id);
                    match place {
                        Some(Place { position, at }) => {
                            self.memory.insert(key, Parked { position, at: at.unwrap_or(self.now) })
                        }
                        None => self.memory.remove(&key),
                    };
                }
            }
            Effect::Refresh { project, user, .. } => {
                let found = self.directory.refresh(&project, &user);
                self.engine.refreshed(&project, &user, &found);
            }
        }
    }

    fn received(&self, outgoing: &Outgoing) -> Received {
        received(&self.codec, outgoing)
    }

    /// Nothing may be left over: a transcript tells the whole conversation.
    fn finish(mut self) -> Result<(), Failure> {
        self.settle();
        let mut left = self.clients.iter().filter(|(_, client)| !client.inbox.is_empty());
        match left.next() {
            Some((name, client)) => {
                Err(format!("{name} received more than the transcript tells: {:?}", client.inbox))
            }
            None => Ok(()),
        }
    }
}

fn received(codec: &Appwrite, outgoing: &Outgoing) -> Received {
    if let Outgoing::Close(close) = outgoing {
        let (code, reason) = codec.close(close);
        return Received::Closed(code, reason.into_owned());
    }
    match codec.encode(outgoing) {
        Some(message) => {
            let text = [message.shared, message.own].concat();
            Received::Message(serde_json::from_slice(&text).expect("a message is JSON"))
        }
        None => Received::Heartbeat,
    }
}

/// `90s`, `5m`, `250ms`
pub(crate) fn duration(text: &str) -> Duration {
    let text = text.trim();
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = digits.parse().expect("a duration is a number and a unit");
    match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number * 60),
        unit => panic!("{unit:?} is no unit of time"),
    }
}

/// An engine that events come to.
fn hearing(settings: Settings, now: Instant) -> Engine {
    let mut engine = Engine::new(settings, SEED);
    engine.begin(now);
    engine
}
