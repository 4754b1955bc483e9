//! A server, a network or a clock that misbehaves.

use std::time::Duration;

use proptest::prelude::*;
use realtime_client::close::{GOODBYE, RETURNS};
use realtime_client::{Credential, Gap, Presence, State};

use crate::server::Kind;
use crate::talk::{Link, Talk};

#[test]
fn html_in_place_of_an_upgrade_is_tried_again_more_and_more_slowly() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.reachable = Err("the server answers 200 OK, not as a WebSocket server does: <html>…");
    let id = talk.subscribe(["documents"]);
    talk.seconds(3600);
    assert!((100..600).contains(&talk.requests.len()), "{} attempts in an hour", talk.requests.len());
    let told = talk
        .states
        .iter()
        .any(|state| matches!(state, State::Disconnected { close, .. } if close.reason.contains("<html>")));
    assert!(told);
    talk.reachable = Ok(());
    talk.seconds(60);
    talk.publish("documents");
    assert_eq!(talk.numbers(id), [1]);
}

#[test]
fn a_server_that_asks_to_be_left_alone_is() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.stalled = true;
    talk.subscribe(["documents"]);
    talk.link = Link::Down;
    talk.session.failed("503 Service Unavailable", Some(Duration::from_secs(300)), talk.now);
    talk.settle();
    talk.seconds(299);
    assert_eq!(talk.requests.len(), 1);
    talk.seconds(60);
    assert!(talk.requests.len() > 1);
}

#[test]
fn a_server_that_connects_and_closes_at_once_is_not_hammered() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.subscribe(["documents"]);
    for _ in 0..10_000 {
        if talk.now - talk.start > Duration::from_secs(3600) {
            break;
        }
        if talk.link == Link::Up {
            talk.cut(1011);
        }
        talk.pass(Duration::from_millis(500));
    }
    assert!(talk.requests.len() < 600, "{} attempts in an hour", talk.requests.len());
}

#[test]
fn a_long_conversation_makes_the_next_pause_a_short_one() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.reachable = Err("refused");
    talk.subscribe(["documents"]);
    talk.seconds(600);
    talk.reachable = Ok(());
    talk.seconds(120);
    talk.cut(1006);
    let again = talk.states.iter().rev().find_map(|state| match state {
        State::Disconnected { again_in, .. } => *again_in,
        _ => None,
    });
    assert!(again <= Some(Duration::from_millis(500)), "{again:?}");
}

#[test]
fn a_handshake_that_never_ends_is_given_up() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.stalled = true;
    talk.subscribe(["documents"]);
    talk.seconds(14);
    assert_eq!(talk.link, Link::Dialling);
    talk.pass(Duration::from_millis(1_001));
    assert!(talk.link == Link::Down || talk.requests.len() == 2);
}

#[test]
fn a_server_that_says_nothing_after_the_handshake_is_given_up() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.stalled = true;
    talk.subscribe(["documents"]);
    talk.session.opened(talk.now);
    talk.link = Link::Up;
    talk.seconds(16);
    assert!(talk.states.iter().any(|state| matches!(state, State::Disconnected { .. })));
}

#[test]
fn a_server_that_never_answers_a_subscription_is_given_up_though_it_answers_pings() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.subscribe(["documents"]);
    talk.stalled = true;
    talk.subscribe(["files"]);
    for _ in 0..20 {
        talk.session.received(r#"{"type":"pong"}"#, talk.now);
        talk.seconds(1);
    }
    assert!(talk.states.iter().any(|state| matches!(state, State::Disconnected { .. })));
}

#[test]
fn a_ping_goes_out_every_20_seconds_and_silence_ends_the_connection() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.subscribe(["documents"]);
    talk.seconds(600);
    assert!((29..=31).contains(&talk.heard("ping")), "{} pings in 10 minutes", talk.heard("ping"));
    assert_eq!(talk.requests.len(), 1);
    talk.stalled = true;
    talk.seconds(36);
    let silent = talk
        .states
        .iter()
        .any(|state| matches!(state, State::Disconnected { close, .. } if close.reason.contains("silent")));
    assert!(silent, "{:?}", talk.states);
}

