//! Servers that are killed and replaced under load, with clients that come back to whichever there is.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::node::{Client, Node, PATIENCE, realtime};
use crate::redis_server::Redis;

/// How much goes on.
#[derive(Clone, Copy)]
struct Load {
    clients: usize,
    /// Channels; each client listens to one of them.
    channels: usize,
    events_per_second: u64,
    /// Between one server that ends and the next.
    pause: Duration,
}

/// What is published: an event with a number for one channel, for all or for those who are signed in.
fn envelope(number: u64, load: &Load) -> (usize, bool, String) {
    let channel = number as usize % load.channels;
    let for_members = (number / load.channels as u64) % 2 == 1;
    let text = json!({
        "project": "shop", "roles": [if for_members { "users" } else { "any" }], "permissionsChanged": false,
        "userId": null,
        "data": {
            "events": ["x.y"], "channels": [format!("c{channel}")],
            "timestamp": "2026-08-21T10:15:30.123+00:00", "payload": { "number": number }
        }
    });
    (channel, for_members, text.to_string())
}

/// What everybody knows.
struct Scene {
    load: Load,
    /// Where servers listen at the moment.
    addresses: Mutex<Vec<String>>,
    /// Events that were published, or are being.
    published: AtomicU64,
    is_over: AtomicBool,
}

/// What a client has to say in the end.
#[derive(Default)]
struct Story {
    got: Vec<u64>,
    twice: usize,
    links: usize,
    /// Times that nobody could vouch for it.
    doubts: usize,
    /// Events before this may be missing: it was not there, or was told.
    excused: u64,
}

impl Scene {
    fn now(&self) -> u64 {
        self.published.load(Ordering::SeqCst)
    }

