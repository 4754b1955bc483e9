//! What clients see over both transports, on the embedded database.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::world::{TRANSPORTS, World, event, text};

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
}

#[test]
fn a_page_connects_from_where_its_project_allows() {
    let world = World::new(&[]);
    let dev_key = text(&world.run(&["key", "create", "--dev"])["secret"]);
    let evil = ("origin", "https://evil.test");
    for transport in TRANSPORTS {
        for origin in ["https://app.example.com", "https://a.b.example.com:8443", "http://localhost:3000"] {
            world.connect(transport, "", &[("origin", origin)]);
        }
        world.connect(transport, "", &[]);
        world.connect(transport, "", &[evil, ("x-appwrite-dev-key", &dev_key)]);
        for (origin, host) in [
            ("https://evil.test", "evil.test"),
            ("https://example.com", "example.com"),
            ("https://app.example.com.evil.test", "app.example.com.evil.test"),
        ] {
            let text = format!(
                "Invalid Origin. Register your new client ({host}) as a new Web platform on your project console dashboard"
            );
            world.refuses(transport, "", &[("origin", origin)], (1008, &text, 1008));
        }
        let mut opaque = world.open(transport, "", &[("origin", "null")]);
        assert_eq!(opaque.expect("error")["data"]["code"], 1008, "{transport}");
        opaque.must_be_closed(1008);
    }
    let mut console = world.node.connect("project=console", &[evil]);
    assert_eq!(console.expect("error")["data"]["code"], 1008);
    console.must_be_closed(1008);
}

#[test]
fn a_server_that_allows_every_host_lets_every_page_in() {
    let world = World::new(&["--origin-hosts", "*"]);
    for transport in TRANSPORTS {
        world.connect(transport, "", &[("origin", "https://evil.test")]);
    }
}

#[test]
fn a_client_that_stops_reading_is_closed_and_the_others_get_every_event() {
    let world = World::new(&["--limits-outbox-messages", "4"]);
    // More than the outbox and the buffers of both kernels hold.
    let (count, large) = (60, "x".repeat(200_000));
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
        world.must_publish(&json!(events));
        std::thread::scope(|scope| {
            scope.spawn(|| world.node.stop());
            for number in 0..500 {
                assert_eq!(
                    client.expect("event")["data"]["payload"]["$id"],
                    format!("e{number}").as_str(),
                    "{transport}"
                );
            }
            client.must_be_closed(1012);
        });
    }
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
fn a_page_of_another_origin_may_ask_for_a_stream_with_headers_and_may_not_publish() {
    let world = World::new(&[]);
    let ask = |path: &str| {
        ureq::options(format!("http://{}{path}", world.node.address()))
            .config()
            .http_status_as_error(false)
            .build()
            .header("origin", "https://app.example")
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "x-appwrite-jwt")
            .call()
            .unwrap()
    };
    let answer = ask("/v1/realtime?project=shop&channels[]=files");
    let header = |name: &str| answer.headers()[name].to_str().unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(header("access-control-allow-origin"), "https://app.example");
    assert_eq!(header("access-control-allow-credentials"), "true");
    assert!(header("access-control-allow-headers").to_lowercase().contains("x-appwrite-jwt"));
    // An API key has no place in a browser.
    let answer = ask("/v1/realtime/events");
    assert_eq!(answer.status(), 405);
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
}
