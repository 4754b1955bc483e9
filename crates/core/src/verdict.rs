//! Why an event did or did not reach a connection.

use std::fmt;

use crate::channel::Channel;
use crate::event::Event;
use crate::id::{ProjectId, SubscriptionId};
use crate::index::Subscription;
use crate::query::Check;
use crate::replay::Mark;
use crate::role::Role;

/// The answer, with the values that were compared. The first check that fails is the one told.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is delivered, to these subscriptions.
    Delivered {
        /// Every subscription that it matched.
        subscriptions: Vec<SubscriptionId>,
    },
    /// There is no such connection, or it is not open yet.
    NotConnected,
    /// The connection belongs to another project.
    OtherProject {
        /// The event's.
        event: ProjectId,
        /// The connection's.
        connection: ProjectId,
    },
    /// No subscription names one of the event's channels.
    NoChannel {
        /// The event's.
        event: Vec<Channel>,
        /// All that the connection subscribes to.
        connection: Vec<Channel>,
    },
    /// The connection holds none of the event's roles.
    NoRole {
        /// The event's.
        event: Vec<Role>,
        /// The connection's.
        connection: Vec<Role>,
    },
    /// Subscriptions have the channel, but their queries do not hold.
    NoQuery {
        /// Each subscription that has the channel, and its queries.
        queries: Vec<(SubscriptionId, Vec<String>)>,
    },
}

impl Verdict {
    /// Compares an event with a connection's project, roles and subscriptions, in that order.
    pub fn of<'a>(
        event: &Event,
        project: &ProjectId,
        roles: impl Iterator<Item = &'a Role>,
        subscriptions: impl Iterator<Item = &'a Subscription>,
    ) -> Self {
        if event.project != *project {
            return Self::OtherProject { event: event.project.clone(), connection: project.clone() };
        }
        let subscriptions: Vec<&Subscription> = subscriptions.collect();
        let named: Vec<&Subscription> = subscriptions
            .iter()
            .copied()
            .filter(|subscription| {
                subscription.channels.iter().any(|channel| event.channels.contains(channel))
            })
            .collect();
        if named.is_empty() {
            let mut connection: Vec<Channel> =
                subscriptions.iter().flat_map(|subscription| subscription.channels.iter().cloned()).collect();
            connection.sort();
            connection.dedup();
            return Self::NoChannel { event: event.channels.clone(), connection };
        }
        let roles: Vec<Role> = roles.cloned().collect();
        if !event.is_for_all() && !roles.iter().any(|role| event.roles.contains(role)) {
            return Self::NoRole { event: event.roles.clone(), connection: roles };
        }
        let matched: Vec<SubscriptionId> = named
            .iter()
            .filter(|subscription| subscription.filter.matches(&event.payload))
            .map(|subscription| subscription.id.clone())
            .collect();
        if matched.is_empty() {
            let queries = named
                .iter()
                .map(|subscription| (subscription.id.clone(), subscription.filter.canonical().to_vec()))
                .collect();
            return Self::NoQuery { queries };
        }
        Self::Delivered { subscriptions: matched }
    }
}

/// Every check that decides about an event and a connection, with the values that it compares: those too that come
/// after one that failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The event's project.
    pub event_project: ProjectId,
    /// The connection's project.
    pub project: ProjectId,
    /// The event's channels.
    pub event_channels: Vec<Channel>,
    /// The event's roles.
    pub event_roles: Vec<Role>,
    /// The connection's roles, to which `any` belongs without being named.
    pub roles: Vec<Role>,
    /// Each subscription of the connection, in the order of their ids.
    pub subscriptions: Vec<Compared>,
}

/// One subscription beside an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// Which.
    pub id: SubscriptionId,
    /// What it listens to.
    pub channels: Vec<Channel>,
    /// Whether one of them is the event's.
    pub has_channel: bool,
    /// Each of its queries; all must hold.
    pub queries: Vec<Check>,
    /// Whether they do.
    pub queries_hold: bool,
    /// Whether the event happened after it began; `None` if it is not known when the event happened.
    pub in_time: Option<bool>,
}

impl Comparison {
    /// Compares an event, which happened at this mark if that is known, with a connection.
    pub(crate) fn of<'a>(
        event: &Event,
        happened: Option<Mark>,
        project: &ProjectId,
        roles: impl Iterator<Item = &'a Role>,
        subscriptions: impl Iterator<Item = &'a Subscription>,
    ) -> Self {
        let mut subscriptions: Vec<Compared> = subscriptions
            .map(|subscription| Compared {
                id: subscription.id.clone(),
                channels: subscription.channels.to_vec(),
                has_channel: subscription.channels.iter().any(|name| event.channels.contains(name)),
                queries: subscription.filter.checks(&event.payload),
                queries_hold: subscription.filter.matches(&event.payload),
                in_time: happened.map(|happened| subscription.start < happened),
            })
            .collect();
        subscriptions.sort_by(|one, other| one.id.cmp(&other.id));
        Self {
            event_project: event.project.clone(),
            project: project.clone(),
            event_channels: event.channels.clone(),
            event_roles: event.roles.clone(),
            roles: roles.cloned().collect(),
            subscriptions,
        }
    }

    /// Whether both are of the same project.
    pub fn same_project(&self) -> bool {
        self.event_project == self.project
    }

    /// Whether a role of the event is held.
    pub fn has_role(&self) -> bool {
        self.event_roles.iter().any(|role| role.is_any() || self.roles.contains(role))
    }

    /// Whether the event is delivered, whenever it happened.
    pub fn is_delivered(&self) -> bool {
        self.same_project()
            && self.has_role()
            && self.subscriptions.iter().any(|compared| compared.has_channel && compared.queries_hold)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered { subscriptions } => {
                write!(f, "delivered to {}", list(subscriptions))
            }
            Self::NotConnected => f.write_str("not delivered: there is no such open connection"),
            Self::OtherProject { event, connection } => {
                write!(
                    f,
                    "not delivered: the event is of project {event}, the connection of project {connection}"
                )
            }
            Self::NoChannel { event, connection } => write!(
                f,
                "not delivered: no channel in common; the event is on {}, the connection listens to {}",
                list(event),
                list(connection)
            ),
            Self::NoRole { event, connection } => write!(
                f,
                "not delivered: no role in common; the event is for {}, the connection holds {}",
                list(event),
                list(connection)
            ),
            Self::NoQuery { queries } => {
                f.write_str("not delivered: no query holds;")?;
                for (id, texts) in queries {
                    write!(f, " {id} asks for {};", texts.join(" and "))?;
                }
                Ok(())
            }
        }
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    match items {
        [] => "nothing".to_owned(),
        items => items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}