    /// Listens until the last event has come, as an official SDK does: the same subscription whenever a link is lost.
    fn listen(&self, number: usize, session: Option<&str>) -> Story {
        let mut story = Story::default();
        let (channel, id) = (format!("c{}", number % self.load.channels), format!("s{number}"));
        let headers: Vec<(&str, &str)> =
            session.map(|token| ("x-appwrite-session", token)).into_iter().collect();
        let deadline = Instant::now() + PATIENCE * 4;
        loop {
            assert!(Instant::now() < deadline, "client {number} got {} events and no end", story.got.len());
            let address = {
                let addresses = self.addresses.lock().unwrap();
                addresses[(number + story.links) % addresses.len()].clone()
            };
            story.links += 1;
            let Some(mut client) = Client::try_websocket(&address, "project=shop", &headers) else {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            client.try_say(
                &json!({ "type": "subscribe", "data": [{ "subscriptionId": id, "channels": [channel] }] }),
            );
            while let Some(message) = client.next_unless_cut_off() {
                match message["type"].as_str() {
                    Some("response") => {
                        let recovered = &message["data"]["subscriptions"][0]["recovered"];
                        if story.links == 1 || recovered == false {
                            story.excused = self.now();
                        }
                        story.doubts += usize::from(recovered == false);
                    }
                    Some("event") => {
                        let number = message["data"]["payload"]["number"].as_u64();
                        let Some(number) = number else { return story };
                        match story.got.last() {
                            Some(last) if *last >= number => story.twice += 1,
                            _ => story.got.push(number),
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// What is missing without a word.
    fn missing(&self, number: usize, is_member: bool, story: &Story) -> Vec<u64> {
        let is_for = |event: u64| {
            let (channel, for_members, _) = envelope(event, &self.load);
            channel == number % self.load.channels && (is_member || !for_members)
        };
        assert!(story.got.iter().all(|event| is_for(*event)), "client {number} got what it may not see");
        // Numbers only go up among those that came for the first time, so this is in order.
        let wanted = (story.excused..self.now()).filter(|event| is_for(*event));
        wanted.filter(|event| story.got.binary_search(event).is_err()).collect()
    }
}

fn roll(load: Load) {
    let folder = tempfile::tempdir().unwrap();
    realtime(folder.path(), &["project", "create", "--id", "shop"]);
    realtime(folder.path(), &["user", "create", "--project", "shop", "--id", "ann"]);
    let session = realtime(folder.path(), &["session", "create", "--project", "shop", "--user", "ann"]);
    let session = session["token"].as_str().unwrap().to_owned();
    let redis = Redis::start(&[]);
    let port = redis.port();
    let start = || {
        let environment =
            [("_APP_REDIS_HOST", "127.0.0.1"), ("_APP_REDIS_PORT", port.as_str()), ("REALTIME_DRAIN", "1s")];
        let node = Node::start(folder.path(), &[], &environment);
        node.wait_for_readiness(200);
        node
    };
    let (mut first, mut second) = (start(), start());
    let scene = Scene {
        load,
        addresses: Mutex::new(vec![first.address().to_owned(), second.address().to_owned()]),
        published: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    };
    let is_member = |number: usize| (number / load.channels).is_multiple_of(2);
    let stories: Vec<Story> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..load.clients)
            .map(|number| {
                let session = is_member(number).then_some(session.as_str());
                let scene = &scene;
                std::thread::Builder::new()
                    .stack_size(256 * 1024)
                    .spawn_scoped(scope, move || scene.listen(number, session))
                    .unwrap()
            })
            .collect();
        let publisher = scope.spawn(|| {
            let began = Instant::now();
            while !scene.is_over.load(Ordering::SeqCst) {
                let due = began.elapsed().as_millis() as u64 * load.events_per_second / 1_000;
                while scene.now() < due {
                    let number = scene.published.fetch_add(1, Ordering::SeqCst);
                    redis.publish(&envelope(number, &load).2);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let replace = |old: &str, new: &Node| {
            let mut addresses = scene.addresses.lock().unwrap();
            addresses.retain(|address| address != old);
            addresses.push(new.address().to_owned());
        };
        let rest = || std::thread::sleep(load.pause);
        rest();
        println!("a server is killed after {} events", scene.now());
        let old = first.address().to_owned();
        scene.addresses.lock().unwrap().retain(|address| *address != old);
        first.kill();
        rest();
        first = start();
        scene.addresses.lock().unwrap().push(first.address().to_owned());
        rest();
        // One after the other, each after its successor has been there for a while.
        for node in [&mut second, &mut first] {
            println!("a server is stopped after {} events", scene.now());
            let successor = start();
            rest();
            replace(node.address(), &successor);
            node.stop();
            *node = successor;
            rest();
        }
        scene.is_over.store(true, Ordering::SeqCst);
        publisher.join().unwrap();
        for channel in 0..load.channels {
            let last = json!({
                "project": "shop", "roles": ["any"], "permissionsChanged": false, "userId": null,
                "data": {
                    "events": ["x.y"], "channels": [format!("c{channel}")],
                    "timestamp": "2026-08-21T10:15:30.123+00:00", "payload": { "last": true }
                }
            });
            redis.publish(&last.to_string());
        }
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let (mut events, mut twice, mut links, mut doubts) = (0, 0, 0, 0);
    for (number, story) in stories.iter().enumerate() {
        let missing = scene.missing(number, is_member(number), story);
        assert!(missing.is_empty(), "client {number} misses {missing:?}, and nobody told it");
        events += story.got.len();
        twice += story.twice;
        links += story.links;
        doubts += story.doubts;
    }
    println!(
        "{} events published; {events} received by {} clients over {links} links, {twice} more twice; \
         {doubts} times nobody could vouch",
        scene.now(),
        load.clients
    );
    assert!(links >= load.clients * 2, "clients were to lose their links");
}

#[test]
fn servers_that_are_killed_and_replaced_lose_nothing_without_a_word() {
    roll(Load { clients: 200, channels: 20, events_per_second: 200, pause: Duration::from_millis(1_200) });
}

/// `cargo test --release -p realtime-server --test services -- --ignored --nocapture two_thousand_clients`
#[test]
#[ignore = "takes half a minute and a machine to itself"]
fn two_thousand_clients_and_a_thousand_events_a_second_survive_a_rolling_restart() {
    roll(Load { clients: 2_000, channels: 100, events_per_second: 1_000, pause: Duration::from_secs(3) });
}
