//! Letting others know that one is here.

use std::time::Duration;

use realtime_client::{Credential, Error, Presence, State};
use serde_json::{Value, json};

use crate::server::Kind;
use crate::talk::{Link, Talk};

fn online() -> Presence {
    Presence::new("online").metadata(json!({ "page": "/" })).permissions(["read(\"any\")"])
}

fn said() -> Value {
    json!({ "status": "online", "metadata": { "page": "/" }, "permissions": ["read(\"any\")"] })
}

fn alice(kind: Kind) -> Talk {
    let mut talk = Talk::new(kind);
    authenticate(&mut talk);
    talk.server.user = json!({ "$id": "alice" });
    talk
}

fn authenticate(talk: &mut Talk) {
    let credential = Credential::session("token").expect("it is one");
    talk.session.authenticate(Some(credential), None, talk.now);
    talk.settle();
}

fn present(talk: &mut Talk, presence: Option<&Presence>) {
    talk.session.present(presence, talk.now).expect("it can be said");
    talk.settle();
}

fn kinds(talk: &Talk) -> Vec<&str> {
    talk.server.heard.iter().map(|message| message["type"].as_str().expect("a type")).collect()
}

fn refusals(talk: &Talk) -> Vec<i64> {
    let refusal = |state: &State| match state {
        State::NotPresent { code, .. } => Some(*code),
        _ => None,
    };
    talk.states.iter().filter_map(refusal).collect()
}

#[test]
fn a_presence_is_said_after_what_is_listened_to_and_changed_on_the_same_connection() {
    let mut talk = alice(Kind::Forgetful);
    talk.subscribe(["presences"]);
    present(&mut talk, Some(&online()));
    assert_eq!(kinds(&talk), ["subscribe", "presence"]);
    assert_eq!(talk.server.presence, Some(said()));
    assert!(talk.states.contains(&State::Present { presence: said() }));
    present(&mut talk, Some(&Presence::new("away")));
    assert_eq!(talk.server.presence, Some(json!({ "status": "away" })));
    assert_eq!(talk.requests.len(), 1);
}

#[test]
fn it_keeps_a_connection_by_itself_and_is_said_again_on_each() {
    let mut talk = alice(Kind::Forgetful);
    present(&mut talk, Some(&online()));
    talk.pass(Duration::from_secs(600));
    talk.cut(1012);
    talk.pass(Duration::from_secs(30));
    assert_eq!(talk.server.presence, Some(said()));
    assert_eq!(talk.requests.len(), 2);
}

#[test]
fn it_is_taken_back_by_ending_the_connection_that_said_it() {
    let mut talk = alice(Kind::Resuming);
    present(&mut talk, Some(&online()));
    let id = talk.subscribe(["documents"]);
    present(&mut talk, None);
    talk.publish("documents");
    assert_eq!((talk.server.presence.as_ref(), talk.requests.len(), talk.events.len()), (None, 2, 1));
    present(&mut talk, None);
    assert_eq!(talk.requests.len(), 2);
    present(&mut talk, Some(&online()));
    talk.unsubscribe(id);
    present(&mut talk, None);
    assert_eq!((talk.link, talk.requests.len()), (Link::Down, 2));
}

#[test]
fn a_user_who_comes_later_is_present_then() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.subscribe(["presences"]);
    present(&mut talk, Some(&online()));
    assert_eq!(refusals(&talk), [401]);
    authenticate(&mut talk);
    assert_eq!(talk.server.presence, Some(said()));
}

#[test]
fn what_the_server_does_not_like_of_it_is_told_and_nothing_else_ends() {
    for kind in [Kind::Forgetful, Kind::UrlOnly, Kind::UrlMostly, Kind::Ancient] {
        let mut talk = alice(kind);
        talk.subscribe(["documents"]);
        talk.pass(Duration::from_secs(1));
        present(&mut talk, Some(&Presence::new("")));
        talk.publish("documents");
        assert_eq!((refusals(&talk), talk.events.len(), talk.link), (vec![1003], 1, Link::Up), "{kind:?}");
        assert!(talk.ended.is_empty());
    }
}

#[test]
fn a_server_in_trouble_is_told_of_it_again_later() {
    let mut talk = alice(Kind::Forgetful);
    talk.subscribe(["documents"]);
    talk.stalled = true;
    talk.session.present(Some(&online()), talk.now).expect("it can be said");
    talk.carry_out();
    talk.stalled = false;
    talk.hear(r#"{"type":"error","data":{"code":503,"message":"The directory cannot answer"}}"#);
    assert_eq!(talk.server.presence, None);
    talk.pass(Duration::from_secs(60));
    assert_eq!(talk.server.presence, Some(said()));
}

#[test]
fn what_is_final_ends_it() {
    let mut talk = alice(Kind::Forgetful);
    present(&mut talk, Some(&online()));
    talk.cut(1008);
    assert!(!talk.session.is_wanted());
    assert!(matches!(talk.session.present(Some(&online()), talk.now), Err(Error::Stopped(_))));
}
