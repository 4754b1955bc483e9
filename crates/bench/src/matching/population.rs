//! Users of one project as an application has them: teams of ten, everybody on `documents`, each with a document.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use bytes::Bytes;
use realtime_core::channel::{Channel, convert};
use realtime_core::command::Hello;
use realtime_core::engine::Engine;
use realtime_core::event::{Event, Spellings};
use realtime_core::id::{ConnectionId, ProjectId, UserId};
use realtime_core::identity::{Account, Credentials, Membership, roles_of};
use realtime_core::index::{Index, Receiver, Subscription};
use realtime_core::query::{Filter, Payload};
use realtime_core::role::Role;
use realtime_core::settings::Settings;
use realtime_protocol::appwrite::system_event::{self, Context, Outcome, SystemEvent};

use crate::BenchError;
use crate::memory::resident;

/// How many receive an event for `any` or for the large team.
pub(crate) const CROWD: usize = 10_000;

const PROJECT: &str = "bench";
const TEAM_OF: usize = 10;
const NEWS: &str = "databases.main.collections.news.documents";

/// Ids of live connections. Only an engine gives them out, and each only once while it lives.
pub(crate) struct Ids {
    ids: Vec<ConnectionId>,
    _engine: Engine,
}

impl Ids {
    pub(crate) fn of(&self, size: usize) -> &[ConnectionId] {
        self.ids.get(..size).unwrap_or(&self.ids)
    }
}

/// As many ids as asked for.
pub(crate) fn mint(count: usize) -> Ids {
    let now = Instant::now();
    let mut engine = Engine::new(Settings::default(), 1);
    let mut open = || {
        let id = engine.open(hello(), now);
        while engine.poll_effect().is_some() {}
        id
    };
    let ids = (0..count).map(|_| open()).collect();
    Ids { ids, _engine: engine }
}

fn hello() -> Hello {
    Hello {
        project: ProjectId::from(PROJECT),
        credentials: Credentials::default(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        path: String::new(),
        origin: String::new(),
        referer: String::new(),
        channels: Vec::new(),
        queries: HashMap::new(),
        since: None,
        wants_gaps: false,
    }
}

/// What an index takes, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Footprint {
    pub(crate) connection: f64,
    pub(crate) subscription: f64,
}

/// An index with its connections.
pub(crate) struct Population {
    index: Index,
    found: Vec<Receiver>,
    connections: Vec<ConnectionId>,
    project: ProjectId,
}

impl Population {
    pub(crate) fn build(ids: &[ConnectionId]) -> Result<(Self, Footprint), BenchError> {
        let (connections, project) = (ids.to_vec(), ProjectId::from(PROJECT));
        let mut this = Self { index: Index::new(1), found: Vec::new(), connections, project };
        let empty = resident()?;
        for (number, id) in ids.iter().enumerate() {
            let user = user(number);
            this.index.enter(*id, &this.project, &roles_of(&account(number, &[])));
            let channels = convert(&[Channel::new("documents"), Channel::new("account")], Some(&user));
            this.index.subscribe(*id, subscription(&format!("{number:020x}"), channels));
        }
        let entered = resident()?;
        for (number, id) in ids.iter().enumerate() {
            let own =
                Channel::new(format!("databases.main.collections.notes.documents.{}", document(number)));
            this.index.subscribe(*id, subscription(&format!("own-{number:016x}"), vec![own]));
        }
        let subscribed = resident()?;
        for number in this.crowd() {
            let Some(id) = this.connections.get(number) else { continue };
            this.index.set_roles(*id, &roles_of(&account(number, &["crowd"])));
            this.index.subscribe(*id, subscription(&format!("news-{number:015x}"), vec![Channel::new(NEWS)]));
        }
        let each = |from: u64, to: u64| to.saturating_sub(from) as f64 / ids.len().max(1) as f64;
        let footprint =
            Footprint { connection: each(empty, entered), subscription: each(entered, subscribed) };
        Ok((this, footprint))
    }

    pub(crate) fn size(&self) -> usize {
        self.connections.len()
    }

    /// Everybody the event is for, in a list that is used again, as an engine does.
    pub(crate) fn receivers(&mut self, event: &Event) -> &[Receiver] {
        self.index.receivers(event, &mut self.found);
        &self.found
    }

