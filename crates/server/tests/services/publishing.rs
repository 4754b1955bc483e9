//! Backends that publish over HTTP: what they are answered, and what clients see of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use serde_json::{Value, json};

use crate::node::{PATIENCE, realtime};
use crate::world::{Answer, TRANSPORTS, World, event, text};

impl World {
    /// Publishes with the right key and an idempotency key.
    fn post_once(&self, idempotency_key: &str, body: &Value) -> Answer {
        let headers = [
            ("x-appwrite-project", "shop"),
            ("x-appwrite-key", self.key.as_str()),
            ("idempotency-key", idempotency_key),
        ];
        self.post(&headers, &body.to_string())
    }
}

/// The server says in words, and in the statuses of its description, what is wrong.
fn must_be_a_problem(world: &World, answer: &Answer, status: u16) {
    assert_eq!(
        (answer.status, answer.content_type.as_str()),
        (status, "application/problem+json"),
        "{answer:?}"
    );
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["status"], status, "{problem}");
    for member in ["type", "title", "detail"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member} of {problem}");
    }
    let (_, description) = world.node.get("/v1/realtime/openapi.json");
    let documented = &description["paths"]["/v1/realtime/events"]["post"]["responses"];
    assert!(documented.get(status.to_string()).is_some(), "{status} is not described: {documented}");
}

#[test]
fn publishing_is_refused_in_words_and_nothing_of_it_is_delivered() {
    let world = World::new(&["--publish-body-bytes", "2000000"]);
    let mut clients = TRANSPORTS.map(|transport| world.connect(transport, "", &[]));
    let foreign = text(&realtime(world.folder(), &["key", "create", "--project", "other"])["secret"]);
    let powerless = text(&world.run(&["key", "create", "--scope", "users.read"])["secret"]);
    let expired = text(&world.run(&["key", "create", "--lasts", "1ms"])["secret"]);
    let (good, too_large) = (event("any", "good"), event("any", &"x".repeat(2_000_000)));
    for (status, headers) in [
        (401, [].as_slice()),
        (401, &[("x-appwrite-project", "shop")]),
        (401, &[("x-appwrite-key", &world.key)]),
        (401, &[("x-appwrite-project", "shop"), ("x-appwrite-key", "wrong")]),
        (401, &[("x-appwrite-project", "shop"), ("x-appwrite-key", &foreign)]),
        (401, &[("x-appwrite-project", "shop"), ("x-appwrite-key", &expired)]),
        (403, &[("x-appwrite-project", "shop"), ("x-appwrite-key", &powerless)]),
        (404, &[("x-appwrite-project", "nowhere"), ("x-appwrite-key", &world.key)]),
    ] {
        must_be_a_problem(&world, &world.post(headers, &good.to_string()), status);
    }
    for (status, body) in [
        (400, &json!("not an event")),
        (400, &json!({ "channels": ["documents"] })),
        (400, &json!([])),
        (400, &json!([good, { "channels": [], "roles": ["any"] }])),
        (400, &json!(vec![&good; 1_001])),
        (413, &too_large),
    ] {
        let headers = [("x-appwrite-project", "shop"), ("x-appwrite-key", world.key.as_str())];
        must_be_a_problem(&world, &world.post(&headers, &body.to_string()), status);
    }
    must_be_a_problem(&world, &world.post_once(&"x".repeat(256), &good), 400);
    world.must_publish(&event("any", "fence"));
    for client in &mut clients {
        assert!(client.ids_until("fence").is_empty());
    }
}

#[test]
fn a_batch_of_a_thousand_events_arrives_whole_and_in_order() {
    let world = World::new(&[]);
    let mut clients = TRANSPORTS.map(|transport| world.connect(transport, "", &[]));
    let ids: Vec<String> = (0..1_000).map(|number| format!("e{number}")).collect();
    let (status, answer) = world.publish(&ids.iter().map(|id| event("any", id)).collect());
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["events"].as_array().unwrap().len(), 1_000);
    world.must_publish(&event("any", "fence"));
    for client in &mut clients {
        assert_eq!(client.ids_until("fence"), ids);
    }
}

#[test]
fn an_event_sent_twice_with_one_idempotency_key_is_delivered_once() {
    let world = World::new(&[]);
    let mut clients = TRANSPORTS.map(|transport| world.connect(transport, "", &[]));
    let first = world.post_once("k1", &event("any", "once"));
    assert_eq!(first.status, 200);
    assert_eq!(world.post_once("k1", &event("any", "once")), first, "the same answer, ids included");
    must_be_a_problem(&world, &world.post_once("k1", &event("any", "something else")), 422);
    assert_eq!(world.post_once("k2", &event("any", "fence")).status, 200);
    for client in &mut clients {
        assert_eq!(client.ids_until("fence"), ["once"]);
    }
}

#[test]
fn a_request_sent_again_while_it_is_under_way_is_told_to_wait_and_delivered_once() {
    let world = World::new(&[]);
    let mut client = world.connect("websocket", "", &[]);
    let ids: Vec<String> = (0..1_000).map(|number| format!("e{number}")).collect();
    let batch: Value = ids.iter().map(|id| event("any", id)).collect();
    // Which request comes while another is under way is up to the system, so it is tried until one does.
    for round in 0.. {
        let key = format!("round {round}");
        let answers: Vec<Answer> = thread::scope(|scope| {
            let sent: Vec<_> = (0..4).map(|_| scope.spawn(|| world.post_once(&key, &batch))).collect();
            sent.into_iter().map(|answer| answer.join().unwrap()).collect()
        });
        world.must_publish(&event("any", "fence"));
        assert_eq!(client.ids_until("fence"), ids, "once, whoever was first");
        let (taken, told_to_wait): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert!(taken.windows(2).all(|two| two[0] == two[1]), "all get the first answer: {taken:?}");
        for answer in &told_to_wait {
            must_be_a_problem(&world, answer, 409);
            assert_eq!(answer.retry_after.as_deref(), Some("1"));
        }
        if !told_to_wait.is_empty() {
            break;
        }
        assert!(round < 100, "no request was ever under way");
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
    for path in ["/v1/realtime/event", "/v1/events", "/", "/v1/realtime/events/", "/v1/realtime/events/x"] {
        assert!(raw(&world, "POST", path).contains(" 404 "), "{path}");
    }
    let described = &description["paths"]["/v1/realtime/events"];
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"] {
        assert!(described.get(method.to_lowercase()).is_none(), "{method}");
        assert!(raw(&world, method, "/v1/realtime/events").contains(" 405 "), "{method}");
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
