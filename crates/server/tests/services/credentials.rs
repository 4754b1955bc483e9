//! Who a client is while it is connected: what it shows, says and loses.

use serde_json::{Value, json};

use crate::node::{Client, realtime};
use crate::world::{TRANSPORTS, World, event, text};

fn authenticate(client: &mut Client, kind: &str, credential: &str) {
    client.say(&json!({ "type": "authentication", "data": { kind: credential } }));
}

#[test]
fn a_message_changes_who_a_client_is_and_one_that_proves_nothing_does_not() {
    let world = World::new(&[]);
    let roles = ["guests", "users", "user:ann", "user:bob", "team:red/dev", "label:vip"];
    let of_ann = ["users", "user:ann", "team:red/dev", "label:vip"];
    let mut client = world.open("websocket", "", &[]);
    // Said before the server has let the client in: it waits its turn.
    authenticate(&mut client, "jwt", &world.jwt("ann"));
    assert_eq!(client.expect("connected")["data"]["user"], Value::Null);
    assert_eq!(client.expect("response")["data"]["user"]["$id"], "ann");
    world.publish_for(&roles);
    assert_eq!(client.ids_until("fence"), of_ann);
    for (kind, credential, code) in [("session", "Zm9yZ2Vk", 1003), ("jwt", "Zm9yZ2Vk", 401)] {
        authenticate(&mut client, kind, credential);
        assert_eq!(client.expect("error")["data"]["code"], code, "{kind}");
    }
    world.publish_for(&roles);
    assert_eq!(client.ids_until("fence"), of_ann);
    authenticate(&mut client, "session", &world.session("bob"));
    assert_eq!(client.expect("response")["data"]["user"]["$id"], "bob");
    world.publish_for(&roles);
    assert_eq!(client.ids_until("fence"), ["users", "user:bob"]);
}

#[test]
fn credentials_that_contradict_each_other_or_are_forged_are_refused() {
    let world = World::new(&[]);
    let (session, jwt) = (world.session("ann"), world.jwt("bob"));
    let contradiction = "JWT and cookie used in the same request. Use either `setJWT` or `setCookie`. Learn about which \
        authentication method to use in the SSR docs: https://appwrite.io/docs/products/auth/server-side-rendering";
    let forged = "Failed to verify JWT. Invalid token: Incomplete segments";
    for transport in TRANSPORTS {
        let both = [("x-appwrite-session", session.as_str()), ("x-appwrite-jwt", &jwt)];
        world.refuses(transport, "", &both, (403, contradiction, 3003));
        world.refuses(transport, "", &[("x-appwrite-jwt", "forged")], (401, forged, 3000));
        world.refuses(transport, "&jwt=forged", &[], (401, forged, 3000));
    }
}

#[test]
fn a_connection_ends_with_its_session_or_token_unless_it_shows_another_in_time() {
    let world = World::new(&[]);
    let session = text(&world.run(&["session", "create", "--user", "ann", "--lasts", "3s"])["token"]);
    let jwt = realtime(world.folder(), &["token", "create", "--user", "ann", "--lasts", "3s"]);
    let jwt = text(&jwt["token"]);
    let mut ending: Vec<Client> = TRANSPORTS
        .iter()
        .flat_map(|transport| {
            let by_session = world.connect(transport, "", &[("x-appwrite-session", &session)]);
            [by_session, world.connect(transport, "", &[("x-appwrite-jwt", &jwt)])]
        })
        .collect();
    let mut staying = world.connect("websocket", "", &[("x-appwrite-jwt", &jwt)]);
    authenticate(&mut staying, "jwt", &world.jwt("ann"));
    staying.expect("response");
    world.must_publish(&event("user:ann", "while it lasts"));
    for client in &mut ending {
        assert_eq!(client.expect("event")["data"]["payload"]["$id"], "while it lasts");
        let error = client.expect("error");
        assert_eq!(error["data"]["code"], 401);
        assert_eq!(error["data"]["message"], "The session or token has expired.");
        client.must_be_closed(3000);
    }
    world.publish_for(&["user:ann"]);
    assert_eq!(staying.ids_until("fence"), ["while it lasts", "user:ann"]);
}

