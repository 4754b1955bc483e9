//! What one client and one address may do.

use serde_json::{Value, json};

use crate::node::Client;
use crate::world::{TRANSPORTS, World, event};

fn subscribe(client: &mut Client, channels: &[&str]) {
    client.say(&json!({ "type": "subscribe", "data": [{ "channels": channels }] }));
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
        world.refuses(transport, "", &from("203.0.113.7"), (1013, "Too many requests", 1013));
        world.connect(transport, "", &from("203.0.113.8"));
    }
    let talkative = &mut clients[0];
    for _ in 0..4 {
        subscribe(talkative, &["files"]);
    }
    for _ in 0..3 {
        talkative.expect("response");
    }
    assert_eq!(talkative.expect("error")["data"]["message"], "Too many messages.");
    world.must_publish(&event("any", "fence"));
    for client in &mut clients {
        assert!(client.ids_until("fence").is_empty(), "they all stay");
    }
}

#[test]
fn pings_do_not_count_as_messages() {
    let world = World::new(&["--limits-enabled", "true", "--limits-messages-per-minute", "1"]);
    let mut client = world.connect("websocket", "", &[]);
    for _ in 0..50 {
        client.say(&json!({ "type": "ping" }));
    }
    subscribe(&mut client, &["files"]);
    client.expect("response");
}

#[test]
fn a_connection_has_no_more_subscriptions_and_channels_than_it_may() {
    let world = World::new(&["--limits-subscriptions", "3", "--limits-channels", "5"]);
    let too_many = |what: &str, limit: u16| {
        format!("Too many {what}: a connection may have {limit}. Unsubscribe from some first.")
    };
    for transport in TRANSPORTS {
        let query = (0..5).map(|number| format!("&channels[]=c{number}")).collect::<String>();
        world.refuses(transport, &query, &[], (1008, &too_many("channels", 5), 1008));
    }
    let mut client = world.connect("websocket", "", &[]);
    subscribe(&mut client, &["a", "b"]);
    client.expect("response");
    subscribe(&mut client, &["c", "d", "e"]);
    assert_eq!(client.expect("error")["data"]["message"], too_many("channels", 5).as_str());
    subscribe(&mut client, &["c"]);
    let third = client.expect("response")["data"]["subscriptions"][0]["subscriptionId"].clone();
    subscribe(&mut client, &["e"]);
    assert_eq!(client.expect("error")["data"]["message"], too_many("subscriptions", 3).as_str());
    client.say(&json!({ "type": "unsubscribe", "data": [{ "subscriptionId": third }] }));
    client.expect("response");
    subscribe(&mut client, &["e"]);
    client.expect("response");
    let on = |channel: &str| json!({ "channels": [channel], "roles": ["any"], "events": ["x.y"], "payload": { "$id": channel } });
    let heard_of: Vec<Value> = ["a", "b", "c", "d", "e", "documents"].map(on).into();
    world.must_publish(&json!(heard_of));
    assert_eq!(client.ids_until("documents"), ["a", "b", "e"], "what was refused was not applied");
}

#[test]
fn a_message_that_is_too_large_ends_the_connection_and_no_other() {
    let world = World::new(&["--limits-message-bytes", "300"]);
    let mut clients = TRANSPORTS.map(|transport| world.connect(transport, "", &[]));
    let mut verbose = world.connect("websocket", "", &[]);
    subscribe(&mut verbose, &["x".repeat(200).as_str()]);
    verbose.expect("response");
    subscribe(&mut verbose, &["x".repeat(400).as_str()]);
    verbose.must_be_closed(1009);
    world.must_publish(&event("any", "fence"));
    for client in &mut clients {
        assert!(client.ids_until("fence").is_empty());
    }
}

#[test]
fn whoever_guesses_credentials_is_held_off_and_neither_guests_nor_other_addresses_are() {
    let world = World::new(&["--limits-enabled", "true", "--limits-failed-authentications-per-minute", "3"]);
    let session = world.session("ann");
    let publish = |address: &str, key: &str| {
        let headers = [("x-appwrite-project", "shop"), ("x-appwrite-key", key), ("x-forwarded-for", address)];
        world.post(&headers, &event("any", "fence").to_string())
    };
    assert_eq!(publish("203.0.113.7", "guess").status, 401);
    let guess = [("x-forwarded-for", "203.0.113.7"), ("x-appwrite-session", "Z3Vlc3M=")];
    let mut guests = TRANSPORTS.map(|transport| world.connect(transport, "", &guess));

    let refused = publish("203.0.113.7", &world.key);
    assert_eq!((refused.status, refused.content_type.as_str()), (429, "application/problem+json"));
    assert!(
        refused.retry_after.is_some_and(|seconds| seconds.parse::<u32>().is_ok_and(|seconds| seconds > 0))
    );
    let told = (1013, "Too many failed authentications. Try again later.", 1013);
    for transport in TRANSPORTS {
        let right = [("x-forwarded-for", "203.0.113.7"), ("x-appwrite-session", session.as_str())];
        world.refuses(transport, "", &right, told);
        world.connect(transport, "", &[("x-forwarded-for", "203.0.113.7")]);
        world.connect(transport, "", &[("x-forwarded-for", "203.0.113.8"), ("x-appwrite-session", &session)]);
    }
    assert_eq!(publish("203.0.113.8", &world.key).status, 200);
    for guest in &mut guests {
        assert!(guest.ids_until("fence").is_empty(), "those who are in stay");
    }
}
