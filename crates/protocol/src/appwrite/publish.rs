//! The body of `POST /v1/realtime/events`: what a backend says happened, one event or many.
//!
//! An item either names `channels` and `roles` itself, or only an `event` and its `payload`, and the rest is derived
//! (see [`super::system_event`]). Reading a body and making envelopes of it are two steps, so that all of a batch is
//! known to be well-formed before any of it is published.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::hash::Hash;

use bytes::Bytes;
use realtime_core::id::{EventId, UserId};
use realtime_core::role::Role;
use serde::Deserialize;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::envelope::{Envelope, Object};
use super::permission::{self, PermissionError, shortened};
use super::system_event::{self, Context, DeriveError, Outcome, SystemEvent};

/// The most events in one body.
pub const MAX_EVENTS: usize = 1_000;

/// The largest event, in bytes of its JSON.
pub const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// The most entries in any list of an event: channels, roles, permissions.
pub const MAX_LIST: usize = 1_000;

/// The longest channel or event name given explicitly, in bytes.
pub const MAX_NAME_BYTES: usize = 1_024;

/// Why a body was not accepted. Nothing of it is published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The body as a whole cannot be read.
    #[error("the body must be an event object, a list of them, or {{\"events\": [...]}}: {reason}")]
    Body {
        /// What is wrong with it.
        reason: String,
    },
    /// A batch without events.
    #[error("the batch is empty; send at least one event")]
    Empty,
    /// More than [`MAX_EVENTS`].
    #[error("the batch has {events} events; send at most {MAX_EVENTS} at once")]
    TooMany {
        /// How many.
        events: usize,
    },
    /// One event is wrong.
    #[error("{}: {problem}", place(*.item, .field))]
    Item {
        /// Its place in the batch, from 0; 0 for a single event.
        item: usize,
        /// The field, empty if it is the event as a whole.
        field: &'static str,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// What is wrong with one event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Larger than [`MAX_EVENT_BYTES`].
    #[error(
        "it has {bytes} bytes; at most {MAX_EVENT_BYTES} are taken, so send a reference instead of the whole"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not an object, a field that is not known, or one that stands twice.
    #[error("{reason}")]
    Malformed {
        /// What the parser says.
        reason: String,
    },
    /// Not of the right type.
    #[error("must be {expected}, and is `{found}`")]
    WrongType {
        /// What it should be.
        expected: &'static str,
        /// The beginning of what it is.
        found: String,
    },
    /// A list with too much in it.
    #[error("has {entries} entries; at most {MAX_LIST} are taken")]
    Count {
        /// How many it has.
        entries: usize,
    },
    /// A name that is empty or too long.
    #[error("`{name}` must have 1 to {MAX_NAME_BYTES} bytes and no control characters")]
    Name {
        /// The name.
        name: String,
    },
    /// Channels without roles.
    #[error(
        "say who may see it, for instance [\"user:ID\"] or [\"any\"]; or leave `channels` out and give an `event`"
    )]
    NoRoles,
    /// Roles without channels.
    #[error("say where it is heard, for instance [\"documents\"]; or leave `roles` out and give an `event`")]
    NoChannels,
    /// Neither channels and roles nor an event.
    #[error("give `event` and `payload` to have the rest derived, or `channels` and `roles`")]
    Nothing,
    /// A field of the other way to publish.
    #[error("has no meaning {with}; leave one of them out")]
    Misplaced {
        /// What it does not go with.
        with: &'static str,
    },
    /// Another project than the key's.
    #[error("this key publishes for project `{project}` alone; leave the field out")]
    ForeignProject {
        /// The key's project.
        project: String,
    },
    /// A role, permission or id out of form.
    #[error(transparent)]
    Permission(#[from] PermissionError),
    /// The rest could not be derived.
    #[error(transparent)]
    Derive(#[from] DeriveError),
}

fn place(item: usize, field: &str) -> String {
    let dot = if field.is_empty() { "" } else { "." };
    format!("events[{item}]{dot}{field}")
}

/// What the server adds to an event: the same for every copy of it.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    /// When: UTC, ISO 8601 with milliseconds and `+00:00`.
    pub timestamp: &'a str,
    /// Its id.
    pub id: &'a EventId,
}

/// One event of a body, well-formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Its place in the batch, from 0.
    item: usize,
    project: Option<String>,
    payload: Object,
    user: Option<UserId>,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Explicit {
        channels: Vec<String>,
        roles: Vec<Role>,
        events: Vec<String>,
        permissions_changed: bool,
    },
    Derived {
        name: String,
        params: BTreeMap<String, String>,
        permissions: Option<Vec<String>>,
        resource_permissions: Option<Vec<String>>,
        own_security: Option<bool>,
    },
}

