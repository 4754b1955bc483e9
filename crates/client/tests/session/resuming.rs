//! Going on after a drop.

use realtime_client::{Event, Gap, State};
use serde_json::json;

use crate::server::Kind;
use crate::talk::Talk;

/// A small xorshift, so that each run of a test is the same.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[test]
fn two_hundred_drops_among_twenty_thousand_events_lose_none_and_repeat_none() {
    let mut talk = Talk::new(Kind::Resuming);
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let documents = talk.subscribe(["documents"]);
    let both = talk.subscribe(["documents", "files"]);
    let quiet = talk.subscribe(["quiet"]);
    let mut expected: [Vec<u64>; 3] = Default::default();
    for number in 1..=20_000 {
        let channel = match dice.below(100) {
            0 => "quiet",
            1..50 => "documents",
            _ => "files",
        };
        match channel {
            "quiet" => expected[2].push(number),
            "documents" => {
                expected[0].push(number);
                expected[1].push(number);
            }
            _ => expected[1].push(number),
        }
        talk.server.publish(channel);
        // Some events are on their way when the line is cut.
        if dice.below(8) == 0 {
            talk.settle();
        }
        if number % 100 == 0 {
            talk.cut([1006, 1001, 1012, 1013][usize::try_from(dice.below(4)).expect("small")]);
            talk.pass(std::time::Duration::from_millis(dice.below(20_000)));
        }
    }
    talk.seconds(60);
    assert!(talk.requests.len() > 150, "{} connections", talk.requests.len());
    for (id, expected) in [documents, both, quiet].into_iter().zip(expected) {
        assert!(talk.numbers(id) == expected, "{} of {}", talk.numbers(id).len(), expected.len());
    }
    assert!(!talk.states.iter().any(|state| matches!(state, State::Gap { .. })));
}

#[test]
fn a_subscription_keeps_its_id_and_says_where_it_was() {
    let mut talk = Talk::new(Kind::Resuming);
    let id = talk.subscribe(["documents"]);
    talk.publish("documents");
    talk.publish("documents");
    talk.cut(1006);
    talk.seconds(5);
    let said = talk.server.heard.iter().rfind(|message| message["type"] == "subscribe");
    let item =
        json!([{ "subscriptionId": id.to_string(), "channels": ["documents"], "queries": [], "since": "2" }]);
    assert_eq!(said.map(|message| &message["data"]), Some(&item));
    assert!(talk.states.contains(&State::Recovered { subscription: id }));
}

#[test]
fn a_server_that_cannot_resume_leaves_a_gap_that_is_told_with_the_next_event_too() {
    for kind in [Kind::Forgetful, Kind::UrlOnly, Kind::UrlMostly, Kind::Ancient] {
        let mut talk = Talk::new(kind);
        let id = talk.subscribe(["documents"]);
        talk.publish("documents");
        talk.cut(1006);
        talk.seconds(5);
        talk.publish("documents");
        talk.publish("documents");
        assert!(talk.states.contains(&State::Gap { subscription: id, gap: Gap::Unvouched }), "{kind:?}");
        let gaps: Vec<_> = talk.events.iter().map(|(_, event)| event.gap.clone()).collect();
        assert_eq!(gaps, [None, Some(Gap::Unvouched), None]);
    }
}

/// A resuming server that is caught lying: `says` is its item for the subscription, `then` are ids that it sends.
fn lie(says: serde_json::Value, then: &[&str]) -> (Vec<String>, Vec<State>) {
    let mut talk = Talk::new(Kind::Resuming);
    let id = talk.subscribe(["documents"]);
    talk.publish("documents");
    talk.publish("documents");
    talk.cut(1006);
    talk.states.clear();
    talk.stalled = true;
    talk.seconds(5);
    talk.session.opened(talk.now);
    talk.link = crate::talk::Link::Up;
    talk.hear(r#"{"type":"connected","data":{}}"#);
    let mut item = says;
    if item.is_object() && item.get("subscriptionId").is_none() {
        item["subscriptionId"] = id.to_string().into();
    }
    let response = json!({ "type": "response", "data": { "to": "subscribe", "subscriptions": [item] } });
    talk.hear(&response.to_string());
    talk.events.clear();
    for event in then {
        let data = json!({ "id": event, "payload": {}, "subscriptions": [id.to_string()] });
        talk.hear(&json!({ "type": "event", "data": data }).to_string());
    }
    let ids = |event: &Event| event.id.as_deref().unwrap_or_default().to_owned();
    (talk.events.iter().map(|(_, event)| ids(event)).collect(), talk.states)
}

#[test]
fn a_server_that_repeats_what_was_seen_is_not_believed() {
    let (events, _) = lie(json!({ "recovered": true }), &["1", "2", "3", "2", "3", "4"]);
    assert_eq!(events, ["3", "4"]);
}

#[test]
fn only_a_clear_yes_for_this_subscription_counts_as_recovered() {
    let told = |says: serde_json::Value| {
        let (_, states) = lie(says, &[]);
        states.into_iter().find_map(|state| match state {
            State::Recovered { .. } => Some(Ok(())),
            State::Gap { gap, .. } => Some(Err(gap)),
            _ => None,
        })
    };
    assert_eq!(told(json!({ "recovered": true })), Some(Ok(())));
    let reason = Gap::Unrecovered("too long ago".to_owned());
    assert_eq!(told(json!({ "recovered": false, "reason": "too long ago" })), Some(Err(reason)));
    for vague in [
        json!({ "recovered": "yes" }),
        json!({ "recovered": true, "subscriptionId": "another" }),
        json!({ "recovered": true, "subscriptionId": 7 }),
        json!({}),
        json!(null),
        json!("recovered"),
    ] {
        assert_eq!(told(vague.clone()), Some(Err(Gap::Unvouched)), "{vague}");
    }
}

#[test]
fn what_a_server_vouches_for_unasked_means_nothing() {
    let mut talk = Talk::new(Kind::Resuming);
    talk.subscribe(["documents"]);
    talk.publish("documents");
    talk.hear(r#"{"type":"response","data":{"to":"subscribe","subscriptions":[{"recovered":false}]}}"#);
    assert!(!talk.states.iter().any(|state| matches!(state, State::Gap { .. } | State::Recovered { .. })));
}

#[test]
fn a_gap_of_the_server_itself_is_told_to_every_subscription() {
    let mut talk = Talk::new(Kind::Resuming);
    let ids = [talk.subscribe(["documents"]), talk.subscribe(["files"])];
    talk.hear(r#"{"type":"gap","data":{"reason":"gap"}}"#);
    let gap = Gap::Unrecovered("gap".to_owned());
    for subscription in ids {
        assert!(talk.states.contains(&State::Gap { subscription, gap: gap.clone() }));
    }
    talk.publish("documents");
    talk.publish("documents");
    let told: Vec<_> = talk.events.iter().map(|(_, event)| event.gap.clone()).collect();
    assert_eq!(told, [Some(gap), None]);
}
