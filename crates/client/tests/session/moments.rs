//! The server closes at every moment of a conversation.

use realtime_client::{Advice, Close, Error, State};

use crate::server::Kind;
use crate::talk::{Link, Talk};

/// Steps of a conversation, one message of the server each; more than there are.
const MOMENTS: usize = 12;

/// Has a conversation whose connection ends with `code` after `moment` messages of the server.
fn conversation(kind: Kind, moment: usize, code: u16) -> (Talk, [realtime_client::SubscriptionId; 2]) {
    let mut talk = Talk::new(kind);
    talk.stalled = true;
    let one = talk.session.subscribe(["documents"].into(), talk.now).expect("it can be");
    talk.stalled = false;
    talk.carry_out();
    let mut other = None;
    for step in 0..MOMENTS {
        if step == moment {
            if talk.link == Link::Up {
                talk.cut(code);
            }
            break;
        }
        talk.deliver_one();
        talk.carry_out();
        match step {
            2 => talk.server.publish("documents"),
            4 => other = talk.session.subscribe(["files"].into(), talk.now).ok(),
            6 => talk.server.publish("files"),
            _ => {}
        }
        talk.carry_out();
    }
    talk.settle();
    let other = match other {
        Some(other) => other,
        None => talk.session.subscribe(["files"].into(), talk.now).unwrap_or(one),
    };
    talk.settle();
    (talk, [one, other])
}

#[test]
fn after_every_moment_it_comes_back_and_listens_again() {
    for kind in [Kind::Resuming, Kind::Forgetful, Kind::UrlOnly, Kind::UrlMostly, Kind::Ancient] {
        for moment in 0..MOMENTS {
            for code in [1000, 1001, 1005, 1006, 1009, 1011, 1012, 1013, 3003, 4999, 0] {
                let (mut talk, ids) = conversation(kind, moment, code);
                talk.seconds(120);
                talk.events.clear();
                talk.publish("documents");
                talk.publish("files");
                for id in ids {
                    assert_eq!(talk.numbers(id).len(), 1, "{kind:?}, {code} after {moment}");
                }
                assert!(talk.ended.is_empty());
            }
        }
    }
}

#[test]
fn after_1008_it_stops_at_every_moment_and_says_so() {
    for kind in [Kind::Resuming, Kind::UrlOnly] {
        for moment in 0..MOMENTS - 1 {
            let (mut talk, _) = conversation(kind, moment, 1008);
            let requests = talk.requests.len();
            talk.seconds(3600);
            assert_eq!((talk.requests.len(), talk.link), (requests, Link::Down), "after {moment}");
            assert_eq!(talk.session.stopped().map(|close| close.code), Some(1008));
            assert!(talk.ended.iter().all(|(_, why)| *why == Error::Stopped(Close::new(1008, ""))));
            assert!(!talk.ended.is_empty() && talk.session.poll_timeout().is_none());
            let refused = talk.session.subscribe(["documents"].into(), talk.now);
            assert_eq!(refused, Err(Error::Stopped(Close::new(1008, ""))));
        }
    }
}

#[test]
fn a_complaint_before_the_line_goes_dead_says_why_it_did() {
    let complaint = |code: i64| {
        let mut talk = Talk::new(Kind::Forgetful);
        talk.subscribe(["documents"]);
        talk.hear(&format!(r#"{{"type":"error","data":{{"code":{code},"message":"so there"}}}}"#));
        talk.cut(1006);
        let ended = talk.states.iter().find_map(|state| match state {
            State::Disconnected { close, advice, .. } => Some((close.code, close.reason.clone(), *advice)),
            _ => None,
        });
        ended.expect("it was told")
    };
    for (error, code, advice) in [
        (1008, 1008, Advice::Stop),
        (401, 3000, Advice::Reauthenticate),
        (403, 3003, Advice::Later),
        (1013, 1013, Advice::Later),
        (500, 1011, Advice::Later),
    ] {
        assert_eq!(complaint(error), (code, "so there".to_owned(), advice));
    }
}

#[test]
fn an_application_that_mended_the_cause_goes_on_after_a_stop() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.subscribe(["documents"]);
    talk.cut(1008);
    talk.session.hurry(talk.now);
    let id = talk.subscribe(["documents"]);
    talk.publish("documents");
    assert_eq!(talk.numbers(id), [1]);
}
