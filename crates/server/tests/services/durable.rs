//! Events that are kept in a Redis stream: they outlive the servers, and Redis itself if it keeps its data.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cutter::Cutter;
use crate::node::{Client, Node, PATIENCE, realtime};
use crate::redis_server::{Cluster, Redis};

/// Redis is to be found again within this time of its coming back.
const SOON: Duration = Duration::from_secs(2);

/// What a server says once it knows whether anybody listened to pub/sub before it did.
const IS_LISTENING: &str = "listening to pub/sub for all servers";

/// A project and its key, and a Redis.
struct World {
    redis: Redis,
    folder: tempfile::TempDir,
    key: String,
}

impl World {
    fn new(redis: &[&str]) -> Self {
        let (folder, key) = project();
        Self { redis: Redis::start(redis), folder, key }
    }

    /// A server that is durable in this way.
    fn node(&self, durable: &str, environment: &[(&str, &str)]) -> Node {
        self.node_at(&self.redis.address(), durable, environment)
    }

    /// The same, which finds Redis elsewhere.
    fn node_at(&self, address: &str, durable: &str, environment: &[(&str, &str)]) -> Node {
        let url = format!("redis://{address}");
        let own = [("REALTIME_REDIS_URL", url.as_str()), ("REALTIME_REDIS_DURABLE", durable)];
        let node = Node::start(self.folder.path(), &[], &[&own[..], environment].concat());
        node.wait_for_readiness(200);
        node
    }

    fn publish(&self, node: &Node, ids: std::ops::Range<u32>) {
        let events: Vec<Value> = ids.map(|id| event(&id.to_string())).collect();
        let (status, body) = node.publish("shop", &self.key, &json!(events));
        assert_eq!(status, 200, "{body}");
    }

    /// Something that stands in the stream before anybody comes: that nothing had happened yet is for servers to say that
    /// have been there a while.
    fn publish_before(&self, node: &Node) {
        let event = json!({ "channels": ["other"], "roles": ["any"], "events": ["x.y"], "payload": {} });
        assert_eq!(node.publish("shop", &self.key, &event).0, 200);
    }

