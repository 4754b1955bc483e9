//! An event as its receivers see it: one text for all of them, and for each the ids of its subscriptions.

use std::fmt;

use bytes::Bytes;
use realtime_core::event::{Event, SpellingSlot};
use realtime_core::id::SubscriptionId;
use realtime_core::notice::Delivery;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::codec::Message;

/// Room for what is put around an event's `data`, its name and id aside.
const AROUND: usize = 80;

/// The key that belongs to the receiver.
const SUBSCRIPTIONS: &str = "subscriptions";

/// The event's text, spelled once for all receivers, and this receiver's end of it.
pub(super) fn encode(delivery: &Delivery) -> Message {
    let event = &delivery.event;
    Message {
        shared: event.spellings.get_or_spell(SpellingSlot::Appwrite, || head(event)),
        own: tail(&delivery.subscriptions),
    }
}

/// Everything up to the receiver's subscriptions: `data` as the publisher wrote it, then `event` and `id` unless the
/// publisher gave them.
fn head(event: &Event) -> Bytes {
    let members = members(&event.data);
    let has = |key: &str| members.iter().any(|(known, _)| known == key);
    let name_length = event.name.as_ref().map_or(0, |name| name.len());
    let mut out = Vec::with_capacity(AROUND + event.data.len() + name_length + event.id.as_str().len());
    out.extend_from_slice(br#"{"type":"event","data":{"#);
    if has(SUBSCRIPTIONS) {
        // Twice the same key means something else to every parser.
        for (key, value) in members.iter().filter(|(key, _)| key != SUBSCRIPTIONS) {
            put_key(&mut out, key);
            out.extend_from_slice(value.get().as_bytes());
        }
    } else if !members.is_empty() {
        out.extend_from_slice(without_braces(&event.data));
    }
    if let Some(name) = event.name.as_deref().filter(|_| !has("event")) {
        let names = members.iter().find(|(key, _)| key == "events").map(|(_, names)| *names);
        put_key(&mut out, "event");
        put_text(&mut out, most_specific(name, names));
    }
    if !has("id") {
        put_key(&mut out, "id");
        put_text(&mut out, event.id.as_str());
    }
    put_key(&mut out, SUBSCRIPTIONS);
    Bytes::from(out)
}

/// The name that says most of what happened: Appwrite puts `users.U.update` before `users.U.update.name`.
fn most_specific<'a>(first: &'a str, names: Option<&'a RawValue>) -> &'a str {
    let names: Option<Vec<&str>> = names.and_then(|names| serde_json::from_str(names.get()).ok());
    let says_more = |name: &&str| {
        name.strip_prefix(first).is_some_and(|more| more.starts_with('.') && !more.contains('*'))
    };
    names.unwrap_or_default().into_iter().filter(says_more).max_by_key(|name| name.len()).unwrap_or(first)
}

/// What closes the list of subscriptions, `data` and the message.
const END: &[u8] = b"]}}";

/// The receiver's subscriptions and the end of the message, in one allocation unless an id needs escapes.
fn tail(ids: &[SubscriptionId]) -> Bytes {
    let mut out = Vec::with_capacity(tail_room(ids));
    out.push(b'[');
    for (place, id) in ids.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        put_text(&mut out, id.as_str());
    }
    out.extend_from_slice(END);
    Bytes::from(out)
}

/// The length of a tail without escapes, exactly: a vector that is full becomes `Bytes` without another allocation.
fn tail_room(ids: &[SubscriptionId]) -> usize {
    let quoted: usize = ids.iter().map(|id| id.as_str().len() + 2).sum();
    1 + quoted + ids.len().saturating_sub(1) + END.len()
}

/// `"key":`, after a comma unless it is the first.
fn put_key(out: &mut Vec<u8>, key: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    put_text(out, key);
    out.push(b':');
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    // Without a way out of the loop, so that the compiler looks at many bytes at a time.
    let needs_escape =
        text.bytes().fold(false, |needs, byte| needs | (byte < b' ') | (byte == b'"') | (byte == b'\\'));
    if needs_escape {
        out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    } else {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    }
}

fn without_braces(object: &[u8]) -> &[u8] {
    let object = object.trim_ascii();
    object.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")).unwrap_or_default().trim_ascii()
}

