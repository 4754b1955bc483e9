//! Saying who one is, and again before that ends.

use std::time::Duration;

use realtime_client::{Advice, Credential, State};

use crate::server::Kind;
use crate::talk::{Link, Talk};

fn jwt(name: &str) -> Option<Credential> {
    Some(Credential::jwt(name).expect("it can be one"))
}

const MINUTES: fn(u64) -> Option<Duration> = |minutes| Some(Duration::from_secs(60 * minutes));

fn shown(talk: &Talk) -> Vec<String> {
    talk.requests
        .iter()
        .map(|(_, request)| {
            request.headers().map(|(name, value)| format!("{name}: {value}")).collect::<String>()
        })
        .collect()
}

#[test]
fn a_credential_is_shown_in_a_header_and_never_in_the_url() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.session.authenticate(jwt("secret"), None, talk.now);
    talk.subscribe(["account"]);
    assert_eq!(shown(&talk), ["x-appwrite-jwt: secret"]);
    assert!(!talk.requests[0].1.url().contains("secret"));
    assert!(!format!("{:?}", talk.requests).contains("secret"));
}

#[test]
fn a_new_credential_is_shown_in_a_message_without_a_new_connection() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.subscribe(["account"]);
    talk.session.authenticate(jwt("a.b.c"), None, talk.now);
    talk.settle();
    let said = talk.server.heard.last().expect("it was said");
    assert_eq!(said["data"]["jwt"], "a.b.c");
    assert_eq!(talk.requests.len(), 1);
}

#[test]
fn a_session_that_the_request_could_not_prove_is_shown_in_a_message_before_subscribing() {
    let mut talk = Talk::new(Kind::Forgetful);
    let session = Some(Credential::session("token").expect("it can be one"));
    talk.session.authenticate(session, None, talk.now);
    talk.subscribe(["account"]);
    let kinds: Vec<_> = talk.server.heard.iter().map(|message| message["type"].clone()).collect();
    assert_eq!(kinds, ["authentication", "subscribe"]);
}

#[test]
fn becoming_a_guest_takes_a_new_connection() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.session.authenticate(jwt("secret"), None, talk.now);
    talk.subscribe(["account"]);
    talk.session.authenticate(None, None, talk.now);
    talk.settle();
    assert_eq!(shown(&talk), ["x-appwrite-jwt: secret", ""]);
}

#[test]
fn a_provider_is_asked_before_the_first_connection_and_before_a_token_ends() {
    let mut talk = Talk::with(Kind::Forgetful, |settings| settings.provides_credentials = true);
    talk.subscribe(["account"]);
    assert_eq!((talk.provided, talk.requests.len()), (1, 0));
    talk.session.authenticate(jwt("first"), MINUTES(15), talk.now);
    talk.settle();
    assert_eq!(shown(&talk), ["x-appwrite-jwt: first"]);
    talk.seconds(13 * 60);
    assert_eq!(talk.provided, 1);
    talk.seconds(61);
    assert_eq!(talk.provided, 2);
    talk.session.authenticate(jwt("second"), MINUTES(15), talk.now);
    talk.settle();
    assert_eq!(talk.server.heard.last().expect("it was said")["data"]["jwt"], "second");
    assert_eq!(talk.requests.len(), 1);
}

#[test]
fn after_3000_a_fresh_token_is_provided_before_connecting_again() {
    let mut talk = Talk::with(Kind::Resuming, |settings| settings.provides_credentials = true);
    let id = talk.subscribe(["account"]);
    talk.session.authenticate(jwt("first"), None, talk.now);
    talk.settle();
    talk.cut(3000);
    talk.seconds(2);
    assert_eq!((talk.provided, talk.requests.len()), (2, 1));
    talk.publish("account");
    talk.session.authenticate(jwt("second"), None, talk.now);
    talk.settle();
    assert_eq!(shown(&talk)[1], "x-appwrite-jwt: second");
    assert_eq!(talk.numbers(id), [1]);
}

#[test]
fn without_a_provider_3000_is_the_end_until_there_is_a_new_credential() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.session.authenticate(jwt("first"), None, talk.now);
    talk.subscribe(["account"]);
    talk.cut(3000);
    talk.seconds(3600);
    assert_eq!((talk.requests.len(), talk.ended.len()), (1, 1));
    let advised = talk.states.iter().any(|state| {
        matches!(state, State::Disconnected { advice: Advice::Reauthenticate, again_in: None, .. })
    });
    assert!(advised);
    talk.session.authenticate(jwt("second"), None, talk.now);
    talk.subscribe(["account"]);
    assert_eq!((talk.link, shown(&talk)[1].as_str()), (Link::Up, "x-appwrite-jwt: second"));
}

