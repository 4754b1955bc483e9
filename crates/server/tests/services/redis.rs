//! Events over a real Redis: from Appwrite, between nodes, and through its failures.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};

use crate::certificate::Certificate;
use crate::node::{Client, Node, realtime};
use crate::redis_server::{Redis, free_port, tls};

/// A data folder with a project and a key, and a Redis.
struct World {
    folder: tempfile::TempDir,
    key: String,
    redis: Redis,
}

impl World {
    fn new(redis: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = fill(folder.path());
        Self { folder, key, redis: Redis::start(redis) }
    }

    fn node(&self, environment: &[(&str, &str)]) -> Node {
        let port = self.redis.port();
        let own = [("_APP_REDIS_HOST", "127.0.0.1"), ("_APP_REDIS_PORT", port.as_str())];
        Node::start(self.folder.path(), &[], &[&own[..], environment].concat())
    }
}

fn fill(folder: &Path) -> String {
    realtime(folder, &["project", "create", "--id", "shop"]);
    realtime(folder, &["key", "create", "--project", "shop"])["secret"].as_str().unwrap().to_owned()
}

fn listen(node: &Node) -> Client {
    let mut client = node.connect("project=shop&channels[]=documents", &[]);
    client.expect("connected");
    client
}

/// What Appwrite publishes for a document that anybody may read.
fn envelope(id: &str) -> String {
    json!({
        "project": "shop", "roles": ["any"], "permissionsChanged": false, "userId": null,
        "data": {
            "events": [format!("databases.D.collections.C.documents.{id}.create")],
            "channels": ["documents", format!("databases.D.collections.C.documents.{id}")],
            "timestamp": "2026-08-21T10:15:30.123+00:00",
            "payload": { "$id": id }
        }
    })
    .to_string()
}

fn event(id: &str) -> Value {
    json!({ "channels": ["documents"], "roles": ["any"], "events": ["x.y"], "payload": { "$id": id } })
}

#[test]
fn what_is_published_on_one_node_or_by_appwrite_reaches_clients_of_every_node() {
    let world = World::new(&[]);
    let nodes = [world.node(&[]), world.node(&[])];
    let mut clients = nodes.each_ref().map(|node| {
        assert_eq!(node.wait_for_readiness(200), json!({ "status": "ok" }));
        listen(node)
    });
    assert_eq!(nodes[0].publish("shop", &world.key, &event("a")).0, 200);
    for client in &mut clients {
        assert_eq!(client.expect("event")["data"]["payload"]["$id"], "a");
    }
    assert_eq!(world.redis.publish(&envelope("b")), 2, "one subscription for each node");
    for client in &mut clients {
        let event = client.expect("event");
        assert_eq!(event["data"]["payload"], json!({ "$id": "b" }));
        assert_eq!(event["data"]["timestamp"], "2026-08-21T10:15:30.123+00:00");
    }
}