    /// Every connection with its roles and subscriptions.
    pub(crate) fn members(&self) -> impl Iterator<Item = Member<'_>> {
        self.connections.iter().map(|id| Member {
            connection: *id,
            roles: self.index.roles(*id).collect(),
            subscriptions: self.index.subscriptions(*id).collect(),
        })
    }

    /// A user's own document has changed.
    pub(crate) fn document_event(&self, number: usize) -> Result<Event, BenchError> {
        let number = self.scattered(number);
        self.event_of_document("notes", number, &format!("read(\"user:{}\")", user(number)))
    }

    /// A user's file has changed, and nobody listens to files.
    pub(crate) fn unheard_event(&self, number: usize) -> Result<Event, BenchError> {
        let number = self.scattered(number);
        let ids = [("bucketId", "pictures"), ("fileId", &document(number))];
        self.event(
            "buckets.[bucketId].files.[fileId].update",
            &ids,
            &format!("read(\"user:{}\")", user(number)),
        )
    }

    /// News for everybody who listens to news.
    pub(crate) fn event_for_any(&self, number: usize) -> Result<Event, BenchError> {
        let mut event = self.event_of_document("news", number, "read(\"any\")")?;
        event.channels.retain(|channel| channel.as_str() != "documents");
        Ok(event)
    }

    /// Something for the large team, on channels that everybody listens to.
    pub(crate) fn event_for_team(&self, number: usize) -> Result<Event, BenchError> {
        self.event_of_document("plans", number, "read(\"team:crowd\")")
    }

    fn event_of_document(
        &self,
        collection: &str,
        number: usize,
        permission: &str,
    ) -> Result<Event, BenchError> {
        let ids = [("databaseId", "main"), ("collectionId", collection), ("documentId", &document(number))];
        let name = "databases.[databaseId].collections.[collectionId].documents.[documentId].update";
        self.event(name, &ids, permission)
    }

    fn event(&self, name: &str, ids: &[(&str, &str)], permission: &str) -> Result<Event, BenchError> {
        let params = ids.iter().map(|(name, id)| ((*name).to_owned(), (*id).to_owned())).collect();
        let permissions = [permission.to_owned()];
        let event = SystemEvent {
            name,
            params: &params,
            payload: "{}",
            permissions: Some(&permissions),
            resource_permissions: None,
            own_security: None,
            user: None,
        };
        let context = Context { project: &self.project, team: None, legacy_channels: false };
        let derived = system_event::derive(&event, &context)
            .map_err(|error| BenchError::new(format!("cannot derive `{name}`: {error}")))?;
        let Outcome::Published(derived) = derived else {
            return Err(BenchError::new(format!("`{name}` reaches nobody")));
        };
        Ok(Event {
            id: "event".into(),
            project: self.project.clone(),
            channels: derived.channels.iter().map(Channel::new).collect(),
            roles: derived.audiences.into_iter().flat_map(|audience| audience.roles).collect(),
            name: None,
            user: None,
            data: Bytes::from_static(b"{}"),
            payload: Payload::new(Bytes::from_static(b"{}")),
            roles_changed: None,
            spellings: Spellings::default(),
        })
    }

    /// The crowd, evenly spread over the population.
    fn crowd(&self) -> impl Iterator<Item = usize> + use<> {
        let size = self.size();
        let count = if size < CROWD { 0 } else { CROWD };
        (0..count).map(move |number| number * (size / CROWD))
    }

    /// The number-th user in an order that no cache foresees: multiples of a large prime.
    fn scattered(&self, number: usize) -> usize {
        number.wrapping_mul(982_451_653) % self.size().max(1)
    }
}

/// A connection as it stands in the index.
pub(crate) struct Member<'a> {
    pub(crate) connection: ConnectionId,
    pub(crate) roles: Vec<&'a Role>,
    pub(crate) subscriptions: Vec<&'a Subscription>,
}

fn subscription(id: &str, channels: Vec<Channel>) -> Subscription {
    Subscription::new(id.into(), channels.into(), Filter::everything())
}

fn user(number: usize) -> UserId {
    UserId::from(format!("65f0c{number:015x}").as_str())
}

fn document(number: usize) -> String {
    format!("66a1d{number:015x}")
}

fn account(number: usize, teams: &[&str]) -> Account {
    let team = format!("64b2e{:015x}", number / TEAM_OF);
    let memberships = teams.iter().copied().chain([team.as_str()]).map(|team| Membership {
        id: format!("{team}-{number:x}").as_str().into(),
        team: team.into(),
        roles: Vec::new(),
        confirmed: true,
    });
    Account {
        id: user(number),
        email_verified: true,
        phone_verified: false,
        memberships: memberships.collect(),
        labels: Vec::new(),
        profile: Bytes::from_static(b"{}"),
    }
}
