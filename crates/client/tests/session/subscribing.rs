//! Subscribing and unsubscribing while all is well.

use std::time::Duration;

use realtime_client::{Error, Interest, Query, State};

use crate::server::Kind;
use crate::talk::{Link, Talk};

#[test]
fn it_connects_when_something_is_subscribed_to_and_not_before() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.settle();
    talk.seconds(3600);
    assert!(talk.requests.is_empty() && talk.session.poll_timeout().is_none());
    let id = talk.subscribe(["documents"]);
    assert_eq!(talk.requests[0].1.url(), "ws://host/v1/realtime?project=p&gaps=1");
    assert_eq!(talk.ready, [id]);
    talk.publish("documents");
    talk.publish("files");
    assert_eq!(talk.numbers(id), [1]);
    let states = [State::Connecting { failures: 0 }, State::Connected { user: None }];
    assert_eq!(talk.states, states);
}

#[test]
fn many_subscriptions_share_one_connection_and_few_messages() {
    let mut talk = Talk::new(Kind::Forgetful);
    let interests = (0..1000).map(|number| Interest::new([format!("documents.{number}")]));
    let ids: Vec<_> =
        interests.map(|interest| talk.session.subscribe(interest, talk.now).expect("it can be")).collect();
    talk.settle();
    assert_eq!(talk.ready.len(), 1000);
    assert!(talk.heard("subscribe") <= 5, "{} messages", talk.heard("subscribe"));
    talk.publish("documents.999");
    assert_eq!((talk.numbers(ids[999]).len(), talk.events.len(), talk.requests.len()), (1, 1, 1));
}

#[test]
fn changes_one_after_another_stay_below_what_a_server_takes_in_a_minute() {
    let mut talk = Talk::new(Kind::Forgetful);
    for number in 0..600 {
        talk.subscribe([format!("documents.{number}")]);
        talk.pass(Duration::from_millis(100));
    }
    assert!(talk.server.heard.len() <= 32, "{} messages in a minute", talk.server.heard.len());
    talk.seconds(5);
    assert_eq!(talk.ready.len(), 600);
}

#[test]
fn an_event_for_two_subscriptions_reaches_each_once() {
    let mut talk = Talk::new(Kind::Forgetful);
    let one = talk.subscribe(["documents", "files"]);
    let other = talk.subscribe(["documents"]);
    talk.publish("documents");
    assert_eq!((talk.numbers(one), talk.numbers(other)), (vec![1], vec![1]));
}

#[test]
fn unsubscribing_twice_is_told_once_and_nothing_more_comes() {
    let mut talk = Talk::new(Kind::Forgetful);
    let one = talk.subscribe(["documents"]);
    let other = talk.subscribe(["documents"]);
    talk.unsubscribe(one);
    talk.unsubscribe(one);
    talk.publish("documents");
    assert_eq!(talk.heard("unsubscribe"), 1);
    assert!(talk.numbers(one).is_empty() && talk.numbers(other) == [1] && talk.ended.is_empty());
}

#[test]
fn what_is_unsubscribed_before_it_was_told_is_never_told() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.subscribe(["files"]);
    let brief = talk.session.subscribe(["documents"].into(), talk.now).expect("it can be");
    talk.unsubscribe(brief);
    assert_eq!((talk.heard("subscribe"), talk.heard("unsubscribe")), (1, 0));
}

#[test]
fn a_connection_that_nobody_listens_on_ends_after_a_while() {
    let mut talk = Talk::new(Kind::Forgetful);
    let id = talk.subscribe(["documents"]);
    talk.unsubscribe(id);
    talk.seconds(4);
    assert_eq!(talk.link, Link::Up);
    talk.seconds(2);
    assert_eq!((talk.link, talk.session.poll_timeout()), (Link::Down, None));
    talk.subscribe(["documents"]);
    assert_eq!((talk.link, talk.requests.len()), (Link::Up, 2));
}

#[test]
fn a_new_subscription_in_time_keeps_the_connection() {
    let mut talk = Talk::new(Kind::Forgetful);
    let id = talk.subscribe(["documents"]);
    talk.unsubscribe(id);
    talk.seconds(4);
    talk.subscribe(["files"]);
    talk.seconds(3600);
    assert_eq!(talk.requests.len(), 1);
}

#[test]
fn an_update_replaces_what_is_listened_to_without_a_gap() {
    let mut talk = Talk::new(Kind::Resuming);
    let id = talk.subscribe(["documents"]);
    talk.publish("documents");
    talk.session.update(id, ["files"].into(), talk.now).expect("it can be");
    talk.settle();
    talk.publish("documents");
    talk.publish("files");
    assert_eq!(talk.numbers(id), [1, 3]);
    assert!(!talk.states.iter().any(|state| matches!(state, State::Gap { .. } | State::Recovered { .. })));
}

#[test]
fn one_bad_query_among_many_subscriptions_ends_that_one_only() {
    let mut talk = Talk::new(Kind::Forgetful);
    let mut bad = None;
    for number in 0..100 {
        let mut interest = Interest::new(["documents"]);
        if number == 61 {
            interest = interest.query(Query::raw(r#"{"method":"nope"}"#));
        }
        let id = talk.session.subscribe(interest, talk.now).expect("it can be");
        bad = bad.or((number == 61).then_some(id));
    }
    talk.settle();
    talk.seconds(120);
    let [(ended, Error::Refused { code: 1003, message })] = talk.ended.as_slice() else {
        panic!("{:?}", talk.ended)
    };
    assert!(Some(*ended) == bad && message.contains("nope"));
    talk.ready.sort();
    talk.ready.dedup();
    assert_eq!((talk.ready.len(), talk.requests.len()), (99, 1));
}

#[test]
fn too_many_messages_are_said_again_later() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.subscribe(["files"]);
    talk.stalled = true;
    let id = talk.subscribe(["documents"]);
    talk.stalled = false;
    talk.hear(r#"{"type":"error","data":{"code":1013,"message":"Too many messages."}}"#);
    assert!(!talk.ready.contains(&id));
    talk.seconds(30);
    assert!(talk.ready.contains(&id) && talk.ended.is_empty() && talk.requests.len() == 1);
}

#[test]
fn closing_ends_all_subscriptions_and_the_connection() {
    let mut talk = Talk::new(Kind::Forgetful);
    let id = talk.subscribe(["documents"]);
    talk.session.close(talk.now);
    talk.settle();
    assert_eq!((talk.link, talk.session.poll_timeout()), (Link::Down, None));
    assert_eq!(talk.ended, [(id, Error::Closed)]);
}

#[test]
fn a_session_can_be_given_to_another_thread_and_is_small() {
    fn check<T: Send + 'static>() {}
    check::<realtime_client::session::Session>();
    assert!(size_of::<realtime_client::session::Session>() < 1024);
}
