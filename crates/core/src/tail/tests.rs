//! Live tails as Appwrite's own tests have them, and against a naive model.

#![expect(clippy::disallowed_methods, reason = "a test's clock must begin somewhere")]
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::channel::Channel;
use crate::event::Spellings;
use crate::id::UserId;
use crate::query::{Limits, Payload};

fn event(project: &str, name: &str, id: &str) -> Event {
    let payload = Bytes::from(json!({ "$id": id, "name": "never told", "$permissions": [] }).to_string());
    Event {
        id: "e".into(),
        project: project.into(),
        channels: vec![Channel::new("documents")],
        roles: vec![Role::user(&"somebody".into())],
        name: Some(name.into()),
        user: Some(UserId::new("U")),
        data: Bytes::from(json!({ "timestamp": "2026-08-21T10:15:30.123+00:00" }).to_string()),
        payload: Payload::new(payload),
        roles_changed: None,
        spellings: Spellings::default(),
    }
}

fn summary(event: &Event) -> Value {
    serde_json::from_slice(summary_of(event).as_bytes()).unwrap()
}

fn connection(number: u32) -> ConnectionId {
    ConnectionId::new(number, 0)
}

fn role(team: &str) -> Role {
    Role::team(&team.into())
}

fn filter(query: &str) -> Filter {
    Filter::parse(&[query], &Limits::default()).unwrap()
}