/// The members of a JSON object; none for anything else, so that no event can break a message.
fn members(object: &[u8]) -> Vec<(String, &RawValue)> {
    serde_json::from_slice(object).map_or_else(|_| Vec::new(), |Members(members)| members)
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use realtime_core::event::Spellings;
    use realtime_core::query::Payload;
    use serde_json::{Map, Value, json};

    use super::*;

    fn event(data: &str, name: Option<&str>, id: &str) -> Arc<Event> {
        Arc::new(Event {
            id: id.into(),
            project: "p".into(),
            channels: vec!["files".into()],
            roles: vec![],
            name: name.map(Arc::from),
            user: None,
            data: Bytes::copy_from_slice(data.as_bytes()),
            payload: Payload::new(Bytes::from_static(b"{}")),
            roles_changed: None,
            spellings: Spellings::default(),
        })
    }

    fn delivered(event: &Arc<Event>, ids: &[&str]) -> Message {
        let subscriptions = ids.iter().map(SubscriptionId::new).collect();
        encode(&Delivery { event: Arc::clone(event), subscriptions })
    }

    fn text(message: &Message) -> String {
        String::from_utf8([&message.shared[..], &message.own[..]].concat()).unwrap()
    }

    #[test]
    fn data_is_forwarded_byte_for_byte_with_event_id_and_subscriptions_after_it() {
        let data = r#"{ "events":["a.b"] ,"payload":{"big":12345678901234567890123,"f":1.0,"e":{}} }"#;
        assert_eq!(
            text(&delivered(&event(data, Some("a.b"), "e1"), &["s1", "s2"])),
            concat!(
                r#"{"type":"event","data":{"#,
                r#""events":["a.b"] ,"payload":{"big":12345678901234567890123,"f":1.0,"e":{}}"#,
                r#","event":"a.b","id":"e1","subscriptions":["s1","s2"]}}"#
            )
        );
    }

    #[test]
    fn the_event_is_the_name_that_says_most() {
        let events = [
            "users.U.update",
            "users.*.update",
            "users.U.update.name",
            "users.*.update.name",
            "users.U.update.*",
            "users.U",
            "users.*",
        ];
        let shown = |events: &[&str]| {
            let event = event(&json!({ "events": events }).to_string(), events.first().copied(), "e1");
            let told: Value = serde_json::from_str(&text(&delivered(&event, &["s1"]))).unwrap();
            told["data"]["event"].clone()
        };
        assert_eq!(shown(&events), "users.U.update.name");
        assert_eq!(shown(&["users.U.update", "users.U.updates.x", "users.*"]), "users.U.update");
    }

    #[test]
    fn an_event_without_a_name_has_no_event_key() {
        assert_eq!(
            text(&delivered(&event(" {\n} ", None, "e1"), &["s1"])),
            r#"{"type":"event","data":{"id":"e1","subscriptions":["s1"]}}"#
        );
    }

    #[test]
    fn the_publishers_own_event_and_id_stay() {
        assert_eq!(
            text(&delivered(&event(r#"{"\u0065vent":"own","id":7}"#, Some("a.b"), "e1"), &["s1"])),
            r#"{"type":"event","data":{"\u0065vent":"own","id":7,"subscriptions":["s1"]}}"#
        );
    }

    #[test]
    fn the_publishers_own_subscriptions_do_not_survive() {
        let data = r#"{"subscriptions":["forged"],"a" : [1, 2],"b\"":{},"subscriptions":1}"#;
        assert_eq!(
            text(&delivered(&event(data, None, "e1"), &["s1"])),
            r#"{"type":"event","data":{"a":[1, 2],"b\"":{},"id":"e1","subscriptions":["s1"]}}"#
        );
        assert_eq!(
            text(&delivered(&event(r#"{"subscriptions":["forged"]}"#, None, "e1"), &["s1"])),
            r#"{"type":"event","data":{"id":"e1","subscriptions":["s1"]}}"#
        );
    }

    #[test]
    fn data_that_is_no_object_breaks_no_message() {
        for data in ["", "[1]", "{\"a\":", "null", "{}}"] {
            assert_eq!(
                text(&delivered(&event(data, None, "e1"), &["s1"])),
                r#"{"type":"event","data":{"id":"e1","subscriptions":["s1"]}}"#
            );
        }
    }

    #[test]
    fn all_receivers_share_one_spelling() {
        let event = event(r#"{"a":1}"#, None, "e1");
        let (first, second) = (delivered(&event, &["s1"]), delivered(&event, &["s2"]));
        assert_eq!(first.shared.as_ptr(), second.shared.as_ptr());
        assert_ne!(first.own, second.own);
    }

    #[test]
    fn the_room_for_a_receivers_part_is_exact() {
        for ids in [&[][..], &["s1"], &["s1", "68a7f0c2b1d3e4f5a6b7", "unique()"]] {
            let ids: Vec<SubscriptionId> = ids.iter().map(SubscriptionId::new).collect();
            assert_eq!(tail(&ids).len(), tail_room(&ids));
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("\\PC{0,4}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn an_event_is_its_data_with_the_spliced_keys(
            members in proptest::collection::btree_map("event|id|subscriptions|payload|\\PC{0,6}", value(), 0..6),
            pretty in any::<bool>(),
            name in proptest::option::of("\\PC{0,12}"),
            id in ".{1,12}",
            ids in proptest::collection::vec(".{0,12}", 1..4),
        ) {
            let data: Map<String, Value> = members.into_iter().collect();
            let written = if pretty { serde_json::to_string_pretty(&data) } else { serde_json::to_string(&data) };
            let event = event(&written.unwrap(), name.as_deref(), &id);
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let told: Value = serde_json::from_str(&text(&delivered(&event, &ids))).unwrap();

            let mut expected = data;
            if let Some(name) = name {
                expected.entry("event").or_insert(name.into());
            }
            expected.entry("id").or_insert(id.into());
            expected.insert("subscriptions".to_owned(), json!(ids));
            prop_assert_eq!(told, json!({ "type": "event", "data": expected }));
        }

        #[test]
        fn any_data_makes_a_message_that_is_json(data in "[{}\\[\\]\":,a-b0 ]{0,40}") {
            let told = text(&delivered(&event(&data, Some("n"), "e1"), &["s1"]));
            let told: Value = serde_json::from_str(&told).unwrap();
            prop_assert_eq!(&told["data"]["subscriptions"], &json!(["s1"]));
        }
    }
}
