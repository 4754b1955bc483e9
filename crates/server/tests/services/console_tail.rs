//! The console's live tail: beside each installation that has a console, and on the embedded database.

use serde_json::{Value, json};

use crate::appwrite::{Changeable, cookie};
use crate::node::{Client, Node, realtime};
use crate::redis_server::Redis;
use crate::world::text;

/// A server beside an installation.
struct World {
    database: Changeable,
    redis: Redis,
    node: Node,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(database: Changeable, more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let redis = Redis::start(&[]);
        let environment = database.environment(&redis);
        let environment = environment.iter().map(|(name, value)| (*name, value.as_str()));
        let environment: Vec<(&str, &str)> = environment.chain(more.iter().copied()).collect();
        let node = Node::start(folder.path(), &[], &environment);
        node.wait_for_log("found the Appwrite installation");
        node.wait_for_readiness(200);
        Self { database, redis, node, _folder: folder }
    }

    /// Somebody's connection to the console, as `console/admin1/main`, or to a project.
    fn connect(&self, session: &str) -> Client {
        let project = session.split('/').next().unwrap();
        let mut client = self.node.connect(&format!("project={project}"), &[("cookie", &cookie(session))]);
        client.expect("connected");
        client
    }

    /// What Appwrite says of a document when somebody does something with it.
    fn document(&self, action: &str, id: &str) {
        let name = format!("databases.D.collections.C.documents.{id}");
        let message = json!({
            "project": "alpha", "roles": ["user:nobody"], "permissionsChanged": false, "userId": "bob",
            "data": {
                "events": [format!("{name}.{action}")], "channels": ["documents", name],
                "timestamp": "2026-08-21T10:15:30.123+00:00",
                "payload": { "$id": id, "$databaseId": "D", "title": "never told" }
            }
        });
        self.redis.publish(&message.to_string());
    }
}

/// Asks for a tail, with queries.
fn tail(client: &mut Client, id: &str, projects: &[&str], queries: &[Value]) {
    let channels: Vec<String> = projects.iter().map(|project| format!("console.tail.{project}")).collect();
    let queries: Vec<String> = queries.iter().map(Value::to_string).collect();
    let item = json!({ "subscriptionId": id, "channels": channels, "queries": queries });
    client.say(&json!({ "type": "subscribe", "data": [item] }));
}

/// The next message is an error of a policy with this text, and the end of the connection.
fn must_be_refused(client: &mut Client, text: &str) {
    let error = client.expect("error");
    assert_eq!(error["data"], json!({ "code": 1008, "message": text }));
    client.must_be_closed(1008);
}

