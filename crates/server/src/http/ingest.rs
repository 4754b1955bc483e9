//! Publishing over HTTP: `POST /v1/realtime/events` with an API key.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use jiff::Timestamp;
use realtime_core::id::{EventId, ProjectId};
use realtime_core::project::Project;
use realtime_core::refusal::{Refusal, RefusalKind};
use realtime_core::secret::Secret;
use realtime_protocol::appwrite::envelope::Envelope;
use realtime_protocol::appwrite::hello;
use realtime_protocol::appwrite::publish::{self, PublishError, Stamp};
use realtime_protocol::appwrite::system_event::{Context, Outcome};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tracing::{debug, error, warn};
use utoipa::ToSchema;

use super::full;
use super::idempotency::{Begun, Idempotency};
use super::problem::Problem;
use crate::admission::Admission;
use crate::bus::{Bus, drawn_event_id};
use crate::transport::Body;

/// What a key must allow in order to publish.
pub const SCOPE: &str = "events.write";

const PROJECT: HeaderName = HeaderName::from_static("x-appwrite-project");
const KEY: HeaderName = HeaderName::from_static("x-appwrite-key");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// An idempotency key in bytes, at most.
const MAX_IDEMPOTENCY_KEY: usize = 255;

/// Takes events from backends and gives them to the bus.
///
/// Only the bytes of a request are read on the shard that it came in by; all the work is done in the background, so that
/// a large batch does not keep the shard's clients waiting.
#[derive(Debug)]
pub struct Ingest {
    inner: Arc<Inner>,
    background: Handle,
}

#[derive(Debug)]
struct Inner {
    admission: Arc<Admission>,
    bus: Arc<dyn Bus>,
    idempotency: Idempotency,
    settings: Settings,
}

/// What an operator may choose about publishing.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A request's body in bytes, at most; a batch may come close to it.
    pub max_body: usize,
    /// Whether events are also heard on the channel names of early Appwrite versions (`documents.ID`).
    pub legacy_channels: bool,
    /// Headers that name the client's address when a proxy is in front.
    pub trusted_headers: Vec<HeaderName>,
}

/// What became of a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct Published {
    /// One entry for each event, in the order sent.
    pub events: Vec<PublishedEvent>,
}

/// What became of one event.
#[derive(Debug, Serialize, ToSchema)]
pub struct PublishedEvent {
    /// The id under which clients get it.
    pub id: String,
    /// Whether it was given to the bus. A known event that reaches nobody is not.
    pub published: bool,
    /// Why it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Ingest {
    /// Publishing to a bus, for keys that the admission's directory knows.
    pub fn new(admission: Arc<Admission>, bus: Arc<dyn Bus>, settings: Settings, background: Handle) -> Self {
        let idempotency = Idempotency::default();
        Self { inner: Arc::new(Inner { admission, bus, idempotency, settings }), background }
    }

    /// Carries a request out. Nothing of it is published if any event in it is wrong.
    pub(super) async fn publish(
        &self,
        request: Request<Incoming>,
        address: IpAddr,
    ) -> Result<Response<Body>, Problem> {
        let (parts, body) = request.into_parts();
        let trusted = &self.inner.settings.trusted_headers;
        let address = hello::client_address(&parts.headers, address, trusted);
        let key = idempotency_key(&parts.headers)?;
        let headers = parts.headers;
        let project = self.run(|inner| async move { inner.authorize(&headers, address).await }).await?;
        let body = read(body, self.inner.settings.max_body).await?;
        let answer =
            self.run(|inner| async move { inner.publish(&project, key.as_deref(), &body).await }).await?;
        Ok(full(StatusCode::OK, "application/json", answer))
    }

    /// Publishes a body's events in a project for an operator, who needs no key.
    pub(super) async fn publish_by_hand(&self, project: &ProjectId, body: &Bytes) -> Result<Bytes, Problem> {
        let project = self.inner.admission.named(project).await.map_err(problem_of)?;
        self.inner.publish_all(&project, body, |_| drawn_event_id()).await
    }

