//! One engine, its clients and a clock, driven by a script.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use realtime_core::effect::Effect;
use realtime_core::engine::Engine;
use realtime_core::id::{ConnectionId, EventId};
use realtime_core::notice::{Notice, Outgoing};
use realtime_core::refusal::{Close, Refusal};
use realtime_core::settings::Settings;
use realtime_protocol::appwrite::publish::{self, Stamp};
use realtime_protocol::appwrite::system_event::{Context, Outcome};
use realtime_protocol::appwrite::{Appwrite, envelope, hello};
use realtime_protocol::codec::Codec;
use serde_json::Value;

use super::directory::Directory;
use super::pattern::difference;
use super::script::{Script, Step};

/// When every transcript's events happen.
const TIMESTAMP: &str = "2026-08-21T10:15:30.123+00:00";

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
}

struct Client {
    id: Option<ConnectionId>,
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
        let mut world = Self {
            engine: Engine::new(Settings::default(), 7),
            codec: Appwrite::default(),
            now: Instant::now(),
            directory: Directory::default(),
            clients: BTreeMap::new(),
            paused: false,
            pending: VecDeque::new(),
            events: 0,
        };
        for step in &script.steps {
            world.step(step).map_err(|failure| format!("\n  {}: {}\n  {failure}", step.place, step.text))?;
        }
        world.finish()
    }

    fn step(&mut self, step: &Step) -> Result<(), Failure> {
        let (word, rest) = step.text.split_once([' ', '\n']).unwrap_or((&step.text, ""));
        match word {
            "project" => self.directory.add_project(rest),
            "user" => self.directory.add_user(rest),
            "gone" => self.directory.remove_user(rest),
            "open" => self.open(rest)?,
            "close" => self.close(rest)?,
            "event" => self.event(rest)?,
            "publish" => self.publish(rest)?,
            "wait" => {
                self.now += duration(rest);
                self.engine.handle_timeout(self.now);
            }
            "pause" => self.paused = true,
            "resume" => self.paused = false,
            client => return self.talk(client, rest),
        }
        self.settle();
        Ok(())
    }

    /// `A> message`, `A< pattern`, `A nothing`, `A heartbeat`, `A closed CODE [reason]`
    fn talk(&mut self, word: &str, rest: &str) -> Result<(), Failure> {
        if let Some(name) = word.strip_suffix('>') {
            let id = self.client(name)?.id;
            if let Some(id) = id {
                let said = self.codec.decode(rest.as_bytes());
                self.engine.receive(id, said, self.now);
            }
            self.settle();
            return Ok(());
        }
        if let Some(name) = word.strip_suffix('<') {
            let expected: Value = serde_json::from_str(rest)
                .map_err(|error| format!("the expectation is not JSON: {error}"))?;
            return match self.client(name)?.inbox.pop_front() {
                Some(Received::Message(found)) => match difference(&expected, &found) {
                    Some(difference) => Err(format!("{difference}\n  in {found}")),
                    None => Ok(()),
                },
                other => Err(format!("instead there is {other:?}")),
            };
        }
        let client = self.client(word)?;
        let (what, detail) = rest.split_once(' ').unwrap_or((rest, ""));
        match (what, client.inbox.pop_front()) {
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

    /// `open A ?query` with one header on each continuation line.
    fn open(&mut self, rest: &str) -> Result<(), Failure> {
        let mut lines = rest.lines();
        let (name, url) = lines.next().and_then(|line| line.split_once(' ')).unwrap_or((rest, ""));
        let mut request = http::Request::builder().uri(format!("/v1/realtime{}", url.trim()));
        for line in lines {
            let (header, value) = line.split_once(": ").ok_or("a header is `name: value`")?;
            request = request.header(header, value);
        }
        let (parts, ()) = request.body(()).map_err(|error| error.to_string())?.into_parts();
        let client = match hello::read(&parts, IpAddr::V4(Ipv4Addr::LOCALHOST), &[]) {
            Ok(hello) => {
                let id = self.engine.open(hello, self.now);
                Client { id: Some(id), inbox: VecDeque::new() }
            }
            Err(refusal) => self.refused(refusal),
        };
        self.clients.insert(name.to_owned(), client);
        Ok(())
    }

    /// A request that could not be read is answered by the shell in the same words.
    fn refused(&self, refusal: Refusal) -> Client {
        let words =
            [Outgoing::Notice(Notice::Refused(refusal.clone())), Outgoing::Close(Close::Refused(refusal))];
        let inbox = words.iter().map(|outgoing| self.received(outgoing)).collect();
        Client { id: None, inbox }
    }

    fn close(&mut self, name: &str) -> Result<(), Failure> {
        if let Some(id) = self.client(name)?.id {
            self.engine.closed(id);
        }
        self.clients.remove(name);
        Ok(())
    }

    /// `event {envelope}` as it comes from the bus.
    fn event(&mut self, rest: &str) -> Result<(), Failure> {
        let message = Bytes::from(rest.to_owned());
        let event = envelope::decode(&message).map_err(|error| error.to_string())?;
        self.engine.publish(&Arc::new(event));
        Ok(())
    }

    /// `publish P {body}` as a backend sends it; `publish P unpublished {body}` for one that reaches nobody.
    fn publish(&mut self, rest: &str) -> Result<(), Failure> {
        let (project, body) = rest.split_once([' ', '\n']).ok_or("publish PROJECT BODY")?;
        let (unpublished, body) = match body.strip_prefix("unpublished ") {
            Some(body) => (true, body),
            None => (false, body),
        };
        let project = self.directory.project(&project.into()).ok_or("no such project")?;
        let context = Context { project: &project.id, team: project.team.as_ref(), legacy_channels: false };
        for publication in publish::parse(&Bytes::from(body.to_owned())).map_err(|error| error.to_string())? {
            self.events += 1;
            let id = EventId::new(format!("e{}", self.events));
            let stamp = Stamp { timestamp: TIMESTAMP, id: &id };
            match publication.envelopes(&context, &stamp).map_err(|error| error.to_string())? {
                Outcome::Published(_) if unpublished => return Err("it was published".to_owned()),
                Outcome::Published(envelopes) => {
                    for made in envelopes {
                        let event = envelope::decode(&made.encode()).map_err(|error| error.to_string())?;
                        self.engine.publish(&Arc::new(event));
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
            let Some(id) = client.id else { continue };
            while let Some(outgoing) = self.engine.poll_outgoing(id) {
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
                self.engine.authenticated(connection, Ok(found), self.now);
            }
            Effect::Refresh { project, user } => {
                let found = self.directory.refresh(&project, &user);
                self.engine.refreshed(&project, &user, &Ok(found));
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