#[test]
fn a_change_of_roles_holds_from_the_event_that_tells_of_it() {
    let world = World::new(&[]);
    let roles = ["team:red", "team:red/owner", "label:new", "users/verified", "user:bob"];
    let session = world.session("bob");
    let mut clients = TRANSPORTS.map(|transport| {
        world.connect(transport, "&channels[]=memberships", &[("x-appwrite-session", &session)])
    });
    // The change is told and followed by events in one batch: not one of them may go by the roles from before.
    let mut change = |name: &str, payload: &Value, expected: &[&str]| {
        let mut batch = vec![json!({ "event": name, "payload": payload })];
        batch.extend(roles.iter().map(|role| event(role, role)));
        batch.push(event("any", "fence"));
        world.must_publish(&json!(batch));
        for (client, transport) in clients.iter_mut().zip(TRANSPORTS) {
            assert_eq!(client.ids_until("fence"), expected, "{name} over {transport}");
        }
    };
    let bob = json!({ "$id": "bob" });
    let membership = json!({ "$id": "m", "teamId": "red", "userId": "bob" });

    world.run(&["team", "add-member", "--id", "m", "--team", "red", "--user", "bob", "--role", "owner"]);
    change("teams.red.memberships.m.create", &membership, &["m", "team:red", "team:red/owner", "user:bob"]);
    world.run(&["team", "remove-member", "m"]);
    change("teams.red.memberships.m.delete", &membership, &["m", "user:bob"]);
    world.run(&["user", "update", "bob", "--label", "new"]);
    change("users.bob.update.labels", &bob, &["label:new", "user:bob"]);
    world.run(&["user", "update", "bob", "--verified", "true"]);
    change("users.bob.update.verification", &bob, &["label:new", "users/verified", "user:bob"]);
    world.run(&["user", "update", "bob", "--verified", "false"]);
    change("users.bob.update.verification", &bob, &["label:new", "user:bob"]);

    world.run(&["user", "update", "bob", "--blocked", "true"]);
    world.must_publish(
        &json!([{ "event": "users.bob.update.status", "payload": bob }, event("any", "fence")]),
    );
    for client in &mut clients {
        assert_eq!(client.expect("error")["data"]["message"], "The current user has been blocked.");
        client.must_be_closed(3000);
    }
}

#[test]
fn a_session_or_a_user_that_is_deleted_ends_the_connection() {
    let world = World::new(&[]);
    let tell = |event: &str, id: &str| {
        world.must_publish(&json!({ "event": event, "payload": { "$id": id }, "userId": "ann" }));
    };
    for transport in TRANSPORTS {
        let made = world.run(&["session", "create", "--user", "ann"]);
        let (id, token) = (text(&made["id"]), text(&made["token"]));
        let mut client = world.connect(transport, "", &[("x-appwrite-session", &token)]);
        world.run(&["session", "remove", &id]);
        tell(&format!("users.ann.sessions.{id}.delete"), &id);
        assert_eq!(client.expect("error")["data"]["message"], "The session has ended.", "{transport}");
        client.must_be_closed(3000);
    }
    let mut clients = TRANSPORTS
        .map(|transport| world.connect(transport, "", &[("x-appwrite-session", &world.session("ann"))]));
    world.run(&["user", "remove", "ann"]);
    tell("users.ann.delete", "ann");
    for client in &mut clients {
        assert_eq!(client.expect("error")["data"]["message"], "The user no longer exists.");
        client.must_be_closed(3000);
    }
}

#[test]
fn who_is_remembered_is_let_in_no_more_once_an_event_tells_of_the_end() {
    let world = World::new(&["--cache-identities", "1h"]);
    let tell = |event: &str, id: &str| {
        world.must_publish(&json!({ "event": event, "payload": { "$id": id }, "userId": "ann" }));
    };
    let user_of = |transport: &str, token: &str| {
        let mut client = world.open(transport, "", &[("x-appwrite-session", token)]);
        (client.expect("connected")["data"]["user"]["$id"].clone(), client)
    };
    for transport in TRANSPORTS {
        let made = world.run(&["session", "create", "--user", "ann"]);
        let (id, token) = (text(&made["id"]), text(&made["token"]));
        assert_eq!(user_of(transport, &token).0, "ann");
        world.run(&["session", "remove", &id]);
        let (user, mut client) = user_of(transport, &token);
        assert_eq!(user, "ann", "nothing has told of the end yet, over {transport}");
        tell(&format!("users.ann.sessions.{id}.delete"), &id);
        assert_eq!(client.expect("error")["data"]["message"], "The session has ended.", "{transport}");
        assert_eq!(user_of(transport, &token).0, Value::Null, "{transport}");
    }
    let tokens = TRANSPORTS.map(|transport| (transport, world.session("ann")));
    let mut clients = tokens.each_ref().map(|(transport, token)| user_of(transport, token).1);
    world.run(&["user", "remove", "ann"]);
    tell("users.ann.delete", "ann");
    for client in &mut clients {
        assert_eq!(client.expect("error")["data"]["message"], "The user no longer exists.");
    }
    for (transport, token) in &tokens {
        assert_eq!(user_of(transport, token).0, Value::Null, "{transport}");
    }
}

#[test]
fn roles_that_are_remembered_end_with_the_event_that_changes_them() {
    let world = World::new(&["--cache-identities", "1h"]);
    let session = world.session("ann");
    let roles = ["label:vip", "label:staff", "users"];
    let heard = |client: &mut Client| {
        world.publish_for(&roles);
        client.ids_until("fence")
    };
    let connect = || world.connect("websocket", "", &[("x-appwrite-session", &session)]);
    assert_eq!(heard(&mut connect()), ["label:vip", "users"]);
    world.run(&["user", "update", "ann", "--label", "staff"]);
    assert_eq!(heard(&mut connect()), ["label:vip", "users"], "nothing has told of it yet");
    world.must_publish(
        &json!({ "event": "users.ann.update.labels", "payload": { "$id": "ann" }, "userId": "ann" }),
    );
    assert_eq!(heard(&mut connect()), ["label:staff", "users"]);
}