fn only_deletes() -> Filter {
    filter(r#"{"method":"equal","attribute":"action","values":["delete"]}"#)
}

fn tails(rate: u32) -> Tails {
    Tails::new(Bounds { rate, ..Bounds::default() }, 1)
}

impl Tails {
    fn begin(&mut self, number: u32, subscription: &str, project: &str) {
        let (id, project) = (subscription.into(), project.into());
        self.add(connection(number), &id, project, role("owners"), Filter::everything());
    }

    fn happens(&mut self, project: &str, now: Instant) {
        self.see(&event(project, "databases.D.collections.C.documents.X.create", "X"), now);
    }

    /// `SUBSCRIPTION PROJECT COUNT` for events, `SUBSCRIPTION PROJECT DELIVERED/DROPPED` for samples.
    fn told(&mut self, number: u32) -> Vec<String> {
        let told = self.flush(connection(number)).into_iter().map(|tailed| {
            let seen = match tailed.seen {
                Seen::Events(events) => events.len().to_string(),
                Seen::Sampled { delivered, dropped } => format!("{delivered}/{dropped}"),
            };
            format!("{} {} {seen}", tailed.subscription, tailed.project)
        });
        told.collect()
    }
}

#[test]
fn the_metadata_is_what_the_name_and_the_envelope_tell() {
    let told = summary(&event("P", "databases.D.collections.C.documents.X.create", "X"));
    let expected = json!({
        "event": "databases.D.collections.C.documents.X.create", "type": "databases", "action": "create",
        "userId": "U", "timestamp": "2026-08-21T10:15:30.123+00:00", "resourceId": "X",
        "databaseId": "D", "collectionId": "C",
    });
    assert_eq!(told, expected);
}

#[test]
fn each_family_of_events_has_a_scope_of_its_own() {
    let cases = [
        ("databases.D.create", "databases", "create", json!({"databaseId": "D"})),
        (
            "tablesdb.D.tables.T.rows.R.update",
            "tablesdb",
            "update",
            json!({"databaseId": "D", "collectionId": "T"}),
        ),
        (
            "documentsdb.D.collections.C.documents.X.upsert",
            "documentsdb",
            "upsert",
            json!({"databaseId": "D", "collectionId": "C"}),
        ),
        (
            "vectorsdb.D.collections.C.documents.X.delete",
            "vectorsdb",
            "delete",
            json!({"databaseId": "D", "collectionId": "C"}),
        ),
        ("databases.D.collections.*.documents.*.delete", "databases", "delete", json!({"databaseId": "D"})),
        ("databases.D.transactions.T.update", "databases", "update", json!({"databaseId": "D"})),
        ("buckets.B.files.F.create", "buckets", "create", json!({"bucketId": "B"})),
        ("functions.F.create", "functions", "create", json!({"functionId": "F"})),
        ("functions.F.executions.E.update", "functions", "update", json!({"functionId": "F"})),
        ("teams.T.delete", "teams", "delete", json!({"teamId": "T"})),
        ("teams.T.memberships.M.update.status", "teams", "update", json!({"teamId": "T"})),
        ("users.U.update.name", "users", "update", json!({})),
        ("rules.R.create", "rules", "create", json!({})),
        ("teams..create", "teams", "create", json!({})),
        ("teams.*.create", "teams", "create", json!({})),
    ];
    for (name, kind, action, scope) in cases {
        let mut told = summary(&event("P", name, "X"));
        let told = told.as_object_mut().unwrap();
        assert_eq!((told["type"].as_str(), told["action"].as_str()), (Some(kind), Some(action)), "{name}");
        let common = ["event", "type", "action", "userId", "timestamp", "resourceId"];
        told.retain(|key, _| !common.contains(&key.as_str()));
        assert_eq!(Value::Object(told.clone()), scope, "{name}");
    }
}

#[test]
fn what_an_event_does_not_tell_is_null() {
    let nameless = Event {
        name: None,
        user: None,
        data: Bytes::from_static(b"{}"),
        payload: Payload::new(Bytes::from_static(b"{}")),
        ..event("P", "", "")
    };
    let nothing = json!({
        "event": null, "type": null, "action": null, "userId": null, "timestamp": null, "resourceId": null,
    });
    assert_eq!(summary(&nameless), nothing);
    assert_eq!(summary(&event("P", "projects.P.ping", "P"))["action"], Value::Null);
    let strange = Event { payload: Payload::new(Bytes::from_static(br#"{"$id":{"secret":1}}"#)), ..nameless };
    assert_eq!(summary(&strange)["resourceId"], Value::Null, "a resource does not get out as its own id");
}

#[test]
fn what_is_for_a_projects_owners_is_of_the_project_that_its_channel_names() {
    let of = |channels: &[&str]| {
        let channels = channels.iter().map(Channel::new).collect();
        project_of(&Event { channels, ..event("console", "projects.P.ping", "P") })
    };
    assert_eq!(of(&["console", "projects.P", "projects.Q"]), Some("P".into()));
    for channels in [&["console"][..], &["projects."], &["projectsP", "teams.T"]] {
        assert_eq!(of(channels), None, "{channels:?}");
    }
    assert_eq!(project_of(&event("Q", "teams.T.create", "T")), Some("Q".into()));
}

#[test]
fn what_the_filter_does_not_let_through_takes_nothing_of_the_rate() {
    let (mut tails, now) = (tails(2), Instant::now());
    tails.add(connection(1), &"s".into(), "P".into(), role("owners"), only_deletes());
    for _ in 0..10 {
        tails.happens("P", now);
    }
    assert!(tails.see(&event("P", "teams.T.update", "T"), now).is_empty());
    assert_eq!(tails.see(&event("P", "teams.T.delete", "T"), now), [connection(1)]);
    tails.see(&event("P", "teams.T.memberships.M.delete", "M"), now);
    assert_eq!(tails.told(1), ["s P 2"]);
}

#[test]
fn what_exceeds_the_rate_is_counted_until_it_is_told() {
    let (mut tails, now) = (tails(5), Instant::now());
    tails.begin(1, "s", "P");
    for _ in 0..20 {
        tails.happens("P", now);
    }
    assert_eq!(tails.told(1), ["s P 5", "s P 5/15"]);
    assert_eq!(tails.told(1), [""; 0], "what was told is not told again");
    for _ in 0..3 {
        tails.happens("P", now);
    }
    tails.happens("P", now + Duration::from_millis(1));
    assert_eq!(tails.told(1), ["s P 0/4"], "only what was dropped since");
    for _ in 0..6 {
        tails.happens("P", now + Duration::from_secs(2));
    }
    assert_eq!(tails.told(1), ["s P 5", "s P 5/1"], "a second later the rate is whole again");
}

#[test]
fn without_drops_there_is_no_word_of_them() {
    let (mut tails, now) = (tails(5), Instant::now());
    tails.begin(1, "s", "P");
    for _ in 0..5 {
        tails.happens("P", now);
    }
    assert_eq!(tails.told(1), ["s P 5"]);
}

#[test]
fn a_message_has_room_for_so_many_events() {
    let mut tails = Tails::new(Bounds { batch: 2, ..Bounds::default() }, 1);
    let now = Instant::now();
    tails.begin(1, "s", "P");
    for number in 0..5 {
        tails.see(&event("P", "teams.T.create", &number.to_string()), now);
    }
    let told = tails.flush(connection(1));
    let ids = told.iter().map(|tailed| match &tailed.seen {
        Seen::Events(events) => {
            let id = |event: &Bytes| serde_json::from_slice::<Value>(event).unwrap()["resourceId"].clone();
            events.iter().map(id).collect::<Vec<_>>()
        }
        Seen::Sampled { .. } => vec![],
    });
    assert_eq!(ids.collect::<Vec<_>>(), [vec!["0", "1"], vec!["2", "3"], vec!["4"]]);
}

#[test]
fn a_rate_of_nothing_is_one() {
    let (mut tails, now) = (tails(0), Instant::now());
    tails.begin(1, "s", "P");
    tails.happens("P", now);
    tails.happens("P", now);
    assert_eq!(tails.told(1), ["s P 1", "s P 1/1"]);
}

#[test]
fn a_connection_that_left_is_told_nothing_and_others_are() {
    let (mut tails, now) = (tails(5), Instant::now());
    tails.begin(1, "s", "P");
    tails.begin(2, "s", "P");
    tails.happens("P", now);
    tails.leave(connection(1));
    tails.happens("P", now);
    assert_eq!(tails.told(1), [""; 0]);
    assert_eq!(tails.told(2), ["s P 2"]);
    tails.leave(connection(2));
    assert!(tails.projects.is_empty() && tails.connections.is_empty(), "nothing is left behind");
}

#[test]
fn a_subscription_that_ends_takes_all_its_tails_and_no_others() {
    let (mut tails, now) = (tails(5), Instant::now());
    for (number, subscription, project) in [(1, "a", "P"), (1, "a", "Q"), (1, "b", "P"), (2, "a", "P")] {
        tails.begin(number, subscription, project);
    }
    assert!(tails.remove(connection(1), &"a".into()));
    assert!(!tails.remove(connection(1), &"a".into()));
    tails.happens("P", now);
    tails.happens("Q", now);
    assert_eq!(tails.told(1), ["b P 1"]);
    assert_eq!(tails.told(2), ["a P 1"]);
}

#[test]
fn a_second_project_under_the_same_subscription_leaves_the_first() {
    let (mut tails, now) = (tails(5), Instant::now());
    tails.begin(1, "s", "P");
    tails.begin(1, "s", "Q");
    tails.happens("P", now);
    tails.happens("Q", now);
    assert_eq!(tails.told(1), ["s P 1", "s Q 1"]);
}

#[test]
fn a_tail_that_begins_anew_has_another_filter_and_a_whole_rate() {
    let (mut tails, now) = (tails(2), Instant::now());
    tails.begin(1, "s", "P");
    for _ in 0..3 {
        tails.happens("P", now);
    }
    tails.told(1);
    tails.add(connection(1), &"s".into(), "P".into(), role("owners"), only_deletes());
    tails.happens("P", now);
    for _ in 0..3 {
        tails.see(&event("P", "teams.T.delete", "T"), now);
    }
    assert_eq!(tails.told(1), ["s P 2", "s P 2/1"]);
}

#[test]
fn a_tail_ends_with_the_role_that_lets_one_watch() {
    let (mut tails, now) = (tails(5), Instant::now());
    tails.begin(1, "s", "P");
    tails.add(connection(1), &"s".into(), "Q".into(), role("others"), Filter::everything());
    tails.happens("P", now);
    tails.happens("Q", now);
    tails.keep_held(connection(1), &[role("others"), Role::users()]);
    tails.happens("P", now);
    assert_eq!(tails.told(1), ["s Q 1"], "not even what had gathered is told");
}

#[test]
fn what_gathers_without_being_told_is_bounded() {
    let (mut tails, now) = (tails(u32::MAX), Instant::now());
    tails.begin(1, "s", "P");
    for _ in 0..MAX_WAITING + 3 {
        tails.happens("P", now);
    }
    assert_eq!(tails.told(1).last().unwrap(), &format!("s P {MAX_WAITING}/3"));
}

#[derive(Debug, Clone)]
enum Step {
    Add { connection: u32, subscription: u8, project: u8, deletes: bool, other_team: bool },
    Remove { connection: u32, subscription: u8 },
    Leave { connection: u32 },
    Lose { connection: u32 },
    Happen { project: u8, deletes: bool, millis: u64 },
    Flush { connection: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    let (connection, subscription, project) = (0..3_u32, 0..2_u8, 0..3_u8);
    prop_oneof![
        3 => (connection.clone(), subscription.clone(), project.clone(), any::<bool>(), any::<bool>()).prop_map(
            |(connection, subscription, project, deletes, other_team)|
                Step::Add { connection, subscription, project, deletes, other_team }
        ),
        1 => (connection.clone(), subscription)
            .prop_map(|(connection, subscription)| Step::Remove { connection, subscription }),
        1 => connection.clone().prop_map(|connection| Step::Leave { connection }),
        1 => connection.clone().prop_map(|connection| Step::Lose { connection }),
        8 => (project, any::<bool>(), 0..400_u64)
            .prop_map(|(project, deletes, millis)| Step::Happen { project, deletes, millis }),
        4 => connection.prop_map(|connection| Step::Flush { connection }),
    ]
}

/// A tail as one would write it down: everything in one list, nothing looked up.
struct Naive {
    connection: u32,
    subscription: String,
    project: String,
    deletes: bool,
    other_team: bool,
    /// Tokens in nanoseconds of the rate.
    tokens: u128,
    last: Instant,
    delivered: u64,
    dropped: u64,
}

const RATE: u32 = 4;
const SECOND: u128 = 1_000_000_000;

proptest! {
    #[test]
    fn tails_are_told_what_one_list_of_them_would_be(steps in prop::collection::vec(step(), 0..80)) {
        let mut tails = tails(RATE);
        let mut naive: Vec<Naive> = Vec::new();
        let mut now = Instant::now();
        let name = |number: u8| format!("x{number}");
        for step in steps {
            match step {
                Step::Add { connection: number, subscription, project, deletes, other_team } => {
                    let team = if other_team { "others" } else { "owners" };
                    let filter = if deletes { only_deletes() } else { Filter::everything() };
                    let (subscription, project) = (name(subscription), name(project));
                    tails.add(
                        connection(number), &subscription.as_str().into(), project.as_str().into(), role(team), filter,
                    );
                    naive.retain(|tail| {
                        (tail.connection, &tail.subscription, &tail.project) != (number, &subscription, &project)
                    });
                    naive.push(Naive {
                        connection: number, subscription, project, deletes, other_team,
                        tokens: u128::from(RATE) * SECOND, last: now, delivered: 0, dropped: 0,
                    });
                }
                Step::Remove { connection: number, subscription } => {
                    let subscription = name(subscription);
                    let before = naive.len();
                    naive.retain(|tail| tail.connection != number || tail.subscription != subscription);
                    let removed = tails.remove(connection(number), &subscription.as_str().into());
                    prop_assert_eq!(removed, naive.len() < before);
                }
                Step::Leave { connection: number } => {
                    tails.leave(connection(number));
                    naive.retain(|tail| tail.connection != number);
                }
                Step::Lose { connection: number } => {
                    tails.keep_held(connection(number), &[role("owners")]);
                    naive.retain(|tail| tail.connection != number || !tail.other_team);
                }
                Step::Happen { project, deletes, millis } => {
                    now += Duration::from_millis(millis);
                    let action = if deletes { "teams.T.delete" } else { "teams.T.create" };
                    let mut concerned = tails.see(&event(&name(project), action, "T"), now);
                    concerned.dedup();
                    let mut expected = Vec::new();
                    for tail in &mut naive {
                        let earned = now.duration_since(tail.last).as_nanos() * u128::from(RATE);
                        tail.tokens = (tail.tokens + earned).min(u128::from(RATE) * SECOND);
                        tail.last = now;
                        if tail.project != name(project) || (tail.deletes && !deletes) {
                            continue;
                        }
                        expected.push(connection(tail.connection));
                        if tail.tokens >= SECOND {
                            tail.tokens -= SECOND;
                            tail.delivered += 1;
                        } else {
                            tail.dropped += 1;
                        }
                    }
                    expected.sort();
                    expected.dedup();
                    prop_assert_eq!(concerned, expected);
                }
                Step::Flush { connection: number } => {
                    let mut expected = Vec::new();
                    for tail in naive.iter_mut().filter(|tail| tail.connection == number) {
                        let (delivered, dropped) =
                            (std::mem::take(&mut tail.delivered), std::mem::take(&mut tail.dropped));
                        let of = format!("{} {}", tail.subscription, tail.project);
                        if delivered > 0 {
                            expected.push(format!("{of} {delivered}"));
                        }
                        if dropped > 0 {
                            expected.push(format!("{of} {delivered}/{dropped}"));
                        }
                    }
                    let mut told = tails.told(number);
                    told.sort();
                    expected.sort();
                    prop_assert_eq!(told, expected);
                }
            }
        }
        let held: usize = tails.connections.values().map(BTreeSet::len).sum();
        prop_assert_eq!(held, naive.len());
        let filed: usize = tails.projects.values().map(BTreeMap::len).sum();
        prop_assert_eq!(filed, naive.len());
    }
}