#[test]
fn a_goodbye_is_said_for_good_only() {
    let mut talk = Talk::new(Kind::Resuming);
    talk.session.authenticate(Some(Credential::jwt("a").expect("it is one")), None, talk.now);
    talk.subscribe(["documents"]);
    talk.stalled = true;
    talk.seconds(36);
    assert_eq!(talk.left_with, [RETURNS], "the server may be there, and wait for the next connection");
    talk.stalled = false;
    talk.seconds(60);
    talk.left_with.clear();
    talk.session.authenticate(None, None, talk.now);
    talk.settle();
    assert_eq!(talk.left_with, [RETURNS], "a guest comes on another connection");
    talk.session.close(talk.now);
    talk.settle();
    assert_eq!(talk.left_with, [RETURNS, GOODBYE]);

    let mut talk = Talk::new(Kind::Resuming);
    let id = talk.subscribe(["documents"]);
    talk.session.unsubscribe(id, talk.now);
    talk.seconds(60);
    assert_eq!(talk.left_with, [GOODBYE], "nothing is listened to");
}

#[test]
fn any_sign_of_life_counts_in_place_of_a_pong() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.subscribe(["documents"]);
    talk.stalled = true;
    for second in 0..600 {
        match second % 3 {
            0 => talk.session.heard(talk.now),
            1 => talk.session.received("what?", talk.now),
            _ => {}
        }
        talk.seconds(1);
    }
    assert_eq!(talk.requests.len(), 1);
}

#[test]
fn garbage_is_told_and_ignored() {
    let mut talk = Talk::new(Kind::Forgetful);
    let id = talk.subscribe(["documents"]);
    let deep = format!(
        "{{\"type\":\"event\",\"data\":{{\"payload\":{}{}}}}}",
        "[".repeat(200_000),
        "]".repeat(200_000)
    );
    let large = format!(r#"{{"type":"event","data":{{"payload":"{}"}}}}"#, "x".repeat(5_000_000));
    for garbage in ["", "\u{0}", "<html></html>", "[1]", "{\"type\":\"event\",\"data\":[]}", &deep, &large] {
        talk.hear(garbage);
    }
    let told = talk.states.iter().filter_map(|state| match state {
        State::Unreadable { beginning } => Some(beginning.len()),
        _ => None,
    });
    let told: Vec<usize> = told.collect();
    assert!(told.len() >= 4 && told.iter().all(|length| *length <= 320), "{told:?}");
    talk.publish("documents");
    assert_eq!(talk.numbers(id), [1]);
    assert_eq!(talk.requests.len(), 1);
}

#[test]
fn messages_out_of_order_do_no_harm() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.stalled = true;
    let id = talk.subscribe(["documents"]);
    let event = format!(r#"{{"type":"event","data":{{"payload":{{}},"subscriptions":["{id}"]}}}}"#);
    let response = r#"{"type":"response","data":{"to":"subscribe","success":true,"subscriptions":[]}}"#;
    let error = r#"{"type":"error","data":{"code":1003,"message":"?"}}"#;
    let connected = r#"{"type":"connected","data":{"user":null}}"#;
    for early in [&event, response, error, r#"{"type":"pong"}"#, connected] {
        talk.hear(early);
    }
    talk.session.opened(talk.now);
    talk.session.opened(talk.now);
    talk.link = Link::Up;
    for early in [&event, response, error, r#"{"type":"pong"}"#] {
        talk.hear(early);
    }
    assert!(talk.events.is_empty() && talk.ready.is_empty());
    talk.hear(connected);
    talk.hear(connected);
    talk.hear(&event);
    assert_eq!((talk.events.len(), talk.ready.len()), (1, 0), "an event may overtake the answer");
    talk.hear(response);
    talk.hear(response);
    talk.hear(error);
    assert_eq!((talk.ready.len(), talk.ended.len()), (1, 0));
}

#[test]
fn an_event_for_somebody_else_is_for_nobody() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.subscribe(["documents"]);
    talk.hear(
        r#"{"type":"event","data":{"payload":{},"subscriptions":["other","00-1"],"channels":["documents"]}}"#,
    );
    assert!(talk.events.is_empty());
}

