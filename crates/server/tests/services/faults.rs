//! What happens to clients when Redis or the database fails, in every way that it can: nobody is left in doubt, nothing
//! spins, and all is well again soon after.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::appwrite::{Changeable, cookie};
use crate::cutter::Cutter;
use crate::node::{Client, Node, PATIENCE, realtime};
use crate::redis_server::Redis;

/// Redis and databases are to be found again within this time of their coming back.
pub(crate) const SOON: Duration = Duration::from_secs(2);
/// How long it is looked whether the server spins while something is away.
const WATCH: Duration = Duration::from_millis(1_500);

/// A server, its Redis with a proxy between, and a client that wants to be told of gaps.
struct World {
    redis: Redis,
    link: Cutter,
    node: Node,
    client: Client,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(redis: &[&str]) -> Self {
        Self::with(redis, &[])
    }

    fn with(redis: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        realtime(folder.path(), &["project", "create", "--id", "shop"]);
        let redis = Redis::start(redis);
        let link = Cutter::new(&format!("127.0.0.1:{}", redis.port()));
        let url = format!("redis://{}", link.address());
        let node =
            Node::start(folder.path(), &[], &[&[("REALTIME_REDIS_URL", url.as_str())], environment].concat());
        node.wait_for_readiness(200);
        let mut client = node.connect("project=shop&channels[]=files&gaps=1", &[]);
        client.expect("connected");
        let mut world = Self { redis, link, node, client, _folder: folder };
        world.redis.publish(&envelope("before"));
        assert_eq!(world.next(), "before");
        world
    }

    /// The id of the next event, or `gap`.
    fn next(&mut self) -> String {
        let message = self.client.next();
        match message["type"].as_str() {
            Some("gap") => "gap".to_owned(),
            _ => message["data"]["payload"]["$id"].as_str().unwrap().to_owned(),
        }
    }

