//! The message in which an event travels on the bus: one JSON object, as Appwrite publishes it on Redis.

use std::borrow::Cow;

use bytes::Bytes;
use realtime_core::channel::Channel;
use realtime_core::event::{Event, Spellings};
use realtime_core::id::{EventId, ProjectId, UserId};
use realtime_core::query::Payload;
use realtime_core::role::Role;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::permission::shortened;
use super::roles_changed::holder_of;

/// The largest message that is decoded. Appwrite's documents stay far below; a larger one is a fault of the publisher.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// The longest `data.id` that is taken as the event's id, so that a client can send it back in a header.
pub const MAX_ID_BYTES: usize = 64;

/// Bytes of the hash that stands in for an id: enough that two messages never share one.
const HASH_BYTES: usize = 16;

/// Why a bus message is not an event. It is to be counted and dropped; the next one may be fine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Larger than [`MAX_MESSAGE_BYTES`].
    #[error("the message has {bytes} bytes; at most {MAX_MESSAGE_BYTES} are taken")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Not a JSON object with each key at most once.
    #[error("{part} is not a JSON object with each key once: {reason}")]
    NotAnObject {
        /// `the message` or `data`.
        part: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// A field that must be there is not.
    #[error("`{field}` is missing")]
    Missing {
        /// Its path.
        field: &'static str,
    },
    /// A field is something else than it should be.
    #[error("`{field}` must be {expected}, and is `{found}`")]
    WrongType {
        /// Its path.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
        /// The beginning of what it is.
        found: String,
    },
    /// A list that must not be empty is.
    #[error("`{field}` is empty, so the event would reach nobody")]
    Empty {
        /// Its path.
        field: &'static str,
    },
}

/// The text of a JSON object, known to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object(Bytes);

impl Object {
    /// Takes a value as it stands in `whole`, sharing its bytes. An empty list becomes an empty object: PHP has one
    /// spelling for both, and clients with static types expect a map. `None` for anything else.
    pub(super) fn share(whole: &Bytes, value: &RawValue) -> Option<Self> {
        if value.get().starts_with('{') {
            // A borrowed raw value is a slice of what was parsed, which `slice_ref` requires.
            Some(Self(whole.slice_ref(value.get().as_bytes())))
        } else if is_empty_list(value) {
            Some(Self::empty())
        } else {
            None
        }
    }

    /// A constant object; `{}` if it is none.
    pub fn of(text: &'static str) -> Self {
        match serde_json::from_str::<serde_json::Map<_, _>>(text) {
            Ok(_) => Self(Bytes::from_static(text.as_bytes())),
            Err(_) => Self::empty(),
        }
    }

    /// The text of an object; `{}` if it is none.
    pub fn of_text(text: &str) -> Self {
        match serde_json::from_str::<serde_json::Map<_, _>>(text) {
            Ok(_) => Self(Bytes::copy_from_slice(text.as_bytes())),
            Err(_) => Self::empty(),
        }
    }

    /// An object with one number in it.
    pub fn of_number(name: &str, number: u64) -> Self {
        Self(Bytes::from(serde_json::json!({ name: number }).to_string()))
    }

    /// `{}`.
    pub fn empty() -> Self {
        Self(Bytes::from_static(b"{}"))
    }

    /// The text.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("{}")
    }
}

/// An event ready for the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Whose connections it is for.
    pub project: ProjectId,
    /// Who may see it.
    pub roles: Vec<Role>,
    /// Whether the roles of `user` are different from now on.
    pub permissions_changed: bool,
    /// The user it is about.
    pub user: Option<UserId>,
    /// Its names, the concrete one first.
    pub events: Vec<String>,
    /// Its channels.
    pub channels: Vec<String>,
    /// When it was published: UTC, ISO 8601 with milliseconds and `+00:00`.
    pub timestamp: String,
    /// What it is about.
    pub payload: Object,
    /// Its id, the same for every receiver.
    pub id: EventId,
}

impl Envelope {
    /// The message, keys in Appwrite's order; the payload byte for byte.
    pub fn encode(&self) -> Bytes {
        let roles: Vec<&str> = self.roles.iter().map(Role::as_str).collect();
        let mut out = Vec::with_capacity(512 + self.payload.as_bytes().len());
        put(&mut out, "{\"project\":", self.project.as_str());
        put(&mut out, ",\"roles\":", &roles);
        put(&mut out, ",\"permissionsChanged\":", &self.permissions_changed);
        put(&mut out, ",\"userId\":", &self.user.as_ref().map(UserId::as_str));
        put(&mut out, ",\"data\":{\"events\":", &self.events);
        put(&mut out, ",\"channels\":", &self.channels);
        put(&mut out, ",\"timestamp\":", &self.timestamp);
        out.extend_from_slice(b",\"payload\":");
        out.extend_from_slice(self.payload.as_bytes());
        put(&mut out, ",\"id\":", self.id.as_str());
        out.extend_from_slice(b"}}");
        Bytes::from(out)
    }
}

fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, before: &str, value: &T) {
    out.extend_from_slice(before.as_bytes());
    #[expect(
        clippy::expect_used,
        reason = "strings, booleans and lists of them always have JSON, and a Vec takes it"
    )]
    serde_json::to_writer(out, value).expect("plain values have JSON");
}

