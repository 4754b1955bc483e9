//! What the gate against regressions counts: one path through the code, taken a number of times with fixed inputs.
//!
//! Nothing here measures. `cargo xtask instructions` runs a path under callgrind once with some number of turns and once
//! with more; what the further turns took is the path's cost, and what it took to get ready cancels out.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use clap::ValueEnum;
use http::Request;
use http::request::Parts;
use realtime_core::channel::Channel;
use realtime_core::effect::{Admission, Effect};
use realtime_core::engine::Engine;
use realtime_core::event::Event;
use realtime_core::id::ConnectionId;
use realtime_core::identity::{Account, Identity, Membership};
use realtime_core::index::{Index, Subscription};
use realtime_core::notice::{Delivery, Outgoing};
use realtime_core::project::Project;
use realtime_core::query::{Filter, Limits};
use realtime_core::settings::Settings;
use realtime_protocol::appwrite::{Appwrite, envelope, hello};
use realtime_protocol::codec::Codec as _;
use serde_json::json;

use crate::BenchError;
use crate::matching::population::{Population, mint};

/// Connections that the event of a matching path is not for.
const BYSTANDERS: usize = 1_000;
/// Connections that an event is delivered to.
const RECEIVERS: usize = 200;
/// Subscriptions with a query of their own, on one channel.
const QUERIES: usize = 1_000;
/// Different inputs that the turns of a path go through again and again.
const SEVERAL: usize = 16;

/// Which path, and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    path: Path,
    turns: usize,
}

/// A path; the unit of its cost is one turn.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Path {
    /// Finding the one receiver of an event among a thousand connections.
    MatchOne,
    /// Finding the one of a thousand subscriptions whose query an event satisfies.
    MatchQuery,
    /// Finding two hundred receivers by their team's role.
    MatchTeam,
    /// Spelling an event for two hundred receivers.
    Splice,
    /// Reading an event from a message of the bus.
    Decode,
    /// Publishing an event to two hundred connections and taking from each what it is to send.
    Deliver,
    /// Opening a connection, letting it in, making a subscription by a message, and closing it.
    Open,
}

pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    let turns = 0..options.turns;
    match options.path {
        Path::MatchOne => {
            let ids = mint(BYSTANDERS);
            let (mut population, _) = Population::build(ids.of(BYSTANDERS))?;
            let events = several(|number| population.document_event(number))?;
            for event in turns.zip(events.iter().cycle()).map(|(_, event)| event) {
                expect(population.receivers(black_box(event)).len(), 1)?;
            }
        }
        Path::MatchQuery => {
            let ids = mint(QUERIES);
            let mut index = queried(ids.of(QUERIES))?;
            let messages = several(|number| Ok(message(&["documents"], &["any"], number)))?;
            let mut found = Vec::new();
            // An event remembers what was read of its payload, so each is met once.
            for message in turns.zip(messages.iter().cycle()).map(|(_, message)| message) {
                index.receivers(black_box(&decode(message)?), &mut found);
                expect(found.len(), 1)?;
            }
        }
        Path::MatchTeam => {
            let crowd = Crowd::gather()?;
            let mut index = Index::new(1);
            for (number, id) in crowd.ids.iter().enumerate() {
                index.enter(*id, &"bench".into(), &identity(number).roles());
                index.subscribe(*id, subscription(number, Filter::everything()));
            }
            let event = decode(&message(&["documents"], &["team:crowd"], 0))?;
            let mut found = Vec::new();
            for _ in turns {
                index.receivers(black_box(&event), &mut found);
                expect(found.len(), RECEIVERS)?;
            }
        }
        Path::Splice => {
            let codec = Appwrite::default();
            let ids: Vec<_> =
                (0..RECEIVERS).map(|number| subscription(number, Filter::everything()).id).collect();
            let message = message(&["documents"], &["any"], 0);
            for _ in turns {
                let event = Arc::new(decode(&message)?);
                for id in &ids {
                    let subscriptions = [id.clone()].into_iter().collect();
                    let delivery = Delivery { event: Arc::clone(&event), subscriptions };
                    black_box(codec.encode(&Outgoing::Event(delivery)));
                }
            }
        }
        Path::Decode => {
            let message = message(&["documents", "documents.D"], &["any"], 0);
            for _ in turns {
                black_box(decode(&message)?);
            }
        }
        Path::Deliver => {
            let (mut crowd, codec) = (Crowd::gather()?, Appwrite::default());
            let message = message(&["documents"], &["team:crowd"], 0);
            for _ in turns {
                let event = Arc::new(decode(&message)?);
                expect(crowd.deliver(&event, &codec), RECEIVERS)?;
            }
        }
        Path::Open => {
            let (mut crowd, codec) = (Crowd::gather()?, Appwrite::default());
            for number in turns {
                let id = crowd.open(RECEIVERS + number % SEVERAL, &codec)?;
                crowd.engine.closed(id);
                while let Some(effect) = crowd.engine.poll_effect() {
                    black_box(effect);
                }
            }
        }
    }
    Ok(())
}

fn several<T>(make: impl Fn(usize) -> Result<T, BenchError>) -> Result<Vec<T>, BenchError> {
    (0..SEVERAL).map(make).collect()
}

/// An engine and connections of users of one team.
struct Crowd {
    engine: Engine,
    project: Arc<Project>,
    ids: Vec<ConnectionId>,
    now: Instant,
}

