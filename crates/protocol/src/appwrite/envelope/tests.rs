//! Bus messages as Appwrite writes them, and as nobody should.

use proptest::prelude::*;
use realtime_core::event::Holder;

use super::*;

fn decoded(message: &str) -> Event {
    decode(&Bytes::copy_from_slice(message.as_bytes())).unwrap()
}

fn fault(message: &str) -> EnvelopeError {
    decode(&Bytes::copy_from_slice(message.as_bytes())).unwrap_err()
}

fn roles(event: &Event) -> Vec<&str> {
    event.roles.iter().map(Role::as_str).collect()
}

fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const ACCOUNT_UPDATE: &str = r#"{"project":"P","roles":["user:U"],"permissionsChanged":false,"userId":"U","data":{"events":["users.U.update","users.*.update"],"channels":["account","account.U","account.update","account.U.update"],"timestamp":"2026-08-21T10:15:30.123+00:00","payload":{"$id":"U","name":"Torsten","prefs":{},"targets":[]}}}"#;

const MEMBERSHIP_DELETE: &str = r#"{"project":"P","roles":["team:T"],"permissionsChanged":true,"userId":"U","data":{"events":["teams.T.memberships.M.delete"],"channels":["memberships","memberships.M","memberships.delete","memberships.M.delete"],"timestamp":"2026-08-21T10:15:30.123+00:00","payload":{"$id":"M","userId":"U"}}}"#;

const DOCUMENT_CREATE: &str = r#"{"project":"P","roles":["any"],"permissionsChanged":false,"userId":null,"data":{"events":["databases.D.collections.C.documents.X.create"],"channels":["documents","documents.create"],"timestamp":"2026-08-21T10:15:30.123+00:00","payload":{"$id":"X","$permissions":["read(\"any\")"],"name":"Chris Evans"}}}"#;

#[test]
fn an_account_update_of_appwrite_is_read() {
    let event = decoded(ACCOUNT_UPDATE);
    assert_eq!(event.project.as_str(), "P");
    assert_eq!(roles(&event), ["user:U"]);
    assert_eq!(event.name.as_deref(), Some("users.U.update"));
    assert_eq!(event.channels.len(), 4);
    assert_eq!(event.roles_changed, Some(Holder::StoredUser("U".into())), "it may have been a block");
    assert!(!event.is_for_all());
}

#[test]
fn a_membership_that_ends_changes_its_users_roles() {
    assert_eq!(decoded(MEMBERSHIP_DELETE).roles_changed, Some(Holder::User("U".into())));
}

#[test]
fn a_document_for_everybody_names_no_user() {
    let event = decoded(DOCUMENT_CREATE);
    assert!(event.is_for_all());
    assert_eq!(event.roles_changed, None);
}

