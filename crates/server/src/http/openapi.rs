//! The description of the HTTP API for machines (OpenAPI 3.1), made from the code.
//!
//! The functions here are never called: each carries the description of one route of [`super::answer`]. Tests hold the
//! two against each other.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::full;
use super::ingest::Published;
use crate::transport::Body;

/// The document.
pub(super) fn document() -> Response<Body> {
    static TEXT: LazyLock<String> = LazyLock::new(|| Api::openapi().to_json().unwrap_or_default());
    full(StatusCode::OK, "application/json", TEXT.as_str())
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Realtime",
        description = "Publish events to connected clients, and see whether the server is well.",
        license(name = "Apache-2.0 OR MIT"),
    ),
    paths(publish, connect, describe, live, ready)
)]
struct Api;

/// One event to publish: either `event` and `payload`, from which channels and roles follow, or explicit `channels` and
/// `roles`.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "event": "databases.shop.collections.orders.documents.42.create",
    "payload": { "$id": "42", "total": 12 },
    "permissions": ["read(\"user:alice\")"]
}))]
struct Event {
    /// The event's name, written out (`users.U.update.name`) or as a pattern with `params`
    /// (`users.[userId].update.name`), which ids with dots need.
    event: Option<String>,
    /// Ids for a pattern's placeholders.
    params: Option<BTreeMap<String, String>>,
    /// What the event is about; clients get it byte for byte.
    payload: Option<serde_json::Map<String, serde_json::Value>>,
    /// Who may read the document, file or other object, in Appwrite's form. Absent: the payload's `$permissions`.
    permissions: Option<Vec<String>>,
    /// Who may read the collection, table or bucket that it is in.
    resource_permissions: Option<Vec<String>>,
    /// Whether the object's own permissions count beside the collection's. Also `rowSecurity`, `fileSecurity`.
    document_security: Option<bool>,
    /// The user it is about.
    user_id: Option<String>,
    /// Whether the user's roles are different from now on (explicit form only).
    permissions_changed: Option<bool>,
    /// Channels to be heard on (explicit form).
    channels: Option<Vec<String>>,
    /// Who may hear it: `any`, `guests`, `users`, `user:ID`, `team:ID`, `team:ID/ROLE`, `member:ID`, `label:NAME`
    /// (explicit form).
    roles: Option<Vec<String>>,
    /// Names to show (explicit form).
    events: Option<Vec<String>>,
}

/// What to publish.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
enum Publication {
    /// One event.
    One(Box<Event>),
    /// Up to 1,000 events.
    List(Vec<Event>),
}

/// What went wrong, and what to do about it (RFC 9457).
#[derive(Serialize, Deserialize, ToSchema)]
struct ProblemDocument {
    /// The sort of problem, in a few words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// This case, and the way out.
    detail: String,
}

/// A probe's answer.
#[derive(Serialize, Deserialize, ToSchema)]
struct Probe {
    /// `ok`, or what is the matter.
    status: String,
}

/// Publish one event or a batch.
///
/// Nothing is published if any event is wrong. With an `Idempotency-Key`, sending the same request again within ten
/// minutes publishes nothing and gets the first answer.
#[expect(dead_code, reason = "carries a description")]
#[utoipa::path(
    post,
    path = "/v1/realtime/events",
    params(
        ("X-Appwrite-Project" = String, Header, description = "The project to publish in."),
        ("X-Appwrite-Key" = String, Header, description = "An API key of the project with the scope events.write."),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 ASCII characters, new for each request."),
    ),
    request_body = Publication,
    responses(
        (status = 200, description = "Given to the bus", body = Published),
        (status = 400, description = "An event is wrong; the detail names it", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No valid API key", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such project", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 405, description = "Another method than POST", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The same request is under way", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "The idempotency key came with another body", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong keys from this address", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Bus or directory unavailable", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
fn publish() {}

/// Connect a client: a WebSocket, or server-sent events with `Accept: text/event-stream`.
#[expect(dead_code, reason = "carries a description")]
#[utoipa::path(
    get,
    path = "/v1/realtime",
    params(
        ("project" = String, Query, description = "The project."),
        ("channels[]" = Option<Vec<String>>, Query, description = "Channels to listen to."),
        ("jwt" = Option<String>, Query, description = "A JSON Web Token."),
    ),
    responses(
        (status = 101, description = "A WebSocket"),
        (status = 200, description = "An event stream", content_type = "text/event-stream", body = String),
        (status = 400, description = "Neither of them", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
fn connect() {}

/// This document.
#[expect(dead_code, reason = "carries a description")]
#[utoipa::path(get, path = "/v1/realtime/openapi.json", responses((status = 200, description = "OpenAPI 3.1")))]
fn describe() {}

/// Whether the process answers.
#[expect(dead_code, reason = "carries a description")]
#[utoipa::path(get, path = "/health/live", responses((status = 200, description = "It does", body = Probe)))]
fn live() {}

/// Whether clients may be sent here.
#[expect(dead_code, reason = "carries a description")]
#[utoipa::path(
    get,
    path = "/health/ready",
    responses(
        (status = 200, description = "They may", body = Probe),
        (status = 503, description = "Not now", body = Probe),
    ),
)]
fn ready() {}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use bytes::Bytes;
    use realtime_protocol::appwrite::publish as wire;

    use super::*;

    #[test]
    fn the_documents_example_is_an_event_that_can_be_published() {
        let document = serde_json::to_value(Api::openapi()).unwrap();
        let example = document.pointer("/components/schemas/Event/example").unwrap();
        assert_eq!(wire::parse(&Bytes::from(example.to_string())).unwrap().len(), 1);
    }

    #[test]
    fn every_documented_field_is_one_that_publishing_knows() {
        let document = serde_json::to_value(Api::openapi()).unwrap();
        let fields = document.pointer("/components/schemas/Event/properties").unwrap().as_object().unwrap();
        assert!(fields.len() > 10);
        for field in fields.keys() {
            let body = format!(r#"{{"event":"users.a.update","payload":{{}},"{field}":0}}"#);
            let error = wire::parse(&Bytes::from(body)).unwrap_err().to_string();
            assert!(!error.contains("unknown field"), "{field}: {error}");
        }
    }
}
