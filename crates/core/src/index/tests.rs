//! The index against a naive model that follows the rules word for word.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

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

#[test]
fn whether_anybody_holds_a_role_is_known_of_each_project() {
    let (mut index, id) = (Index::new(1), ConnectionId::new(0, 0));
    index.enter(id, &project(0), &[role(1)]);
    assert!(index.is_held(&project(0), &role(1)) && index.is_held_anywhere(&role(1)));
    assert!(!index.is_held(&project(0), &role(2)) && !index.is_held_anywhere(&role(2)));
    assert!(!index.is_held(&project(1), &role(1)));
    index.set_roles(id, &[role(2)]);
    assert!(!index.is_held(&project(0), &role(1)) && !index.is_held_anywhere(&role(1)));
}

/// What a subscription asks of the attributes `v` and `w`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Query {
    Equal(u8),
    EqualAny(u8, u8),
    Both(u8, u8),
    Either(u8, u8),
    Not(u8),
}

impl Query {
    fn text(self) -> String {
        let test = |method: &str, name: &str, values: &str| {
            format!(r#"{{"method":"{method}","attribute":"{name}","values":[{values}]}}"#)
        };
        let join = |method: &str, v: u8, w: u8| {
            let (v, w) = (test("equal", "v", &v.to_string()), test("equal", "w", &w.to_string()));
            format!(r#"{{"method":"{method}","values":[{v},{w}]}}"#)
        };
        match self {
            Self::Equal(v) => test("equal", "v", &v.to_string()),
            Self::EqualAny(v, other) => test("equal", "v", &format!("{v},{other},{v}")),
            Self::Both(v, w) => join("and", v, w),
            Self::Either(v, w) => join("or", v, w),
            Self::Not(v) => test("notEqual", "v", &v.to_string()),
        }
    }

    fn holds(self, value: u8) -> bool {
        let (v_is, w_is) = (value, other_of(value));
        match self {
            Self::Equal(v) => v == v_is,
            Self::EqualAny(v, other) => v == v_is || other == v_is,
            Self::Both(v, w) => v == v_is && w == w_is,
            Self::Either(v, w) => v == v_is || w == w_is,
            Self::Not(v) => v != v_is,
        }
    }
}

/// The attribute `w` of an event whose `v` is this.
fn other_of(value: u8) -> u8 {
    value % 2
}

fn query() -> impl Strategy<Value = Query> {
    let value = || 0..3u8;
    prop_oneof![
        4 => value().prop_map(Query::Equal),
        1 => (value(), value()).prop_map(|(v, other)| Query::EqualAny(v, other)),
        1 => (value(), value()).prop_map(|(v, w)| Query::Both(v, w)),
        1 => (value(), value()).prop_map(|(v, w)| Query::Either(v, w)),
        1 => value().prop_map(Query::Not),
    ]
}

fn filter(query: Option<Query>) -> Filter {
    let texts: Vec<String> = query.map(Query::text).into_iter().collect();
    Filter::parse(&texts, &Limits::default()).unwrap_or_default()
}

fn event(project_number: u8, channels: &[u8], roles: &[u8], value: u8) -> Event {
    let payload = Bytes::from(format!(r#"{{"v":{value},"w":{}}}"#, other_of(value)));
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
    Subscribe { connection: u8, id: u8, channels: Vec<u8>, query: Option<Query> },
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
        8 => (0..CONNECTIONS, 0..3u8, channels(), prop::option::of(query()))
            .prop_map(|(connection, id, channels, query)| Step::Subscribe { connection, id, channels, query }),
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
    subscriptions: BTreeMap<u8, (BTreeSet<u8>, Option<Query>)>,
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
            channels.iter().any(|name| names.contains(name)) && query.is_none_or(|query| query.holds(value))
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
                Step::Subscribe { connection: number, id, channels, query } => {
                    let channels_named = channels.iter().copied().map(channel).collect();
                    let id_named = SubscriptionId::new(format!("s{id}"));
                    index.subscribe(
                        connection(number),
                        Subscription::new(id_named, channels_named, filter(query)),
                    );
                    if let Some(model) = model.get_mut(&number) {
                        if channels.is_empty() {
                            model.subscriptions.remove(&id);
                        } else {
                            model.subscriptions.insert(id, (channels.into_iter().collect(), query));
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
                    let receivers = receivers(&mut index, &event);
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
            prop_assert_eq!(index.len(), model.values().map(|model| model.subscriptions.len()).sum::<usize>());
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

/// Texts of queries over few attributes and values of every kind, as clients may write them.
fn any_query() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null"),
        Just("true"),
        Just("0"),
        Just("-0.0"),
        Just("0.0"),
        Just("1"),
        Just(r#""1""#),
        Just(r#""""#),
        Just("[1]"),
        Just("{}"),
        Just("1e3"),
    ];
    let method =
        prop_oneof![4 => Just("equal"), 1 => Just("notEqual"), 1 => Just("lessThan"), 1 => Just("isNull")];
    let leaf = (method, prop_oneof![Just("a"), Just("b.c")], prop::collection::vec(value, 1..3)).prop_map(
        |(method, name, values)| {
            let values = if method == "isNull" { String::new() } else { values.join(",") };
            format!(r#"{{"method":"{method}","attribute":"{name}","values":[{values}]}}"#)
        },
    );
    leaf.prop_recursive(2, 6, 3, |inner| {
        (prop_oneof![3 => Just("and"), 1 => Just("or")], prop::collection::vec(inner, 0..3))
            .prop_map(|(method, inner)| format!(r#"{{"method":"{method}","values":[{}]}}"#, inner.join(",")))
    })
}

proptest! {
    #[test]
    fn a_crowd_with_queries_is_told_what_each_query_lets_through(
        queries in prop::collection::vec(prop::collection::vec(any_query(), 0..3), 1..40),
        payloads in prop::collection::vec(
            (prop::option::of("null|true|0|0\\.0|1|1\\.0|\"1\"|\"\"|\\[1\\]|\\{\\}|1000\\.0"), prop::option::of("null|1|\"1\"")),
            1..8,
        ),
        leaving in prop::collection::vec(any::<bool>(), 40),
    ) {
        let mut index = Index::new(3);
        let mut model = BTreeMap::new();
        for (number, texts) in (0u8..).zip(&queries) {
            let Ok(filter) = Filter::parse(texts, &Limits::default()) else { continue };
            index.enter(connection(number), &project(0), &[role(1)]);
            let subscription = Subscription::new("s".into(), SmallVec::from_buf([channel(0)]), filter.clone());
            index.subscribe(connection(number), subscription);
            model.insert(connection(number), filter);
        }
        for half in [false, true] {
            if half {
                for (number, leaves) in (0u8..).zip(&leaving) {
                    if *leaves {
                        index.leave(connection(number));
                        model.remove(&connection(number));
                    }
                }
            }
            for (a, b) in &payloads {
                let members = [("a", a), ("b.c", b)];
                let members = members.iter().filter_map(|(name, value)| Some(format!(r#""{name}":{}"#, value.as_ref()?)));
                let text = Bytes::from(format!("{{{}}}", members.collect::<Vec<_>>().join(",")));
                let mut event = event(0, &[0], &[0], 0);
                event.payload = Payload::new(text);
                let found: BTreeSet<_> = receivers(&mut index, &event).into_iter().map(|found| found.connection).collect();
                let expected: BTreeSet<_> =
                    model.iter().filter(|(_, filter)| filter.matches(&event.payload)).map(|(id, _)| *id).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}

#[test]
fn of_many_who_ask_for_values_of_their_own_only_one_is_looked_at() {
    let mut index = Index::new(1);
    for number in 0..CONNECTIONS {
        index.enter(connection(number), &project(0), &[role(1)]);
        let subscription = Subscription::new(
            "s".into(),
            SmallVec::from_buf([channel(0)]),
            filter(Some(Query::Equal(number))),
        );
        index.subscribe(connection(number), subscription);
    }
    let event = event(0, &[0], &[1], 5);
    let audience = &index.projects[&project(0)].channels[&channel(0)];
    let roles = [index.projects[&project(0)].roles.find(&role(1)).unwrap()];
    for roles in [None, Some(&roles[..])] {
        let candidates = audience.candidates(roles, &event.payload, &index.fingerprints);
        assert_eq!(candidates.lists.iter().map(|list| list.len()).sum::<usize>(), 1);
    }
    assert_eq!(receivers(&mut index, &event).len(), 1);
}

fn receivers(index: &mut Index, event: &Event) -> Vec<Receiver> {
    let mut found = Vec::new();
    index.receivers(event, &mut found);
    found
}
