//! What clients see over both transports, on the embedded database.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};

use crate::node::{Client, Node, PATIENCE, realtime};

/// A server on an embedded database with a few users.
struct World {
    folder: tempfile::TempDir,
    node: Node,
    key: String,
}

impl World {
    fn new(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = |arguments: &[&str]| realtime(folder.path(), arguments);
        run(&["project", "create", "--id", "shop"]);
        run(&["project", "create", "--id", "other"]);
        run(&["team", "create", "--project", "shop", "--id", "red"]);
        run(&["user", "create", "--project", "shop", "--id", "ann", "--verified", "--label", "vip"]);
        run(&["user", "create", "--project", "shop", "--id", "bob"]);
        run(&["team", "add-member", "--project", "shop", "--team", "red", "--user", "ann", "--role", "dev"]);
        run(&["platform", "create", "--project", "shop", "--hostname", "*.example.com"]);
        let key = text(&run(&["key", "create", "--project", "shop"])["secret"]);
        let node = Node::start(folder.path(), arguments, &[("_APP_ENV", "development")]);
        Self { folder, node, key }
    }

    fn session(&self, user: &str) -> String {
        let made = realtime(self.folder(), &["session", "create", "--project", "shop", "--user", user]);
        text(&made["token"])
    }

    fn jwt(&self, user: &str) -> String {
        text(&realtime(self.folder(), &["token", "create", "--user", user])["token"])
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn publish(&self, event: &Value) -> (u16, String) {
        self.node.publish("shop", &self.key, event)
    }

    /// One event for each role, then one for all; in one batch, so that they come in order.
    fn publish_for(&self, roles: &[&str]) {
        let mut events: Vec<Value> = roles.iter().map(|role| event(role, role)).collect();
        events.push(event("any", "fence"));
        assert_eq!(self.publish(&json!(events)).0, 200);
    }

    /// A client by either transport, who has been told that it is connected.
    fn connect(&self, transport: &str, query: &str, headers: &[(&str, &str)]) -> Client {
        let mut client = self.open(transport, query, headers);
        client.expect("connected");
        client
    }

    fn open(&self, transport: &str, query: &str, headers: &[(&str, &str)]) -> Client {
        let query = format!("project=shop&channels[]=documents{query}");
        match transport {
            "websocket" => self.node.connect(&query, headers),
            _ => self.node.stream(&query, headers),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text in {value}")).to_owned()
}

fn event(role: &str, id: &str) -> Value {
    json!({ "channels": ["documents"], "roles": [role], "events": ["x.y"], "payload": { "$id": id } })
}

const TRANSPORTS: [&str; 2] = ["websocket", "sse"];

/// What somebody shows in the URL and in headers, and the roles that they hold by it.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn each_client_hears_what_its_roles_allow_and_nothing_else() {
    let world = World::new(&[]);
    let (ann, bob) = (world.session("ann"), world.session("bob"));
    let ann_by_jwt = world.jwt("ann");
    let fallback = json!({ "a_session_shop": ann }).to_string();
    let cookie = |name: &str, token: &str| format!("{name}={token}");
    let (ann_cookie, ann_legacy, bob_cookie) = (
        cookie("a_session_shop", &ann),
        cookie("a_session_shop_legacy", &ann),
        cookie("a_session_shop", &bob),
    );
    let ann_in_url = format!("&jwt={ann_by_jwt}");
    let roles = [
        "guests",
        "users",
        "user:ann",
        "user:bob",
        "users/verified",
        "users/unverified",
        "user:ann/verified",
        "team:red",
        "team:red/dev",
        "team:red/owner",
        "team:blue",
        "label:vip",
        "label:VIP",
    ];
    let of_guest = ["guests"].as_slice();
    let of_ann =
        ["users", "user:ann", "users/verified", "user:ann/verified", "team:red", "team:red/dev", "label:vip"]
            .as_slice();
    let of_bob = ["users", "user:bob", "users/unverified"].as_slice();
    let cases: [Case<'_>; 9] = [
        ("a guest", "", &[], of_guest),
        ("a cookie", "", &[("cookie", &ann_cookie)], of_ann),
        ("a legacy cookie", "", &[("cookie", &ann_legacy)], of_ann),
        ("a session header", "", &[("x-appwrite-session", &ann)], of_ann),
        ("fallback cookies", "", &[("x-fallback-cookies", &fallback)], of_ann),
        ("a JWT header", "", &[("x-appwrite-jwt", &ann_by_jwt)], of_ann),
        ("a JWT in the URL", &ann_in_url, &[], of_ann),
        ("another user", "", &[("cookie", &bob_cookie)], of_bob),
        ("a forged session", "", &[("x-appwrite-session", "Zm9yZ2Vk")], of_guest),
    ];
    for transport in TRANSPORTS {
        let mut clients: Vec<_> = cases
            .iter()
            .map(|(what, query, headers, expected)| {
                (what, world.connect(transport, query, headers), expected)
            })
            .collect();
        world.publish_for(&roles);
        for (what, client, expected) in &mut clients {
            let heard: BTreeSet<String> = client.ids_until("fence").into_iter().collect();
            assert_eq!(
                heard,
                expected.iter().map(|&role| role.to_owned()).collect(),
                "{what} over {transport}"
            );
        }
    }
    let mut late = world.connect("websocket", "", &[]);
    late.say(&json!({ "type": "authentication", "data": { "session": bob } }));
    assert_eq!(late.expect("response")["data"]["user"]["$id"], "bob");
    world.publish_for(&roles);
    assert_eq!(late.ids_until("fence"), ["users", "user:bob", "users/unverified"]);
}

#[test]
fn a_page_connects_from_where_its_project_allows() {
    let world = World::new(&[]);
    for transport in TRANSPORTS {
        for origin in ["https://app.example.com", "http://localhost:3000"] {
            world.connect(transport, "", &[("origin", origin)]);
        }
        for origin in ["https://example.com.evil.test", "https://evil.test", "null"] {
            let mut refused = world.open(transport, "", &[("origin", origin)]);
            let error = refused.expect("error");
            assert_eq!(error["data"]["code"], 1008, "{origin} over {transport}: {error}");
            assert_eq!(refused.next(), json!({ "close": 1008 }), "{origin} over {transport}");
        }
    }
}

#[test]
fn a_client_that_stops_reading_is_closed_and_the_others_get_every_event() {
    let world = World::new(&["--limits-outbox-messages", "32", "--limits-outbox-bytes", "1000000"]);
    // More than the outbox and the buffers of both kernels hold.
    let (count, large) = (150, "x".repeat(200_000));
    for transport in TRANSPORTS {
        let mut slow = world.connect(transport, "", &[]);
        let mut quick = world.connect(transport, "", &[]);
        for number in 0..count {
            let id = format!("e{number}");
            let payload = json!({ "$id": id, "large": large });
            let event =
                json!({ "channels": ["documents"], "roles": ["any"], "events": ["x.y"], "payload": payload });
            assert_eq!(world.publish(&event).0, 200);
            assert_eq!(quick.expect("event")["data"]["payload"]["$id"], id.as_str(), "over {transport}");
        }
        let mut heard = 0;
        let end = loop {
            match slow.next_unless_cut_off() {
                Some(message) if message["type"] == "event" => heard += 1,
                end => break end,
            }
        };
        // Whoever does not take even the close within its time is cut off.
        assert!(end.is_none_or(|end| end == json!({ "close": 1013 })), "over {transport}");
        assert!(heard < count, "over {transport}");
    }
}

#[test]
fn a_server_that_stops_says_come_back_and_delivers_what_it_acknowledged() {
    for transport in TRANSPORTS {
        let mut world = World::new(&["--drain", "300ms"]);
        let mut client = world.connect(transport, "", &[]);
        let events: Vec<Value> = (0..500).map(|number| event("any", &format!("e{number}"))).collect();
        assert_eq!(world.publish(&json!(events)).0, 200);
        world.node.stop();
        for number in 0..500 {
            assert_eq!(
                client.expect("event")["data"]["payload"]["$id"],
                format!("e{number}").as_str(),
                "{transport}"
            );
        }
        assert_eq!(client.next(), json!({ "close": 1012 }), "{transport}");
    }
}

#[test]
fn a_session_that_ends_or_a_user_that_is_blocked_ends_the_connection() {
    let world = World::new(&[]);
    let told = |event: &str, id: &str| {
        let event = json!({ "event": event, "payload": { "$id": id }, "userId": "ann" });
        let (status, body) = world.publish(&event);
        assert_eq!(status, 200, "{body}");
    };
    for transport in TRANSPORTS {
        let made = realtime(world.folder(), &["session", "create", "--project", "shop", "--user", "ann"]);
        let (id, token) = (text(&made["id"]), text(&made["token"]));
        let mut client = world.connect(transport, "", &[("x-appwrite-session", &token)]);
        realtime(world.folder(), &["session", "remove", &id, "--project", "shop"]);
        told(&format!("users.ann.sessions.{id}.delete"), &id);
        assert_eq!(client.expect("error")["data"]["message"], "The session has ended.");
        assert_eq!(client.next(), json!({ "close": 3000 }), "{transport}");
    }
    let mut clients = TRANSPORTS
        .map(|transport| world.connect(transport, "", &[("x-appwrite-session", &world.session("ann"))]));
    realtime(world.folder(), &["user", "remove", "ann", "--project", "shop"]);
    told("users.ann.delete", "ann");
    for client in &mut clients {
        assert_eq!(client.expect("error")["data"]["message"], "The user no longer exists.");
        assert_eq!(client.next(), json!({ "close": 3000 }));
    }
}

#[test]
fn publishing_is_refused_in_words_and_nothing_of_it_is_delivered() {
    let world = World::new(&["--publish-body-bytes", "2000000"]);
    let mut client = world.connect("websocket", "", &[]);
    let good = event("any", "good");
    let other = text(&realtime(world.folder(), &["key", "create", "--project", "other"])["secret"]);
    let cases = [
        (401, world.node.publish("shop", "wrong", &good)),
        (401, world.node.publish("shop", &other, &good)),
        (404, world.node.publish("nowhere", &world.key, &good)),
        (400, world.publish(&json!("not an event"))),
        (400, world.publish(&json!({ "channels": ["documents"] }))),
        (400, world.publish(&json!([good, { "channels": [], "roles": ["any"] }]))),
        (400, world.publish(&json!(vec![&good; 1_001]))),
        (413, world.publish(&json!({ "channels": ["documents"], "roles": ["any"], "payload": { "x": "x".repeat(2_000_000) } }))),
    ];
    for (expected, (status, body)) in cases {
        assert_eq!(status, expected, "{body}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["status"], expected, "{body}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
    }
    assert_eq!(world.publish(&json!(vec![event("any", "batch"); 1_000])).0, 200);
    assert_eq!(world.publish(&event("any", "fence")).0, 200);
    assert_eq!(client.ids_until("fence").len(), 1_000, "the whole batch and nothing of what was refused");
}

#[test]
fn an_event_sent_twice_with_one_idempotency_key_is_delivered_once() {
    let world = World::new(&[]);
    let mut client = world.connect("sse", "", &[]);
    let send = |key: &str, body: &Value| {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let answer = agent
            .post(format!("http://{}/v1/realtime/events", world.node.address()))
            .header("x-appwrite-project", "shop")
            .header("x-appwrite-key", &world.key)
            .header("idempotency-key", key)
            .send(body.to_string());
        let mut answer = answer.unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    };
    let first = send("k1", &event("any", "once"));
    assert_eq!(first.0, 200);
    assert_eq!(send("k1", &event("any", "once")), first, "the same answer, ids included");
    assert_eq!(send("k1", &event("any", "something else")).0, 422);
    assert_eq!(send("k2", &event("any", "fence")).0, 200);
    assert_eq!(client.ids_until("fence"), ["once"]);
}

#[test]
fn a_guest_of_the_console_sees_the_test_event_if_its_queries_hold() {
    let world = World::new(&[]);
    let connect = |value: &str| {
        let query = json!({ "method": "equal", "attribute": "response", "values": [value] }).to_string();
        let query: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let mut client =
            world.node.connect(&format!("project=console&channels[]=tests&tests[0][]={query}"), &[]);
        client.expect("connected");
        client
    };
    let (mut met, mut unmet) = (connect("WS:/v1/realtime:passed"), connect("failed"));
    let event = met.expect("event");
    assert_eq!(event["data"]["events"], json!(["test.event"]));
    assert_eq!(event["data"]["channels"], json!(["tests"]));
    assert_eq!(event["data"]["payload"], json!({ "response": "WS:/v1/realtime:passed" }));
    assert_eq!(event["data"]["subscriptions"].as_array().unwrap().len(), 1);
    unmet.say(&json!({ "type": "subscribe", "data": [{ "channels": ["x"] }] }));
    unmet.expect("response");
}

#[test]
fn limits_hold_for_each_address_and_each_connection() {
    let world = World::new(&[
        "--limits-enabled",
        "true",
        "--limits-connects-per-minute",
        "6",
        "--limits-messages-per-minute",
        "3",
    ]);
    let from = |address: &'static str| [("x-forwarded-for", address)];
    let mut clients: Vec<Client> =
        (0..6).map(|number| world.connect(TRANSPORTS[number % 2], "", &from("203.0.113.7"))).collect();
    for transport in TRANSPORTS {
        let mut refused = world.open(transport, "", &from("203.0.113.7"));
        assert_eq!(refused.expect("error")["data"]["message"], "Too many requests", "{transport}");
        assert_eq!(refused.next(), json!({ "close": 1013 }), "{transport}");
        world.connect(transport, "", &from("203.0.113.8"));
    }
    let talkative = &mut clients[0];
    for _ in 0..4 {
        talkative.say(&json!({ "type": "subscribe", "data": [{ "channels": ["files"] }] }));
    }
    for _ in 0..3 {
        talkative.expect("response");
    }
    assert_eq!(talkative.expect("error")["data"]["message"], "Too many messages.");
    assert_eq!(world.publish(&event("any", "fence")).0, 200);
    for client in &mut clients {
        assert!(client.ids_until("fence").is_empty(), "they all stay");
    }
}

#[test]
fn every_route_of_the_description_answers_and_no_other_does() {
    let world = World::new(&[]);
    let (status, description) = world.node.get("/v1/realtime/openapi.json");
    assert_eq!(status, 200);
    let paths = description["paths"].as_object().unwrap();
    assert!(paths.contains_key("/v1/realtime/events"), "{paths:?}");
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            let answer = raw(&world, &method.to_uppercase(), path);
            assert!(!answer.contains(" 404 ") && !answer.contains(" 405 "), "{method} {path}: {answer}");
        }
    }
    for path in ["/v1/realtime/event", "/v1/events", "/", "/v1/realtime/events/x"] {
        assert!(raw(&world, "POST", path).contains(" 404 "), "{path}");
    }
}

/// The status line of the answer to a request without a body.
fn raw(world: &World, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(world.node.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 64];
    let length = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).lines().next().unwrap_or_default().to_owned()
}