/// Reads a body. Payloads are kept byte for byte and share the body's bytes.
///
/// ```
/// # use bytes::Bytes;
/// # use realtime_core::id::{EventId, ProjectId};
/// # use realtime_protocol::appwrite::publish::{self, Stamp};
/// # use realtime_protocol::appwrite::system_event::{Context, Outcome};
/// let body = Bytes::from_static(br#"{
///     "event": "databases.main.collections.posts.documents.p1.update",
///     "payload": {"$id": "p1", "$permissions": ["read(\"user:U\")"]}
/// }"#);
/// let publications = publish::parse(&body)?;
///
/// let (project, id) = (ProjectId::from("blog"), EventId::from("e1"));
/// let context = Context { project: &project, team: None, legacy_channels: true };
/// let stamp = Stamp { timestamp: "2026-08-21T10:15:30.123+00:00", id: &id };
/// for publication in &publications {
///     let Outcome::Published(envelopes) = publication.envelopes(&context, &stamp)? else { continue };
///     assert_eq!(envelopes[0].roles[0].as_str(), "user:U");
///     assert!(envelopes[0].channels.iter().any(|channel| channel == "collections.posts.documents"));
/// }
/// # Ok::<(), publish::PublishError>(())
/// ```
pub fn parse(body: &Bytes) -> Result<Vec<Publication>, PublishError> {
    let fault = |reason: String| PublishError::Body { reason };
    let whole: &RawValue = serde_json::from_slice(body).map_err(|error| fault(error.to_string()))?;
    let items = match whole.get().as_bytes().first() {
        Some(b'[') => items(whole)?,
        Some(b'{') => match serde_json::from_str::<Batch<'_>>(whole.get()) {
            Ok(Batch { events }) if events.get().starts_with('[') && !is_list_of_names(events) => {
                items(events)?
            }
            // Not a batch, so it must be an event: `events` may also be an event's list of names.
            _ => vec![whole],
        },
        _ => return Err(fault(format!("it is `{}`", shortened(whole.get())))),
    };
    if items.is_empty() {
        return Err(PublishError::Empty);
    }
    items.into_iter().enumerate().map(|(item, text)| Publication::parse(body, item, text)).collect()
}

impl Publication {
    /// Makes the envelopes to publish: one, or two for what the console hears of too. All carry the same id.
    ///
    /// They are never for another project than the context's, except those that Appwrite itself gives to the console
    /// project, and these are for the team that owns the context's project.
    pub fn envelopes(
        &self,
        context: &Context<'_>,
        stamp: &Stamp<'_>,
    ) -> Result<Outcome<Vec<Envelope>>, PublishError> {
        if let Some(project) = &self.project
            && project != context.project.as_str()
        {
            let project = context.project.to_string();
            return Err(wrong(self.item, "project", Problem::ForeignProject { project }));
        }
        let envelope =
            |project, roles, channels: &[String], events: &[String], permissions_changed, user| Envelope {
                project,
                roles,
                permissions_changed,
                user,
                events: events.to_vec(),
                channels: channels.to_vec(),
                timestamp: stamp.timestamp.to_owned(),
                payload: self.payload.clone(),
                id: stamp.id.clone(),
            };
        match &self.what {
            What::Explicit { channels, roles, events, permissions_changed } => {
                let (project, roles) = (context.project.clone(), roles.clone());
                Ok(Outcome::Published(vec![envelope(
                    project,
                    roles,
                    channels,
                    events,
                    *permissions_changed,
                    self.user.clone(),
                )]))
            }
            What::Derived { name, params, permissions, resource_permissions, own_security } => {
                let event = SystemEvent {
                    name,
                    params,
                    payload: self.payload.as_str(),
                    permissions: permissions.as_deref(),
                    resource_permissions: resource_permissions.as_deref(),
                    own_security: *own_security,
                    user: self.user.as_ref(),
                };
                let outcome = system_event::derive(&event, context)
                    .map_err(|error| wrong(self.item, field_of(&error), Problem::Derive(error)))?;
                Ok(match outcome {
                    Outcome::Published(derived) => Outcome::Published(
                        derived
                            .audiences
                            .into_iter()
                            .map(|audience| {
                                envelope(
                                    audience.project,
                                    audience.roles,
                                    &derived.channels,
                                    &derived.events,
                                    derived.permissions_changed,
                                    derived.user.clone(),
                                )
                            })
                            .collect(),
                    ),
                    Outcome::Unpublished(reason) => Outcome::Unpublished(reason),
                })
            }
        }
    }