#[test]
fn permissions_changed_without_a_user_refreshes_nobody() {
    let message = MEMBERSHIP_DELETE.replace(r#""userId":"U","data""#, r#""userId":null,"data""#);
    assert_eq!(decoded(&message).roles_changed, None);
}

#[test]
fn every_kind_of_event_that_appwrite_publishes_is_read() {
    for (project, role, channel, name, payload) in [
        (
            "P",
            "users",
            "files",
            "buckets.B.files.F.create",
            r#"{"$id":"F","bucketId":"B","sizeOriginal":1024}"#,
        ),
        (
            "console",
            "user:U",
            "functions.F",
            "functions.F.executions.E.update",
            r#"{"$id":"E","duration":0.4}"#,
        ),
        (
            "console",
            "team:TEAM",
            "console",
            "databases.D.collections.C.attributes.A.create",
            r#"{"key":"name"}"#,
        ),
        ("console", "team:TEAM", "projects.P", "projects.P.ping", r#"{"pingCount":1}"#),
        ("P", "any", "presences.R", "presences.R.upsert", r#"{"$id":"R","metadata":{"page":"/"}}"#),
    ] {
        let event = decoded(&format!(
            r#"{{"project":"{project}","roles":["{role}"],"permissionsChanged":false,"userId":null,"data":{{"events":["{name}"],"channels":["{channel}"],"timestamp":"t","payload":{payload}}}}}"#
        ));
        assert_eq!((event.project.as_str(), event.name.as_deref()), (project, Some(name)));
        assert_eq!(event.channels, [Channel::new(channel)]);
        assert_eq!(text(event.payload.as_bytes()), payload);
    }
}

#[test]
fn data_is_kept_byte_for_byte_with_unknown_keys_and_shares_the_messages_bytes() {
    let data =
        r#"{ "envelopeId" : 7, "channels":["a"],"payload": {"b" : 1.50, "a":{}, "é":"\u00e9" } ,"x":[] }"#;
    let message = Bytes::from(format!(r#" {{"project":"P","roles":["any"],"later":{{}},"data":{data}}} "#));
    let event = decode(&message).unwrap();
    assert_eq!(text(&event.data), data);
    assert_eq!(text(event.payload.as_bytes()), r#"{"b" : 1.50, "a":{}, "é":"\u00e9" }"#);
    let within = |part: &Bytes| message.as_ptr_range().contains(&part.as_ptr());
    assert!(within(&event.data) && within(event.payload.as_bytes()));
    assert_eq!(event.name, None);
}

#[test]
fn an_empty_list_as_payload_becomes_an_empty_object_and_nothing_else_changes() {
    let event = decoded(
        r#"{"project":"P","roles":["any"],"data":{"events":[],"channels":["a"],"payload":[ ], "x" : []}}"#,
    );
    assert_eq!(text(&event.data), r#"{"events":[],"channels":["a"],"payload":{}, "x" : []}"#);
    assert_eq!(text(event.payload.as_bytes()), "{}");
}

#[test]
fn an_id_in_data_is_the_events_id() {
    let message = ACCOUNT_UPDATE.replace(r#""timestamp""#, r#""id":"01J-abc_9","timestamp""#);
    assert_eq!(decoded(&message).id.as_str(), "01J-abc_9");
}

#[test]
fn without_a_usable_id_every_reader_of_the_message_derives_the_same() {
    let first = decoded(ACCOUNT_UPDATE).id;
    assert_eq!(first, decoded(ACCOUNT_UPDATE).id);
    assert_ne!(first, decoded(DOCUMENT_CREATE).id);
    assert_eq!(first.as_str().len(), 32);
    assert!(first.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
    let long = format!("\"{}\"", "x".repeat(65));
    for id in ["\"\"", "7", "null", &long, r#""a\nb""#, r#""a b""#, "\"é\""] {
        let message = ACCOUNT_UPDATE.replace(r#""timestamp""#, &format!(r#""id":{id},"timestamp""#));
        assert_eq!(decoded(&message).id.as_str().len(), 32, "{id}");
    }
}

#[test]
fn a_fault_names_the_field() {
    let cases = [
        (r#"{"roles":["any"],"data":{}}"#, EnvelopeError::Missing { field: "project" }),
        (r#"{"project":"P","data":{}}"#, EnvelopeError::Missing { field: "roles" }),
        (r#"{"project":"P","roles":[],"data":{}}"#, EnvelopeError::Empty { field: "roles" }),
        (r#"{"project":"P","roles":["any"]}"#, EnvelopeError::Missing { field: "data" }),
        (
            r#"{"project":"P","roles":["any"],"data":{"payload":{}}}"#,
            EnvelopeError::Missing { field: "data.channels" },
        ),
        (
            r#"{"project":"P","roles":["any"],"data":{"channels":["a"]}}"#,
            EnvelopeError::Missing { field: "data.payload" },
        ),
        (
            r#"{"project":"P","roles":["any"],"data":{"channels":["a"],"payload":null}}"#,
            EnvelopeError::Missing { field: "data.payload" },
        ),
        (
            r#"{"project":7,"roles":["any"],"data":{}}"#,
            EnvelopeError::WrongType { field: "project", expected: "a string", found: "7".to_owned() },
        ),
        (
            r#"{"project":"P","roles":"any","data":{}}"#,
            EnvelopeError::WrongType {
                field: "roles",
                expected: "a list of strings",
                found: "\"any\"".to_owned(),
            },
        ),
        (
            r#"{"project":"P","roles":["any"],"permissionsChanged":"1","data":{}}"#,
            EnvelopeError::WrongType {
                field: "permissionsChanged",
                expected: "true or false",
                found: "\"1\"".to_owned(),
            },
        ),
        (
            r#"{"project":"P","roles":["any"],"userId":{},"data":{}}"#,
            EnvelopeError::WrongType {
                field: "userId",
                expected: "a string or null",
                found: "{}".to_owned(),
            },
        ),
        (
            r#"{"project":"P","roles":["any"],"data":{"channels":["a"],"payload":[1]}}"#,
            EnvelopeError::WrongType {
                field: "data.payload",
                expected: "an object",
                found: "[1]".to_owned(),
            },
        ),
    ];
    for (message, expected) in cases {
        assert_eq!(fault(message), expected, "{message}");
    }
}

#[test]
fn what_is_not_one_object_is_refused() {
    for message in [
        "",
        "null",
        "[]",
        "\"x\"",
        "{",
        "{}{}",
        r#"["P",["any"],false,null,{}]"#,
        r#"{"project":"P","project":"Q","roles":["any"],"data":{}}"#,
    ] {
        assert!(
            matches!(fault(message), EnvelopeError::NotAnObject { part: "the message", .. }),
            "{message}"
        );
    }
    for data in ["[]", "7", r#"{"channels":["a"],"channels":["b"],"payload":{}}"#] {
        let message = format!(r#"{{"project":"P","roles":["any"],"data":{data}}}"#);
        assert!(matches!(fault(&message), EnvelopeError::NotAnObject { part: "data", .. }), "{message}");
    }
    let invalid_utf8 =
        Bytes::from_static(b"{\"project\":\"P\",\"roles\":[\"any\"],\"data\":{\"x\":\"\xff\"}}");
    assert!(decode(&invalid_utf8).is_err());
}

#[test]
fn deep_nesting_costs_no_stack() {
    let deep = format!("{}1{}", "{\"a\":[".repeat(100_000), "]}".repeat(100_000));
    let message =
        format!(r#"{{"project":"P","roles":["any"],"data":{{"channels":["a"],"payload":{deep}}}}}"#);
    assert_eq!(decoded(&message).payload.as_bytes().len(), deep.len());
}

#[test]
fn a_message_over_the_limit_is_refused_unread() {
    let message = Bytes::from(vec![b' '; MAX_MESSAGE_BYTES + 1]);
    assert_eq!(decode(&message).unwrap_err(), EnvelopeError::TooLarge { bytes: MAX_MESSAGE_BYTES + 1 });
}

#[test]
fn an_envelope_is_written_as_appwrite_writes_it_with_an_id() {
    let envelope = Envelope {
        project: ProjectId::from("P"),
        roles: vec![Role::any()],
        permissions_changed: false,
        user: None,
        events: vec!["users.U.update".to_owned()],
        channels: vec!["account".to_owned()],
        timestamp: "2026-08-21T10:15:30.123+00:00".to_owned(),
        payload: Object::empty(),
        id: EventId::from("e1"),
    };
    assert_eq!(
        text(&envelope.encode()),
        r#"{"project":"P","roles":["any"],"permissionsChanged":false,"userId":null,"data":{"events":["users.U.update"],"channels":["account"],"timestamp":"2026-08-21T10:15:30.123+00:00","payload":{},"id":"e1"}}"#
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        project in ".{0,12}",
        roles in prop::collection::vec(".{0,12}", 1..4),
        channels in prop::collection::vec(".{0,12}", 1..4),
        events in prop::collection::vec(".{0,12}", 0..4),
        user in prop::option::of(".{0,12}"),
        permissions_changed: bool,
        timestamp in ".{0,12}",
        id in "[!-~]{1,64}",
    ) {
        let envelope = Envelope {
            project: ProjectId::new(&project),
            roles: roles.iter().map(Role::new).collect(),
            permissions_changed,
            user: user.as_ref().map(UserId::new),
            events: events.clone(),
            channels: channels.clone(),
            timestamp,
            payload: Object(Bytes::from_static(b"{\"a\" : 1}")),
            id: EventId::new(&id),
        };
        let event = decode(&envelope.encode()).unwrap();
        prop_assert_eq!(event.id, envelope.id);
        prop_assert_eq!(event.project, envelope.project);
        prop_assert_eq!(event.roles, envelope.roles);
        prop_assert_eq!(event.channels, channels.iter().map(Channel::new).collect::<Vec<_>>());
        prop_assert_eq!(event.name.as_deref(), events.first().map(String::as_str));
        if permissions_changed {
            prop_assert_eq!(event.roles_changed, envelope.user.map(Holder::User));
        }
        prop_assert_eq!(event.payload.as_bytes().as_ref(), b"{\"a\" : 1}");
    }

    #[test]
    fn no_message_panics(cut in 0..MEMBERSHIP_DELETE.len(), at in 0..MEMBERSHIP_DELETE.len(), byte: u8, noise: Vec<u8>) {
        let mut message = MEMBERSHIP_DELETE.as_bytes().to_vec();
        if let Some(place) = message.get_mut(at) {
            *place = byte;
        }
        let _: Result<_, _> = decode(&Bytes::from(message.clone()));
        message.truncate(cut);
        let _: Result<_, _> = decode(&Bytes::from(message));
        let _: Result<_, _> = decode(&Bytes::from(noise));
    }
}