#[test]
fn after_an_hour_of_sleep_it_looks_whether_the_server_is_there_and_goes_on() {
    for stalled in [false, true] {
        let mut talk = Talk::new(Kind::Resuming);
        let id = talk.subscribe(["documents"]);
        talk.stalled = stalled;
        talk.jump(Duration::from_secs(3600));
        talk.seconds(20);
        talk.stalled = false;
        talk.seconds(120);
        talk.publish("documents");
        assert_eq!(talk.numbers(id).len(), 1, "stalled: {stalled}");
        assert_eq!(talk.requests.len() > 1, stalled, "a living connection is kept");
    }
}

#[test]
fn a_clock_that_goes_back_stands_still_instead() {
    let mut talk = Talk::new(Kind::Forgetful);
    let id = talk.subscribe(["documents"]);
    let back = talk.now - Duration::from_secs(3600).min(Duration::from_millis(1));
    talk.session.handle_timeout(back);
    talk.session.received("{}", back);
    talk.session.closed(realtime_client::Close::lost(""), back);
    talk.link = Link::Down;
    talk.settle();
    talk.seconds(5);
    talk.publish("documents");
    assert_eq!(talk.numbers(id), [1]);
}

#[test]
fn hurrying_connects_at_once_and_asks_a_quiet_server_for_a_sign() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.reachable = Err("no network");
    talk.subscribe(["documents"]);
    talk.seconds(300);
    talk.reachable = Ok(());
    let before = talk.requests.len();
    talk.session.hurry(talk.now);
    talk.pass(Duration::ZERO);
    assert_eq!((talk.requests.len(), talk.link), (before + 1, Link::Up));
    talk.session.hurry(talk.now);
    talk.pass(Duration::ZERO);
    assert_eq!(talk.heard("ping"), 1);
}

/// Anything that may happen to a session.
#[derive(Debug, Clone)]
enum Happening {
    Subscribe(u8),
    Unsubscribe(u8),
    Update(u8),
    Authenticate(bool),
    Present(bool),
    NotProvided,
    Publish(u8),
    Say(String),
    Cut(u16),
    Pass(u32),
    Jump(u32),
    Stall(bool),
    Reachable(bool),
    Hurry,
    Close,
}