    fn parse(body: &Bytes, item: usize, text: &RawValue) -> Result<Self, PublishError> {
        let bytes = text.get().len();
        if bytes > MAX_EVENT_BYTES {
            return Err(wrong(item, "", Problem::TooLarge { bytes }));
        }
        let wire: WireItem<'_> = if text.get().starts_with('{') {
            serde_json::from_str(text.get())
                .map_err(|error| wrong(item, "", Problem::Malformed { reason: error.to_string() }))?
        } else {
            return Err(wrong(item, "", wrong_type(text, "an object")));
        };
        let fields = Fields { item };
        let payload = match wire.payload {
            None => Object::empty(),
            Some(value) => Object::share(body, value)
                .ok_or_else(|| wrong(item, "payload", wrong_type(value, "a JSON object")))?,
        };
        let user: Option<String> = fields.read(wire.user_id, "userId", "a string")?;
        let user = user.map(|user| permission::checked_id(&user).map(UserId::new)).transpose();
        let user = user.map_err(|error| wrong(item, "userId", error.into()))?;
        let explicit = wire.channels.is_some() || wire.roles.is_some();
        Ok(Self {
            item,
            project: fields.read(wire.project, "project", "a string")?,
            payload,
            what: if explicit { fields.explicit(&wire, user.is_some())? } else { fields.derived(&wire)? },
            user,
        })
    }
}

/// The fields of one event, checked for their presence only.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "an event object")]
struct WireItem<'a> {
    #[serde(borrow)]
    project: Option<&'a RawValue>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    events: Option<&'a RawValue>,
    #[serde(borrow)]
    channels: Option<&'a RawValue>,
    #[serde(borrow)]
    roles: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    permissions: Option<&'a RawValue>,
    #[serde(borrow)]
    resource_permissions: Option<&'a RawValue>,
    #[serde(borrow, alias = "rowSecurity", alias = "fileSecurity")]
    document_security: Option<&'a RawValue>,
    #[serde(borrow)]
    user_id: Option<&'a RawValue>,
    #[serde(borrow)]
    permissions_changed: Option<&'a RawValue>,
}

/// Reads the fields of the event with this number.
struct Fields {
    item: usize,
}

impl Fields {
    fn explicit(&self, wire: &WireItem<'_>, has_user: bool) -> Result<What, PublishError> {
        for (value, field) in [
            (wire.params, "params"),
            (wire.permissions, "permissions"),
            (wire.resource_permissions, "resourcePermissions"),
            (wire.document_security, "documentSecurity"),
        ] {
            if value.is_some() {
                return Err(
                    self.wrong(field, Problem::Misplaced { with: "beside explicit `channels` and `roles`" })
                );
            }
        }
        let channels = self.names(wire.channels, "channels")?;
        let channels = channels.filter(|list| !list.is_empty());
        let channels = channels.ok_or_else(|| self.wrong("channels", Problem::NoChannels))?;
        let roles = self.list(wire.roles, "roles")?;
        let roles =
            roles.filter(|list| !list.is_empty()).ok_or_else(|| self.wrong("roles", Problem::NoRoles))?;
        let roles = roles.iter().map(|role| permission::parse_role(role)).collect::<Result<_, _>>();
        let roles: Vec<Role> = roles.map_err(|error| self.wrong("roles", error.into()))?;
        let events = match (self.name(wire)?, self.names(wire.events, "events")?) {
            (Some(_), Some(_)) => {
                return Err(self.wrong("events", Problem::Misplaced { with: "beside `event`" }));
            }
            (Some(event), None) => vec![event],
            (None, events) => events.unwrap_or_default(),
        };
        let permissions_changed =
            self.read(wire.permissions_changed, "permissionsChanged", "true or false")?.unwrap_or_default();
        if permissions_changed && !has_user {
            let with = "without `userId`, whose connections are to take up their new roles";
            return Err(self.wrong("permissionsChanged", Problem::Misplaced { with }));
        }
        Ok(What::Explicit {
            channels: distinct(channels),
            roles: distinct(roles),
            events,
            permissions_changed,
        })
    }

