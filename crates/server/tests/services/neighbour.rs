//! A client that never reads, among many that do: they notice nothing, and it is made whole.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::node::{Client, Node, PATIENCE, realtime};
use crate::redis_server::Redis;

/// How much goes on.
#[derive(Clone, Copy)]
struct Load {
    others: usize,
    events_per_second: u64,
    /// One in so many is for each of the others; the slow client is to get all.
    share: u64,
    /// Of each event.
    bytes: usize,
    /// How long it is measured at a time, without the slow client and with it.
    phase: Duration,
    pairs: usize,
}

/// What others see: how long each event took, in microseconds.
#[derive(Default)]
struct Seen {
    connected: AtomicUsize,
    latencies: Mutex<Vec<u64>>,
}

fn micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

/// Connects and notes how long each event takes, with little work for each.
async fn listen(address: String, group: u64, bytes: usize, seen: Arc<Seen>) {
    let mut socket = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "GET /v1/realtime?project=shop&channels[]=files.{group} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut heard = Vec::with_capacity(64 * 1024);
    let (mut is_connected, mut skip) = (false, 0);
    loop {
        if socket.read_buf(&mut heard).await.unwrap() == 0 {
            return;
        }
        if !is_connected && find(&heard, br#""type":"connected""#).is_some() {
            is_connected = true;
            seen.connected.fetch_add(1, Ordering::SeqCst);
        }
        let mut took = Vec::new();
        let mut from = std::mem::take(&mut skip);
        if from > heard.len() {
            skip = from - heard.len();
            heard.clear();
            continue;
        }
        while let Some(at) = find(&heard[from..], br#""sent":"#) {
            let digits = from + at + 7;
            let Some(length) = heard[digits..].iter().position(|byte| !byte.is_ascii_digit()) else { break };
            let sent: u64 = std::str::from_utf8(&heard[digits..digits + length]).unwrap().parse().unwrap();
            took.push(micros().saturating_sub(sent));
            // The filler need not be looked at.
            from = digits + length + bytes;
            if from > heard.len() {
                break;
            }
        }
        seen.latencies.lock().unwrap().extend(took);
        // What may be the beginning of something stays.
        let done = from.max(heard.len().saturating_sub(32));
        skip = done.saturating_sub(heard.len());
        heard.drain(..done.min(heard.len()));
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}

fn envelope(number: u64, share: u64, filler: &str) -> String {
    json!({
        "project": "shop", "roles": ["any"], "permissionsChanged": false, "userId": null,
        "data": {
            "events": ["x.y"], "channels": ["files", format!("files.{}", number % share)], "timestamp": "2026-08-21T10:15:30.123+00:00",
            "payload": { "number": number, "sent": micros(), "filler": filler }
        }
    })
    .to_string()
}

struct Scene {
    load: Load,
    redis: Redis,
    node: Node,
    seen: Arc<Seen>,
    published: u64,
    _folder: tempfile::TempDir,
}

impl Scene {
    /// Publishes for a while and gives the 99th percentile of what the others waited, in microseconds.
    fn measure(&mut self) -> u64 {
        let filler = "x".repeat(self.load.bytes);
        let mut publisher = self.redis.publisher();
        self.seen.latencies.lock().unwrap().clear();
        let (began, mut sent, mut wanted) = (Instant::now(), 0, 0);
        let Load { others, share, .. } = self.load;
        // How many of the others are in each group.
        let in_group = |group: u64| (others as u64 + share - 1 - group) / share;
        while began.elapsed() < self.load.phase {
            let due = began.elapsed().as_micros() as u64 * self.load.events_per_second / 1_000_000;
            while sent < due {
                publisher.publish(&envelope(self.published, share, &filler));
                wanted += in_group(self.published % share) as usize;
                self.published += 1;
                sent += 1;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let count = || self.seen.latencies.lock().unwrap().len();
        let deadline = Instant::now() + PATIENCE;
        while count() < wanted {
            assert!(Instant::now() < deadline, "{} of {wanted} deliveries", count());
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut latencies = std::mem::take(&mut *self.seen.latencies.lock().unwrap());
        latencies.sort_unstable();
        latencies[latencies.len() * 99 / 100]
    }

    /// A client with a subscription of its own, and what it was told of it.
    fn subscribe(&self) -> (Client, Value) {
        let mut client = self.node.connect("project=shop", &[]);
        client.expect("connected");
        let subscribe = json!([{ "subscriptionId": "the-same", "channels": ["files"] }]);
        client.say(&json!({ "type": "subscribe", "data": subscribe }));
        let told = client.expect("response")["data"]["subscriptions"][0].clone();
        (client, told)
    }

    /// Measures while a client does not read, which is closed for it and then gets all of it.
    fn measure_beside_a_slow_one(&mut self) -> u64 {
        let (mut slow, _) = self.subscribe();
        let first = self.published;
        let took = self.measure();
        let mut got = BTreeSet::new();
        let number = |message: &Value| message["data"]["payload"]["number"].as_u64();
        while let Some(message) = slow.next_unless_cut_off() {
            match number(&message) {
                Some(number) => drop(got.insert(number)),
                None => {
                    assert_eq!(message, json!({ "close": 1013 }), "it was to be too slow");
                    break;
                }
            }
        }
        let (mut back, told) = self.subscribe();
        assert_eq!(told["recovered"], true, "{told}");
        while got.len() < (self.published - first) as usize {
            got.insert(number(&back.expect("event")).unwrap());
        }
        back.say(&json!({ "type": "unsubscribe", "data": [{ "subscriptionId": "the-same" }] }));
        took
    }
}

/// The median of how many times longer the others waited with the slow client than without it.
fn neighbour(load: Load) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    realtime(folder.path(), &["project", "create", "--id", "shop"]);
    let redis = Redis::start(&[]);
    let url = format!("redis://127.0.0.1:{}", redis.port());
    let settings = ["--limits-outbox-bytes", "1000000", "--resume-bytes", "100000000"];
    let node = Node::start(folder.path(), &settings, &[("REALTIME_REDIS_URL", &url)]);
    node.wait_for_readiness(200);
    let seen = Arc::new(Seen::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for other in 0..load.others as u64 {
        runtime.spawn(listen(node.address().to_owned(), other % load.share, load.bytes, Arc::clone(&seen)));
    }
    let deadline = Instant::now() + PATIENCE;
    while seen.connected.load(Ordering::SeqCst) < load.others {
        assert!(Instant::now() < deadline, "not all are connected");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut scene = Scene { load, redis, node, seen, published: 0, _folder: folder };
    scene.measure();
    let before = scene.node.peak_memory();
    let mut ratios: Vec<f64> = (0..load.pairs)
        .map(|_| {
            let (without, with) = (scene.measure(), scene.measure_beside_a_slow_one());
            println!("p99 {without} µs without the slow client, {with} µs with it");
            with as f64 / without as f64
        })
        .collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let kept = scene.published * (load.bytes as u64 + 400);
    let grew = scene.node.peak_memory().saturating_sub(before);
    println!(
        "{} others, {} events/s of {} bytes, one in {} for each: median ratio {:.2}; memory grew by {} MB for {} MB of events that are kept",
        load.others,
        load.events_per_second,
        load.bytes,
        load.share,
        ratios[ratios.len() / 2],
        grew / 1_000_000,
        kept / 1_000_000
    );
    // Each shard keeps its own log of the same bytes; what waits for the slow client is among them.
    assert!(grew < 64_000_000 + kept * 2, "memory grew by {grew} bytes");
    ratios[ratios.len() / 2]
}

#[test]
fn a_client_that_never_reads_is_closed_and_made_whole_and_others_get_all_of_it_meanwhile() {
    neighbour(Load {
        others: 10,
        events_per_second: 150,
        share: 1,
        bytes: 8_192,
        phase: Duration::from_secs(6),
        pairs: 1,
    });
}

/// `cargo test --release -p realtime-server --test services -- --ignored --nocapture never_reads_slows_nobody`; `OTHERS`,
/// `RATE` and `SHARE` say how many others there are, how many events a second, and that one in so many is for each of them.
#[test]
#[ignore = "takes six minutes and a machine to itself"]
fn a_client_that_never_reads_slows_nobody() {
    let number = |name: &str, usual| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let (others, events_per_second, share) =
        (number("OTHERS", 300) as usize, number("RATE", 100), number("SHARE", 1));
    // More than kernels keep for who does not read, and then as much as the outbox holds.
    let phase = Duration::from_secs((5_000 / events_per_second).max(10));
    let ratio = neighbour(Load { others, events_per_second, share, bytes: 1_024, phase, pairs: 3 });
    assert!(ratio < 1.2, "others waited {ratio} times as long");
}