/// Reads a bus message. `data` is kept byte for byte and shared with the message, unknown keys included; only a payload
/// written as an empty list is replaced by an empty object.
pub fn decode(message: &Bytes) -> Result<Event, EnvelopeError> {
    if message.len() > MAX_MESSAGE_BYTES {
        return Err(EnvelopeError::TooLarge { bytes: message.len() });
    }
    // Looked at once: a parser of bytes would do so again for each part that it meets.
    let text = std::str::from_utf8(message)
        .map_err(|error| EnvelopeError::NotAnObject { part: "the message", reason: error.to_string() })?;
    let wire: WireEnvelope<'_> = object(text, "the message")?;
    let project: Text<'_> = required(wire.project, "project", "a string")?;
    let roles: Vec<Text<'_>> = list(wire.roles, "roles")?;
    let permissions_changed =
        optional::<bool>(wire.permissions_changed, "permissionsChanged", "true or false")?
            .unwrap_or_default();
    let user: Option<Text<'_>> = optional(wire.user_id, "userId", "a string or null")?;
    let user = user.map(UserId::new);

    let raw_data = wire.data.ok_or(EnvelopeError::Missing { field: "data" })?;
    let data: WireData<'_> = object(raw_data.get(), "data")?;
    let channels: Vec<Text<'_>> = list(data.channels, "data.channels")?;
    let events: Option<Vec<Text<'_>>> = optional(data.events, "data.events", "a list of strings")?;
    optional::<Text<'_>>(data.timestamp, "data.timestamp", "a string")?;
    let raw_payload = data.payload.ok_or(EnvelopeError::Missing { field: "data.payload" })?;
    let payload = Object::share(message, raw_payload)
        .ok_or_else(|| wrong_type(raw_payload, "data.payload", "an object"))?;
    let id = match data.id.and_then(|id| serde_json::from_str::<Text<'_>>(id.get()).ok()) {
        Some(id) if is_event_id(id.as_ref()) => EventId::new(id),
        _ => hashed_id(message),
    };

    let (data, payload) = if is_empty_list(raw_payload) {
        with_empty_payload(raw_data.get(), raw_payload.get())
    } else {
        (message.slice_ref(raw_data.get().as_bytes()), payload.0)
    };
    let events = events.unwrap_or_default();
    let roles_changed = holder_of(permissions_changed, user.as_ref(), &events, payload.as_ref());
    Ok(Event {
        id,
        project: ProjectId::new(project),
        channels: channels.iter().map(Channel::new).collect(),
        roles: roles.iter().map(Role::new).collect(),
        name: events.first().map(|name| name.as_ref().into()),
        user,
        data,
        payload: Payload::new(payload),
        roles_changed,
        spellings: Spellings::default(),
    })
}

/// A string, copied only if it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// What stands in an envelope. Keys that Appwrite may add are passed over.
#[derive(Deserialize)]
struct WireEnvelope<'a> {
    #[serde(borrow)]
    project: Option<&'a RawValue>,
    #[serde(borrow)]
    roles: Option<&'a RawValue>,
    #[serde(borrow, rename = "permissionsChanged")]
    permissions_changed: Option<&'a RawValue>,
    #[serde(borrow, rename = "userId")]
    user_id: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireData<'a> {
    #[serde(borrow)]
    events: Option<&'a RawValue>,
    #[serde(borrow)]
    channels: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

fn object<'a, T: Deserialize<'a>>(text: &'a str, part: &'static str) -> Result<T, EnvelopeError> {
    let fault = |reason: String| EnvelopeError::NotAnObject { part, reason };
    // A derived struct would also take a list of its fields.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(fault("it does not begin with a brace".to_owned()));
    }
    serde_json::from_str(text).map_err(|error| fault(error.to_string()))
}

fn required<'a, T: Deserialize<'a>>(
    value: Option<&'a RawValue>,
    field: &'static str,
    expected: &'static str,
) -> Result<T, EnvelopeError> {
    optional(value, field, expected)?.ok_or(EnvelopeError::Missing { field })
}

fn optional<'a, T: Deserialize<'a>>(
    value: Option<&'a RawValue>,
    field: &'static str,
    expected: &'static str,
) -> Result<Option<T>, EnvelopeError> {
    value
        .map(|value| serde_json::from_str(value.get()).map_err(|_| wrong_type(value, field, expected)))
        .transpose()
}

fn list<'a>(value: Option<&'a RawValue>, field: &'static str) -> Result<Vec<Text<'a>>, EnvelopeError> {
    let list: Vec<Text<'a>> = required(value, field, "a list of strings")?;
    if list.is_empty() { Err(EnvelopeError::Empty { field }) } else { Ok(list) }
}

fn wrong_type(value: &RawValue, field: &'static str, expected: &'static str) -> EnvelopeError {
    EnvelopeError::WrongType { field, expected, found: shortened(value.get()) }
}

fn is_empty_list(value: &RawValue) -> bool {
    value.get().strip_prefix('[').is_some_and(|rest| rest.trim_start() == "]")
}

/// Replaces the empty list that stands for an empty payload, and nothing else of `data`.
fn with_empty_payload(data: &str, payload: &str) -> (Bytes, Bytes) {
    let start = payload.as_ptr().addr().saturating_sub(data.as_ptr().addr()).min(data.len());
    let end = (start + payload.len()).min(data.len());
    let (before, _) = data.as_bytes().split_at(start);
    let (_, after) = data.as_bytes().split_at(end);
    let rebuilt = Bytes::from([before, b"{}", after].concat());
    let payload = rebuilt.slice(start..start + 2);
    (rebuilt, payload)
}

/// Clients send an id back in a header, so it must be able to stand in one.
fn is_event_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The same for every node that reads the message.
fn hashed_id(message: &[u8]) -> EventId {
    let digest = Sha256::digest(message);
    EventId::new(digest.iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect::<String>())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
