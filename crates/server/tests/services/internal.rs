//! The internal port: what an operator sees and does, and who is kept out.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::node::PATIENCE;
use crate::world::{TRANSPORTS, World, event, text};

const KEY: &str = "0123456789abcdef";

/// Somebody at the internal port of a world's server.
struct Operator {
    address: String,
    key: Option<&'static str>,
}

impl Operator {
    fn of(world: &World) -> Self {
        let started = world.node.wait_for_log("console and metrics started");
        Self { address: text(&started["address"]), key: None }
    }

    /// A request with these headers alone: status and body.
    fn ask_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n{headers}");
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// A request to the API as the console makes it.
    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let key = self.key.map(|key| format!("Bearer {key}"));
        let mut headers = vec![("Host", "localhost"), ("X-Realtime-Console", "1")];
        headers.extend(key.iter().map(|key| ("Authorization", key.as_str())));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = self.ask_with(method, &format!("/console/api/{path}"), &headers, &body);
        (status, serde_json::from_str(&answer).unwrap_or(Value::String(answer)))
    }

    fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask("GET", path, &Value::Null);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(method, path, body);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// Watches events.
    fn watch(&self, query: &str) -> Watching {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head =
            format!("GET /console/api/events?{query} HTTP/1.1\r\nHost: localhost\r\nX-Realtime-Console: 1");
        stream.write_all(format!("{head}\r\n\r\n").as_bytes()).unwrap();
        let mut watching = Watching(BufReader::new(stream));
        // The first thing said shows that the watching has begun.
        watching.next_of("beat");
        watching
    }

    fn metric(&self, name: &str) -> u64 {
        let (status, page) = self.ask_with("GET", "/metrics", &[("Host", "localhost")], "");
        assert_eq!(status, 200);
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {page}")).trim().parse().unwrap()
    }
}

struct Watching(BufReader<TcpStream>);

impl Watching {
    fn next(&mut self) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream ended");
            // The sizes of chunks, and the head.
            if line.starts_with('{') {
                return serde_json::from_str(&line).unwrap();
            }
        }
    }

    fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let said = self.next();
            if said["type"] == kind {
                return said;
            }
        }
    }
}

fn world(arguments: &[&str]) -> (World, Operator) {
    let world = World::new(&[&["--internal-listen", "127.0.0.1:0"], arguments].concat());
    let operator = Operator::of(&world);
    (world, operator)
}

#[test]
fn without_a_key_this_machine_may_come_in_and_no_web_page_or_proxy() {
    let (_world, operator) = world(&[]);
    let on_purpose = ("X-Realtime-Console", "1");
    let local = ("Host", "localhost");
    let status = |path: &str, headers: &[(&str, &str)]| operator.ask_with("GET", path, headers, "").0;
    for host in ["localhost", "127.0.0.1:8081", "[::1]"] {
        assert_eq!(status("/console/api/overview", &[("Host", host), on_purpose]), 200, "{host}");
    }
    for path in ["/console/api/overview", "/metrics"] {
        assert_eq!(status(path, &[("Host", "evil.test"), on_purpose]), 421, "{path}");
        assert_eq!(status(path, &[local, on_purpose, ("X-Forwarded-For", "192.0.2.1")]), 403, "{path}");
    }
    assert_eq!(status("/console/api/overview", &[local]), 403);
    assert_eq!(status("/metrics", &[local]), 200);
    assert_eq!(status("/health/ready", &[("Host", "evil.test")]), 200);
    assert_eq!(status("/v1/realtime", &[local, on_purpose]), 404);
}

