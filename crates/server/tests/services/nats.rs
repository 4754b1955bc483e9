//! Events over a real NATS: between nodes, through its failures, and kept by JetStream while every node is away.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::faults::{SOON, must_not_spin};
use crate::nats_server::Nats;
use crate::node::{Client, Node, realtime};

/// A data folder with a project and a key, and a NATS.
struct World {
    folder: tempfile::TempDir,
    key: String,
    nats: Nats,
}

impl World {
    fn new(nats: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        realtime(folder.path(), &["project", "create", "--id", "shop"]);
        let key = realtime(folder.path(), &["key", "create", "--project", "shop"]);
        Self { key: key["secret"].as_str().unwrap().to_owned(), folder, nats: Nats::start(nats) }
    }

    /// A node that is not waited for.
    fn node(&self, arguments: &[&str]) -> Node {
        let url = format!("nats://{}", self.nats.address());
        let own = [("REALTIME_NATS_URL", url.as_str()), ("_APP_ENV", "development")];
        Node::start(self.folder.path(), arguments, &own)
    }

    fn ready(&self, arguments: &[&str]) -> Node {
        let node = self.node(arguments);
        node.wait_for_readiness(200);
        node
    }

    fn publish(&self, node: &Node, id: &str) {
        let (status, body) = node.publish("shop", &self.key, &event(id));
        assert_eq!(status, 200, "{body}");
    }

    /// Publishes as somebody else does.
    fn publish_elsewhere(&self, id: &str) {
        self.nats.publish("realtime", envelope(id).as_bytes());
    }
}

fn event(id: &str) -> Value {
    json!({ "channels": ["documents"], "roles": ["any"], "events": ["x.y"], "payload": { "$id": id } })
}

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

/// Subscribes as the official SDKs do; the response tells whether it goes on where it stood.
fn come_back(node: &Node) -> (Client, Value) {
    come_back_as(node, "the-same")
}

fn come_back_as(node: &Node, id: &str) -> (Client, Value) {
    let mut client = node.connect("project=shop", &[]);
    client.expect("connected");
    let subscribe = json!([{ "subscriptionId": id, "channels": ["documents"] }]);
    client.say(&json!({ "type": "subscribe", "data": subscribe }));
    let response = client.expect("response");
    (client, response["data"]["subscriptions"][0].clone())
}

/// What comes next: the id of an event, or what else it is.
fn next(client: &mut Client) -> String {
    let message = client.next();
    match message["data"]["payload"]["$id"].as_str() {
        Some(id) => id.to_owned(),
        None => message["type"].as_str().unwrap_or_default().to_owned(),
    }
}

#[test]
fn what_is_published_on_one_node_reaches_clients_of_every_node_over_nats_with_the_same_id() {
    let world = World::new(&[]);
    let nodes = [world.ready(&[]), world.ready(&[])];
    let mut clients = nodes.each_ref().map(listen);
    world.publish(&nodes[0], "a");
    for client in &mut clients {
        assert_eq!(next(client), "a");
    }
    world.publish_elsewhere("b");
    let [first, second] = clients.each_mut().map(|client| client.expect("event")["data"]["id"].clone());
    assert_eq!(first, second, "who publishes it gave it none");
    assert!(nodes[0].log().contains("each server counts connections by address"));
}

#[test]
fn a_message_on_nats_that_is_not_an_event_is_logged_and_skipped_and_is_a_gap() {
    for arguments in [&[][..], &["--nats-durable", "true"]] {
        let world = World::new(&["-js"]);
        let node = world.ready(arguments);
        let mut client = listen(&node);
        for junk in [&b""[..], b"{", br#"{"project":"shop"}"#, b"\xff\xfe secret-payload"] {
            world.nats.publish("realtime", junk);
        }
        world.publish_elsewhere("good");
        let got: Vec<String> = (0..5).map(|_| next(&mut client)).collect();
        assert_eq!(got, ["gap", "gap", "gap", "gap", "good"]);
        let log = node.log();
        assert_eq!(log.matches("skipped a message on NATS that is not an event").count(), 4, "{log}");
        assert_eq!(log.matches("receiving events from NATS").count(), 1, "{log}");
        assert!(!log.contains("secret-payload"), "{log}");
    }
}