    fn derived(&self, wire: &WireItem<'_>) -> Result<What, PublishError> {
        let with = "without explicit `channels` and `roles`";
        if wire.events.is_some() {
            return Err(self.wrong("events", Problem::Misplaced { with }));
        }
        if wire.permissions_changed.is_some() {
            return Err(self.wrong("permissionsChanged", Problem::Misplaced { with }));
        }
        let name = self.name(wire)?.ok_or_else(|| self.wrong("", Problem::Nothing))?;
        let params: Option<BTreeMap<String, String>> =
            self.read(wire.params, "params", "an object of strings")?;
        Ok(What::Derived {
            name,
            params: params.unwrap_or_default(),
            permissions: self.list(wire.permissions, "permissions")?,
            resource_permissions: self.list(wire.resource_permissions, "resourcePermissions")?,
            own_security: self.read(wire.document_security, "documentSecurity", "true or false")?,
        })
    }

    fn name(&self, wire: &WireItem<'_>) -> Result<Option<String>, PublishError> {
        let name: Option<String> = self.read(wire.event, "event", "a string")?;
        name.map(|name| self.checked_name(name, "event")).transpose()
    }

    fn names(
        &self,
        value: Option<&RawValue>,
        field: &'static str,
    ) -> Result<Option<Vec<String>>, PublishError> {
        let list = self.list(value, field)?;
        list.map(|list| list.into_iter().map(|name| self.checked_name(name, field)).collect()).transpose()
    }

    fn checked_name(&self, name: String, field: &'static str) -> Result<String, PublishError> {
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
            return Err(self.wrong(field, Problem::Name { name: shortened(&name) }));
        }
        Ok(name)
    }

    fn list(
        &self,
        value: Option<&RawValue>,
        field: &'static str,
    ) -> Result<Option<Vec<String>>, PublishError> {
        let list: Option<Vec<String>> = self.read(value, field, "a list of strings")?;
        match &list {
            Some(list) if list.len() > MAX_LIST => {
                Err(self.wrong(field, Problem::Count { entries: list.len() }))
            }
            _ => Ok(list),
        }
    }

    fn read<'a, T: Deserialize<'a>>(
        &self,
        value: Option<&'a RawValue>,
        field: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, PublishError> {
        let read = |value: &'a RawValue| {
            serde_json::from_str(value.get()).map_err(|_| self.wrong(field, wrong_type(value, expected)))
        };
        value.map(read).transpose()
    }

    fn wrong(&self, field: &'static str, problem: Problem) -> PublishError {
        wrong(self.item, field, problem)
    }
}

/// An object that has `events` and nothing else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'a> {
    #[serde(borrow)]
    events: &'a RawValue,
}

/// Whether a list begins with a string, as an event's names do and a batch's events do not.
fn is_list_of_names(list: &RawValue) -> bool {
    list.get().strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with('"'))
}

/// The entries of a batch, as many as are allowed.
fn items(list: &RawValue) -> Result<Vec<&RawValue>, PublishError> {
    let Items { kept, total } =
        serde_json::from_str(list.get()).map_err(|error| PublishError::Body { reason: error.to_string() })?;
    if total > MAX_EVENTS { Err(PublishError::TooMany { events: total }) } else { Ok(kept) }
}

/// A list that keeps no more entries than a batch may have, and counts the others.
struct Items<'a> {
    kept: Vec<&'a RawValue>,
    total: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemsVisitor;

        impl<'de> Visitor<'de> for ItemsVisitor {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of events")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items<'de>, A::Error> {
                let mut kept = Vec::new();
                while kept.len() < MAX_EVENTS
                    && let Some(item) = list.next_element::<&RawValue>()?
                {
                    kept.push(item);
                }
                let mut total = kept.len();
                while list.next_element::<IgnoredAny>()?.is_some() {
                    total += 1;
                }
                Ok(Items { kept, total })
            }
        }

        deserializer.deserialize_seq(ItemsVisitor)
    }
}

fn wrong(item: usize, field: &'static str, problem: Problem) -> PublishError {
    PublishError::Item { item, field, problem }
}

fn wrong_type(value: &RawValue, expected: &'static str) -> Problem {
    Problem::WrongType { expected, found: shortened(value.get()) }
}

/// The field that a failed derivation is about.
fn field_of(error: &DeriveError) -> &'static str {
    match error {
        DeriveError::Name(_) | DeriveError::NoTeam { .. } | DeriveError::ForeignProject { .. } => "event",
        DeriveError::Payload { .. } => "payload",
        DeriveError::Permission(_) => "permissions",
        DeriveError::ForeignUser { .. } => "userId",
    }
}

/// The entries without repetitions, in order.
fn distinct<T: Clone + Eq + Hash>(entries: Vec<T>) -> Vec<T> {
    let mut seen = HashSet::new();
    entries.into_iter().filter(|entry| seen.insert(entry.clone())).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
