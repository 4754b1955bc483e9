//! The messages of the wire: what a client says, and what it understands of a server.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::credential::Credential;
use crate::event::Event;
use crate::subscription::SubscriptionId;

/// What a server says.
#[derive(Debug)]
pub enum Message {
    /// The connection is open.
    Connected {
        /// The id of the user, unless it is a guest.
        user: Option<String>,
        /// Slot and id of the subscriptions made in the URL.
        slots: Vec<(usize, String)>,
    },
    /// Something happened.
    Event {
        /// What.
        event: Event,
        /// Ids of this connection's subscriptions that it is for; servers before 2025 do not say.
        subscriptions: Vec<String>,
    },
    /// A request is answered.
    Response {
        /// The type of the request.
        to: String,
        /// For each subscription of the request.
        subscriptions: Vec<Value>,
        /// The presence, if it was about that.
        presence: Option<Value>,
    },
    /// The server may have missed events.
    Gap {
        /// Its reason.
        reason: String,
    },
    /// A ping is answered.
    Pong,
    /// Something is wrong.
    Error {
        /// What sort.
        code: i64,
        /// In words.
        message: String,
    },
    /// A message of a type that this client does not know; it is newer.
    Unknown,
}

/// A server's text that is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server said something that is no message: {0}")]
pub struct Unreadable(String);

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct EventData<'a> {
    id: Option<String>,
    event: Option<String>,
    events: Option<Vec<String>>,
    channels: Option<Vec<String>>,
    timestamp: Option<String>,
    subscriptions: Option<Vec<String>>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl Message {
    /// Reads a text message.
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        let unreadable = |error: serde_json::Error| Unreadable(error.to_string());
        let envelope: Envelope<'_> = serde_json::from_str(text).map_err(unreadable)?;
        let data = envelope.data.map_or("null", RawValue::get);
        if envelope.r#type == "event" {
            return Ok(read_event(text, serde_json::from_str(data).map_err(unreadable)?));
        }
        let data: Value = serde_json::from_str(data).map_err(unreadable)?;
        Ok(match envelope.r#type.as_ref() {
            "connected" => Self::Connected {
                user: data.pointer("/user/$id").and_then(Value::as_str).map(str::to_owned),
                slots: slots(data.get("subscriptions")),
            },
            "response" => Self::Response {
                to: data.get("to").and_then(Value::as_str).unwrap_or_default().to_owned(),
                subscriptions: match data.get("subscriptions") {
                    Some(Value::Array(items)) => items.clone(),
                    Some(_) | None => Vec::new(),
                },
                presence: data.get("presence").cloned(),
            },
            "gap" => Self::Gap {
                reason: data.get("reason").and_then(Value::as_str).unwrap_or_default().to_owned(),
            },
            "pong" => Self::Pong,
            "error" => Self::Error {
                code: data.get("code").and_then(Value::as_i64).unwrap_or_default(),
                message: data.get("message").and_then(Value::as_str).unwrap_or_default().to_owned(),
            },
            _ => Self::Unknown,
        })
    }
}

fn read_event(text: &str, data: EventData<'_>) -> Message {
    let events = data.events.unwrap_or_default();
    let event = Event {
        id: data.id.map(Into::into),
        event: data.event.or_else(|| events.first().cloned()),
        events,
        channels: data.channels.unwrap_or_default(),
        timestamp: data.timestamp,
        payload: data.payload.to_owned(),
        gap: None,
        message: text.into(),
    };
    Message::Event { event, subscriptions: data.subscriptions.unwrap_or_default() }
}

/// `{"0":"id"}`, or a list when the slots happen to be 0, 1, 2, …
fn slots(subscriptions: Option<&Value>) -> Vec<(usize, String)> {
    let slot = |slot: usize, id: &Value| Some((slot, id.as_str()?.to_owned()));
    match subscriptions {
        Some(Value::Array(ids)) => {
            ids.iter().enumerate().filter_map(|(number, id)| slot(number, id)).collect()
        }
        Some(Value::Object(ids)) => {
            ids.iter().filter_map(|(number, id)| slot(number.parse().ok()?, id)).collect()
        }
        Some(_) | None => Vec::new(),
    }
}

/// `{"type":"ping"}`
pub(crate) fn ping() -> String {
    r#"{"type":"ping"}"#.to_owned()
}

/// `{"type":"subscribe","data":[…]}`
pub(crate) fn subscribe(items: &[Value]) -> String {
    json!({ "type": "subscribe", "data": items }).to_string()
}

/// `{"type":"unsubscribe","data":[{"subscriptionId":…}]}`
pub(crate) fn unsubscribe(ids: &[SubscriptionId]) -> String {
    let items: Vec<Value> = ids.iter().map(|id| json!({ "subscriptionId": id.to_string() })).collect();
    json!({ "type": "unsubscribe", "data": items }).to_string()
}

/// `{"type":"authentication","data":{"session":…}}`; Appwrite's own server knows no `jwt` there.
pub(crate) fn authentication(credential: &Credential) -> String {
    let (_, key) = credential.names();
    let mut data = Map::new();
    data.insert(key.to_owned(), credential.token().into());
    json!({ "type": "authentication", "data": data }).to_string()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn an_event_may_lack_all_but_its_payload() {
        let Message::Event { event, subscriptions } =
            Message::read(r#"{"data":{"payload":{"a": 1}},"type":"event","x":0}"#).unwrap()
        else {
            panic!("it is an event")
        };
        assert_eq!(event.payload.get(), r#"{"a": 1}"#);
        assert!(event.id.is_none() && event.events.is_empty() && subscriptions.is_empty());
    }

    #[test]
    fn the_most_specific_name_is_the_first_unless_the_server_says_it() {
        let name = |text: &str| {
            let Message::Event { event, .. } = Message::read(text).unwrap() else { panic!("{text}") };
            event.event
        };
        assert_eq!(
            name(r#"{"type":"event","data":{"events":["a.b","a.*"],"payload":[]}}"#),
            Some("a.b".into())
        );
        let said = r#"{"type":"event","data":{"event":"c","events":["a.b"],"payload":null}}"#;
        assert_eq!(name(said), Some("c".into()));
    }

    #[test]
    fn slots_come_as_an_object_a_list_or_not_at_all() {
        let slots = |subscriptions: &str| {
            let text = format!(r#"{{"type":"connected","data":{{"subscriptions":{subscriptions}}}}}"#);
            let Message::Connected { slots, .. } = Message::read(&text).unwrap() else { panic!("{text}") };
            slots
        };
        assert_eq!(slots(r#"{"1":"b","x":"no","0":7}"#), [(1, "b".to_owned())]);
        assert_eq!(slots(r#"["a","b"]"#), [(0, "a".to_owned()), (1, "b".to_owned())]);
        assert!(slots("[]").is_empty() && slots("null").is_empty() && slots("7").is_empty());
    }

    #[test]
    fn what_is_no_message_is_unreadable_and_what_is_newer_is_unknown() {
        for text in ["", "<html>", "[]", "{}", r#"{"type":7}"#, r#"{"type":"event"}"#, "{\"type\":\"pong\""] {
            assert!(Message::read(text).is_err(), "{text}");
        }
        for text in [r#"{"type":"hologram"}"#, r#"{"type":"","data":[]}"#] {
            assert!(matches!(Message::read(text), Ok(Message::Unknown)), "{text}");
        }
    }
}