/// What an owner sees and others do not (101 to 105 of Appwrite's tests).
fn the_contract(database: Changeable) {
    let world = World::new(database, &[("_APP_REALTIME_TAIL_RATE", "5"), ("REALTIME_CACHE_PROJECTS", "1h")]);
    // One on each shard, whichever the events come to first.
    let mut owners = [world.connect("console/admin1/main"), world.connect("console/admin1/main")];
    let deletes = json!({ "method": "equal", "attribute": "action", "values": ["delete"] });
    for owner in &mut owners {
        tail(owner, "all", &["alpha", "Beta9"], &[]);
        tail(owner, "deletes", &["alpha"], std::slice::from_ref(&deletes));
        owner.expect("response");
        owner.expect("response");
    }
    world.document("create", "X");
    let row = |action: &str, id: &str| {
        json!({
            "event": format!("databases.D.collections.C.documents.{id}.{action}"), "type": "databases",
            "action": action, "userId": "bob", "timestamp": "2026-08-21T10:15:30.123+00:00",
            "resourceId": id, "databaseId": "D", "collectionId": "C"
        })
    };
    let shown = |id: &str, payload: Value| {
        json!({
            "channels": ["console.tail.alpha"], "events": ["console.tail"], "subscriptions": [id],
            "payload": payload
        })
    };
    for owner in &mut owners {
        assert_eq!(owner.expect("event")["data"], shown("all", json!([row("create", "X")])));
    }
    world.document("delete", "X");
    for owner in &mut owners {
        assert_eq!(owner.expect("event")["data"], shown("all", json!([row("delete", "X")])));
        assert_eq!(owner.expect("event")["data"], shown("deletes", json!([row("delete", "X")])));
    }

    for project in ["alpha", "nowhere", "console"] {
        let mut outsider = world.connect("console/outsider/main");
        tail(&mut outsider, "s", &[project], &[]);
        must_be_refused(&mut outsider, &format!("Not authorized to tail project \"{project}\"."));
    }
    let mut user = world.connect("alpha/alice/main");
    tail(&mut user, "s", &["alpha"], &[]);
    must_be_refused(&mut user, "Console live tail is only available on the console connection.");

    let [mut owner, _other] = owners;
    owner.say(&json!({ "type": "unsubscribe", "data": [{ "subscriptionId": "deletes" }] }));
    owner.expect("response");
    for number in 0..50 {
        world.document("update", &format!("Y{number}"));
    }
    let (mut told, mut dropped) = (0, 0);
    while told + dropped < 50 {
        let data = owner.expect("event")["data"].clone();
        match data["events"][0].as_str().unwrap() {
            "console.tail" => told += data["payload"].as_array().unwrap().len() as u64,
            "console.tail.stats" => {
                assert_eq!(data["payload"]["$type"], "tail.stats");
                dropped += data["payload"]["dropped"].as_u64().unwrap();
            }
            other => panic!("{other}"),
        }
    }
    assert!(told >= 2 && dropped >= 20, "{told} of 50 were told, {dropped} counted");

    // Who owns a project is read anew, past the cache.
    world.database.query("DELETE FROM {_console_projects} WHERE _uid = 'Beta9'");
    tail(&mut owner, "late", &["Beta9"], &[]);
    must_be_refused(&mut owner, "Not authorized to tail project \"Beta9\".");
}

#[test]
fn an_owner_sees_what_happens_in_a_project_on_mariadb() {
    the_contract(Changeable::mariadb());
}

#[test]
fn an_owner_sees_what_happens_in_a_project_on_postgresql() {
    the_contract(Changeable::postgres());
}

#[test]
fn an_owner_sees_what_is_published_to_the_embedded_server() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| realtime(folder.path(), arguments);
    let on_console = |arguments: &[&str]| run(&[arguments, &["--project", "console"]].concat());
    run(&["project", "create", "--id", "first"]);
    on_console(&["team", "create", "--id", "owners"]);
    on_console(&["user", "create", "--id", "root"]);
    on_console(&["team", "add-member", "--team", "owners", "--user", "root", "--role", "owner"]);
    run(&["project", "create", "--id", "shop", "--team", "owners"]);
    let key = text(&run(&["key", "create", "--project", "shop"])["secret"]);
    let session = text(&on_console(&["session", "create", "--user", "root"])["token"]);
    let node = Node::start(folder.path(), &[], &[("_APP_ENV", "development")]);

    let mut root = node.connect("project=console", &[("x-appwrite-session", &session)]);
    root.expect("connected");
    tail(&mut root, "s", &["shop"], &[]);
    root.expect("response");
    let event = json!({ "event": "buckets.B.files.F.create", "resourcePermissions": ["read(\"user:ann\")"], "userId": "ann",
        "payload": { "$id": "F", "bucketId": "B", "name": "never told" } });
    assert_eq!(node.publish("shop", &key, &event).0, 200);
    let data = root.expect("event")["data"].clone();
    let row = &data["payload"][0];
    assert_eq!(
        (&data["events"], &data["channels"]),
        (&json!(["console.tail"]), &json!(["console.tail.shop"]))
    );
    assert!(row["timestamp"].is_string(), "{row}");
    let shown = json!({
        "event": "buckets.B.files.F.create", "type": "buckets", "action": "create", "userId": "ann",
        "timestamp": row["timestamp"], "resourceId": "F", "bucketId": "B"
    });
    assert_eq!(data["payload"], json!([shown]));

    // A project without owners is nobody's to watch.
    tail(&mut root, "s", &["first"], &[]);
    must_be_refused(&mut root, "Not authorized to tail project \"first\".");
}