#[test]
fn a_message_that_is_not_an_event_is_logged_and_skipped_on_the_same_connection() {
    let world = World::new(&[]);
    let node = world.node(&[]);
    node.wait_for_readiness(200);
    let mut client = listen(&node);
    for junk in
        ["", "{", "[]", "null", "\u{0}", r#"{"project":"shop"}"#, r#"{"project":1,"roles":[],"data":{}}"#]
    {
        assert_eq!(world.redis.publish(junk), 1);
    }
    world.redis.command(&[b"PUBLISH", b"realtime", b"\xff\xfe secret-payload"]);
    assert_eq!(world.redis.publish(&envelope("good")), 1);
    assert_eq!(client.expect("event")["data"]["payload"]["$id"], "good");
    node.wait_for_log(r#""bytes":17"#);
    let log = node.log();
    assert_eq!(log.matches("skipped a message on Redis that is not an event").count(), 8, "{log}");
    assert_eq!(log.matches("receiving events from Redis").count(), 1, "{log}");
    assert!(!log.contains("secret-payload"), "{log}");
}

#[test]
fn a_redis_that_goes_and_comes_back_is_found_again_and_the_gap_is_told() {
    let mut world = World::new(&[]);
    let node = world.node(&[]);
    node.wait_for_readiness(200);
    let mut client = listen(&node);
    world.redis.kill();
    let trouble = node.wait_for_readiness(503);
    assert_eq!(trouble["reason"], "the redis bus is not connected");
    let (status, body) = node.publish("shop", &world.key, &event("lost"));
    assert_eq!(status, 503, "{body}");
    node.wait_for_log("cannot receive events from Redis");
    world.redis.restart();
    node.wait_for_readiness(200);
    node.wait_for_log("those published meanwhile are lost");
    assert_eq!(node.publish("shop", &world.key, &event("after")).0, 200);
    assert_eq!(client.expect("event")["data"]["payload"]["$id"], "after", "the client stayed connected");
}

#[test]
fn nobody_is_remembered_while_redis_is_away_or_beyond() {
    let mut world = World::new(&[]);
    let of_shop =
        |arguments: &[&str]| realtime(world.folder.path(), &[arguments, &["--project", "shop"]].concat());
    of_shop(&["user", "create", "--id", "ann"]);
    let session = || {
        let made = of_shop(&["session", "create", "--user", "ann"]);
        let text = |key: &str| made[key].as_str().unwrap().to_owned();
        (text("id"), text("token"))
    };
    let sessions = [session(), session()];
    let node = world.node(&[("REALTIME_CACHE_IDENTITIES", "1h")]);
    node.wait_for_readiness(200);
    let user_of = |token: &str| {
        let mut client = node.connect("project=shop&channels[]=documents", &[("x-appwrite-session", token)]);
        client.expect("connected")["data"]["user"]["$id"].clone()
    };
    for (id, token) in &sessions {
        assert_eq!(user_of(token), "ann");
        of_shop(&["session", "remove", id]);
        assert_eq!(user_of(token), "ann", "nothing has told of the end");
    }
    let [(_, one), (_, other)] = &sessions;
    world.redis.kill();
    node.wait_for_readiness(503);
    assert_eq!(user_of(one), Value::Null);
    world.redis.restart();
    node.wait_for_readiness(200);
    assert_eq!(user_of(other), Value::Null, "what told of the end may have been missed");
}

#[test]
fn a_publisher_that_idled_through_a_restart_does_not_fail() {
    let mut world = World::new(&[]);
    let node = world.node(&[]);
    node.wait_for_readiness(200);
    let mut client = listen(&node);
    assert_eq!(node.publish("shop", &world.key, &event("before")).0, 200);
    client.expect("event");
    node.clear_log();
    world.redis.kill();
    world.redis.restart();
    node.wait_for_log("receiving events from Redis again");
    assert_eq!(node.publish("shop", &world.key, &event("after")).0, 200);
    assert_eq!(client.expect("event")["data"]["payload"]["$id"], "after");
}

#[test]
fn the_password_alone_signs_in_and_the_user_is_named_where_that_is_refused() {
    let plain = World::new(&["--requirepass", "p4ss"]);
    let node = plain.node(&[("_APP_REDIS_USER", "ignored"), ("_APP_REDIS_PASS", "p4ss")]);
    node.wait_for_readiness(200);
    assert_eq!(node.publish("shop", &plain.key, &event("a")).0, 200);

    let user = ["--user", "events", "on", ">p4ss", "&realtime", "-@all", "+subscribe", "+publish", "+ping"];
    let acl = World::new(&[&user[..], &["--user", "default", "off"]].concat());
    let node = acl.node(&[("_APP_REDIS_USER", "events"), ("_APP_REDIS_PASS", "p4ss")]);
    node.wait_for_readiness(200);
    assert_eq!(node.publish("shop", &acl.key, &event("a")).0, 200);
}

#[test]
fn connections_are_counted_for_all_servers_together_as_appwrite_counts_them() {
    let world = World::new(&[]);
    let environment = [("_APP_OPTIONS_ABUSE", "enabled"), ("REALTIME_LIMITS_ENABLED", "")];
    let nodes = [world.node(&environment), world.node(&environment)];
    let from = [("x-forwarded-for", "203.0.113.9")];
    for node in &nodes {
        node.wait_for_readiness(200);
    }
    for node in nodes.iter().cycle().take(10) {
        node.connect("project=shop&channels[]=documents", &from).expect("connected");
    }
    let keys = world.redis.command(&[b"KEYS", b"abuse__*"]);
    let key = keys.lines().find(|line| line.starts_with("abuse__")).unwrap();
    assert!(key.starts_with("abuse__url:/v1/realtime,ip:203.0.113.9__"), "{key}");
    assert!(world.redis.command(&[b"TTL", key.as_bytes()]).starts_with(':'));
    // As if another server had let in the rest of the 128, in this minute and in the next.
    let minute: u64 = key.rsplit('_').next().unwrap().parse().unwrap();
    for minute in [minute, minute + 60] {
        let key = format!("abuse__url:/v1/realtime,ip:203.0.113.9__{minute}");
        world.redis.command(&[b"SET", key.as_bytes(), b"128"]);
    }
    for node in &nodes {
        let refused = node.connect("project=shop&channels[]=documents", &from).expect("error");
        assert_eq!(refused["data"]["code"], 1013, "{refused}");
        node.connect("project=shop&channels[]=documents", &[("x-forwarded-for", "203.0.113.10")])
            .expect("connected");
    }
}

#[test]
fn a_wrong_password_is_told_with_what_to_do_and_never_shown() {
    let world = World::new(&["--requirepass", "p4ss"]);
    let node = world.node(&[("_APP_REDIS_PASS", "wr0ng")]);
    node.wait_for_log("_APP_REDIS_PASS");
    node.wait_for_readiness(503);
    assert!(!node.log().contains("wr0ng"));
    listen(&node);
}

#[test]
fn a_url_beats_the_parts() {
    let world = World::new(&["--requirepass", "p4ss"]);
    let url = format!("pubsub=redis://:p4ss@127.0.0.1:{}", world.redis.port());
    let elsewhere = free_port().to_string();
    let environment = [
        ("_APP_REDIS_HOST", "127.0.0.1"),
        ("_APP_REDIS_PORT", &elsewhere),
        ("_APP_CONNECTIONS_PUBSUB", &url),
    ];
    let node = Node::start(world.folder.path(), &[], &environment);
    node.wait_for_readiness(200);
    assert!(!node.log().contains("p4ss"));
}

#[test]
fn a_redis_that_answers_garbage_is_told_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let garbage = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = garbage.local_addr().unwrap().port().to_string();
    std::thread::spawn(move || {
        for stream in garbage.incoming().flatten() {
            let mut stream = stream;
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        }
    });
    let node = Node::start(folder.path(), &["--redis-host", "127.0.0.1", "--redis-port", &port], &[]);
    node.wait_for_log("cannot receive events from Redis");
    assert_eq!(node.wait_for_readiness(503)["status"], "not ready");
    listen(&node);
}

#[test]
fn tls_is_spoken_with_a_redis_whose_certificate_is_trusted() {
    let certificate = Certificate::new();
    let world = World::new(&tls(&certificate));
    let url = format!("rediss://localhost:{}", world.redis.port());
    let trusting = Node::start(
        world.folder.path(),
        &["--redis-url", &url, "--redis-certificates", certificate.chain()],
        &[],
    );
    trusting.wait_for_readiness(200);
    assert_eq!(trusting.publish("shop", &world.key, &event("a")).0, 200);
    let distrusting = Node::start(world.folder.path(), &["--redis-url", &url], &[]);
    distrusting.wait_for_log("certificate");
    distrusting.wait_for_readiness(503);
}

#[test]
fn an_end_that_speaks_tls_alone_is_told_with_what_to_do() {
    let (plain, certificate) = (World::new(&[]), Certificate::new());
    let encrypted = World::new(&tls(&certificate));
    for (world, speaks_tls) in [(&plain, "true"), (&encrypted, "false")] {
        let node = world.node(&[("REALTIME_REDIS_TLS", speaks_tls)]);
        let told = node.wait_for_log("cannot receive events from Redis").to_string();
        assert!(told.contains("redis.tls"), "{told}");
    }
}
