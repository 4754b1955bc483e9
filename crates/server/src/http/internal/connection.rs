//! Who is connected, what they may hear, and letting them go.

use http::{Response, StatusCode};
use realtime_core::channel::Channel;
use realtime_core::id::{ProjectId, UserId};
use realtime_core::role::Role;
use realtime_core::snapshot::{Phase, Sought};
use realtime_protocol::appwrite::query_string::QueryString;
use serde_json::{Value, json};
use std::time::Instant;

use super::{Body, Internal, gone, json};
use crate::http::problem::Problem;
use crate::inspector::{Address, Cursor, Found};

/// Connections of one page, unless said.
const PAGE: usize = 50;
/// Connections of one page at most.
const LONGEST_PAGE: usize = 200;

impl Internal {
    pub(super) async fn connections(&self, query: &QueryString) -> Result<Response<Body>, Problem> {
        let said = |name| query.text(name).filter(|text| !text.is_empty());
        let sought = Sought {
            project: said("project").map(ProjectId::new),
            user: said("user").map(UserId::new),
            channel: said("channel").map(Channel::new),
        };
        let wrong = |what: &'static str| Problem::new(StatusCode::BAD_REQUEST, "Not understood", what);
        let from = match said("from") {
            Some(text) => {
                Cursor::parse(text).ok_or_else(|| wrong("`from` is the `next` of the page before."))?
            }
            None => Cursor::default(),
        };
        let limit = match said("limit") {
            Some(text) => text.parse().map_err(|_| wrong("`limit` is a whole number."))?,
            None => PAGE,
        };
        let listing = self.inspector.list(&sought, from, limit.clamp(1, LONGEST_PAGE)).await;
        Ok(json(&json!({
            "connections": listing.found.iter().map(facts).collect::<Vec<_>>(),
            "next": listing.next.map(|next| next.to_string()),
        })))
    }

    pub(super) async fn connection(&self, id: &str) -> Result<Response<Body>, Problem> {
        let (found, holdings) = self.inspector.inspect(address(id)?).await.ok_or_else(no_connection)?;
        let subscriptions: Vec<Value> = holdings
            .subscriptions
            .iter()
            .map(|subscription| {
                json!({
                    "id": subscription.id.as_str(),
                    "channels": subscription.channels.iter().map(Channel::as_str).collect::<Vec<_>>(),
                    "queries": subscription.filter.canonical(),
                })
            })
            .collect();
        let mut connection = facts(&found);
        if let Some(connection) = connection.as_object_mut() {
            let roles: Vec<&str> = holdings.roles.iter().map(Role::as_str).collect();
            connection.insert("roles".to_owned(), json!(roles));
            connection.insert("subscriptionList".to_owned(), json!(subscriptions));
        }
        Ok(json(&connection))
    }

    pub(super) async fn end_connection(
        &self,
        id: &str,
        may_come_back: bool,
    ) -> Result<Response<Body>, Problem> {
        if self.inspector.dismiss_one(address(id)?, may_come_back).await {
            Ok(json(&json!({ "ended": 1 })))
        } else {
            Err(no_connection())
        }
    }

    pub(super) async fn end_user(&self, project: &str, user: &str, may_come_back: bool) -> Response<Body> {
        let sought =
            Sought { project: Some(ProjectId::new(project)), user: Some(UserId::new(user)), channel: None };
        json(&json!({ "ended": self.inspector.dismiss(&sought, may_come_back).await }))
    }
}

/// Which connection a text names.
pub(super) fn address(text: &str) -> Result<Address, Problem> {
    Address::parse(text).ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "Not understood",
            "A connection is named like `0-12.3`: its shard, and its number in the log.",
        )
    })
}

/// It has ended, or never was.
pub(super) fn no_connection() -> Problem {
    gone("There is no such connection any more.")
}

fn facts(Found { address, snapshot, transport }: &Found) -> Value {
    let now = Instant::now();
    let phase = match snapshot.phase {
        Phase::Opening => "opening",
        Phase::Live => "live",
        Phase::Closing => "closing",
    };
    json!({
        "id": address.to_string(),
        "transport": transport,
        "phase": phase,
        "project": snapshot.project.as_ref().map(ProjectId::as_str),
        "user": snapshot.user.as_ref().map(UserId::as_str),
        "address": snapshot.address.map(|address| address.to_string()),
        "admin": snapshot.admin,
        "impersonated": snapshot.impersonated,
        "seconds": now.saturating_duration_since(snapshot.opened_at).as_secs(),
        "expiresInSeconds": snapshot.expires_at.map(|at| at.saturating_duration_since(now).as_secs()),
        "rechecking": snapshot.rechecking,
        "catchingUp": snapshot.catching_up,
        "waitingMessages": snapshot.waiting_messages,
        "waitingBytes": snapshot.waiting_bytes,
        "subscriptions": snapshot.subscriptions,
    })
}
