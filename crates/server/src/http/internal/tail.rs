//! Events as they pass, as lines of JSON: a stream that costs nothing while nobody reads it.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use realtime_core::channel::Channel;
use realtime_core::event::Event;
use realtime_core::id::{ProjectId, UserId};
use realtime_core::role::Role;
use realtime_protocol::appwrite::query_string::QueryString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::{Interval, MissedTickBehavior};

use super::{Body, Internal, plain, whole};
use crate::http::problem::Problem;
use crate::lookout::{View, Wanted};

/// Payloads up to this size, in bytes, are shown with the event; larger ones are asked for by id.
const SHOWN_PAYLOAD: usize = 16 * 1024;
/// How often it is told how many events were left out.
const EVERY: Duration = Duration::from_secs(1);
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// An event for an operator to see.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    r#type: &'static str,
    id: &'a str,
    project: &'a str,
    name: Option<&'a str>,
    names: Vec<&'a RawValue>,
    channels: Vec<&'a str>,
    roles: Vec<&'a str>,
    user: Option<&'a str>,
    roles_changed: Option<String>,
    timestamp: Option<&'a RawValue>,
    bytes: usize,
    /// Whether it is too large to be shown unasked; a payload may well be `null`.
    large: bool,
    payload: Option<&'a RawValue>,
}

/// What else is in the data that clients get.
#[derive(Default, Deserialize)]
struct Data<'a> {
    #[serde(borrow, default)]
    events: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    timestamp: Option<&'a RawValue>,
}

impl Internal {
    pub(super) fn tail(&self, query: &QueryString) -> Result<Response<Body>, Problem> {
        let said = |name| query.text(name).filter(|text| !text.is_empty());
        let wanted = Wanted {
            project: said("project").map(ProjectId::new),
            channel: said("channel").map(Channel::new),
            name: said("name").map(str::to_owned),
            text: said("text").map(str::to_owned),
        };
        let view = self.lookout.watch(wanted).ok_or_else(|| {
            Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many watch",
                "As many operators as can watch events do so already. Close another console.",
            )
            .retry_after(5)
        })?;
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let lines = stream::unfold((view, ticks), |(view, ticks)| next(view, ticks));
        let mut response = Response::new(StreamBody::new(lines).boxed_unsync());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
        Ok(response)
    }

    pub(super) async fn event(&self, project: &str, id: &str) -> Result<Response<Body>, Problem> {
        let event = self.recent(&ProjectId::new(project), id).await?;
        Ok(plain(StatusCode::OK, "application/json", line(&event, usize::MAX)).map(whole))
    }
}

type Line = Result<Frame<Bytes>, Infallible>;

async fn next(mut view: View, mut ticks: Interval) -> Option<(Line, (View, Interval))> {
    let text = tokio::select! {
        event = view.next() => line(&*event?, SHOWN_PAYLOAD),
        _ = ticks.tick() => json!({ "type": "beat", "leftOut": view.take_left_out() }).to_string(),
    };
    let frame = Frame::data(Bytes::from(text + "\n"));
    Some((Ok(frame), (view, ticks)))
}

fn line(event: &Event, limit: usize) -> String {
    let data: Data<'_> = serde_json::from_slice(&event.data).unwrap_or_default();
    let payload = event.payload.as_bytes();
    let shown = Shown {
        r#type: "event",
        id: event.id.as_str(),
        project: event.project.as_str(),
        name: event.name.as_deref(),
        names: data.events,
        channels: event.channels.iter().map(Channel::as_str).collect(),
        roles: event.roles.iter().map(Role::as_str).collect(),
        user: event.user.as_ref().map(UserId::as_str),
        roles_changed: event.roles_changed.as_ref().map(ToString::to_string),
        timestamp: data.timestamp,
        bytes: payload.len(),
        large: payload.len() > limit,
        payload: if payload.len() <= limit { serde_json::from_slice(payload).ok() } else { None },
    };
    // Texts, numbers and JSON that was read: nothing in it can fail.
    serde_json::to_string(&shown).unwrap_or_default()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use realtime_core::event::Spellings;
    use realtime_core::query::Payload;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_large_payload_is_left_to_whoever_asks_for_it() {
        let data = br#"{"events":["x.y"],"timestamp":"now","payload":{"a":1}}"#;
        let event = Event {
            id: "e".into(),
            project: "p".into(),
            channels: vec![Channel::new("files")],
            roles: vec![],
            name: Some("x.y".into()),
            user: None,
            data: Bytes::from_static(data),
            payload: Payload::new(Bytes::from_static(br#"{"a":1}"#)),
            roles_changed: None,
            spellings: Spellings::default(),
        };
        let read = |limit| serde_json::from_str::<Value>(&line(&event, limit)).unwrap();
        let whole = read(7);
        assert_eq!(
            (&whole["payload"]["a"], &whole["timestamp"], &whole["names"][0]),
            (&json!(1), &json!("now"), &json!("x.y"))
        );
        assert_eq!((&read(6)["payload"], &read(6)["bytes"]), (&Value::Null, &json!(7)));
        assert_eq!((&whole["large"], &read(6)["large"]), (&json!(false), &json!(true)));
    }
}