    /// Waits until it is known to all servers where somebody stood.
    fn wait_for_place(&self) {
        let began = Instant::now();
        while !self.redis.command(&[b"KEYS", b"realtime:resume:*"]).contains("realtime:resume:") {
            assert!(began.elapsed() < PATIENCE, "nobody's place is kept");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn project() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    realtime(folder.path(), &["project", "create", "--id", "shop"]);
    let key = realtime(folder.path(), &["key", "create", "--project", "shop"]);
    let key = key["secret"].as_str().unwrap().to_owned();
    (folder, key)
}

fn event(id: &str) -> Value {
    json!({ "channels": ["documents"], "roles": ["any"], "events": ["x.y"], "payload": { "$id": id } })
}

/// What Appwrite publishes.
fn envelope(id: &str) -> String {
    json!({
        "project": "shop", "roles": ["any"], "permissionsChanged": false, "userId": null,
        "data": {
            "events": ["x.y"], "channels": ["documents"],
            "timestamp": "2026-08-21T10:15:30.123+00:00", "payload": { "$id": id }
        }
    })
    .to_string()
}

/// A client that wants to be told of gaps.
fn listen(node: &Node) -> Client {
    let mut client = node.connect("project=shop&channels[]=documents&gaps=1", &[]);
    client.expect("connected");
    client
}

/// A client whose subscription is known again, and whether it was.
fn come_back(node: &Node) -> (Client, Value) {
    let mut client = node.connect("project=shop", &[]);
    client.expect("connected");
    let item = json!([{ "subscriptionId": "the-same", "channels": ["documents"] }]);
    client.say(&json!({ "type": "subscribe", "data": item }));
    let response = client.expect("response");
    let recovered = response["data"]["subscriptions"][0]["recovered"].clone();
    (client, recovered)
}

/// The id of the next event, or `gap`.
fn next(client: &mut Client) -> String {
    let message = client.next();
    match message["type"].as_str() {
        Some("gap") => "gap".to_owned(),
        _ => message["data"]["payload"]["$id"].as_str().unwrap().to_owned(),
    }
}

fn next_are(client: &mut Client, ids: std::ops::Range<u32>) {
    for id in ids {
        assert_eq!(next(client), id.to_string());
    }
}

/// Reads until the event with this id; what came before, each once.
fn until(client: &mut Client, last: &str) -> Vec<String> {
    let mut got: Vec<String> = Vec::new();
    loop {
        let id = next(client);
        if !got.contains(&id) {
            got.push(id.clone());
        }
        if id == last {
            return got;
        }
    }
}

fn ids(ids: std::ops::Range<u32>) -> Vec<String> {
    ids.map(|id| id.to_string()).collect()
}

#[test]
fn when_every_server_is_restarted_at_once_whoever_comes_back_gets_all_that_it_missed() {
    let world = World::new(&[]);
    let (mut first, mut second) = (world.node("stream", &[]), world.node("stream", &[]));
    world.publish_before(&first);
    let (mut client, _) = come_back(&first);
    world.publish(&first, 0..1);
    next_are(&mut client, 0..1);
    drop(client);
    world.wait_for_place();
    world.publish(&second, 1..50);
    first.kill();
    world.publish(&second, 50..60);
    second.stop();
    let (third, fourth) = (world.node("stream", &[]), world.node("stream", &[]));
    world.publish(&fourth, 60..70);
    let (mut client, recovered) = come_back(&third);
    assert_eq!(recovered, true);
    let got = until(&mut client, "69");
    // What it had got may come again.
    assert!(got.ends_with(&ids(1..70)), "{got:?}");
    // Whoever is new gets nothing of the past.
    let mut new = listen(&fourth);
    world.publish(&third, 70..71);
    next_are(&mut new, 70..71);
}

#[test]
fn who_comes_back_before_a_server_has_read_what_was_kept_waits_for_it() {
    let world = World::new(&[]);
    let mut first = world.node("stream", &[]);
    world.publish_before(&first);
    let (mut client, _) = come_back(&first);
    world.publish(&first, 0..1);
    next_are(&mut client, 0..1);
    drop(client);
    world.wait_for_place();
    world.publish(&first, 1..500);
    first.kill();
    // Its port is open while it cannot read anything yet.
    let link = Cutter::new(&world.redis.address());
    link.lead_to("127.0.0.1:9");
    let url = format!("redis://{}", link.address());
    let durable = [("REALTIME_REDIS_URL", url.as_str()), ("REALTIME_REDIS_DURABLE", "stream")];
    let second = Node::start(world.folder.path(), &[], &durable);
    second.wait_for_readiness(503);
    std::thread::scope(|scope| {
        let back = scope.spawn(|| come_back(&second));
        // It is long enough for a client that nobody lets wait.
        std::thread::sleep(Duration::from_millis(300));
        link.lead_to(&world.redis.address());
        let (mut client, recovered) = back.join().unwrap();
        assert_eq!(recovered, true);
        let got = until(&mut client, "499");
        assert!(got.ends_with(&ids(1..500)), "{got:?}");
    });
}

#[test]
fn a_server_that_reads_nothing_lets_clients_in_all_the_same_after_a_while() {
    let world = World::new(&[]);
    let link = Cutter::new("127.0.0.1:9");
    let url = format!("redis://{}", link.address());
    let durable = [("REALTIME_REDIS_URL", url.as_str()), ("REALTIME_REDIS_DURABLE", "stream")];
    let node = Node::start(world.folder.path(), &[], &durable);
    let began = Instant::now();
    let _early = listen(&node);
    assert!(began.elapsed() < PATIENCE);
    let began = Instant::now();
    let _late = listen(&node);
    assert!(began.elapsed() < Duration::from_secs(3), "nobody waits once it has taken so long");
}

#[test]
fn when_redis_is_restarted_too_it_is_the_same_if_it_keeps_its_data() {
    let mut world = World::new(&["--appendonly", "yes"]);
    let mut first = world.node("stream", &[]);
    world.publish_before(&first);
    let (mut client, _) = come_back(&first);
    world.publish(&first, 0..1);
    next_are(&mut client, 0..1);
    drop(client);
    world.wait_for_place();
    world.publish(&first, 1..50);
    first.kill();
    world.redis.kill();
    world.redis.restart();
    let second = world.node("stream", &[]);
    let (mut client, recovered) = come_back(&second);
    assert_eq!(recovered, true);
    let got = until(&mut client, "49");
    assert!(got.ends_with(&ids(1..50)), "{got:?}");
}

#[test]
fn a_restart_of_redis_is_no_gap_if_it_keeps_its_data_and_nothing_spins_meanwhile() {
    let mut world = World::new(&["--appendonly", "yes"]);
    let node = world.node("stream", &[]);
    let mut client = listen(&node);
    world.publish(&node, 0..10);
    next_are(&mut client, 0..10);
    world.redis.kill();
    node.wait_for_readiness(503);
    let (used, watch) = (node.processor_time(), Duration::from_millis(1_500));
    std::thread::sleep(watch);
    let used = node.processor_time() - used;
    assert!(used <= watch / 50, "{used:?} of processor time in {watch:?}");
    world.redis.restart();
    let back = Instant::now();
    node.wait_for_readiness(200);
    assert!(back.elapsed() < SOON, "it took {:?}", back.elapsed());
    println!("found again after {:?}", back.elapsed());
    world.publish(&node, 10..20);
    next_are(&mut client, 10..20);
    node.wait_for_log("none is lost");
}

#[test]
fn a_redis_that_comes_back_without_its_data_is_a_gap() {
    let mut world = World::new(&[]);
    let node = world.node("stream", &[]);
    let mut client = listen(&node);
    world.publish(&node, 0..10);
    next_are(&mut client, 0..10);
    world.redis.kill();
    world.redis.restart();
    node.wait_for_log("Redis has lost entries of the stream");
    node.wait_for_readiness(200);
    world.publish(&node, 10..11);
    assert_eq!([next(&mut client), next(&mut client)], ["gap", "10"]);
}

#[test]
fn a_server_that_is_cut_off_for_a_while_gets_what_was_published_meanwhile_and_it_is_no_gap() {
    let world = World::new(&[]);
    let link = Cutter::new(&world.redis.address());
    let (first, second) = (world.node_at(&link.address(), "stream", &[]), world.node("stream", &[]));
    let mut client = listen(&first);
    world.publish(&second, 0..10);
    next_are(&mut client, 0..10);
    link.lead_to("127.0.0.1:9");
    link.cut();
    first.wait_for_readiness(503);
    world.publish(&second, 10..500);
    link.lead_to(&world.redis.address());
    next_are(&mut client, 10..500);
    first.wait_for_readiness(200);
    world.publish(&second, 500..510);
    next_are(&mut client, 500..510);
}

#[test]
fn what_was_dropped_before_a_server_had_read_it_is_a_gap() {
    let world = World::new(&[]);
    let link = Cutter::new(&world.redis.address());
    let few = [("REALTIME_REDIS_DURABLE_EVENTS", "10")];
    let (first, second) = (world.node_at(&link.address(), "stream", &few), world.node("stream", &few));
    let mut client = listen(&first);
    world.publish(&second, 0..10);
    next_are(&mut client, 0..10);
    link.lead_to("127.0.0.1:9");
    link.cut();
    first.wait_for_readiness(503);
    for batch in 0..10 {
        world.publish(&second, 10 + batch * 100..110 + batch * 100);
    }
    link.lead_to(&world.redis.address());
    first.wait_for_log("entries of the stream are missing");
    world.publish(&second, 2_000..2_001);
    let got = until(&mut client, "2000");
    assert_eq!(got.first().unwrap(), "gap", "{got:?}");
    assert!(got.len() < 1_000, "only some are kept");
}

#[test]
fn what_appwrite_publishes_is_kept_and_comes_to_all_servers_in_one_order() {
    const EVENTS: u32 = 200;
    let world = World::new(&[]);
    let (mut first, second) = (world.node("bridge", &[]), world.node("bridge", &[]));
    // One that is not durable yet hears everything, too.
    let plain = world.node("off", &[]);
    for node in [&first, &second] {
        node.wait_for_log(IS_LISTENING);
    }
    world.publish_before(&first);
    let mut clients = [&first, &second, &plain].map(listen);
    let (mut mover, _) = come_back(&first);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for id in 0..EVENTS {
                assert_eq!(world.redis.publish(&envelope(&id.to_string())), 3);
            }
        });
        for id in (1_000..1_000 + EVENTS).step_by(10) {
            world.publish(&second, id..id + 10);
        }
    });
    world.publish(&second, 9_999..10_000);
    let orders = clients.each_mut().map(|client| {
        let mut got: Vec<String> = Vec::new();
        while got.last().is_none_or(|last| last != "9999") {
            let id = next(client);
            if id != "gap" {
                got.push(id);
            }
        }
        got
    });
    assert_eq!(orders[0].len() as u32, EVENTS * 2 + 1, "each comes once");
    assert_eq!(orders[0], orders[1]);
    assert_eq!(orders[2].len() as u32, EVENTS * 2 + 1, "each comes once where nothing is durable");
    // A server that was not there is as good as the one that was.
    assert!(until(&mut mover, "9999").len() as u32 >= EVENTS * 2);
    drop(mover);
    world.wait_for_place();
    first.kill();
    world.redis.publish(&envelope("away"));
    let third = world.node("bridge", &[]);
    let (mut mover, recovered) = come_back(&third);
    assert_eq!(recovered, true);
    until(&mut mover, "away");
}