    /// What publishing would make of a body, and does not.
    pub(super) async fn rehearse(
        &self,
        project: &ProjectId,
        body: &Bytes,
    ) -> Result<Outcome<Vec<Envelope>>, Problem> {
        let project = self.inner.admission.named(project).await.map_err(problem_of)?;
        let context = self.inner.context(&project);
        let id = EventId::new("explained");
        let stamp = Stamp { timestamp: &now(), id: &id };
        let mut all = Vec::new();
        for publication in publish::parse(body).map_err(|error| wrong_body(&error))? {
            match publication.envelopes(&context, &stamp).map_err(|error| wrong_body(&error))? {
                Outcome::Published(made) => all.extend(made),
                Outcome::Unpublished(reason) => return Ok(Outcome::Unpublished(reason)),
            }
        }
        Ok(Outcome::Published(all))
    }

    /// Does work in the background.
    async fn run<T, F>(&self, work: impl FnOnce(Arc<Inner>) -> F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let task = self.background.spawn(work(Arc::clone(&self.inner)));
        task.await.unwrap_or_else(|error| {
            error!(%error, "publishing failed unexpectedly");
            let text = "The request could not be carried out.";
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal error", text))
        })
    }
}

impl Inner {
    /// Publishes a request's events once, however often it is sent.
    async fn publish(&self, project: &Project, key: Option<&str>, body: &Bytes) -> Result<Bytes, Problem> {
        let Some(key) = key else {
            return self.publish_all(project, body, |_| drawn_event_id()).await;
        };
        let permit = match self.idempotency.begin(&project.id, key, body) {
            Begun::New(permit) => permit,
            Begun::Done(answer) => return Ok(answer),
            Begun::UnderWay => {
                let text = "A request with this idempotency key is being carried out. Try again in a moment.";
                return Err(Problem::new(StatusCode::CONFLICT, "Already under way", text).retry_after(1));
            }
            Begun::Other => {
                let text =
                    "This idempotency key came with another body before. Use a new key for each request.";
                return Err(Problem::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "Idempotency key used twice",
                    text,
                ));
            }
        };
        let answer = self.publish_all(project, body, |item| derived_id(&project.id, key, item)).await?;
        permit.finish(answer.clone());
        Ok(answer)
    }

    async fn authorize(&self, headers: &HeaderMap, address: IpAddr) -> Result<Arc<Project>, Problem> {
        let text =
            |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (project, key) = (text(&PROJECT), text(&KEY));
        if project.is_empty() || key.is_empty() {
            return Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "API key required",
                "Send the project's id in X-Appwrite-Project and one of its API keys in X-Appwrite-Key.",
            ));
        }
        let (project, key) = self
            .admission
            .publisher(&ProjectId::new(project), &Secret::new(key), address)
            .await
            .map_err(problem_of)?;
        if !key.scopes.iter().any(|scope| scope == SCOPE) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "Scope missing",
                format!("The API key lacks the scope {SCOPE}."),
            ));
        }
        Ok(project)
    }

    fn context<'a>(&self, project: &'a Project) -> Context<'a> {
        Context {
            project: &project.id,
            team: project.team.as_ref(),
            legacy_channels: self.settings.legacy_channels,
        }
    }

    /// Publishes every event of a body, and tells so in JSON.
    async fn publish_all(
        &self,
        project: &Project,
        body: &Bytes,
        id: impl Fn(usize) -> EventId,
    ) -> Result<Bytes, Problem> {
        let timestamp = now();
        let context = self.context(project);
        let mut envelopes: Vec<Envelope> = Vec::new();
        let mut events = Vec::new();
        for (item, publication) in
            publish::parse(body).map_err(|error| wrong_body(&error))?.iter().enumerate()
        {
            let id = id(item);
            let outcome = publication.envelopes(&context, &Stamp { timestamp: &timestamp, id: &id });
            let (published, reason) = match outcome.map_err(|error| wrong_body(&error))? {
                Outcome::Published(made) => {
                    envelopes.extend(made);
                    (true, None)
                }
                Outcome::Unpublished(reason) => (false, Some(reason.to_string())),
            };
            events.push(PublishedEvent { id: id.to_string(), published, reason });
        }
        for envelope in envelopes {
            self.bus.publish(envelope.encode()).await.map_err(|error| {
                warn!(%error, "an event could not be published");
                Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Bus unavailable",
                    "The events could not all be published. Send the request again with the same Idempotency-Key.",
                )
                .retry_after(1)
            })?;
        }
        debug!(project = %project.id, events = events.len(), "events published");
        let answer = serde_json::to_vec(&Published { events });
        answer.map(Bytes::from).map_err(|error| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal error", error.to_string())
        })
    }
}

