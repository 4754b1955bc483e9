//! Who is here: presences of connections, beside each installation that knows of them and on the embedded database.

use serde_json::{Value, json};

use crate::appwrite::{Changeable, cookie, signed};
use crate::node::{Client, Node};
use crate::redis_server::Redis;
use crate::world::World as Embedded;

/// A server beside an installation.
struct World {
    database: Changeable,
    redis: Redis,
    node: Node,
    folder: tempfile::TempDir,
}

impl World {
    fn new(database: Changeable) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let redis = Redis::start(&[]);
        let node = start(&database, &redis, &folder);
        Self { database, redis, node, folder }
    }

    fn connect(&self, session: &str) -> Client {
        connect(&self.node, session)
    }
}

fn start(database: &Changeable, redis: &Redis, folder: &tempfile::TempDir) -> Node {
    let environment = database.environment(redis);
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let node = Node::start(folder.path(), &[], &environment);
    node.wait_for_log("found the Appwrite installation");
    node.wait_for_readiness(200);
    node
}

/// Somebody of `alpha` who hears of presences.
fn connect(node: &Node, session: &str) -> Client {
    let cookie = cookie(&format!("alpha/{session}"));
    let mut client = node.connect("project=alpha&channels[]=presences", &[("cookie", &cookie)]);
    client.expect("connected");
    client
}

fn present(client: &mut Client, data: &Value) {
    client.say(&json!({ "type": "presence", "data": data }));
}

/// The answer to a presence and the event that tells of it, which come in any order.
fn presented(client: &mut Client) -> (Value, Value) {
    let (first, second) = (client.next(), client.next());
    let (response, event) = if first["type"] == "response" { (first, second) } else { (second, first) };
    assert_eq!(response["data"]["to"], "presence", "{response}");
    assert_eq!(response["data"].get("success"), None, "{response}");
    assert_eq!(event["type"], "event", "{event}");
    (response["data"]["presence"].clone(), event["data"].clone())
}

fn refused(client: &mut Client) -> (u64, String) {
    let error = client.expect("error");
    let text = error["data"]["message"].as_str().unwrap().to_owned();
    (error["data"]["code"].as_u64().unwrap(), text)
}

/// What happened to a presence: `upsert R online`.
fn heard(client: &mut Client) -> String {
    let event = client.expect("event");
    let data = &event["data"];
    let name = data["events"][0].as_str().unwrap();
    let (_, action) = name.rsplit_once('.').unwrap();
    let word = |key: &str| data["payload"][key].as_str().unwrap();
    format!("{action} {} {}", word("$id"), word("status"))
}

const ANYBODY: &str = r#"read("any")"#;