#[test]
fn a_nats_that_was_killed_is_found_again_and_clients_are_told() {
    let mut world = World::new(&[]);
    let node = world.ready(&[]);
    let mut client = listen(&node);
    world.publish(&node, "before");
    assert_eq!(next(&mut client), "before");
    world.nats.kill();
    assert_eq!(node.wait_for_readiness(503)["reason"], "the nats bus is not connected");
    assert_eq!(node.get("/health/live").0, 200);
    assert_eq!(node.publish("shop", &world.key, &event("lost")).0, 503);
    must_not_spin(&node);
    world.nats.restart();
    let back = Instant::now();
    node.wait_for_readiness(200);
    assert!(back.elapsed() < SOON, "it took {:?}", back.elapsed());
    node.wait_for_log("those published meanwhile are lost");
    world.publish(&node, "after");
    assert_eq!([next(&mut client), next(&mut client)], ["gap", "after"]);
}

#[test]
fn a_nats_that_hangs_for_long_is_a_gap_and_is_heard_again_once_it_goes_on() {
    let world = World::new(&[]);
    let node = world.ready(&[]);
    let mut client = listen(&node);
    world.nats.pause();
    let hangs = Instant::now();
    node.wait_for_readiness(503);
    assert!(hangs.elapsed() < Duration::from_secs(12), "readiness told after {:?}", hangs.elapsed());
    must_not_spin(&node);
    world.nats.go_on();
    node.wait_for_readiness(200);
    world.publish(&node, "after");
    assert_eq!([next(&mut client), next(&mut client)], ["gap", "after"]);
}

#[test]
fn a_wrong_password_of_nats_is_told_with_what_to_do_and_never_shown() {
    let world = World::new(&["--user", "events", "--pass", "p4ss"]);
    let node = world.node(&["--nats-user", "events", "--nats-password", "wr0ng"]);
    node.wait_for_log("Check nats.user and nats.password");
    node.wait_for_readiness(503);
    assert!(!node.log().contains("wr0ng"), "{}", node.log());
    assert_eq!(node.log().matches("authorization violation").count(), 1, "{}", node.log());
    let node = world.ready(&["--nats-user", "events", "--nats-password", "p4ss"]);
    world.publish(&node, "a");
    let url = format!("nats://events:p4ss@{}", world.nats.address());
    let node = world.ready(&["--nats-url", &format!("127.0.0.1:1,{url}")]);
    world.publish(&node, "b");
    assert!(!node.log().contains("p4ss"), "{}", node.log());
}

#[test]
fn tls_is_spoken_with_a_nats_whose_certificate_is_trusted() {
    let certificates = tempfile::tempdir().unwrap();
    let at = |name: &str| certificates.path().join(name).to_str().unwrap().to_owned();
    let (key, cert) = (at("key.pem"), at("cert.pem"));
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", &key, "-out", &cert])
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let world = World::new(&["--tls", "--tlscert", &cert, "--tlskey", &key, "--auth", "t0ken"]);
    let url = format!("tls://{}", world.nats.address());
    let node = world.ready(&["--nats-url", &url, "--nats-token", "t0ken", "--nats-certificates", &cert]);
    world.publish(&node, "a");
    let distrusting = world.node(&["--nats-url", &url, "--nats-token", "t0ken"]);
    distrusting.wait_for_log("nats.certificates");
    distrusting.wait_for_readiness(503);
}