#[test]
fn a_server_that_misses_what_another_one_hears_misses_nothing() {
    let world = World::new(&[]);
    let (first, second) = (world.node("bridge", &[]), world.node("bridge", &[]));
    // Until both know what was before, there may be a gap.
    for node in [&first, &second] {
        node.wait_for_log(IS_LISTENING);
        node.clear_log();
    }
    let mut client = listen(&first);
    let subscribers = world.redis.command(&[b"CLIENT", b"LIST", b"TYPE", b"pubsub"]);
    let one = subscribers.split("id=").nth(1).unwrap().split(' ').next().unwrap();
    world.redis.command(&[b"CLIENT", b"KILL", b"ID", one.as_bytes()]);
    let heard = world.redis.publish(&envelope("0"));
    assert_eq!(heard, 1, "the other one listens");
    assert_eq!(next(&mut client), "0");
    let began = Instant::now();
    while !first.log().contains(IS_LISTENING) && !second.log().contains(IS_LISTENING) {
        assert!(began.elapsed() < PATIENCE, "{}", first.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    world.redis.publish(&envelope("1"));
    assert_eq!(next(&mut client), "1", "nobody is told of a gap");
}

#[test]
fn what_was_published_while_nobody_listened_is_a_gap_for_who_comes_back() {
    let world = World::new(&[]);
    let mut first = world.node("bridge", &[]);
    first.wait_for_log("nobody listened to pub/sub for a while");
    let mut attentive = listen(&first);
    let (mut client, _) = come_back(&first);
    world.redis.publish(&envelope("0"));
    assert_eq!(next(&mut client), "0");
    until(&mut attentive, "0");
    drop(client);
    world.wait_for_place();
    first.kill();
    assert_eq!(world.redis.publish(&envelope("lost")), 0);
    let second = world.node("bridge", &[]);
    second.wait_for_log("nobody can vouch for what was published on pub/sub before");
    second.wait_for_log("nobody listened to pub/sub for a while");
    let mut attentive = listen(&second);
    world.redis.publish(&envelope("1"));
    until(&mut attentive, "1");
    let (_client, recovered) = come_back(&second);
    assert_eq!(recovered, false);
}

#[test]
fn a_cluster_keeps_events_too() {
    let cluster = Cluster::start(&[]);
    let (folder, key) = project();
    let addresses = cluster.addresses();
    for (durable, sharded) in [("stream", "false"), ("bridge", "false"), ("bridge", "true")] {
        let environment = [
            ("REALTIME_REDIS_CLUSTER", addresses.as_str()),
            ("REALTIME_REDIS_DURABLE", durable),
            ("REALTIME_REDIS_SHARDED", sharded),
        ];
        let node = Node::start(folder.path(), &[], &environment);
        node.wait_for_readiness(200);
        let mut client = listen(&node);
        assert_eq!(node.publish("shop", &key, &event("over HTTP")).0, 200);
        until(&mut client, "over HTTP");
        if durable == "bridge" {
            let publish: &[u8] = if sharded == "true" { b"SPUBLISH" } else { b"PUBLISH" };
            let owner = &cluster.servers[cluster.owner("realtime")];
            owner.command(&[publish, b"realtime", envelope(sharded).as_bytes()]);
            until(&mut client, sharded);
        }
    }
}
