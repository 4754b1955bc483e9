//! Servers that take subscriptions in the URL only.

use std::time::Duration;

use realtime_client::{Interest, Query};

use crate::server::Kind;
use crate::talk::Talk;

#[test]
fn a_server_without_subscribe_messages_gets_the_channels_in_the_url() {
    for kind in [Kind::UrlOnly, Kind::UrlMostly, Kind::Ancient] {
        let mut talk = Talk::new(kind);
        let id = talk.subscribe(["documents.x", "files"]);
        assert_eq!((talk.requests.len(), talk.ready.as_slice()), (2, [id].as_slice()), "{kind:?}");
        talk.publish("documents.x");
        talk.publish("teams");
        assert_eq!(talk.numbers(id), [1]);
        talk.cut(1006);
        talk.seconds(5);
        talk.publish("files");
        assert_eq!((talk.numbers(id).len(), talk.requests.len()), (2, 3), "it remembers the server's ways");
    }
}

#[test]
fn each_subscription_has_a_slot_and_each_of_its_channels_all_its_queries() {
    let mut talk = Talk::with(Kind::UrlOnly, |settings| settings.in_url = true);
    let open = Query::raw("q&1");
    talk.session.subscribe(Interest::new(["a.b", "c"]).query(open), talk.now).expect("it can be");
    // The first is on its way already.
    talk.subscribe(["c"]);
    talk.pass(Duration::from_millis(100));
    let everything = "%7B%22method%22%3A%22select%22%2C%22values%22%3A%5B%22%2A%22%5D%7D";
    let url = format!(
        "ws://host/v1/realtime?project=p&gaps=1&channels[]=a.b&a_b[0][]=q%261&channels[]=c&c[0][]=q%261&c[1][]={everything}"
    );
    assert_eq!(talk.requests.last().map(|(_, request)| request.url()), Some(url.as_str()));
}

#[test]
fn changes_close_together_share_a_new_connection() {
    let mut talk = Talk::new(Kind::UrlOnly);
    let first = talk.subscribe(["documents"]);
    let before = talk.requests.len();
    let others: Vec<_> = (0..10).map(|number| talk.subscribe([format!("files.{number}")])).collect();
    talk.seconds(1);
    assert_eq!(talk.requests.len(), before + 1);
    talk.publish("documents");
    talk.publish("files.9");
    assert_eq!((talk.numbers(first).len(), talk.numbers(others[9]).len()), (1, 1));
    talk.unsubscribe(others[9]);
    talk.seconds(1);
    assert_eq!(talk.requests.len(), before + 2);
    talk.publish("files.9");
    assert_eq!(talk.events.len(), 2);
}

#[test]
fn what_changes_during_a_handshake_is_in_the_next_url() {
    let mut talk = Talk::with(Kind::UrlOnly, |settings| settings.in_url = true);
    talk.stalled = true;
    talk.subscribe(["documents"]);
    let late = talk.subscribe(["files"]);
    talk.stalled = false;
    talk.session.failed("try again", None, talk.now);
    talk.link = crate::talk::Link::Down;
    talk.seconds(5);
    talk.publish("files");
    assert_eq!(talk.numbers(late).len(), 1);
}

#[test]
fn a_bad_query_is_no_reason_to_speak_another_dialect() {
    let mut talk = Talk::new(Kind::Forgetful);
    talk.subscribe(Interest::new(["documents"]).query(Query::raw("nope")));
    assert_eq!((talk.requests.len(), talk.ended.len()), (1, 1));
}

#[test]
fn changes_one_after_another_make_a_connection_a_second() {
    let mut talk = Talk::new(Kind::UrlOnly);
    talk.subscribe(["documents"]);
    let before = talk.requests.len();
    let mut last = None;
    for at in 0..100 {
        if let Some(last) = last {
            talk.unsubscribe(last);
        }
        last = Some(talk.subscribe([format!("files.{at}")]));
        talk.pass(Duration::from_millis(100));
    }
    let made = talk.requests.len() - before;
    assert!(made <= 11, "{made} connections in ten seconds");
    talk.seconds(2);
    talk.publish("files.99");
    assert_eq!(last.map(|last| talk.numbers(last).len()), Some(1));
}