/// What one key says of another, signed as NATS has it.
fn claim(of: &KeyPair, by: &KeyPair, facts: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(&json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
    let sub = of.public_key();
    let claims =
        json!({ "jti": sub, "iat": 1_700_000_000, "iss": by.public_key(), "sub": sub, "nats": facts });
    let text = format!("{head}.{}", part(&claims));
    let signature = URL_SAFE_NO_PAD.encode(by.sign(text.as_bytes()).unwrap());
    format!("{text}.{signature}")
}

#[test]
fn a_server_shows_who_it_is_by_its_nkey() {
    let folder = tempfile::tempdir().unwrap();
    let (key, other) = (KeyPair::new_user(), KeyPair::new_user());
    let file = folder.path().join("nats.conf");
    let settings = format!("authorization: {{ users: [ {{ nkey: {} }} ] }}", key.public_key());
    std::fs::write(&file, settings).unwrap();
    let world = World::new(&["-c", file.to_str().unwrap()]);
    let node = world.ready(&["--nats-nkey", &key.seed().unwrap()]);
    world.publish(&node, "a");
    let stranger = world.node(&["--nats-nkey", &other.seed().unwrap()]);
    stranger.wait_for_log("nats.nkey");
    stranger.wait_for_readiness(503);
    assert!(!stranger.log().contains(&other.seed().unwrap()), "{}", stranger.log());
}

#[test]
fn a_server_shows_who_it_is_by_a_file_of_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (operator, account, user) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let all = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1
    });
    let of_operator = claim(&operator, &operator, &json!({ "type": "operator", "version": 2 }));
    let facts = json!({ "type": "account", "version": 2, "limits": all });
    let of_account = claim(&account, &operator, &facts);
    let settings = format!(
        "operator: {of_operator}\nresolver: MEMORY\nresolver_preload: {{ {}: {of_account} }}",
        account.public_key()
    );
    std::fs::write(at("nats.conf"), settings).unwrap();
    let facts = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
    let block =
        |what: &str, text: &str| format!("-----BEGIN {what}-----\n{text}\n------END {what}------\n\n");
    let credentials = |by: &KeyPair| {
        block("NATS USER JWT", &claim(&user, by, &facts)) + &block("USER NKEY SEED", &user.seed().unwrap())
    };
    std::fs::write(at("good.creds"), credentials(&account)).unwrap();
    std::fs::write(at("forged.creds"), credentials(&KeyPair::new_account())).unwrap();
    let world = World::new(&["-c", &at("nats.conf")]);
    let node = world.ready(&["--nats-credentials", &at("good.creds")]);
    world.publish(&node, "a");
    let stranger = world.node(&["--nats-credentials", &at("forged.creds")]);
    stranger.wait_for_log("nats.credentials");
    stranger.wait_for_readiness(503);
    assert!(!stranger.log().contains(&user.seed().unwrap()), "{}", stranger.log());
}

#[test]
fn a_server_of_a_nats_cluster_that_was_killed_is_left_for_the_other_and_clients_are_told() {
    let mut cluster = Nats::cluster();
    let addresses = cluster.each_ref().map(Nats::address);
    let world = World::new(&[]);
    let node = world.ready(&["--nats-url", &addresses.join(",")]);
    let mut client = listen(&node);
    let place = node.wait_for_log("receiving events from NATS")["place"].clone();
    let used = addresses.iter().position(|address| place == address.as_str()).unwrap();
    cluster[used].kill();
    node.wait_for_log("those published meanwhile are lost");
    cluster[1 - used].publish("realtime", envelope("after").as_bytes());
    assert_eq!([next(&mut client), next(&mut client)], ["gap", "after"]);
    // It goes from the one to the other.
    cluster[used].restart();
    cluster[used].wait_for(&cluster[1 - used]);
    // It may not know at once who listens at the other.
    let is_heard = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_heard.load(Ordering::Relaxed) {
                cluster[used].publish("realtime", envelope("from the other").as_bytes());
            }
        });
        let got = next(&mut client);
        is_heard.store(true, Ordering::Relaxed);
        assert_eq!(got, "from the other");
    });
}

#[test]
fn a_server_that_nats_cuts_off_for_being_slow_tells_its_clients() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nats.conf");
    std::fs::write(&file, "max_pending: 1MB\nwrite_deadline: \"1s\"").unwrap();
    let world = World::new(&["-c", file.to_str().unwrap()]);
    let node = world.ready(&[]);
    let mut client = listen(&node);
    world.publish(&node, "before");
    assert_eq!(next(&mut client), "before");
    node.pause();
    // More than two kernels keep for who does not read, and a megabyte.
    let filler = envelope(&"x".repeat(500_000));
    (0..40).for_each(|_| world.nats.publish("realtime", filler.as_bytes()));
    node.go_on();
    node.wait_for_log("those published meanwhile are lost");
    world.publish(&node, "after");
    let mut got = next(&mut client);
    while got.starts_with('x') {
        got = next(&mut client);
    }
    assert_eq!([got, next(&mut client)], ["gap", "after"]);
}

