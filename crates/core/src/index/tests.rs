//! The index against a naive model that follows the rules word for word.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::event::Spellings;
use crate::query::{Limits, Payload};

/// Small vocabularies, so that collisions are the rule. Role 0 is `any`, which connections never hold.
const ROLES: u8 = 6;
const CHANNELS: u8 = 5;
const CONNECTIONS: u8 = 70;

fn role(number: u8) -> Role {
    if number == 0 { Role::any() } else { Role::new(format!("team:{number}")) }
}

fn channel(number: u8) -> Channel {
    Channel::new(format!("documents.{number}"))
}

fn project(number: u8) -> ProjectId {
    ProjectId::new(format!("p{number}"))
}

fn filter(value: Option<u8>) -> Filter {
    let texts: Vec<String> = value
        .map(|v| format!(r#"{{"method":"equal","attribute":"v","values":[{v}]}}"#))
        .into_iter()
        .collect();
    Filter::parse(&texts, &Limits::default()).unwrap_or_default()
}

fn event(project_number: u8, channels: &[u8], roles: &[u8], value: u8) -> Event {
    let payload = Bytes::from(format!(r#"{{"v":{value}}}"#));
    Event {
        id: "e".into(),
        project: project(project_number),
        channels: channels.iter().copied().map(channel).collect(),
        roles: roles.iter().copied().map(role).collect(),
        name: None,
        user: None,
        data: payload.clone(),
        payload: Payload::new(payload),
        roles_changed: None,
        spellings: Spellings::default(),
    }
}

#[derive(Debug, Clone)]
enum Step {
    Enter { connection: u8, project: u8, roles: Vec<u8> },
    Leave { connection: u8 },
    SetRoles { connection: u8, roles: Vec<u8> },
    Subscribe { connection: u8, id: u8, channels: Vec<u8>, value: Option<u8> },
    Unsubscribe { connection: u8, id: u8 },
    Publish { project: u8, channels: Vec<u8>, roles: Vec<u8>, value: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let roles = || prop::collection::vec(1..ROLES, 0..4);
    let channels = || prop::collection::vec(0..CHANNELS, 0..4);
    let step = prop_oneof![
        4 => (0..CONNECTIONS, 0..2u8, roles()).prop_map(|(connection, project, roles)| Step::Enter { connection, project, roles }),
        1 => (0..CONNECTIONS).prop_map(|connection| Step::Leave { connection }),
        2 => (0..CONNECTIONS, roles()).prop_map(|(connection, roles)| Step::SetRoles { connection, roles }),
        8 => (0..CONNECTIONS, 0..3u8, channels(), prop::option::of(0..3u8))
            .prop_map(|(connection, id, channels, value)| Step::Subscribe { connection, id, channels, value }),
        1 => (0..CONNECTIONS, 0..3u8).prop_map(|(connection, id)| Step::Unsubscribe { connection, id }),
        3 => (0..2u8, channels(), prop::collection::vec(0..ROLES, 0..4), 0..3u8)
            .prop_map(|(project, channels, roles, value)| Step::Publish { project, channels, roles, value }),
    ];
    prop::collection::vec(step, 1..300)
}

/// A connection as the rules see it: project, roles, and subscriptions by id.
#[derive(Debug, Clone, Default)]
struct Model {
    project: u8,
    roles: BTreeSet<u8>,
    subscriptions: BTreeMap<u8, (BTreeSet<u8>, Option<u8>)>,
}

impl Model {
    /// PROTOCOL: the project is equal, a channel is shared, a role is shared or the event is for `any`, and the query
    /// matches the payload.
    fn matches(&self, project: u8, channels: &[u8], roles: &[u8], value: u8) -> BTreeSet<String> {
        let permitted = roles.contains(&0) || roles.iter().any(|role| self.roles.contains(role));
        if self.project != project || !permitted {
            return BTreeSet::new();
        }
        let wanted = self.subscriptions.iter().filter(|(_, (names, query))| {
            channels.iter().any(|name| names.contains(name)) && query.is_none_or(|query| query == value)
        });
        wanted.map(|(id, _)| format!("s{id}")).collect()
    }
}

fn connection(number: u8) -> ConnectionId {
    ConnectionId::new(u32::from(number), 7)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_exactly_whom_the_rules_name(steps in steps(), seed: u64) {
        let mut index = Index::new(seed);
        let mut model: BTreeMap<u8, Model> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Enter { connection: number, project: home, roles } => {
                    index.enter(connection(number), &project(home), &roles.iter().copied().map(role).collect::<Vec<_>>());
                    let roles = roles.into_iter().collect();
                    model.insert(number, Model { project: home, roles, subscriptions: BTreeMap::new() });
                }
                Step::Leave { connection: number } => {
                    index.leave(connection(number));
                    model.remove(&number);
                }
                Step::SetRoles { connection: number, roles } => {
                    index.set_roles(connection(number), &roles.iter().copied().map(role).collect::<Vec<_>>());
                    if let Some(model) = model.get_mut(&number) {
                        model.roles = roles.into_iter().collect();
                    }
                }
                Step::Subscribe { connection: number, id, channels, value } => {
                    let channels_named = channels.iter().copied().map(channel).collect();
                    let id_named = SubscriptionId::new(format!("s{id}"));
                    index.subscribe(
                        connection(number),
                        Subscription::new(id_named, channels_named, filter(value)),
                    );
                    if let Some(model) = model.get_mut(&number) {
                        if channels.is_empty() {
                            model.subscriptions.remove(&id);
                        } else {
                            model.subscriptions.insert(id, (channels.into_iter().collect(), value));
                        }
                    }
                }
                Step::Unsubscribe { connection: number, id } => {
                    let removed = index.unsubscribe(connection(number), &SubscriptionId::new(format!("s{id}")));
                    let expected = model.get_mut(&number).is_some_and(|model| model.subscriptions.remove(&id).is_some());
                    prop_assert_eq!(removed, expected);
                }
                Step::Publish { project: home, channels, roles, value } => {
                    let event = Arc::new(event(home, &channels, &roles, value));
                    let receivers = index.receivers(&event);
                    let mut found: BTreeMap<ConnectionId, BTreeSet<String>> = BTreeMap::new();
                    for receiver in receivers {
                        let count = receiver.subscriptions.len();
                        let ids: BTreeSet<String> = receiver.subscriptions.iter().map(ToString::to_string).collect();
                        prop_assert_eq!(ids.len(), count, "a subscription is named once");
                        prop_assert!(found.insert(receiver.connection, ids).is_none(), "a connection comes out once");
                    }
                    let expected: BTreeMap<ConnectionId, BTreeSet<String>> = model
                        .iter()
                        .map(|(number, model)| (connection(*number), model.matches(home, &channels, &roles, value)))
                        .filter(|(_, ids)| !ids.is_empty())
                        .collect();
                    prop_assert_eq!(found, expected);
                }
            }
        }
        for number in model.keys() {
            index.leave(connection(*number));
        }
        prop_assert!(index.projects.is_empty(), "nothing is kept of connections that are gone");
    }
}

#[test]
fn a_stale_id_does_not_reach_the_connection_that_has_the_slot_now() {
    let mut index = Index::new(1);
    let (old, new) = (ConnectionId::new(3, 1), ConnectionId::new(3, 2));
    index.enter(new, &project(0), &[role(1)]);
    index.subscribe(old, Subscription::new("s".into(), SmallVec::from_buf([channel(1)]), Filter::default()));
    index.leave(old);
    assert_eq!(index.subscriptions(new).count(), 0);
    assert_eq!(index.project(new), Some(&project(0)));
}
