//! From what happened in the backend to who hears of it: event names, channels, roles and the project to publish in.
//!
//! A backend says `users.U.update.name` and gives the user; this module says which names, channels and roles Appwrite
//! gives such an event (`Event::generateEvents` and `Realtime::fromPayload`). Where Appwrite takes ids out of names by
//! splitting at dots, and so publishes `john.doe`'s events to `john`, this does not: see [`name`].

mod channels;
mod expand;
mod facts;
mod kind;
pub mod name;

use std::collections::{BTreeMap, HashSet};

use realtime_core::event::Event;
use realtime_core::id::{ProjectId, TeamId, UserId};
use realtime_core::role::Role;

pub use self::channels::Unpublished;
use self::channels::{Destination, Readers, Route};
use self::facts::Facts;
use self::name::{Claims, EventName, NameError};
use super::permission::{self, PermissionError};

/// What a backend says about something that happened.
#[derive(Debug, Clone, Copy)]
pub struct SystemEvent<'a> {
    /// `users.U.update.name`, or with placeholders `users.[userId].update.name`.
    pub name: &'a str,
    /// The ids for the placeholders. With a name written out, what they say of its ids must hold.
    pub params: &'a BTreeMap<String, String>,
    /// The resource as it is now (as it was, if it is gone): the text of a JSON object.
    pub payload: &'a str,
    /// The resource's permissions, `read("user:U")`; the payload's `$permissions` if absent.
    pub permissions: Option<&'a [String]>,
    /// The permissions of the collection, table or bucket that holds the resource.
    pub resource_permissions: Option<&'a [String]>,
    /// Whether the resource's own permissions count beside its container's (Appwrite's document, row and file
    /// security). If absent: yes, unless only the container's permissions are given with the event.
    pub own_security: Option<bool>,
    /// The user it is about, where the name does not say.
    pub user: Option<&'a UserId>,
}

/// Where something happened.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The project.
    pub project: &'a ProjectId,
    /// The team of the console that owns the project; without it, events for owners cannot be published.
    pub team: Option<&'a TeamId>,
    /// Whether the channel names from before Appwrite 1.0 (`collections`, `files.ID`, `functions.executions`) are
    /// published too, after today's.
    pub legacy_channels: bool,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It is to be published.
    Published(T),
    /// It is a known event that reaches nobody, which is not an error.
    Unpublished(Unpublished),
}

/// Everything to publish of an event, its payload apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derivation {
    /// Its names, the concrete one first.
    pub events: Vec<String>,
    /// Its channels.
    pub channels: Vec<String>,
    /// The projects to publish it in, each with the roles that may see it there. Never empty, nor are the roles.
    pub audiences: Vec<Audience>,
    /// Whether the user's roles are different from now on.
    pub permissions_changed: bool,
    /// The user it is about.
    pub user: Option<UserId>,
}

/// Who may see an event in a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// The project.
    pub project: ProjectId,
    /// The roles, any one of which suffices.
    pub roles: Vec<Role>,
}

/// Why an event could not be derived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeriveError {
    /// The name was not understood.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The payload is not what it must be.
    #[error("the payload must be a JSON object: {reason}")]
    Payload {
        /// What is wrong with it.
        reason: String,
    },
    /// A permission is out of form.
    #[error(transparent)]
    Permission(#[from] PermissionError),
    /// The event is for the project's owners, and it has none.
    #[error(
        "`{name}` is for the team that owns the project, and project `{project}` has no team; publish with explicit channels and roles"
    )]
    NoTeam {
        /// The event.
        name: String,
        /// The project.
        project: ProjectId,
    },
    /// The event is about a project that is not the publisher's.
    #[error("the event is about project `{named}`, but this key publishes for `{project}` alone")]
    ForeignProject {
        /// The project in the event's name.
        named: String,
        /// The publisher's project.
        project: ProjectId,
    },
    /// Two places name two users.
    #[error("the event is about user `{named}`, but `userId` says `{given}`; leave it out or correct it")]
    ForeignUser {
        /// The user in the event's name, params or payload.
        named: String,
        /// The user beside it.
        given: String,
    },
}

/// Derives what to publish.
pub fn derive(event: &SystemEvent<'_>, context: &Context<'_>) -> Result<Outcome<Derivation>, DeriveError> {
    let facts =
        Facts::of(event.payload).map_err(|error| DeriveError::Payload { reason: error.to_string() })?;
    let claims = Claims { facts: &facts, params: event.params, user: event.user, project: context.project };
    let name = EventName::parse(event.name, &claims)?;
    let user = user_of(&name, event, &facts)?;
    refuse_foreign_project(&name, context.project)?;

    let route = channels::route(&name, context.project);
    if context.project.is_console() && name.kinds().first() != Some(&"presences") {
        return Ok(Outcome::Unpublished(Unpublished::ConsoleProject));
    }
    let channels = heard_on(&route, context.legacy_channels);
    if channels.is_empty() {
        return Ok(Outcome::Unpublished(route.silence));
    }
    let audiences = audiences(&route, event, &facts, context)?;
    if audiences.is_empty() {
        return Ok(Outcome::Unpublished(Unpublished::NoReaders));
    }
    Ok(Outcome::Published(Derivation {
        events: expand::expand(&name),
        channels,
        audiences,
        permissions_changed: route.permissions_changed,
        user,
    }))
}

