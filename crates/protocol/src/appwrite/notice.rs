//! What a client is told, events as they are aside: [`Notice`] to JSON text.

use bytes::Bytes;
use realtime_core::channel::Channel;
use realtime_core::command::SlotKey;
use realtime_core::id::SubscriptionId;
use realtime_core::notice::{Notice, Recovery, Subscribed};
use realtime_core::replay::Lost;
use realtime_core::tail::{Seen, Tailed};
use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::refusal::{self, Masking};
use crate::codec::Message;

/// The text of a notice; `None` for a heartbeat, which transports have their own ways for.
pub(super) fn encode(notice: &Notice, masking: Masking) -> Option<Message> {
    let message = match notice {
        Notice::Connected { channels, slots, profile, recovery } => spell(
            "connected",
            &Connected {
                channels: names(channels),
                subscriptions: Slots(slots),
                user: profile.as_ref().and_then(object),
                recovered: Recovered::of(*recovery),
            },
        ),
        Notice::Authenticated { profile } => {
            spell("response", &Authenticated { to: "authentication", success: true, user: object(profile) })
        }
        Notice::Subscribed(items) => {
            let subscriptions = items.iter().map(WireSubscribed::of).collect();
            spell("response", &Response { to: "subscribe", success: true, subscriptions })
        }
        Notice::Unsubscribed(items) => {
            let subscriptions = items
                .iter()
                .map(|(id, removed)| Unsubscribed { id: id.as_str(), removed: *removed })
                .collect();
            spell("response", &Response { to: "unsubscribe", success: true, subscriptions })
        }
        Notice::Presented(presence) => {
            spell("response", &Presented { to: "presence", presence: object(presence) })
        }
        Notice::Tailed(tailed) => tail(tailed),
        Notice::Gap => spell("gap", &Gap { reason: GAP }),
        Notice::Pong => Message::own(Bytes::from_static(br#"{"type":"pong"}"#)),
        Notice::Refused(refused) => spell(
            "error",
            &Error { code: refusal::code(refused.kind), message: &refusal::shown(refused, masking) },
        ),
        Notice::Heartbeat => return None,
    };
    Some(message)
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    data: &'a T,
}

#[derive(Serialize)]
struct Connected<'a> {
    channels: Vec<&'a str>,
    subscriptions: Slots<'a>,
    user: Option<&'a RawValue>,
    #[serde(flatten)]
    recovered: Option<Recovered>,
}

/// Whether what was missed follows; there only if there was something to come back to. Not Appwrite's.
#[derive(Serialize)]
struct Recovered {
    recovered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl Recovered {
    fn of(recovery: Option<Recovery>) -> Option<Self> {
        recovery.map(|recovery| match recovery {
            Ok(()) => Self { recovered: true, reason: None },
            Err(Lost::Unknown) => Self { recovered: false, reason: Some("unknown") },
            Err(Lost::Gap) => Self { recovered: false, reason: Some(GAP) },
        })
    }
}

/// Why events may be missing: their source was away.
const GAP: &str = "gap";

/// Events may be missing. Not Appwrite's.
#[derive(Serialize)]
struct Gap {
    reason: &'static str,
}

#[derive(Serialize)]
struct Authenticated<'a> {
    to: &'static str,
    success: bool,
    user: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Response<T> {
    to: &'static str,
    success: bool,
    subscriptions: Vec<T>,
}

/// The one answer of Appwrite's without `success`.
#[derive(Serialize)]
struct Presented<'a> {
    to: &'static str,
    presence: Option<&'a RawValue>,
}

/// A live tail's message looks like an event, without a time of its own.
#[derive(Serialize)]
struct Tail<'a, T> {
    channels: [&'a str; 1],
    events: [&'static str; 1],
    subscriptions: [&'a str; 1],
    payload: T,
}

#[derive(Serialize)]
struct TailStats {
    #[serde(rename = "$type")]
    kind: &'static str,
    delivered: u64,
    dropped: u64,
}

fn tail(tailed: &Tailed) -> Message {
    let channel = Channel::tail(&tailed.project);
    let (channels, subscriptions) = ([channel.as_str()], [tailed.subscription.as_str()]);
    match &tailed.seen {
        Seen::Events(events) => {
            let payload: Vec<&RawValue> = events.iter().filter_map(object).collect();
            spell("event", &Tail { channels, events: ["console.tail"], subscriptions, payload })
        }
        Seen::Sampled { delivered, dropped } => {
            let payload = TailStats { kind: "tail.stats", delivered: *delivered, dropped: *dropped };
            spell("event", &Tail { channels, events: ["console.tail.stats"], subscriptions, payload })
        }
    }
}

#[derive(Serialize)]
struct WireSubscribed<'a> {
    #[serde(rename = "subscriptionId")]
    id: &'a str,
    channels: Vec<&'a str>,
    queries: &'a [String],
    #[serde(flatten)]
    recovered: Option<Recovered>,
}

impl<'a> WireSubscribed<'a> {
    fn of(made: &'a Subscribed) -> Self {
        Self {
            id: made.id.as_str(),
            channels: names(&made.channels),
            queries: &made.queries,
            recovered: Recovered::of(made.recovery),
        }
    }
}

#[derive(Serialize)]
struct Unsubscribed<'a> {
    #[serde(rename = "subscriptionId")]
    id: &'a str,
    removed: bool,
}

#[derive(Serialize)]
struct Error<'a> {
    code: u16,
    message: &'a str,
}

