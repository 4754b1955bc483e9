//! Clients that come back get what they missed, or are told that nobody can vouch for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cutter::Cutter;
use crate::node::{Client, Node, PATIENCE, realtime};
use crate::redis_server::Redis;
use crate::world::{World, text};

/// What a client got, how often it came back, and whether it was told that it may miss something.
#[derive(Debug, Default)]
struct Got {
    events: BTreeMap<u64, usize>,
    links: usize,
    is_doubtful: bool,
}

impl Got {
    fn missing(&self, count: u64) -> Vec<u64> {
        (0..count).filter(|number| !self.events.contains_key(number)).collect()
    }

    fn twice(&self) -> usize {
        self.events.values().map(|times| times - 1).sum()
    }
}

/// Listens as the official SDKs do: comes back whenever the link is lost, under the same id, until it has got this many
/// events or was told that some are missing and then got the last one.
fn listen(address: &str, count: u64, headers: &[(&str, &str)], is_ready: &AtomicBool) -> Got {
    let mut got = Got::default();
    let deadline = Instant::now() + PATIENCE * 2;
    while Instant::now() < deadline {
        let Some(mut client) = Client::try_websocket(address, "project=shop", headers) else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        let subscribe = json!([{ "subscriptionId": "the-same", "channels": ["documents"] }]);
        client.try_say(&json!({ "type": "subscribe", "data": subscribe }));
        got.links += 1;
        while let Some(message) = client.next_unless_cut_off() {
            match message["type"].as_str() {
                Some("response") => {
                    got.is_doubtful |= message["data"]["subscriptions"][0]["recovered"] == false;
                    is_ready.store(true, Ordering::Relaxed);
                }
                Some("event") => {
                    let number = message["data"]["payload"]["number"].as_u64().unwrap();
                    *got.events.entry(number).or_default() += 1;
                }
                _ => {}
            }
            let has_last = got.events.contains_key(&(count - 1));
            if has_last && (got.is_doubtful || got.events.len() as u64 == count) {
                return got;
            }
        }
    }
    got
}

