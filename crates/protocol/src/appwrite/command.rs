//! What a client says on an open connection: JSON text to [`Command`].

use std::borrow::Cow;

use realtime_core::channel::Channel;
use realtime_core::command::{Command, Malformed, Subscribe};
use realtime_core::id::{EventId, SubscriptionId};
use realtime_core::identity::Credential;
use realtime_core::query::{Filter, Limits, QueryError};
use realtime_core::refusal::Refusal;
use realtime_core::secret::Secret;
use serde_json::{Map, Value};

use super::presence;

/// The longest session token in characters (Appwrite `authentication`).
const MAX_SESSION: usize = 2_048;
/// The longest JSON Web Token in characters. Not Appwrite's, which takes none in a message; room for a key id and for
/// claims with many teams.
const MAX_JWT: usize = 8_192;
/// The longest id that a client may choose for a subscription (Appwrite `UID`).
const MAX_SUBSCRIPTION_ID: usize = 36;
/// Appwrite's placeholder for "make one up", which `subscribe` takes as an id of its own.
const UNIQUE: &str = "unique()";

const FORMAT: &str = "Message format is not valid.";
const TYPE: &str = "Message type is not valid.";
const ITEMS: &str = "items: Payload is not valid.";

/// Reads one message. Faults are found in Appwrite's order and told in its words; keys that mean nothing are ignored.
pub(super) fn decode(message: &[u8], limits: &Limits) -> Result<Command, Malformed> {
    let envelope = match serde_json::from_slice(message) {
        Ok(Value::Object(envelope)) => envelope,
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) | Err(_) => {
            return Err(invalid(FORMAT));
        }
    };
    if !envelope.contains_key("type") && !envelope.contains_key("data") {
        return Err(invalid(FORMAT));
    }
    // To PHP a null is as good as nothing.
    let data = envelope.get("data").filter(|data| !data.is_null());
    match envelope.get("type").and_then(Value::as_str) {
        Some("ping") => Ok(Command::Ping),
        Some("authentication") => authenticate(data).map(Command::Authenticate),
        Some("subscribe") => subscribe(data, limits).map(Command::Subscribe),
        Some("unsubscribe") => unsubscribe(data).map(Command::Unsubscribe),
        Some("presence") => presence::decode(data).map(Command::Present),
        Some(_) | None => Err(invalid(TYPE)),
    }
}

fn invalid(text: impl Into<Cow<'static, str>>) -> Malformed {
    Malformed(Refusal::invalid(text))
}

fn authenticate(data: Option<&Value>) -> Result<Credential, Malformed> {
    let field = |name| data.and_then(|data| data.get(name)).filter(|value| !value.is_null());
    match (field("session"), field("jwt")) {
        (Some(session), _) => secret("session", session, MAX_SESSION).map(Credential::Session),
        (None, Some(jwt)) => secret("jwt", jwt, MAX_JWT).map(Credential::Jwt),
        (None, None) => Err(invalid("Payload is not valid. Session is required")),
    }
}

fn secret(name: &str, value: &Value, longest: usize) -> Result<Secret, Malformed> {
    let text = value.as_str().filter(|text| !text.is_empty() && text.chars().count() <= longest);
    text.map(Secret::new).ok_or_else(|| {
        invalid(format!(
            "{name}: Value must be a valid string and at least 1 chars and no longer than {longest} chars"
        ))
    })
}

fn subscribe(data: Option<&Value>, limits: &Limits) -> Result<Vec<Subscribe>, Malformed> {
    let items = items(data)?.into_iter().map(Item::check).collect::<Result<Vec<_>, _>>()?;
    items.iter().map(|item| item.compile(limits)).collect()
}

/// One entry of a subscribe command that is well-formed, its queries not yet read.
struct Item<'a> {
    id: Option<&'a str>,
    channels: Vec<&'a str>,
    queries: Vec<&'a Value>,
    /// Not Appwrite's: the last event that the client saw.
    since: Option<&'a str>,
}

impl<'a> Item<'a> {
    fn check(value: &'a Value) -> Result<Self, Malformed> {
        let empty = Map::new();
        let fields = match value {
            Value::Object(fields) => fields,
            // A list has none of the keys that are looked for.
            Value::Array(_) => &empty,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err(invalid("items: Each subscribe payload must be an object."));
            }
        };
        if fields.get("subscriptionId").is_some_and(|id| !id.as_str().is_some_and(is_subscription_id)) {
            return Err(invalid("items: subscriptionId is not a valid id."));
        }
        if !fields.contains_key("channels") {
            return Err(invalid("items: channels is not present in payload."));
        }
        let channels = value.get("channels").and_then(list);
        let channels = channels.ok_or_else(|| invalid("items: channels is not a valid array."))?;
        let channels = channels.into_iter().map(Value::as_str).collect::<Option<Vec<_>>>();
        let channels = channels.ok_or_else(|| invalid("items: channels must contain only strings."))?;
        let queries = value.get("queries").map_or_else(|| Some(Vec::new()), list);
        let queries = queries.ok_or_else(|| invalid("items: queries is not a valid array."))?;
        let id = value.get("subscriptionId").and_then(Value::as_str);
        // Whatever is no event's id is ignored, as every key that Appwrite does not know.
        let since = value.get("since").and_then(Value::as_str).filter(|since| !since.is_empty());
        Ok(Self { id, channels, queries, since })
    }

    fn compile(&self, limits: &Limits) -> Result<Subscribe, Malformed> {
        let queries = self.queries.iter().map(|query| query.as_str()).collect::<Option<Vec<&str>>>();
        let queries =
            queries.ok_or_else(|| invalid("Invalid query: Each query must be a string of JSON."))?;
        let filter = Filter::parse(&queries, limits).map_err(|error| {
            // The one text that Appwrite does not put its prefix before.
            if error == QueryError::Select {
                invalid(error.to_string())
            } else {
                invalid(format!("Invalid query: {error}"))
            }
        })?;
        Ok(Subscribe {
            since: self.since.map(EventId::new),
            id: self.id.map(SubscriptionId::new),
            channels: self.channels.iter().map(Channel::new).collect(),
            filter,
        })
    }
}

fn unsubscribe(data: Option<&Value>) -> Result<Vec<SubscriptionId>, Malformed> {
    let id = |item: &Value| {
        let id = item.get("subscriptionId")?.as_str().filter(|id| !id.is_empty())?;
        Some(SubscriptionId::new(id))
    };
    let ids = items(data)?.into_iter().map(id).collect::<Option<Vec<_>>>();
    ids.ok_or_else(|| invalid("items: Each unsubscribe payload must include a non-empty subscriptionId."))
}

fn items(data: Option<&Value>) -> Result<Vec<&Value>, Malformed> {
    let data = data.ok_or_else(|| invalid("Payload is not valid. Items is required"))?;
    list(data).ok_or_else(|| invalid(ITEMS))
}

/// A list, or an object that PHP takes for one: its keys are 0, 1, 2… in order, or there are none.
fn list(value: &Value) -> Option<Vec<&Value>> {
    match value {
        Value::Array(members) => Some(members.iter().collect()),
        Value::Object(members) => members
            .iter()
            .enumerate()
            .map(|(place, (key, member))| (*key == place.to_string()).then_some(member))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn is_subscription_id(text: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text == UNIQUE
        || (text.len() <= MAX_SUBSCRIPTION_ID
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(is_name))
}

#[cfg(test)]
mod tests;
