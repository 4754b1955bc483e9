//! Why a connection gets an event, or why not: every check, with the values that it compares; of many, the first that fails.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use realtime_core::channel::Channel;
use realtime_core::event::Event;
use realtime_core::id::{EventId, ProjectId, UserId};
use realtime_core::role::Role;
use realtime_core::snapshot::Sought;
use realtime_core::verdict::{Compared, Comparison};
use realtime_protocol::appwrite::envelope;
use realtime_protocol::appwrite::system_event::Outcome;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::connection::{address, no_connection};
use super::{Body, Internal, gone, json};
use crate::http::problem::Problem;
use crate::inspector::Cursor;

/// Connections that one answer tells of.
const CONNECTIONS: usize = 50;
/// Events that are held beside each of them; a body is one event as a rule, and may be a list.
const EVENTS: usize = 10;
const DELIVERED: &str = "Delivered.";
const GONE: &str = "Not delivered: the connection is not open.";

/// Which connections and which event.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// One; without it, all of the project, or of one of its users.
    #[serde(default)]
    connection: Option<String>,
    #[serde(default)]
    user: Option<String>,
    /// Where to go on among many: the `next` of the answer before.
    #[serde(default)]
    from: Option<String>,
    project: String,
    /// The id of an event of the last while.
    #[serde(default)]
    event: Option<String>,
    /// Or an event as it would be published.
    #[serde(default)]
    body: Option<Box<RawValue>>,
}

impl Internal {
    pub(super) async fn explain(&self, request: Request) -> Result<Response<Body>, Problem> {
        let wrong = |what: &'static str| Problem::new(StatusCode::BAD_REQUEST, "Not understood", what);
        let address = request.connection.as_deref().map(address).transpose()?;
        let from = match &request.from {
            Some(text) => {
                Cursor::parse(text).ok_or_else(|| wrong("`from` is the `next` of the answer before."))?
            }
            None => Cursor::default(),
        };
        let project = ProjectId::new(&request.project);
        let events: Vec<Arc<Event>> = match (&request.event, request.body) {
            (Some(id), None) => vec![self.recent(&project, id).await?],
            (None, Some(body)) => {
                let body = Bytes::from(String::from(Box::<str>::from(body)));
                match self.site.ingest.rehearse(&project, &body).await? {
                    Outcome::Published(envelopes) => envelopes
                        .iter()
                        .map(|envelope| envelope::decode(&envelope.encode()).map(Arc::new))
                        .collect::<Result<_, _>>()
                        .map_err(|error| {
                            Problem::new(StatusCode::BAD_REQUEST, "Event not accepted", error.to_string())
                        })?,
                    Outcome::Unpublished(reason) => {
                        return Ok(json(&json!({ "unpublished": reason.to_string(), "events": [] })));
                    }
                }
            }
            _ => {
                return Err(wrong(
                    "Say either `event`, the id of an event, or `body`, an event as it would be published.",
                ));
            }
        };
        let Some(address) = address else {
            if events.len() > EVENTS {
                return Err(wrong("Ten events at most can be explained for many connections at a time."));
            }
            let user = request.user.as_deref().map(UserId::new);
            let sought = Sought { project: Some(project), user, channel: None };
            return Ok(json(&self.explain_to_many(&events, &sought, from).await));
        };
        let mut explained = Vec::new();
        for event in events {
            let comparison = self.inspector.compare(Arc::clone(&event), address).await;
            explained.push(explanation(&event, &comparison.ok_or_else(no_connection)?));
        }
        Ok(json(&json!({ "unpublished": null, "events": explained })))
    }

    /// Each of some connections beside each event, in short.
    async fn explain_to_many(&self, events: &[Arc<Event>], sought: &Sought, from: Cursor) -> Value {
        let listing = self.inspector.list(sought, from, CONNECTIONS).await;
        let mut explained = Vec::new();
        for event in events {
            let mut connections = Vec::new();
            for found in &listing.found {
                let comparison = self.inspector.compare(Arc::clone(event), found.address).await;
                let verdict = comparison.as_ref().map_or(GONE, verdict);
                connections.push(json!({
                    "id": found.address.to_string(),
                    "user": found.snapshot.user.as_ref().map(UserId::as_str),
                    "transport": found.transport,
                    "delivered": verdict == DELIVERED,
                    "verdict": verdict,
                }));
            }
            explained.push(json!({
                "id": event.id.as_str(),
                "name": event.name.as_deref(),
                "connections": connections,
            }));
        }
        json!({
            "unpublished": null,
            "events": explained,
            "next": listing.next.map(|next| next.to_string()),
        })
    }

    /// An event that is kept.
    pub(super) async fn recent(&self, project: &ProjectId, id: &str) -> Result<Arc<Event>, Problem> {
        let found = self.inspector.event(project, &EventId::new(id)).await;
        found.ok_or_else(|| {
            gone(
                "There is no such event of this project among those that are kept (`resume.window`); give the event \
                 itself.",
            )
        })
    }
}

fn explanation(event: &Event, comparison: &Comparison) -> Value {
    let subscriptions: Vec<Value> = comparison
        .subscriptions
        .iter()
        .map(|compared| {
            let queries: Vec<Value> = compared
                .queries
                .iter()
                .map(|check| json!({ "query": check.query, "actual": check.actual, "holds": check.holds }))
                .collect();
            json!({
                "id": compared.id.as_str(),
                "channels": compared.channels.iter().map(Channel::as_str).collect::<Vec<_>>(),
                "hasChannel": compared.has_channel,
                "queries": queries,
                "queriesHold": compared.queries_hold,
                "inTime": compared.in_time,
            })
        })
        .collect();
    json!({
        "id": event.id.as_str(),
        "name": event.name.as_deref(),
        "delivered": comparison.is_delivered(),
        "verdict": verdict(comparison),
        "project": {
            "event": comparison.event_project.as_str(),
            "connection": comparison.project.as_str(),
            "passes": comparison.same_project(),
        },
        "channels": {
            "event": comparison.event_channels.iter().map(Channel::as_str).collect::<Vec<_>>(),
            "passes": comparison.subscriptions.iter().any(|compared| compared.has_channel),
        },
        "roles": {
            "event": comparison.event_roles.iter().map(Role::as_str).collect::<Vec<_>>(),
            "connection": comparison.roles.iter().map(Role::as_str).collect::<Vec<_>>(),
            "passes": comparison.has_role(),
        },
        "subscriptions": subscriptions,
    })
}

/// The first check that fails, in a sentence.
fn verdict(comparison: &Comparison) -> &'static str {
    let matched: Vec<&Compared> = comparison.subscriptions.iter().filter(|one| one.has_channel).collect();
    if !comparison.same_project() {
        "Not delivered: the event is of another project."
    } else if matched.is_empty() {
        "Not delivered: no subscription listens to a channel of the event."
    } else if !comparison.has_role() {
        "Not delivered: the connection holds no role that may read the event."
    } else if !matched.iter().any(|one| one.queries_hold) {
        "Not delivered: the queries of the subscriptions do not hold."
    } else if matched.iter().filter(|one| one.queries_hold).all(|one| one.in_time == Some(false)) {
        "Not delivered: it happened before the connection subscribed. It would be delivered now."
    } else {
        DELIVERED
    }
}
