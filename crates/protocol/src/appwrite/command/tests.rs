//! Messages, valid and not, and what is made of them.

use proptest::prelude::*;
use realtime_core::refusal::RefusalKind;
use serde_json::json;

use super::*;

fn read(message: &str) -> Result<Command, Malformed> {
    decode(message.as_bytes(), &Limits::default())
}

/// The text of the refusal, which is always for an invalid message.
fn refusal(message: &str) -> String {
    match read(message) {
        Ok(command) => format!("{command:?}"),
        Err(Malformed(refusal)) => {
            assert_eq!(refusal.kind, RefusalKind::Invalid, "{message}");
            refusal.message.into_owned()
        }
    }
}

fn said(kind: &str, data: &Value) -> String {
    json!({ "type": kind, "data": data }).to_string()
}

fn item(id: Option<&str>, channels: &[&str], queries: &[&str]) -> Subscribe {
    Subscribe {
        id: id.map(SubscriptionId::new),
        channels: channels.iter().map(Channel::new).collect(),
        filter: Filter::parse(queries, &Limits::default()).unwrap_or_default(),
        since: None,
    }
}

const EQUAL: &str = r#"{"method":"equal","attribute":"a","values":[1]}"#;

#[test]
fn a_message_that_is_no_object_with_a_type_is_of_no_valid_format() {
    for message in [
        "",
        "null",
        "{",
        "[]",
        "[1]",
        "1",
        "\"ping\"",
        "true",
        "{}",
        r#"{"test":"123"}"#,
        "{\"type\":\"ping\"}}",
        r#"{"type":"ping","n":1e999}"#,
    ] {
        assert_eq!(refusal(message), FORMAT, "{message}");
    }
    assert_eq!(decode(b"{\"type\":\"\xFF\"}", &Limits::default()), Err(invalid(FORMAT)));
}

#[test]
fn a_type_that_is_missing_or_unknown_is_not_valid() {
    for message in [
        r#"{"data":{}}"#,
        r#"{"type":null}"#,
        r#"{"type":1,"data":{}}"#,
        r#"{"type":["ping"]}"#,
        r#"{"type":"Ping"}"#,
        r#"{"type":"unknown"}"#,
    ] {
        assert_eq!(refusal(message), TYPE, "{message}");
    }
}

#[test]
fn a_ping_is_a_ping_whatever_else_it_says() {
    for message in [
        r#"{"type":"ping"}"#,
        r#" {"data":[1,{"a":null}],"type":"ping","more":12345678901234567890123} "#,
        r#"{"type":"x","type":"ping"}"#,
    ] {
        assert_eq!(read(message), Ok(Command::Ping), "{message}");
    }
}

#[test]
fn authentication_takes_a_session_or_a_jwt() {
    let session = Ok(Command::Authenticate(Credential::Session(Secret::new("s"))));
    let jwt = Ok(Command::Authenticate(Credential::Jwt(Secret::new("j"))));
    assert_eq!(read(&said("authentication", &json!({"session": "s"}))), session);
    assert_eq!(read(&said("authentication", &json!({"jwt": "j", "session": "s"}))), session);
    assert_eq!(read(&said("authentication", &json!({"jwt": "j"}))), jwt);
    assert_eq!(read(&said("authentication", &json!({"jwt": "j", "session": null}))), jwt);
}