fn until(is_ready: &AtomicBool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_ready.load(Ordering::Relaxed) {
        assert!(Instant::now() < deadline, "nobody subscribed");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn numbered(numbers: std::ops::Range<u64>, role: &str) -> Value {
    let event = |number| json!({ "channels": ["documents"], "roles": [role], "events": ["x.y"], "payload": { "number": number } });
    numbers.map(event).collect()
}

#[test]
fn links_that_are_cut_in_mid_stream_lose_nothing() {
    const EVENTS: u64 = 4_000;
    let world = World::new(&[]);
    let token = world.session("ann");
    let cutter = Cutter::new(world.node.address());
    let is_ready = AtomicBool::new(false);
    let got = std::thread::scope(|scope| {
        let listener =
            scope.spawn(|| listen(&cutter.address(), EVENTS, &[("x-appwrite-session", &token)], &is_ready));
        until(&is_ready);
        for batch in 0..EVENTS / 20 {
            world.must_publish(&numbered(batch * 20..(batch + 1) * 20, "user:ann"));
            if batch % 5 == 4 {
                cutter.cut();
            }
        }
        listener.join().unwrap()
    });
    println!("{} links, {} events twice", got.links, got.twice());
    assert_eq!(got.missing(EVENTS), [0; 0]);
    assert!(!got.is_doubtful, "all was vouched for");
    assert!(got.links > 10, "the link was cut, but only {} were made", got.links);
}

#[test]
fn a_client_that_does_not_read_is_closed_and_gets_all_of_it_once_it_reads() {
    const EVENTS: u64 = 12_000;
    let world = World::new(&["--limits-outbox-messages", "200", "--resume-bytes", "100000000"]);
    let mut slow = world.open("websocket", "", &[]);
    slow.expect("connected");
    let subscribe = json!([{ "subscriptionId": "the-same", "channels": ["documents"] }]);
    slow.say(&json!({ "type": "subscribe", "data": subscribe }));
    slow.expect("response");
    let filler = "x".repeat(1_024);
    for batch in 0..EVENTS / 200 {
        let event = |number| {
            json!({
                "channels": ["documents"], "roles": ["any"], "events": ["x.y"],
                "payload": { "number": number, "filler": filler }
            })
        };
        let events: Vec<Value> = (batch * 200..(batch + 1) * 200).map(event).collect();
        world.must_publish(&json!(events));
    }
    let mut read = 0;
    while let Some(message) = slow.next_unless_cut_off() {
        match message["type"].as_str() {
            Some("event") => read += 1,
            _ => assert_eq!(message["close"], 1013, "{message}"),
        }
    }
    assert!(read < EVENTS, "it was to be too slow");
    let is_ready = AtomicBool::new(false);
    let got = listen(world.node.address(), EVENTS, &[], &is_ready);
    println!("{read} events before it was closed, {} links later", got.links);
    assert_eq!(got.missing(EVENTS), [0; 0]);
    assert!(!got.is_doubtful);
}

#[test]
fn a_goodbye_is_for_good_and_a_code_of_the_clients_own_is_not() {
    let world = World::new(&[]);
    for (code, recovered) in [(1000, Value::Null), (4000, json!(true))] {
        let mut client = world.open("websocket", "", &[]);
        client.expect("connected");
        let subscribe = json!([{ "subscriptionId": "the-same", "channels": ["documents"] }]);
        let subscribe = json!({ "type": "subscribe", "data": subscribe });
        client.say(&subscribe);
        client.expect("response");
        client.close(code);
        world.must_publish(&numbered(0..1, "any"));
        let mut client = world.open("websocket", "", &[]);
        client.expect("connected");
        client.say(&subscribe);
        assert_eq!(client.expect("response")["data"]["subscriptions"][0]["recovered"], recovered, "{code}");
        client.close(1000);
    }
}

#[test]
fn a_stream_of_server_sent_events_goes_on_after_the_last_event_that_was_seen() {
    let world = World::new(&[]);
    let mut first = world.connect("sse", "", &[]);
    world.must_publish(&numbered(0..3, "any"));
    let id = text(&first.expect("event")["data"]["id"]);
    drop(first);
    world.must_publish(&numbered(3..4, "any"));
    let mut second = world.open("sse", "", &[("last-event-id", &id)]);
    assert_eq!(second.expect("connected")["data"]["recovered"], true);
    for number in 1..4 {
        assert_eq!(second.expect("event")["data"]["payload"]["number"], number);
    }
    let mut third = world.open("sse", "", &[("last-event-id", "of-last-week")]);
    let connected = third.expect("connected");
    assert_eq!(connected["data"]["recovered"], false, "{connected}");
    assert_eq!(connected["data"]["reason"], "unknown", "{connected}");
}

#[test]
fn what_was_missed_comes_after_any_number_of_events_for_others_without_a_further_event() {
    // Nor a heartbeat.
    let world = World::new(&["--heartbeat", "1h", "--resume-window", "4h"]);
    let mut first = world.connect("sse", "", &[]);
    world.must_publish(&numbered(0..1, "any"));
    let id = text(&first.expect("event")["data"]["id"]);
    drop(first);
    // Far more than is looked at in one go.
    for thousand in 1..4 {
        world.must_publish(&numbered(thousand * 1_000..(thousand + 1) * 1_000, "user:bob"));
    }
    world.must_publish(&numbered(4_000..4_001, "any"));
    let mut second = world.open("sse", "", &[("last-event-id", &id)]);
    assert_eq!(second.expect("connected")["data"]["recovered"], true);
    assert_eq!(second.expect("event")["data"]["payload"]["number"], 4_000);
}

/// Two servers on one Redis, with a guest's channel to listen to.
struct Pair {
    redis: Redis,
    folder: tempfile::TempDir,
    key: String,
}

impl Pair {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        realtime(folder.path(), &["project", "create", "--id", "shop"]);
        let key = text(&realtime(folder.path(), &["key", "create", "--project", "shop"])["secret"]);
        Self { redis: Redis::start(&[]), folder, key }
    }

    fn start(&self) -> Node {
        let (port, environment) = (self.redis.port(), "development");
        let node = Node::start(
            self.folder.path(),
            &[],
            &[
                ("_APP_ENV", environment),
                ("REALTIME_REDIS_HOST", "127.0.0.1"),
                ("REALTIME_REDIS_PORT", &port),
                ("REALTIME_DRAIN", "300ms"),
            ],
        );
        node.wait_for_readiness(200);
        node
    }

    fn publish(&self, node: &Node, events: &Value) {
        let (status, body) = node.publish("shop", &self.key, events);
        assert_eq!(status, 200, "{body}");
    }
}

#[test]
fn clients_go_on_where_they_stood_on_whichever_server_they_come_back() {
    const EVENTS: u64 = 1_500;
    let pair = Pair::new();
    let (mut first, second) = (pair.start(), pair.start());
    let cutter = Cutter::new(first.address());
    let is_ready = AtomicBool::new(false);
    let got = std::thread::scope(|scope| {
        let listener = scope.spawn(|| listen(&cutter.address(), EVENTS, &[], &is_ready));
        until(&is_ready);
        let mut third = None;
        for batch in 0..EVENTS / 10 {
            pair.publish(&second, &numbered(batch * 10..(batch + 1) * 10, "any"));
            match batch {
                // To and fro, then one is stopped as an operator does, and comes back as a new one.
                20 => {
                    cutter.lead_to(second.address());
                    cutter.cut();
                }
                40 => {
                    cutter.lead_to(first.address());
                    cutter.cut();
                }
                60 => {
                    cutter.lead_to(second.address());
                    first.stop();
                }
                80 => third = Some(pair.start()),
                100 => {
                    cutter.lead_to(third.as_ref().unwrap().address());
                    cutter.cut();
                }
                _ => {}
            }
        }
        listener.join().unwrap()
    });
    println!("{} links, {} events twice", got.links, got.twice());
    assert!(got.links >= 5, "{} links", got.links);
    // The server that is new has not been there for all of it, and says so rather than nothing.
    assert!(got.missing(EVENTS).is_empty() || got.is_doubtful, "{:?} without a word", got.missing(EVENTS));
}

#[test]
fn what_a_killed_server_had_sent_is_made_good_by_another_one() {
    const EVENTS: u64 = 600;
    let pair = Pair::new();
    let (mut first, second) = (pair.start(), pair.start());
    // Something that both have seen; that nothing had happened yet is for servers to say that have been there a while.
    let before = json!({ "channels": ["other"], "roles": ["any"], "events": ["x.y"], "payload": {} });
    pair.publish(&second, &before);
    let cutter = Cutter::new(first.address());
    let is_ready = AtomicBool::new(false);
    let got = std::thread::scope(|scope| {
        let listener = scope.spawn(|| listen(&cutter.address(), EVENTS, &[], &is_ready));
        until(&is_ready);
        for batch in 0..EVENTS / 10 {
            pair.publish(&second, &numbered(batch * 10..(batch + 1) * 10, "any"));
            if batch == 30 {
                cutter.lead_to(second.address());
                first.kill();
            }
        }
        listener.join().unwrap()
    });
    println!("{} links, {} events twice", got.links, got.twice());
    assert_eq!(got.missing(EVENTS), [0; 0]);
    assert!(!got.is_doubtful, "the other server had it all");
}

#[test]
fn who_comes_back_while_redis_is_away_is_told_that_nobody_can_vouch_for_it() {
    let mut pair = Pair::new();
    let node = pair.start();
    let come_back = |since: Option<&Value>| {
        let mut client = node.connect("project=shop", &[]);
        client.expect("connected");
        let mut item = json!({ "subscriptionId": "s", "channels": ["documents"] });
        if let Some(since) = since {
            item["since"] = since.clone();
        }
        client.say(&json!({ "type": "subscribe", "data": [item] }));
        let response = client.expect("response");
        (client, response["data"]["subscriptions"][0].clone())
    };
    let (mut client, _) = come_back(None);
    pair.publish(&node, &numbered(0..1, "any"));
    let seen = client.expect("event")["data"]["id"].clone();
    drop(client);
    let (_client, before) = come_back(Some(&seen));
    assert_eq!(before["recovered"], true, "{before}");
    pair.redis.kill();
    node.wait_for_readiness(503);
    for since in [None, Some(&seen)] {
        let (_client, found) = come_back(since);
        assert_eq!((&found["recovered"], &found["reason"]), (&json!(false), &json!("gap")), "{found}");
    }
}

#[test]
fn a_client_that_crosses_an_outage_of_redis_is_told_that_nobody_can_vouch_for_it() {
    let mut pair = Pair::new();
    let node = pair.start();
    let mut attentive = node.connect("project=shop&gaps=1&channels[]=documents", &[]);
    attentive.expect("connected");
    let subscribe = json!([{ "subscriptionId": "s", "channels": ["documents"] }]);
    let mut client = node.connect("project=shop", &[]);
    client.expect("connected");
    client.say(&json!({ "type": "subscribe", "data": subscribe }));
    client.expect("response");
    pair.publish(&node, &numbered(0..1, "any"));
    client.expect("event");
    attentive.expect("event");
    drop(client);
    pair.redis.kill();
    node.wait_for_readiness(503);
    pair.redis.restart();
    node.wait_for_readiness(200);
    assert_eq!(attentive.expect("gap")["data"]["reason"], "gap");
    let mut client = node.connect("project=shop", &[]);
    client.expect("connected");
    client.say(&json!({ "type": "subscribe", "data": subscribe }));
    let response = client.expect("response");
    assert_eq!(response["data"]["subscriptions"][0]["recovered"], false, "{response}");
    pair.publish(&node, &numbered(1..2, "any"));
    assert_eq!(client.expect("event")["data"]["payload"]["number"], 1);
}