/// The whole body, if it is not too large.
pub(super) async fn read(body: Incoming, limit: usize) -> Result<Bytes, Problem> {
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "Body too large",
            format!("A request may have {limit} bytes. Send the events in smaller batches."),
        )),
        Err(error) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "Body incomplete",
            format!("The request's body could not be read: {error}."),
        )),
    }
}

/// Now, as Appwrite writes it: UTC, milliseconds, `+00:00`.
fn now() -> String {
    let now = Timestamp::try_from(SystemTime::now()).unwrap_or_default();
    now.strftime("%Y-%m-%dT%H:%M:%S.%3f+00:00").to_string()
}

/// The same id for the same event of a repeated request, on every node.
fn derived_id(project: &ProjectId, key: &str, item: usize) -> EventId {
    let mut hash = Sha256::new();
    for part in [project.as_str().as_bytes(), key.as_bytes()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update((item as u64).to_be_bytes());
    let digest = hash.finalize();
    EventId::new(digest.iter().take(15).map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= MAX_IDEMPOTENCY_KEY => Ok(Some(key.to_owned())),
        Ok(_) | Err(_) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "Bad idempotency key",
            format!("Idempotency-Key must have 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters."),
        )),
    }
}

fn wrong_body(error: &PublishError) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "Event not accepted", format!("{error}. Nothing was published."))
}

fn problem_of(refusal: Refusal) -> Problem {
    let (status, title, retry) = match refusal.kind {
        RefusalKind::Policy | RefusalKind::NotFound => (StatusCode::NOT_FOUND, "Project unknown", None),
        RefusalKind::Invalid | RefusalKind::BadRequest => {
            (StatusCode::BAD_REQUEST, "Request not valid", None)
        }
        RefusalKind::Conflict => (StatusCode::CONFLICT, "Conflict", None),
        RefusalKind::TooMany => (StatusCode::TOO_MANY_REQUESTS, "Too many requests", Some(60)),
        RefusalKind::Unauthorized => (StatusCode::UNAUTHORIZED, "API key not accepted", None),
        RefusalKind::Forbidden => (StatusCode::FORBIDDEN, "Forbidden", None),
        RefusalKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "Directory unavailable", Some(5)),
        RefusalKind::Internal | RefusalKind::Dismissed => {
            (StatusCode::INTERNAL_SERVER_ERROR, "Internal error", None)
        }
    };
    let problem = Problem::new(status, title, refusal.message);
    match retry {
        Some(seconds) => problem.retry_after(seconds),
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_request_gives_its_events_the_same_ids() {
        let (p, q) = (ProjectId::from("p"), ProjectId::from("q"));
        assert_eq!(derived_id(&p, "k", 0), derived_id(&p, "k", 0));
        assert_ne!(derived_id(&p, "k", 0), derived_id(&p, "k", 1));
        assert_ne!(derived_id(&p, "k", 0), derived_id(&q, "k", 0));
    }

    #[test]
    fn a_timestamp_is_in_appwrites_form() {
        let now = now();
        assert_eq!(now.len(), "2026-08-21T10:15:30.123+00:00".len(), "{now}");
        assert!(now.ends_with("+00:00"));
    }
}