#[test]
fn with_a_key_nobody_comes_in_without_it_and_any_name_will_do() {
    let (_world, operator) = world(&["--internal-key", KEY]);
    let on_purpose = ("X-Realtime-Console", "1");
    let host = ("Host", "console.example.com");
    let right = format!("Bearer {KEY}");
    for path in ["/console/api/overview", "/metrics"] {
        let status = |shown: &str| {
            let headers = [host, on_purpose, ("X-Forwarded-For", "192.0.2.1"), ("Authorization", shown)];
            operator.ask_with("GET", path, &headers, "").0
        };
        assert_eq!(status(&right), 200, "{path}");
        for wrong in ["", "Bearer", "Bearer ", "Bearer 0123456789abcdeF", "Basic 0123456789abcdef", KEY] {
            assert_eq!(status(wrong), 401, "{path} {wrong}");
        }
        assert_eq!(operator.ask_with("GET", path, &[host, on_purpose], "").0, 401);
    }
    let missing = operator.ask_with("GET", "/console/api/overview", &[host, ("Authorization", &right)], "");
    assert_eq!(missing.0, 403);
    assert_eq!(operator.ask_with("GET", "/health/live", &[host], "").0, 200);
}

#[test]
fn the_console_is_there_without_a_key_to_ask_for_it() {
    let (_world, operator) = world(&["--internal-key", KEY]);
    let get = |path: &str| operator.ask_with("GET", path, &[("Host", "console.example.com")], "");
    let (status, page) = get("/console/");
    assert_eq!(status, 200);
    for name in page.split('"').filter(|part| part.starts_with("/console/")) {
        assert_eq!(get(name).0, 200, "{name}");
    }
    assert_eq!((get("/").0, get("/console").0), (307, 307));
    assert_eq!((get("/console/none").0, get("/console/../metrics").0), (404, 404));
}

#[test]
fn the_ports_for_clients_know_nothing_of_the_console() {
    let (world, _operator) = world(&[]);
    for path in ["/console/", "/console/api/overview", "/metrics"] {
        assert_eq!(world.node.get(path).0, 404, "{path}");
    }
}

#[test]
fn the_overview_tells_how_the_node_is_and_who_is_there() {
    let (world, operator) = world(&[]);
    let mut clients: Vec<_> = TRANSPORTS.iter().map(|transport| world.connect(transport, "", &[])).collect();
    world.must_publish(&event("any", "one"));
    clients.iter_mut().for_each(|client| drop(client.expect("event")));
    let overview = operator.get("overview");
    assert_eq!(overview["ready"], true);
    assert_eq!(overview["bus"], json!({ "name": "memory", "connected": true }));
    assert_eq!(overview["directory"]["answers"], true);
    assert_eq!(overview["stats"]["connections"], 2);
    assert_eq!(overview["stats"]["events"], 1, "each event is counted once, however many shards there are");
    assert_eq!(overview["projects"], json!([{ "id": "shop", "connections": 2 }]));
    let of_shards = overview["shards"].as_array().unwrap().iter();
    assert_eq!(of_shards.map(|shard| shard["connections"].as_u64().unwrap()).sum::<u64>(), 2);
    assert!(overview["memory"]["bytes"].as_u64().unwrap() > 1_000_000);
    assert!(!operator.get("history")["samples"].as_array().unwrap().is_empty());
    assert_eq!(operator.metric("realtime_connections"), 2);
    assert_eq!(operator.metric("realtime_deliveries_total"), 2);
    assert_eq!(operator.metric("realtime_ready"), 1);
}

#[test]
fn connections_are_listed_a_page_at_a_time_with_what_they_may_hear() {
    let (world, operator) = world(&[]);
    let ann = world.session("ann");
    let mut clients = Vec::new();
    for transport in TRANSPORTS {
        clients.push(world.connect(transport, "", &[("x-appwrite-session", &ann)]));
        clients.extend((0..3).map(|_| world.connect(transport, "&channels[]=files", &[])));
    }
    let mut ids = Vec::new();
    let mut from = String::new();
    loop {
        let page = operator.get(&format!("connections?project=shop&limit=3&from={from}"));
        let found = page["connections"].as_array().unwrap();
        assert!(found.len() <= 3);
        ids.extend(found.iter().map(|connection| text(&connection["id"])));
        match page["next"].as_str() {
            Some(next) => from = next.to_owned(),
            None => break,
        }
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 8);
    let of_ann = operator.get("connections?user=ann");
    let mut transports: Vec<String> =
        of_ann["connections"].as_array().unwrap().iter().map(|one| text(&one["transport"])).collect();
    transports.sort();
    assert_eq!(transports, ["sse", "websocket"]);
    assert_eq!(operator.get("connections?channel=files")["connections"].as_array().unwrap().len(), 6);
    assert_eq!(operator.get("connections?project=other")["connections"], json!([]));
    let detail = operator.get(&format!("connections/{}", text(&of_ann["connections"][0]["id"])));
    assert_eq!(detail["user"], "ann");
    assert!(detail["roles"].as_array().unwrap().contains(&json!("team:red/dev")));
    assert_eq!(detail["subscriptionList"][0]["channels"], json!(["documents"]));
    assert_eq!(operator.ask("GET", "connections/0-999.0", &Value::Null).0, 404);
    assert_eq!(operator.ask("GET", "connections/nonsense", &Value::Null).0, 400);
}