/// An object if there are slots, since native SDKs of the slot era want a map; an empty list if there are none, as PHP
/// writes it.
struct Slots<'a>(&'a [(SlotKey, SubscriptionId)]);

impl Serialize for Slots<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_empty() {
            serializer.serialize_seq(Some(0))?.end()
        } else {
            serializer.collect_map(self.0.iter().map(|(key, id)| (key.0.as_str(), id.as_str())))
        }
    }
}

fn names(channels: &[Channel]) -> Vec<&str> {
    channels.iter().map(Channel::as_str).collect()
}

/// A profile byte for byte; a directory that gave anything but JSON breaks no message.
fn object(profile: &Bytes) -> Option<&RawValue> {
    serde_json::from_slice(profile).ok()
}

fn spell<T: Serialize>(kind: &'static str, data: &T) -> Message {
    #[expect(
        clippy::expect_used,
        reason = "texts, booleans, numbers, lists and raw JSON always have a spelling"
    )]
    let text = serde_json::to_vec(&Envelope { kind, data }).expect("a notice has JSON");
    Message::own(text)
}

#[cfg(test)]
mod tests {
    use realtime_core::refusal::{Refusal, RefusalKind};

    use super::*;

    fn told(notice: &Notice) -> String {
        let message = encode(notice, Masking::Faults).unwrap_or_default();
        assert!(message.shared.is_empty());
        String::from_utf8_lossy(&message.own).into_owned()
    }

    fn connected(slots: &[(&str, &str)], profile: Option<&'static str>) -> Notice {
        let slots = slots.iter().map(|(key, id)| (SlotKey((*key).to_owned()), SubscriptionId::new(id)));
        Notice::Connected {
            channels: vec!["account".into(), "account.U".into()],
            slots: slots.collect(),
            profile: profile.map(|text| Bytes::from_static(text.as_bytes())),
            recovery: None,
        }
    }

