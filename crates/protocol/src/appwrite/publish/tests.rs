//! Bodies that backends send, and what becomes of them.

use proptest::prelude::*;
use realtime_core::event::Holder;
use realtime_core::id::{ProjectId, TeamId};
use serde_json::{Value, json};

use super::*;
use crate::appwrite::envelope;
use crate::appwrite::system_event::Unpublished;

const TIMESTAMP: &str = "2026-08-21T10:15:30.123+00:00";

fn body(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

fn parsed(value: &Value) -> Vec<Publication> {
    parse(&body(value)).unwrap()
}

fn outcome(publication: &Publication) -> Result<Outcome<Vec<Envelope>>, PublishError> {
    let (project, team, id) = (ProjectId::from("P"), TeamId::from("TEAM"), EventId::from("e1"));
    let context = Context { project: &project, team: Some(&team), legacy_channels: false };
    publication.envelopes(&context, &Stamp { timestamp: TIMESTAMP, id: &id })
}

/// The envelopes of a body with one event.
fn published(value: &Value) -> Vec<Envelope> {
    match outcome(parsed(value).first().unwrap()).unwrap() {
        Outcome::Published(envelopes) => envelopes,
        Outcome::Unpublished(reason) => panic!("not published: {reason}"),
    }
}

/// What is wrong with a body of one event, wherever it is found out.
fn fault(value: &Value) -> PublishError {
    match parse(&body(value)) {
        Ok(publications) => outcome(publications.first().unwrap()).unwrap_err(),
        Err(error) => error,
    }
}

/// The field that is wrong in a body of one event.
fn faulty_field(value: &Value) -> &'static str {
    let error = fault(value);
    let PublishError::Item { item: 0, field, .. } = error else { panic!("{error:?}") };
    field
}