#[test]
fn a_user_is_let_go_to_come_back_or_to_stay_away() {
    let (world, operator) = world(&[]);
    let (ann, bob) = (world.session("ann"), world.session("bob"));
    for transport in TRANSPORTS {
        let mut of_ann = world.connect(transport, "", &[("x-appwrite-session", &ann)]);
        let mut of_bob = world.connect(transport, "", &[("x-appwrite-session", &bob)]);
        let ended = operator.send("DELETE", "projects/shop/users/ann?come_back=false", &Value::Null);
        assert_eq!(ended, json!({ "ended": 1 }));
        assert_eq!(of_ann.expect("error")["data"]["message"], "An operator has ended this connection.");
        of_ann.must_be_closed(1008);
        let id = text(&operator.get("connections?user=bob")["connections"][0]["id"]);
        operator.send("DELETE", &format!("connections/{id}"), &Value::Null);
        of_bob.expect("error");
        of_bob.must_be_closed(1012);
    }
}

#[test]
fn it_is_explained_which_of_many_connections_get_an_event_a_page_at_a_time() {
    let (world, operator) = world(&[]);
    let ann = world.session("ann");
    let _of_ann = world.connect("websocket", "", &[("x-appwrite-session", &ann)]);
    let _elsewhere = world.connect("sse", "&channels[]=files", &[("x-appwrite-session", &ann)]);
    let mut guests: Vec<_> = (0..55).map(|_| world.connect("websocket", "", &[])).collect();
    let body = json!({ "channels": ["files"], "roles": ["user:ann"], "payload": {} });
    let of_ann = json!({ "project": "shop", "user": "ann", "body": body });
    let explained = operator.send("POST", "explain", &of_ann);
    let mut verdicts: Vec<(&str, bool)> = explained["events"][0]["connections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["verdict"].as_str().unwrap(), one["delivered"].as_bool().unwrap()))
        .collect();
    verdicts.sort_unstable();
    let not_heard = "Not delivered: no subscription listens to a channel of the event.";
    assert_eq!(
        (verdicts, &explained["next"]),
        (vec![("Delivered.", true), (not_heard, false)], &Value::Null)
    );

    let (mut delivered, mut seen, mut from) = (0, Vec::new(), Value::Null);
    loop {
        let asked = json!({ "project": "shop", "body": body, "from": from });
        let page = operator.send("POST", "explain", &asked);
        let connections = page["events"][0]["connections"].as_array().unwrap();
        assert!(connections.len() <= 50, "{}", connections.len());
        delivered += connections.iter().filter(|one| one["delivered"] == true).count();
        seen.extend(connections.iter().map(|one| text(&one["id"])));
        from = page["next"].clone();
        if from.is_null() {
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!((delivered, seen.len()), (1, 57));
    guests.clear();
    let many = json!({ "project": "shop", "body": vec![body; 11] });
    assert_eq!(operator.ask("POST", "explain", &many).0, 400);
}

#[test]
fn it_is_explained_why_a_connection_gets_an_event_and_why_not() {
    let (world, operator) = world(&[]);
    let query = json!({ "method": "equal", "attribute": "$id", "values": ["wanted"] }).to_string();
    let query: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let _client = world.connect("websocket", &format!("&documents[0][]={query}"), &[]);
    let id = text(&operator.get("connections")["connections"][0]["id"]);
    let explain = |body: Value| {
        let asked = json!({ "connection": id, "project": "shop", "body": body });
        operator.send("POST", "explain", &asked)["events"][0].clone()
    };
    let passes = |explained: &Value| {
        ["project", "channels", "roles"].map(|check| explained[check]["passes"].as_bool().unwrap())
    };
    let delivered = explain(event("any", "wanted"));
    assert_eq!((&delivered["delivered"], passes(&delivered)), (&json!(true), [true; 3]));
    let other_query = explain(event("guests", "unwanted"));
    assert_eq!((&other_query["delivered"], passes(&other_query)), (&json!(false), [true; 3]));
    let check = &other_query["subscriptions"][0]["queries"][0];
    assert_eq!((&check["actual"], &check["holds"]), (&json!("unwanted"), &json!(false)));
    let other_role = explain(event("user:ann", "wanted"));
    assert_eq!((&other_role["delivered"], passes(&other_role)), (&json!(false), [true, true, false]));
    assert_eq!(other_role["roles"]["connection"], json!(["guests"]));
    let other_channel = json!({ "channels": ["files"], "roles": ["any"], "payload": {} });
    assert_eq!(passes(&explain(other_channel)), [true, false, true]);

    world.must_publish(&event("any", "unwanted"));
    let mut watching = operator.watch("");
    world.must_publish(&event("any", "wanted"));
    let seen = text(&watching.next_of("event")["id"]);
    let asked = json!({ "connection": id, "project": "shop", "event": seen });
    let explained = &operator.send("POST", "explain", &asked)["events"][0];
    assert_eq!(explained["verdict"], "Delivered.");
    assert_eq!(explained["subscriptions"][0]["inTime"], true);
    let unheard_of = json!({ "connection": id, "project": "shop", "event": "never" });
    assert_eq!(operator.ask("POST", "explain", &unheard_of).0, 404);
    let neither = json!({ "connection": id, "project": "shop" });
    assert_eq!(operator.ask("POST", "explain", &neither).0, 400);
}

#[test]
fn events_are_shown_as_they_pass_to_whom_they_interest() {
    let (world, operator) = world(&[]);
    let mut all = operator.watch("project=shop");
    let mut some = operator.watch("channel=documents&text=needle");
    let mut none = operator.watch("project=other");
    world.must_publish(&event("any", "hay"));
    world.must_publish(&event("user:ann", "a needle"));
    let (first, second) = (all.next_of("event"), all.next_of("event"));
    assert_eq!((&first["payload"]["$id"], &second["payload"]["$id"]), (&json!("hay"), &json!("a needle")));
    assert_eq!((&second["roles"], &second["channels"]), (&json!(["user:ann"]), &json!(["documents"])));
    assert_eq!(some.next_of("event")["id"], second["id"]);
    assert_eq!(none.next_of("beat")["leftOut"], 0);
    let again = operator.get(&format!("projects/shop/events/{}", text(&second["id"])));
    assert_eq!(again, second);
    assert_eq!(operator.ask("GET", "projects/shop/events/never", &Value::Null).0, 404);
}

#[test]
fn of_a_flood_an_operator_sees_a_part_and_how_much_was_left_out() {
    let (world, operator) = world(&[]);
    let mut watching = operator.watch("");
    let (batches, batch) = (20, 500);
    let events: Vec<Value> = (0..batch).map(|number| event("any", &number.to_string())).collect();
    let begun = Instant::now();
    for _ in 0..batches {
        world.must_publish(&json!(events));
    }
    let (mut shown, mut left_out) = (0, 0);
    while shown + left_out < batches * batch {
        let said = watching.next();
        match said["type"].as_str().unwrap() {
            "event" => shown += 1,
            _ => left_out += said["leftOut"].as_u64().unwrap(),
        }
        assert!(begun.elapsed() < PATIENCE, "{shown} shown, {left_out} left out");
    }
    assert_eq!(shown + left_out, batches * batch, "each event is shown or counted");
    let seconds = begun.elapsed().as_secs() + 1;
    assert!(shown <= 50 * (seconds + 1), "{shown} in {seconds} s");
}

#[test]
fn an_operator_publishes_by_hand() {
    let (world, operator) = world(&[]);
    let mut client = world.connect("websocket", "", &[]);
    let published = operator.send("POST", "projects/shop/events", &event("any", "by hand"));
    assert_eq!(published["events"][0]["published"], true);
    assert_eq!(client.expect("event")["data"]["payload"]["$id"], "by hand");
    assert_eq!(operator.ask("POST", "projects/none/events", &event("any", "x")).0, 404);
    assert_eq!(operator.ask("POST", "projects/shop/events", &json!({ "channels": 1 })).0, 400);
}

#[test]
fn projects_keys_and_platforms_of_the_embedded_database_are_made_and_removed() {
    let (world, operator) = world(&[]);
    let made = operator.send("POST", "projects", &json!({ "id": "new", "name": "New" }));
    assert_eq!(made, json!({ "id": "new", "name": "New" }));
    assert_eq!(operator.ask("POST", "projects", &json!({ "id": "new", "name": "New" })).0, 409);
    assert_eq!(operator.ask("POST", "projects", &json!({ "id": "a/b", "name": "New" })).0, 400);
    let key = operator.send("POST", "projects/new/keys", &json!({ "name": "backend", "days": 30 }));
    let secret = text(&key["secret"]);
    assert_eq!(world.node.publish("new", &secret, &event("any", "x")).0, 200);
    let platform = json!({ "name": "Web", "kind": "web", "hostname": "app.example.com" });
    let platform = operator.send("POST", "projects/new/platforms", &platform);
    let project = operator.get("projects/new");
    assert_eq!(project["keys"][0]["name"], "backend");
    assert_eq!(project["platforms"][0]["hostname"], "app.example.com");
    assert!(!project.to_string().contains(&secret), "a secret is told once");
    operator.send("DELETE", &format!("projects/new/keys/{}", text(&key["id"])), &Value::Null);
    operator.send("DELETE", &format!("projects/new/platforms/{}", text(&platform["id"])), &Value::Null);
    assert_eq!(world.node.publish("new", &secret, &event("any", "x")).0, 401);
    assert_eq!(operator.get("projects/new")["platforms"], json!([]));
    operator.send("DELETE", "projects/new", &Value::Null);
    assert_eq!(operator.ask("GET", "projects/new", &Value::Null).0, 404);
    let ids: Vec<String> =
        operator.get("projects")["projects"].as_array().unwrap().iter().map(|one| text(&one["id"])).collect();
    assert_eq!(ids, ["shop", "other"]);
}

#[test]
fn what_cannot_be_read_is_refused_and_the_port_goes_on() {
    let (_world, operator) = world(&[]);
    let headers = [("Host", "localhost"), ("X-Realtime-Console", "1")];
    let status = |method: &str, path: &str, body: &str| operator.ask_with(method, path, &headers, body).0;
    assert_eq!(status("POST", "/console/api/explain", "{"), 400);
    assert_eq!(status("POST", "/console/api/projects", "[]"), 400);
    assert_eq!(status("POST", "/console/api/projects/shop/events", &"x".repeat(2 << 20)), 413);
    assert_eq!(status("GET", "/console/api/connections?limit=x", ""), 400);
    assert_eq!(status("GET", "/console/api/connections?from=x", ""), 400);
    assert_eq!(status("GET", "/console/api/connections?limit=99999999", ""), 200);
    assert_eq!(status("PUT", "/console/api/projects", ""), 404);
    assert_eq!(status("GET", "/console/api/%00%FF/../..", ""), 404);
    let stalled = TcpStream::connect(&operator.address).unwrap();
    stalled.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    assert_eq!(status("GET", "/console/api/overview", ""), 200);
}