    #[test]
    fn connected_shows_slots_as_an_object_and_the_profile_byte_for_byte() {
        assert_eq!(
            told(&connected(&[("1", "s1"), ("a\"b", "s0")], Some(r#"{"$id" : "U","prefs":{},"big":1.0e2}"#))),
            concat!(
                r#"{"type":"connected","data":{"channels":["account","account.U"],"#,
                r#""subscriptions":{"1":"s1","a\"b":"s0"},"#,
                r#""user":{"$id" : "U","prefs":{},"big":1.0e2}}}"#
            )
        );
    }

    #[test]
    fn connected_shows_no_slots_as_an_empty_list_and_a_guest_as_null() {
        assert_eq!(
            told(&Notice::Connected { channels: vec![], slots: vec![], profile: None, recovery: None }),
            r#"{"type":"connected","data":{"channels":[],"subscriptions":[],"user":null}}"#
        );
    }

    #[test]
    fn a_profile_that_is_not_json_is_left_out() {
        assert!(told(&connected(&[], Some("{broken"))).ends_with(r#""user":null}}"#));
    }

    #[test]
    fn responses_say_what_they_answer() {
        assert_eq!(
            told(&Notice::Authenticated { profile: Bytes::from_static(br#"{"$id":"U"}"#) }),
            r#"{"type":"response","data":{"to":"authentication","success":true,"user":{"$id":"U"}}}"#
        );
        assert_eq!(
            told(&Notice::Presented(Bytes::from_static(br#"{"$id":"R"}"#))),
            r#"{"type":"response","data":{"to":"presence","presence":{"$id":"R"}}}"#
        );
        let made = Subscribed {
            id: "s1".into(),
            channels: vec!["account".into()],
            queries: vec![r#"{"method":"equal"}"#.to_owned()],
            recovery: None,
        };
        assert_eq!(
            told(&Notice::Subscribed(vec![made])),
            concat!(
                r#"{"type":"response","data":{"to":"subscribe","success":true,"subscriptions":["#,
                r#"{"subscriptionId":"s1","channels":["account"],"queries":["{\"method\":\"equal\"}"]}]}}"#
            )
        );
        assert_eq!(
            told(&Notice::Unsubscribed(vec![("s1".into(), true), ("x\"y".into(), false)])),
            concat!(
                r#"{"type":"response","data":{"to":"unsubscribe","success":true,"subscriptions":["#,
                r#"{"subscriptionId":"s1","removed":true},{"subscriptionId":"x\"y","removed":false}]}}"#
            )
        );
    }

    #[test]
    fn a_tail_is_told_as_events_of_its_channel() {
        let tailed =
            |seen| Notice::Tailed(Tailed { project: "P".into(), subscription: "tail-1".into(), seen });
        let events =
            [r#"{"event":"a.b","userId":null}"#, "{}"].map(|text| Bytes::from_static(text.as_bytes()));
        assert_eq!(
            told(&tailed(Seen::Events(events.into()))),
            concat!(
                r#"{"type":"event","data":{"channels":["console.tail.P"],"events":["console.tail"],"#,
                r#""subscriptions":["tail-1"],"payload":[{"event":"a.b","userId":null},{}]}}"#
            )
        );
        assert_eq!(
            told(&tailed(Seen::Sampled { delivered: 5, dropped: 15 })),
            concat!(
                r#"{"type":"event","data":{"channels":["console.tail.P"],"events":["console.tail.stats"],"#,
                r#""subscriptions":["tail-1"],"payload":{"$type":"tail.stats","delivered":5,"dropped":15}}}"#
            )
        );
    }

    #[test]
    fn an_error_has_a_code_and_a_message() {
        assert_eq!(
            told(&Notice::Refused(Refusal::invalid("Message format is not valid."))),
            r#"{"type":"error","data":{"code":1003,"message":"Message format is not valid."}}"#
        );
        assert_eq!(
            told(&Notice::Refused(Refusal::new(RefusalKind::Internal, "a stack trace"))),
            r#"{"type":"error","data":{"code":500,"message":"Error: Server Error"}}"#
        );
    }

    #[test]
    fn a_pong_is_short_and_a_heartbeat_is_not_ours() {
        assert_eq!(told(&Notice::Pong), r#"{"type":"pong"}"#);
        assert_eq!(encode(&Notice::Heartbeat, Masking::Faults), None);
    }
}