/// What Appwrite's tests assert of presences (142 to 150), as far as messages show it.
fn the_contract(world: &World) {
    let (mut main, mut phone) = (world.connect("alice/main"), world.connect("alice/phone"));
    let mut bob = world.connect("bob/main");
    let page = json!({ "page": "/", "deep": [1, { "a": null }] });

    let wish = json!({ "status": "online", "presenceId": "R.1", "metadata": page, "permissions": [ANYBODY] });
    present(&mut main, &wish);
    let (first, event) = presented(&mut main);
    assert_eq!(
        event["channels"],
        json!(["presences", "presences.R.1", "presences.upsert", "presences.R.1.upsert"])
    );
    assert_eq!(
        event["events"],
        json!(["presences.R.1.upsert", "presences.*.upsert", "presences.R.1", "presences.*"])
    );
    assert_eq!(event["payload"], first, "both show the same");
    assert_eq!(
        (&first["$id"], &first["userId"], &first["source"]),
        (&json!("R.1"), &json!("alice"), &json!("realtime"))
    );
    assert_eq!((&first["metadata"], &first["$permissions"]), (&page, &json!([ANYBODY])));
    let keys: Vec<&String> = first.as_object().unwrap().keys().collect();
    let shown = [
        "$id",
        "$sequence",
        "$createdAt",
        "$updatedAt",
        "$permissions",
        "userId",
        "expiresAt",
        "status",
        "source",
        "metadata",
    ];
    assert_eq!(keys, shown, "nothing internal is shown");
    assert_eq!(heard(&mut bob), "upsert R.1 online");
    assert_eq!(heard(&mut phone), "upsert R.1 online");

    present(&mut phone, &json!({ "status": "away", "presenceId": "R.2", "permissions": [ANYBODY] }));
    let (second, event) = presented(&mut phone);
    assert_eq!((&second["$id"], &event["payload"]["$id"]), (&json!("R.1"), &json!("R.1")), "a user has one");
    assert_eq!((&second["$sequence"], &second["$createdAt"]), (&first["$sequence"], &first["$createdAt"]));
    for client in [&mut main, &mut bob] {
        assert_eq!(heard(client), "upsert R.1 away");
    }

    present(&mut bob, &json!({ "status": "mine", "presenceId": "R.1" }));
    let (code, text) = refused(&mut bob);
    assert_eq!(code, 409);
    assert!(text.starts_with("Presence with the requested ID 'R.1' already exists."), "{text}");
    present(&mut bob, &json!({ "presenceId": "R.3" }));
    assert_eq!(refused(&mut bob), (1003, "Payload is not valid. Status is required".to_owned()));
    present(&mut bob, &json!({ "status": "on", "permissions": "any" }));
    assert_eq!(refused(&mut bob), (1003, "permissions: Permissions must be an array of strings.".to_owned()));
    present(&mut bob, &json!({ "status": "on", "permissions": [r#"read("team:red")"#] }));
    let (code, text) = refused(&mut bob);
    assert_eq!(code, 401);
    assert!(text.starts_with("Permissions must be one of: (any, user:bob, users, "), "{text}");
    let mut guest = world.node.connect("project=alpha&channels[]=presences", &[]);
    guest.expect("connected");
    present(&mut guest, &json!({ "status": "on" }));
    assert_eq!(refused(&mut guest), (401, "User must be authorized".to_owned()));

    present(&mut main, &json!({ "status": "secret" }));
    let (own, _) = presented(&mut main);
    let all = json!([r#"read("user:alice")"#, r#"update("user:alice")"#, r#"delete("user:alice")"#]);
    assert_eq!((&own["$permissions"], &own["metadata"]), (&all, &json!({})));
    assert_eq!(heard(&mut phone), "upsert R.1 secret");
    present(&mut main, &json!({ "status": "back", "permissions": [ANYBODY] }));
    presented(&mut main);
    assert_eq!(heard(&mut phone), "upsert R.1 back");
    assert_eq!(heard(&mut bob), "upsert R.1 back", "nothing of what was for alice alone");
    assert_eq!(heard(&mut guest), "upsert R.1 back", "nothing of what was refused");

    drop(main);
    drop(phone);
    assert_eq!(heard(&mut bob), "delete R.1 back");
    assert_eq!(heard(&mut guest), "delete R.1 back", "once, with the last of two connections");
}

fn rows(world: &World) -> String {
    world
        .database
        .query("SELECT status, source, (SELECT COUNT(*) FROM {_1_presenceLogs_perms}) FROM {_1_presenceLogs}")
}

fn presences_are_as_appwrites(world: &World) {
    the_contract(world);
    assert!(!rows(world).contains("back"), "{}", rows(world));

    // The table is as Appwrite's own servers write it.
    let (mut alice, mut bob) = (world.connect("alice/main"), world.connect("bob/main"));
    let grants = [ANYBODY, r#"write("team:red/dev")"#, r#"update("user:alice")"#];
    present(&mut alice, &json!({ "status": "on", "presenceId": "R", "permissions": grants }));
    let (first, _) = presented(&mut alice);
    assert_eq!(heard(&mut bob), "upsert R on");
    let grants = world.database.query(
        "SELECT _type, _permission FROM {_1_presenceLogs_perms} WHERE _document = 'R' ORDER BY _type, _permission",
    );
    for grant in ["read", "any", "update", "team:red/dev", "user:alice", "delete"] {
        assert!(grants.contains(grant), "{grants}");
    }
    let hash = match &world.database {
        Changeable::Mariadb(_) => "permissionsHash",
        Changeable::Postgres(_) => "\"permissionsHash\"",
    };
    let stored = world.database.query(&format!("SELECT {hash} FROM {{_1_presenceLogs}} WHERE _uid = 'R'"));
    // md5('["delete(\"team:red\/dev\")","read(\"any\")","update(\"team:red\/dev\")","update(\"user:alice\")"]')
    assert!(stored.contains("c8e70b1a6eee0376479d7a298fc66f98"), "{stored}");

    // Appwrite's API removes it: nobody removes it a second time.
    world.database.query("DELETE FROM {_1_presenceLogs} WHERE _uid = 'R'");
    world.redis.publish(&deleted(&first));
    assert_eq!(heard(&mut bob), "delete R on");
    assert_eq!(heard(&mut alice), "delete R on");
    drop(alice);
    let mut alice = world.connect("alice/main");
    present(&mut alice, &json!({ "status": "again", "presenceId": "R", "permissions": [ANYBODY] }));
    let (second, _) = presented(&mut alice);
    assert_eq!(heard(&mut bob), "upsert R again", "one delete, not two");
    assert_ne!(first["$sequence"], second["$sequence"]);
    // What comes late of the one before does not make it forget the one that is there.
    world.redis.publish(&deleted(&first));
    assert_eq!(heard(&mut bob), "delete R on");
    drop(alice);
    assert_eq!(heard(&mut bob), "delete R again");
}

fn deleted(presence: &Value) -> String {
    let id = presence["$id"].as_str().unwrap();
    json!({
        "project": "alpha", "roles": ["any"], "permissionsChanged": false, "userId": null,
        "data": {
            "events": [format!("presences.{id}.delete"), "presences.*.delete"], "channels": ["presences"],
            "timestamp": "2026-08-21T10:15:30.123+00:00", "payload": presence
        }
    })
    .to_string()
}

#[test]
fn presences_on_mariadb_are_as_appwrites() {
    let world = World::new(Changeable::mariadb());
    presences_are_as_appwrites(&world);
}

#[test]
fn presences_on_postgresql_are_as_appwrites() {
    let world = World::new(Changeable::postgres());
    presences_are_as_appwrites(&world);
}

#[test]
fn a_presence_stays_as_long_as_any_server_has_a_connection_that_keeps_it() {
    let world = World::new(Changeable::mariadb());
    let other = start(&world.database, &world.redis, &world.folder);
    let (mut here, mut there) = (world.connect("alice/main"), connect(&other, "alice/phone"));
    let mut bob = world.connect("bob/main");
    let wish = json!({ "status": "on", "presenceId": "R", "permissions": [ANYBODY] });
    for client in [&mut here, &mut there] {
        present(client, &wish);
        assert_eq!(heard(&mut bob), "upsert R on");
    }
    drop(here);
    // What is published after the first has left comes before what its leaving could have caused only by chance, so
    // the table is looked at once the server has forgotten the connection.
    world.node.wait_for_log("connection closed");
    let mut here = world.connect("alice/main");
    present(&mut here, &json!({ "status": "still", "permissions": [ANYBODY] }));
    let (presence, _) = presented(&mut here);
    assert_eq!((&presence["$id"], heard(&mut bob).as_str()), (&json!("R"), "upsert R still"));
    drop(there);
    drop(here);
    assert_eq!(heard(&mut bob), "delete R still", "once");
}

#[test]
fn a_user_whose_link_was_lost_and_who_is_back_at_once_was_never_absent() {
    let world = World::new(Changeable::mariadb());
    let mut bob = world.connect("bob/main");
    let mut alice = world.connect("alice/main");
    present(&mut alice, &json!({ "status": "on", "presenceId": "R", "permissions": [ANYBODY] }));
    let (before, _) = presented(&mut alice);
    assert_eq!(heard(&mut bob), "upsert R on");
    drop(alice);
    world.node.wait_for_log("connection closed");
    let mut alice = world.connect("alice/main");
    present(&mut alice, &json!({ "status": "back", "permissions": [ANYBODY] }));
    let (after, _) = presented(&mut alice);
    assert_eq!((heard(&mut bob).as_str(), &after["$sequence"]), ("upsert R back", &before["$sequence"]));
    drop(alice);
    assert_eq!(heard(&mut bob), "delete R back");
}

#[test]
fn what_a_server_left_that_crashed_is_removed_by_another_one() {
    let mut world = World::new(Changeable::mariadb());
    let mut alice = world.connect("alice/main");
    present(&mut alice, &json!({ "status": "on", "presenceId": "R", "permissions": [ANYBODY] }));
    let (presence, _) = presented(&mut alice);
    let other = start(&world.database, &world.redis, &world.folder);
    let mut bob = connect(&other, "bob/main");
    world.node.kill();
    // Its word lapses at once, and not in half a minute.
    let place = json!(["alpha", "alice", presence["$sequence"]]).to_string();
    world.redis.command(&[b"ZADD", b"{realtime:presence}:held", b"0", place.as_bytes()]);
    assert_eq!(heard(&mut bob), "delete R on");
}

#[test]
fn what_a_crashed_server_left_is_removed_though_the_first_attempt_fails() {
    let mut world = World::new(Changeable::mariadb());
    let mut alice = world.connect("alice/main");
    present(&mut alice, &json!({ "status": "on", "presenceId": "R", "permissions": [ANYBODY] }));
    let (presence, _) = presented(&mut alice);
    let other = start(&world.database, &world.redis, &world.folder);
    let mut bob = connect(&other, "bob/main");
    world.node.kill();
    world.database.query(
        "CREATE TRIGGER appwrite.stubborn BEFORE DELETE ON {_1_presenceLogs} FOR EACH ROW \
         SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not now'",
    );
    let place = json!(["alpha", "alice", presence["$sequence"]]).to_string();
    world.redis.command(&[b"ZADD", b"{realtime:presence}:held", b"0", place.as_bytes()]);
    other.wait_for_log("cannot remove a presence; trying again");
    world.database.query("DROP TRIGGER appwrite.stubborn");
    assert_eq!(heard(&mut bob), "delete R on");
}

#[test]
fn a_presence_whose_time_is_over_is_removed_and_told_of() {
    let world = World::new(Changeable::mariadb());
    let mut bob = world.connect("bob/main");
    world.database.query(
        r#"INSERT INTO {_1_presenceLogs} (_uid, _permissions, userId, expiresAt, status, source)
           VALUES ('R', '["read(\\"any\\")"]', 'alice', UTC_TIMESTAMP(3) - INTERVAL 1 SECOND, 'on', 'rest'),
                  ('S', '["read(\\"any\\")"]', 'dave', UTC_TIMESTAMP(3) + INTERVAL 1 HOUR, 'on', 'rest')"#,
    );
    assert_eq!(heard(&mut bob), "delete R on");
    assert!(!world.database.query("SELECT _uid FROM {_1_presenceLogs}").contains('R'));
}

#[test]
fn copies_that_appwrites_api_keeps_of_a_presence_go_with_what_they_are_of() {
    let world = World::new(Changeable::mariadb());
    let list = b"default-cache-127.0.0.1:_1::collection:presencelogs";
    let copy = b"default-cache-127.0.0.1:_1::collection:presencelogs:r";
    world.redis.command(&[b"HSET", list, copy, b"1", b"__utopia_gen__", b"4"]);
    world.redis.command(&[b"HSET", copy, copy, b"{}"]);
    let mut alice = world.connect("alice/main");
    present(&mut alice, &json!({ "status": "on", "presenceId": "R", "permissions": [ANYBODY] }));
    presented(&mut alice);
    assert_eq!(world.redis.command(&[b"HEXISTS", list, copy]).trim(), ":0");
    assert_eq!(world.redis.command(&[b"HEXISTS", copy, copy]).trim(), ":0");
    assert!(world.redis.command(&[b"HGET", list, b"__utopia_gen__"]).contains('5'), "no reader puts it back");
    let counted = world.redis.command(&[b"LPOP", b"utopia-queue.queue.v1-stats-usage"]);
    assert!(counted.contains(r#""metrics":[{"key":"users.presence","value":1}]"#), "{counted}");
}

#[test]
fn an_installation_that_knows_nothing_of_presences_says_so_as_it_did() {
    let database = Changeable::mariadb();
    database.query("DROP TABLE {_1_presenceLogs}");
    let world = World::new(database);
    let mut alice = world.connect("alice/main");
    present(&mut alice, &json!({ "status": "on" }));
    assert_eq!(refused(&mut alice), (1003, "Message type is not valid.".to_owned()));
}

#[test]
fn users_of_the_embedded_database_and_of_tokens_are_present_too() {
    let mut world = Embedded::new(&[]);
    let secret = "the secret of a backend with users of its own";
    let restart = |world: &mut Embedded| {
        world.node.kill();
        let environment = [("REALTIME_JWT_HS256_SECRET", secret), ("_APP_ENV", "development")];
        world.node = Node::start(world.folder(), &[], &environment);
    };
    restart(&mut world);
    let open = |world: &Embedded, query: &str, session: &str| {
        let headers = [("x-appwrite-session", session)];
        let headers = if session.is_empty() { &headers[..0] } else { &headers[..] };
        world.connect("websocket", &format!("&channels[]=presences{query}"), headers)
    };
    let (ann, bob) = (world.session("ann"), world.session("bob"));
    let mut listener = open(&world, "", &bob);
    let mut here = open(&world, "", &ann);
    present(&mut here, &json!({ "status": "on", "presenceId": "R", "permissions": [ANYBODY] }));
    assert_eq!(heard(&mut listener), "upsert R on");
    drop(here);
    assert_eq!(heard(&mut listener), "delete R on");

    let mut here = open(&world, "", &ann);
    present(&mut here, &json!({ "status": "left", "presenceId": "R", "permissions": [ANYBODY] }));
    assert_eq!(heard(&mut listener), "upsert R left");
    restart(&mut world);
    let mut listener = open(&world, "", &bob);
    assert_eq!(heard(&mut listener), "delete R left", "what was there before the crash");

    let claims = json!({ "sub": "zoe", "aud": "shop", "exp": 4_000_000_000_u32 });
    let jwt = signed(&json!({ "typ": "JWT", "alg": "HS256" }), &claims, secret);
    let mut zoe = open(&world, &format!("&jwt={jwt}"), "");
    present(&mut zoe, &json!({ "status": "typing", "presenceId": "Z", "permissions": [ANYBODY] }));
    assert_eq!(heard(&mut listener), "upsert Z typing");
    drop(zoe);
    assert_eq!(heard(&mut listener), "delete Z typing");
}