/// A presence that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedPresence {
    /// Its id.
    pub id: String,
    /// Its `$sequence`, if the event tells.
    pub sequence: Option<String>,
}

/// The presence that an event of the bus says is gone, so that its connection need not remove it again. The id comes
/// from the payload, never from the name.
pub fn deleted_presence(event: &Event) -> Option<DeletedPresence> {
    let name = event.name.as_ref()?;
    if !(name.starts_with("presences.") && name.ends_with(".delete")) {
        return None;
    }
    let payload = std::str::from_utf8(event.payload.as_bytes()).ok()?;
    let facts = Facts::of(payload).ok()?;
    let id = facts.id("$id").filter(|id| !id.is_empty())?.to_owned();
    Some(DeletedPresence { id, sequence: facts.id("$sequence").map(ToOwned::to_owned) })
}

fn heard_on(route: &Route, legacy_channels: bool) -> Vec<String> {
    let legacy = if legacy_channels { route.legacy.as_slice() } else { &[] };
    let mut seen = HashSet::new();
    route.channels.iter().chain(legacy).filter(|channel| seen.insert(channel.as_str())).cloned().collect()
}

fn audiences(
    route: &Route,
    event: &SystemEvent<'_>,
    facts: &Facts,
    context: &Context<'_>,
) -> Result<Vec<Audience>, DeriveError> {
    let owners = context.team.map(|team| vec![Role::team(team)]);
    let roles = match &route.readers {
        Readers::User(user) => vec![Role::user(user)],
        Readers::Team(team) => vec![Role::team(team)],
        Readers::Owners => owners.clone().ok_or_else(|| DeriveError::NoTeam {
            name: permission::shortened(event.name),
            project: context.project.clone(),
        })?,
        Readers::Container => container_readers(event, facts)?,
        Readers::Own => match own_permissions(event, facts).or(event.resource_permissions) {
            Some(permissions) => permission::read_roles(permissions)?,
            None => Vec::new(),
        },
    };
    if roles.is_empty() {
        return Ok(Vec::new());
    }
    let in_project = Audience { project: context.project.clone(), roles };
    Ok(match route.destination {
        Destination::Project => vec![in_project],
        Destination::Console => vec![Audience { project: ProjectId::console(), ..in_project }],
        // Appwrite's copy in the console keeps the project's roles, which mean other people there. Ours is for the
        // project's owners, whom that copy is made for.
        Destination::Both => owners
            .map(|roles| Audience { project: ProjectId::console(), roles })
            .into_iter()
            .chain([in_project])
            .collect(),
    })
}

/// The permissions given with the event, else the payload's own.
fn own_permissions<'a>(event: &SystemEvent<'a>, facts: &'a Facts) -> Option<&'a [String]> {
    event.permissions.or(facts.permissions())
}

/// The readers of the container, and those of the resource where its own permissions count.
fn container_readers(event: &SystemEvent<'_>, facts: &Facts) -> Result<Vec<Role>, DeriveError> {
    let own_counts =
        event.own_security.unwrap_or(event.resource_permissions.is_none() || event.permissions.is_some());
    let container = event.resource_permissions.unwrap_or_default();
    let own = if own_counts { own_permissions(event, facts).unwrap_or_default() } else { &[] };
    let permissions: Vec<&String> = container.iter().chain(own).collect();
    Ok(permission::read_roles(&permissions)?)
}

/// The user that Appwrite would name in the envelope: the account's, the member's, or the one given.
fn user_of(name: &EventName, event: &SystemEvent<'_>, facts: &Facts) -> Result<Option<UserId>, DeriveError> {
    let kinds = name.kinds();
    let param = event.params.get("userId").map(String::as_str);
    let named = match kinds.as_slice() {
        ["users", ..] => name.resources.first().map(|user| user.id.as_str()),
        ["teams", "memberships"] => param.or_else(|| facts.id("userId").filter(|id| permission::is_id(id))),
        _ => param,
    };
    match (named, event.user) {
        (Some(named), Some(given)) if named != given.as_str() => Err(DeriveError::ForeignUser {
            named: permission::shortened(named),
            given: permission::shortened(given.as_str()),
        }),
        (named, given) => {
            let user = named.or(given.map(UserId::as_str));
            Ok(user.map(permission::checked_id).transpose()?.map(UserId::new))
        }
    }
}

fn refuse_foreign_project(name: &EventName, project: &ProjectId) -> Result<(), DeriveError> {
    match name.resources.first() {
        Some(root) if root.kind == "projects" && root.id != project.as_str() => {
            Err(DeriveError::ForeignProject {
                named: permission::shortened(&root.id),
                project: project.clone(),
            })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