fn happening() -> impl Strategy<Value = Happening> {
    let text = prop_oneof![
        ".{0,40}",
        Just(r#"{"type":"connected","data":{"subscriptions":{"0":"x","9":"y"}}}"#.to_owned()),
        Just(r#"{"type":"response","data":{"to":"subscribe","subscriptions":[null]}}"#.to_owned()),
        Just(r#"{"type":"response","data":{"to":"unsubscribe"}}"#.to_owned()),
        (0..6_usize, prop::bool::ANY).prop_map(|(code, url)| {
            let code = [0, 401, 403, 500, 1003, 1013][code];
            let message = if url { "Message type is not valid." } else { "x" };
            format!(r#"{{"type":"error","data":{{"code":{code},"message":"{message}"}}}}"#)
        }),
    ];
    prop_oneof![
        3 => (0..6_u8).prop_map(Happening::Subscribe),
        2 => (0..12_u8).prop_map(Happening::Unsubscribe),
        1 => (0..12_u8).prop_map(Happening::Update),
        1 => prop::bool::ANY.prop_map(Happening::Authenticate),
        1 => prop::bool::ANY.prop_map(Happening::Present),
        1 => Just(Happening::NotProvided),
        3 => (0..6_u8).prop_map(Happening::Publish),
        2 => text.prop_map(Happening::Say),
        2 => prop::sample::select(vec![0, 1000, 1005, 1006, 1008, 1011, 1012, 1013, 3000, 3003]).prop_map(Happening::Cut),
        4 => (0..40_000_u32).prop_map(Happening::Pass),
        1 => (0..9_000_u32).prop_map(Happening::Jump),
        1 => prop::bool::ANY.prop_map(Happening::Stall),
        1 => prop::bool::ANY.prop_map(Happening::Reachable),
        1 => Just(Happening::Hurry),
        1 => Just(Happening::Close),
    ]
}

fn happen(talk: &mut Talk, ids: &mut Vec<realtime_client::SubscriptionId>, happening: Happening) {
    let pick = |number: u8| ids.get(usize::from(number)).copied();
    let channel = |number: u8| format!("c{number}");
    match happening {
        Happening::Subscribe(number) => {
            ids.extend(talk.session.subscribe([channel(number), channel(number / 2)].into(), talk.now).ok());
        }
        Happening::Unsubscribe(number) => {
            if let Some(id) = pick(number) {
                talk.session.unsubscribe(id, talk.now);
            }
        }
        Happening::Update(number) => {
            if let Some(id) = pick(number) {
                talk.session.update(id, [channel(number)].into(), talk.now).expect("it can be");
            }
        }
        Happening::Authenticate(some) => {
            let credential = some.then(|| Credential::jwt("a.b.c").expect("it can be one"));
            talk.session.authenticate(credential, Some(Duration::from_secs(30)), talk.now);
        }
        Happening::Present(some) => {
            let presence = some.then(|| Presence::new("online"));
            // A session that was sent away says so.
            _ = talk.session.present(presence.as_ref(), talk.now);
        }
        Happening::NotProvided => talk.session.not_provided("no", talk.now),
        Happening::Publish(number) => talk.server.publish(&channel(number)),
        Happening::Say(text) => talk.session.received(&text, talk.now),
        Happening::Cut(code) if talk.link == Link::Up => return talk.cut(code),
        Happening::Cut(_) => {}
        Happening::Pass(millis) => talk.pass(Duration::from_millis(millis.into())),
        Happening::Jump(seconds) => talk.jump(Duration::from_secs(seconds.into())),
        Happening::Stall(stalled) => talk.stalled = stalled,
        Happening::Reachable(reachable) => talk.reachable = if reachable { Ok(()) } else { Err("no") },
        Happening::Hurry => talk.session.hurry(talk.now),
        Happening::Close => talk.session.close(talk.now),
    }
    talk.settle();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens: one connection at a time, nothing sent where nobody listens, no busy loop (all asserted by
    /// [`Talk`]), no event twice, nothing for a subscription that is over; and once all is well, it listens again.
    #[test]
    fn whatever_happens_it_keeps_its_promises_and_recovers(
        kind in prop::sample::select(vec![Kind::Resuming, Kind::Forgetful, Kind::UrlOnly, Kind::UrlMostly, Kind::Ancient]),
        provides in prop::bool::ANY,
        happenings in prop::collection::vec(happening(), 0..60),
    ) {
        let mut talk = Talk::with(kind, |settings| settings.provides_credentials = provides);
        let mut ids = Vec::new();
        for happening in happenings {
            happen(&mut talk, &mut ids, happening);
        }
        let mut seen = std::collections::BTreeSet::new();
        for (id, event) in talk.events.iter().filter(|(_, event)| event.id.is_some()) {
            prop_assert!(seen.insert((*id, event.id.clone())), "{:?} came twice", event.id);
            prop_assert!(event.gap != Some(Gap::Overrun));
        }
        talk.stalled = false;
        talk.reachable = Ok(());
        talk.session.hurry(talk.now);
        talk.settle();
        let id = talk.session.subscribe(["fresh"].into(), talk.now);
        prop_assert!(id.is_ok());
        talk.settle();
        for _ in 0..30 {
            talk.session.authenticate(Some(Credential::session("t").expect("it can be one")), None, talk.now);
            talk.settle();
            talk.seconds(20);
        }
        talk.events.clear();
        talk.publish("fresh");
        prop_assert_eq!(talk.numbers(id.expect("it is one")).len(), 1);
    }
}

#[test]
fn a_server_that_asks_to_be_left_alone_for_ever_is_for_an_hour() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.stalled = true;
    talk.subscribe(["documents"]);
    talk.link = Link::Down;
    talk.session.failed("503 Service Unavailable", Some(Duration::from_secs(u64::MAX)), talk.now);
    talk.settle();
    talk.seconds(3599);
    assert_eq!(talk.requests.len(), 1);
    talk.seconds(60);
    assert!(talk.requests.len() > 1);
}