    /// Publishes until somebody listens, which must be soon, and gives what the client got from the fault on.
    fn recover(&mut self, within: Duration) -> Vec<String> {
        let began = Instant::now();
        while self.redis.publish(&envelope("after")) == 0 {
            assert!(began.elapsed() < PATIENCE, "nobody listens any more: {}", self.node.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        let took = began.elapsed();
        self.node.wait_for_readiness(200);
        assert!(took < within, "it took {took:?}");
        let mut got = Vec::new();
        while got.last().is_none_or(|last| last != "after") {
            got.push(self.next());
        }
        got
    }
}

fn envelope(id: &str) -> String {
    json!({
        "project": "shop", "roles": ["any"], "permissionsChanged": false, "userId": null,
        "data": {
            "events": ["buckets.B.files.F.create"], "channels": ["files"],
            "timestamp": "2026-08-21T10:15:30.123+00:00", "payload": { "$id": id }
        }
    })
    .to_string()
}

/// While something is away, the server is to rest.
pub(crate) fn must_not_spin(node: &Node) {
    let before = node.processor_time();
    std::thread::sleep(WATCH);
    let used = node.processor_time() - before;
    assert!(used <= WATCH / 50, "{used:?} of processor time in {WATCH:?}");
}

#[test]
fn a_redis_that_was_killed_is_found_again_and_clients_are_told() {
    let mut world = World::new(&[]);
    world.redis.kill();
    world.node.wait_for_readiness(503);
    must_not_spin(&world.node);
    world.redis.restart();
    assert_eq!(world.recover(SOON), ["gap", "after"]);
}

#[test]
fn a_redis_that_sleeps_loses_nothing_or_clients_are_told() {
    let mut world = World::new(&["--enable-debug-command", "yes"]);
    world.redis.send(&[b"DEBUG", b"SLEEP", b"10"]);
    let asleep = Instant::now();
    world.redis.send(&[b"PUBLISH", b"realtime", envelope("meanwhile").as_bytes()]);
    world.node.wait_for_readiness(503);
    assert!(asleep.elapsed() < Duration::from_secs(10), "readiness told too late");
    must_not_spin(&world.node);
    // It answers whoever asks first once it is awake.
    world.redis.command(&[b"PING"]);
    let got = world.recover(SOON);
    assert!(
        got == ["gap", "after"]
            || got == ["meanwhile", "gap", "after"]
            || got == ["gap", "meanwhile", "after"],
        "{got:?}"
    );
}

#[test]
fn a_redis_that_drops_its_subscribers_has_them_back_at_once_and_clients_are_told() {
    let mut world = World::new(&[]);
    assert_eq!(world.redis.command(&[b"CLIENT", b"KILL", b"TYPE", b"pubsub"]).trim(), ":1");
    assert_eq!(world.recover(SOON), ["gap", "after"]);
}

#[test]
fn a_network_that_is_cut_and_mended_is_noticed_and_clients_are_told() {
    let mut world = World::new(&[]);
    world.link.lead_to("127.0.0.1:9");
    world.link.cut();
    world.node.wait_for_readiness(503);
    must_not_spin(&world.node);
    world.link.lead_to(&format!("127.0.0.1:{}", world.redis.port()));
    assert_eq!(world.recover(SOON), ["gap", "after"]);
}

#[test]
fn a_network_that_swallows_everything_is_noticed_and_clients_are_told() {
    let mut world = World::new(&[]);
    world.link.swallow(true);
    // Redis takes it for delivered.
    assert_eq!(world.redis.publish(&envelope("lost")), 1);
    world.node.wait_for_readiness(503);
    must_not_spin(&world.node);
    // The old subscription would count as somebody who listens.
    world.redis.command(&[b"CLIENT", b"KILL", b"TYPE", b"pubsub"]);
    world.link.swallow(false);
    // Whoever is about to connect waits for an answer that will not come, for 5 s.
    assert_eq!(world.recover(Duration::from_secs(5) + SOON), ["gap", "after"]);
}

#[test]
fn a_redis_that_had_more_to_say_than_it_keeps_cuts_the_server_off_and_clients_are_told() {
    let mut world = World::new(&["--client-output-buffer-limit", "pubsub 64kb 0 0"]);
    let filler = "x".repeat(100_000);
    world.node.pause();
    // First what the kernel takes on the way, then what Redis would have to keep.
    let mut large: Value = serde_json::from_str(&envelope("large")).unwrap();
    large["data"]["payload"]["text"] = json!(filler);
    let large = large.to_string();
    let began = Instant::now();
    while world.redis.publish(&large) > 0 {
        assert!(began.elapsed() < PATIENCE, "Redis keeps all of it");
    }
    world.node.go_on();
    let got = world.recover(SOON);
    let told: Vec<&str> = got.iter().map(String::as_str).filter(|id| *id != "large").collect();
    assert_eq!(told, ["gap", "after"]);
}

#[test]
fn more_than_may_wait_is_dropped_and_clients_are_told() {
    const BURST: usize = 5_000;
    let mut world = World::with(&[], &[("REALTIME_REDIS_BACKLOG_MESSAGES", "10")]);
    let count = BURST.to_string();
    let publish = b"for i = 1, ARGV[2] do redis.call('PUBLISH', 'realtime', ARGV[1]) end";
    world.redis.command(&[b"EVAL", publish, b"0", envelope("burst").as_bytes(), count.as_bytes()]);
    world.node.wait_for_log("events from Redis came faster than this server takes them");
    let mut got = vec![world.next()];
    while got.last().is_none_or(|last| last != "after") {
        // What comes with the end of the burst may be dropped too, and then there is a gap after it.
        if got.last().is_some_and(|last| last == "gap") {
            world.redis.publish(&envelope("after"));
        }
        got.push(world.next());
    }
    let came = got.iter().filter(|id| *id == "burst").count();
    println!("{came} of {BURST} came");
    assert!(came < BURST && got.contains(&"gap".to_owned()), "{came} came");
    assert_eq!(world.node.get("/health/ready").0, 200, "the link was never lost");
    assert!(!world.node.log().contains("cannot receive events"), "{}", world.node.log());
}

/// Asks as alice until she is let in; nobody may ever be taken for a guest.
fn come_in(node: &Node, cookie: &str, within: Duration) {
    let began = Instant::now();
    loop {
        let mut client = node.connect("project=alpha&channels[]=files", &[("cookie", cookie)]);
        let first = client.next();
        if first["type"] == "connected" {
            assert_eq!(first["data"]["user"]["$id"], "alice");
            let took = began.elapsed();
            assert!(took < within, "it took {took:?}");
            return;
        }
        assert_eq!(first["type"], "error", "{first}");
        assert_eq!(client.next(), json!({ "close": 1013 }));
        assert!(began.elapsed() < PATIENCE, "the database is not found again: {}", node.log());
    }
}

fn a_database_that_was_killed(mut database: Changeable) {
    let folder = tempfile::tempdir().unwrap();
    let redis = Redis::start(&[]);
    let environment = database.environment(&redis);
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let node = Node::start(
        folder.path(),
        &[],
        &[
            &environment[..],
            &[
                ("REALTIME_DATABASE_TIMEOUT", "2s"),
                ("REALTIME_STATISTICS", "false"),
                // Who was here a moment ago could come in without a database.
                ("REALTIME_CACHE_IDENTITIES", "0s"),
            ],
        ]
        .concat(),
    );
    node.wait_for_log("found the Appwrite installation");
    node.wait_for_readiness(200);
    let cookie = cookie("alpha/alice/main");
    let headers = [("cookie", cookie.as_str())];
    let mut stays = node.connect("project=alpha&channels[]=files", &headers);
    stays.expect("connected");
    database.kill();
    let mut refused = node.connect("project=alpha&channels[]=files", &headers);
    let told = refused.expect("error");
    assert_eq!(told["data"]["message"], "The directory cannot answer at the moment. Try again later.");
    assert_eq!(refused.next(), json!({ "close": 1013 }));
    must_not_spin(&node);
    redis.publish(&envelope("meanwhile").replace("\"shop\"", "\"alpha\""));
    assert_eq!(stays.expect("event")["data"]["payload"]["$id"], "meanwhile");
    database.restart();
    come_in(&node, &cookie, SOON);
    redis.publish(&envelope("after").replace("\"shop\"", "\"alpha\""));
    assert_eq!(stays.expect("event")["data"]["payload"]["$id"], "after", "the client stayed connected");
}

#[test]
fn a_mariadb_that_was_killed_keeps_newcomers_out_and_nobody_else() {
    a_database_that_was_killed(Changeable::mariadb());
}

#[test]
fn a_postgresql_that_was_killed_keeps_newcomers_out_and_nobody_else() {
    a_database_that_was_killed(Changeable::postgres());
}

#[test]
fn a_mariadb_that_hangs_keeps_newcomers_out_until_it_goes_on() {
    let Changeable::Mariadb(server) = Changeable::mariadb() else { unreachable!("it is one") };
    let folder = tempfile::tempdir().unwrap();
    let redis = Redis::start(&[]);
    let database = Changeable::Mariadb(server);
    let environment = database.environment(&redis);
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let node = Node::start(
        folder.path(),
        &[],
        &[&environment[..], &[("REALTIME_DATABASE_TIMEOUT", "1s"), ("REALTIME_STATISTICS", "false")]]
            .concat(),
    );
    node.wait_for_log("found the Appwrite installation");
    node.wait_for_readiness(200);
    let Changeable::Mariadb(server) = &database else { unreachable!("it is one") };
    let cookie = cookie("alpha/alice/main");
    server.pause();
    let mut refused = node.connect("project=alpha&channels[]=files", &[("cookie", &cookie)]);
    refused.expect("error");
    assert_eq!(refused.next(), json!({ "close": 1013 }));
    must_not_spin(&node);
    server.go_on();
    come_in(&node, &cookie, SOON);
}