#[test]
fn a_provider_whose_tokens_are_never_accepted_is_not_hammered() {
    let mut talk = Talk::with(Kind::Forgetful, |settings| settings.provides_credentials = true);
    talk.subscribe(["account"]);
    let mut answered = 0;
    while talk.now - talk.start < Duration::from_secs(3600) {
        while answered < talk.provided {
            answered += 1;
            talk.session.authenticate(jwt("bad"), Some(Duration::ZERO), talk.now);
            talk.settle();
        }
        if talk.link == Link::Up {
            talk.cut(3000);
        }
        talk.seconds(1);
    }
    assert!((50..600).contains(&talk.provided), "asked {} times in an hour", talk.provided);
}

#[test]
fn a_provider_that_fails_or_never_answers_is_asked_again() {
    let mut talk = Talk::with(Kind::Forgetful, |settings| settings.provides_credentials = true);
    talk.subscribe(["account"]);
    talk.session.not_provided("the backend is down", talk.now);
    talk.settle();
    assert!(talk.states.contains(&State::NoCredential { why: "the backend is down".to_owned() }));
    talk.seconds(60);
    assert!((2..20).contains(&talk.provided), "{}", talk.provided);
    talk.session.authenticate(jwt("at-last"), None, talk.now);
    talk.seconds(60);
    assert_eq!(talk.link, Link::Up);
}

#[test]
fn a_provider_that_fails_while_connected_costs_nothing_but_a_word() {
    let mut talk = Talk::with(Kind::Forgetful, |settings| settings.provides_credentials = true);
    talk.subscribe(["account"]);
    talk.session.authenticate(jwt("first"), MINUTES(10), talk.now);
    talk.seconds(9 * 60 + 1);
    talk.session.not_provided("not now", talk.now);
    talk.seconds(6);
    assert_eq!((talk.provided, talk.link, talk.requests.len()), (3, Link::Up, 1));
}

#[test]
fn a_message_that_proves_nothing_is_told_and_changes_nothing() {
    let mut talk = Talk::new(Kind::Forgetful);
    let id = talk.subscribe(["documents"]);
    talk.stalled = true;
    talk.session.authenticate(jwt("bad"), None, talk.now);
    talk.settle();
    talk.stalled = false;
    talk.hear(r#"{"type":"error","data":{"code":401,"message":"Failed to verify JWT."}}"#);
    let told = State::NotAuthenticated { code: 401, message: "Failed to verify JWT.".to_owned() };
    assert!(talk.states.contains(&told));
    talk.publish("documents");
    assert_eq!((talk.numbers(id).len(), talk.requests.len()), (1, 1));
}

#[test]
fn a_provider_is_asked_again_after_a_refusal_in_a_message_and_not_hammered() {
    let mut talk = Talk::with(Kind::Forgetful, |settings| settings.provides_credentials = true);
    talk.subscribe(["documents"]);
    talk.session.authenticate(jwt("good"), None, talk.now);
    talk.settle();
    let refuse = |talk: &mut Talk| {
        talk.stalled = true;
        talk.session.authenticate(jwt("bad"), None, talk.now);
        talk.settle();
        talk.stalled = false;
        talk.hear(r#"{"type":"error","data":{"code":401,"message":"Failed to verify JWT."}}"#);
    };
    refuse(&mut talk);
    assert_eq!(talk.provided, 1);
    talk.seconds(6);
    assert_eq!(talk.provided, 2);
    let mut answered = 2;
    while talk.now - talk.start < Duration::from_secs(3600) {
        while answered < talk.provided {
            answered += 1;
            refuse(&mut talk);
        }
        talk.seconds(1);
    }
    assert!((20..120).contains(&talk.provided), "asked {} times in an hour", talk.provided);
    assert_eq!((talk.link, talk.requests.len()), (Link::Up, 1));
}

#[test]
fn a_guest_stays_one_although_there_is_a_provider() {
    let mut talk = Talk::with(Kind::Forgetful, |settings| settings.provides_credentials = true);
    talk.subscribe(["documents"]);
    talk.session.authenticate(jwt("good"), MINUTES(15), talk.now);
    talk.settle();
    talk.session.authenticate(None, None, talk.now);
    talk.settle();
    talk.seconds(3600);
    talk.cut(1006);
    talk.seconds(3600);
    assert_eq!((talk.provided, talk.link, talk.requests.len()), (1, Link::Up, 3));
}
