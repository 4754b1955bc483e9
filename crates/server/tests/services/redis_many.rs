//! Events over several Redis servers: a master that sentinels replace, and a cluster.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::certificate::Certificate;
use crate::node::{Client, Node, PATIENCE, realtime};
use crate::redis_server::{Cluster, Sentinels, tls};

/// A server and its project, with clients that want to be told of gaps.
struct World {
    node: Node,
    key: String,
    folder: tempfile::TempDir,
}

impl World {
    fn new(environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        realtime(folder.path(), &["project", "create", "--id", "shop"]);
        let key = realtime(folder.path(), &["key", "create", "--project", "shop"]);
        let key = key["secret"].as_str().unwrap().to_owned();
        let node = Node::start(folder.path(), &[], environment);
        node.wait_for_readiness(200);
        Self { node, key, folder }
    }

    /// Another server beside it.
    fn another(&self, environment: &[(&str, &str)]) -> Node {
        let node = Node::start(self.folder.path(), &[], environment);
        node.wait_for_readiness(200);
        node
    }

    /// Publishes over HTTP until that is possible.
    fn publish(&self, id: &str) {
        let began = Instant::now();
        loop {
            let (status, body) = self.node.publish("shop", &self.key, &event(id));
            if status == 200 {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{body}: {}", self.node.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
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

fn listen(node: &Node) -> Client {
    let mut client = node.connect("project=shop&channels[]=documents&gaps=1", &[]);
    client.expect("connected");
    client
}

/// The id of the next event, or `gap`.
fn next(client: &mut Client) -> String {
    let message = client.next();
    match message["type"].as_str() {
        Some("gap") => "gap".to_owned(),
        _ => message["data"]["payload"]["$id"].as_str().unwrap().to_owned(),
    }
}

fn with_sentinels(sentinels: &Sentinels, more: &[(&str, &str)]) -> World {
    let addresses = sentinels.addresses();
    let environment = [
        ("REALTIME_REDIS_SENTINELS", addresses.as_str()),
        ("REALTIME_REDIS_SENTINEL_MASTER", "events"),
        ("REALTIME_REDIS_SENTINEL_PASSWORD", "s3ntinel"),
        ("_APP_REDIS_PASS", "p4ss"),
    ];
    World::new(&[&environment[..], more].concat())
}

#[test]
fn a_master_that_was_killed_is_followed_by_its_replica_and_clients_are_told() {
    let mut sentinels = Sentinels::start("p4ss", "s3ntinel");
    let world = with_sentinels(&sentinels, &[]);
    let mut client = listen(&world.node);
    world.publish("before");
    assert_eq!(next(&mut client), "before");
    sentinels.servers[0].kill();
    world.node.wait_for_readiness(503);
    world.node.wait_for_log("from another server; those published meanwhile are lost");
    world.node.wait_for_readiness(200);
    world.publish("after");
    assert_eq!([next(&mut client), next(&mut client)], ["gap", "after"]);
    // Appwrite publishes at the new master.
    sentinels.servers[1].ask_as("p4ss", &[b"PUBLISH", b"realtime", envelope("of Appwrite").as_bytes()]);
    assert_eq!(next(&mut client), "of Appwrite");
    // The old one comes back as a replica, which changes nothing.
    sentinels.servers[0].restart();
    world.publish("in the end");
    assert_eq!(next(&mut client), "in the end");
    let log = world.node.log();
    assert!(!log.contains("p4ss") && !log.contains("s3ntinel"), "{log}");
}

#[test]
fn a_master_that_hangs_is_left_for_the_one_that_the_sentinels_name() {
    let sentinels = Sentinels::start("p4ss", "s3ntinel");
    let world = with_sentinels(&sentinels, &[]);
    let mut client = listen(&world.node);
    sentinels.servers[0].pause();
    world.node.wait_for_log("from another server; those published meanwhile are lost");
    sentinels.servers[0].go_on();
    world.publish("after");
    assert_eq!([next(&mut client), next(&mut client)], ["gap", "after"]);
}

#[test]
fn a_master_that_lives_on_where_the_sentinels_do_not_see_it_is_left_for_the_new_one() {
    let sentinels = Sentinels::start("p4ss", "s3ntinel");
    let world = with_sentinels(&sentinels, &[]);
    let mut client = listen(&world.node);
    // The sentinels are let in no more; the subscription is in already, and nobody closes it.
    let old = &sentinels.servers[0];
    let clients = old.ask_as("p4ss", &[b"CLIENT", b"LIST"]);
    old.ask_as("p4ss", &[b"ACL", b"SETUSER", b"default", b"resetpass", b">other"]);
    for line in clients.lines().filter(|line| line.contains("name=sentinel-")) {
        let id = line.split("id=").nth(1).unwrap().split(' ').next().unwrap();
        old.ask_as("other", &[b"CLIENT", b"KILL", b"ID", id.as_bytes()]);
    }
    world.node.wait_for_log("the sentinels name another master");
    world.node.wait_for_log("from another server; those published meanwhile are lost");
    world.publish("after");
    assert_eq!([next(&mut client), next(&mut client)], ["gap", "after"]);
    let answer = sentinels.servers[1].ask_as("p4ss", &[b"PUBLISH", b"realtime", envelope("new").as_bytes()]);
    assert_eq!(answer.trim(), ":1");
    assert_eq!(next(&mut client), "new");
}

#[test]
fn a_wrong_password_of_the_sentinels_is_told_with_what_to_do() {
    let sentinels = Sentinels::start("p4ss", "s3ntinel");
    let folder = tempfile::tempdir().unwrap();
    realtime(folder.path(), &["project", "create", "--id", "shop"]);
    let addresses = sentinels.addresses();
    let node = Node::start(
        folder.path(),
        &["--redis-sentinels", &addresses, "--redis-sentinel-master", "events"],
        &[("REALTIME_REDIS_SENTINEL_PASSWORD", "wr0ng"), ("_APP_REDIS_PASS", "p4ss")],
    );
    let told = node.wait_for_log("cannot receive events from Redis");
    println!("{told}");
    assert!(told.to_string().contains("password"), "{told}");
    assert!(!node.log().contains("wr0ng"));
}

/// A server that is not told whom to trust says what it lacks.
fn is_told_of_a_certificate_that_nobody_vouches_for(world: &World, environment: &[(&str, &str)]) {
    let distrusting = Node::start(world.folder.path(), &[], environment);
    let told = distrusting.wait_for_log("cannot receive events from Redis").to_string();
    assert!(told.contains("redis.certificates"), "{told}");
    distrusting.wait_for_readiness(503);
}

#[test]
fn a_failover_is_followed_where_sentinels_and_servers_speak_nothing_but_tls() {
    let certificate = Certificate::new();
    let mut sentinels = Sentinels::start_with("p4ss", "s3ntinel", &tls(&certificate));
    let world = with_sentinels(
        &sentinels,
        &[("REALTIME_REDIS_TLS", "true"), ("REALTIME_REDIS_CERTIFICATES", certificate.chain())],
    );
    let mut client = listen(&world.node);
    world.publish("before");
    assert_eq!(next(&mut client), "before");
    sentinels.servers[0].kill();
    world.node.wait_for_log("from another server; those published meanwhile are lost");
    world.node.wait_for_readiness(200);
    world.publish("after");
    assert_eq!([next(&mut client), next(&mut client)], ["gap", "after"]);
    sentinels.servers[1].ask_as("p4ss", &[b"PUBLISH", b"realtime", envelope("of Appwrite").as_bytes()]);
    assert_eq!(next(&mut client), "of Appwrite");
    let addresses = sentinels.addresses();
    is_told_of_a_certificate_that_nobody_vouches_for(
        &world,
        &[
            ("REALTIME_REDIS_SENTINELS", &addresses),
            ("REALTIME_REDIS_SENTINEL_MASTER", "events"),
            ("REALTIME_REDIS_SENTINEL_PASSWORD", "s3ntinel"),
            ("_APP_REDIS_PASS", "p4ss"),
            ("REALTIME_REDIS_TLS", "true"),
        ],
    );
}

#[test]
fn what_is_published_at_any_server_of_a_cluster_reaches_clients_of_every_node_in_one_order() {
    let cluster = Cluster::start(&[]);
    let addresses = cluster.addresses();
    let environment = [("REALTIME_REDIS_CLUSTER", addresses.as_str())];
    let world = World::new(&environment);
    let second = world.another(&environment);
    let mut clients = [listen(&world.node), listen(&second)];
    for number in 0..300 {
        cluster.servers[number % 3].send(&[
            b"PUBLISH",
            b"realtime",
            envelope(&number.to_string()).as_bytes(),
        ]);
    }
    for number in 300..320 {
        world.publish(&number.to_string());
    }
    let orders = clients.each_mut().map(|client| (0..320).map(|_| next(client)).collect::<Vec<_>>());
    assert_eq!(orders[0], orders[1]);
}

#[test]
fn a_cluster_is_followed_to_who_has_the_channel_where_it_speaks_nothing_but_tls() {
    // Servers call themselves by their addresses, unless told to do so by a name.
    let by_name =
        ["--cluster-announce-hostname", "localhost", "--cluster-preferred-endpoint-type", "hostname"];
    for (sharded, host, names, more) in
        [("false", "127.0.0.1", "IP:127.0.0.1", &[][..]), ("true", "localhost", "DNS:localhost", &by_name)]
    {
        let certificate = Certificate::of(names);
        let cluster = Cluster::start(&[&tls(&certificate)[..], more].concat());
        let owner = cluster.owner("realtime");
        // None of those that are named has the channel: the way to it is what a server says of another one.
        let others = [(owner + 1) % 3, (owner + 2) % 3].map(|other| cluster.servers[other].address());
        let addresses = others.join(",").replace("127.0.0.1", host);
        let encrypted = [
            ("REALTIME_REDIS_CLUSTER", addresses.as_str()),
            ("REALTIME_REDIS_SHARDED", sharded),
            ("REALTIME_REDIS_TLS", "true"),
        ];
        let trusting = [&encrypted[..], &[("REALTIME_REDIS_CERTIFICATES", certificate.chain())]].concat();
        let world = World::new(&trusting);
        let second = world.another(&trusting);
        let mut clients = [listen(&world.node), listen(&second)];
        world.publish("over HTTP");
        let publish: &[u8] = if sharded == "true" { b"SPUBLISH" } else { b"PUBLISH" };
        let message = envelope("at the owner");
        let answer = cluster.servers[owner].command(&[publish, b"realtime", message.as_bytes()]);
        assert_eq!(answer.trim(), ":2");
        for client in &mut clients {
            assert_eq!([next(client), next(client)], ["over HTTP", "at the owner"]);
        }
        is_told_of_a_certificate_that_nobody_vouches_for(&world, &encrypted);
    }
}

#[test]
fn sharded_pub_sub_reaches_every_node_and_leaves_plain_pub_sub_alone() {
    let cluster = Cluster::start(&[]);
    let addresses = cluster.addresses();
    let environment = [("REALTIME_REDIS_CLUSTER", addresses.as_str()), ("REALTIME_REDIS_SHARDED", "true")];
    let world = World::new(&environment);
    let second = world.another(&environment);
    let mut clients = [listen(&world.node), listen(&second)];
    let owner = &cluster.servers[cluster.owner("realtime")];
    let answer = owner.command(&[b"PUBLISH", b"realtime", envelope("plain").as_bytes()]);
    assert_eq!(answer.trim(), ":0", "nobody listens there");
    let answer = owner.command(&[b"SPUBLISH", b"realtime", envelope("sharded").as_bytes()]);
    assert_eq!(answer.trim(), ":2");
    world.publish("over HTTP");
    for client in &mut clients {
        assert_eq!([next(client), next(client)], ["sharded", "over HTTP"]);
    }
}

fn the_owner_goes_and_comes_back(environment: &[(&str, &str)]) {
    let mut cluster = Cluster::start(&[]);
    let addresses = cluster.addresses();
    let world = World::new(&[&[("REALTIME_REDIS_CLUSTER", addresses.as_str())], environment].concat());
    let mut client = listen(&world.node);
    world.publish("before");
    assert_eq!(next(&mut client), "before");
    let owner = cluster.owner("realtime");
    cluster.servers[owner].kill();
    world.node.wait_for_readiness(503);
    let used = world.node.processor_time();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        assert_ne!(world.node.get("/health/ready").0, 200, "nobody has the slot");
        std::thread::sleep(Duration::from_millis(200));
    }
    let used = world.node.processor_time() - used;
    assert!(used <= began.elapsed() / 50, "{used:?} in {:?}", began.elapsed());
    // It knows its slots no more, as its folder has been kept but the file may be older: it is given them again.
    cluster.servers[owner].restart();
    cluster.wait_until_whole();
    let whole = Instant::now();
    world.node.wait_for_readiness(200);
    println!("found again {:?} after the cluster was whole", whole.elapsed());
    world.publish("after");
    assert_eq!([next(&mut client), next(&mut client)], ["gap", "after"]);
}

#[test]
fn the_server_of_a_cluster_that_has_the_channel_goes_and_comes_back_and_clients_are_told() {
    the_owner_goes_and_comes_back(&[]);
}

#[test]
fn the_same_holds_for_sharded_pub_sub() {
    the_owner_goes_and_comes_back(&[("REALTIME_REDIS_SHARDED", "true")]);
}

#[test]
fn the_replica_of_a_server_of_a_cluster_that_was_killed_is_followed_and_clients_are_told() {
    for sharded in ["false", "true"] {
        let mut cluster = Cluster::start_with_replicas();
        let addresses = cluster.addresses();
        let world = World::new(&[
            ("REALTIME_REDIS_CLUSTER", addresses.as_str()),
            ("REALTIME_REDIS_SHARDED", sharded),
        ]);
        let mut client = listen(&world.node);
        world.publish("before");
        assert_eq!(next(&mut client), "before");
        let owner = cluster.owner("realtime");
        cluster.servers[owner].kill();
        world.node.wait_for_log("from another server; those published meanwhile are lost");
        world.node.wait_for_readiness(200);
        world.publish("after");
        assert_eq!([next(&mut client), next(&mut client)], ["gap", "after"]);
        let words: [&[u8]; 3] = [b"SPUBLISH", b"realtime", &envelope("of the replica").into_bytes()];
        let words = if sharded == "true" { words } else { [b"PUBLISH", words[1], words[2]] };
        cluster.replicas[owner].command(&words);
        assert_eq!(next(&mut client), "of the replica");
    }
}

/// The replica may lack what the master had promised to keep, so nobody vouches across it, and all are told.
#[test]
fn a_failover_is_a_gap_where_events_are_kept_too() {
    let mut sentinels = Sentinels::start("p4ss", "s3ntinel");
    let world = with_sentinels(&sentinels, &[("REALTIME_REDIS_DURABLE", "stream")]);
    let subscribe = |node: &Node| {
        let mut client = node.connect("project=shop", &[]);
        client.expect("connected");
        let item = json!([{ "subscriptionId": "the-same", "channels": ["documents"] }]);
        client.say(&json!({ "type": "subscribe", "data": item }));
        let response = client.expect("response");
        (client, response["data"]["subscriptions"][0]["recovered"].clone())
    };
    let mut there = listen(&world.node);
    let (mut client, _) = subscribe(&world.node);
    world.publish("before");
    assert_eq!([next(&mut there), next(&mut client)], ["before", "before"]);
    drop(client);
    sentinels.servers[0].kill();
    world.node.wait_for_readiness(503);
    world.node.wait_for_readiness(200);
    world.publish("after");
    assert_eq!([next(&mut there), next(&mut there)], ["gap", "after"]);
    let (mut client, recovered) = subscribe(&world.node);
    assert_eq!(recovered, false);
    world.publish("in the end");
    for client in [&mut there, &mut client] {
        assert_eq!(next(client), "in the end");
    }
}

#[test]
fn a_channel_whose_slot_moves_to_another_server_is_followed_and_clients_are_told() {
    for sharded in ["false", "true"] {
        let cluster = Cluster::start(&[]);
        let addresses = cluster.addresses();
        let world = World::new(&[
            ("REALTIME_REDIS_CLUSTER", addresses.as_str()),
            ("REALTIME_REDIS_SHARDED", sharded),
        ]);
        let mut client = listen(&world.node);
        let slot = cluster.servers[0].command(&[b"CLUSTER", b"KEYSLOT", b"realtime"]);
        let slot = slot.trim_start_matches(':').trim().to_owned();
        let heir = (cluster.owner("realtime") + 1) % 3;
        let id = cluster.servers[heir].command(&[b"CLUSTER", b"MYID"]);
        let id = id.lines().nth(1).unwrap().to_owned();
        // The heir first, so that it is the newer word.
        for server in [heir, (heir + 1) % 3, (heir + 2) % 3] {
            let words: [&[u8]; 5] = [b"CLUSTER", b"SETSLOT", slot.as_bytes(), b"NODE", id.as_bytes()];
            let answer = cluster.servers[server].command(&words);
            assert!(answer.starts_with("+OK"), "{answer}");
        }
        world.node.wait_for_log("from another server; those published meanwhile are lost");
        world.publish("after");
        assert_eq!([next(&mut client), next(&mut client)], ["gap", "after"]);
    }
}

#[test]
fn counts_and_places_are_kept_in_all_slots_of_a_cluster() {
    let cluster = Cluster::start(&[]);
    let addresses = cluster.addresses();
    let environment = [
        ("REALTIME_REDIS_CLUSTER", addresses.as_str()),
        ("_APP_OPTIONS_ABUSE", "enabled"),
        ("REALTIME_LIMITS_ENABLED", ""),
    ];
    let mut world = World::new(&environment);
    let second = world.another(&environment);
    let subscribe = |client: &mut Client, ids: std::ops::Range<u32>| {
        let item = |id| json!({ "subscriptionId": format!("s{id}"), "channels": ["documents"] });
        let items: Vec<Value> = ids.map(item).collect();
        client.say(&json!({ "type": "subscribe", "data": items }));
        client.expect("response")["data"]["subscriptions"].as_array().unwrap().clone()
    };
    // Something that both have seen.
    world.publish("before");
    let from = [("x-forwarded-for", "203.0.113.9")];
    let mut client = world.node.connect("project=shop", &from);
    client.expect("connected");
    // Their keys are all over the slots.
    subscribe(&mut client, 0..12);
    world.publish("seen");
    assert_eq!(next(&mut client), "seen");
    drop(client);
    world.node.stop();
    let mut client = second.connect("project=shop", &from);
    client.expect("connected");
    for subscription in subscribe(&mut client, 0..12) {
        assert_eq!(subscription["recovered"], true, "{subscription}");
    }
    let keys: Vec<String> = cluster.servers.iter().map(|server| server.command(&[b"KEYS", b"*"])).collect();
    assert!(keys.iter().all(|keys| keys.contains("realtime:resume:")), "{keys:?}");
    let counts: usize = keys.iter().map(|keys| keys.matches("abuse__").count()).sum();
    assert!(counts >= 1, "{keys:?}");
    assert!(!second.log().contains("cannot be shared"), "{}", second.log());
}