#[test]
fn an_event_with_channels_and_roles_is_published_as_it_stands() {
    let envelopes = published(&json!({
        "channels": ["rooms.1", "rooms.1"], "roles": ["user:U", "team:T/owner"], "event": "rooms.1.message",
        "payload": {"text": "hi"}
    }));
    let [envelope] = envelopes.as_slice() else { panic!("{envelopes:?}") };
    assert_eq!(envelope.project.as_str(), "P");
    assert_eq!(envelope.channels, ["rooms.1"]);
    assert_eq!(envelope.roles, [Role::from("user:U"), Role::from("team:T/owner")]);
    assert_eq!(envelope.events, ["rooms.1.message"]);
    assert_eq!((envelope.timestamp.as_str(), envelope.id.as_str()), (TIMESTAMP, "e1"));
    assert_eq!(envelope.payload.as_str(), r#"{"text":"hi"}"#);
}

#[test]
fn several_names_may_be_given_with_channels_and_roles() {
    let envelopes = published(&json!({"channels": ["a"], "roles": ["any"], "events": ["x.1", "x.*"]}));
    assert_eq!(envelopes.first().unwrap().events, ["x.1", "x.*"]);
}

#[test]
fn an_event_with_a_payload_alone_is_derived() {
    let envelopes = published(&json!({
        "event": "databases.main.collections.posts.documents.p1.create",
        "payload": {"$id": "p1", "$permissions": ["read(\"user:U\")"], "title": "Hello"}
    }));
    let [envelope] = envelopes.as_slice() else { panic!("{envelopes:?}") };
    assert_eq!(envelope.channels.len(), 16);
    assert_eq!(envelope.events.len(), 42);
    assert_eq!(envelope.roles, [Role::from("user:U")]);
    assert!(!envelope.permissions_changed);
}

#[test]
fn a_file_with_permissions_beside_it_is_derived() {
    let envelopes = published(&json!({
        "event": "buckets.[bucketId].files.[fileId].create", "params": {"bucketId": "b.1", "fileId": "f.1"},
        "permissions": ["read(\"team:T\")"], "fileSecurity": true, "payload": {"name": "logo.png"}
    }));
    assert_eq!(envelopes.first().unwrap().channels.first().unwrap(), "files");
    assert_eq!(envelopes.first().unwrap().roles, [Role::from("team:T")]);
}

#[test]
fn an_event_for_project_and_console_makes_two_envelopes_with_one_id() {
    let envelopes = published(&json!({
        "event": "functions.F.executions.E.update",
        "payload": {"$id": "E", "functionId": "F", "$permissions": ["read(\"user:U\")"]}
    }));
    let [console, project] = envelopes.as_slice() else { panic!("{envelopes:?}") };
    assert_eq!((console.project.as_str(), project.project.as_str()), ("console", "P"));
    assert_eq!(console.roles, [Role::from("team:TEAM")]);
    assert_eq!(project.roles, [Role::from("user:U")]);
    assert_eq!(console.id, project.id);
}

#[test]
fn an_event_without_channels_says_so_and_why() {
    let publications = parsed(&json!({"event": "databases.D.create", "payload": {"$id": "D"}}));
    assert_eq!(outcome(publications.first().unwrap()), Ok(Outcome::Unpublished(Unpublished::Database)));
}

#[test]
fn one_event_a_list_and_a_batch_are_the_same() {
    let event = json!({"channels": ["a"], "roles": ["any"], "payload": {}});
    let one = parsed(&event);
    assert_eq!(one, parsed(&json!([event])));
    assert_eq!(one, parsed(&json!({"events": [event]})));
    assert_eq!(parsed(&json!({"events": [event, event]})).len(), 2);
}

#[test]
fn the_payload_is_kept_byte_for_byte_and_shares_the_bodys_bytes() {
    let payload = r#"{ "b" : 1.50, "a":{}, "é":"\u00e9" , "list":[] }"#;
    let text = Bytes::from(format!(r#"[{{"channels":["a"],"roles":["any"],"payload":{payload}}}]"#));
    let publications = parse(&text).unwrap();
    let kept = publications.first().unwrap().payload.as_bytes();
    assert_eq!(kept.as_ref(), payload.as_bytes());
    assert!(text.as_ptr_range().contains(&kept.as_ptr()));
    let Ok(Outcome::Published(envelopes)) = outcome(publications.first().unwrap()) else { panic!() };
    let event = envelope::decode(&envelopes.first().unwrap().encode()).unwrap();
    assert_eq!(event.payload.as_bytes().as_ref(), payload.as_bytes());
}

#[test]
fn an_absent_or_empty_list_payload_is_an_empty_object() {
    for event in [
        json!({"channels": ["a"], "roles": ["any"]}),
        json!({"channels": ["a"], "roles": ["any"], "payload": []}),
        json!({"channels": ["a"], "roles": ["any"], "payload": null}),
    ] {
        assert_eq!(published(&event).first().unwrap().payload.as_str(), "{}");
    }
}

#[test]
fn explicit_roles_are_held_to_the_grammar() {
    for role in ["everyone", "user:", "user:U/owner", "member", "role:x", "team:T/a/b", ""] {
        let event = json!({"channels": ["a"], "roles": ["any", role]});
        assert_eq!(faulty_field(&event), "roles", "{role}");
    }
}

#[test]
fn nobody_to_see_it_or_nowhere_to_hear_it_is_refused_with_advice() {
    for event in [json!({"channels": ["a"], "roles": []}), json!({"channels": ["a"]})] {
        assert_eq!(fault(&event), wrong(0, "roles", Problem::NoRoles));
    }
    for event in [json!({"roles": ["any"], "channels": []}), json!({"roles": ["any"]})] {
        assert_eq!(fault(&event), wrong(0, "channels", Problem::NoChannels));
    }
    assert_eq!(fault(&json!({"payload": {}})), wrong(0, "", Problem::Nothing));
    let text = fault(&json!({"channels": ["a"], "roles": []})).to_string();
    assert_eq!(
        text,
        "events[0].roles: say who may see it, for instance [\"user:ID\"] or [\"any\"]; or leave `channels` out and \
         give an `event`"
    );
}

#[test]
fn a_key_cannot_publish_into_another_project() {
    let own = json!({"project": "P", "channels": ["a"], "roles": ["any"]});
    assert_eq!(published(&own).first().unwrap().project.as_str(), "P");
    for project in ["Q", "console"] {
        let explicit = json!({"project": project, "channels": ["console"], "roles": ["any"]});
        assert_eq!(faulty_field(&explicit), "project");
        let derived = json!({"project": project, "event": "users.U.update", "payload": {"$id": "U"}});
        assert_eq!(faulty_field(&derived), "project");
    }
    let named = json!({"event": "projects.[projectId].ping", "params": {"projectId": "Q"}});
    assert_eq!(faulty_field(&named), "event");
}

#[test]
fn a_fault_names_the_item_and_the_field() {
    let good = json!({"channels": ["a"], "roles": ["any"]});
    let error = parse(&body(&json!([good, good, {"channels": "a", "roles": ["any"]}]))).unwrap_err();
    assert_eq!(
        error,
        wrong(2, "channels", Problem::WrongType { expected: "a list of strings", found: "\"a\"".to_owned() })
    );
    assert_eq!(error.to_string(), "events[2].channels: must be a list of strings, and is `\"a\"`");
    for (event, field) in [
        (json!({"event": 7}), "event"),
        (json!({"event": ""}), "event"),
        (json!({"event": "users.U.update", "params": ["U"]}), "params"),
        (json!({"event": "users.U.update", "payload": "x"}), "payload"),
        (json!({"event": "users.U.update", "payload": [1]}), "payload"),
        (json!({"event": "users.U.update", "userId": 7}), "userId"),
        (json!({"event": "users.U.update", "userId": "a/b"}), "userId"),
        (json!({"event": "users.U.update", "permissions": "any"}), "permissions"),
        (json!({"event": "users.U.update", "documentSecurity": 1}), "documentSecurity"),
        (json!({"event": "users.U.update", "events": ["x"]}), "events"),
        (json!({"event": "users.U.update", "permissionsChanged": true}), "permissionsChanged"),
        (json!({"event": "users.U.frobnicate"}), "event"),
        (json!({"event": "users.john.doe.update"}), "event"),
        (
            json!({"event": "presences.R.upsert", "permissions": ["any"], "payload": {"$id": "R"}}),
            "permissions",
        ),
        (json!({"channels": [""], "roles": ["any"]}), "channels"),
        (json!({"channels": ["a\n"], "roles": ["any"]}), "channels"),
        (json!({"channels": vec!["a"; MAX_LIST + 1], "roles": ["any"]}), "channels"),
        (json!({"channels": ["a"], "roles": ["any"], "params": {}}), "params"),
        (json!({"channels": ["a"], "roles": ["any"], "permissions": []}), "permissions"),
        (json!({"channels": ["a"], "roles": ["any"], "event": "x", "events": ["y"]}), "events"),
        (json!({"channels": ["a"], "roles": ["any"], "permissionsChanged": true}), "permissionsChanged"),
    ] {
        assert_eq!(faulty_field(&event), field, "{event}");
    }
}

#[test]
fn a_misspelt_field_is_refused_with_the_known_ones() {
    let text = fault(&json!({"chanels": ["a"], "roles": ["any"]})).to_string();
    assert!(text.contains("unknown field `chanels`") && text.contains("`channels`"), "{text}");
}

#[test]
fn a_field_that_stands_twice_is_refused() {
    let text = Bytes::from_static(br#"{"channels":["a"],"roles":["user:U"],"roles":["any"]}"#);
    assert!(parse(&text).unwrap_err().to_string().contains("duplicate field `roles`"));
}

#[test]
fn roles_changed_can_be_announced_for_a_user() {
    let envelopes = published(&json!({
        "channels": ["teams"], "roles": ["team:T"], "permissionsChanged": true, "userId": "U"
    }));
    let event = envelope::decode(&envelopes.first().unwrap().encode()).unwrap();
    assert_eq!(event.roles_changed, Some(Holder::User("U".into())));
}

#[test]
fn a_batch_has_at_most_a_thousand_events() {
    let event = json!({"channels": ["a"], "roles": ["any"]});
    assert_eq!(parsed(&json!(vec![&event; MAX_EVENTS])).len(), MAX_EVENTS);
    assert_eq!(
        parse(&body(&json!({"events": vec![&event; MAX_EVENTS + 1]}))),
        Err(PublishError::TooMany { events: MAX_EVENTS + 1 })
    );
    assert_eq!(parse(&body(&json!([]))), Err(PublishError::Empty));
    assert_eq!(parse(&body(&json!({"events": []}))), Err(PublishError::Empty));
}

#[test]
fn an_event_has_at_most_a_mebibyte() {
    let event =
        |payload: usize| json!({"channels": ["a"], "roles": ["any"], "payload": {"x": "x".repeat(payload)}});
    let overhead = event(0).to_string().len();
    assert!(parse(&body(&event(MAX_EVENT_BYTES - overhead))).is_ok());
    assert_eq!(
        parse(&body(&event(MAX_EVENT_BYTES - overhead + 1))),
        Err(wrong(0, "", Problem::TooLarge { bytes: MAX_EVENT_BYTES + 1 }))
    );
}

#[test]
fn what_is_no_event_at_all_is_refused() {
    for text in ["", "null", "7", "\"x\"", "{", "[{}", "{}{}"] {
        assert!(matches!(parse(&Bytes::from(text)), Err(PublishError::Body { .. })), "{text}");
    }
    for text in ["[7]", "[null]", "[[]]", "{\"events\":[7]}"] {
        assert!(
            matches!(parse(&Bytes::from(text)), Err(PublishError::Item { item: 0, field: "", .. })),
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn no_body_panics(
        text in r#"(\{|\}|\[|\]|,|:|"events"|"event"|"channels"|"roles"|"payload"|"any"|"users.U.update"|\{\}|\[\]|é| ){0,24}"#,
        noise: Vec<u8>,
    ) {
        for body in [Bytes::from(text), Bytes::from(noise)] {
            for publication in parse(&body).unwrap_or_default() {
                let _: Result<_, _> = outcome(&publication);
            }
        }
    }
}