#[test]
fn authentication_without_a_session_says_that_it_is_required() {
    for data in [json!([]), json!({}), json!(null), json!("s"), json!({"session": null}), json!(["s"])] {
        assert_eq!(refusal(&said("authentication", &data)), "Payload is not valid. Session is required");
    }
    assert_eq!(refusal(r#"{"type":"authentication"}"#), "Payload is not valid. Session is required");
}

#[test]
fn a_session_has_1_to_2048_characters() {
    let text = "session: Value must be a valid string and at least 1 chars and no longer than 2048 chars";
    for session in [json!(""), json!(1), json!(["s"]), json!("s".repeat(2_049))] {
        assert_eq!(refusal(&said("authentication", &json!({"session": session}))), text);
    }
    assert!(read(&said("authentication", &json!({"session": "é".repeat(2_048)}))).is_ok());
    assert_eq!(
        refusal(&said("authentication", &json!({"jwt": 1}))),
        "jwt: Value must be a valid string and at least 1 chars and no longer than 8192 chars"
    );
}

#[test]
fn subscribe_takes_items_in_order() {
    let data = json!([
        {"subscriptionId": "s1", "channels": ["account", "files"], "queries": [EQUAL]},
        {"channels": []},
        {"subscriptionId": "s1", "channels": ["documents"], "queries": [], "more": 1},
    ]);
    assert_eq!(
        read(&said("subscribe", &data)),
        Ok(Command::Subscribe(vec![
            item(Some("s1"), &["account", "files"], &[EQUAL]),
            item(None, &[], &[]),
            item(Some("s1"), &["documents"], &[]),
        ]))
    );
}

#[test]
fn what_php_takes_for_a_list_is_a_list() {
    assert_eq!(read(&said("subscribe", &json!({}))), Ok(Command::Subscribe(vec![])));
    let data = json!({"0": {"channels": {"0": "files"}, "queries": {}}});
    assert_eq!(read(&said("subscribe", &data)), Ok(Command::Subscribe(vec![item(None, &["files"], &[])])));
    assert_eq!(read(&said("unsubscribe", &json!({}))), Ok(Command::Unsubscribe(vec![])));
}

#[test]
fn faults_of_a_subscribe_command_are_told_in_appwrites_words() {
    let required = "Payload is not valid. Items is required";
    assert_eq!(refusal(r#"{"type":"subscribe"}"#), required);
    assert_eq!(refusal(&said("subscribe", &json!(null))), required);
    for data in [json!("files"), json!(1), json!({"channels": ["files"]}), json!({"1": {}})] {
        assert_eq!(refusal(&said("subscribe", &data)), ITEMS, "{data}");
    }
    for (item, text) in [
        (json!("files"), "items: Each subscribe payload must be an object."),
        (json!(null), "items: Each subscribe payload must be an object."),
        (json!([]), "items: channels is not present in payload."),
        (json!({"subscriptionId": null, "channels": []}), "items: subscriptionId is not a valid id."),
        (json!({"subscriptionId": 1}), "items: subscriptionId is not a valid id."),
        (json!({"subscriptionId": "a"}), "items: channels is not present in payload."),
        (json!({"channels": "files"}), "items: channels is not a valid array."),
        (json!({"channels": {"a": "files"}}), "items: channels is not a valid array."),
        (json!({"channels": ["files", 1], "queries": 1}), "items: channels must contain only strings."),
        (json!({"channels": [], "queries": "q"}), "items: queries is not a valid array."),
    ] {
        let batch = json!([{"channels": ["files"], "queries": ["not a query"]}, item]);
        assert_eq!(refusal(&said("subscribe", &batch)), text, "{batch}");
    }
}

#[test]
fn a_subscriptions_id_is_short_and_plain() {
    for id in ["a", "A1._-", &"a".repeat(36), "unique()", "0"] {
        assert!(is_subscription_id(id), "{id}");
    }
    for id in ["", "_a", ".a", "-a", "a b", "é", "unique( )", &"a".repeat(37)] {
        assert!(!is_subscription_id(id), "{id}");
    }
}

#[test]
fn a_query_that_is_wrong_is_told_after_the_batch_was_checked() {
    let faulty = |query: Value| refusal(&said("subscribe", &json!([{"channels": [], "queries": [query]}])));
    assert_eq!(faulty(json!("{")), "Invalid query: Invalid query: Syntax error");
    assert_eq!(faulty(json!(1)), "Invalid query: Each query must be a string of JSON.");
    let unsupported = faulty(json!(r#"{"method":"contains","attribute":"a","values":["b"]}"#));
    assert!(
        unsupported
            .starts_with("Invalid query: Query method 'contains' is not supported in Realtime queries."),
        "{unsupported}"
    );
    assert_eq!(
        faulty(json!(r#"{"method":"select","values":["a"]}"#)),
        "Only select(\"*\") is allowed in Realtime queries. select(\"*\") means \"listen to all events\"."
    );
}

#[test]
fn unsubscribe_takes_any_ids_that_are_not_empty() {
    let data = json!([{"subscriptionId": "s1"}, {"subscriptionId": "not one of ours"}]);
    let ids = vec![SubscriptionId::new("s1"), SubscriptionId::new("not one of ours")];
    assert_eq!(read(&said("unsubscribe", &data)), Ok(Command::Unsubscribe(ids)));
    assert_eq!(refusal(r#"{"type":"unsubscribe"}"#), "Payload is not valid. Items is required");
    assert_eq!(refusal(&said("unsubscribe", &json!("s1"))), ITEMS);
    for item in
        [json!({}), json!({"subscriptionId": ""}), json!({"subscriptionId": 1}), json!("s1"), json!([])]
    {
        assert_eq!(
            refusal(&said("unsubscribe", &json!([{"subscriptionId": "s1"}, item]))),
            "items: Each unsubscribe payload must include a non-empty subscriptionId."
        );
    }
}

#[test]
fn nesting_without_end_is_refused() {
    let message = format!(r#"{{"type":"ping","data":{}"#, "[".repeat(60_000));
    assert_eq!(refusal(&message), FORMAT);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(message in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&message, &Limits::default());
    }

    #[test]
    fn any_likely_message_is_read_without_panic(
        kind in "ping|authentication|subscribe|unsubscribe|presence",
        data in "[\\[\\]{}\":,a-c0-9 ]{0,40}|\\[\\{\"(channels|subscriptionId|queries)\":[\\[\\]\"a0{}]{0,6}\\}\\]",
    ) {
        let _ = read(&format!(r#"{{"type":"{kind}","data":{data}}}"#));
    }
}