#[test]
fn what_was_missed_while_every_node_was_away_is_in_the_stream() {
    let world = World::new(&["-js"]);
    let durable = ["--nats-durable", "true"];
    let mut nodes = [world.ready(&durable), world.ready(&durable)];
    world.publish(&nodes[0], "old");
    let (mut client, made) = come_back(&nodes[0]);
    assert_eq!(made["recovered"], Value::Null, "{made}");
    world.publish(&nodes[1], "seen");
    assert_eq!(next(&mut client), "seen");
    drop(client);
    // What becomes of a place is settled when a server stops.
    nodes.iter_mut().for_each(Node::stop);
    world.publish_elsewhere("missed");
    world.publish_elsewhere("missed too");
    let nodes = [world.ready(&durable), world.ready(&durable)];
    let (mut client, made) = come_back(&nodes[1]);
    assert_eq!(made["recovered"], true, "{made}\n{}", nodes[1].log());
    world.publish(&nodes[0], "new");
    let mut got = vec![next(&mut client)];
    while got.last().is_some_and(|last| last != "new") {
        got.push(next(&mut client));
    }
    got.retain(|id| id != "seen");
    assert_eq!(got, ["missed", "missed too", "new"]);
    // Nobody who was not there is told of the past.
    let mut other = listen(&nodes[0]);
    world.publish(&nodes[0], "newer");
    assert_eq!(next(&mut other), "newer");
}

#[test]
fn an_outage_of_a_nats_that_keeps_events_is_no_gap() {
    let mut world = World::new(&["-js"]);
    let node = world.ready(&["--nats-durable", "true"]);
    let mut client = listen(&node);
    world.publish(&node, "before");
    assert_eq!(next(&mut client), "before");
    world.nats.kill();
    node.wait_for_readiness(503);
    must_not_spin(&node);
    world.nats.restart();
    // Before the node is back, if it is quick enough.
    world.publish_elsewhere("meanwhile");
    node.wait_for_readiness(200);
    world.publish(&node, "after");
    assert_eq!([next(&mut client), next(&mut client)], ["meanwhile", "after"]);
}

#[test]
fn a_place_is_found_on_the_other_node_over_nats() {
    let world = World::new(&["-js"]);
    let nodes = [world.ready(&[]), world.ready(&[])];
    world.publish(&nodes[1], "old");
    // Of what happens within two seconds of a server's start nobody knows what was before it.
    let deadline = Instant::now() + 5 * SOON;
    for attempt in 0.. {
        let [seen, missed] = ["seen", "missed"].map(|word| format!("{word} {attempt}"));
        let id = format!("number-{attempt}");
        let (mut client, _) = come_back_as(&nodes[0], &id);
        world.publish(&nodes[1], &seen);
        while next(&mut client) != seen {}
        drop(client);
        world.publish(&nodes[1], &missed);
        let (mut client, made) = come_back_as(&nodes[1], &id);
        if made["recovered"] == true {
            while next(&mut client) != missed {}
            return;
        }
        assert!(Instant::now() < deadline, "{made}");
    }
}

#[test]
fn without_jetstream_events_flow_and_what_follows_is_said_once() {
    let world = World::new(&[]);
    let node = world.ready(&[]);
    let (mut client, _) = come_back(&node);
    world.publish(&node, "a");
    assert_eq!(next(&mut client), "a");
    drop(client);
    let log = node.log();
    assert_eq!(log.matches("cannot be shared").count(), 1, "{log}");
    let durable = world.node(&["--nats-durable", "true"]);
    durable.wait_for_log("Enable JetStream on NATS");
    durable.wait_for_readiness(503);
}