impl Crowd {
    fn gather() -> Result<Self, BenchError> {
        let project = Project {
            id: "bench".into(),
            sequence: "1".to_owned(),
            database: String::new(),
            team: None,
            region: String::new(),
            realtime_enabled: true,
            platforms: Vec::new(),
        };
        let settings = Settings { messages: None, ..Settings::default() };
        let engine = Engine::new(settings, 1);
        let mut this = Self { engine, project: Arc::new(project), ids: Vec::new(), now: Instant::now() };
        let codec = Appwrite::default();
        for number in 0..RECEIVERS {
            let id = this.open(number, &codec)?;
            this.ids.push(id);
        }
        Ok(this)
    }

    /// As a shard and a transport do it.
    fn open(&mut self, number: usize, codec: &Appwrite) -> Result<ConnectionId, BenchError> {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let hello =
            hello::read(&head()?, address, &[]).map_err(|refusal| BenchError::new(refusal.message))?;
        let id = self.engine.open(hello, self.now);
        while let Some(effect) = self.engine.poll_effect() {
            if let Effect::Identify { connection, .. } = effect {
                let identity = identity(number);
                let admission =
                    Admission { project: Arc::clone(&self.project), identity, owns_origin: false };
                self.engine.identified(connection, Ok(admission), self.now);
            }
        }
        let said = format!(
            r#"{{"type":"subscribe","data":[{{"subscriptionId":"bench-{number:014}","channels":["documents"]}}]}}"#
        );
        self.engine.receive(id, codec.decode(said.as_bytes()), self.now);
        while let Some(effect) = self.engine.poll_effect() {
            if let Effect::Recall { connection, .. } = effect {
                self.engine.recalled(connection, Vec::new());
            }
        }
        expect(self.take(id, codec), 2)?;
        Ok(id)
    }

    fn deliver(&mut self, event: &Arc<Event>, codec: &Appwrite) -> usize {
        self.engine.publish(event, self.now);
        let mut taken = 0;
        while let Some(effect) = self.engine.poll_effect() {
            if let Effect::Wake(id) = effect {
                taken += self.take(id, codec);
            }
        }
        taken
    }

    /// How many messages a connection had to send.
    fn take(&mut self, id: ConnectionId, codec: &Appwrite) -> usize {
        let mut taken = 0;
        while let Some(outgoing) = self.engine.poll_outgoing(id) {
            black_box(codec.encode(&outgoing));
            taken += 1;
        }
        taken
    }
}

/// The request of a browser with a session.
fn head() -> Result<Parts, BenchError> {
    let request = Request::get("/v1/realtime?project=bench")
        .header("host", "events.example.com")
        .header("origin", "https://localhost")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
        .header("cookie", "theme=dark; a_session_bench=eyJpZCI6IjY1ZjBjMDAwIiwic2VjcmV0IjoiNzc4In0=")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(());
    let request = request.map_err(|error| BenchError::new(format!("cannot make a request: {error}")))?;
    Ok(request.into_parts().0)
}

fn identity(number: usize) -> Identity {
    let membership = Membership {
        id: format!("membership-{number}").as_str().into(),
        team: "crowd".into(),
        roles: vec!["owner".to_owned()],
        confirmed: true,
    };
    let account = Account {
        id: format!("65f0c{number:015x}").as_str().into(),
        email_verified: true,
        phone_verified: false,
        memberships: vec![membership],
        labels: Vec::new(),
        profile: Bytes::from_static(b"{}"),
    };
    Identity { account: Some(Arc::new(account)), ..Identity::guest() }
}

fn subscription(number: usize, filter: Filter) -> Subscription {
    let id = format!("bench-{number:014}");
    Subscription::new(id.as_str().into(), [Channel::new("documents")].into_iter().collect(), filter)
}

/// Guests who each want one value of an attribute.
pub(crate) fn queried(ids: &[ConnectionId]) -> Result<Index, BenchError> {
    let mut index = Index::new(1);
    for (number, id) in ids.iter().enumerate() {
        index.enter(*id, &"bench".into(), &Identity::guest().roles());
        index.subscribe(*id, subscription(number, query_of(number)?));
    }
    Ok(index)
}

/// The query for the order of this number.
pub(crate) fn query_of(number: usize) -> Result<Filter, BenchError> {
    let query = format!(r#"{{"method":"equal","attribute":"order","values":["order-{number}"]}}"#);
    Filter::parse(&[query], &Limits::default())
        .map_err(|error| BenchError::new(format!("cannot read a query: {error}")))
}

/// A message of the bus about the order of this number.
pub(crate) fn message(channels: &[&str], roles: &[&str], number: usize) -> Bytes {
    let message = json!({
        "project": "bench",
        "roles": roles,
        "permissionsChanged": false,
        "userId": null,
        "data": {
            "events": ["databases.main.collections.orders.documents.D.update", "databases.*.collections.*.documents.*"],
            "channels": channels,
            "timestamp": "2026-08-21T10:15:30.123+00:00",
            "payload": { "order": format!("order-{number}"), "status": "paid", "total": 12.5, "note": "x".repeat(300) },
            "id": "0660fb56944ad16045acf56758e6ac",
        },
    });
    Bytes::from(message.to_string())
}

pub(crate) fn decode(message: &Bytes) -> Result<Event, BenchError> {
    envelope::decode(black_box(message)).map_err(|error| BenchError::new(error.to_string()))
}

fn expect(seen: usize, wanted: usize) -> Result<(), BenchError> {
    if seen == wanted { Ok(()) } else { Err(BenchError::new(format!("{seen} instead of {wanted}"))) }
}
